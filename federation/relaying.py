"""What the host of a space adds around an activity that it relays: all that a receiver needs, and asks nobody else for.

The epoch of the policy; the digest of the receiver's own members; where a copy of the item and of what it answers can
be had from the host; where the host keeps the files; how a poll stands for the receiver; and, for somebody of a third
instance, a passport: who that is and with which keys they prove what they say, signed by the host, so that nobody
contacts the author's instance (RR5).
"""

import hashlib
from collections import OrderedDict
from typing import Any

import msgspec

from federation.documents.activities import Fact, Message, by_space, question
from federation.documents.posts import Told
from federation.instance import Instance
from federation.keyring import instance_key
from federation.page_memory import once
from federation.roots import root_of
from federation.signatures.proofs import with_proof
from federation.vocabulary import CONTEXT, moment
from server import database as db
from server.clock import now_ms
from server.queries.former import formerly
from server.viewer import peer_side

VALID_MS = 30 * 24 * 3_600_000
"""How long a passport holds, in milliseconds; it goes with every relay, so the newest one is never old."""
RENEW_MS = 24 * 3_600_000
MOST_KEPT = 512
MOST_NAMED = 200
"""Members that a relay names; of more, the digest alone stands."""

_passports: OrderedDict[tuple[str, str], tuple[int, dict[str, Any]]] = OrderedDict()


async def members_there(space_id: int | None, peer_id: int) -> list[str]:
    """The members of a space at one instance, by address."""
    rows = await db.fetch(
        "SELECT a.uri FROM membership m JOIN actor a ON a.id = m.actor_id WHERE m.space_id = $1 AND m.peer_id = $2"
        " AND m.state = 'member' AND COALESCE(m.until_at, $3) >= $3 AND a.suspended_at IS NULL AND a.gone_at IS NULL"
        " ORDER BY a.id",
        space_id,
        peer_id,
        now_ms(),
    )
    return [row["uri"] for row in rows]


async def envelope(instance: Instance, post: Told, peer_id: int, members: list[str]) -> dict[str, Any]:
    """The properties that a relay of this post to this instance carries beside the activity."""
    here = instance.here
    row = await once(
        ("epoch", post.space_id), lambda: db.fetch_one("SELECT epoch FROM space WHERE id = $1", post.space_id)
    )
    around: dict[str, Any] = {
        "parvis:policyEpoch": row["epoch"] if row else 0,
        "parvis:membersRoot": root_of(members),
        "parvis:membersCount": len(members),
        "parvis:replica": f"{here.post(post.id)}/replica",
        "parvis:published": moment(post.published_at),
    }
    if post.reply_to_uri:
        parent = await db.fetch_one(
            "SELECT id FROM post WHERE uri = $1 AND space_id = $2 AND deleted_at IS NULL",
            post.reply_to_uri,
            post.space_id,
        )
        if parent is not None:
            around["parvis:parent"] = f"{here.post(parent['id'])}/replica"
    if former := await once(("formerly", post.id), lambda: formerly((post.uri, post.reply_to_uri or ""))):
        around["parvis:formerly"] = former
    if post.poll is not None:
        around["parvis:tally"] = question(post, peer_side(peer_id))
    if post.author_peer_id is None:
        return around
    media = {file["source_uri"]: here.media(file["id"], file["name"]) for file in post.files if file["source_uri"]}
    if media:
        around["parvis:media"] = [{"url": url, "parvis:replica": copy} for url, copy in media.items()]
    return around


async def relayed(instance: Instance, fact: Fact, post: Told, peer_id: int) -> Message:
    """A fact about a post in a space of ours, as the space tells it to one linked instance."""
    members = await once(("members", post.space_id, peer_id), lambda: members_there(post.space_id, peer_id))
    around = await envelope(instance, post, peer_id, members)
    if fact.original and not instance.here.is_ours(fact.actor_uri) and await _is_third(fact.actor_uri, peer_id):
        card = await once(("passport", fact.actor_uri), lambda: passport(instance, fact.actor_uri))
        if card is not None:
            around["parvis:passport"] = card
    return by_space(
        fact, post, instance.here, members if len(members) <= MOST_NAMED else [], around, peer_side(peer_id)
    )


async def _is_third(actor_uri: str, peer_id: int) -> bool:
    row = await once(("peer", actor_uri), lambda: db.fetch_one("SELECT peer_id FROM actor WHERE uri = $1", actor_uri))
    return row is not None and row["peer_id"] is not None and row["peer_id"] != peer_id


async def passport(instance: Instance, actor_uri: str) -> dict[str, Any] | None:
    """The signed card of somebody elsewhere; None when their keys are not known."""
    row = await db.fetch_one(
        "SELECT a.uri, a.name, a.display_name, a.keys, q.host, q.title FROM actor a JOIN peer q ON q.id = a.peer_id"
        " WHERE a.uri = $1 AND a.gone_at IS NULL",
        actor_uri,
    )
    if row is None:
        return None
    key = await instance_key(instance)
    now, mark = now_ms(), hashlib.sha256(f"{key.key_id}\n{row}".encode()).hexdigest()
    made_at, card = _passports.get((instance.here.base, mark), (0, {}))
    if now - made_at < RENEW_MS:
        return card
    keys = msgspec.json.decode(row["keys"], type=list[tuple[str, str, str, str]])
    card = {
        "@context": CONTEXT,
        "type": "parvis:Passport",
        "id": row["uri"],
        "attributedTo": instance.here.instance,
        "preferredUsername": row["name"],
        "name": row["display_name"] or row["name"],
        "parvis:organisation": row["title"] or row["host"],
        "assertionMethod": [
            {"id": uri, "type": "Multikey", "controller": owner, "publicKeyMultibase": value}
            for uri, owner, kind, value in keys
            if kind == "multikey"
        ],
        "parvis:validUntil": moment(now + VALID_MS),
    }
    card = with_proof(card, key, now)
    _passports[instance.here.base, mark] = now, card
    if len(_passports) > MOST_KEPT:
        _passports.popitem(last=False)
    return card
