"""Files that nothing needs go with their small pictures: when a post is taken back, a person erased, a day is over."""

import asyncio
import io
from pathlib import Path

import pytest
from PIL import Image

from server import database as db
from server import pictures
from server.actions import attachments, erasing, file_bytes, posts
from server.actions.attachments import take_in
from server.clock import now_ms
from server.files import Stored
from server.viewer import Resident
from tests import cast as company
from tests.cast import HERE, Cast

pytestmark = pytest.mark.anyio


@pytest.fixture
async def cast(database: str) -> Cast:
    return await company.gather()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture(autouse=True)
def looks_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_bytes, "_pass", file_bytes._Pass())


def picture(colour: str = "teal") -> io.BytesIO:
    drawn = io.BytesIO()
    Image.new("RGB", (4, 3), colour).save(drawn, "PNG")
    return drawn


async def with_picture(who: Resident, folder: Path, colour: str = "teal") -> int:
    """A post with a picture of one colour."""
    file = await take_in(who, folder, picture(colour), 10_000, "plan.png")
    return await posts.publish(who, posts.Draft("ci-joint", file_ids=[file]), HERE)


async def left(folder: Path) -> int:
    while await file_bytes.tidy(folder):
        pass
    return sum(path.is_file() for path in folder.rglob("*"))


async def test_ours_stay_a_day_without_a_post_and_go_then_unless_another_post_has_the_same(
    cast: Cast, folder: Path
) -> None:
    first, same = await with_picture(cast.alice, folder), await with_picture(cast.bruno, folder)
    await posts.withdraw(cast.alice, first)
    assert await left(folder) == 2, "the picture and its small one"
    await db.execute("UPDATE attachment SET created_at = $1", now_ms() - file_bytes.KEPT_MS - 1)
    file_bytes._pass.next_at = 0
    assert await left(folder) == 2, "Bruno's post has them"
    assert len(await db.fetch("SELECT id FROM attachment")) == 1
    await posts.withdraw(cast.bruno, same)
    file_bytes._pass.next_at = 0
    assert await left(folder) == 0


async def test_what_came_from_elsewhere_goes_with_its_post(cast: Cast, folder: Path) -> None:
    post = await with_picture(cast.alice, folder)
    await db.execute("UPDATE attachment SET source_uri = 'https://kestrel.test/media/1/plan.png'")
    await posts.withdraw(cast.alice, post)
    assert await db.fetch("SELECT id FROM attachment") == []
    assert await left(folder) == 0


async def test_who_is_erased_leaves_no_picture(cast: Cast, folder: Path) -> None:
    await with_picture(cast.bruno, folder)
    await with_picture(cast.alice, folder, "gold")
    await erasing.erase(cast.odile, cast.bruno.account_id)
    assert await left(folder) == 2, "Alice's"


async def test_bytes_that_a_new_row_claims_stay_and_those_that_are_gone_cannot_be_claimed(
    cast: Cast, folder: Path
) -> None:
    await with_picture(cast.alice, folder)
    [row] = await db.fetch("SELECT sha256 FROM attachment")
    await db.execute("DELETE FROM attachment")
    await file_bytes.unneeded([row["sha256"]])
    assert await file_bytes.claim(folder, row["sha256"])
    assert await left(folder) == 2, "nobody takes them away"
    await file_bytes.unneeded([row["sha256"]])
    assert await left(folder) == 0
    assert not await file_bytes.claim(folder, row["sha256"])


