"""What somebody typed on the openness page of a space, read as a policy; what cannot be read stays as it was typed."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from server.bounds import OUT_OF_RANGE, Problem
from server.openness import AfterClose, Audience, History, Identity, Level, PartnerView, Reach
from server.refusals import N_
from server.rights import NARROWABLE, TABLE, Less, taken
from server.space_policy import (
    MOST_PARTNERS,
    NARROWABLE_AUDIENCES,
    TEXT_CHARACTERS,
    PartnerTerms,
    SpacePolicy,
    reset_outside,
)
from web.pages.visits import Form

Choice = TypeVar("Choice", bound=StrEnum)
Moment = Callable[[date], int]

NOT_A_DAY = N_("« %(day)s » n’est pas une date : écrivez-la comme 2027-03-31.")
NOT_A_NUMBER = N_("« %(number)s » n’est pas un nombre.")
MOST_FIELDS = 60 + 10 * MOST_PARTNERS
MOST_OBJECTIVES = 10
OBJECTIVE = ("text", "metric", "target", "date")
REASON_CHARACTERS = 1000
OF_PARTNER = ("take_part", "files", "invite")
"""The rights that the table of partners takes; the others stay as they are."""
LARGEST = 10_000_000


@dataclass(slots=True)
class Typed:
    """A policy as it was typed. `raw`: the fields that could not be read, as they were typed."""

    wanted: SpacePolicy
    past: bool = False
    reason: str = ""
    base: int = 0
    plan: str = ""
    draft: int | None = None
    problems: list[Problem] = field(default_factory=list)
    raw: dict[str, str] = field(default_factory=dict)

    def day(self, name: str, ms: int | None) -> str:
        """What a field for a day shows."""
        return self.raw.get(name) or (day_of(ms) if ms is not None else "")

    def number(self, name: str, value: int) -> str:
        """What a field for a number shows; nothing is no limit."""
        return self.raw.get(name) or (str(value) if value else "")


def day_of(ms: int) -> str:
    """The day of a moment, as fields for days write it (UTC)."""
    return datetime.fromtimestamp(ms / 1000, UTC).date().isoformat()


def first_moment(day: date) -> int:
    """When a day begins, in milliseconds (UTC)."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def last_moment(day: date) -> int:
    """Until when a day lasts."""
    return first_moment(day + timedelta(days=1)) - 1


def read(form: Form, current: SpacePolicy) -> Typed:
    """The form as a policy. What it does not show stays as it is now; what a level has no room for falls away."""
    typed = Typed(
        current,
        past=form.has("past"),
        reason=form.line("reason", REASON_CHARACTERS),
        base=_whole(form.line("base", 20)),
        plan=form.line("plan", 64),
        draft=_whole(form.line("draft", 20)) or None,
    )
    level = _choice(form, "level", Level, current.level)
    wanted = replace(
        current,
        level=level,
        reach=_choice(form, "reach", Reach, current.reach),
        staff_read=form.has("staff_read"),
        listed=form.has("listed") if level in (Level.CLOSED, Level.PARTNERS) else current.listed,
        partner_view=_choice(form, "partner_view", PartnerView, current.partner_view),
        history=_choice(form, "history", History, current.history),
        history_days=_number(typed, form, "history_days"),
        identity_outside=_choice(form, "identity_outside", Identity, current.identity_outside),
        first_posts_moderated=_number(typed, form, "first_posts_moderated"),
        seats=_number(typed, form, "seats"),
        indexing=form.has("indexing") and level is Level.PUBLIC,
        partners=_partners(typed, form, current) if level.rank >= Level.PARTNERS.rank else (),
    )
    wanted = _dates(typed, form, _texts(form, wanted), current)
    typed.wanted = reset_outside(replace(wanted, less=_less(form, wanted)))
    return typed


def _dates(typed: Typed, form: Form, wanted: SpacePolicy, current: SpacePolicy) -> SpacePolicy:
    then = form.line("then_level", 20)
    return replace(
        wanted,
        opens_at=_day(typed, form, "opens_at", current.opens_at, first_moment),
        closes_at=_day(typed, form, "closes_at", current.closes_at, last_moment),
        then_level=Level(then) if then in set(Level) else None,
        review_days=_number(typed, form, "review_days"),
        retention_days=_number(typed, form, "retention_days"),
        after_close=_choice(form, "after_close", AfterClose, current.after_close),
    )


