"""What a thread lacks is asked of the space's host, and of nobody else (RR5).

A relay that answers something we do not hold names where its host keeps a copy of that. The copy comes as the relay
that we missed and is taken as such, by the same rules; then the answer finds its place. So many an hour of one host,
because what is asked for can itself answer something else.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import msgspec

from federation.answers import RefusedThere
from federation.errors import FederationError, Unreachable
from federation.handlers.call import Call
from federation.instance import Instance
from federation.membership_wishes import wait_for_link
from federation.patience import SHOWN_TO_PARTNERS, link_with
from federation.reading import activity_in, as_now, identifier
from federation.signing import manner_towards, sign_as_instance
from federation.trust import host_at, same_origin
from server import database as db
from server import live
from server.actions.post_rows import hash_of
from server.clock import now_ms
from server.ids import new_id
from server.openness import LinkState
from server.queries.former import moves

KIND = "replica"
HOUR_MS = 3_600_000
MOST_PER_HOUR = 500
MOST_TRIES = 16
"""For most of a day: as long as a partner may be away, or its link be stopped on its side."""
REFUSED_WAITS_MS = (60_000, 3_600_000, 86_400_000, 7 * 86_400_000)
"""When it is asked again for what it did not show: mostly that is of a past which is not for us; or the link is stopped
on that side.
"""
FIRST_WAIT_MS = 1_000
MOST_HOSTS = 1_000

_hours: OrderedDict[str, "_Hour"] = OrderedDict()


@dataclass(slots=True)
class _Hour:
    began_at: int
    asked: int = 0


async def wanted(call: Call, post_id: int) -> None:
    """In the transaction of the answer: what it answers is to be had from the host, if the host says where."""
    address = identifier(call.said.document.get("parvis:parent"))
    if not address or not same_origin(address, call.said.actor) or not call.linked:
        return
    now = now_ms()
    row = {"id": new_id(), "kind": KIND, "key": f"{post_id}", "due_at": now, "created_at": now}
    payload = {"url": address, "space": call.said.actor, "peer": call.peer_id}
    await db.insert_many("job", [{**row, "payload": msgspec.json.encode(payload).decode()}], ignore=True)


async def seek(instance: Instance, job: dict[str, Any]) -> None:
    """One step of such a job: done when the answer has its place, or when there is nothing to be had."""
    post = await db.fetch_one(
        "SELECT id, reply_to_uri, space_id FROM post WHERE id = $1 AND deleted_at IS NULL", int(job["key"])
    )
    if post is None or job["attempts"] >= MOST_TRIES:
        await _end(job["id"], "not to be had" if post else "no longer wanted")
        return
    if await _placed(post):
        await _end(job["id"], "")
        return
    payload = msgspec.json.decode(job["payload"])
    link = await link_with(host_at(payload["url"]))
    if link is not None and link["state"] != LinkState.ACTIVE:
        await wait_for_link(job["id"])
        return
    try:
        if job["attempts"] == 0 or job["error"]:
            await _ask(instance, payload)
        await _later(job, "")
    except Unreachable as error:
        await _later(job, str(error))
    except FederationError as error:
        refused = int(payload.get("refused", 0))
        shown_later = isinstance(error, RefusedThere) and error.answered in SHOWN_TO_PARTNERS
        if shown_later and refused < len(REFUSED_WAITS_MS):
            await _later(job, str(error), {**payload, "refused": refused + 1})
        else:
            await _end(job["id"], str(error))


async def _placed(post: dict[str, Any]) -> bool:
    """Whether what this answers is here now; if so the answer stands under it."""
    parent = await db.fetch_one(
        "SELECT id, root_id FROM post WHERE uri = $1 AND space_id = $2", post["reply_to_uri"], post["space_id"]
    )
    if parent is None:
        return False
    root = parent["root_id"] or parent["id"]
    async with db.transaction():
        await db.execute(
            "UPDATE post SET reply_to_id = $1, root_id = $2 WHERE id = $3 AND reply_to_id IS NULL",
            parent["id"],
            root,
            post["id"],
        )
        await db.execute("UPDATE post SET root_id = $1 WHERE root_id = $2", root, post["id"])
    return True


async def _ask(instance: Instance, payload: dict[str, Any]) -> None:
    """Fetches the relay from the host and puts it among what was received."""
    url = payload["url"]
    manner = await manner_towards(host_at(url))
    if not manner.linked or not _may_ask(host_at(url)):
        raise Unreachable("The host is not asked now.", host_at(url))
    answer = await instance.transport.get_json(url, sign=await sign_as_instance(instance, manner))
    body = answer.body.decode()
    known = await moves()
    said = as_now(activity_in(body), known)
    if said.type != "Announce" or said.actor != payload["space"] or not same_origin(answer.final_url, said.actor):
        raise FederationError("The host has another answer than its relay.", url)
    row = {"id": new_id(), "activity_hash": hash_of(known.first(said.id)), "peer_id": payload["peer"]}
    more = {"seq": 0, "sender_uri": url[:512], "linked": True, "body": body, "received_at": now_ms()}
    await db.insert_many("receipt", [{**row, **more}], ignore=True)
    live.publish(live.Fact("receipt"))


def _may_ask(host: str) -> bool:
    now = now_ms()
    hour = _hours.get(host)
    if hour is None or now - hour.began_at > HOUR_MS:
        hour = _hours[host] = _Hour(now)
    if len(_hours) > MOST_HOSTS:
        _hours.popitem(last=False)
    hour.asked += 1
    return hour.asked <= MOST_PER_HOUR


async def _later(job: dict[str, Any], error: str, refused: dict[str, Any] | None = None) -> None:
    """Asks again, twice as long after the time before; where it was `refused` (what is kept of the job then), when that
    is due.
    """
    wait = FIRST_WAIT_MS << job["attempts"] if refused is None else REFUSED_WAITS_MS[refused["refused"] - 1]
    await db.execute(
        "UPDATE job SET attempts = attempts + $1, due_at = $2, error = $3, payload = $4 WHERE id = $5",
        0 if refused is not None else 1,
        now_ms() + wait,
        error[:500],
        job["payload"] if refused is None else msgspec.json.encode(refused).decode(),
        job["id"],
    )


async def _end(job_id: int, error: str) -> None:
    await db.execute("UPDATE job SET done_at = $1, error = $2 WHERE id = $3", now_ms(), error[:500], job_id)
