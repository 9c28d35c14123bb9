"""What our own people said in shared spaces, had back from a partner after our database was put back.

A partner keeps what our people said as it came, with their proofs (FEP-8b32), as long as any fact. It gives each
instance its own people's words and nobody else's. We believe no partner: an activity counts when it is of our origin
and carries the proof of its own actor, made with a key that we hold ourselves, in the space that it names; what we know
already is left alone.
Spaces without proofs have nothing to give, and files do not come back. Who of ours is in a space elsewhere is asked of
its host at the same time.
"""

import logging
from typing import Any

import msgspec

from federation.errors import FederationError, Malformed, Refused, Untrusted
from federation.handlers.posts import LIKES, emoji_of
from federation.instance import Instance
from federation.lookup import NO_STREAM, peering_of
from federation.membership_wishes import wait_for_link, wish
from federation.poll_reading import poll_in
from federation.proving import holds
from federation.reading import Activity, activity, as_now, note
from federation.resync import Shared, ask, shared
from federation.trust import owns_note, owns_object
from server import database as db
from server.actions import own_words
from server.actions.link_rows import STANDS
from server.actions.newcomers import invite_once_more
from server.actions.own_words import Again
from server.actions.sweeping import KEPT_MS
from server.clock import now_ms
from server.errors import DomainError, NotFound, Unavailable
from server.ids import born_ms
from server.openness import LinkState
from server.queries.former import moves
from server.sql import Clause, one_of
from server.text import clean, plain
from server.viewer import PeerServer, Viewer

log = logging.getLogger("parvis.own_words")

AT_ONCE = 100
MOST_PAGES = 5_000
"""Of one space: half a million words of our people."""
MOST_TRIES = 200
AGAIN_MS = 20_000
"""How soon it is asked for again at first, in milliseconds; each time that much later, and after LONGEST_MS in the end:
for more than a week, however long a partner is away or its link stands still there.
"""
LONGEST_MS = 3_600_000
MOST_WAITING = 8
"""How often what is about a post that is not here (yet) is asked for again: it may come by a comparison, meanwhile."""


class Endless(Malformed):
    """More than can be meant: it is not asked for again."""


async def given(viewer: Viewer, space_uri: str, after: int) -> dict[str, Any]:
    """What the people of the instance that asks said in a shared space, as it came here, oldest first. NotFound."""
    if not isinstance(viewer, PeerServer) or not viewer.linked:
        raise NotFound(detail="for linked instances")
    rows = await db.fetch(
        "SELECT e.id, e.original FROM event e JOIN space s ON s.id = e.space_id JOIN actor g ON g.id = s.actor_id"
        " JOIN actor a ON a.id = e.actor_id WHERE g.uri = $1 AND a.peer_id = $2 AND e.id > $3 AND e.original <> ''"
        " AND a.kind = 'person' ORDER BY e.id LIMIT $4",
        space_uri,
        viewer.peer_id,
        after,
        AT_ONCE,
    )
    return {
        "parvis:space": space_uri,
        "parvis:own": [[row["id"], msgspec.Raw(row["original"].encode())] for row in rows],
    }


async def have_back(instance: Instance, job: dict[str, Any]) -> None:
    """One such job: every space that we share with that instance, to the end."""
    peer = await db.fetch_one(
        "SELECT q.id, q.host, q.peering, l.state FROM peer q"
        f" JOIN link l ON l.peer_id = q.id AND {STANDS} WHERE q.id = $1",
        int(job["key"].partition(":")[0]),
    )
    if peer is None or peer["peering"] in ("", NO_STREAM):
        await _end(job, "no link any more")
        return
    if peer["state"] != LinkState.ACTIVE:
        await wait_for_link(job["id"])
        return
    came, waiting = 0, 0
    if not job["attempts"]:
        await peering_of(instance, peer["id"])  # what it said of itself since is lost, such as that it does not consent
        async with db.transaction():
            await invite_once_more(peer["id"])
    try:
        for space in await shared(peer["id"]):
            if not space.hosted and not job["attempts"]:
                await wish(space.id)
            more, less = await _of_space(instance, peer["peering"], space)
            came, waiting = came + more, waiting + less
    except Endless as error:
        await _end(job, str(error))
        return
    except (FederationError, Unavailable) as error:
        await _later(job, str(error))
        return
    log.info("had back", extra={"action": "own_words.came", "peer": peer["host"], "reason": f"{came}, {waiting} wait"})
    waited = int(job["payload"]) if job["payload"].isdecimal() else 0
    if waiting and waited < MOST_WAITING:
        await _later(job, "some are about what is not here", waited + 1)
    else:
        await _end(job, "")


