"""What somebody typed on the openness page of a space, read as a policy; what cannot be read stays as it was typed."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from server.bounds import OUT_OF_RANGE, Problem
from server.errors import Invalid
from server.limits import EARLIEST_YEAR, LATEST_YEAR
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
from web.pages.visits import TOO_LONG, Form

Choice = TypeVar("Choice", bound=StrEnum)
Moment = Callable[[date], int]

NOT_A_DAY = N_("« %(day)s » n’est pas une date : écrivez-la comme 2027-03-31.")
OUT_OF_CALENDAR = N_("« %(day)s » est hors des dates acceptées : de %(first)s à %(last)s.")
NO_OBJECTIVE = N_("Dites aussi quel est l’objectif.")
NOT_A_NUMBER = N_("« %(number)s » n’est pas un nombre.")
MOST_FIELDS = 60 + 10 * MOST_PARTNERS
MOST_OBJECTIVES = 10
OBJECTIVE = ("text", "metric", "target", "date")
REASON_CHARACTERS = 1000
OF_PARTNER = ("take_part", "files", "invite")
"""The rights that the table of partners takes; the others stay as they are."""
LARGEST = 10_000_000
OBJECTIVE_CHARACTERS = 300
SPONSOR_CHARACTERS = 80
HOST_CHARACTERS = 255
SHOWN_CHARACTERS = 40
"""Of what cannot be read, in the sentence that says so; the field itself shows all of it."""


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

    def text(self, name: str, value: str) -> str:
        """What a field for words shows."""
        return self.raw.get(name, value)

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


def read_day(name: str, text: str) -> date:
    """The day that somebody typed into a field. Raises Invalid."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise Invalid(NOT_A_DAY, field=name, params={"day": text[:SHOWN_CHARACTERS]}) from None
    if not EARLIEST_YEAR <= day.year <= LATEST_YEAR:
        words = {"day": text, "first": EARLIEST_YEAR, "last": LATEST_YEAR}
        raise Invalid(OUT_OF_CALENDAR, field=name, params=words)
    return day


def read(form: Form, current: SpacePolicy) -> Typed:
    """The form as a policy. What it does not show stays as it is now; what a level has no room for falls away; what
    is too long or cannot be read stays as it was typed, and is told as a problem.
    """
    form = form.as_typed()
    typed = Typed(
        current,
        past=form.has("past"),
        base=_whole(form.line("base")),
        plan=form.line("plan"),
        draft=_whole(form.line("draft")) or None,
    )
    typed.reason = _line(typed, form, "reason", REASON_CHARACTERS)
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
    wanted = _dates(typed, form, _texts(typed, form, wanted), current)
    typed.wanted = reset_outside(replace(wanted, less=_less(form, wanted)))
    return typed


def _dates(typed: Typed, form: Form, wanted: SpacePolicy, current: SpacePolicy) -> SpacePolicy:
    then = form.line("then_level")
    return replace(
        wanted,
        opens_at=_day(typed, form, "opens_at", current.opens_at, first_moment),
        closes_at=_day(typed, form, "closes_at", current.closes_at, last_moment),
        then_level=Level(then) if then in set(Level) else None,
        review_days=_number(typed, form, "review_days"),
        retention_days=_number(typed, form, "retention_days"),
        after_close=_choice(form, "after_close", AfterClose, current.after_close),
    )


def _texts(typed: Typed, form: Form, wanted: SpacePolicy) -> SpacePolicy:
    """Charter, tone, frame, objectives."""
    if form.has("charter"):
        wanted = replace(
            wanted,
            charter=_text(typed, form, "charter", TEXT_CHARACTERS["charter"]),
            frame=_text(typed, form, "frame", TEXT_CHARACTERS["frame"]),
            tone=_line(typed, form, "tone", TEXT_CHARACTERS["tone"]),
        )
    return replace(wanted, objectives=_objectives(typed, form)) if form.has("objective0_text") else wanted


