"""How open a space is, over our own API: read it, see what a change would do, make it."""

import re
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.responses import Response

from server import plan_words, policy_words
from server.actions import openness, plans
from server.actions.openness import Done, Door, How, Outcome
from server.errors import Conflict, Forbidden, Invalid
from server.openness import AfterClose, Audience, History, Identity, Level, PartnerView, Reach
from server.policy import Act
from server.policy_words import spoken
from server.queries import declared, policies, spaces
from server.queries.spaces import SeenSpace
from server.refusals import N_
from server.rights import NARROWABLE, taken
from server.space_policy import (
    CUSTODY_CHARACTERS,
    MOST_PARTNERS,
    TEXT_CHARACTERS,
    PartnerTerms,
    SpacePolicy,
    altered,
    to_json,
)
from server.viewer import Employee
from web.api.bodies import Body, decode
from web.api.calls import Call, json
from web.api.fields import read_body
from web.api.operations import Operation
from web.api.present import Shape, moment
from web.errors import ManagedByFile, NeedsVersion, VersionMoved
from web.locale import Speech
from web.pages.showing.frame import speech_for

NOT_A_VERSION = N_('« If-Match » porte le numéro d’une version, comme "12".')
MOMENTS = ("opens_at", "closes_at")
_VERSION = re.compile(r'"([0-9]{1,18})"|([0-9]{1,18})')

Right = StrEnum("Right", {name: name for name in NARROWABLE})  # type: ignore[misc]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Moment = Annotated[datetime, Meta(tz=True)]
Host = Annotated[str, Meta(max_length=255)]
Name = Annotated[str, Meta(max_length=64)]
Taken = dict[Right, Annotated[int, Meta(ge=0, le=4)]]


class TermsBody(Body, frozen=True):
    """What a space grants to one partner."""

    reach: Annotated[str, Meta(pattern="^(invited|everyone)?$")] = ""
    until_at: Moment | None = None
    people_max: Count = 0
    sponsor: Name = ""
    custody: Annotated[str, Meta(max_length=CUSTODY_CHARACTERS)] = ""
    less: Taken = msgspec.field(default_factory=dict)


class Objective(Body, frozen=True):
    """What a space is for, so that one can tell whether it came about."""

    text: Annotated[str, Meta(max_length=500)] = ""
    metric: Annotated[str, Meta(max_length=500)] = ""
    target: Annotated[str, Meta(max_length=500)] = ""
    date: Annotated[str, Meta(max_length=500)] = ""


class PolicyBody(Body, frozen=True):
    """The fields that change; the others stay, but for what a new level has no room for."""

    level: Level | UnsetType = UNSET
    listed: bool | UnsetType = UNSET
    reach: Reach | UnsetType = UNSET
    staff_read: bool | UnsetType = UNSET
    partners: Annotated[dict[Host, TermsBody], Meta(max_length=MOST_PARTNERS)] | UnsetType = UNSET
    partner_view: PartnerView | UnsetType = UNSET
    history: History | UnsetType = UNSET
    history_days: Count | UnsetType = UNSET
    less: dict[Audience, Taken] | UnsetType = UNSET
    identity_outside: Identity | UnsetType = UNSET
    first_posts_moderated: Count | UnsetType = UNSET
    opens_at: Moment | UnsetType | None = UNSET
    closes_at: Moment | UnsetType | None = UNSET
    then_level: Annotated[str, Meta(pattern="^(closed|internal|partners|network|public)?$")] | UnsetType = UNSET
    review_days: Count | UnsetType = UNSET
    retention_days: Count | UnsetType = UNSET
    after_close: AfterClose | UnsetType = UNSET
    seats: Count | UnsetType = UNSET
    charter: Annotated[str, Meta(max_length=TEXT_CHARACTERS["charter"])] | UnsetType = UNSET
    tone: Annotated[str, Meta(max_length=TEXT_CHARACTERS["tone"])] | UnsetType = UNSET
    frame: Annotated[str, Meta(max_length=TEXT_CHARACTERS["frame"])] | UnsetType = UNSET
    language: Annotated[str, Meta(max_length=TEXT_CHARACTERS["language"])] | UnsetType = UNSET
    objectives: Annotated[list[Objective], Meta(max_length=20)] | UnsetType = UNSET
    indexing: bool | UnsetType = UNSET
    proofs: bool | UnsetType = UNSET
    include_history: bool = False
    reason: Annotated[str, Meta(max_length=openness.REASON_CHARACTERS)] = ""


async def show_policy(call: Call) -> Response:
    """For its members, owners, and those who look after the instance."""
    space = await spaces.find(call.me, call.handle("slug"))
    if not policies.may_look_back(call.me, space):
        raise Forbidden(detail="a policy is its members' own")
    return _answer(space.slug, space.epoch, await _shown(space))


async def set_policy(call: Call) -> Response:
    """Makes a space as open as wanted, or with `dry_run=1` says what that would do and changes nothing."""
    space = await spaces.find(call.me, call.handle("slug"))
    me = call.colleague
    space.demand(me, Act.CHANGE_POLICY)
    version = _version(call, space)
    body = decode(await read_body(call.request), PolicyBody)
    wanted = altered(await policies.current(space.id), _values(body))
    speaks, _ = await speech_for(call.request, me)
    if call.request.query_params.get("dry_run", "") in ("1", "true"):
        planned = await plans.plan(me, space.id, wanted, past=body.include_history)
        _refuse(planned, speaks)
        return _answer(space.slug, space.epoch, _planned(planned, speaks))
    how = How(Door.API, base_epoch=version, past=body.include_history, reason=body.reason)
    done = await _change(me, space, wanted, how, speaks)
    waits = done.outcome in (Outcome.WAITING, Outcome.PLANNED)
    seen = await spaces.find_by_id(me, space.id)
    status = HTTPStatus.ACCEPTED if waits else HTTPStatus.OK
    return _answer(space.slug, done.epoch, _done(done) | await _shown(seen), status)


