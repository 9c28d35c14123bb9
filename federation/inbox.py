"""Receive: refuse what need not be read, verify, trust, remember, answer 202.

202 is a promise: the activity is committed, and will take effect once, whatever happens to this process. The
same activity id is remembered for ever, so what comes twice is answered the same and does nothing more. Cheap
refusals come first (method, type, size, blocked host), then the signature, then who may speak for whom; nothing
of a refused activity is kept or logged but its sender and the reason.
"""

import asyncio
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from functools import lru_cache
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from federation import refusals
from federation.errors import FederationError, Malformed, Refused
from federation.handlers.links import new_key
from federation.instance import Instance
from federation.lookup import peer_for, remember
from federation.moving import is_move, moved
from federation.reading import Activity, activity_in, as_now, is_recall
from federation.schedule import MINUTE, State, wake
from federation.trust import VerifiedSender, host_at, same_origin, speaks_for
from federation.verify import SignedRequest, verify
from federation.vocabulary import ACTIVITY_STREAMS, RECEIPT
from server import database as db
from server import live
from server.actions.post_rows import hash_of
from server.clock import now_ms
from server.errors import Unavailable
from server.group_commit import GroupCommit
from server.ids import new_id
from server.limits import DOCUMENT_BYTES
from server.queries.former import left_by, moves
from server.sql import Clause, one_of

log = logging.getLogger("parvis.inbox")

BODY_S = 20.0
"""Seconds within which a whole body has come (R2)."""
TYPES = ("application/activity+json", "application/ld+json")
LONGEST_TYPE = 300
_INBOX = re.compile(r"(?:|/actor|/@[^/]+|/spaces/[^/]+)/inbox")
_KEY_ID = re.compile(r'key[iI]d="([^"\\]{1,500})"')
GATHERING_S = 0.002
"""How long an activity waits for others to share its commit: far less than the commit takes."""
HANDSHAKE = frozenset({"Offer", "Accept", "Reject", "Undo", "parvis:Confirm", RECEIPT})
"""What an instance without an active link may say where only links federate: things about a link, and a recall."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An activity that may speak, as it is remembered."""

    activity_hash: str
    sender: VerifiedSender
    peer_id: int
    body: str


class Inbox:
    """All inboxes of this instance: they differ by address only."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self._group: GroupCommit[Arrival, bool] = GroupCommit(_write, gathering_s=GATHERING_S)

    async def __call__(self, request: Request) -> Response:
        try:
            await self._receive(request)
        except FederationError as error:
            log.info("refused", extra={"action": "inbox.refused", "reason": str(error)})
            return _refusal(error.status, error.sentence)
        except Unavailable as error:
            log.warning("unavailable", extra={"action": "inbox.unavailable", "reason": error.detail})
            return JSONResponse({"error": "Try again later."}, 503, {"retry-after": "30"})
        return Response(status_code=202)

    def takes(self, scope: Scope) -> bool:
        """Whether a request is a delivery to one of our inboxes."""
        return scope["type"] == "http" and scope["method"] == "POST" and _INBOX.fullmatch(scope["path"]) is not None

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The same as a plain ASGI application, past everything that is made for browsers."""
        response = await self(Request(scope, receive))
        await response(scope, receive, send)

    async def _receive(self, request: Request) -> None:
        if not self.instance.federates:
            raise Refused("This instance does not federate.", status=404)
        check_type(request.headers.get("content-type", ""))
        try:
            body = await read_body(request)
        except Malformed as error:
            await refusals.unproved(claimed_host(request.headers), error)
            raise
        signed = signed_request(self.instance, request, body)
        sender = await verify(self.instance, signed)
        try:
            text = as_text(body)
            said = activity_in(text)
            if is_move(said):
                await moved(self.instance, sender, said)
                return
            if not sender.linked and await left_by(sender.host):
                raise Refused("The instance that was at this address has moved.", sender.host)
            known = await moves()
            said = as_now(said, known)
            if await new_key(sender, said):
                return
            admit(self.instance, sender, said)
            addressed(self.instance, request.scope["path"], said)
        except FederationError as error:
            if sender.linked and sender.peer_id is not None:
                await refusals.counted(sender.peer_id, error, "")
            raise
        peer_id = await acquaint(sender)
        await self._group.submit(Arrival(hash_of(known.first(said.id)), sender, peer_id, text))


def check_type(content_type: str) -> None:
    """Raises Malformed (415) unless it is ActivityStreams (O2)."""
    if content_type != TYPES[0] and not _is_activity(content_type[:LONGEST_TYPE]):
        raise Malformed("The content type is not ActivityStreams.", content_type[:80], status=415)


@lru_cache(maxsize=256)
def _is_activity(content_type: str) -> bool:
    message = Message()
    message["content-type"] = content_type.replace("\r", " ").replace("\n", " ")
    kind, profile = message.get_content_type(), str(message.get_param("profile", ""))
    return kind in TYPES and (kind != "application/ld+json" or ACTIVITY_STREAMS in profile.split())


