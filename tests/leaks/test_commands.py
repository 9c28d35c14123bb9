"""What commands print and write: whoever stands at the machine sees which spaces there are and who is in them, never
what is written there; an archive holds what its person may read. Commands are read off the parser: a new one is here
by itself, and fails until somebody says with which words it is run.
"""

import argparse
import asyncio
import io
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from server import database as db
from server.credentials import make_secret
from server.settings import Settings
from tests.cast import HERE
from tests.databases import Templates
from tests.leaks.oracle import FIELDS, canary, seen_by
from tests.leaks.scene import Scene, build
from tests.leaks.test_leaks import words_of
from web.app import create_app
from web.cli import main, parser_for

ENDLESS = {
    "serve": "does not end; what it answers is walked, and its log read (tests/leaks/test_wire.py)",
    "worker": "does not end; what it tells is walked at the other end of the wire",
    "demo": "makes instances of its own",
    "init": "makes an instance of its own",
    "db backup": "all of it, by what it is for",
    "db restore": "wants an instance that is stopped, and prints no row",
}
"""Commands that are not run, each with its reason."""

RUN: dict[str, list[str]] = {
    "people list": ["", "--json"],
    "people add": ["alice", "m{space}"],
    "people extend": ["gwen --until 2079-01-01"],
    "people import": ["{table}"],
    "people export": ["alice --out {folder}/alice.zip", "fanny --out {folder}/fanny.zip --json"],
    "people suspend": ["personne"],
    "people erase": ["personne --yes"],
    "token": ["bruno --json"],
    "db migrate": [""],
    "db check": [""],
    "audit list": ["", "--json", "--space {slug}"],
    "audit verify": [""],
    "explain": ["{slug} --as web", "{post} --as staff --json", "file:{file} --as partner:kestrel.test --language fr"],
    "spaces list": ["", "--json"],
    "spaces show": ["{slug}", "{slug} --json"],
    "spaces members": ["{slug}", "{slug} --json"],
    "spaces add": ["{slug} --name Encore --owner alice"],
    "spaces join": ["{slug} --as personne"],
    "spaces leave": ["{slug} --as personne"],
    "spaces export": ["", "--every", "--space {slug} -o {folder}/{slug}.toml"],
    "spaces validate": ["{file_of_spaces}", "{file_of_spaces} --json"],
    "spaces plan": ["{file_of_spaces}", "{file_of_spaces} --json -o {folder}/plan-{slug}.json"],
    "spaces drift": ["{file_of_spaces} --json"],
    "spaces apply": ["{file_of_spaces}"],
    "link list": ["", "--json", "--language fr"],
    "link show": ["kestrel.test", "kestrel.test --json", "kestrel.test --language fr"],
    "link words": ["kestrel.test", "nulle.test"],
    "link offer": ["nulle.test"],
    "link rotate": [""],
    "link past": ["", "--json", "deny"],
    **{f"link {verb}": ["nulle.test"] for verb in ("accept", "confirm", "suspend", "resume", "end", "kin")},
    "move": ["https://nulle.test"],
    "recall list": ["", "--json"],
    "recall status": ["{recall}", "{recall} --json"],
    "recall restart": ["{recall} nulle.test"],
    "recall drill": ["kestrel.test", "kestrel.test --json"],
    "deliveries list": ["", "--json", "--language fr"],
    "deliveries retry": [""],
    "mail list": ["", "--json"],
    "mail retry": ["", "alice"],
    "mail receive": ["--recipient alice@courriel.test"],
    "doctor": ["", "--json"],
}
"""With which words each is run; {places} are filled for each space."""

ONLY = ("blind",)
OPERATOR = "cn"
"""The letters of what the operator may know (tests.leaks.oracle): cards and names."""
ARCHIVES = {"alice": "member", "fanny": "former member"}


def commands(parser: argparse.ArgumentParser, before: str = "") -> Iterator[str]:
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for action in inner:
        for name, deeper in action.choices.items():
            yield from commands(deeper, f"{before} {name}".strip())
    if not inner:
        yield before