def _texts(form: Form, wanted: SpacePolicy) -> SpacePolicy:
    """Charter, tone, frame, objectives; a text that is too long is told so by the bounds."""
    if form.has("charter"):
        wanted = replace(
            wanted,
            charter=form.text("charter", 2 * TEXT_CHARACTERS["charter"]).strip(),
            frame=form.text("frame", 2 * TEXT_CHARACTERS["frame"]).strip(),
            tone=form.line("tone", 2 * TEXT_CHARACTERS["tone"]),
        )
    return replace(wanted, objectives=_objectives(form)) if form.has("objective0_text") else wanted


def _objectives(form: Form) -> tuple[Mapping[str, str], ...]:
    found = []
    for row in range(MOST_OBJECTIVES):
        one = {name: form.line(f"objective{row}_{name}", 300) for name in OBJECTIVE}
        if one["text"]:
            found.append({name: words for name, words in one.items() if words})
    return tuple(found)


# --- partners -------------------------------------------------------------------------------------


def _partners(typed: Typed, form: Form, current: SpacePolicy) -> tuple[PartnerTerms, ...]:
    if not form.has("partners_shown"):
        return current.partners
    found: dict[str, PartnerTerms] = {}
    for row in range(MOST_PARTNERS + 1):
        host = form.line(f"p{row}_host", 255).lower()
        if not host:
            break
        if not form.has(f"p{row}_gone"):
            found[host] = _terms(typed, form, f"p{row}", host, current.partner(host))
    added = form.line("add", 255).lower()
    if added and added not in found:
        found[added] = PartnerTerms(added)
    return tuple(found[host] for host in sorted(found))


def _terms(typed: Typed, form: Form, row: str, host: str, now: PartnerTerms | None) -> PartnerTerms:
    now = now or PartnerTerms(host)
    less = dict(now.less)
    for right in OF_PARTNER:
        most = form.line(f"{row}_{right}", 4)
        less.pop(right, None)
        if most.isdecimal():
            less[right] = int(most)
    return replace(
        now,
        reach=Reach.INVITED.value if form.line(f"{row}_reach") == Reach.INVITED else "",
        until_at=_day(typed, form, f"{row}_until", now.until_at, last_moment),
        people_max=_number(typed, form, f"{row}_max"),
        sponsor=form.line(f"{row}_sponsor", 80).removeprefix("@").lower(),
        less=taken(less.items()),
    )


# --- rights of readers ----------------------------------------------------------------------------


def narrowable(policy: SpacePolicy) -> Mapping[Audience, Mapping[str, int]]:
    """From whom a dial may take something under a policy, and how much of each right they have without it."""
    found: dict[Audience, dict[str, int]] = {}
    for who in NARROWABLE_AUDIENCES:
        cell = TABLE[policy.variant, who]
        most = {right: int(getattr(cell, right)) for right in NARROWABLE if getattr(cell, right)}
        if most and who is not Audience.PARTNER_UNINVITED:
            found[who] = most
    return found


def _less(form: Form, wanted: SpacePolicy) -> tuple[tuple[Audience, Less], ...]:
    """Rights taken, when the form showed them for the row of the table that is wanted; else as they are."""
    if form.line("less_shown") != wanted.variant.value:
        return wanted.less
    found = []
    for who, most in narrowable(wanted).items():
        told = {right: form.line(f"less_{who}_{right}", 4) for right in most}
        less = {right: int(text) for right, text in told.items() if text.isdecimal() and int(text) < most[right]}
        if less:
            found.append((who, taken(less.items())))
    return tuple(sorted(found))


# --- one field ------------------------------------------------------------------------------------


def _choice(form: Form, name: str, kind: type[Choice], otherwise: Choice) -> Choice:
    told = form.line(name, 40)
    return kind(told) if form.has(name) and told in set(kind) else otherwise


def _whole(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0


def _number(typed: Typed, form: Form, name: str) -> int:
    """0 where nothing is written."""
    text = form.line(name, 40)
    if not text:
        return 0
    if not re.fullmatch(r"[0-9]{1,9}", text):
        typed.raw[name] = text
        typed.problems.append(Problem(name, NOT_A_NUMBER, {"number": text}))
        return 0
    if int(text) > LARGEST:
        typed.raw[name] = text
        typed.problems.append(Problem(name, OUT_OF_RANGE, {"field": name, "most": LARGEST}))
        return 0
    return int(text)


def _day(typed: Typed, form: Form, name: str, now: int | None, moment: Moment) -> int | None:
    """The moment that a day means; the one that holds already when its day is written."""
    text = form.line(name, 40)
    if not text:
        return None
    if now is not None and text == day_of(now):
        return now
    try:
        day = date.fromisoformat(text)
    except ValueError:
        typed.raw[name] = text
        typed.problems.append(Problem(name, NOT_A_DAY, {"day": text}))
        return now
    return moment(day)
