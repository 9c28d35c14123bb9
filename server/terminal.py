"""How commands speak: results on stdout, one sentence on stderr, tables only where somebody looks."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.errors import DomainError


class Failure(Exception):
    """A command that did not do what it was asked: one sentence saying what, and what to do. Exit code 1."""


def phrase(error: DomainError, translated: Callable[[str], str]) -> str:
    """What people are told, and for whoever stands at the machine the detail too."""
    if error.said is not None:
        sentence = error.said(_Plain(translated))
    else:
        sentence = translated(error.sentence)
        sentence = sentence % error.params if error.params else sentence
    if error.enough is not None:
        sentence = f"{sentence} {error.enough(_Plain(translated))}"
    return f"{sentence.rstrip('.')} ({error.detail})." if error.detail else sentence


@dataclass(frozen=True, slots=True)
class _Plain:
    """A language that has sentences and no dates."""

    gettext: Callable[[str], str]


def complain(sentence: str) -> None:
    print(f"parvis: {sentence}", file=sys.stderr)


def remark(sentence: str) -> None:
    """A message that is not a result: scripts that read stdout never see it."""
    print(sentence, file=sys.stderr)


def tell(result: Mapping[str, Any]) -> None:
    """One result, as one line of JSON."""
    print(json.dumps(result, ensure_ascii=False))


def listing(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """A list: one JSON array, a table on a terminal, lines of tab-separated values for other programs."""
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
    elif sys.stdout.isatty():
        _table(rows)
    else:
        for row in rows:
            print("\t".join(_cell(value) for value in row.values()))


def _table(rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    heads = list(rows[0])
    lines = [[head.replace("_", " ") for head in heads]]
    lines += [[_cell(row[head]) for head in heads] for row in rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(heads))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_cell(part) for part in value)
    return " ".join(str(value).split())
