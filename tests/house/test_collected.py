"""Every test runs: no file that pytest does not look at, no skip without a reason; and none asks how quick it was."""

import ast
import os
import re

from tests.house.sources import modules, relative, tree

TESTS = modules("tests")
SKIPS = {
    "pytest.skip",
    "pytest.xfail",
    "pytest.importorskip",
    "pytest.mark.skip",
    "pytest.mark.skipif",
    "pytest.mark.xfail",
}


def defines_tests(module: ast.Module) -> bool:
    bodies = [module.body, *(node.body for node in module.body if isinstance(node, ast.ClassDef))]
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        for body in bodies
        for node in body
    )


def test_every_file_that_defines_tests_is_collected() -> None:
    lost = [
        relative(path)
        for path in TESTS.values()
        if defines_tests(tree(path)) and not (path.name.startswith("test_") or path.stem.endswith("_test"))
    ]
    assert lost == []


def test_classes_of_tests_are_collected() -> None:
    lost = [
        f"{relative(path)}:{node.lineno} {node.name}"
        for path in TESTS.values()
        for node in tree(path).body
        if isinstance(node, ast.ClassDef)
        and defines_tests(ast.Module(node.body, []))
        and not node.name.startswith("Test")
    ]
    assert lost == []


def test_no_test_stands_below_another_of_the_same_name() -> None:
    hidden = []
    for path in TESTS.values():
        names = [
            n.name
            for n in tree(path).body
            if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) and n.name.startswith("test_")
        ]
        hidden += [f"{relative(path)} {name}" for name in set(names) if names.count(name) > 1]
    assert hidden == []


def test_every_folder_of_tests_is_a_package() -> None:
    """Two files of the same name in folders that are not packages would hide each other."""
    folders = {path.parent for path in TESTS.values()}
    assert [relative(folder) for folder in folders if not os.path.exists(folder / "__init__.py")] == []


def is_skip(call: ast.Call) -> bool:
    return ast.unparse(call.func) in SKIPS


def has_reason(call: ast.Call) -> bool:
    """A reason is a text, not the condition: pytest.skip("why"), or reason="why" everywhere else."""
    named = any(keyword.arg == "reason" for keyword in call.keywords)
    return named or (ast.unparse(call.func) in ("pytest.skip", "pytest.xfail") and bool(call.args))


def test_no_test_is_skipped_without_a_reason() -> None:
    silent = []
    for path in TESTS.values():
        module = tree(path)
        called = {id(node.func) for node in ast.walk(module) if isinstance(node, ast.Call)}
        for node in ast.walk(module):
            if isinstance(node, ast.Attribute) and id(node) not in called and ast.unparse(node) in SKIPS:
                silent.append(f"{relative(path)}:{node.lineno}")
            if isinstance(node, ast.Call) and is_skip(node) and not has_reason(node):
                silent.append(f"{relative(path)}:{node.lineno}")
    assert silent == []


def marked(module: ast.Module) -> bool:
    """Whether the whole file is marked anyio, alone or among other marks."""
    marks = [
        node.value
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
    ]
    return any("pytest.mark.anyio" in ast.unparse(mark) for mark in marks)


def test_every_async_test_has_a_loop_to_run_in() -> None:
    silent = [
        f"{relative(path)}:{node.lineno} {node.name}"
        for path in TESTS.values()
        for node in tree(path).body
        if isinstance(node, ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and "anyio" not in " ".join(ast.unparse(mark) for mark in node.decorator_list)
        and not marked(tree(path))
    ]
    assert silent == []


TIMED = re.compile(r"\b(perf_counter|process_time|thread_time)(_ns)?\b|\btime\.\w+\(\) - ")


def test_no_test_of_the_suite_asks_how_quick_it_was() -> None:
    """It would fail on a busy machine for nothing: what must be quick is counted (tests/counting.py) or a bench."""
    timed = [
        f"{relative(path)}:{node.lineno}"
        for path in TESTS.values()
        if "bench" not in path.parts
        for part in tree(path).body
        if not (isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) and is_soak(part))
        for node in ast.walk(part)
        if (isinstance(node, ast.Attribute) and TIMED.search(node.attr))
        or (isinstance(node, ast.Assert) and TIMED.search(ast.unparse(node)))
    ]
    assert timed == []


def is_soak(test: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(ast.unparse(mark) == "pytest.mark.soak" for mark in test.decorator_list)
