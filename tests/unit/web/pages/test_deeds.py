"""The journal says every deed in words, and its values too."""

import ast
from pathlib import Path

from server.plan_words import GUARDRAILS
from server.queries.audit import Deed
from web.locale import choose
from web.pages.showing.deeds import DEED_WORDS, row_of

ROOT = Path(__file__).parents[4]


def noted() -> set[str]:
    """Every deed that the code writes down."""
    calls = (
        call
        for folder in ("server", "federation", "web")
        for path in (ROOT / folder).rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "note"
    )
    return {
        str(argument.value)
        for call in calls
        for argument in call.args[1:2]
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }


def deed(act: str, *, by: str = "odile", subject: str = "", operator: bool = False, **data: object) -> Deed:
    return Deed(id=1, at=0, by=by, operator=operator, act=act, space="projet", subject=subject, data=data)


def test_every_deed_has_words() -> None:
    assert len(noted()) > 25
    assert noted() - set(DEED_WORDS) == set()


def test_values_are_said_in_words_and_nothing_twice() -> None:
    speaks = choose("fr", "", "fr")
    row = row_of(speaks, deed("set_openness", subject="projet", before="closed", after="network", door="page"))
    assert (row.subject, row.details) == ("", ("Fermé → Réseau", "par la page"))
    row = row_of(speaks, deed("ask_openness", subject="projet", level="network", state="waiting"))
    assert row.details == ("Réseau", "attend une seconde personne")
    assert row_of(speaks, deed("add_member", subject="nina", role="member")).details == ("membre",)
    assert row_of(speaks, deed("add_person", subject="nina", office="guest")).details == ("de l’extérieur",)


def test_a_reason_is_said_in_words_and_what_somebody_typed_as_it_was() -> None:
    speaks = choose("fr", "", "fr")
    for kept, words in (
        ("set_openness", "espace resserré"),
        ("The receipt does not say what was purged.", "Le reçu ne dit pas ce qui a été effacé."),
        ("audit en cours", "audit en cours"),
    ):
        assert row_of(speaks, deed("link_suspend", subject="kestrel.test", reason=kept)).details == (words,)


def test_a_guardrail_and_the_command_line_are_named() -> None:
    speaks = choose("fr", "", "fr")
    limit = deed("set_guardrail", by="operator", operator=True, subject="max_level", before=None, after="network")
    row = row_of(speaks, limit)
    assert (row.by, row.subject, row.details) == ("", GUARDRAILS["max_level"], ("– → Réseau",))
