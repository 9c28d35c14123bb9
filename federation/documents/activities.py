"""An Event as the Activity that tells it: who says it, to whom, in which words.

A fact about a post in a space that we host is told by the space (FEP-1b12: Announce of the activity, the
activity of somebody elsewhere exactly as it came). A fact about a post of ours in a space elsewhere, or
outside any space, is told by its author. What can be told to a plain server differs: see `for_plain`.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from federation.documents.polls import asked, ballot
from federation.documents.posts import Told, addressing, note, tombstone
from federation.vocabulary import CONTEXT, PUBLIC, moment
from server.events import Kind
from server.ids import Addresses
from server.openness import Level

MOST_ORGANISATIONS = 50
"""That are named beside the opening of a past."""


@dataclass(frozen=True, slots=True)
class Fact:
    """An event row with the actors it names."""

    id: int
    kind: Kind
    created_at: int
    actor_uri: str = ""
    space_uri: str = ""
    space_members: str = ""
    data: dict[str, Any] | None = None
    original: str = ""

    def detail(self, name: str) -> Any:
        return (self.data or {}).get(name)


@dataclass(frozen=True, slots=True)
class Message:
    """A document ready to be sent, and whose key signs it towards a server without a link."""

    document: dict[str, Any]
    signer_uri: str
    proved_by: str = ""  # the author whose object proof it should carry


def about_post(fact: Fact, post: Told, here: Addresses) -> dict[str, Any]:
    """The activity by the one who wrote, reacted or voted; how a poll stands, by the one who asks."""
    to, cc = addressing(post)
    activity: dict[str, Any] = {
        "id": _own_id(fact.detail("uri"), here) or here.activity(fact.id),
        "actor": _speaker(fact, post, here),
        "to": to,
        "cc": cc,
        "published": moment(fact.created_at),
    }
    if post.space_uri:
        activity["audience"] = post.space_uri
    return activity | _PER_KIND[fact.kind](fact, post, here)


def _speaker(fact: Fact, post: Told, here: Addresses) -> str:
    """Who says it: the person, or the space for one of ours whom it does not name."""
    if fact.kind is Kind.TALLIED:
        return post.author_uri
    return post.space_uri if post.byline and here.is_ours(fact.actor_uri) else fact.actor_uri


def _create(fact: Fact, post: Told, here: Addresses) -> dict[str, Any]:
    return {"type": "Create", "object": note(post, here, None if post.space_uri else "")}


def _update(fact: Fact, post: Told, here: Addresses) -> dict[str, Any]:
    return {"type": "Update", "object": note(post, here, None if post.space_uri else "")}


def _tally(fact: Fact, post: Told, here: Addresses) -> dict[str, Any]:
    return {"type": "Update", "object": note(post, here, "")}


def _vote(fact: Fact, post: Told, here: Addresses) -> dict[str, Any]:
    """To the space, or outside spaces to the author: whoever counts, and nobody else."""
    to, options = [post.space_uri or post.author_uri], post.poll.options if post.poll else ()
    title = dict(enumerate(options)).get(fact.detail("option"), "")
    vote = ballot(f"{here.activity(fact.id)}#vote", fact.actor_uri, title, post.uri, to)
    return {"type": "Create", "object": vote, "to": to, "cc": []}


def _delete(fact: Fact, post: Told, here: Addresses) -> dict[str, Any]:
    return {"type": "Delete", "object": tombstone(post)}


def _like(fact: Fact, post: Told, here: Addresses) -> dict[str, Any]:
    emoji = fact.detail("emoji")
    told = {"type": "EmojiReact", "content": emoji} if emoji else {"type": "Like"}
    return {**told, "object": post.uri, "to": [*({post.author_uri, *([post.space_uri] if post.space_uri else [])})]}


def _undo(fact: Fact, post: Told, here: Addresses) -> dict[str, Any]:
    speaker = _speaker(fact, post, here)
    undone = {**_like(fact, post, here), "id": _own_id(fact.detail("uri"), here), "actor": speaker}
    return {"id": here.activity(fact.id), "type": "Undo", "object": undone, "to": undone["to"]}


_PER_KIND = {
    Kind.POST_PUBLISHED: _create,
    Kind.POST_EDITED: _update,
    Kind.POST_WITHDRAWN: _delete,
    Kind.REACTED: _like,
    Kind.REACTION_UNDONE: _undo,
    Kind.VOTED: _vote,
    Kind.TALLIED: _tally,
}


def by_author(fact: Fact, post: Told, here: Addresses) -> Message:
    """Told by the author: outside any space, or to the host of a space elsewhere (with their proof).

    A vote carries no proof: whoever counts it has nothing that shows others how somebody voted.
    """
    document = {"@context": CONTEXT, **about_post(fact, post, here)}
    proves = post.space_peer_id and post.proofs and fact.kind is not Kind.VOTED
    return Message(document, _speaker(fact, post, here), proved_by=fact.actor_uri if proves else "")


def tally_by_space(fact: Fact, post: Told, here: Addresses, side: str) -> dict[str, Any]:
    """How a poll in a space of ours stands for one partner, whoever asked it: an Update without an author."""
    return {
        "id": here.activity(fact.id),
        "type": "Update",
        "actor": post.space_uri,
        "to": [PUBLIC] if post.level is Level.PUBLIC else [post.space_members],
        "audience": post.space_uri,
        "published": moment(fact.created_at),
        "object": question(post, side),
    }


def question(post: Told, side: str) -> dict[str, Any]:
    """What a space tells of a poll beside its author's words: how it stands, and nothing that was said."""
    return {"id": post.uri, "type": "Question", **(asked(post.poll, side) if post.poll else {})}