async def test_bytes_that_go_while_the_same_come_again_are_there_in_the_end(
    cast: Cast, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_picture(cast.alice, folder)
    [row] = await db.fetch("SELECT sha256 FROM attachment")
    await db.execute("DELETE FROM attachment")
    draw, kept = pictures.with_small, list[Stored]()

    async def while_they_go(where: Path, stored: Stored) -> Stored:
        if not kept:
            await file_bytes.unneeded([row["sha256"]])
            await file_bytes.drop(where)
        kept.append(await draw(where, stored))
        return kept[-1]

    monkeypatch.setattr(pictures, "with_small", while_they_go)
    await with_picture(cast.bruno, folder)
    assert [stored.width for stored in kept] == [0, 4]
    assert await left(folder) == 2, "Bruno's picture and its small one"


async def test_of_files_of_another_post_nothing_is_said_with_this_one(cast: Cast, folder: Path) -> None:
    mine, theirs = await with_picture(cast.alice, folder), await with_picture(cast.bruno, folder, "navy")
    of = {row["post_id"]: row["id"] for row in await db.fetch("SELECT id, post_id FROM attachment")}
    await posts.edit(cast.alice, mine, "ci-joint", HERE, described={of[theirs]: "un mensonge"})
    said = posts.Draft("encore", described={of[theirs]: "un autre"})
    await posts.publish(cast.alice, said, HERE)
    assert [row["description"] for row in await db.fetch("SELECT description FROM attachment")] == ["", ""]
    await posts.edit(cast.alice, mine, "ci-joint", HERE, described={of[mine]: "un plan"})
    rows = {row["id"]: row["description"] for row in await db.fetch("SELECT id, description FROM attachment")}
    assert rows == {of[mine]: "un plan", of[theirs]: ""}


async def test_bytes_that_cannot_be_removed_hold_up_no_others_and_are_tried_again(cast: Cast, folder: Path) -> None:
    for colour in ("teal", "navy"):
        await posts.withdraw(cast.alice, await with_picture(cast.alice, folder, colour))
    stuck, other = await db.fetch("SELECT id, sha256 FROM attachment ORDER BY id")
    [stays] = [path for path in folder.rglob(f"{stuck['sha256']}*") if "small" not in path.as_posix()]
    stays.unlink()
    (stays / "held").mkdir(parents=True)  # what no unlink removes
    await db.execute("DELETE FROM attachment")
    await file_bytes.unneeded([stuck["sha256"], other["sha256"]])
    await db.execute("UPDATE job SET due_at = 1 WHERE key = $1", stuck["sha256"])
    assert await file_bytes.drop(folder) == 1
    assert not list(folder.rglob(f"{other['sha256']}*")), "the others go"
    [job] = await db.fetch("SELECT due_at, attempts, error FROM job WHERE kind = $1", file_bytes.DROP)
    assert job["due_at"] > now_ms() and job["attempts"] == 1 and stuck["sha256"] in job["error"]
    assert await file_bytes.drop(folder) == 0
    (stays / "held").rmdir()
    stays.rmdir()
    await db.execute("UPDATE job SET due_at = 0 WHERE kind = $1", file_bytes.DROP)
    assert await file_bytes.drop(folder) == 1
    assert await db.fetch("SELECT id FROM job WHERE kind = $1", file_bytes.DROP) == []


async def test_two_processes_do_not_give_and_take_away_the_same_bytes_at_once(cast: Cast, folder: Path) -> None:
    await with_picture(cast.alice, folder)
    [row] = await db.fetch("SELECT sha256 FROM attachment")
    await db.execute("DELETE FROM attachment")
    claimed, forgotten = asyncio.Event(), asyncio.Event()

    async def bring_again() -> None:
        async with db.transaction():
            assert await file_bytes.claim(folder, row["sha256"])
            await attachments.bring(cast.bruno, Stored(row["sha256"], 1, b"x"), "plan.png")
            claimed.set()
            await asyncio.wait({asyncio.ensure_future(forgotten.wait())}, timeout=0.3)

    bringing = asyncio.create_task(bring_again())
    await claimed.wait()
    await file_bytes.unneeded([row["sha256"]])  # somebody else's row of these bytes goes, which the claim cannot see
    dropped = await file_bytes.drop(folder)
    forgotten.set()
    await bringing
    assert dropped == 1 and await left(folder) == 2, "they are Bruno's now"


async def test_a_file_that_is_posted_at_last_is_not_forgotten_at_that_moment(cast: Cast, folder: Path) -> None:
    file, posted = await take_in(cast.alice, folder, picture(), 10_000, "plan.png"), asyncio.Event()
    await db.execute("UPDATE attachment SET created_at = 0")

    async def post_slowly() -> None:
        async with db.transaction():
            await posts.publish(cast.alice, posts.Draft("ci-joint", file_ids=[file]), HERE)
            posted.set()
            await asyncio.sleep(0.2)  # whoever forgets it looks meanwhile

    posting = asyncio.create_task(post_slowly())
    await posted.wait()
    await file_bytes.tidy(folder)
    await posting
    assert len(await db.fetch("SELECT id FROM attachment WHERE post_id IS NOT NULL")) == 1 and await left(folder) == 2


async def test_bytes_of_which_a_dead_process_left_no_row_go_and_those_that_are_wanted_gone_go_at_once(
    cast: Cast, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: object) -> bool:
        raise RuntimeError("kill -9")

    monkeypatch.setattr(file_bytes, "claim", die)
    for colour in ("teal", "gold"):
        with pytest.raises(RuntimeError, match="kill"):
            await take_in(cast.alice, folder, picture(colour), 10_000, "plan.png")
    assert await left(folder) == 4, "a row may still come"
    [first, _] = await db.fetch("SELECT key FROM job ORDER BY key")
    await file_bytes.unneeded([first["key"]])
    assert await left(folder) == 2
    await db.execute("UPDATE job SET due_at = due_at - $1", file_bytes.UNCLAIMED_MS)
    assert await left(folder) == 0
