"""Words that must not stand in the code, because each of them hides something."""

import ast
import re

from tests.house.sources import PACKAGES, ROOT, modules, relative, tree

UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
SAYS_NOTHING = re.compile(r"^(utils?|helpers?|managers?|services?|base|common|misc)$")
MAY_CATCH_ALL = {
    "server/rounds.py",
    "federation/worker.py",
    "federation/processing.py",
    "federation/taking_effect.py",
}  # loops; on the web: Starlette
MAY_CATCH_BASE = {
    "server/sqlite_file.py",  # hands it from the thread to whoever awaits
    "server/group_commit.py",  # from the one who writes to everybody who waits
    "server/transactions.py",  # the same, from a shielded task
    "server/text.py",  # a panic of the sanitiser, which is not an Exception; cancellation rises
}
NO_PLACE = re.compile(r"(/work/|/tmp/|\bpypi\b|pythonhosted)", re.IGNORECASE)
CODE = modules(*PACKAGES, "migrations")
TESTS = {name: path for name, path in modules("tests").items() if path.name != "test_words.py"}


def test_nothing_is_left_open() -> None:
    left = [
        f"{relative(path)}:{number} {line.strip()}"
        for path in [*CODE.values(), *TESTS.values()]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert left == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [n for n in [*CODE, *TESTS] if any(SAYS_NOTHING.match(part) for part in n.split("."))] == []


def caught(handler: ast.ExceptHandler) -> set[str]:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {"everything" if kind is None else ast.unparse(kind) for kind in kinds}


def nets(*kinds: str) -> list[tuple[str, ast.ExceptHandler]]:
    return [
        (relative(path), node)
        for path in CODE.values()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler) and caught(node) & set(kinds)
    ]


def test_everything_is_caught_in_loops_only() -> None:
    assert {place for place, _ in nets("Exception", "everything")} <= MAY_CATCH_ALL


def test_cancellation_is_never_swallowed() -> None:
    """Whoever catches BaseException cleans up and lets it rise, or hands it to the one who awaits."""
    swallowed = [
        f"{place}:{handler.lineno}"
        for place, handler in nets("BaseException")
        if place not in MAY_CATCH_BASE and not isinstance(handler.body[-1], ast.Raise)
    ]
    assert swallowed == []


def test_no_file_names_the_machine_it_was_written_on_or_a_registry() -> None:
    folders = [path for folder in ("deploy", ".ci") for path in (ROOT / folder).rglob("*") if path.is_file()]
    texts = [path for path in ROOT.iterdir() if path.suffix in (".md", ".txt", ".toml") or path.name == "Makefile"]
    named = [
        f"{relative(path)}: {found[0]}"
        for path in [*CODE.values(), *TESTS.values(), *folders, *texts]
        if (found := NO_PLACE.search(path.read_text(encoding="utf-8")))
    ]
    assert named == []


def test_nothing_is_built_when_a_module_is_imported() -> None:
    """Settings and applications are made by whoever starts the process, and passed in."""
    built = [
        f"{relative(path)}:{node.lineno}"
        for path in CODE.values()
        for node in tree(path).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        if ast.unparse(node.value.func).rpartition(".")[2] in ("Starlette", "Settings", "create_app", "load")
    ]
    assert built == []
