"""Reasons on the command line: as they are kept, which is what programs read, or in the language that is asked for."""

import asyncio
import json
from pathlib import Path

import pytest

from server import database as db
from server.ids import new_id
from tests.cast import HERE, KESTREL, gather
from tests.databases import Templates
from web.cli import main

REFUSED = "The words of a third instance need its author's proof."


@pytest.fixture
def config(tmp_path: Path, templates: Templates) -> Path:
    """An instance with a link that is refused, a delivery that waits for it, and an incident."""
    url = templates.sqlite_clone(tmp_path / "parvis.db")
    file = tmp_path / "parvis.toml"
    file.write_text(f'base_url = "{HERE.base}"\ndatabase_url = "{url}"\ndata_dir = "{tmp_path}"\n', encoding="utf-8")

    async def made() -> None:
        await db.connect(url)
        try:
            peer_id = (await gather()).kestrel.peer_id
            await db.execute("UPDATE peer SET state = 'paused', last_error = 'our signature is refused'")
            event = {"id": new_id(), "kind": "person_changed", "created_at": 1}
            await db.insert("event", event)
            row = {"id": new_id(), "peer_id": peer_id, "seq": 1, "event_id": event["id"], "inbox": "x"}
            await db.insert("delivery", row | {"state": "dead", "error": "not understood", "created_at": 1})
            incident = {"id": new_id(), "peer_id": peer_id, "rule": "RR3", "reason": REFUSED, "example": "x"}
            await db.insert("link_incident", incident | {"count": 1, "first_at": 1, "last_at": 1})
        finally:
            await db.disconnect()

    asyncio.run(made())
    return file


@pytest.mark.parametrize(
    ("command", "kept", "french"),
    [
        ("deliveries list", "not understood", "pas compris"),
        ("link list", "our signature is refused", "notre signature est refusée"),
        (f"link show {KESTREL}", REFUSED, "Les paroles d’une troisième instance demandent la preuve de leur auteur."),
    ],
)
def test_a_reason_is_told_in_the_language_asked_for_and_kept_as_it_is_for_programs(
    config: Path, capsys: pytest.CaptureFixture[str], command: str, kept: str, french: str
) -> None:
    def said(*more: str) -> str:
        assert main(["--config", str(config), *command.split(), *more]) == 0
        return capsys.readouterr().out

    spoken = said("--language", "fr")
    assert french in spoken and kept not in spoken
    assert kept in said() and kept in said("--language", "en")
    for_programs = said("--json", "--language", "fr")
    assert french not in for_programs and kept in for_programs and json.loads(for_programs)
