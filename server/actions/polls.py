"""Ask by a poll and vote, once: the same verbs for our own people and for people elsewhere.

A vote is not changed afterwards, as elsewhere in the field. Whoever hosts the space counts, outside spaces the
author's instance; everybody else sends votes there and is told the counts.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from server import database as db
from server import live
from server.actions.notices import notify
from server.actions.poll_rows import NewPoll, Tally, counted, title_of
from server.actions.post_rows import stands
from server.clock import now_ms
from server.errors import Conflict, Forbidden, Invalid, NotFound
from server.events import Kind, record
from server.ids import new_id
from server.limits import POLL_LONGEST_S, POLL_OPTION_CHARACTERS, POLL_OPTIONS, POLL_SHORTEST_S
from server.policy import Act
from server.queries import posts
from server.queries.polls import is_over, titles
from server.queries.posts import SeenPost
from server.refusals import N_
from server.transactions import Row
from server.viewer import RemotePerson, Resident, side_of

FEW_OPTIONS = N_("Un sondage propose au moins deux choix.")
MANY_OPTIONS = N_("Un sondage propose au plus %(limit)s choix.")
LONG_OPTION = N_("Un choix a au plus %(limit)s caractères.")
SAME_OPTION = N_("Deux choix de ce sondage sont les mêmes.")
WRONG_END = N_("Un sondage dure de cinq minutes à trente jours.")
NO_POLL = N_("Ce message ne porte pas de sondage.")
OVER = N_("Ce sondage est terminé : on n’y vote plus.")
VOTED = N_("Vous avez déjà voté dans ce sondage, et un vote ne se change pas.")
NO_CHOICE = N_("Faites un choix.")
ONE_CHOICE = N_("Ce sondage n’accepte qu’un choix.")
NO_SUCH_OPTION = N_("Ce sondage ne propose pas ce choix.")
HELD = N_("Ce message attend d’être validé : on n’y vote pas encore.")
AT_ONCE = 50


def poll_of(options: Sequence[str], multiple: bool, seconds: int | None) -> NewPoll:
    """What one of our people asks; `seconds` until it ends, None for a poll that does not. Raises Invalid."""
    wanted = tuple(found for option in options if (found := title_of(option)))
    if len(wanted) < 2:
        raise Invalid(FEW_OPTIONS, field="poll")
    if len(wanted) > POLL_OPTIONS:
        raise Invalid(MANY_OPTIONS, field="poll", params={"limit": POLL_OPTIONS})
    if any(len(option) > POLL_OPTION_CHARACTERS for option in wanted):
        raise Invalid(LONG_OPTION, field="poll", params={"limit": POLL_OPTION_CHARACTERS})
    if len(set(wanted)) < len(wanted):
        raise Invalid(SAME_OPTION, field="poll")
    if seconds is not None and not POLL_SHORTEST_S <= seconds <= POLL_LONGEST_S:
        raise Invalid(WRONG_END, field="poll")
    return NewPoll(wanted, multiple, None if seconds is None else now_ms() + seconds * 1000)


async def vote(viewer: Resident, post_id: int, choices: Sequence[int]) -> None:
    """One of our people chooses, by the answers' places from 0 on; the same choice again changes nothing.

    Raises NotFound, Forbidden, Invalid for what cannot be chosen, and Conflict for another choice than before.
    """
    chosen = tuple(sorted(set(choices)))
    async with db.together():
        post = await posts.find(viewer, post_id)
        poll, options = await _open(viewer, post)
        if not chosen:
            raise Invalid(NO_CHOICE, field="choices")
        if len(chosen) > 1 and not poll["multiple"]:
            raise Invalid(ONE_CHOICE, field="choices")
        if not 0 <= chosen[0] <= chosen[-1] < len(options):
            raise Invalid(NO_SUCH_OPTION, field="choices")
        before = await _chosen(post_id, viewer.actor_id)
        if before == chosen:
            return
        _demand_running(poll)
        if before:
            raise Conflict(VOTED)
        await _cast(viewer, post, [(position, "") for position in chosen])


async def vote_from_elsewhere(viewer: RemotePerson, post_id: int, title: str, uri: str) -> None:
    """Somebody elsewhere chooses one answer, by its words; of several they say each by itself. Twice is once.

    Raises NotFound, Forbidden, Invalid or Conflict, each with a reason that their instance is told.
    """
    async with db.together():
        post = await posts.find(viewer, post_id)
        poll, options = await _open(viewer, post)
        if not counted_here(post):
            raise NotFound(detail="counted elsewhere")
        if title not in options:
            raise Invalid(NO_SUCH_OPTION)
        position = options.index(title)
        before = await _chosen(post_id, viewer.actor_id)
        if position in before:
            return
        _demand_running(poll)
        if before and not poll["multiple"]:
            raise Conflict(VOTED)
        await _cast(viewer, post, [(position, uri)])


def counted_here(post: SeenPost) -> bool:
    """Whether it is for this instance to count a post's poll."""
    return post.space.hosted_here if post.space else post.peer_id is None


async def _open(viewer: Resident | RemotePerson, post: SeenPost) -> tuple[Row, list[str]]:
    """The poll of a post in which this viewer may vote, and its answers. One vote at a time reads on from here."""
    post.demand(viewer, Act.REACT)
    if post.facts.held:
        raise Forbidden(HELD)
    await stands(post.id)
    alone = " FOR UPDATE" if db.engine_name() == "postgres" else ""
    poll = await db.fetch_one(f"SELECT multiple, ends_at FROM poll WHERE post_id = $1{alone}", post.id)
    if poll is None:
        raise Invalid(NO_POLL)
    return poll, (await titles([post.id])).get(post.id, [])


