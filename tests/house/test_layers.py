"""The one law of arrows: web → federation → server; nothing upward, nothing in a circle."""

from graphlib import CycleError, TopologicalSorter

from tests.house.sources import PACKAGES, imports, modules, relative, tree
from web.cli import GROUPS

MAY_SEE = {
    "server": {"server"},
    "federation": {"server", "federation"},
    "web": {"server", "federation", "web"},
    "migrations": {"migrations"},
}
TOUCH_FEDERATION = {"web.app", "web.cli", "web.pages.search", "web.demo.teller"}
OURS = {*PACKAGES, "migrations", "tests"}
MODULES = modules(*MAY_SEE)


def first_party() -> list[tuple[str, str, bool, str]]:
    """Every import between our own modules: from, to, inside a function, the place."""
    found = []
    for name, path in MODULES.items():
        for target, inside, line in imports(tree(path)):
            if target.startswith(".") or target.split(".")[0] in OURS:
                found.append((name, target, inside, f"{relative(path)}:{line}"))
    return found


def known(target: str) -> str:
    """The module in which an imported name stands."""
    while target and target not in MODULES:
        target = target.rpartition(".")[0]
    return target


def test_nothing_imports_upward() -> None:
    upward = [
        f"{place} imports {target}"
        for name, target, _, place in first_party()
        if target.split(".")[0] not in MAY_SEE[name.split(".")[0]]
    ]
    assert upward == []


def test_web_knows_federation_in_four_files_only() -> None:
    elsewhere = [
        f"{place} imports {target}"
        for name, target, _, place in first_party()
        if name.startswith("web") and target.startswith("federation") and name not in TOUCH_FEDERATION
    ]
    assert elsewhere == []


def test_nothing_of_ours_is_imported_inside_a_function() -> None:
    assert [f"{place} imports {target}" for _, target, inside, place in first_party() if inside] == []


def test_modules_are_imported_by_name_in_two_places_only() -> None:
    """The command loads its groups one by one; migrations and engines are what the settings name."""
    users = {name for name, path in MODULES.items() for target, _, _ in imports(tree(path)) if "importlib" in target}
    assert users <= {"web.cli", "server.schema"}


def test_no_circles() -> None:
    graph: dict[str, set[str]] = {name: set() for name in MODULES}
    for name, target, _, _ in first_party():
        module = known(target)
        if module and module != name:
            graph[name].add(module)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" → ".join(error.args[1])) from None


def test_the_command_gathers_all_groups() -> None:
    groups = {name for name, path in MODULES.items() if ".commands" in name and "def register(" in path.read_text()}
    assert set(GROUPS) == groups
