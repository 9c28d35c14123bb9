"""What a change of openness would do, in figures and in words, before anything of it is done."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.actions.plans import Impact, Measure, Plan
from server.actions.policy_rows import NO_SPONSOR
from server.bounds import PARTNER_ENDS_BEFORE, Problem
from server.clock import now_ms
from server.openness import Audience
from server.policy_words import AUDIENCES, differences, problem, shift, shifts, spoken
from server.refusals import N_
from web.locale import Speech

EVERYBODY = {
    Audience.FED: N_("Personnes d’autres instances"),
    Audience.WEB: N_("Visiteurs sans compte"),
    Audience.STAFF: N_("Collègues"),
    Audience.GUEST: N_("Invités"),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that counts, and what it counts."""

    count: int
    words: str


@dataclass(frozen=True, slots=True)
class Row:
    """What some readers have of the space before and after, in figures. `copies`: what was sent there and is lost."""

    who: str
    host: str
    people: str
    items: str
    files: str
    authors: str
    gained: int
    lost: int
    copies: int


@dataclass(frozen=True, slots=True)
class Wrote:
    """Of one organisation: what its people wrote that others come to read, and what is left out."""

    who: str
    host: str
    items: int
    files: int
    authors: int
    left_out: int
    left_out_files: int


@dataclass(frozen=True, slots=True)
class Gain:
    """What some readers gain or lose, as a sentence."""

    sentence: str
    grows: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A plan in words. `step`: what can be done with it: none, apply, narrow, ask (a second person), date."""

    plan: Plan
    step: str
    problems: dict[str, list[str]]
    differences: Sequence[str]
    gains: Sequence[Gain]
    figures: Sequence[Figure]
    rows: Sequence[Row]
    past: Plan | None = None
    wrote: Sequence[Wrote] = ()
    past_wrote: Sequence[Wrote] = ()

    @property
    def past_items(self) -> int:
        """How many older items somebody more would read if the past were opened too."""
        return max((one.gained.items for one in self.past.impacts), default=0) if self.past else 0

    @property
    def past_files(self) -> int:
        return max((one.gained.files for one in self.past.impacts), default=0) if self.past else 0

    @property
    def closed_items(self) -> int:
        """How many items are in the space, for whoever reads them all now."""
        return max((one.before.items for one in self.plan.impacts), default=0)


def shown(speaks: Speech, plan: Plan, past: Plan | None = None) -> Shown:
    """A plan in a language. `past`: the same with the past opened, to say what that would add."""
    problems: dict[str, list[str]] = {}
    for one in plan.problems:
        problems.setdefault(_field_of(one), []).append(spoken(problem(one), speaks))
    return Shown(
        plan=plan,
        step=_step(plan),
        problems=problems,
        differences=[spoken(one.words, speaks) for one in differences(plan.before, plan.after)],
        gains=[Gain(spoken(shift(one), speaks), one.grows) for one in shifts(plan.cells)],
        figures=_figures(speaks, plan),
        rows=[_row(speaks, one) for one in plan.impacts if not one.none],
        past=past,
        wrote=_wrote(speaks, plan),
        past_wrote=_wrote(speaks, past) if past else (),
    )


def _wrote(speaks: Speech, plan: Plan) -> list[Wrote]:
    ours = speaks.gettext(N_("Cette instance"))
    return [
        Wrote(
            one.title or ours,
            one.host,
            one.opened.items,
            one.opened.files,
            one.opened.authors,
            one.left_out.items,
            one.left_out.files,
        )
        for one in plan.authors
    ]


def _field_of(found: Problem) -> str:
    """The field of the form: the end and the sponsor of a partner have one of their own."""
    if found.sentence == PARTNER_ENDS_BEFORE:
        return f"until {found.params['host']}"
    return f"sponsor {found.params['who']}" if found.sentence == NO_SPONSOR else found.field


def _step(plan: Plan) -> str:
    if plan.empty or plan.problems:
        return "none"
    if not plan.widens:
        return "narrow"
    if plan.needs_approval:
        return "ask"
    later = plan.after.opens_at is not None and plan.after.opens_at > now_ms()
    return "date" if later else "apply"


def _figures(speaks: Speech, plan: Plan) -> list[Figure]:
    """The four that matter most when something opens, and what is lost when something is."""
    more = sum(max(0, _people(one.after) - _people(one.before)) for one in plan.impacts)
    fewer = sum(max(0, _people(one.before) - _people(one.after)) for one in plan.impacts)
    items = max((one.gained.items for one in plan.impacts), default=0)
    files = max((one.gained.files for one in plan.impacts), default=0)
    lost = max((one.lost.items for one in plan.impacts), default=0)
    copies = sum(one.copies for one in plan.impacts)
    named = {terms.host for terms in plan.before.partners}
    hosts = sum(1 for terms in plan.after.partners if terms.host not in named)
    found = []
    if plan.widens:
        found = [
            Figure(more, speaks.ngettext("personne de plus lira l’espace", "personnes de plus liront l’espace", more)),
            Figure(
                items, speaks.ngettext("message passé devient visible", "messages passés deviennent visibles", items)
            ),
            Figure(files, speaks.ngettext("document passé", "documents passés", files)),
            Figure(hosts, speaks.ngettext("instance recevra des copies", "instances recevront des copies", hosts)),
        ]
    if fewer or lost or copies or not plan.widens:
        found += [
            Figure(
                fewer, speaks.ngettext("personne ne lira plus l’espace", "personnes ne liront plus l’espace", fewer)
            ),
            Figure(lost, speaks.ngettext("message ne sera plus lu", "messages ne seront plus lus", lost)),
            Figure(copies, speaks.ngettext("copie est à reprendre", "copies sont à reprendre", copies)),
        ]
    return found


def _people(measure: Measure) -> int:
    return measure.people or 0


def _row(speaks: Speech, one: Impact) -> Row:
    who = one.title if one.host else speaks.gettext(EVERYBODY.get(one.audience, AUDIENCES[one.audience]))
    return Row(
        who=who,
        host=one.host,
        people=_turn(_crowd(speaks, one.before), _crowd(speaks, one.after)),
        items=_turn(speaks.number(one.before.items), speaks.number(one.after.items)),
        files=_turn(speaks.number(one.before.files), speaks.number(one.after.files)),
        authors=_turn(speaks.number(one.before.authors), speaks.number(one.after.authors)),
        gained=one.gained.items,
        lost=one.lost.items,
        copies=one.copies,
    )


def _crowd(speaks: Speech, measure: Measure) -> str:
    """How many people; where they cannot be counted, or anybody there reads, in a word."""
    if measure.people is None:
        return speaks.gettext(N_("tous")) if measure.everyone else "0"
    counted = speaks.number(measure.people)
    return speaks.gettext(N_("tous (%(count)s)")) % {"count": counted} if measure.everyone else counted


def _turn(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"
