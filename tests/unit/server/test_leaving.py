"""Somebody takes along what is theirs, or is erased: as far as they may read it, and everywhere it was sent."""

import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import msgspec
import pytest

from server import database as db
from server import files
from server.actions import erasing, follows, gestures, mails, membership, polls, posts
from server.actions.accounts import NewPerson, add_person
from server.actions.poll_rows import NewPoll
from server.archiving import write_archive
from server.clock import now_ms
from server.errors import Conflict, Forbidden, Invalid
from server.openness import Level
from server.viewer import Employee, Operator
from tests import cast as company

pytestmark = pytest.mark.anyio


@pytest.fixture
async def cast(database: str) -> company.Cast:
    return await company.gather()


async def archived(viewer: Any, folder: Path) -> tuple[dict[str, Any], ZipFile]:
    target = folder / "archive.zip"
    await write_archive(viewer, company.HERE, folder / "files", target)
    assert target.stat().st_mode & 0o777 == 0o600
    opened = ZipFile(target)
    return json.loads(opened.read("contents.json")), opened


def lines(opened: ZipFile, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in opened.read(name).splitlines()]


async def test_an_archive_holds_what_its_owner_wrote_and_may_read_and_nobody_elses(
    cast: company.Cast, tmp_path: Path
) -> None:
    team = await company.space("equipe", Level.CLOSED, cast.alice, cast.bruno)
    past = await company.space("passe", Level.CLOSED, cast.alice, cast.bruno)
    theirs = await company.say(cast.alice, "mots d’Alice", team)
    await company.say(cast.bruno, "mots d’équipe", team)
    await company.say(cast.bruno, "mots d’avant", past)
    await gestures.react(cast.bruno, theirs, "👍")
    await polls.vote(cast.bruno, await asked(cast.alice, team), [1])
    stored = files.store(tmp_path / "files", Path(__file__), 1_000_000)
    file = {"owner_id": cast.bruno.actor_id, "name": "../../relevé .txt", "media_type": "text/plain", "state": "ready"}
    [post] = await db.fetch("SELECT id FROM post WHERE author_id = $1 AND space_id = $2", cast.bruno.actor_id, team)
    row = {"id": 77, "post_id": post["id"], "sha256": stored.sha256, "size": stored.size, "created_at": now_ms()}
    await db.insert("attachment", file | row)
    await membership.leave(cast.bruno, past)

    contents, opened = await archived(cast.bruno, tmp_path)
    assert (contents["posts"], contents["files"], contents["reactions"], contents["withheld"]) == (1, 1, 1, 1)
    [told] = lines(opened, "posts.jsonl")
    assert (told["text"], told["space"]) == ("mots d’équipe", "equipe")
    [path] = [carried["path"] for carried in told["files"]]
    assert path.startswith("files/") and ".." not in path.split("/")
    assert opened.read(path) == Path(__file__).read_bytes()
    assert lines(opened, "reactions.jsonl")[0]["emoji"] == "👍"
    assert [vote["option"] for vote in lines(opened, "votes.jsonl")] == ["non"]
    assert [space["space"] for space in json.loads(opened.read("memberships.json"))] == ["equipe"]
    assert json.loads(opened.read("account.json"))["name"] == "bruno"
    everything = b"".join(opened.read(name) for name in opened.namelist() if not name.startswith("files/"))
    assert "mots d’Alice".encode() not in everything and b"password" not in everything
    assert "mots d’avant".encode() not in everything, "of a space that they are no longer in"


