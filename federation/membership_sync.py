"""Who of ours is in a space elsewhere, compared with what its host says, on every relay and once a day.

A relay carries the digest of our members as its host counts them. When ours differs, the host's whole list of our
people is fetched (all its pages, of one epoch, without repetition) and compared once more: nobody is removed unless the
list agrees with the digest that was announced, or with itself when asked again (mastodon#34272, #34273). Then all of
it happens in one transaction, removals first. Who is not named by a relay that names everybody reads nothing
meanwhile. Two instances that cannot agree within ten minutes: nobody here reads that space until they do, and the
administrators of both are told. Nor while its host shows no list at all.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from federation.answers import RefusedThere
from federation.errors import FederationError, Malformed, Refused, Unreachable
from federation.handlers.call import Call
from federation.instance import Instance
from federation.json_reading import parse_json
from federation.membership_wishes import AGAIN_MS, wait_for_link, wish
from federation.page_memory import forget, once
from federation.patience import hears_us
from federation.reading import identifier, many, moment
from federation.roots import root_of
from federation.signing import manner_towards, sign_as_instance
from federation.trust import host_at, same_origin
from server import database as db
from server.actions import membership_lists
from server.actions.link_rows import STANDS
from server.actions.membership_lists import Listed
from server.actions.newcomers import told_from
from server.clock import now_ms
from server.openness import LinkState
from server.queries import spaces
from server.queries.clocks import time_at

DAY_MS = 24 * 3_600_000
MOST_PAGES = 500
MOST_MEMBERS = 20_000
MOST_TRIES = 20
NOT_SHOWN_TRIES = 4
"""Within a minute, and more than a restart takes."""
HIDDEN_AGAIN_MS = 15 * 60_000
"""How soon a list that is not shown is asked for again; a word of its host brings it forward."""


async def compare_members(call: Call, space: spaces.SeenSpace) -> None:
    """In the transaction of a relay: what its host counts, beside what we count."""
    told = call.said.document.get("parvis:membersRoot")
    if not isinstance(told, str) or len(told) != 64:
        return
    ours, root = await once(("members", space.id), lambda: _ours(space.id))
    if root == told and not any(member.frozen for member in ours):
        return
    named = {uri for uri in (*call.said.to, *call.said.cc) if call.instance.here.is_ours(uri)}
    if call.said.document.get("parvis:membersCount") == len(named):
        await membership_lists.freeze(space.id, [m.actor_id for m in ours if m.uri not in named])
        forget()
    await wish(space.id, told)


async def _ours(space_id: int) -> tuple[list[membership_lists.Here], str]:
    """Our members and the digest of their list."""
    ours = await membership_lists.members_here(space_id)
    return ours, root_of(member.uri for member in ours)


async def wish_daily() -> int:
    """Every space elsewhere with members here is compared once a day; returns how many are now to be."""
    rows = await db.fetch(
        "SELECT s.id FROM space s JOIN link l ON l.peer_id = s.peer_id AND l.state = 'active'"
        " WHERE (s.checked_at IS NULL OR s.checked_at < $1) AND EXISTS (SELECT 1 FROM membership m"
        " WHERE m.space_id = s.id AND m.peer_id IS NULL AND m.state IN ('member', 'frozen')) ORDER BY s.id LIMIT 100",
        now_ms() - DAY_MS,
    )
    for row in rows:
        async with db.transaction():
            await wish(row["id"])
            await db.execute("UPDATE space SET checked_at = $1 WHERE id = $2", now_ms(), row["id"])
    return len(rows)


async def compare(instance: Instance, job: dict[str, Any]) -> None:
    """One such comparison: done, or to be tried again."""
    space = await db.fetch_one(
        "SELECT s.id, s.peer_id, g.uri, g.followers_uri, l.state FROM space s JOIN actor g ON g.id = s.actor_id"
        f" JOIN link l ON l.peer_id = s.peer_id AND {STANDS} WHERE s.id = $1",
        int(job["key"]),
    )
    if space is None or not space["followers_uri"]:
        await _end(job, "no host to ask")
        return
    if space["state"] != LinkState.ACTIVE:
        await wait_for_link(job["id"])
        return
    payload = msgspec.json.decode(job["payload"])
    began_at = await time_at(space["peer_id"])
    try:
        told = await _fetch_list(instance, space["followers_uri"], space["uri"])
    except Unreachable as error:
        await _later(job, payload, str(error))
        return
    except FederationError as error:
        if isinstance(error, RefusedThere) and error.answered == 404:
            await _not_shown(space, job, payload, began_at, str(error))
        else:
            await _later(job, payload, str(error))
        return
    listed = told.listed
    root = root_of(listed)
    agreed = await membership_lists.agreed(space["id"], listed)
    if not agreed and root not in (payload["told"], payload["before"]):
        await _later(job, {**payload, "before": root}, "the list is not the one that was announced")
        return
    async with db.transaction():
        settled = await membership_lists.apply(space["id"], listed, began_at)
        await told_from(space["id"], told.newcomers_from, told.epoch)
        if settled:
            await _end(job, "")
        else:
            await _later(job, {**payload, "before": root}, "the lists still differ")


async def _not_shown(
    space: dict[str, Any], job: dict[str, Any], payload: dict[str, Any], began_at: int, error: str
) -> None:
    """A host that has nobody of ours in shows no list: to such an instance the space is not there (404).

    It is also what a server answers while it is set up anew, or to whom its link stands still. So once it lasts, nobody
    here reads the space, and who was in is in again as soon as the list is shown; after a day in which it heard us they
    are out.
    """
    since = payload.get("hidden") or now_ms()
    if not await hears_us(space["peer_id"], since):
        since = now_ms()
    payload = {**payload, "hidden": since}
    if not await membership_lists.members_here(space["id"]):
        await _end(job, "")
    elif now_ms() - since >= DAY_MS:
        async with db.transaction():
            await membership_lists.apply(space["id"], {}, began_at)
            await _end(job, "")
    elif job["attempts"] < NOT_SHOWN_TRIES or "hidden" not in job["payload"]:  # who found nobody says nothing of it
        await _later(job, payload, error)
    else:
        async with db.transaction():
            await membership_lists.hide(space["id"])
            await db.execute(
                "UPDATE job SET due_at = $1, error = $2, payload = $3 WHERE id = $4",
                now_ms() + HIDDEN_AGAIN_MS,
                error[:500],
                msgspec.json.encode(payload).decode(),
                job["id"],
            )


@dataclass(frozen=True, slots=True)
class _Told:
    """What a host tells of who is in: with which of its policies, and how much of its past is for newcomers."""

    listed: Listed
    epoch: int
    newcomers_from: int | None


async def _fetch_list(instance: Instance, members_uri: str, space_uri: str) -> _Told:
    """Our people, as the host counts them: every page. Raises FederationError for a list that is not whole."""
    if not same_origin(members_uri, space_uri):
        raise Refused("The list of members is of another origin than the space.", members_uri)
    reader = _Reader(instance, members_uri, f"{members_uri}?host={instance.here.host}")
    return await reader.read()


@dataclass(slots=True)
class _Reader:
    instance: Instance
    members_uri: str
    address: str

    async def read(self) -> _Told:
        whole = await self._get(self.address)
        total, epoch = whole.get("totalItems"), whole.get("parvis:policyEpoch")
        found: list[str] = []
        since: Listed = {}
        newcomers: int | None = None
        at, pages = identifier(whole.get("first")), 0
        while at:
            page = await self._get(at)
            if identifier(page.get("partOf")) != self.address or page.get("parvis:policyEpoch") != epoch:
                raise Malformed("The pages of the list are not of one list, or not of one moment.")
            told = [self._ours(item) for item in many(page.get("orderedItems"))]
            dates = page.get("parvis:since")
            since |= {uri: moment(dates.get(uri)) if isinstance(dates, dict) else None for uri in told}
            newcomers = moment(page.get("parvis:newcomersFrom"))
            found += told
            at, pages = identifier(page.get("next")), pages + 1
            if pages > MOST_PAGES or len(found) > MOST_MEMBERS:
                raise Malformed("The list is too long.")
        if len(set(found)) != len(found):
            raise Malformed("Somebody stands in the list twice.")
        if type(total) is int and total != len(found):
            raise Malformed("The list is shorter or longer than it says.")
        return _Told(since, min(epoch, 1 << 53) if type(epoch) is int else 0, newcomers)

    def _ours(self, item: Any) -> str:
        uri = identifier(item)
        if not self.instance.here.is_ours(uri):
            raise Refused("The list names somebody who is not ours.", uri, rule="I8")
        return uri

    async def _get(self, address: str) -> dict[str, Any]:
        if not same_origin(address, self.members_uri):
            raise Refused("The list goes on at another origin.", address)
        manner = await manner_towards(host_at(address))
        if not manner.linked:
            raise Unreachable("The link is not active.", address)
        sign = await sign_as_instance(self.instance, manner)
        answer = await self.instance.transport.get_json(address, sign=sign)
        return parse_json(answer.body)


async def _later(job: dict[str, Any], payload: dict[str, Any], error: str) -> None:
    ended = now_ms() if job["attempts"] + 1 >= MOST_TRIES else None
    await db.execute(
        "UPDATE job SET attempts = attempts + 1, due_at = $1, error = $2, payload = $3, done_at = $4 WHERE id = $5",
        now_ms() + AGAIN_MS * (job["attempts"] + 1),
        error[:500],
        msgspec.json.encode(payload).decode(),
        ended,
        job["id"],
    )


async def _end(job: dict[str, Any], error: str) -> None:
    """It is done, or begins again when it was wished once more since it was taken up."""
    await db.execute(
        "UPDATE job SET error = $1, attempts = 0, due_at = $2, done_at = CASE WHEN created_at > $3 THEN NULL"
        " ELSE CAST($4 AS BIGINT) END WHERE id = $5",
        error[:500],
        now_ms() + AGAIN_MS,
        job["created_at"],
        now_ms(),
        job["id"],
    )
