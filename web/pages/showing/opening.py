"""The openness page of a space: who may do what, what would change, who has to agree, what happened before."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from starlette.responses import Response

from server.actions import plans
from server.actions.looking import Observer
from server.actions.plans import Plan
from server.errors import DomainError, Invalid
from server.openness import Audience, Members
from server.policy import Act
from server.policy_words import (
    AUDIENCES,
    audience,
    describe,
    differences,
    door,
    effects,
    spoken,
    terms_words,
)
from server.queries import pending, policies, recalls, spaces
from server.queries.pending import Managed, Pending
from server.queries.policies import Version
from server.queries.spaces import SeenSpace
from server.refusals import N_
from server.space_policy import PartnerTerms, SpacePolicy, cell_of
from server.viewer import Employee
from web.locale import Speech
from web.pages.openness_form import Typed, narrowable
from web.pages.showing import plan_figures
from web.pages.showing.frame import piece, refused_words, show, speech_for
from web.pages.showing.own import status_for
from web.pages.showing.recalls import RECALL_WORDS
from web.pages.showing.rights import Row, row_of
from web.pages.showing.spaces import standing_of, tabs_of
from web.pages.visits import Visit

FEW_VERSIONS = 5
VERSIONS = 20
WHO = tuple(AUDIENCES)
DONE = {
    "applied": N_("C’est fait : l’espace est ouvert comme vous l’avez voulu, dès maintenant et pour tous."),
    "waiting": N_("La demande est partie. Rien ne change avant qu’une seconde personne la valide."),
    "planned": N_("L’ouverture est prévue. Rien ne change avant sa date."),
    "unchanged": N_("Rien n’a changé : l’espace est déjà ainsi."),
    "draft": N_("Le brouillon est enregistré. Vous seul·e le voyez."),
    "dropped": N_("Le brouillon est effacé."),
    "approved": N_("Vous avez validé : le changement est appliqué."),
    "declined": N_("La demande est close. Rien n’a changé."),
    "reviewed": N_("C’est noté : l’ouverture reste ainsi jusqu’à la prochaine revue."),
    "closed": N_("L’espace est fermé, dès maintenant et pour tous."),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of the past, in words."""

    version: Version
    differences: Sequence[str]
    door: str
    effects: Sequence[str]


@dataclass(frozen=True, slots=True)
class Asked:
    """A change that is not applied yet, with what it would do. `may_approve`: the reader is the second person."""

    change: Pending
    plan: plan_figures.Shown | None
    may_approve: bool
    moved: bool
    day: int | None


@dataclass(frozen=True, slots=True)
class PartnerRow:
    """A partner in the form. `gone`: it would be removed."""

    host: str
    title: str
    terms: PartnerTerms
    gone: bool
    new: bool


@dataclass(frozen=True, slots=True)
class Editing:
    """What the form of somebody who may change the policy needs."""

    typed: Typed
    plan: plan_figures.Shown | None
    problems: dict[str, list[str]]
    partners: Sequence[PartnerRow]
    linked: Sequence[spaces.PartnerName]
    readers: Sequence[tuple[Audience, str, dict[str, int], dict[str, int]]]
    deciders: Sequence[str]
    managed: Managed | None
    epoch: int

    @property
    def purpose_wrong(self) -> bool:
        """Whether something is wrong in the part that is folded away."""
        return any(name in ("charter", "tone", "frame") or name.startswith("objective") for name in self.problems)

    def fixed(self, name: str) -> bool:
        """Whether a file declares this field."""
        return self.managed is not None and name in self.managed.fields


async def openness(
    visit: Visit,
    seen: SeenSpace,
    typed: Typed | None = None,
    plan: Plan | None = None,
    past: Plan | None = None,
    refused: DomainError | None = None,
    *,
    stopped: bool = False,
) -> Response:
    """The whole page: the form for whoever may change the policy, the same facts in sentences for the others.
    `stopped`: what was asked for was not done, because of the problems that the plan names.
    """
    speaks, _ = await speech_for(visit.request, visit.viewer)
    current = await policies.current(seen.id)
    mine = isinstance(visit.viewer, Employee) and seen.hosted_here and bool(seen.may(visit.viewer, Act.CHANGE_POLICY))
    looks_back = policies.may_look_back(visit.viewer, seen)
    versions = await policies.versions(visit.viewer, seen, FEW_VERSIONS + 1) if looks_back else []
    done = visit.query("done")
    return await show(
        visit,
        "space_openness.html",
        "spaces",
        status=HTTPStatus.UNPROCESSABLE_ENTITY if stopped and refused is None else status_for(refused),
        stopped=stopped,
        space=seen,
        tabs=tabs_of(speaks, seen),
        standing=standing_of(visit, seen),
        rows=rows_of(speaks, current) if seen.hosted_here else [],
        partners=await _named(visit, speaks, seen, current),
        facts=told(speaks, current) if looks_back else [],
        editing=await _editing(visit, speaks, seen, current, typed, plan, past) if mine else None,
        asked=await _asked(visit, speaks, seen) if mine else [],
        history=[entry(speaks, one) for one in versions[:FEW_VERSIONS]],
        more=f"/spaces/{seen.slug}/openness/history" if len(versions) > FEW_VERSIONS else "",
        looks_back=looks_back,
        managed=await pending.managed(seen) if looks_back else None,
        recalls=await recalls.under_way(visit.viewer, seen),
        recall_words=RECALL_WORDS,
        is_admin=isinstance(visit.viewer, Employee) and visit.viewer.is_admin,
        review=await policies.review_due(seen.id) if mine else None,
        refused=await refused_words(visit, refused),
        done=speaks.gettext(DONE[done]) if done in DONE else "",
    )