async def read_body(request: Request) -> bytes:
    """The body, bounded while it comes, in size and in time. Raises Malformed (408, 413)."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > DOCUMENT_BYTES:
        raise Malformed("The document is too large.", declared, status=413)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > DOCUMENT_BYTES:
                    raise Malformed("The document is too large.", status=413)
    except (TimeoutError, ClientDisconnect):
        raise Malformed("The document did not come to its end.", status=408) from None
    return bytes(body)


def claimed_host(headers: Mapping[str, str]) -> str:
    """The host whose key a request says that it is signed with; '' when it says none that can be read."""
    named = _KEY_ID.search(f"{headers.get('signature-input', '')} {headers.get('signature', '')}"[:4000])
    try:
        return host_at(named[1]) if named else ""
    except FederationError:
        return ""


def as_text(body: bytes) -> str:
    """Raises Malformed."""
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise Malformed("The document is not UTF-8.", str(error)) from None


def signed_request(instance: Instance, request: Request, body: bytes) -> SignedRequest:
    """The request with its address under our configured base, never the one it names itself (S8)."""
    path = request.scope.get("raw_path") or request.scope["path"].encode()
    query = request.scope.get("query_string", b"")
    url = instance.here.base + path.decode("latin-1") + (f"?{query.decode('latin-1')}" if query else "")
    headers: dict[str, str] = {}
    for name, value in request.scope["headers"]:
        key = name.decode("latin-1").lower()
        headers[key] = f"{headers[key]}, {value.decode('latin-1')}" if key in headers else value.decode("latin-1")
    return SignedRequest(request.method, url, headers, body)


def admit(instance: Instance, sender: VerifiedSender, said: Activity) -> None:
    """Raises unless this sender may say this here at all."""
    speaks_for(sender, said)
    if same_origin(said.actor, instance.here.base):
        raise Refused("Nobody else speaks for our own people.", said.id)
    if sender.handshake and said.type not in HANDSHAKE and not is_recall(said):
        raise Refused("This instance only hears instances that it is linked with.", sender.host)


def addressed(instance: Instance, path: str, said: Activity) -> None:
    """Raises Refused when what comes to the inbox of one space is for another one of ours (O20)."""
    here = instance.here.base + path.removesuffix("/inbox")
    prefix = f"{instance.here.base}/spaces/"
    if here.startswith(prefix) and said.audience.startswith(prefix) and said.audience != here:
        raise Refused("The activity is for another space than this inbox.", said.id)


async def acquaint(sender: VerifiedSender) -> int:
    """Keeps who has something to say that is heard, when it is new; the id of its instance."""
    if sender.met is not None:
        await remember(sender.met)
    return sender.peer_id if sender.peer_id is not None else await peer_for(sender.actor_uri)


async def _write(arrivals: list[Arrival]) -> list[bool]:
    """Remembers a group of arrivals in one commit; says of each whether it was new."""
    now = now_ms()
    rows: list[dict[str, Any]] = [
        {
            "id": new_id(),
            "activity_hash": arrival.activity_hash,
            "peer_id": arrival.peer_id,
            "sender_uri": arrival.sender.key_id,
            "linked": arrival.sender.linked,
            "body": arrival.body,
            "received_at": now,
        }
        for arrival in arrivals
    ]
    async with db.transaction():
        await db.insert_many("receipt", rows, ignore=True)
        await wake_resting({arrival.peer_id for arrival in arrivals}, now)
        db.after_commit(_told)
    return [True] * len(arrivals)


async def wake_resting(peer_ids: set[int], now: int) -> None:
    """Notes who was heard, and a word from a resting instance brings one attempt forward: both at most once a minute
    (mastodon#31118).

    A word within that minute counts at its end: whoever says one thing and is silent then is still heard.
    """
    known = Clause("SELECT id, state, due_at, rest_until_at, last_heard_at FROM peer WHERE").join(
        one_of("id", sorted(peer_ids))
    )
    for row in await db.fetch(*known.then("ORDER BY id").statement()):
        state = State(row["state"])
        if state is State.OK:
            if (row["last_heard_at"] or 0) <= now - MINUTE:
                await db.execute("UPDATE peer SET last_heard_at = $1 WHERE id = $2", now, row["id"])
            continue
        before = None if state is State.ARCHIVED else row["due_at"]
        due = wake(state, before, now, row["last_heard_at"] or 0, row["rest_until_at"])
        if due == row["due_at"] and state is not State.ARCHIVED:
            continue
        await db.execute(
            "UPDATE peer SET due_at = $1, last_heard_at = $1, state = $2 WHERE id = $3",
            due if due is not None else now,
            (State.BACKOFF if state is State.ARCHIVED else state).value,
            row["id"],
        )


def _told() -> None:
    live.publish(live.Fact("receipt"))


def _refusal(status: int, sentence: str) -> Response:
    return Response(msgspec.json.encode({"error": sentence}), status, media_type="application/json")
