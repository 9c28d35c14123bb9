"""Adds thousands of people from one table: all of them, or none and a list of what does not fit, by line and column."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from server import database as db
from server.actions.accounts import EMAIL_TAKEN, NAME_TAKEN, Added, NewPerson, faults_of, write_people
from server.actions.audit import note
from server.errors import Conflict, DomainError, Invalid
from server.ids import Addresses
from server.queries.offices import demand_administrator
from server.refusals import N_
from server.viewer import Employee, Operator

SOME_FAULTS = N_("Des cases du tableau ne conviennent pas (%(count)s) : personne n’a été ajouté.")
NO_HEADER = N_("La première ligne nomme les colonnes : « name » au moins, puis display_name, email, office, language.")
UNKNOWN_COLUMN = N_("« %(column)s » n’est pas une colonne connue.")
WRONG_LENGTH = N_("Cette ligne a %(found)s cases, la première en a %(expected)s.")
TWICE = N_("« %(value)s » est déjà à la ligne %(line)s.")
UNREADABLE = N_("Ce tableau n’est pas du CSV en UTF-8.")
TOO_MANY_ROWS = N_("Un tableau a au plus %(limit)s lignes.")

MOST_ROWS = 50_000
MOST_FAULTS = 200
COLUMNS = {
    "name": "name",
    "identifiant": "name",
    "display_name": "display_name",
    "nom": "display_name",
    "email": "email",
    "courriel": "email",
    "office": "office",
    "role": "office",
    "rôle": "office",
    "language": "language",
    "langue": "language",
}


@dataclass(frozen=True, slots=True)
class TableFault:
    """One cell that does not fit. `line` counts from 1, as editors do; `column`: as its header calls it, or ''."""

    line: int
    column: str
    error: DomainError


class TableFaults(Invalid):
    """All that does not fit in a table, at most MOST_FAULTS of it. Nothing was written."""

    def __init__(self, faults: list[TableFault]) -> None:
        self.faults = tuple(faults[:MOST_FAULTS])
        super().__init__(SOME_FAULTS, field="file", params={"count": len(faults)})


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    new: NewPerson


async def import_people(viewer: Employee | Operator, table: str | bytes, here: Addresses) -> list[Added]:
    """Adds the people of a CSV table (comma or semicolon, UTF-8), in one transaction.

    Raises TableFaults, Invalid for what is no table, Forbidden for who is no administrator.
    """
    demand_administrator(viewer)
    names, rows, faults = _read(table)
    faults += [fault for row in rows for fault in _faults_in(row, names, here)]
    faults += _twice(rows, names)
    async with db.transaction():
        faults += await _taken(rows, names)
        if faults:
            raise TableFaults(sorted(faults, key=lambda fault: fault.line))
        added = await write_people([row.new for row in rows], here)
        await note(viewer, "import_people", count=len(added))
        return added


def _read(table: str | bytes) -> tuple[dict[str, str], list[_Row], list[TableFault]]:
    """The header's own word for each field, the rows, and lines that are too short or too long."""
    try:
        text = (table.decode("utf-8-sig") if isinstance(table, bytes) else table).removeprefix("\ufeff")
        lines = list(_lines(text))
    except (UnicodeDecodeError, csv.Error) as error:
        raise Invalid(UNREADABLE, field="file", detail=str(error)) from None
    if not lines:
        raise Invalid(NO_HEADER, field="file")
    header = [cell.strip() for cell in lines[0][1]]
    for word in header:
        if word.lower() not in COLUMNS:
            raise Invalid(UNKNOWN_COLUMN, field="file", params={"column": word[:80]})
    fields = [COLUMNS[word.lower()] for word in header]
    if "name" not in fields or len(set(fields)) != len(fields):
        raise Invalid(NO_HEADER, field="file")
    if len(lines) > MOST_ROWS + 1:
        raise Invalid(TOO_MANY_ROWS, field="file", params={"limit": MOST_ROWS})
    rows, faults = [], []
    for line, cells in lines[1:]:
        if len(cells) == len(fields):
            rows.append(_Row(line, NewPerson(**dict(zip(fields, cells, strict=True))).tidied()))
        else:
            counts = {"found": len(cells), "expected": len(fields)}
            faults.append(TableFault(line, "", Invalid(WRONG_LENGTH, params=counts)))
    return dict(zip(fields, header, strict=True)), rows, faults


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not empty, with the line it begins on."""
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text), delimiter=";" if first.count(";") > first.count(",") else ",", strict=True)
    begins = 1
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield begins, cells
        begins = reader.line_num + 1


def _faults_in(row: _Row, names: dict[str, str], here: Addresses) -> Iterator[TableFault]:
    for error in faults_of(row.new, here):
        yield TableFault(row.line, names[error.field], error)


def _twice(rows: list[_Row], names: dict[str, str]) -> Iterator[TableFault]:
    for key in ("name", "email"):
        seen: dict[str, int] = {}
        for row in rows:
            value: str = getattr(row.new, key)
            if value and seen.setdefault(value, row.line) != row.line:
                params = {"value": value[:80], "line": seen[value]}
                yield TableFault(row.line, names[key], Invalid(TWICE, field=key, params=params))


async def _taken(rows: list[_Row], names: dict[str, str]) -> list[TableFault]:
    """Those whose name or mail address somebody here has already: two questions, however many rows."""
    taken = {row["name"] for row in await db.fetch("SELECT name FROM actor WHERE host = ''")}
    mails = {row["email"] for row in await db.fetch("SELECT email FROM account WHERE email IS NOT NULL")}
    faults = []
    for row in rows:
        if row.new.name in taken:
            error = Conflict(NAME_TAKEN, params={"name": row.new.name})
            faults.append(TableFault(row.line, names["name"], error))
        if row.new.email and row.new.email in mails:
            faults.append(TableFault(row.line, names["email"], Conflict(EMAIL_TAKEN)))
    return faults
