"""From a declaration to the steps that are missing here, and what in it does not fit this instance."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from server import policy_words
from server.bounds import Problem
from server.declared import Declaration, DeclaredSpace, fresh, wanted_of
from server.declared_steps import Kind, Step
from server.declared_values import FIELD_OF, KEY_OF
from server.openness import Level, Role
from server.policy_words import Said
from server.queries import declared as live
from server.queries.declared import LiveLink, LiveSpace
from server.refusals import N_
from server.space_policy import to_json
from server.toml_texts import Fault, told_path

NOT_LINKED = N_("attendu : une instance liée à celle-ci ; « %(host)s » ne l’est pas")
OTHER_KEY = N_("attendu : la clé épinglée de ce lien, %(key)s")
NOBODY = N_("attendu : une personne de cette instance ; « %(who)s » n’y est pas")
NEEDED = N_("attendu : « %(key)s », pour un espace qui n’existe pas encore")
ADDRESS_TAKEN = N_("attendu : une adresse libre ; « %(slug)s » est déjà à quelqu’un")
UNSET = {
    "max_level": Level.PUBLIC.value,
    "require_until_from": "",
    "require_second_person_from": "",
    "openings_a_week": 0,
    "max_days_open": 0,
}
"""What each guardrail is while nobody has set it."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What a declaration comes to here. `unmanaged`: what is here and that it does not name, left as it is."""

    steps: tuple[Step, ...]
    faults: tuple[Fault, ...]
    unmanaged: tuple[str, ...]


async def compare(declaration: Declaration, language: str, now: int, *, past: bool = False) -> Missing:
    """The steps towards a declaration; `language`: of a name that is given in two; `past`: widen to it, too."""
    spaces = await live.spaces(space.slug for space in declaration.spaces)
    links = await live.links()
    rails = await live.guardrails()
    faults = [fault async for fault in _faults(declaration, spaces, links)]
    steps = [
        Step(Kind.GUARDRAIL, name, rails.get(name), _plain(value))
        for name, value in declaration.guardrails.items()
        if rails.get(name, UNSET[name]) != _plain(value)
    ]
    for partner in declaration.partners:
        link = links.get(partner.host)
        if link is not None and partner.kin is not None and partner.kin is not link.kin:
            steps.append(Step(Kind.KIN, partner.host, link.kin, partner.kin))
    if not faults:
        for space in declaration.spaces:
            steps += _of_space(space, spaces.get(space.slug), declaration.label, language, now, past)
    declared = {space.slug for space in declaration.spaces}
    unmanaged = [f"space.{slug}" for slug in await live.slugs() if slug not in declared]
    unmanaged += [f"guardrails.{name}" for name in rails if name not in declaration.guardrails]
    named = {partner.host for partner in declaration.partners}
    unmanaged += [told_path(("partner", host)) for host, link in links.items() if link.trusted and host not in named]
    return Missing(tuple(steps), tuple(faults), tuple(unmanaged))


def problem_fault(declaration: Declaration, slug: str, problem: Problem) -> Fault:
    """What stands against a policy, at the place of the file that says so."""
    space = next(one for one in declaration.spaces if one.slug == slug)
    key = KEY_OF.get(problem.field, problem.field)
    known = key if key in space.spots else ""
    return Fault(
        space.spot(key), told_path(("space", slug, *([known] if known else []))), policy_words.problem(problem)
    )


def _plain(value: Any) -> Any:
    return "" if value is None else value


async def _faults(declaration: Declaration, spaces: dict[str, LiveSpace], links: dict[str, LiveLink]) -> Any:
    for partner in declaration.partners:
        link, path = links.get(partner.host), ("partner", partner.host)
        if link is None or not link.trusted:
            yield Fault(partner.spots[""], told_path(path), Said(NOT_LINKED, {"host": partner.host}))
        elif partner.key and partner.key != link.key:
            yield Fault(partner.spots["key"], told_path((*path, "key")), Said(OTHER_KEY, {"key": link.key}))
    sponsors = {partner.sponsor for partner in declaration.partners if partner.sponsor}
    known = await live.people(sponsors.union(*(_people(space) for space in declaration.spaces)))
    for partner in declaration.partners:
        if partner.sponsor and partner.sponsor not in known:
            sponsor = told_path(("partner", partner.host, "sponsor"))
            yield Fault(partner.spots["sponsor"], sponsor, Said(NOBODY, {"who": partner.sponsor}))
    taken = await live.taken_names(space.slug for space in declaration.spaces if space.slug not in spaces)
    for space in declaration.spaces:
        there = spaces.get(space.slug)
        for fault in _of_people(space, known | set(there.roles if there else ())):
            yield fault
        if space.slug not in spaces:
            for fault in _of_new(space, taken):
                yield fault


