"""Spaces that a file declares: what each command says and its exit code; nothing is applied but the whole."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from server import database as db
from server.actions import openness
from server.actions.openness import Door, How
from server.declared_steps import Kind, Step, hash_of
from server.openness import Level
from server.queries import declared
from server.space_policy import SpacePolicy
from tests import cast as company
from tests.cast import KESTREL, Cast
from web.cli import main

T = TypeVar("T")

FILE = f"""schema = 1
[guardrails]
require_second_person_from = "network"
[partner."{KESTREL}"]
sponsor = "alice"
[space.team]
level = "partners"
reach = "everyone"
partners = ["{KESTREL}"]
[space.offre]
name = {{ fr = "Offre", en = "Bid" }}
owner = "alice"
stewards = ["bruno"]
level = "internal"
tone = "direct"
"""


class Instance:
    """A folder with settings, a database with the company in it, and what the last command said."""

    def __init__(self, folder: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.url, self.capsys = folder, url, capsys
        self.out = self.err = ""
        (folder / "parvis.toml").write_text(f'base_url = "https://aubrac.test"\ndatabase_url = "{url}"\n')
        self.file = folder / "spaces.toml"
        self.file.write_text(FILE)
        self.cast = self.inside(self._company)

    def inside(self, work: Callable[[], Awaitable[T]]) -> T:
        """Does something with the database open."""

        async def opened() -> T:
            await db.connect(self.url)
            try:
                return await work()
            finally:
                await db.disconnect()

        return asyncio.run(opened())

    def __call__(self, *words: str) -> int:
        """`parvis spaces …`."""
        self.capsys.readouterr()
        code = main(["--config", str(self.folder / "parvis.toml"), "spaces", *words])
        self.out, self.err = self.capsys.readouterr()
        return code

    def policy(self, slug: str) -> SpacePolicy | None:
        async def work() -> SpacePolicy | None:
            found = (await declared.spaces([slug])).get(slug)
            return found.policy if found else None

        return self.inside(work)

    @staticmethod
    async def _company() -> Cast:
        cast = await company.gather()
        team = await company.space("team", Level.CLOSED, cast.alice, cast.bruno)
        await company.say(cast.alice, "Avant", team)
        return cast


@pytest.fixture
def parvis(tmp_path: Path, database_url: str, capsys: pytest.CaptureFixture[str]) -> Instance:
    return Instance(tmp_path, database_url, capsys)


def test_plan_says_what_apply_then_does_once(parvis: Instance) -> None:
    assert parvis("validate", str(parvis.file)) == 0
    assert parvis("plan", str(parvis.file)) == 2
    assert "Level: Closed → Partners" in parvis.out and re.search(r"\+ .* kestrel.test gain", parvis.out), parvis.out
    assert "The space “Offre” is opened; owner: alice" in parvis.out
    planned = parvis.out
    assert parvis("plan", str(parvis.file)) == 2 and parvis.out == planned
    assert parvis.policy("offre") is None, "a plan changes nothing"
    assert parvis("apply", str(parvis.file), "--source", "a1b2c3") == 0
    team, offre = parvis.policy("team"), parvis.policy("offre")
    assert team is not None and (team.level, team.partner(KESTREL) is not None) == (Level.PARTNERS, True)
    assert offre is not None and (offre.level, offre.tone) == (Level.INTERNAL, "direct")
    assert parvis("plan", str(parvis.file)) == 0 and parvis.out == ""
    assert parvis("apply", str(parvis.file)) == 0 and parvis.out == ""
    rows = parvis.inside(lambda: db.fetch("SELECT door, source FROM policy_version WHERE door = 'file'"))
    assert rows == [{"door": "file", "source": "spaces.toml a1b2c3"}] * 2
    roles = parvis.inside(lambda: declared.spaces(["offre"]))["offre"].roles
    assert roles == {"alice": "owner", "bruno": "steward"}


def test_a_wrong_file_changes_nothing_and_each_fault_has_its_place_in_the_language_of_the_instance(
    parvis: Instance,
) -> None:
    parvis.file.write_text(FILE + 'niveau = "closed"\nseats = "ten"\n')
    for verb in ("validate", "plan", "apply", "drift"):
        assert parvis(verb, str(parvis.file)) == 1
        assert "spaces.toml:16:1: space.offre.niveau: attendu" in parvis.err
        assert "spaces.toml:17:1: space.offre.seats: attendu" in parvis.err
        assert "2 faults in" in parvis.err and parvis.out == ""
    assert parvis("validate", "--offline", "--language", "en", "--json", str(parvis.file)) == 1
    assert [fault["line"] for fault in json.loads(parvis.out)] == [16, 17]
    assert json.loads(parvis.out)[1]["expected"] == "expected a whole number from 0 to 1000000"
    assert parvis.policy("team") == SpacePolicy(Level.CLOSED)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (FILE.replace(KESTREL, "nowhere.test"), ':4:10: partner."nowhere.test": expected an instance that is linked'),
        (
            FILE.replace('sponsor = "alice"', 'sponsor = "zoe"'),
            ':5:1: partner."kestrel.test".sponsor: expected a person',
        ),
        (FILE.replace('owner = "alice"', 'owner = "nobody"'), ":12:1: space.offre.owner: expected a person"),
        (FILE.replace('owner = "alice"', ""), ":10:8: space.offre: expected “owner”, for a space that does not exist"),
        (FILE.replace("space.offre", "space.alice"), ":10:8: space.alice: expected an address that is free"),
        (
            FILE.replace('sponsor = "alice"', f'key = "sha256:{"0" * 64}"'),
            ':5:1: partner."kestrel.test".key: expected the pinned key of this link',
        ),
    ],
)
def test_what_does_not_fit_this_instance_is_named_at_its_place(parvis: Instance, text: str, fault: str) -> None:
    parvis.file.write_text(text)
    assert parvis("plan", "--language", "en", str(parvis.file)) == 1
    assert fault in parvis.err
    assert parvis.policy("offre") is None


def test_a_live_guardrail_that_the_file_does_not_name_holds_too(parvis: Instance) -> None:
    parvis.inside(lambda: db.execute("INSERT INTO guardrail (id, name, value) VALUES (1, 'max_level', '\"internal\"')"))
    assert parvis("validate", "--language", "en", str(parvis.file)) == 1
    assert "spaces.toml:7:1: space.team.level: This instance opens no space beyond level Internal." in parvis.err
    assert parvis("apply", str(parvis.file)) == 1
    assert parvis.policy("offre") is None, "all or nothing"


def test_a_plan_is_applied_exactly_or_refused_when_something_moved(parvis: Instance) -> None:
    plan = parvis.folder / "plan.json"
    assert parvis("plan", str(parvis.file), "-o", str(plan)) == 2
    edited = json.loads(plan.read_text())
    edited["steps"][-1]["subject"] = "autre"
    (parvis.folder / "edited.json").write_text(json.dumps(edited))
    assert parvis("apply", str(parvis.folder / "edited.json")) == 1 and "was changed after" in parvis.err

    async def meanwhile() -> None:
        team = (await declared.spaces(["team"]))["team"]
        wanted = SpacePolicy(Level.CLOSED, tone="autre")
        await openness.change(parvis.cast.alice, team.id, wanted, How(Door.PAGE))

    parvis.inside(meanwhile)
    assert parvis("apply", str(plan)) == 4
    assert "“team” is no longer what the plan has seen" in parvis.err
    assert parvis.policy("offre") is None, "all or nothing"
    assert parvis("plan", str(parvis.file), "-o", str(plan)) == 2
    assert parvis("apply", str(plan)) == 0
    assert parvis("apply", str(plan)) == 0 and parvis.out == ""


def test_a_plan_with_a_guardrail_that_is_none_is_refused(parvis: Instance) -> None:
    steps = [Step(Kind.GUARDRAIL, "max_levl", None, "closed")]
    told = {"parvis_plan": 1, "hash": hash_of(steps), "source": "", "steps": [step.as_json() for step in steps]}
    (parvis.folder / "plan.json").write_text(json.dumps(told))
    assert parvis("apply", str(parvis.folder / "plan.json")) == 1 and "not a plan" in parvis.err
    assert parvis.inside(lambda: db.fetch("SELECT name FROM guardrail")) == []


@pytest.mark.parametrize("text", ["", "[]", '{"parvis_plan": 2}', '{"parvis_plan": 1, "steps": [{}]}', "[" * 100_000])
def test_what_is_no_plan_is_refused_in_one_sentence(parvis: Instance, text: str) -> None:
    (parvis.folder / "plan.json").write_text(text)
    assert parvis("apply", str(parvis.folder / "plan.json")) == 1
    assert parvis.err.count("\n") == 1 and "plan" in parvis.err


def test_what_needs_a_second_person_waits_and_then_is_there(parvis: Instance) -> None:
    parvis.file.write_text(FILE.replace('"network"', '"partners"'))
    assert parvis("plan", str(parvis.file)) == 3
    assert "a second person has to approve" in parvis.out
    assert parvis("apply", str(parvis.file)) == 3
    assert "https://aubrac.test/spaces/team/openness (change " in parvis.err
    assert parvis.policy("team") == SpacePolicy(Level.CLOSED)
    assert parvis.policy("offre") is not None, "what needs nobody does not wait"
    assert parvis("apply", str(parvis.file)) == 3, "asked again, it is the same request"
    rows = parvis.inside(lambda: db.fetch("SELECT id, plan_hash, state FROM policy_change"))
    assert [row["state"] for row in rows] == ["waiting"]
    parvis.inside(lambda: openness.approve(parvis.cast.odile, rows[0]["id"], rows[0]["plan_hash"]))
    assert parvis("plan", str(parvis.file)) == 0


def test_a_file_does_not_escape_the_second_person_by_loosening_the_rule_itself(parvis: Instance) -> None:
    parvis.inside(
        lambda: db.execute(
            "INSERT INTO guardrail (id, name, value) VALUES (1, 'require_second_person_from', '\"partners\"')"
        )
    )
    assert parvis("apply", str(parvis.file)) == 3
    assert parvis.policy("team") == SpacePolicy(Level.CLOSED)


def test_only_what_narrows_is_applied_when_asked(parvis: Instance) -> None:
    assert parvis("apply", str(parvis.file)) == 0
    parvis.file.write_text(
        FILE.replace('"internal"', '"public"')
        .replace('"partners"\nreach', '"closed"\nreach')
        .replace(f'["{KESTREL}"]', "[]")
    )
    assert parvis("apply", "--only-narrow", str(parvis.file)) == 0
    team, offre = parvis.policy("team"), parvis.policy("offre")
    assert team is not None and team.level is Level.CLOSED
    assert offre is not None and offre.level is Level.INTERNAL


def test_narrowing_comes_first_and_widening_last(parvis: Instance) -> None:
    assert parvis("apply", str(parvis.file)) == 0
    narrower = FILE.replace('"partners"\nreach', '"internal"\nreach').replace(f'["{KESTREL}"]', "[]")
    parvis.file.write_text(narrower.replace('"internal"\ntone', '"partners"\ntone'))
    assert parvis("plan", "--json", str(parvis.file)) == 2
    steps = [step for step in json.loads(parvis.out)["steps"] if step["kind"] == "policy"]
    assert [(step["subject"], step["widens"]) for step in steps] == [("team", False), ("offre", True)]


def test_what_the_page_decides_is_left_to_it_and_what_the_file_says_is_drift(parvis: Instance) -> None:
    parvis.file.write_text(FILE + 'manage = ["level", "owner"]\n')
    assert parvis("apply", str(parvis.file)) == 0
    assert parvis("drift", str(parvis.file)) == 5, "the partner has not confirmed the new version"
    parvis.inside(lambda: db.execute("UPDATE delivery SET state = 'sent'"))
    parvis.inside(lambda: db.execute("DELETE FROM event"))
    assert parvis("drift", str(parvis.file)) == 0, parvis.out

    async def by_page(**values: Any) -> None:
        space = (await declared.spaces(["offre"]))["offre"]
        await openness.change(parvis.cast.alice, space.id, SpacePolicy(**values), How(Door.PAGE))

    parvis.inside(lambda: by_page(level=Level.INTERNAL, tone="posé"))
    parvis.inside(lambda: db.execute("DELETE FROM event"))
    assert parvis("drift", str(parvis.file)) == 0
    parvis.inside(lambda: by_page(level=Level.CLOSED, tone="posé"))
    parvis.inside(lambda: db.execute("DELETE FROM event"))
    assert parvis("drift", "--json", str(parvis.file)) == 5
    assert json.loads(parvis.out)["here"][0]["words"] == ["Level: Closed → Internal"]
    assert parvis("apply", str(parvis.file)) == 0
    offre = parvis.policy("offre")
    assert offre is not None and (offre.level, offre.tone) == (Level.INTERNAL, "posé")


def test_what_the_file_does_not_name_stays_and_is_told(parvis: Instance) -> None:
    assert parvis("apply", str(parvis.file)) == 0
    parvis.file.write_text("schema = 1\n")
    assert parvis("apply", str(parvis.file)) == 0
    assert parvis.policy("team") is not None and parvis.policy("offre") is not None
    for name in ("space.team", "space.offre", "guardrails.require_second_person_from", 'partner."kestrel.test"'):
        assert f"{name} is not in the file; it stays as it is." in parvis.err


def test_what_is_exported_is_what_is_here(parvis: Instance) -> None:
    assert parvis("apply", str(parvis.file)) == 0
    exported = parvis.folder / "exported.toml"
    assert parvis("export", "-o", str(exported)) == 0
    assert parvis("plan", str(exported)) == 0, parvis.out
    assert "space.team is managed by exported.toml" in parvis.err
    assert parvis("export", "--space", "nowhere") == 1
    assert parvis("export", "--space", "offre") == 0 and "[space.team]" not in parvis.out


def test_a_space_that_is_opened_on_its_date_is_planned_once(parvis: Instance) -> None:
    parvis.file.write_text(FILE + "opens = 2990-01-01\n")
    assert parvis("apply", str(parvis.file)) == 0
    assert "planned for its date" in parvis.out
    assert parvis("plan", str(parvis.file)) == 0 and "space.offre changes on its date" in parvis.err


def test_what_was_written_before_is_opened_only_when_asked(parvis: Instance) -> None:
    assert parvis("plan", "--json", "--include-history", str(parvis.file)) == 2
    team = next(s for s in json.loads(parvis.out)["steps"] if s["kind"] == "policy" and s["subject"] == "team")
    theirs = next(impact for impact in team["impacts"] if impact["host"] == KESTREL)
    assert theirs["gained"]["items"] == 1
    assert parvis("apply", "--include-history", str(parvis.file)) == 0
    assert parvis("apply", "--include-history", str(parvis.file)) == 0 and parvis.out == ""
    rows = parvis.inside(lambda: db.fetch("SELECT added_at FROM space_partner"))
    assert rows == [{"added_at": 0}]


# --- links, words, partners -----------------------------------------------------------------------


def test_a_pinned_key_is_compared_and_never_set(parvis: Instance) -> None:
    parvis.inside(lambda: db.execute("UPDATE link SET their_key = 'z6MkPinned'"))
    assert parvis("apply", str(parvis.file)) == 0
    assert parvis("export", "-o", str(parvis.file)) == 0
    key = re.search(r'key = "(sha256:[0-9a-f]{64})"', parvis.file.read_text())
    assert key is not None
    assert parvis("validate", str(parvis.file)) == 0
    parvis.inside(lambda: db.execute("UPDATE link SET their_key = 'z6MkAnother'"))
    assert parvis("validate", "--language", "en", str(parvis.file)) == 1
    assert f'partner."{KESTREL}".key: expected the pinned key of this link, sha256:' in parvis.err
    assert parvis("apply", str(parvis.file)) == 1
    assert parvis.inside(lambda: db.fetch("SELECT their_key FROM link")) == [{"their_key": "z6MkAnother"}]


def test_kin_names_and_guardrails_are_set_and_each_is_said(parvis: Instance) -> None:
    assert parvis("apply", str(parvis.file)) == 0
    text = FILE.replace('sponsor = "alice"', "kin = true").replace('fr = "Offre"', 'fr = "Appel"')
    text = text.replace("[guardrails]", '[guardrails]\nmax_level = "network"\nopenings_a_week = 2')
    parvis.file.write_text(text.replace('level = "internal"', 'level = "internal"\ndescription = "Lyon"'))
    assert parvis("plan", "--language", "fr", str(parvis.file)) == 2
    said = parvis.out.replace("\u202f", " ")
    for words in (
        "Niveau le plus ouvert de cette instance : sans limite → Réseau",
        "Ouvertures au plus par semaine : sans limite → 2",
        f"{KESTREL} est une instance sœur",
        "Nom ou description : « Appel »",
    ):
        assert words in said, said
    assert parvis("apply", str(parvis.file)) == 0
    assert parvis("plan", str(parvis.file)) == 0
    offre = parvis.inside(lambda: declared.spaces(["offre"]))["offre"]
    assert (offre.name, offre.description) == ("Appel", "Lyon")
    rows = parvis.inside(lambda: db.fetch("SELECT act FROM audit_entry WHERE act IN ('set_guardrail', 'link_kin')"))
    assert sorted(row["act"] for row in rows) == ["link_kin", *["set_guardrail"] * 3]


@pytest.mark.parametrize(
    ("state", "number", "done", "code"),
    [("pending", 4, 9, 5), ("sent", 4, 3, 5), ("sent", 4, 4, 0), ("dead", 4, 9, 5), ("sent", None, None, 0)],
)
def test_drift_asks_what_a_partner_has_confirmed(
    parvis: Instance, state: str, number: int | None, done: int | None, code: int
) -> None:
    assert parvis("apply", str(parvis.file)) == 0

    async def told() -> None:
        event = await db.fetch_one(
            "SELECT e.id, n.peer_id FROM event e JOIN space_partner n ON n.space_id = e.space_id"
            " WHERE e.kind = 'space_changed' ORDER BY e.id DESC LIMIT 1"
        )
        assert event is not None
        delivery = {
            "id": 1,
            "peer_id": event["peer_id"],
            "seq": 1,
            "event_id": event["id"],
            "inbox": "x",
            "number": number,
        }
        await db.insert("delivery", {**delivery, "state": state, "created_at": 1})
        if done is not None:
            await db.insert("stream", {"id": 1, "peer_id": event["peer_id"], "generation": "g", "done": done})

    parvis.inside(told)
    assert parvis("drift", str(parvis.file)) == code, parvis.out
    assert (KESTREL in parvis.out) is (code == 5)


# --- the scripts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_scripts_hand_over_what_they_are_given_and_the_exit_code(parvis: Instance) -> None:
    deploy = Path(__file__).parents[3] / "deploy"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    settings = {"PATH": path, "PARVIS_CONFIG": str(parvis.folder / "parvis.toml"), "HOME": "/nonexistent"}

    def script(name: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([deploy / name, *words], env=settings, capture_output=True, text=True, timeout=60)

    assert script("plan").returncode == 1
    planned = script("plan", str(parvis.file), "--language", "fr")
    assert (planned.returncode, "Niveau" in planned.stdout) == (2, True), planned.stderr
    done = script("apply", str(parvis.file), "--source", "c0ffee")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert script("plan", str(parvis.file)).returncode == 0
