"""Why something failed, in the language that whoever stands at the machine asks for; programs read what is kept."""

import argparse
from collections.abc import Mapping
from typing import Any

REASONS = frozenset({"error", "last_error", "reason"})
"""Names under which a reason is kept. What somebody typed stays as it is: there are no words for it."""


def spoken(row: Mapping[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """A row of a listing with its reasons, and those of rows inside it, in the language asked for."""
    if args.json or not args.language:
        return dict(row)
    tongue = args.tongue(args.language)
    return {name: _value(name, value, tongue) for name, value in row.items()}


def _value(name: str, value: Any, tongue: Any) -> Any:
    if isinstance(value, list):
        return [
            {inner: _value(inner, part, tongue) for inner, part in one.items()} if isinstance(one, dict) else one
            for one in value
        ]
    return tongue.reason(value) if name in REASONS and value else value