def by_space(
    fact: Fact, post: Told, here: Addresses, recipients: list[str], around: dict[str, Any] | None = None, side: str = ""
) -> Message:
    """Told by the space to a linked instance: `recipients` are its members there, by name (FEP-0499's aim).

    `around`: what the relay carries beside the activity (see `relaying`). `side`: that of the receiver.
    """
    if fact.kind is Kind.TALLIED:
        inner = tally_by_space(fact, post, here, side)
    else:
        inner = msgspec.json.decode(fact.original) if fact.original else about_post(fact, post, here)
    to = [PUBLIC] if post.level is Level.PUBLIC else [post.space_members]
    document = {
        "@context": CONTEXT,
        "id": f"{here.activity(fact.id)}/announce",
        "type": "Announce",
        "actor": post.space_uri,
        "audience": post.space_uri,
        "to": [*to, *recipients],
        "published": moment(fact.created_at),
        **(around or {}),
        "object": inner,
    }
    return Message(document, post.space_uri)


def for_plain(fact: Fact, post: Told, here: Addresses) -> Message | None:
    """Told to a server without a link that has members of an open space: what such servers understand.

    Public: the space announces the post by its address, and its author tells edits. Network: the space tells
    it in a Note of its own to its followers, because only then do they show it to nobody else.
    """
    if post.level is Level.PUBLIC:
        return _announced(fact, post, here)
    if fact.kind in (Kind.POST_PUBLISHED, Kind.POST_EDITED, Kind.POST_WITHDRAWN, Kind.TALLIED):
        return _mirrored(fact, post, here)
    return None


def _announced(fact: Fact, post: Told, here: Addresses) -> Message | None:
    if fact.kind is Kind.POST_PUBLISHED:
        document = {
            "@context": CONTEXT,
            "id": f"{here.activity(fact.id)}/announce",
            "type": "Announce",
            "actor": post.space_uri,
            "to": [PUBLIC],
            "cc": [post.space_members],
            "published": moment(fact.created_at),
            "object": post.uri,
        }
        return Message(document, post.space_uri)
    ours = post.author_peer_id is None
    told = (Kind.POST_EDITED, Kind.POST_WITHDRAWN, Kind.TALLIED)
    return by_author(fact, post, here) if ours and fact.kind in told else None


def _mirrored(fact: Fact, post: Told, here: Addresses) -> Message:
    mirror = {
        "id": f"{here.post(post.id)}/mirror",
        "type": "Note",
        "attributedTo": post.space_uri,
        "to": [post.space_members],
        "content": post.html,
        "published": moment(post.published_at),
        **({"updated": moment(post.edited_at)} if post.edited_at else {}),
        **({"type": "Question", **asked(post.poll, "")} if post.poll else {}),
    }
    gone = {"id": mirror["id"], "type": "Tombstone"}
    kinds = {Kind.POST_PUBLISHED: "Create", Kind.POST_WITHDRAWN: "Delete"}
    document = {
        "@context": CONTEXT,
        "id": f"{here.activity(fact.id)}/mirror",
        "type": kinds.get(fact.kind, "Update"),
        "actor": post.space_uri,
        "to": [post.space_members],
        "published": moment(fact.created_at),
        "object": gone if fact.kind is Kind.POST_WITHDRAWN else mirror,
    }
    return Message(document, post.space_uri)


