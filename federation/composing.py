"""What one delivery says: the policy asked at this moment, then the document, for this instance.

None means that it may not be told any more, or that there is nothing left to tell: the delivery is skipped, and
its number stays, so the order of the others is whole. Withdrawals are told to whoever was sent the thing: taking
back tells nobody anything new.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from federation.documents.activities import (
    Fact,
    Message,
    about_membership,
    about_moderation,
    between_people,
    by_author,
    changed_actor,
    for_plain,
    gone_person,
    past_opened,
)
from federation.documents.actors import OwnActor, application, group, person
from federation.documents.links import about_link, consent, members_disagree, moved, new_key
from federation.documents.posts import Told, read_told
from federation.instance import Instance
from federation.keyring import key_at, look_again, private_key
from federation.outbox import may_be_told, posts_ahead
from federation.own_actors import own_person
from federation.proving import proved
from federation.recall_messages import about_recall
from federation.relaying import relayed
from federation.signatures.proofs import with_proof
from federation.signing import key_towards
from federation.vocabulary import CONTEXT, newcomers
from server import database as db
from server.actions.link_keys import END_WAITS, SHOWN, held_by
from server.clock import now_ms
from server.errors import NotFound
from server.events import Kind
from server.openness import Level
from server.queries.consent import denies_past
from server.queries.former import our_former
from server.queries.newcomers import newcomers_of
from server.queries.spaces import around, partners
from server.sql import Clause, one_of
from server.viewer import PeerServer

ABOUT_POLLS = frozenset({Kind.VOTED, Kind.TALLIED})
ABOUT_POSTS = ABOUT_POLLS | {
    Kind.POST_PUBLISHED,
    Kind.POST_EDITED,
    Kind.POST_WITHDRAWN,
    Kind.REACTED,
    Kind.REACTION_UNDONE,
}
ABOUT_LINKS = frozenset(
    {
        Kind.LINK_OFFERED,
        Kind.LINK_ACCEPTED,
        Kind.LINK_CONFIRMED,
        Kind.LINK_ENDED,
        Kind.LINK_REKEYED,
        Kind.LINK_MOVED,
    }
)
RECALLS = frozenset({Kind.RECALLED, Kind.ITEM_RECALLED, Kind.RECALL_ANSWERED})
ALWAYS = ABOUT_LINKS | RECALLS
"""What is told whatever became of the link: agreements about it, and what is taken back."""
BETWEEN_PEOPLE = frozenset({Kind.FOLLOW_ASKED, Kind.FOLLOW_UNDONE, Kind.FOLLOW_ACCEPTED, Kind.FOLLOW_REJECTED})
NAMED = ("followed", "follower", "invited", "member", "author")
MODERATION = frozenset({Kind.POST_HELD, Kind.POST_APPROVED, Kind.POST_REFUSED})
MOST_KEPT = 128


@dataclass(frozen=True, slots=True)
class Receiver:
    """The instance that a delivery goes to."""

    peer_id: int
    host: str
    linked: bool


@dataclass(frozen=True, slots=True)
class Sealed:
    """A body ready to be signed by the actor it speaks for."""

    body: bytes
    signer_uri: str


_kept: OrderedDict[tuple[int, int, int], Sealed] = OrderedDict()
_proofs: OrderedDict[tuple[int, int, int], dict[str, Any]] = OrderedDict()
_facts: OrderedDict[int, tuple[Fact, dict[str, Any]]] = OrderedDict()


def forget_sealed() -> None:
    """What was built before somebody moved is built anew."""
    for kept in (_kept, _proofs, _facts):
        kept.clear()


async def compose(instance: Instance, event_id: int, to: Receiver) -> Sealed | None:
    """The body of one delivery, or None when it may not be told, or no more."""
    fact, event = await _fact(event_id)
    if not to.linked and not instance.open and fact.kind not in ALWAYS:
        return None
    if fact.kind in ABOUT_POSTS:
        return await _about_post(instance, fact, event, to)
    if fact.kind in RECALLS:
        message = await about_recall(instance, fact, event, to.peer_id)
    else:
        message = await _about_others(instance, fact, event, to)
    return None if message is None else await _seal(instance, message)


async def _about_post(instance: Instance, fact: Fact, event: dict[str, Any], to: Receiver) -> Sealed | None:
    post = await read_told(event["post_id"])
    if post is None or (post.deleted_at is not None and fact.kind is not Kind.POST_WITHDRAWN):
        return None
    if fact.kind in ABOUT_POLLS and (post.poll is None or await _told_later(fact, event, to)):
        return None
    if post.space_id is None or post.space_peer_id is not None:
        key = (fact.id, post.edited_at or 0, post.deleted_at or 0)
        return _kept.get(key) or await _by_author(instance, fact, post, key)
    reacted = event["actor_id"] if fact.kind in (Kind.REACTED, Kind.REACTION_UNDONE, Kind.TALLIED) else None
    allowed = fact.kind is Kind.POST_WITHDRAWN or await may_be_told(post, to.peer_id, gesture_of=reacted)
    if not allowed:
        return None
    message = await _by_space(instance, fact, post, to)
    return None if message is None else await _seal(instance, message)


async def _told_later(fact: Fact, event: dict[str, Any], to: Receiver) -> bool:
    """Whether a later count of the same poll waits for this receiver: then this one needs no telling."""
    if fact.kind is not Kind.TALLIED:
        return False
    return bool(
        await db.fetch_one(
            "SELECT d.id FROM event e CROSS JOIN delivery d WHERE d.event_id = e.id AND e.post_id = $1 AND e.id > $2"
            " AND e.kind = 'tallied' AND d.peer_id + 0 = $3 AND d.state = 'pending' LIMIT 1",
            event["post_id"],
            fact.id,
            to.peer_id,
        )
    )


async def _by_author(instance: Instance, fact: Fact, post: Told, key: tuple[int, int, int]) -> Sealed:
    """The same for every receiver: made once for as long as the post does not change."""
    sealed = await _seal(instance, by_author(fact, post, instance.here))
    _kept[key] = sealed
    if len(_kept) > MOST_KEPT:
        _kept.popitem(last=False)
    return sealed


async def _by_space(instance: Instance, fact: Fact, post: Told, to: Receiver) -> Message | None:
    if not to.linked:
        return for_plain(fact, post, instance.here)
    message = await relayed(instance, fact, post, to.peer_id)
    if post.proofs and instance.here.is_ours(fact.actor_uri) and message.document["object"]["actor"] == fact.actor_uri:
        message.document["object"] = await _with_own_proof(instance, fact, post, message.document["object"])
    return message


async def _with_own_proof(instance: Instance, fact: Fact, post: Told, inner: dict[str, Any]) -> dict[str, Any]:
    """What one of ours said, with their proof: whoever keeps it can give it back to us, and to nobody else in their
    name. The same for every receiver: made once for as long as the post does not change.
    """
    key = (fact.id, post.edited_at or 0, post.deleted_at or 0)
    known = _proofs.get(key)
    if known is None:
        author = await private_key(instance, fact.actor_uri, "ed25519")
        known = with_proof({"@context": CONTEXT, **inner}, author, now_ms())
        _proofs[key] = known
        if len(_proofs) > MOST_KEPT:
            _proofs.popitem(last=False)
    return known


async def _about_others(instance: Instance, fact: Fact, event: dict[str, Any], to: Receiver) -> Message | None:
    if fact.kind in ABOUT_LINKS:
        return await _about_link(instance, fact, to)
    if fact.kind is Kind.SPACE_CHANGED:
        return await _space_changed(instance, fact, event, to)
    if fact.kind is Kind.CONSENT_CHANGED:
        row = await db.fetch_one("SELECT base_url FROM peer WHERE id = $1", to.peer_id)
        theirs = f"{row['base_url']}/actor" if row else ""
        return consent(fact, theirs, not await denies_past(), instance.here) if row and to.linked else None
    if fact.kind is Kind.MEMBERS_DISAGREE:
        return members_disagree(fact, instance.here)
    if fact.kind is Kind.PERSON_CHANGED:
        return await _person_changed(instance, fact, event, to)
    if fact.kind is Kind.PERSON_ERASED:
        return gone_person(fact, instance.here)
    other = next((fact.detail(name) for name in NAMED if fact.detail(name)), None)
    row = await db.fetch_one("SELECT uri FROM actor WHERE id = $1", other) if other else None
    other_uri = row["uri"] if row else ""
    if fact.kind in MODERATION:
        return about_moderation(fact, other_uri, instance.here)
    if fact.kind in BETWEEN_PEOPLE:
        return between_people(fact, other_uri, instance.here)
    message = about_membership(fact, other_uri, instance.here)
    if fact.kind is Kind.JOIN_ANSWERED and fact.detail("accepted") and to.linked:
        message.document.update(newcomers(await newcomers_of(to.peer_id, to.linked, event["space_id"])))
    return message


async def _about_link(instance: Instance, fact: Fact, to: Receiver) -> Message | None:
    link = await db.fetch_one(
        f"SELECT l.*, q.base_url, CASE WHEN {END_WAITS} THEN 1 ELSE 0 END AS end_waits FROM link l"
        " JOIN peer q ON q.id = l.peer_id WHERE l.peer_id = $1",
        to.peer_id,
    )
    if link is None:
        return None
    look_again(instance)  # and at which key the other side holds, which an agreement begun anew makes the newest
    if fact.kind is Kind.LINK_REKEYED:
        return await _new_key(instance, fact, link)
    if fact.kind is Kind.LINK_MOVED:
        return await _moved(instance, fact, link, to)
    key = await key_towards(instance, to.host)
    return about_link(fact, link, key.public(instance.here.instance).to_multikey(), instance.here)


async def _new_key(instance: Instance, fact: Fact, link: dict[str, Any]) -> Message | None:
    """That our key is another one; None when it was replaced again meanwhile, or nobody there goes by the old one."""
    if link["rekey_event_id"] != fact.id or not (link["state"] in SHOWN or link["end_waits"]):
        return None
    if not await held_by(link["id"]):
        return None
    document = new_key(fact, link, await application(instance), instance.here)
    key = await key_at(instance, fact.detail("key"))
    return Message(with_proof(document, key, now_ms()), instance.here.instance)


async def _moved(instance: Instance, fact: Fact, link: dict[str, Any], to: Receiver) -> Message:
    """That we are at another address, with the proof of the key that the other side holds."""
    document = moved(fact, link, await our_former(), instance.here)
    return Message(with_proof(document, await key_towards(instance, to.host), now_ms()), instance.here.instance)


async def _space_changed(instance: Instance, fact: Fact, event: dict[str, Any], to: Receiver) -> Message | None:
    row = await db.fetch_one(
        "SELECT a.uri, a.name, a.display_name, a.summary, a.created_at, s.level, s.epoch, s.proofs FROM space s"
        " JOIN actor a ON a.id = s.actor_id WHERE s.id = $1 AND s.peer_id IS NULL",
        event["space_id"],
    )
    if row is None:
        return None
    level, epoch, proofs = Level(row.pop("level")), row.pop("epoch"), bool(row.pop("proofs"))
    since = await newcomers_of(to.peer_id, to.linked, event["space_id"])
    document = await group(instance, OwnActor(**row), level, epoch, full=True, proofs=proofs, newcomers_from=since)
    message = changed_actor(fact, document, instance.here, [fact.space_members])
    if to.linked and fact.detail("past") and to.peer_id not in fact.detail("left_out"):
        message.document.update(past_opened(fact, await _others_named(event["space_id"], to)))
    return message


async def _others_named(space_id: int, to: Receiver) -> list[str]:
    """The hosts of the other partners of a space, as far as this one may know them."""
    server = PeerServer(to.peer_id, to.linked)
    space = (await around(server, [space_id]))[space_id]
    return [one.host for one in await partners(server, space) if one.host != to.host]


async def _person_changed(instance: Instance, fact: Fact, event: dict[str, Any], to: Receiver) -> Message | None:
    """What somebody says about themselves now, under the name that this instance may know."""
    row = await db.fetch_one("SELECT name FROM actor WHERE id = $1", event["actor_id"])
    if row is None:
        return None
    try:
        found = await own_person(instance, PeerServer(to.peer_id, to.linked), row["name"])
    except NotFound:
        return None
    document = await person(instance, found.actor, full=True)
    return changed_actor(fact, document, instance.here, [f"{found.actor.uri}/followers"])


async def _fact(event_id: int) -> tuple[Fact, dict[str, Any]]:
    """An event with the addresses of the actors that it names; facts do not change, so a few are kept."""
    known = _facts.get(event_id)
    if known is None:
        await _read_facts([event_id])
        known = _facts.get(event_id)
    if known is None:
        raise LookupError(f"no event {event_id}")
    return known


async def read_ahead(event_ids: Sequence[int]) -> None:
    """Reads together what `compose` needs of the events of one page; within `page_memory.remembering`."""
    await _read_facts([event_id for event_id in event_ids if event_id not in _facts])
    rows = [_facts[event_id][1] for event_id in event_ids if event_id in _facts]
    await posts_ahead({row["post_id"] for row in rows if row["post_id"] is not None})


async def _read_facts(event_ids: Sequence[int]) -> None:
    if not event_ids:
        return
    reading = Clause(
        "SELECT e.*, a.uri AS a_uri, g.uri AS s_uri, g.followers_uri AS s_members FROM event e"
        " LEFT JOIN actor a ON a.id = e.actor_id LEFT JOIN space s ON s.id = e.space_id"
        " LEFT JOIN actor g ON g.id = s.actor_id WHERE"
    )
    for row in await db.fetch(*reading.join(one_of("e.id", event_ids)).statement()):
        _facts[row["id"]] = _as_fact(row), row
    while len(_facts) > MOST_KEPT:
        _facts.popitem(last=False)


def _as_fact(row: dict[str, Any]) -> Fact:
    return Fact(
        id=row["id"],
        kind=Kind(row["kind"]),
        created_at=row["created_at"],
        actor_uri=row["a_uri"] or "",
        space_uri=row["s_uri"] or "",
        space_members=row["s_members"] or "",
        data=msgspec.json.decode(row["data"]),
        original=row["original"],
    )


async def _seal(instance: Instance, message: Message) -> Sealed:
    return Sealed(msgspec.json.encode(await proved(instance, message)), message.signer_uri)