async def impact(visit: Visit, seen: SeenSpace, typed: Typed, plan: Plan, past: Plan | None) -> Response:
    """What would change, alone: for the form while somebody fills it."""
    speaks, _ = await speech_for(visit.request, visit.viewer)
    current = await policies.current(seen.id)
    editing = await _editing(visit, speaks, seen, current, typed, plan, past)
    return await piece(visit, "_impact.html", space=seen, editing=editing, refused=None)


async def history(visit: Visit, seen: SeenSpace, versions: Sequence[Version]) -> Response:
    """Every change of the past, a page at a time."""
    speaks, _ = await speech_for(visit.request, visit.viewer)
    shown = versions[:VERSIONS]
    return await show(
        visit,
        "space_history.html",
        "spaces",
        space=seen,
        tabs=tabs_of(speaks, seen),
        history=[entry(speaks, one) for one in shown],
        older=f"/spaces/{seen.slug}/openness/history?before={shown[-1].epoch}" if len(versions) > VERSIONS else "",
    )


async def closing(
    visit: Visit, seen: SeenSpace, plan: Plan, refused: DomainError | None = None, reason: str = ""
) -> Response:
    """Before a space is closed: what that does, and what can no longer be taken back."""
    speaks, _ = await speech_for(visit.request, visit.viewer)
    facts = {
        "space": seen,
        "plan": plan_figures.shown(speaks, plan),
        "refused": await refused_words(visit, refused),
        "reason": reason,
        "hosts": [one.title for one in plan.impacts if one.host and (one.copies or one.lost.items)],
    }
    if visit.part == "dialog":
        return await piece(visit, "_closing.html", **facts)
    tabs = tabs_of(speaks, seen)
    return await show(visit, "space_close.html", "spaces", status=status_for(refused), tabs=tabs, **facts)


class Looking(Protocol):
    """What is looked at, as whom, and where the frame finds it."""

    @property
    def observer(self) -> Observer: ...

    @property
    def form(self) -> str: ...

    @property
    def draft(self) -> int | None: ...

    @property
    def observers(self) -> Sequence[Observer]: ...

    def address(self, page: str) -> str: ...


LOOKED_AT_AS = {
    "web": N_("quelqu’un sur le web, sans compte"),
    "fed": N_("une personne d’une autre instance, que nul n’a liée à la nôtre"),
    "partner": N_("une personne de %(name)s, qui n’est pas membre"),
    "member": N_("un membre de l’espace, chez %(name)s"),
    "guest": N_("%(name)s, invité·e ici"),
}
LOOKED_AT = {
    "page": N_("La page"),
    "document": N_("Ce que reçoit leur instance : l’espace"),
    "outbox": N_("Ce que reçoit leur instance : les messages"),
    "feed": N_("Le flux"),
}


async def looking_as(visit: Visit, seen: SeenSpace, look: Looking, forms: Sequence[str]) -> Response:
    """The banner and the frame in which somebody outside would see a space."""
    speaks, _ = await speech_for(visit.request, visit.viewer)

    def words(one: Observer) -> str:
        return speaks.gettext(LOOKED_AT_AS[one.kind]) % {"name": one.name}

    return await show(
        visit,
        "space_as.html",
        "spaces",
        space=seen,
        look=look,
        words=words(look.observer),
        choices=[(one.key, words(one)) for one in look.observers],
        forms=[(form, speaks.gettext(LOOKED_AT[form])) for form in forms],
    )


def rows_of(speaks: Speech, policy: SpacePolicy) -> list[Row]:
    """What each audience has under a policy, from the nearest to the farthest; who has nothing is told so."""
    return [row_of(speaks, who, cell_of(policy, who)) for who in WHO if who is not Audience.PARTNER_UNINVITED]