def _objectives(typed: Typed, form: Form) -> tuple[Mapping[str, str], ...]:
    found = []
    for row in range(MOST_OBJECTIVES):
        one = {name: _line(typed, form, f"objective{row}_{name}", OBJECTIVE_CHARACTERS) for name in OBJECTIVE}
        if any(one.values()) and not one["text"]:
            typed.problems.append(Problem(f"objective{row}_text", NO_OBJECTIVE))
        if any(one.values()):
            found.append({name: words for name, words in one.items() if words})
    return tuple(found)


# --- partners -------------------------------------------------------------------------------------


def _partners(typed: Typed, form: Form, current: SpacePolicy) -> tuple[PartnerTerms, ...]:
    if not form.has("partners_shown"):
        return current.partners
    found: dict[str, PartnerTerms] = {}
    for row in range(MOST_PARTNERS + 1):
        host = form.line(f"p{row}_host").lower()
        if not host:
            break
        if not form.has(f"p{row}_gone"):
            found[host] = _terms(typed, form, f"p{row}", host, current.partner(host))
    added = _line(typed, form, "add", HOST_CHARACTERS).lower()
    if added and added not in found:
        found[added] = PartnerTerms(added)
    return tuple(found[host] for host in sorted(found))


def _terms(typed: Typed, form: Form, row: str, host: str, now: PartnerTerms | None) -> PartnerTerms:
    now = now or PartnerTerms(host)
    less = dict(now.less)
    for right in OF_PARTNER:
        most = _whole(form.line(f"{row}_{right}"), -1)
        less.pop(right, None)
        if most >= 0:
            less[right] = most
    return replace(
        now,
        reach=Reach.INVITED.value if form.line(f"{row}_reach") == Reach.INVITED else "",
        until_at=_day(typed, form, f"{row}_until", now.until_at, last_moment),
        people_max=_number(typed, form, f"{row}_max"),
        sponsor=_line(typed, form, f"{row}_sponsor", SPONSOR_CHARACTERS).removeprefix("@").lower(),
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
        told = {right: _whole(form.line(f"less_{who}_{right}"), -1) for right in most}
        less = {right: value for right, value in told.items() if 0 <= value < most[right]}
        if less:
            found.append((who, taken(less.items())))
    return tuple(sorted(found))


# --- one field ------------------------------------------------------------------------------------


def _choice(form: Form, name: str, kind: type[Choice], otherwise: Choice) -> Choice:
    told = form.line(name)
    return kind(told) if form.has(name) and told in set(kind) else otherwise


def _whole(text: str, otherwise: int = 0) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else otherwise


def _line(typed: Typed, form: Form, name: str, limit: int) -> str:
    return " ".join(_text(typed, form, name, limit).split())


def _text(typed: Typed, form: Form, name: str, limit: int) -> str:
    text = form.text(name).strip()
    if len(text) <= limit:
        return text
    typed.raw[name] = text
    typed.problems.append(Problem(name, TOO_LONG, {"limit": limit}))
    return text[:limit]


def _number(typed: Typed, form: Form, name: str) -> int:
    """0 where nothing is written."""
    text = form.line(name)
    if not text:
        return 0
    if not re.fullmatch(r"[0-9]+", text):
        typed.raw[name] = text
        typed.problems.append(Problem(name, NOT_A_NUMBER, {"number": text[:SHOWN_CHARACTERS]}))
        return 0
    if len(text.lstrip("0")) > 9 or int(text) > LARGEST:
        typed.raw[name] = text
        typed.problems.append(Problem(name, OUT_OF_RANGE, {"field": name, "most": LARGEST}))
        return 0
    return int(text)


def _day(typed: Typed, form: Form, name: str, now: int | None, moment: Moment) -> int | None:
    """The moment that a day means; the one that holds already when its day is written."""
    text = form.line(name)
    if not text:
        return None
    if now is not None and text == day_of(now):
        return now
    try:
        return moment(read_day(name, text))
    except Invalid as refused:
        typed.raw[name] = text
        typed.problems.append(Problem(name, refused.sentence, refused.params))
        return now
