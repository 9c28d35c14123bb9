"""What a declarative file says about partners and spaces, as frozen values, and the policies it comes to. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from server.actions.openness import ended
from server.declared_values import FIELD_OF, KEY_OF
from server.openness import Level, Reach
from server.space_policy import PartnerTerms, SpacePolicy, altered
from server.toml_texts import Spot


@dataclass(frozen=True, slots=True)
class DeclaredPartner:
    """What the file says about one linked instance. `until_at`: in milliseconds; `kin` None: not said."""

    host: str
    spots: Mapping[str, Spot] = field(hash=False)
    key: str = ""
    sponsor: str = ""
    ceiling: Level | None = None
    until_at: int | None = None
    kin: bool | None = None


@dataclass(frozen=True, slots=True)
class DeclaredSpace:
    """What the file says about one space.

    `policy`: fields of `SpacePolicy` with their values, without `partners`, which stand apart (None: not said).
    `manage`: the fields of the file that are kept so; the others count only when the space is opened by it.
    """

    slug: str
    spots: Mapping[str, Spot] = field(hash=False)
    policy: Mapping[str, Any] = field(hash=False)
    partners: tuple[PartnerTerms, ...] | None = None
    names: Mapping[str, str] = field(default_factory=dict, hash=False)
    description: str | None = None
    owner: str = ""
    stewards: tuple[str, ...] = ()
    manage: frozenset[str] = frozenset()

    def spot(self, name: str) -> Spot:
        """Where a field stands, else where the space does."""
        return self.spots.get(name) or self.spots[""]


@dataclass(frozen=True, slots=True)
class Declaration:
    """All that a file, or a folder, declares. `label`: its name, as pages tell it."""

    label: str
    guardrails: Mapping[str, Any] = field(hash=False)
    guardrail_spots: Mapping[str, Spot] = field(hash=False)
    partners: tuple[DeclaredPartner, ...] = ()
    spaces: tuple[DeclaredSpace, ...] = ()


def fresh(space: DeclaredSpace) -> SpacePolicy:
    """What a space of this file is before anything is said about it, when it is not there yet."""
    level = space.policy.get("level") or Level.CLOSED
    hidden = level is Level.PARTNERS and space.policy.get("reach", Reach.INVITED) is Reach.INVITED
    return SpacePolicy(Level.CLOSED, listed=bool(space.policy.get("listed", not hidden)))


def wanted_of(space: DeclaredSpace, live: SpacePolicy, now: int, *, every: bool) -> SpacePolicy:
    """The policy that a space is to have: `live`, with what the file keeps, or with `every` field that it says.

    What the page decides, and the new level has no room for, falls away. After its end date a space is what follows.
    """
    names = {KEY_OF[field] for field in space.policy} if every else {n for n in space.manage if n in FIELD_OF}
    values = {field: value for field, value in space.policy.items() if KEY_OF[field] in names}
    if space.partners is not None and (every or "partners" in space.manage):
        values["partners"] = tuple(one for one in space.partners if one.until_at is None or one.until_at > now)
    wanted = altered(live, values)
    over = wanted.closes_at is not None and wanted.closes_at <= now and "closes_at" in values
    return ended(wanted) if over else wanted
