"""The steps from what is to what a declarative file says, each as two values of JSON. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from server.openness import Level
from server.space_policy import canonical_json, compare, digest_of, from_json, widens


class Kind(StrEnum):
    """What a step sets."""

    GUARDRAIL = "guardrail"
    KIN = "kin"
    OPEN = "open"
    NAME = "name"
    ROLE = "role"
    POLICY = "policy"
    MANAGED = "managed"


@dataclass(frozen=True, slots=True)
class Step:
    """From what is to what is to be, both as JSON. `epoch`: the version of a policy that was seen."""

    kind: Kind
    subject: str  # a guardrail, a host, a slug, or `slug/name`
    before: Any
    after: Any
    epoch: int = 0
    past: bool = False

    @property
    def grows(self) -> bool:
        """Whether somebody may gain something by it."""
        if self.kind is Kind.POLICY:
            return self.past or widens(compare(from_json(self.before), from_json(self.after)))
        if self.kind is Kind.GUARDRAIL:
            return not _tighter(self.subject, self.before, self.after)
        return self.kind in (Kind.OPEN, Kind.ROLE) or (self.kind is Kind.KIN and bool(self.after))

    @property
    def turn(self) -> int:
        """When it is taken: what narrows first, what widens last.

        The rule of the second person is loosened after everything else, so that no file escapes it in one go; other
        guardrails come first, because the spaces of the same file are meant for them.
        """
        if self.kind is Kind.GUARDRAIL:
            return 8 if self.subject == "require_second_person_from" and self.grows else 0
        if self.kind is Kind.POLICY:
            return 6 if self.grows else 2
        return {Kind.KIN: 7 if self.grows else 1, Kind.OPEN: 3, Kind.NAME: 4, Kind.ROLE: 5}.get(self.kind, 9)

    def as_json(self) -> dict[str, Any]:
        told = {"kind": self.kind.value, "subject": self.subject, "before": self.before, "after": self.after}
        return {**told, "epoch": self.epoch, "past": self.past}


def hash_of(steps: Iterable[Step]) -> str:
    """The same for the same steps, whoever finds them and when."""
    return digest_of("parvis plan", canonical_json([step.as_json() for step in steps]))


def _tighter(name: str, before: Any, after: Any) -> bool:
    """Whether a guardrail allows less than before."""
    if name == "max_level":
        return Level(after).rank <= Level(before or Level.PUBLIC).rank
    if name in ("require_until_from", "require_second_person_from"):
        none = len(Level) + 1
        ranks = [Level(value).rank if value else none for value in (before, after)]
        return ranks[1] <= ranks[0]
    return bool(after) and (not before or after <= before)
