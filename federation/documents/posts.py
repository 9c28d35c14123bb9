"""Note, Question and Tombstone as JSON."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from federation.documents.polls import ToldPoll, asked, read_polls
from federation.page_memory import once
from federation.vocabulary import CONTEXT, PUBLIC, moment
from server import database as db
from server.ids import Addresses
from server.media_types import digest_multibase
from server.openness import Identity, Level, Office, PartnerView, Visibility
from server.queries import identity
from server.sql import Clause, one_of


@dataclass(frozen=True, slots=True)
class Told:
    """A post as it is told to others: read once, whoever it is for. The policy was asked by the caller."""

    id: int
    uri: str
    author_id: int
    author_uri: str
    author_peer_id: int | None
    followers_uri: str
    space_id: int | None
    space_uri: str
    space_members: str
    space_peer_id: int | None
    level: Level | None
    visibility: Visibility | None
    html: str
    summary: str
    language: str
    reply_to_uri: str
    root_uri: str
    published_at: int
    edited_at: int | None
    deleted_at: int | None
    proofs: bool  # whether authors prove what they write in this space
    mentioned: tuple[tuple[str, str], ...]  # (uri, handle)
    files: tuple[dict[str, Any], ...]
    byline: str = ""  # for whom the space speaks, where it names no person outside
    poll: ToldPoll | None = None

    @property
    def public(self) -> bool:
        return self.level is Level.PUBLIC or self.visibility is Visibility.PUBLIC


async def read_told(post_id: int) -> Told | None:
    """The post as it stands now, whoever may see it; None when there is none."""

    async def ask() -> Told | None:
        return (await read_many_told([post_id])).get(post_id)

    return await once(("told", post_id), ask)


async def read_many_told(post_ids: Sequence[int]) -> dict[int, Told]:
    """The same of many, by id: four questions, however many they are, and two more where there are polls."""
    if not post_ids:
        return {}
    reading = """SELECT p.*, a.uri AS a_uri, a.followers_uri, a.peer_id AS a_peer, g.uri AS s_uri,
             g.followers_uri AS s_members, s.level, s.name AS s_name, s.identity_outside, s.partner_view,
             a.display_name AS a_display,
             (SELECT c.job FROM account c WHERE c.actor_id = a.id) AS a_job,
             (SELECT c.office FROM account c WHERE c.actor_id = a.id) AS a_office,
             s.proofs, s.peer_id AS s_peer, r.uri AS root_uri, b.uri AS parent_uri
           FROM post p JOIN actor a ON a.id = p.author_id LEFT JOIN space s ON s.id = p.space_id
           LEFT JOIN actor g ON g.id = s.actor_id LEFT JOIN post r ON r.id = p.root_id
           LEFT JOIN post b ON b.id = p.reply_to_id WHERE"""
    rows = await db.fetch(*Clause(reading).join(one_of("p.id", post_ids)).statement())
    naming = "SELECT m.post_id, a.uri, a.name, a.host FROM mention m JOIN actor a ON a.id = m.actor_id WHERE"
    mentioned: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for one in await db.fetch(*Clause(naming).join(one_of("m.post_id", post_ids)).then("ORDER BY m.id").statement()):
        mentioned[one["post_id"]].append(one)
    attached = Clause("SELECT * FROM attachment WHERE").join(one_of("post_id", post_ids))
    files: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for one in await db.fetch(*attached.then("ORDER BY position, id").statement()):
        files[one["post_id"]].append(one)
    polls = await read_polls({row["id"]: _blind(row) for row in rows})
    return {row["id"]: _told(row, mentioned[row["id"]], files[row["id"]], polls.get(row["id"])) for row in rows}


def _blind(row: dict[str, Any]) -> bool:
    return row["space_id"] is not None and (row["partner_view"] == PartnerView.BLIND or bool(row["stamp_blind"]))


def _told(
    row: dict[str, Any], mentioned: list[dict[str, Any]], files: list[dict[str, Any]], poll: ToldPoll | None
) -> Told:
    reply_to = row["reply_to_uri"] or (row["parent_uri"] if row["reply_to_id"] else "") or ""
    byline = _byline(row)
    if byline:
        mentioned = [one for one in mentioned if one["host"]]
    return Told(
        byline=byline,
        poll=poll,
        id=row["id"],
        uri=row["uri"],
        author_id=row["author_id"],
        author_uri=row["s_uri"] if byline and row["a_peer"] is None else row["a_uri"],
        author_peer_id=row["a_peer"],
        followers_uri=row["followers_uri"] or f"{row['a_uri']}/followers",
        space_id=row["space_id"],
        space_uri=row["s_uri"] or "",
        space_members=row["s_members"] or "",
        space_peer_id=row["s_peer"],
        level=Level(row["level"]) if row["level"] else None,
        visibility=Visibility(row["visibility"]) if row["visibility"] else None,
        html=row["html"],
        summary=row["summary"],
        language=row["language"],
        reply_to_uri=reply_to,
        root_uri=row["root_uri"] or row["uri"],
        published_at=row["published_at"],
        edited_at=row["edited_at"],
        deleted_at=row["deleted_at"],
        proofs=bool(row["proofs"]),
        mentioned=tuple((m["uri"], f"@{m['name']}" + (f"@{m['host']}" if m["host"] else "")) for m in mentioned),
        files=tuple(files),
    )


def _byline(row: dict[str, Any]) -> str:
    """In a space of ours that names ours by their job alone: as whom it speaks; '' everywhere else."""
    if row["space_id"] is None or row["s_peer"] is not None:
        return ""
    how = identity.wanted(row["level"], row["identity_outside"])
    if how is not Identity.FUNCTION:
        return ""
    if row["a_office"] == Office.GUEST:
        return str(row["a_display"])
    return identity.words(row["a_display"], row["a_job"] or "", how, row["s_name"])


def addressing(post: Told) -> tuple[list[str], list[str]]:
    """`to` and `cc` of a post and of the activities about it."""
    names = [uri for uri, _ in post.mentioned]
    if post.space_uri:
        space = [post.space_uri, *([post.space_members] if post.space_members else [])]
        return ([PUBLIC], [*space, *names]) if post.level is Level.PUBLIC else ([*space, *names], [])
    if post.visibility is Visibility.PUBLIC:
        return [PUBLIC], [post.followers_uri, *names]
    if post.visibility is Visibility.FOLLOWERS:
        return [post.followers_uri], names
    return names, []


def note(post: Told, here: Addresses, side: str | None = None) -> dict[str, Any]:
    """The post as a Note, or as a Question when it carries a poll (ActivityStreams §3; `audience` by FEP-1b12), without
    a context of its own. `side`: the outside organisation that is told how the poll stands (see `polls.asked`).
    """
    to, cc = addressing(post)
    document: dict[str, Any] = {
        "id": post.uri,
        "type": "Note",
        "attributedTo": post.author_uri,
        "to": to,
        "cc": cc,
        "content": post.html,
        "published": moment(post.published_at),
        "url": post.uri,
        "replies": f"{post.uri}/replies",
        "context": f"{post.root_uri}/context",
        "tag": [{"type": "Mention", "href": uri, "name": name} for uri, name in post.mentioned],
        "attachment": [file_document(file, here) for file in post.files],
    }
    if post.poll is not None:
        document |= {"type": "Question", **asked(post.poll, None if post.space_peer_id is not None else side)}
    if post.space_uri:
        document["audience"] = post.space_uri
    if post.byline and post.author_peer_id is None:
        document["parvis:byline"] = post.byline
    if post.reply_to_uri:
        document["inReplyTo"] = post.reply_to_uri
    if post.summary:
        document |= {"summary": post.summary, "sensitive": True}
    if post.edited_at:
        document["updated"] = moment(post.edited_at)
    if post.language:
        document["contentMap"] = {post.language: post.html}
    return document


def file_document(file: dict[str, Any], here: Addresses) -> dict[str, Any]:
    """An attachment (FEP-1311): its bytes are at `url`, for those who may read the post.

    Of ours it says the digest, which the author's proof covers: whoever mirrors it cannot serve other bytes.
    """
    digest = file["digest"] if file["source_uri"] else digest_multibase(file["sha256"])
    document = {
        "type": "Document",
        "mediaType": file["media_type"],
        "name": file["description"] or file["name"],
        "url": file["source_uri"] or here.media(file["id"], file["name"]),
        "parvis:fileName": file["name"],
        "size": file["size"],
    }
    if file["width"]:
        document |= {"width": file["width"], "height": file["height"]}
    if digest:
        document["digestMultibase"] = digest
    return document


def tombstone(post: Told) -> dict[str, Any]:
    """What is left of a withdrawn post."""
    return {"id": post.uri, "type": "Tombstone", "deleted": moment(post.deleted_at or post.published_at)}


def alone(document: dict[str, Any]) -> dict[str, Any]:
    """A document that is served by itself: with its context."""
    return {"@context": CONTEXT, **document}
