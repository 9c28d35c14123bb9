"""Every technical reason that may be kept and shown to people: what goes wrong between instances, in the English of
their logs, as the sources have it: what `federation/` raises, what the schedule says of an answer, and for which detail
a verb that a handler calls refuses. Places of a sentence are written `%s`.
"""

import ast
import re
from collections.abc import Iterator

from server.refusals import SENTENCES
from server.verdicts import CODES
from tests.house.sources import imports, modules, tree

KEPT_BY = {"_Result": 2, "noticed": 2, "disagreed": 1, "not_believed": 1, "refused": 1}
"""Functions that keep a reason, and at which place it is given."""
KEPT_AS = {"Outcome": "failure", "change": "reason", "_fail": "reason"}
IN_SQL = re.compile(r"UPDATE delivery SET .*\berror = '(\w+)'")
PLACE = re.compile(r"%\(\w+\)s")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def every() -> dict[str, str]:
    """Each reason, and where it stands."""
    trees = {name: tree(path) for name, path in modules("federation", "server").items()}
    errors = _errors(trees)
    found = {code: "server.verdicts" for code in CODES}
    found |= {reason: "server.policy" for reason in (*SENTENCES, "hidden")}
    for name, module in trees.items():
        said = _constants(module)
        for text, line in _in_module(module, errors if name.startswith("federation") else set(), said):
            found.setdefault(text, f"{name}:{line}")
    for name in _behind_handlers(trees):
        found |= {text: f"{name}:{line}" for text, line in _details(trees[name]) if text not in found}
    for text in _of_the_schedule(trees["federation.schedule"]):
        found.setdefault(text, "federation.schedule")
    return found


def without_places(text: str) -> str:
    """A msgid as the sources are gathered here."""
    return PLACE.sub("%s", text)


def _behind_handlers(trees: dict[str, ast.Module]) -> set[str]:
    """The modules of verbs that what comes in leads to, and of the questions that these ask."""
    handlers = {name for name in trees if name.startswith("federation.handlers")}
    verbs = _imported(trees, handlers, "server.actions.")
    return verbs | _imported(trees, verbs, "server.queries.")


def _imported(trees: dict[str, ast.Module], names: set[str], below: str) -> set[str]:
    named = {one for name in names for one, _, _ in imports(trees[name]) if one.startswith(below)}
    return {name for name in trees if any(f"{one}.".startswith(f"{name}.") for one in named) and name.startswith(below)}


def _details(module: ast.Module) -> Iterator[tuple[str, int]]:
    """What is kept of an error of the domain, which is not what people are told."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            for word in node.keywords:
                if word.arg == "detail":
                    yield from ((text, node.lineno) for text in _texts(word.value, {}))


def _errors(trees: dict[str, ast.Module]) -> set[str]:
    """FederationError and all that derives from it, by name."""
    found = {"FederationError"}
    classes = [node for name, t in trees.items() if name.startswith("federation") for node in ast.walk(t)]
    while new := {
        node.name
        for node in classes
        if isinstance(node, ast.ClassDef) and node.name not in found and {ast.unparse(b) for b in node.bases} & found
    }:
        found |= new
    return found


def _in_module(module: ast.Module, errors: set[str], said: dict[str, str]) -> Iterator[tuple[str, int]]:
    relays: dict[str, int] = {}
    calls: list[ast.Call] = []
    for node in ast.walk(module):
        if isinstance(node, Function):
            relays |= _relays(node, errors)
        if isinstance(node, ast.ClassDef) and node.name in errors:
            yield from _of_class(node, said)
        if isinstance(node, ast.Call):
            calls.append(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from ((word, node.lineno) for word in IN_SQL.findall(node.value))
    for call in calls:
        name = ast.unparse(call.func).rpartition(".")[2]
        at = 0 if name in errors else relays.get(name, KEPT_BY.get(name))
        kept = [call.args[at]] if at is not None and at < len(call.args) else []
        kept += [word.value for word in call.keywords if KEPT_AS.get(name) == word.arg]
        for argument in kept:
            yield from ((text, call.lineno) for text in _texts(argument, said))


def _relays(function: Function, errors: set[str]) -> dict[str, int]:
    """A function that raises or makes an error with a sentence that it is given, and at which place."""
    given = [argument.arg for argument in function.args.args]
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in errors and node.args:
            first = node.args[0]
            if isinstance(first, ast.Name) and first.id in given:
                return {function.name: given.index(first.id)}
    return {}


def _of_class(node: ast.ClassDef, said: dict[str, str]) -> Iterator[tuple[str, int]]:
    """What an error says when its class says it."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__" and call.args:
            yield from ((text, call.lineno) for text in _texts(call.args[0], said))


def _of_the_schedule(module: ast.Module) -> Iterator[str]:
    """The second of each pair of a fate and its reason."""
    for node in ast.walk(module):
        if isinstance(node, ast.Tuple) and len(node.elts) == 2 and "Fate." in ast.unparse(node.elts[0]):
            yield from _texts(node.elts[1], {})


def _constants(module: ast.Module) -> dict[str, str]:
    return {
        target.id: node.value.value
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _texts(argument: ast.expr, said: dict[str, str]) -> list[str]:
    """A string, one that is named, one with places, or both sides of a choice."""
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return [argument.value] if argument.value else []
    if isinstance(argument, ast.Name | ast.Attribute):
        name = ast.unparse(argument).rpartition(".")[2]
        return [said[name]] if name in said else []
    if isinstance(argument, ast.JoinedStr):
        return ["".join(str(part.value) if isinstance(part, ast.Constant) else "%s" for part in argument.values)]
    if isinstance(argument, ast.BoolOp):
        return [text for value in argument.values for text in _texts(value, said)]
    if isinstance(argument, ast.IfExp):
        return [*_texts(argument.body, said), *_texts(argument.orelse, said)]
    return []