async def test_an_archive_that_fails_leaves_no_file(cast: company.Cast, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        await write_archive(cast.bruno, company.HERE, tmp_path, tmp_path / "nowhere" / "archive.zip")
    target = tmp_path / "out" / "taken"
    target.mkdir(parents=True)
    with pytest.raises(OSError, match="taken"):
        await write_archive(cast.bruno, company.HERE, tmp_path, target)
    assert list(target.parent.iterdir()) == [target]


async def test_nobody_is_erased_by_who_may_not_or_while_others_depend_on_them(cast: company.Cast) -> None:
    await company.space("equipe", Level.CLOSED, cast.alice)
    await company.guest("gina", "Gina", cast.bruno)
    before = await everything()
    with pytest.raises(Forbidden):
        await erasing.erase(cast.alice, cast.bruno.account_id)
    with pytest.raises(Invalid):
        await erasing.erase(cast.odile, cast.odile.account_id)
    with pytest.raises(Conflict) as refused:
        await erasing.erase(cast.odile, cast.alice.account_id)
    assert refused.value.params == {"spaces": "equipe"}
    with pytest.raises(Conflict) as refused:
        await erasing.erase(cast.odile, cast.bruno.account_id)
    assert refused.value.params == {"guests": "gina"}
    with pytest.raises(Conflict):
        await erasing.erase(Operator(), cast.odile.account_id)
    assert await everything() == before


async def test_who_is_erased_leaves_no_word_and_no_name_and_whoever_was_told_is_told(cast: company.Cast) -> None:
    team = await company.space(
        "equipe", Level.PARTNERS, cast.alice, cast.bruno, cast.chloe, partners=(company.KESTREL,)
    )
    await company.say(cast.bruno, "secret de Bruno", team)
    await company.say(cast.bruno, "autre mot")
    theirs = await company.say(cast.alice, "mots d’Alice", team)
    await gestures.react(cast.bruno, theirs, "👍")
    poll = await asked(cast.alice, team)
    await polls.vote(cast.bruno, poll, [1])
    await follows.follow(cast.bruno, cast.alice.actor_id)
    await follows.asked(cast.chloe, cast.bruno.actor_id, "https://kestrel.test/follows/1")

    await mails.keep_reply_address(cast.bruno.account_id, theirs, "secret")
    await db.insert("mailbox", {"account_id": cast.bruno.account_id, "error": "550 bruno"})

    taken = await erasing.erase(cast.odile, cast.bruno.account_id)
    assert await db.fetch("SELECT 1 FROM mailbox UNION SELECT 1 FROM reply_address") == []
    assert (taken.posts, taken.reactions, taken.votes) == (2, 1, 1)
    assert len(await db.fetch("SELECT 1 FROM event WHERE kind = 'tallied' AND post_id = $1", poll)) == 2
    assert not await db.fetch("SELECT 1 FROM post WHERE author_id = $1 AND deleted_at IS NULL", cast.bruno.actor_id)
    said = str(await everything())
    assert "secret de Bruno" not in said and "Bruno Keller" not in said
    for table, column in (
        ("membership", "actor_id"),
        ("reaction", "actor_id"),
        ("vote", "actor_id"),
        ("follow", "follower_id"),
    ):
        assert not await db.fetch(f"SELECT 1 FROM {table} WHERE {column} = $1", cast.bruno.actor_id), table
    kinds = [row["kind"] for row in await db.fetch("SELECT kind FROM event ORDER BY id")]
    assert kinds.count("post_withdrawn") == 2 and kinds[-1] == "person_erased"
    [event] = await db.fetch("SELECT data FROM event WHERE kind = 'person_erased'")
    assert msgspec.json.decode(event["data"]) == {"peers": [cast.kestrel.peer_id]}
    with pytest.raises(Conflict):
        await add_person(Operator(), NewPerson("bruno"), company.HERE)
    assert await db.fetch("SELECT 1 FROM post WHERE id = $1 AND deleted_at IS NULL", theirs)


async def test_an_erasure_that_was_cut_off_is_finished_by_asking_again(cast: company.Cast) -> None:
    await company.say(cast.bruno, "un mot")
    await db.execute("UPDATE account SET suspended_at = 1 WHERE id = $1", cast.bruno.account_id)
    assert (await erasing.erase(Operator(), cast.bruno.account_id)).posts == 1
    assert not await db.fetch("SELECT 1 FROM account WHERE id = $1", cast.bruno.account_id)


async def asked(who: Employee, place: int) -> int:
    return await posts.publish(who, posts.Draft("On y va ?", place, poll=NewPoll(("oui", "non"))), company.HERE)


async def everything() -> dict[str, list[dict[str, Any]]]:
    tables = ("account", "actor", "post", "post_version", "search_row", "membership", "follow", "event", "reaction")
    return {table: await db.fetch(f"SELECT * FROM {table} ORDER BY 1") for table in tables}
