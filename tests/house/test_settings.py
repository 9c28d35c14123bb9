"""Every setting is documented where an operator looks, and nothing is documented that is not a setting."""

import re
from dataclasses import fields

from server.settings import KEYS, Settings
from tests.house.sources import ROOT

EXAMPLE = (ROOT / "deploy/parvis.env.example").read_text(encoding="utf-8")
HANDBOOK = (ROOT / "deploy/README.md").read_text(encoding="utf-8")
DEFAULTS = {field.name: field.default for field in fields(Settings)}


def table() -> dict[str, str]:
    """Each key of the handbook's table with its default."""
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| (.*?) \|", HANDBOOK.split("## Settings")[1].split("##")[0], re.M)
    return {key: default.strip("`") for keys, default in rows for key in re.findall(r"`([a-z_]+)`", keys)}


def written(default: object) -> str:
    return "" if default is None or default == () else str(default)


def test_the_example_names_every_setting_once_and_nothing_else() -> None:
    lines = re.findall(r"^#?PARVIS_([A-Z_]+)=(.*)$", EXAMPLE, re.M)
    assert [name.lower() for name, _ in lines] == list(KEYS)
    assert {
        name.lower(): value for name, value in lines if name != "BASE_URL"
    } == {key: written(DEFAULTS[key]) for key in KEYS if key != "base_url"}  # fmt: skip


def test_the_handbook_names_every_setting_with_its_default_and_nothing_else() -> None:
    assert list(table()) == list(KEYS)
    shown = {key: "" if default in ("none", "–") else default.rstrip("/") for key, default in table().items()}
    assert shown == {key: "" if key == "base_url" else written(DEFAULTS[key]) for key in KEYS}


def test_every_setting_says_what_it_means_in_the_code() -> None:
    source = (ROOT / "server/settings.py").read_text(encoding="utf-8")
    silent = [key for key in KEYS if not re.search(rf'^    {key}: .*\n    """', source, re.M)]
    assert silent == []