def _demand_running(poll: Row) -> None:
    if is_over(poll["ends_at"], now_ms()):
        raise Forbidden(OVER)


async def _chosen(post_id: int, actor_id: int) -> tuple[int, ...]:
    rows = await db.fetch(
        "SELECT position FROM vote WHERE post_id = $1 AND actor_id = $2 ORDER BY position", post_id, actor_id
    )
    return tuple(row["position"] for row in rows)


async def _cast(viewer: Resident | RemotePerson, post: SeenPost, chosen: Sequence[tuple[int, str]]) -> None:
    """Writes the votes, and the facts: of each, to whoever counts it; or once, that the counts are others now."""
    here, now = counted_here(post), now_ms()
    side = side_of(viewer) if post.space and post.space.hosted_here else ""
    space_id = post.space.id if post.space else None
    where: dict[str, Any] = {"post_id": post.id, "space_id": space_id, "actor_id": viewer.actor_id}
    for position, uri in chosen:
        event_id = new_id()
        row = {"id": new_id(), "post_id": post.id, "actor_id": viewer.actor_id, "position": position, "side": side}
        await db.insert("vote", {**row, "uri": (uri or f"event:{event_id}")[:512], "created_at": now})
        if not here:
            await record(Kind.VOTED, data={"option": position}, event_id=event_id, **where)
    if here:
        await record(Kind.TALLIED, **where)


async def tallied(post_id: int, space_id: int | None, tally: Tally) -> None:
    """Whoever counts a poll of a post here says how it stands; what is not new changes nothing."""
    async with db.together():
        if await counted(post_id, tally):
            fact = live.Fact(Kind.TALLIED.value, post_id=post_id, space_id=space_id)
            db.after_commit(partial(live.publish, fact))


async def not_counted(event_id: int) -> None:
    """Whoever counts a poll did not take a vote of one of ours, if this fact is one: then it is none here either."""
    event = await db.fetch_one(
        "SELECT post_id, space_id, actor_id, data FROM event WHERE id = $1 AND kind = $2", event_id, Kind.VOTED.value
    )
    if event is None:
        return
    gone = await db.execute(
        "DELETE FROM vote WHERE post_id = $1 AND actor_id = $2 AND position = $3 AND uri = $4",
        event["post_id"],
        event["actor_id"],
        msgspec.json.decode(event["data"]).get("option", -1),
        f"event:{event_id}",
    )
    if gone:
        fact = live.Fact(Kind.TALLIED.value, post_id=event["post_id"], space_id=event["space_id"])
        db.after_commit(partial(live.publish, fact))


async def take_back_votes(actor_id: int) -> int:
    """All votes of somebody who is gone; those who were told the counts are told them anew. How many they were."""
    count = 0
    while rows := await db.fetch(
        "SELECT v.id, v.post_id, p.space_id, s.peer_id AS s_peer, p.peer_id FROM vote v JOIN post p ON p.id = v.post_id"
        " LEFT JOIN space s ON s.id = p.space_id WHERE v.actor_id = $1 ORDER BY v.id LIMIT $2",
        actor_id,
        AT_ONCE,
    ):
        async with db.together():
            for row in rows:
                await db.execute("DELETE FROM vote WHERE id = $1", row["id"])
            here = {
                row["post_id"]: row["space_id"]
                for row in rows
                if (row["s_peer"] if row["space_id"] else row["peer_id"]) is None
            }
            for post_id, space_id in here.items():
                await record(Kind.TALLIED, actor_id=actor_id, post_id=post_id, space_id=space_id)
        count += len(rows)
    return count


async def end_due(now: int) -> int:
    """Polls whose time is over: those who asked and voted here are told, and others the last count. How many."""
    rows = await db.fetch("SELECT post_id FROM poll WHERE due_at <= $1 ORDER BY due_at LIMIT $2", now, AT_ONCE)
    return sum([await _end(row["post_id"], now) for row in rows])


async def _end(post_id: int, now: int) -> bool:
    async with db.transaction():
        if not await db.execute("UPDATE poll SET due_at = NULL WHERE post_id = $1 AND due_at <= $2", post_id, now):
            return False  # somebody else did it
        post = await db.fetch_one(
            "SELECT p.author_id, p.space_id, p.peer_id, p.held_at, s.peer_id AS s_peer FROM post p"
            " LEFT JOIN space s ON s.id = p.space_id WHERE p.id = $1 AND p.deleted_at IS NULL",
            post_id,
        )
        if post is None or post["held_at"] is not None:
            return False
        ours = await db.fetch(
            "SELECT id FROM actor WHERE peer_id IS NULL AND kind = 'person'"
            " AND (id = $1 OR id IN (SELECT actor_id FROM vote WHERE post_id = $2)) ORDER BY id",
            post["author_id"],
            post_id,
        )
        where = {"post_id": post_id, "space_id": post["space_id"]}
        await notify([row["id"] for row in ours], "poll", key=f"poll:{post_id}", **where)
        if (post["s_peer"] if post["space_id"] else post["peer_id"]) is None:
            await record(Kind.TALLIED, **where)
        return True
