"""Every sentence shown to people, gathered from the templates and from the code, and the English catalogue."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from jinja2 import nodes

from tests.house.sources import PACKAGES, modules, relative, tree
from web.reasons import SENTENCES
from web.render import _ENVIRONMENTS, TEMPLATES

ENGLISH = SENTENCES / "en" / "parvis.po"
ENVIRONMENT = _ENVIRONMENTS["fr"]
MARKS = {"N_", "gettext", "_"}
SOURCE = "fr"
PLACE = re.compile(r"%\((\w+)\)s|\{(\w+)\}")
FRENCH = re.compile(r"[«»’…À-ÖØ-öø-ÿœŒ]")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A msgid; `many` is its plural, '' when it has none."""

    one: str
    many: str
    where: str

    @property
    def forms(self) -> tuple[str, ...]:
        return (self.one, self.many) if self.many else (self.one,)


def templates() -> list[Path]:
    return sorted(TEMPLATES.rglob("*.html"))


def in_templates() -> Iterator[Sentence]:
    """As the templates themselves are read: same trimming, same names for places."""
    for path in templates():
        source = path.read_text(encoding="utf-8")
        for line, function, said in ENVIRONMENT.extract_translations(source):  # type: ignore[attr-defined]
            texts = [text for text in ([said] if isinstance(said, str) else said or ()) if text is not None]
            many = texts[1] if "ngettext" in function and len(texts) > 1 else ""
            if texts:
                yield Sentence(texts[0], many, f"{relative(path)}:{line}")


def in_code() -> Iterator[Sentence]:
    """Marked sentences, those spoken at once, and what domain errors say."""
    named = modules(*PACKAGES)
    trees = {name: tree(path) for name, path in named.items()}
    errors = _errors(trees.values())
    said = {name: _constants(module) for name, module in trees.items()}
    for name, module in trees.items():
        path, constants = named[name], said[name] | _imported(module, said)
        for node in ast.walk(module):
            where = f"{relative(path)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Call):
                yield from _called(node, errors, constants, where)
            elif isinstance(node, ast.ClassDef) and node.name in errors:
                yield from (Sentence(text, "", where) for text in _defaults(node))


def every() -> list[Sentence]:
    return [*in_templates(), *in_code()]


def unmarked() -> Iterator[str]:
    """French strings of the code that no catalogue will hold: neither marked nor documentation."""
    known = {form for sentence in in_code() for form in sentence.forms}
    for path in modules(*PACKAGES).values():
        module = tree(path)
        silent = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
        for node in ast.walk(module):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
                if FRENCH.search(node.value) and node.value not in known:
                    yield f"{relative(path)}:{node.lineno}: {node.value}"


def english() -> Catalog:
    with ENGLISH.open("rb") as file:
        return read_po(file, locale="en")


def places(text: str) -> set[str]:
    """The names that stand for something: `%(host)s`, and `{n}` for what a script fills in."""
    return {first or second for first, second in PLACE.findall(text)}


def bare_constants(path: Path) -> list[str]:
    """Phrases written inside `{{ }}` or `{% %}` of a template without being marked."""
    parsed = ENVIRONMENT.parse(path.read_text(encoding="utf-8"))
    marked = {
        id(arg) for call in parsed.find_all(nodes.Call) if _name(call) in MARKS | {"ngettext"} for arg in call.args
    }
    said = [node.value for node in parsed.find_all(nodes.Const) if id(node) not in marked]
    return [text for text in said if isinstance(text, str) and (FRENCH.search(text) or re.search(r"[a-z] [a-z]", text))]


def _name(call: nodes.Call) -> str:
    return call.node.name if isinstance(call.node, nodes.Name) else ""


def _errors(trees: Iterable[ast.Module]) -> set[str]:
    """DomainError and all that derives from it, by name."""
    classes = {node.name: node for module in trees for node in ast.walk(module) if isinstance(node, ast.ClassDef)}
    found = {"DomainError"}
    while new := {
        name
        for name, node in classes.items()
        if name not in found and any(ast.unparse(parent).rpartition(".")[2] in found for parent in node.bases)
    }:
        found |= new
    return found


def _called(node: ast.Call, errors: set[str], constants: dict[str, str], where: str) -> Iterator[Sentence]:
    name = ast.unparse(node.func).rpartition(".")[2]
    said = [_texts(argument, constants) for argument in node.args[:2]]
    if name == "ngettext" and len(said) == 2 and all(said):
        yield Sentence(said[0][0], said[1][0], where)
    elif name in MARKS | errors and said:
        yield from (Sentence(text, "", where) for text in said[0])


def _constants(module: ast.Module) -> dict[str, str]:
    """The strings that a module names: an error may be raised with the name."""
    return {
        target.id: node.value.value
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _imported(module: ast.Module, said: dict[str, dict[str, str]]) -> dict[str, str]:
    return {
        alias.asname or alias.name: said[node.module][alias.name]
        for node in module.body
        if isinstance(node, ast.ImportFrom) and node.module in said
        for alias in node.names
        if alias.name in said[node.module]
    }


def _texts(argument: ast.expr, constants: dict[str, str]) -> list[str]:
    """A string, one that is named, or both sides of a choice; adjacent literals are one string already."""
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return [argument.value]
    if isinstance(argument, ast.Name) and argument.id in constants:
        return [constants[argument.id]]
    if isinstance(argument, ast.IfExp):
        return [*_texts(argument.body, constants), *_texts(argument.orelse, constants)]
    return []


def _defaults(node: ast.ClassDef) -> list[str]:
    """What an error says when it is raised without a sentence."""
    values = [
        part.value
        for part in node.body
        if isinstance(part, ast.Assign | ast.AnnAssign)
        and part.value is not None
        and "default" in ast.unparse(part.targets[0] if isinstance(part, ast.Assign) else part.target)
    ]
    return [text for value in values for text in _texts(value, {})]
