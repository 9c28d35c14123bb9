"""One door out: who opens a socket to another instance does it in `federation.transport`, or not at all (F1)."""

import ast
import re

from tests.house.sources import PACKAGES, imports, modules, relative, tree

DOOR = "federation.transport"
CLIENTS = ("aiohttp", "requests", "urllib.request", "urllib3", "http.client", "httpx2", "websockets", "yarl")
OPENER = re.compile(
    r"((socket|asyncio|\w*loop|.*get_running_loop\(\))\.(create_connection|open_connection)"
    r"|.*\.(sock_connect|urlopen))"
)
HTTPX_TYPES = {"Request", "Response", "URL", "Headers", "AsyncBaseTransport"}
MODULES = {name: path for name, path in modules(*PACKAGES).items() if name != DOOR}


def test_F1_no_other_module_brings_a_client_of_its_own() -> None:
    found = [
        f"{relative(path)}:{line} imports {target}"
        for path in MODULES.values()
        for target, _, line in imports(tree(path))
        if target.split(".")[0] in CLIENTS or target.startswith(CLIENTS)
    ]
    assert found == []


def test_F1_no_other_module_connects() -> None:
    found = [
        f"{relative(path)}:{node.lineno} uses {ast.unparse(node)}"
        for path in MODULES.values()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and OPENER.fullmatch(ast.unparse(node))
    ]
    assert found == []


def test_F1_httpx_gives_types_and_never_a_connection() -> None:
    found = [
        f"{relative(path)}:{node.lineno} uses httpx.{node.attr}"
        for path in modules(*PACKAGES).values()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "httpx"
        and node.attr not in HTTPX_TYPES
    ]
    found += [
        f"{relative(path)}:{line} imports {target}"
        for path in modules(*PACKAGES).values()
        for target, _, line in imports(tree(path))
        if target.startswith("httpx.")
    ]
    assert found == []
