"""Whom a post names and whom that may tell something: people who may read it, of one organisation where partners do not
see one another.
"""

from collections.abc import Sequence
from typing import Any

from server import database as db
from server.actions.notices import notify
from server.actions.post_rows import ours_of
from server.errors import Forbidden
from server.ids import Addresses
from server.openness import Read, Variant
from server.policy import Standing, audience_of, rights
from server.queries import people, posts, sides, spaces
from server.refusals import N_
from server.text import MentionTarget, find_mentions
from server.viewer import Employee, Guest, Resident

TWO_SIDES = N_(
    "Ce message nomme des personnes de plusieurs organisations, qui ne se voient pas entre elles dans cet espace. "
    "Il suffirait d’un message pour chacune."
)
READ_BY_OTHERS = N_(
    "Ce message est déjà lu dans l’espace : y nommer quelqu’un d’un partenaire le ferait voir aux autres, qui ne se "
    "voient pas entre eux. Il suffirait d’un nouveau message."
)


async def nameable(
    viewer: Resident, source: str, space: spaces.SeenSpace | None, here: Addresses
) -> dict[str, MentionTarget]:
    """Those named in a text whom naming tells nothing they may not know: others stay plain text (K6, RR7).

    A guest names whom they meet: a name that becomes a link says that somebody is there.
    """
    targets: dict[str, MentionTarget] = {}
    for handle in find_mentions(source):
        host = "" if handle.host in ("", here.host) else handle.host.lower()
        row = await db.fetch_one(
            "SELECT id, uri, peer_id FROM actor WHERE host = $1 AND name = $2 AND kind = 'person'"
            " AND suspended_at IS NULL AND gone_at IS NULL",
            host,
            handle.name.lower() if not host else handle.name,
        )
        if row is not None and (space is None or await _hears(row["id"], row["peer_id"], space)):
            if not isinstance(viewer, Guest) or await people.meets(viewer, row["id"]):
                targets[str(handle)] = MentionTarget(row["id"], row["uri"])
    return targets


async def _hears(actor_id: int, peer_id: int | None, space: spaces.SeenSpace) -> bool:
    """Whether an actor may read what is written in a space now."""
    if await db.fetch_one(
        "SELECT id FROM membership WHERE space_id = $1 AND actor_id = $2 AND state = 'member'", space.id, actor_id
    ):
        return True
    guest = "SELECT id FROM account WHERE actor_id = $1 AND office = 'guest'"
    if peer_id is not None or await db.fetch_one(guest, actor_id):
        return space.facts.variant in (Variant.NETWORK, Variant.PUBLIC)
    colleague = Employee(0, actor_id)
    standing = Standing(audience_of(colleague, space.facts, member=False, partner=False))
    return rights(space.facts, standing).read >= Read.LIMITED


async def side_for(author: str, space: spaces.SeenSpace | None, answered: str, mentioned: Sequence[int]) -> str:
    """The outside organisation that a post in a space of ours is from or, written by ours, for.

    Ours answer for the side of what they answer, and write for the one that they name. `author`: that of whoever
    writes, '' for ours. Raises Forbidden for what names people of two that do not see each other.
    """
    if space is None or not space.hosted_here:
        return ""
    if author:
        return author
    concerned = await sides.of_actors(mentioned) | ({answered} if answered else set())
    if len(concerned) > 1:
        if space.facts.blind:
            raise Forbidden(TWO_SIDES)
        return sides.SEVERAL
    return next(iter(concerned), "")


async def same_side(viewer: Resident, post: posts.SeenPost, mentioned: Sequence[int]) -> None:
    """An edit names nobody before whom the post is not hidden from the others; raises Forbidden."""
    if post.space is None or not post.space.hosted_here or isinstance(viewer, Guest):
        return
    named = await sides.of_actors(mentioned)
    if named <= {post.facts.side}:
        return
    if post.space.facts.blind or post.facts.stamp_blind:
        raise Forbidden(READ_BY_OTHERS)
    side = await side_for("", post.space, post.facts.side, mentioned)
    await db.execute("UPDATE post SET side = $1 WHERE id = $2", side, post.id)


async def tell_named(post_id: int, author_id: int, space: spaces.SeenSpace | None, *, answered: bool = True) -> None:
    """Leaves notices of a post that is now published for those of ours whom it names or, if `answered`, answers, and
    who may read it.
    """
    rows = await db.fetch("SELECT actor_id FROM mention WHERE post_id = $1 ORDER BY id", post_id)
    mentioned = [row["actor_id"] for row in rows]
    parent = await db.fetch_one(
        "SELECT r.author_id FROM post p JOIN post r ON r.id = p.reply_to_id WHERE p.id = $1", post_id
    )
    to = parent["author_id"] if parent and answered else None
    ours = await ours_of([*mentioned, *([to] if to else [])])
    if space is not None:
        ours = {actor_id for actor_id in ours if await _hears(actor_id, None, space)}
        ours = await _of_its_side(post_id, ours)
    where: dict[str, Any] = {"post_id": post_id, "space_id": space.id if space else None}
    key = f"post:{post_id}"
    if to in ours:
        await notify([to], "reply", key=key, by=author_id, **where)
    await notify([i for i in mentioned if i in ours], "mention", key=key, by=author_id, **where)


async def _of_its_side(post_id: int, actor_ids: set[int]) -> set[int]:
    """Those of these actors before whom a post is not hidden as a blind partner's."""
    row = await db.fetch_one("SELECT side FROM post WHERE id = $1", post_id)
    side = row["side"] if row else ""
    return {i for i in actor_ids if not side or await sides.of_actor(i) in ("", side)}