def told(speaks: Speech, policy: SpacePolicy) -> list[tuple[str, str]]:
    """The dials of a policy that say something, as pairs of words."""
    return [(spoken(label, speaks), spoken(words, speaks)) for label, words in describe(policy)]


async def _named(visit: Visit, speaks: Speech, seen: SeenSpace, policy: SpacePolicy) -> list[tuple[str, str, str]]:
    """The partners and what each may, for those who may know which organisations are in the space."""
    if seen.rights().members < Members.ORGANISATIONS:
        return []
    found = []
    for partner in await spaces.partners(visit.viewer, seen):
        terms = policy.partner(partner.host)
        words = spoken(terms_words(terms, policy.reach), speaks) if terms and seen.standing.role else ""
        found.append((partner.title, partner.host, words))
    return found


async def _editing(
    visit: Visit,
    speaks: Speech,
    seen: SeenSpace,
    current: SpacePolicy,
    typed: Typed | None,
    plan: Plan | None,
    past: Plan | None,
) -> Editing:
    viewer = visit.colleague
    typed = typed or Typed(current, base=seen.epoch)
    shown = plan_figures.shown(speaks, plan, past) if plan is not None else None
    linked = await pending.linked(viewer, seen)
    titles = {one.host: one.title for one in linked}
    terms = {one.host: (one, True) for one in current.partners if current.level == typed.wanted.level}
    terms |= {one.host: (one, False) for one in typed.wanted.partners}
    rows = [
        PartnerRow(host, titles.get(host, host), one, gone, current.partner(host) is None)
        for host, (one, gone) in sorted(terms.items())
    ]
    less = {who: dict(taken) for who, taken in typed.wanted.less}
    problems = dict(shown.problems) if shown else {}
    for number, row in enumerate(rows):
        for name, told in (("until", row.host), ("sponsor", row.terms.sponsor[:80])):
            if sentences := problems.pop(f"{name} {told}", None):
                problems[f"p{number}_{name}"] = sentences
    return Editing(
        typed=typed,
        plan=shown,
        problems=problems,
        partners=rows,
        linked=[one for one in linked if one.host not in terms],
        readers=[
            (who, spoken(audience(who), speaks), dict(most), less.get(who, {}))
            for who, most in narrowable(typed.wanted).items()
        ],
        deciders=await pending.deciders(viewer, seen),
        managed=await pending.managed(seen),
        epoch=seen.epoch,
    )


async def _asked(visit: Visit, speaks: Speech, seen: SeenSpace) -> list[Asked]:
    return [_one_asked(speaks, change, plan) for change, plan in await _with_plans(visit, seen)]


async def _with_plans(visit: Visit, seen: SeenSpace) -> list[tuple[Pending, Plan | None]]:
    changes = await pending.pending(visit.colleague, seen)
    return [(one, await _plan_of(visit, seen, one) if one.state != "draft" else None) for one in changes]


def _one_asked(speaks: Speech, change: Pending, plan: Plan | None) -> Asked:
    moved = change.state != "draft" and (plan is None or plan.hash != change.plan_hash)
    shown = plan_figures.shown(speaks, plan) if plan is not None else None
    may_approve = change.state == "waiting" and not change.mine and not moved
    return Asked(change, shown, may_approve, moved, change.wanted.opens_at)


async def deciding(
    visit: Visit, seen: SeenSpace, change: Pending, refused: DomainError | None = None, reason: str = ""
) -> Response:
    """A change that waits, for whoever may agree to it and may know nothing else of the space."""
    speaks, _ = await speech_for(visit.request, visit.viewer)
    plan = await _plan_of(visit, seen, change, Act.DECIDE)
    return await show(
        visit,
        "admin_change.html",
        "admin",
        status=status_for(refused),
        slug=seen.slug,
        level_now=seen.level,
        one=_one_asked(speaks, change, plan),
        reason=reason,
        refused=await refused_words(visit, refused),
    )


async def _plan_of(visit: Visit, seen: SeenSpace, change: Pending, act: Act = Act.CHANGE_POLICY) -> Plan | None:
    """What a change would do now; None when it cannot be any more (a link that ended meanwhile)."""
    try:
        return await plans.plan(visit.colleague, seen.id, change.wanted, past=change.past, act=act)
    except Invalid:
        return None


def entry(speaks: Speech, version: Version) -> Entry:
    """One change of the past in a language."""
    return Entry(
        version=version,
        differences=[spoken(one.words, speaks) for one in differences(version.before, version.after)],
        door=spoken(door(version.door, version.source), speaks),
        effects=[spoken(one, speaks) for one in effects(version.effects)],
    )
