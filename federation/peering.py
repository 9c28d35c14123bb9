"""`POST /peering`: where a linked instance's stream arrives, a page at a time.

202 is a promise, as at an inbox: everything up to `acked` is committed, each activity once, by its id. A page that
does not follow what is here is answered 409 with the number that is wanted. One bad event fails alone: it is kept
with its reason, the number counts, and the reason is told in a later answer.
"""

import logging
from collections import OrderedDict
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from federation import refusals
from federation.errors import FederationError, Malformed, Refused, Untrusted
from federation.inbox import as_text, check_type, read_body, signed_request, wake_resting
from federation.instance import Instance
from federation.membership_wishes import wish
from federation.pages import TARGETS, Heard, IncomingPage, Item, Missing, read_page
from federation.reading import activity_in, as_now
from federation.signatures.structured import read_dictionary
from federation.signing import LINK_TAG
from federation.streams import heard, heard_of, locked
from federation.trust import VerifiedSender, same_origin
from federation.verify import verify
from server import database as db
from server import live
from server.actions.post_rows import hash_of
from server.clock import now_ms
from server.errors import Unavailable
from server.ids import new_id
from server.queries.former import Moves, moves_until_the_end
from server.sql import Clause, one_of
from server.verdicts import code_of

log = logging.getLogger("parvis.peering")

PATH = "/peering"
LONGEST_LIFE_S = 300
MOST_NONCES = 10_000
NONCES_KEPT_MS = 600_000


class Peering:
    """The one address at which linked instances deliver."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self._nonces: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def __call__(self, request: Request) -> Response:
        try:
            return await self._receive(request)
        except FederationError as error:
            log.info("refused", extra={"action": "peering.refused", "reason": str(error)})
            return _json({"error": error.sentence, "code": code_of(error)}, error.status)
        except Unavailable as error:
            log.warning("unavailable", extra={"action": "peering.unavailable", "reason": error.detail})
            return _json({"error": "Try again later.", "code": "unavailable"}, 503, {"retry-after": "5"})

    async def _receive(self, request: Request) -> Response:
        if not self.instance.federates:
            raise Refused("This instance does not federate.", status=404)
        check_type(request.headers.get("content-type", ""))
        body = await read_body(request)
        as_text(body)
        sender = await verify(self.instance, signed_request(self.instance, request, body))
        if not sender.linked or sender.peer_id is None:
            raise Refused("This instance takes streams from instances that it is linked with.", sender.host)
        try:
            self._fresh(sender, request.headers.get("signature-input", ""))
            page = read_page(body)
        except FederationError as error:
            await refusals.counted(sender.peer_id, error, "")
            raise
        answer = await take(self.instance, sender, page)
        return _json(answer, 409 if isinstance(answer, Missing) else 202)

    def _fresh(self, sender: VerifiedSender, signature_input: str) -> None:
        """The link's own profile of RFC 9421: for this purpose, for five minutes, once. Raises Untrusted."""
        signatures = list(read_dictionary(signature_input, "Signature-Input").values())
        if len(signatures) != 1:  # a second one could say of the first what that one does not
            raise Untrusted("A page carries one signature, of RFC 9421.")
        parameters = signatures[0][1]
        created, expires = parameters.get("created"), parameters.get("expires")
        if parameters.get("tag") != LINK_TAG:
            raise Untrusted("The signature is made for another purpose.")
        if type(created) is not int or type(expires) is not int or expires - created > LONGEST_LIFE_S:
            raise Untrusted("The signature must expire within 300 seconds.")
        nonce = parameters.get("nonce")
        if not isinstance(nonce, str) or not nonce:
            raise Untrusted("The signature must carry a nonce.")
        now, said = now_ms(), (sender.key_id, nonce)
        while self._nonces and (
            len(self._nonces) >= MOST_NONCES or next(iter(self._nonces.values())) < now - NONCES_KEPT_MS
        ):
            self._nonces.popitem(last=False)
        if said in self._nonces:
            raise Untrusted("That was said before.", nonce[:64])
        self._nonces[said] = now


