"""What a delivery of a recall or of its receipt says, built from its rows at the moment of sending."""

from typing import Any

import msgspec

from federation.documents.activities import Fact, Message
from federation.documents.recalls import INLINE, Listed, recall, taken_back
from federation.instance import Instance
from federation.signatures.proofs import with_proof
from federation.signing import key_towards
from server import database as db
from server.actions.recalls import TARGET
from server.clock import now_ms
from server.events import Kind
from server.queries.former import formerly
from server.recall_terms import OPEN, RecallScope


async def about_recall(instance: Instance, fact: Fact, event: dict[str, Any], peer_id: int) -> Message | None:
    """None when there is nothing left to tell: the other side has answered meanwhile."""
    if fact.kind is Kind.RECALL_ANSWERED:
        return await _receipt(instance, fact, peer_id)
    if fact.kind is Kind.RECALLED:
        return await _recall(instance, fact, peer_id)
    return await _item(instance, fact, event["post_id"])


async def _item(instance: Instance, fact: Fact, post_id: int) -> Message | None:
    """One post, taken back from a server without a link in the form in which it was told."""
    row = await db.fetch_one(
        "SELECT p.id, p.uri, p.stamp, p.peer_id, a.uri AS author_uri, g.uri AS space_uri, g.followers_uri,"
        " (SELECT MIN(e.id) FROM event e WHERE e.post_id = p.id AND e.kind = 'post_published') AS told"
        " FROM post p JOIN actor a ON a.id = p.author_id JOIN space s ON s.id = p.space_id"
        " JOIN actor g ON g.id = s.actor_id WHERE p.id = $1",
        post_id,
    )
    return taken_back(fact, row, instance.here) if row else None


async def _receipt(instance: Instance, fact: Fact, peer_id: int) -> Message | None:
    """Each time that it is told a new activity: who could make nothing of it takes the same one no second time."""
    row = await db.fetch_one(
        "SELECT receipt FROM purge WHERE id = $1 AND peer_id = $2 AND receipt <> ''", fact.detail("purge"), peer_id
    )
    if row is None:
        return None
    receipt: dict[str, Any] = msgspec.json.decode(row["receipt"])
    return await _proved(instance, receipt | {"id": f"{receipt['id']}/{fact.id}"}, peer_id)


async def _proved(instance: Instance, document: dict[str, Any], peer_id: int) -> Message:
    """With the proof of this instance, by the key that the other side holds."""
    peer = await db.fetch_one("SELECT host FROM peer WHERE id = $1", peer_id)
    key = await key_towards(instance, peer["host"] if peer else "")
    return Message(with_proof(document, key, now_ms()), instance.here.instance)


async def _recall(instance: Instance, fact: Fact, peer_id: int) -> Message | None:
    target = await db.fetch_one(f"{TARGET} WHERE t.id = $1 AND t.peer_id = $2", fact.detail("target"), peer_id)
    if target is None or target["state"] not in OPEN:
        return None
    peer = await db.fetch_one("SELECT base_url FROM peer WHERE id = $1", peer_id)
    scope = RecallScope(target["scope"])
    uris = await items_of(target["id"])
    listed = Listed(
        recall_id=target["recall_id"],
        space_uri=fact.space_uri,
        scope=(RecallScope.SPACE if scope.whole else scope).value,
        items=target["items"],
        root=target["root"],
        up_to=target["created_at"],
        keep=target["keep"],
        deadline_at=target["deadline_at"],
        uris=uris if target["items"] <= INLINE else None,
        formerly=await formerly(uris),
    )
    document = recall(fact, listed, f"{peer['base_url']}/actor" if peer else "", instance.here)
    return await _proved(instance, document, peer_id)


async def items_of(target_id: int) -> list[str]:
    """The whole list of a target."""
    rows = await db.fetch("SELECT uris FROM recall_part WHERE target_id = $1 ORDER BY number", target_id)
    return [uri for row in rows for uri in msgspec.json.decode(row["uris"])]


async def page_of(recall_id: int, peer_id: int, number: int) -> tuple[list[str], bool] | None:
    """One page of what was recalled from an instance, and whether there is another; None when there is no such."""
    rows = await db.fetch(
        "SELECT p.number, p.uris FROM recall_part p JOIN recall_target t ON t.id = p.target_id WHERE t.recall_id = $1"
        " AND t.peer_id = $2 AND p.number IN ($3, CAST($3 AS INTEGER) + 1) ORDER BY p.number",
        recall_id,
        peer_id,
        number,
    )
    if not rows or rows[0]["number"] != number:
        return None
    return msgspec.json.decode(rows[0]["uris"]), len(rows) > 1