async def _change(me: Employee, space: SeenSpace, wanted: SpacePolicy, how: How, speaks: Speech) -> Done:
    """The verb, with the answers that this API has for its refusals."""
    try:
        return await openness.change(me, space.id, wanted, how)
    except Conflict as error:
        if error.detail == "moved":
            raise VersionMoved(params=error.params) from None
        raise
    except Forbidden as error:
        if error.detail == "managed":
            raise ManagedByFile(params=error.params) from None
        raise
    except Invalid:
        _refuse(await plans.plan(me, space.id, wanted, past=how.past, counted=False), speaks)
        raise


def _version(call: Call, space: SeenSpace) -> int:
    """The version that the caller has seen. Raises NeedsVersion, VersionMoved or Invalid."""
    said = call.request.headers.get("if-match", "").strip()
    if not said:
        raise NeedsVersion
    if said == "*":
        return space.epoch
    match = _VERSION.fullmatch(said)
    if match is None:
        raise Invalid(NOT_A_VERSION, field="If-Match")
    version = int(match[1] or match[2])
    if version != space.epoch:
        raise VersionMoved(params={"version": space.epoch})
    return version


def _refuse(plan: plans.Plan, speaks: Speech) -> None:
    """The first thing that stands against a plan, its values in the caller's language. Raises Invalid."""
    for problem in plan.problems:
        words = policy_words.problem(problem)
        params = {name: spoken(value, speaks) for name, value in words.params.items()}
        raise Invalid(problem.sentence, field=problem.field, params=params)


# --- in and out -----------------------------------------------------------------------------------


def _values(body: PolicyBody) -> dict[str, Any]:
    """The fields of a policy that a body gives."""
    given = {name: getattr(body, name) for name in body.__struct_fields__ if name not in ("include_history", "reason")}
    values = {name: value for name, value in given.items() if value is not UNSET}
    for name in MOMENTS:
        if name in values:
            values[name] = _ms(values[name])
    if "partners" in values:
        terms = [_terms(host.strip().lower(), one) for host, one in values["partners"].items()]
        values["partners"] = tuple(sorted(terms, key=lambda one: one.host))
    if "less" in values:
        less = [(who, taken((r.value, n) for r, n in rights.items())) for who, rights in values["less"].items()]
        values["less"] = tuple(sorted((one for one in less if one[1]), key=lambda one: one[0].value))
    if "then_level" in values:
        values["then_level"] = Level(values["then_level"]) if values["then_level"] else None
    if "objectives" in values:
        values["objectives"] = tuple(_objective(one) for one in values["objectives"])
    return values


def _terms(host: str, body: TermsBody) -> PartnerTerms:
    less = taken((right.value, most) for right, most in body.less.items())
    return PartnerTerms(host, body.reach, _ms(body.until_at), body.people_max, body.sponsor, body.custody, less)


def _objective(one: Objective) -> dict[str, str]:
    return {name: text for name, text in msgspec.to_builtins(one).items() if text}


def _ms(when: datetime | None) -> int | None:
    return None if when is None else round(when.timestamp() * 1000)


async def _shown(space: SeenSpace) -> Shape:
    live = (await declared.spaces([space.slug])).get(space.slug)
    policy = live.policy if live else await policies.current(space.id)
    return {
        "policy": policy_shape(policy),
        "managed_by": live.managed_by if live else "",
        "managed_fields": list(live.managed_fields) if live else [],
    }


def policy_shape(policy: SpacePolicy) -> Shape:
    """Every field, as PUT takes it."""
    told = to_json(policy)
    for name in MOMENTS:
        told[name] = moment(told[name]) if told[name] is not None else None
    for terms in told["partners"].values():
        terms["until_at"] = moment(terms["until_at"]) if terms["until_at"] is not None else None
    return told


def _planned(plan: plans.Plan, speaks: Speech) -> Shape:
    words = [spoken(one.words, speaks) for one in policy_words.differences(plan.before, plan.after)]
    return {"changes": words, **plan_words.plan_json(plan, speaks), "policy": policy_shape(plan.after)}


def _done(done: Done) -> Shape:
    told: Shape = {"outcome": done.outcome.value, "hash": done.plan_hash, "effects": done.effects or {}}
    return told | {"change": str(done.change_id) if done.change_id is not None else None}


def _answer(slug: str, version: int, told: Shape, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return json({"slug": slug, "version": version, **told}, status, {"etag": f'"{version}"'})


OPERATIONS = (
    Operation(
        "GET",
        "/spaces/{slug}/policy",
        show_policy,
        "showPolicy",
        "How open a space is, with its version",
        "read:spaces",
    ),
    Operation(
        "PUT",
        "/spaces/{slug}/policy",
        set_policy,
        "setPolicy",
        "Change how open a space is; with dry_run=1, only what that would do",
        "write:spaces",
        body=PolicyBody,
        query={"dry_run": "integer"},
        headers=("If-Match",),
        answers={
            HTTPStatus.ACCEPTED: "it waits for a second person, or for its date",
            HTTPStatus.CONFLICT: "a file manages this (managed_by_file), or somebody else was faster (conflict)",
            HTTPStatus.PRECONDITION_FAILED: "the version is another one by now (version_moved)",
            HTTPStatus.PRECONDITION_REQUIRED: "If-Match is missing (version_required)",
        },
    ),
)
