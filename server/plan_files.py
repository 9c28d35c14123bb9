"""A plan that is kept in a file: written by `parvis spaces plan -o`, read by `apply`, which makes exactly that."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from server import plan_words
from server.actions.declaring import Made
from server.actions.openness import Outcome
from server.declared_steps import Kind, Step, hash_of
from server.declared_values import GUARDRAIL_KEYS, Unfit
from server.policy_words import Tongue
from server.space_policy import from_json
from server.terminal import Failure
from server.toml_texts import read_plain

PLAN_BYTES = 64 * 1024 * 1024
PLAN_FORMAT = 1


def document(made: Sequence[Made], source: str, unmanaged: Sequence[str], tongue: Tongue) -> dict[str, Any]:
    """A plan as it is kept: its steps with their words and numbers, and the hash of the steps."""
    taken = [one.step for one in made]
    return {
        "parvis_plan": PLAN_FORMAT,
        "hash": hash_of(taken),
        "source": source,
        "changes": sum(1 for one in made if one.counts),
        "needs_approval": any(one.outcome is Outcome.WAITING for one in made),
        "steps": plan_words.as_json(list(made), tongue),
        "unmanaged": list(unmanaged),
    }


def read_plan(file: Path) -> tuple[tuple[Step, ...], str]:
    """The steps of a plan that was written before, exactly those. Raises Failure."""
    raw = read_plain(file, PLAN_BYTES)
    if raw is None or len(raw) > PLAN_BYTES:
        raise Failure(f"{file}: no plan that can be read.")
    try:
        told = msgspec.json.decode(raw)
        if told["parvis_plan"] != PLAN_FORMAT:
            raise ValueError
        steps = tuple(_step(one) for one in told["steps"])
        source, known = str(told["source"])[:300], told["hash"]
    except (msgspec.DecodeError, KeyError, ValueError, TypeError, AttributeError, RecursionError, Unfit):
        raise Failure(f"{file}: not a plan of this version; “parvis spaces plan -o” writes one.") from None
    if hash_of(steps) != known:
        raise Failure(f"{file} was changed after it was planned; plan again.")
    return steps, source


def _step(told: dict[str, Any]) -> Step:
    step = Step(
        Kind(told["kind"]),
        str(told["subject"]),
        told["before"],
        told["after"],
        int(told["epoch"]),
        told["past"] is True,
    )
    if step.kind is Kind.POLICY:
        from_json(step.before), from_json(step.after)
    if step.kind is Kind.GUARDRAIL:
        GUARDRAIL_KEYS[step.subject](step.after)
    step.turn  # noqa: B018  # raises for values that no plan has
    return step