def _people(space: DeclaredSpace) -> set[str]:
    sponsors = {terms.sponsor for terms in space.partners or () if terms.sponsor}
    return {*sponsors, *space.stewards, *([space.owner] if space.owner else [])}


def _of_people(space: DeclaredSpace, known: set[str]) -> Iterator[Fault]:
    named = [("owner", space.owner)] if space.owner else []
    named += [("stewards", name) for name in space.stewards]
    named += [(f"partners.{terms.host}", terms.sponsor) for terms in space.partners or () if terms.sponsor]
    for key, name in named:
        if name not in known:
            path = ("space", space.slug, key.partition(".")[0])
            yield Fault(space.spot(key), told_path(path), Said(NOBODY, {"who": name}))


def _of_new(space: DeclaredSpace, taken: set[str]) -> Iterator[Fault]:
    if space.slug in taken:
        yield Fault(space.spots[""], told_path(("space", space.slug)), Said(ADDRESS_TAKEN, {"slug": space.slug}))
    for key, given in (("owner", space.owner), ("name", space.names), ("level", space.policy.get("level"))):
        if not given:
            yield Fault(space.spots[""], told_path(("space", space.slug)), Said(NEEDED, {"key": key}))


def _of_space(
    space: DeclaredSpace, there: LiveSpace | None, label: str, language: str, now: int, past: bool
) -> Iterator[Step]:
    name = space.names.get(language) or next(iter(space.names.values()), "")
    if there is None:
        first = fresh(space)
        opened = {"name": name, "owner": space.owner, "description": space.description or "", "listed": first.listed}
        yield Step(Kind.OPEN, space.slug, None, opened)
        before, epoch, roles, keeps = first, 1, {space.owner: Role.OWNER.value}, False
    else:
        before, epoch, roles, keeps = there.policy, there.epoch, there.roles, True
        wanted_words = {
            "name": name if name and "name" in space.manage else there.name,
            "description": space.description
            if space.description is not None and "description" in space.manage
            else there.description,
        }
        words = {"name": there.name, "description": there.description}
        if words != wanted_words:
            yield Step(Kind.NAME, space.slug, words, wanted_words)
    wanted = wanted_of(space, before, now, every=not keeps)
    if wanted != before:
        step = Step(Kind.POLICY, space.slug, to_json(before), to_json(wanted), epoch)
        yield Step(step.kind, step.subject, step.before, step.after, epoch, past=past and step.grows)
    yield from _roles(space, roles, keeps)
    fields = sorted({FIELD_OF.get(one, one) for one in space.manage})
    managed = {"file": there.managed_by if there else "", "fields": list(there.managed_fields) if there else []}
    if managed != {"file": label, "fields": fields}:
        yield Step(Kind.MANAGED, space.slug, managed, {"file": label, "fields": fields})


def _roles(space: DeclaredSpace, roles: dict[str, str], keeps: bool) -> Iterator[Step]:
    """Who is to look after it and does not yet; nobody loses a role because a file does not name them."""
    if space.owner and (not keeps or "owner" in space.manage) and roles.get(space.owner) != Role.OWNER:
        yield Step(Kind.ROLE, f"{space.slug}/{space.owner}", roles.get(space.owner, ""), Role.OWNER.value)
    if keeps and "stewards" not in space.manage:
        return
    for name in space.stewards:
        if name != space.owner and roles.get(name) not in (Role.STEWARD, Role.OWNER):
            yield Step(Kind.ROLE, f"{space.slug}/{name}", roles.get(name, ""), Role.STEWARD.value)
