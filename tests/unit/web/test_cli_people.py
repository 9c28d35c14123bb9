"""A new instance and its people from the command line: refusals first, and nothing half-done."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.databases import Templates
from tests.unit.web.test_cli import parvis

HEAVY = {
    "babel",
    "aiohttp",
    "argon2",
    "asyncpg",
    "cryptography",
    "httpx",
    "jinja2",
    "server.models",
    "starlette",
    "uvicorn",
}


@pytest.fixture
def instance(tmp_path: Path, templates: Templates) -> Path:
    """Settings and tables, nobody in it."""
    (tmp_path / "parvis.toml").write_text('base_url = "http://localhost:8000"\n')
    (tmp_path / "var").mkdir()
    templates.sqlite_clone(tmp_path / "var/parvis.db")
    return tmp_path


def names(folder: Path) -> list[str]:
    return [row["name"] for row in json.loads(parvis("people", "list", "--json", folder=folder).stdout)]


@pytest.mark.parametrize(
    "words",
    [("--base-url", "rse.example"), ("--base-url", "http://localhost:1", "--admin", "not a name"),
     ("--base-url", "http://localhost:1", "--database-url", "postgres://nobody@127.0.0.1:1/none")],
    ids=["an address that is no origin", "a name that is no name", "a database that does not answer"],
)  # fmt: skip
def test_what_does_not_fit_leaves_nothing_behind(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = parvis("init", *words, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_instance_is_made_once(tmp_path: Path) -> None:
    made = parvis("init", "--base-url", "http://localhost:8123", "--name", 'L’Aubrac "RSE" \\', folder=tmp_path)
    assert made.returncode == 0
    assert re.fullmatch(r"http://localhost:8123/login/[\w-]{43}\n", made.stdout)
    before = (tmp_path / "parvis.toml").read_bytes(), (tmp_path / "var/secret.key").read_bytes()
    again = parvis("init", "--base-url", "http://localhost:8124", folder=tmp_path)
    assert (again.returncode, again.stdout) == (1, "")
    (tmp_path / "parvis.toml").rename(tmp_path / "kept.toml")
    assert parvis("init", "--base-url", "http://localhost:8124", folder=tmp_path).returncode == 1
    assert before == ((tmp_path / "kept.toml").read_bytes(), (tmp_path / "var/secret.key").read_bytes())
    assert (tmp_path / "var/secret.key").stat().st_mode & 0o777 == 0o600


def test_tables_of_another_version_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "parvis.toml").write_text('base_url = "http://localhost:8000"\n')
    done = parvis("people", "add", "alice", folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert not (tmp_path / "var").exists()


def test_nobody_is_added_twice_or_under_a_bad_name(instance: Path) -> None:
    bad = parvis("people", "add", "Alice Martin", folder=instance)
    assert (bad.returncode, bad.stderr.count("\n")) == (1, 1)
    assert bad.stderr.endswith("; “Alice Martin” does not fit.\n"), "the command line speaks English"
    assert parvis("people", "add", "alice", "--password-stdin", folder=instance).returncode == 0
    twice = parvis("people", "add", "alice", folder=instance)
    said = "parvis: “alice” is taken already, by a person or by a space.\n"
    assert (twice.returncode, twice.stderr) == (1, said)
    assert names(instance) == ["alice"]


def test_somebody_is_added_with_a_token_for_scripts(instance: Path) -> None:
    done = parvis("people", "add", "alice", "--json", folder=instance)
    said = json.loads(done.stdout)
    assert set(said) == {"actor", "token"} and said["actor"] == "http://localhost:8000/@alice"
    again = json.loads(parvis("token", "alice", "--scopes", "read", "--json", folder=instance).stdout)
    assert again["actor"] == said["actor"] and again["token"] != said["token"]


def test_a_token_is_refused_to_nobody_the_suspended_and_unknown_scopes(instance: Path) -> None:
    parvis("people", "add", "bruno", folder=instance)
    assert parvis("token", "bruno", "--scopes", "everything", folder=instance).returncode == 1
    assert "nobody here is called chloe" in parvis("token", "chloe", folder=instance).stderr
    assert parvis("people", "suspend", "bruno", folder=instance).returncode == 0
    assert parvis("token", "bruno", folder=instance).returncode == 1


def test_a_table_with_one_bad_line_adds_nobody_and_names_the_line(instance: Path) -> None:
    table = instance / "people.csv"
    table.write_text("name,email\nalice,alice@aubrac.example\nbruno,not an address\n")
    done = parvis("people", "import", "people.csv", folder=instance)
    assert (done.returncode, done.stdout) == (1, "")
    assert "people.csv:3: email: “not an address” is not an email address.\n" in done.stderr
    assert "parvis: Some cells of the table do not fit (1): nobody was added.\n" in done.stderr
    table.write_text("name,email\nalice,alice@aubrac.example\nbruno,\n")
    done = parvis("people", "import", "people.csv", "--json", folder=instance)
    assert [row["name"] for row in json.loads(done.stdout)] == ["alice", "bruno"]


def test_adding_somebody_does_not_wait_for_what_it_does_not_need() -> None:
    """`parvis people add` runs hundreds of times in scripts; what it imports is most of its time."""
    code = "import sys, server.commands.people, web.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert HEAVY & set(loaded) == set()
    assert [name for name in loaded if name.startswith("tortoise.migrations")] == []