async def take(instance: Instance, sender: VerifiedSender, page: IncomingPage) -> Heard | Missing:
    """Keeps a page, in one commit with how far the stream came; what is missing, when it does not follow."""
    peer_id = sender.peer_id
    assert peer_id is not None
    async with db.transaction():
        row = await locked(peer_id)
        now = now_ms()
        await wake_resting({peer_id}, now)
        went_back = not await heard(peer_id, page.heard)
        if page.generation != row["their_generation"]:
            if page.start != 1:
                return Missing(1 if row["their_generation"] else row["got"] + 1, row["their_generation"])
            row = await _new_generation(row, page.generation)
        if page.start > row["got"] + 1:
            return Missing(row["got"] + 1, row["their_generation"])
        refused: list[FederationError] = []
        known = await moves_until_the_end()
        receipts = [
            _receipt(instance, sender, item, page.generation, now, refused, known) for item in page.items if item.body
        ]
        for error in refused:
            await refusals.counted(peer_id, error, error.detail)
        fresh = [receipt for receipt in receipts if receipt["seq"] > row["got"]]
        if await _strange([receipt for receipt in receipts if receipt["seq"] <= row["got"]]):
            return Missing(0, row["their_generation"])  # their database went back: with new numbers nothing is lost
        await db.insert_many("receipt", fresh, ignore=True)
        row["got"] = max(row["got"], page.start + len(page.items) - 1)
        row["told"] = max(row["told"], min(page.settled, row["got"]))
        await db.execute("UPDATE stream SET got = $1, told = $2 WHERE peer_id = $3", row["got"], row["told"], peer_id)
        if went_back:
            log.warning("our own database went back", extra={"action": "stream.went_back", "peer": sender.host})
        db.after_commit(lambda: live.publish(live.Fact("receipt")))
        return await heard_of(row)


async def _strange(late: list[dict[str, Any]]) -> bool:
    """Whether a number that came before comes now with something else."""
    if not late:
        return False
    known = Clause("SELECT COUNT(*) AS n FROM receipt WHERE").join(
        one_of("activity_hash", [receipt["activity_hash"] for receipt in late])
    )
    found = await db.fetch_one(*known.statement())
    return found is None or found["n"] < len({receipt["activity_hash"] for receipt in late})


async def _new_generation(row: dict[str, Any], generation: str) -> dict[str, Any]:
    """Their numbers begin again: what came before keeps its effects, and both sides compare what they hold.

    Their database may have gone back, and the numbers of their policies with it: those that they tell now count, and
    their lists of members are fetched.
    """
    again = bool(row["their_generation"])
    if again:
        for space in await db.fetch("UPDATE space SET epoch = 0 WHERE peer_id = $1 RETURNING id", row["peer_id"]):
            await wish(space["id"])
    await db.execute(  # what waits is still of a stream, by the number that nothing else has
        "UPDATE receipt SET seq = CASE WHEN processed_at IS NULL THEN 0 END WHERE peer_id = $1 AND seq IS NOT NULL",
        row["peer_id"],
    )
    changed = await db.fetch(
        "UPDATE stream SET their_generation = $1, got = 0, told = 0,"
        " resync_at = COALESCE(CAST($2 AS BIGINT), resync_at) WHERE peer_id = $3 RETURNING *",
        generation,
        now_ms() if again else None,
        row["peer_id"],
    )
    return changed[0]


def _receipt(
    instance: Instance,
    sender: VerifiedSender,
    item: Item,
    generation: str,
    now: int,
    refused: list[FederationError],
    known: Moves,
) -> dict[str, Any]:
    """The row of an event; one that may not speak here is over at once, and its error is put to `refused`."""
    row: dict[str, Any] = {
        "id": new_id(),
        "peer_id": sender.peer_id,
        "seq": item.seq,
        "sender_uri": sender.key_id,
        "linked": True,
        "received_at": now,
    }
    try:
        identifier = known.first(_admitted(instance, sender, item, known))
        said: dict[str, Any] = {"body": item.body, "outcome": "", "code": "", "processed_at": None}
    except FederationError as error:
        log.info("refused", extra={"action": "peering.event_refused", "peer": sender.host, "reason": str(error)})
        refused.append(error)
        identifier = f"{sender.host} {generation} {item.seq}"
        said = {"body": "", "outcome": str(error)[:500], "code": code_of(error), "processed_at": now}
    return {**row, **said, "activity_hash": hash_of(identifier)}


def _admitted(instance: Instance, sender: VerifiedSender, item: Item, known: Moves) -> str:
    """The id of an activity that may speak here. Raises FederationError."""
    said = as_now(activity_in(item.body), known)
    if not same_origin(said.id, said.actor):
        raise Untrusted("The activity's id is not of its actor's origin.", said.id)
    if not same_origin(said.actor, sender.actor_uri):
        raise Untrusted("A link speaks for the people of its own instance.", said.actor)
    if not item.targets or len(item.targets) > TARGETS:
        raise Malformed("An event names its recipients, and not too many.", said.id)
    if not all(instance.here.is_ours(known.now(target)) for target in item.targets):
        raise Refused("An event is for recipients of this instance.", said.id)
    return said.id


def _json(value: Any, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")
