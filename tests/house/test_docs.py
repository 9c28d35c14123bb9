"""What the documents name exists, and what exists is named."""

import argparse
import re
from pathlib import Path

import pytest

from federation.handlers import HANDLERS
from tests.house.sources import PACKAGES, ROOT, relative
from web.cli import parser_for

DOCUMENTS = [ROOT / "README.md", ROOT / "FEDERATION.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "deploy").rglob("*"))]
TEXTS = {path: path.read_text(encoding="utf-8") for path in DOCUMENTS if path.is_file()}
README = TEXTS[ROOT / "README.md"]
MAP = README.split("```")[3]
SPOKEN = re.compile(r"(?:^|[`“\s])parvis ((?:[a-z]+ ?)+)", re.MULTILINE)


def verbs(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def commands() -> set[str]:
    """Every command in full, such as “db migrate”."""
    found = set()
    for name, parser in verbs(parser_for([])).items():
        found |= {f"{name} {verb}" for verb in verbs(parser)} or {name}
    return found


def named(text: str) -> set[str]:
    """Every command that a document names in code or in quotation marks; the words after its name do not count."""
    groups = {command.split()[0] for command in commands() if " " in command}
    code = re.findall(r"```.*?```|`[^`\n]+`|“[^”\n]+”", text, re.DOTALL)
    found = set()
    for words in (match.split() for piece in code for match in SPOKEN.findall(piece)):
        found.add(" ".join(words[:2]) if words[0] in groups else words[0])
    return found


@pytest.mark.parametrize("path", [path for path in TEXTS if path.suffix == ".md"], ids=relative)
def test_every_command_that_a_page_names_exists(path: Path) -> None:
    assert named(TEXTS[path]) - commands() == set()


@pytest.mark.parametrize("path", [path for path in TEXTS if path.suffix in (".sh", ".service", "")], ids=relative)
def test_every_command_that_a_script_runs_exists(path: Path) -> None:
    lines = [line for line in TEXTS[path].splitlines() if not line.startswith("#")]
    used = [found[1].split() for line in lines if (found := re.search(r"(?:^|/)parvis ([a-z ]+)", line))]
    assert [" ".join(words) for words in used if not " ".join(words).startswith(tuple(commands()))] == []


def test_every_command_is_in_the_readme() -> None:
    assert commands() - named(README) == set()


def test_every_command_explains_itself() -> None:
    silent = []
    for action in parser_for([])._actions:
        if isinstance(action, argparse._SubParsersAction):
            explained = {choice.dest for choice in action._choices_actions if choice.help}
            silent += [name for name in action.choices if name not in explained]
    assert silent == []


def test_every_place_on_the_map_exists() -> None:
    places = re.findall(r"\b[a-z_]+(?:/|\.py)", MAP)
    known = {f"{path.name}/" if path.is_dir() else path.name for name in PACKAGES for path in (ROOT / name).rglob("*")}
    known |= {f"{path.name}/" for path in ROOT.iterdir() if path.is_dir()}
    assert len(places) > 20
    assert [place for place in places if place not in known] == []


def test_every_path_that_the_readme_names_exists() -> None:
    paths = re.findall(r"`((?:server|federation|web|migrations|deploy|tests)/[\w/.]*)`", README)
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("path", [path for path in TEXTS if path.suffix == ".md"], ids=relative)
def test_every_link_between_pages_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", TEXTS[path])
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_every_handler_is_named_in_the_federation_page() -> None:
    """One line of the page for each activity, and for what it may be about when that decides."""
    page = TEXTS[ROOT / "FEDERATION.md"].split("## Activities")[1].split("\n## ")[0]
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| `")]
    promised = {(act, thing) for acts, things in rows for act in quoted(acts) for thing in quoted(things) or ["*"]}
    taken = {(act, thing) for act, thing in HANDLERS}
    assert promised == taken


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_version_stands_in_the_changelog() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version and f"\n## {version[1]}" in TEXTS[ROOT / "CHANGELOG.md"]


def test_every_test_that_shows_a_claim_exists() -> None:
    claims = (ROOT / "tests" / "federation" / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", claims))
    written = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))
    }
    assert named - written == set()
    assert {f"D{number}" for number in range(1, 13)} | {f"I{number}" for number in range(1, 11)} <= set(
        re.findall(r"^\| ([DI]\d+) \|", claims, re.MULTILINE)
    ), "a claim without a test"