async def _of_space(instance: Instance, peering: str, space: Shared) -> tuple[int, int]:
    """How many came back, and how many are about a post that is not here."""
    came = waiting = after = 0
    for _ in range(MOST_PAGES):
        listed = (
            await ask(
                instance, peering, {"space": space.uri, "own": str(after)} if after else {"space": space.uri, "own": ""}
            )
        ).get("parvis:own")
        if not isinstance(listed, list) or len(listed) > AT_ONCE:
            raise Malformed("What our people said cannot be read.", space.uri)
        for entry in listed:
            match entry:
                case [int() as number, dict() as document] if number > after:
                    after = number
                case _:
                    raise Malformed("What our people said cannot be read.", space.uri)
            try:
                came += await _said_again(instance, document, space)
            except NotFound:
                waiting += 1
            except Unavailable:
                raise
            except (DomainError, FederationError) as error:
                log.warning("not had back", extra={"action": "own_words.refused", "reason": str(error)})
        if len(listed) < AT_ONCE:
            return came, waiting
    raise Endless("What our people said has no end.", space.uri)


async def _said_again(instance: Instance, document: dict[str, Any], space: Shared) -> bool:
    """Takes one activity; False when it is known. Raises FederationError when it is not our people's word."""
    said = as_now(activity(document), await moves())
    event_id = _number(said.id, f"{instance.here.base}/activities/")
    if await own_words.is_known(event_id):
        return False
    actor_id = await _proved(said)
    undone = activity(said.object) if said.type == "Undo" and isinstance(said.object, dict) else None
    if said.type in ("Create", "Update"):
        await own_words.published(await _again(instance, said, event_id, actor_id, space))
    elif said.type == "Delete":
        owns_object(said)
        await own_words.withdrawn(actor_id, said.object_id, event_id)
    elif said.type in LIKES:
        if born_ms(event_id) < now_ms() - KEPT_MS:
            return False  # it was taken back, as far as anybody knows: one that stands is known (see `sweeping`)
        await own_words.reacted(actor_id, said.object_id, space.id, emoji_of(said), event_id)
    elif undone is not None and undone.actor == said.actor:
        number = _number(undone.id, f"{instance.here.base}/activities/")
        await own_words.unreacted(actor_id, undone.object_id, space.id, emoji_of(undone), number, event_id)
    return True


async def _proved(said: Activity) -> int:
    """The id of one of our people who proved this. Raises Untrusted."""
    rows = await db.fetch(
        "SELECT a.id, k.uri, k.public FROM actor a JOIN actor_key k ON k.actor_id = a.id AND k.algorithm = 'ed25519'"
        " WHERE a.uri = $1 AND a.peer_id IS NULL AND a.kind = 'person' AND a.gone_at IS NULL",
        said.actor,
    )
    keys = [(row["uri"], said.actor, "multikey", row["public"]) for row in rows]
    if not holds(said.document, said.actor, keys, said.as_came):
        raise Untrusted("It does not carry the proof of one of our people.", said.id)
    return int(rows[0]["id"])


async def _again(instance: Instance, said: Activity, event_id: int, actor_id: int, space: Shared) -> Again:
    incoming = note(said.object)
    owns_note(said, incoming)
    if space.uri not in (incoming.audience, *incoming.to, *incoming.cc):
        raise Refused("That was said elsewhere.", incoming.id)
    named: list[int] = []
    if incoming.mentions:
        query = Clause("SELECT id FROM actor WHERE").join(one_of("uri", incoming.mentions))
        named = [row["id"] for row in await db.fetch(*query.statement())]
    return Again(
        event_id=event_id,
        post_id=_number(incoming.id, f"{instance.here.base}/posts/"),
        uri=incoming.id,
        author_id=actor_id,
        space_id=space.id,
        html=clean(incoming.content),
        published_at=min(incoming.published_at or now_ms(), now_ms()),
        edited_at=incoming.updated_at,
        summary=plain(incoming.summary)[:500],
        language=incoming.language[:16],
        reply_to_uri=incoming.in_reply_to[:512],
        mentioned=named,
        poll=question.asked if (question := poll_in(incoming.document)) else None,
    )


def _number(address: str, prefix: str) -> int:
    """The number that an address of ours ends with. Raises Untrusted."""
    number = address.removeprefix(prefix)
    if address == number or not number.isascii() or not number.isdecimal() or len(number) > 18 or number[0] == "0":
        raise Untrusted("That is no address of ours.", address)
    return int(number)


async def _later(job: dict[str, Any], error: str, waited: int | None = None) -> None:
    """Once more, unless that was so often enough; `waited`: how often for what is not here."""
    ended = now_ms() if job["attempts"] + 1 >= MOST_TRIES else None
    await db.execute(
        "UPDATE job SET attempts = attempts + 1, due_at = $1, error = $2, done_at = $3, payload = $4 WHERE id = $5",
        now_ms() + min(AGAIN_MS * (job["attempts"] + 1), LONGEST_MS),
        error[:500],
        ended,
        job["payload"] if waited is None else str(waited),
        job["id"],
    )


async def _end(job: dict[str, Any], error: str) -> None:
    await db.execute("UPDATE job SET done_at = $1, error = $2 WHERE id = $3", now_ms(), error[:500], job["id"])
