"""What the steps of a plan do, as lines for a terminal and as JSON for programs: the same words in both. Pure."""

from typing import Any

from server import policy_words
from server.actions.declaring import Made
from server.actions.openness import Outcome
from server.actions.plans import Authors, Impact, Measure, Plan
from server.declared_steps import Kind, Step
from server.openness import Audience, Level
from server.policy_words import Said, Tongue, Word, spoken
from server.refusals import N_
from server.space_policy import from_json

GUARDRAILS = {
    "max_level": N_("Niveau le plus ouvert de cette instance"),
    "require_until_from": N_("Niveau à partir duquel il faut une date de fin"),
    "require_second_person_from": N_("Niveau à partir duquel une autre personne valide"),
    "openings_a_week": N_("Ouvertures au plus par semaine"),
    "max_days_open": N_("Jours d’ouverture au plus"),
}
OUTCOMES = {
    Outcome.APPLIED: N_("fait"),
    Outcome.WAITING: N_("attend une autre personne"),
    Outcome.PLANNED: N_("prévu pour sa date"),
    Outcome.UNCHANGED: N_("rien à changer"),
}
READERS = {
    Audience.STAFF: N_("Collègues"),
    Audience.GUEST: N_("Invités"),
    Audience.FED: N_("Personnes d’une autre instance"),
    Audience.WEB: N_("Visiteurs sans compte"),
}


def subject(step: Step) -> str:
    """What a step is about, as the file calls it."""
    if step.kind is Kind.GUARDRAIL:
        return f"guardrails.{step.subject}"
    return f'partner."{step.subject}"' if step.kind is Kind.KIN else f"space.{step.subject.partition('/')[0]}"


def words(step: Step) -> list[Said]:
    """What a step changes, one sentence for each thing."""
    if step.kind is Kind.POLICY:
        return [one.words for one in policy_words.differences(from_json(step.before), from_json(step.after))]
    if step.kind is Kind.GUARDRAIL:
        places = {"field": Said(GUARDRAILS[step.subject]), "before": _limit(step.before), "after": _limit(step.after)}
        return [Said(N_("%(field)s : %(before)s → %(after)s"), places)]
    if step.kind is Kind.KIN:
        is_kin = N_("%(host)s est une instance sœur")
        return [Said(is_kin if step.after else N_("%(host)s n’est plus une instance sœur"), {"host": step.subject})]
    if step.kind is Kind.OPEN:
        places = {"name": step.after["name"], "owner": step.after["owner"]}
        return [Said(N_("L’espace « %(name)s » est créé ; responsable : %(owner)s"), places)]
    if step.kind is Kind.NAME:
        return [Said(N_("Nom ou description : « %(name)s »"), {"name": step.after["name"]})]
    if step.kind is Kind.ROLE:
        person = {"who": step.subject.partition("/")[2]}
        owner = N_("%(who)s devient responsable")
        return [Said(owner if step.after == "owner" else N_("%(who)s devient animateur·rice"), person)]
    places = {"file": step.after["file"], "fields": ", ".join(step.after["fields"])}
    return [Said(N_("Géré par %(file)s : %(fields)s"), places)]


def _limit(value: Any) -> Word:
    if value in (None, "", 0):
        return Said(N_("sans limite"))
    return policy_words.level(Level(value)) if isinstance(value, str) else int(value)


# --- whom it touches ------------------------------------------------------------------------------


def impact(told: Impact) -> list[Said]:
    """Who reads before and after, what they gain and lose, copies to take back; nothing when nothing changes."""
    found = []
    who: dict[str, Word] = {"who": told.host or Said(READERS[told.audience])}
    if (told.before.people, told.before.everyone) != (told.after.people, told.after.everyone):
        places: dict[str, Word] = {**who, "before": _people(told.before), "after": _people(told.after)}
        found.append(Said(N_("%(who)s : qui lit, %(before)s → %(after)s"), places))
    if told.gained.items:
        found.append(Said(N_("%(who)s gagnent ce qui est déjà écrit : %(what)s"), {**who, "what": _what(told.gained)}))
    if told.lost.items:
        found.append(Said(N_("%(who)s perdent ce qui est déjà écrit : %(what)s"), {**who, "what": _what(told.lost)}))
    if told.copies:
        found.append(Said(N_("%(who)s, copies à reprendre : %(count)s"), {**who, "count": told.copies}))
    return found


def authors(told: Authors) -> list[Said]:
    """Of one organisation: how much of what its people wrote is opened to others, and how much is left out."""
    who: dict[str, Word] = {"who": told.host or Said(N_("cette instance"))}
    found = []
    if told.opened.items:
        opened = {**who, "what": _what(told.opened)}
        found.append(Said(N_("Écrit par des personnes de %(who)s, et ouvert à d’autres : %(what)s"), opened))
    if told.left_out.items:
        kept = {**who, "what": _what(told.left_out)}
        found.append(Said(N_("%(who)s n’y consent pas, et cela reste de côté : %(what)s"), kept))
    return found


