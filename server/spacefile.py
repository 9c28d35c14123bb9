"""The declarative file of spaces (TOML), or a folder of them, to frozen values: the wanted end, never the steps.

Nothing of the database is asked here. All faults are found in one reading, and with a single one nothing is declared.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace as altered
from pathlib import Path as File
from typing import Any

from server import bounds, policy_words
from server.declared import Declaration, DeclaredPartner, DeclaredSpace, fresh, wanted_of
from server.declared_values import (
    GUARDRAIL_KEYS,
    KEY_OF,
    LANGUAGES,
    PARTNER_KEYS,
    POLICY,
    ROOT_KEYS,
    SPACE_KEYS,
    TERMS_KEYS,
    Unfit,
    a_host,
    a_name,
    a_slug,
    a_text,
)
from server.openness import Level
from server.policy_words import Said
from server.refusals import N_
from server.rights import NARROWABLE
from server.space_policy import (
    MOST_PARTNERS,
    TEXT_CHARACTERS,
    Guardrails,
    PartnerTerms,
)
from server.toml_places import Path
from server.toml_texts import Fault, Spot, Text, WrongFile, read_plain, texts_of, told_path

SCHEMA = 1
MOST_STEWARDS = 50

UNKNOWN = N_("attendu : l’une des clés %(keys)s")
MISSING = N_("attendu : la clé « %(key)s »")
A_TABLE = N_("attendu : une table")
A_LIST = N_("attendu : une liste d’au plus %(most)s valeurs")
SCHEMA_ONE = N_("attendu : schema = %(schema)s")
TWICE_ELSEWHERE = N_("attendu : une seule fois ; déjà dans %(file)s, ligne %(line)s")
NO_SECTION = N_('attendu : un partenaire qui a sa section [partner."%(host)s"] dans ces fichiers')
NAMED_TWICE = N_("attendu : chaque partenaire une seule fois")
OVER_CEILING = N_("attendu : un espace au plus au niveau %(level)s, le plafond de ce partenaire")
PAST_PARTNER = N_("attendu : une date qui ne dépasse pas celle de la section du partenaire")
NOT_GIVEN = N_("attendu : une clé que cet espace donne ; « %(key)s » n’y est pas")
END_BEFORE_START = N_("attendu : une date de fin après le début (« opens »)")
A_CHARTER = N_('attendu : un fichier texte à côté de celui-ci, ou plus bas, sans lien symbolique, ou { text = "…" }')
CHARTER_SIZE = N_("attendu : une charte d’au plus %(most)s caractères, en UTF-8")


def read(path: File, now: int) -> Declaration:
    """What a file, or a folder of files, declares. `now` in milliseconds. Raises WrongFile with every fault."""
    texts, faults = texts_of(path)
    reading = _Reading(faults)
    for text in texts:
        reading.root(text)
    reading.check(now)
    if reading.faults:
        raise WrongFile(reading.faults)
    return reading.declaration(path.resolve().name if texts else path.name)


class _Reading:
    """All files of one declaration, and what is wrong with them."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = list(faults)
        self.broken = bool(faults)  # what one file says about another cannot be checked
        self.guardrails: dict[str, Any] = {}
        self.guardrail_spots: dict[str, Spot] = {}
        self.partners: dict[str, DeclaredPartner] = {}
        self.spaces: dict[str, DeclaredSpace] = {}

    def declaration(self, label: str) -> Declaration:
        return Declaration(
            label, self.guardrails, self.guardrail_spots, tuple(self.partners.values()), tuple(self.spaces.values())
        )

    def wrong(self, text: Text, path: Path, expected: Said) -> None:
        self.faults.append(Fault(text.spot(path), told_path(path), expected))

    # --- shapes

    def root(self, text: Text) -> None:
        self.known(text, (), text.values, ROOT_KEYS)
        if "schema" not in text.values or type(text.values["schema"]) is not int or text.values["schema"] != SCHEMA:
            self.wrong(text, ("schema",), Said(SCHEMA_ONE, {"schema": SCHEMA}))
        for name, value in self.table(text, ("guardrails",)).items():
            self.guardrail(text, name, value)
        for host in self.table(text, ("partner",)):
            self.partner(text, host)
        for slug in self.table(text, ("space",)):
            self.space(text, slug)

    def table(self, text: Text, path: Path) -> dict[str, Any]:
        """The table at a path; empty, with a fault, when it is something else."""
        value: Any = text.values
        for part in path:
            value = value.get(part, {})
        if isinstance(value, dict):
            return value
        self.wrong(text, path, Said(A_TABLE))
        return {}

    def known(self, text: Text, path: Path, values: Mapping[str, Any], keys: tuple[str, ...]) -> None:
        for name in values:
            if name not in keys:
                self.wrong(text, (*path, name), Said(UNKNOWN, {"keys": ", ".join(keys)}))

    def value(self, text: Text, path: Path, value: Any, reader: Callable[[Any], Any]) -> Any:
        """What a value means, or None with a fault."""
        try:
            return reader(value)
        except Unfit as error:
            self.wrong(text, path, error.expected)
            return None

    def once(self, text: Text, path: Path, first: Spot | None) -> bool:
        """Whether no other file has said it before, at `first`."""
        if first is None:
            return True
        self.wrong(text, path, Said(TWICE_ELSEWHERE, {"file": first.file, "line": first.line}))
        return False

    # --- sections

    def guardrail(self, text: Text, name: str, value: Any) -> None:
        path: Path = ("guardrails", name)
        if name not in GUARDRAIL_KEYS:
            self.wrong(text, path, Said(UNKNOWN, {"keys": ", ".join(GUARDRAIL_KEYS)}))
        elif self.once(text, path, self.guardrail_spots.get(name)):
            self.guardrails[name] = self.value(text, path, value, GUARDRAIL_KEYS[name])
            self.guardrail_spots[name] = text.spot(path)

    def partner(self, text: Text, host: str) -> None:
        path: Path = ("partner", host)
        values = self.table(text, path)
        self.known(text, path, values, tuple(PARTNER_KEYS))
        self.value(text, path, host, a_host)
        if not self.once(text, path, self.partners[host].spots[""] if host in self.partners else None):
            return
        said = {
            name: self.value(text, (*path, name), value, PARTNER_KEYS[name])
            for name, value in values.items()
            if name in PARTNER_KEYS
        }
        if "until" in said:
            said["until_at"] = said.pop("until")
        spots = {"": text.spot(path)} | {name: text.spot((*path, name)) for name in values}
        self.partners[host] = DeclaredPartner(host, spots, **{n: v for n, v in said.items() if v is not None})

    def space(self, text: Text, slug: str) -> None:
        path: Path = ("space", slug)
        values = self.table(text, path)
        self.known(text, path, values, SPACE_KEYS)
        self.value(text, path, slug, a_slug)
        if not self.once(text, path, self.spaces[slug].spots[""] if slug in self.spaces else None):
            return
        spots = {"": text.spot(path)} | {name: text.spot((*path, name)) for name in values}
        policy: dict[str, Any] = {}
        for name, (known, reader) in POLICY.items():
            if name in values:
                value = self.value(text, (*path, name), values[name], reader)
                if name == "history" and value is not None:
                    policy["history"] = value[0]
                    policy |= {"history_days": value[1]} if value[1] else {}
                elif name != "history":
                    policy[known] = value
        if "charter" in values:
            policy["charter"] = self.charter(text, (*path, "charter"), values["charter"])
        self.spaces[slug] = DeclaredSpace(
            slug,
            spots,
            policy,
            partners=self.terms(text, (*path, "partners"), values["partners"], spots) if "partners" in values else None,
            names=self.names(text, (*path, "name"), values["name"]) if "name" in values else {},
            description=self.value(text, (*path, "description"), values["description"], a_text(5000))
            if "description" in values
            else None,
            owner=self.value(text, (*path, "owner"), values["owner"], a_name) or "" if "owner" in values else "",
            stewards=tuple(self.listed(text, (*path, "stewards"), values.get("stewards", []), MOST_STEWARDS, a_name)),
            manage=self.managed(text, path, values),
        )

    def listed(self, text: Text, path: Path, value: Any, most: int, reader: Callable[[Any], Any]) -> list[Any]:
        if not isinstance(value, list) or len(value) > most:
            self.wrong(text, path, Said(A_LIST, {"most": most}))
            return []
        return [self.value(text, (*path, number), one, reader) for number, one in enumerate(value)]

    def names(self, text: Text, path: Path, value: Any) -> dict[str, str]:
        """The name, in one language or in both."""
        reader = a_text(200)
        if not isinstance(value, dict):
            said = self.value(text, path, value, reader)
            return {"": said} if said else {}
        self.known(text, path, value, LANGUAGES)
        return {name: self.value(text, (*path, name), one, reader) or "" for name, one in value.items()}

    def managed(self, text: Text, path: Path, values: Mapping[str, Any]) -> frozenset[str]:
        """What the file keeps as it says; unsaid, all that it says."""
        given = set(values) & set(SPACE_KEYS) - {"manage"}
        if "manage" not in values:
            return frozenset(given)
        reader = a_text(40)
        named = self.listed(text, (*path, "manage"), values["manage"], len(SPACE_KEYS), reader)
        for number, name in enumerate(named):
            if name is not None and name not in given:
                known = name in SPACE_KEYS and name != "manage"
                keys = ", ".join(one for one in SPACE_KEYS if one != "manage")
                expected = Said(NOT_GIVEN, {"key": name}) if known else Said(UNKNOWN, {"keys": keys})
                self.wrong(text, (*path, "manage", number), expected)
        return frozenset(name for name in named if name)

    def charter(self, text: Text, path: Path, value: Any) -> str:
        """The text of a file beside this one, or written out."""
        most = TEXT_CHARACTERS["charter"]
        if isinstance(value, dict):
            self.known(text, path, value, ("text",))
            return self.value(text, (*path, "text"), value.get("text"), a_text(most)) or ""
        if value == "":
            return ""
        raw = _beside(text.folder, value, 4 * most) if isinstance(value, str) else None
        if raw is None:
            self.wrong(text, path, Said(A_CHARTER))
            return ""
        try:
            charter = raw.decode()
        except UnicodeDecodeError:
            charter = "\0"
        if len(charter) > most or "\0" in charter:
            self.wrong(text, path, Said(CHARTER_SIZE, {"most": most}))
            return ""
        return charter

    def terms(self, text: Text, path: Path, value: Any, spots: dict[str, Spot]) -> tuple[PartnerTerms, ...]:
        """The partners that a space names, as hosts or as tables; `spots` learns where each stands."""
        if not isinstance(value, list) or len(value) > MOST_PARTNERS:
            self.wrong(text, path, Said(A_LIST, {"most": MOST_PARTNERS}))
            return ()
        found: dict[str, PartnerTerms] = {}
        for number, one in enumerate(value):
            terms = self.one_partner(text, (*path, number), one)
            if terms is None:
                continue
            if terms.host in found:
                self.wrong(text, (*path, number), Said(NAMED_TWICE))
            found.setdefault(terms.host, terms)
            spots[f"partners.{terms.host}"] = text.spot((*path, number))
        return tuple(found[host] for host in sorted(found))

    def one_partner(self, text: Text, path: Path, value: Any) -> PartnerTerms | None:
        if not isinstance(value, dict):
            host = self.value(text, path, value, a_host)
            return PartnerTerms(host) if host else None
        self.known(text, path, value, tuple(TERMS_KEYS))
        said = {
            name: self.value(text, (*path, name), one, TERMS_KEYS[name])
            for name, one in value.items()
            if name in TERMS_KEYS
        }
        if "host" not in value:
            self.wrong(text, path, Said(MISSING, {"key": "host"}))
        if not said.get("host"):
            return None
        less = tuple((right, said[right]) for right in NARROWABLE if said.get(right) is not None)
        return PartnerTerms(
            said["host"],
            reach=said["reach"].value if said.get("reach") else "",
            until_at=said.get("until"),
            people_max=said.get("people_max") or 0,
            sponsor=said.get("sponsor") or "",
            custody=said.get("custody") or "",
            less=less,
        )

    # --- what the parts say together

    def check(self, now: int) -> None:
        """Partners that have their section, within it; policies that can be."""
        for slug, space in self.spaces.items():
            self.spaces[slug] = space = self.with_sections(space)
            opens, until = space.policy.get("opens_at"), space.policy.get("closes_at")
            if opens is not None and until is not None and until <= opens:
                self.fault(space, "until", Said(END_BEFORE_START))
            elif self.complete(space):
                self.possible(space, now)

    def complete(self, space: DeclaredSpace) -> bool:
        """Whether every value of a space and every guardrail could be read."""
        none = {"opens_at", "closes_at", "then_level"}
        values = {**space.policy, **self.guardrails}
        optional = none | {"require_until_from", "require_second_person_from"}
        return all(value is not None for name, value in values.items() if name not in optional)

    def with_sections(self, space: DeclaredSpace) -> DeclaredSpace:
        """What the section of a partner says counts where the space says nothing."""
        terms = []
        for one in space.partners or ():
            section, name = self.partners.get(one.host), f"partners.{one.host}"
            if section is None:
                if not self.broken:
                    self.fault(space, name, Said(NO_SECTION, {"host": one.host}))
                continue
            level = space.policy.get("level") or Level.CLOSED
            if section.ceiling is not None and level.rank > section.ceiling.rank:
                self.fault(space, name, Said(OVER_CEILING, {"level": policy_words.level(section.ceiling)}))
            if one.until_at is not None and section.until_at is not None and one.until_at > section.until_at:
                self.fault(space, name, Said(PAST_PARTNER))
            until_at = one.until_at if one.until_at is not None else section.until_at
            terms.append(altered(one, until_at=until_at, sponsor=one.sponsor or section.sponsor))
        return altered(space, partners=tuple(terms) if space.partners is not None else None)

    def possible(self, space: DeclaredSpace, now: int) -> None:
        rails = Guardrails(**{name: value for name, value in self.guardrails.items() if value is not None})
        wanted = wanted_of(space, fresh(space), now, every=True)
        for problem in bounds.problems(wanted, rails, now):
            key = KEY_OF.get(problem.field, problem.field)
            if key == "until" and "manage" in space.spots and "until" not in space.manage:
                continue  # the page says until when
            self.fault(space, key, policy_words.problem(problem))

    def fault(self, space: DeclaredSpace, name: str, expected: Said) -> None:
        key = told_path(("space", space.slug, *([name.partition(".")[0]] if name else [])))
        self.faults.append(Fault(space.spot(name), key, expected))


def _beside(folder: File, value: str, most: int) -> bytes | None:
    """A plain file in a folder or below it, reached without any link; None when it is not one."""
    path = File(value)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in value or len(value) > 300:
        return None
    at = folder
    for part in path.parts:
        at = at / part
        if at.is_symlink():
            return None
    return read_plain(at, most)