def test_every_command_is_run_or_says_why_not() -> None:
    assert sorted({*RUN, *ENDLESS}) == sorted(set(commands(parser_for([]))))


@pytest.fixture
def scene(tmp_path: Path, templates: Templates) -> Scene:
    """The world on disk, closed, with the settings that commands read."""
    url = templates.sqlite_clone(tmp_path / "parvis.db")
    (tmp_path / "parvis.toml").write_text(
        f'base_url = "{HERE.base}"\ndatabase_url = "{url}"\ndata_dir = "{tmp_path}"\n', encoding="utf-8"
    )
    settings = Settings(base_url=HERE.base, database_url=url, data_dir=tmp_path)
    make_secret(settings, sealed_keys_exist=False)

    async def made() -> Scene:
        await db.connect(url)
        try:
            return await build(create_app(settings), ONLY)
        finally:
            await db.disconnect()

    return asyncio.run(made())


def printed(words: str, folder: Path) -> str:
    """What a command says, on both streams."""
    said, code = io.StringIO(), 0
    with redirect_stdout(said), redirect_stderr(said):
        try:
            code = main(["--config", str(folder / "parvis.toml"), *words.split()])
        except SystemExit as ended:
            code = int(ended.code or 0)
    assert code != 2 or "usage" not in said.getvalue(), (words, said.getvalue())
    assert "a fault of Parvis itself" not in said.getvalue(), (words, said.getvalue())
    return said.getvalue()


def told(scene: Scene, folder: Path) -> dict[str, set[str]]:
    """The canaries that each command told, in what it printed; what it wrote is read afterwards."""
    (folder / "table.csv").write_text("name,display_name\nalice,Alice\n", encoding="utf-8")
    printed(f"spaces export --every -o {folder}/all.toml", folder)
    found: dict[str, set[str]] = defaultdict(set)
    done = set()
    for command, lines in RUN.items():
        for space in scene.spaces:
            places = {kind: ids[0] for kind, ids in space.ids.items()}
            places |= {"folder": str(folder), "table": f"{folder}/table.csv", "file_of_spaces": f"{folder}/all.toml"}
            for line in lines:
                words = f"{command} {line.format(**places)}"
                if words not in done:
                    done.add(words)
                    found[command] |= words_of(printed(words, folder))
    return found


def test_commands_tell_cards_and_names_and_nothing_that_is_written(scene: Scene, tmp_path: Path) -> None:
    found = told(scene, tmp_path)
    for file in (*tmp_path.glob("*.toml"), *tmp_path.glob("plan-*")):
        found[f"the file {file.name}"] = words_of(file.read_text(encoding="utf-8"))
    known = {canary(space, field) for space in ONLY for field, letter in FIELDS.items() if letter in OPERATOR}
    leaks = {command: sorted(words - known) for command, words in found.items() if words - known}
    assert not leaks, leaks
    assert {canary(space, "name") for space in ONLY} <= found["spaces list"]
    for space in scene.spaces:
        assert f"m{space.id}" in printed(f"spaces members {space.slug}", tmp_path), "by their handles"
    cards = {canary(space, field) for space in ONLY for field, letter in FIELDS.items() if letter == "c"}
    assert cards <= found["spaces export"], "what is declared is exported"
    for name, observer in ARCHIVES.items():
        kept = archived(tmp_path / f"{name}.zip")
        assert kept <= seen_by(observer), (name, sorted(kept - seen_by(observer)))
    own = {canary(space, field) for space in ONLY for field in ("body", "past", "file", "bytes", "link")}
    assert own <= archived(tmp_path / "alice.zip"), "what somebody wrote is theirs to take along"


def archived(file: Path) -> set[str]:
    with zipfile.ZipFile(file) as archive:
        return set().union(
            *(words_of(name + archive.read(name).decode(errors="replace")) for name in archive.namelist())
        )