def _people(measure: Measure) -> Word:
    if measure.people is None:
        return Said(N_("tout le monde") if measure.everyone else N_("personne"))
    if measure.everyone:
        return Said(N_("tout le monde (%(count)s)"), {"count": measure.people})
    return measure.people


def _what(measure: Measure) -> Said:
    counts: dict[str, Word] = {"items": measure.items, "files": measure.files, "authors": measure.authors}
    return Said(N_("messages %(items)s, fichiers %(files)s, auteurs %(authors)s"), counts)


# --- lines and JSON -------------------------------------------------------------------------------


def lines(made: list[Made], tongue: Tongue, *, applied: bool) -> list[str]:
    """Every change, each space under its own head."""
    found, head = [], ""
    for one in made:
        if not one.counts:
            continue
        if subject(one.step) != head:
            head = subject(one.step)
            found.append(head)
        found += [f"  ~ {spoken(said, tongue)}" for said in words(one.step)]
        if one.plan is not None:
            found += [f"  {line}" for line in _consequences(one.plan, tongue)]
            found.append(f"  {_kind(one.plan, tongue)}")
        if applied or one.outcome is not Outcome.APPLIED:
            waits = f" ({one.change_id})" if applied and one.change_id else ""
            found.append(f"  = {spoken(Said(OUTCOMES[one.outcome]), tongue)}{waits}")
    return found


def _consequences(plan: Plan, tongue: Tongue) -> list[str]:
    found = []
    for shift in policy_words.shifts(plan.cells):
        found.append(f"{'+' if shift.grows else '-'} {spoken(policy_words.shift(shift), tongue)}")
    for told in plan.impacts:
        found += [f"# {spoken(said, tongue)}" for said in impact(told)]
    for one in plan.authors:
        found += [f"# {spoken(said, tongue)}" for said in authors(one)]
    return found


def _kind(plan: Plan, tongue: Tongue) -> str:
    kind = N_("Élargissement") if plan.widens else N_("Resserrement") if plan.cells else N_("Aucun droit ne change")
    said = f"= {spoken(Said(kind), tongue)}"
    if plan.needs_approval:
        said += ", " + spoken(Said(N_("une autre personne doit valider")), tongue)
    return f"{said} [{plan.hash[:12]}]"


def as_json(made: list[Made], tongue: Tongue) -> list[dict[str, Any]]:
    """Every step, with its words and its consequences in numbers."""
    return [_made_json(one, tongue) for one in made]


def _made_json(one: Made, tongue: Tongue) -> dict[str, Any]:
    told = {**one.step.as_json(), "outcome": one.outcome.value, "words": [spoken(w, tongue) for w in words(one.step)]}
    told["change"] = one.counts
    if one.change_id is not None:
        told["waiting_id"] = str(one.change_id)
    return {**told, **plan_json(one.plan, tongue)} if one.plan is not None else told


def plan_json(plan: Plan, tongue: Tongue) -> dict[str, Any]:
    """The consequences of a change of policy."""
    shifts = policy_words.shifts(plan.cells)
    return {
        "hash": plan.hash,
        "widens": plan.widens,
        "needs_approval": plan.needs_approval,
        "gains": [spoken(policy_words.shift(one), tongue) for one in shifts if one.grows],
        "loses": [spoken(policy_words.shift(one), tongue) for one in shifts if not one.grows],
        "impacts": [_impact_json(told, tongue) for told in plan.impacts if not told.none],
        "authors": [_authors_json(told, tongue) for told in plan.authors],
    }


def _authors_json(told: Authors, tongue: Tongue) -> dict[str, Any]:
    return {
        "host": told.host,
        "words": [spoken(said, tongue) for said in authors(told)],
        "opened": _counts(told.opened),
        "left_out": _counts(told.left_out),
    }


def _impact_json(told: Impact, tongue: Tongue) -> dict[str, Any]:
    return {
        "audience": told.audience.value,
        "host": told.host,
        "words": [spoken(said, tongue) for said in impact(told)],
        "before": _measure_json(told.before),
        "after": _measure_json(told.after),
        "gained": _measure_json(told.gained),
        "lost": _measure_json(told.lost),
        "copies": told.copies,
    }


def _measure_json(measure: Measure) -> dict[str, Any]:
    return {"people": measure.people, "everyone": measure.everyone, **_counts(measure)}


def _counts(measure: Measure) -> dict[str, int]:
    return {"items": measure.items, "files": measure.files, "authors": measure.authors}
