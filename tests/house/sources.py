"""The project's own files, read as data."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("server", "federation", "web")


def modules(*folders: str) -> dict[str, Path]:
    """Every module below these folders of the root, by its dotted name."""
    found = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(module: ast.Module) -> Iterator[tuple[str, bool, int]]:
    """What a module imports when it runs: the full name, whether inside a function, the line."""
    yield from _imports(module, False)


def _imports(node: ast.AST, inside: bool) -> Iterator[tuple[str, bool, int]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield alias.name, inside, child.lineno
        elif isinstance(child, ast.ImportFrom):
            for alias in child.names:
                yield f"{'.' * child.level}{child.module or ''}.{alias.name}", inside, child.lineno
        yield from _imports(child, inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))