def between_people(fact: Fact, target_uri: str, here: Addresses) -> Message:
    """Follow and its answers."""
    asked = {
        "id": fact.detail("uri") or here.activity(fact.id),
        "type": "Follow",
        "actor": fact.actor_uri,
        "object": target_uri,
    }
    answered = {**asked, "actor": target_uri, "object": fact.actor_uri}
    own = _own_id(fact.detail("uri"), here)
    body: dict[Kind, dict[str, Any]] = {
        Kind.FOLLOW_ASKED: asked,
        Kind.FOLLOW_UNDONE: {"id": here.activity(fact.id), "type": "Undo", "object": {**asked, "id": own}},
        Kind.FOLLOW_ACCEPTED: {"id": here.activity(fact.id), "type": "Accept", "object": answered},
        Kind.FOLLOW_REJECTED: {"id": here.activity(fact.id), "type": "Reject", "object": answered},
    }
    return Message(
        {"@context": CONTEXT, **body[fact.kind], "actor": fact.actor_uri, "to": [target_uri]}, fact.actor_uri
    )


def about_membership(fact: Fact, other_uri: str, here: Addresses) -> Message:
    """Join, Leave, Invite, Remove, and the host's Accept or Reject (ActivityStreams §3, openness between hosts)."""
    ours = here.is_ours(fact.space_uri)
    actor, target = (fact.space_uri, other_uri) if ours else (fact.actor_uri, fact.space_uri)
    document: dict[str, Any] = {"@context": CONTEXT, "id": here.activity(fact.id), "actor": actor, "to": [target]}
    document["published"] = moment(fact.created_at)
    if fact.kind is Kind.JOIN_ASKED:
        document |= {"type": "Join", "object": fact.space_uri}
    elif fact.kind is Kind.LEFT:
        document |= {"type": "Leave", "object": fact.space_uri}
    elif fact.kind is Kind.INVITED:
        document |= {"type": "Invite", "object": fact.space_uri, "target": other_uri}
    elif fact.kind is Kind.MEMBER_REMOVED:
        document |= {"type": "Remove", "object": other_uri, "target": fact.space_members}
    else:
        join = {"id": fact.detail("uri"), "type": "Join", "actor": other_uri, "object": fact.space_uri}
        document |= {"type": "Accept" if fact.detail("accepted") else "Reject", "object": join}
        if fact.detail("since"):
            document["published"] = moment(fact.detail("since"))
    return Message(document, actor)


_OUTCOMES = {Kind.POST_HELD: "TentativeAccept", Kind.POST_APPROVED: "Accept", Kind.POST_REFUSED: "Reject"}


def about_moderation(fact: Fact, author_uri: str, here: Addresses) -> Message:
    """What became of the activity that brought a post into a space of ours (ActivityStreams §3): it waits, it is
    published, or it is refused, and why.
    """
    brought = {"id": fact.detail("activity"), "type": "Create", "actor": author_uri}
    document: dict[str, Any] = {
        "@context": CONTEXT,
        "id": here.activity(fact.id),
        "type": _OUTCOMES[fact.kind],
        "actor": fact.space_uri,
        "to": [author_uri],
        "object": brought,
    }
    if fact.detail("reason"):
        document["summary"] = fact.detail("reason")
    return Message(document, fact.space_uri)


def changed_actor(fact: Fact, actor_document: dict[str, Any], here: Addresses, to: list[str]) -> Message:
    """Update of a person or a space."""
    uri = actor_document["id"]
    bare = {name: value for name, value in actor_document.items() if name != "@context"}
    document = {"@context": CONTEXT, "id": here.activity(fact.id), "type": "Update", "actor": uri, "to": to}
    return Message({**document, "object": bare}, uri)


def past_opened(fact: Fact, organisations: list[str]) -> dict[str, Any]:
    """Beside the Update of a space: what was written there until then is for more people, of these other partners too.

    The receiver tells its own people who wrote there. `organisations`: hosts.
    """
    return {
        "parvis:pastOpened": {
            "parvis:policyEpoch": fact.detail("past"),
            "published": moment(fact.detail("at")),
            "parvis:organisations": organisations[:MOST_ORGANISATIONS],
        }
    }


def gone_person(fact: Fact, here: Addresses) -> Message:
    """Delete of a person by themselves, as Mastodon and others tell it: nothing of theirs is to be kept."""
    uri = fact.actor_uri
    document = {"@context": CONTEXT, "id": here.activity(fact.id), "type": "Delete", "actor": uri, "to": [PUBLIC]}
    return Message({**document, "object": uri, "published": moment(fact.created_at)}, uri)


def _own_id(stored: str | None, here: Addresses) -> str:
    """The id of something we asked: rows name it `event:N`."""
    text = stored or ""
    return here.activity(int(text.removeprefix("event:"))) if text.startswith("event:") else text
