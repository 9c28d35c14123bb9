"""Files that nothing needs go with their small pictures: when a post is taken back, a person erased, a day is over."""

import io
from pathlib import Path

import pytest
from PIL import Image

from server import database as db
from server import pictures
from server.actions import erasing, file_bytes, posts
from server.actions.attachments import bring
from server.clock import now_ms
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


async def with_picture(who: Resident, folder: Path, colour: str = "teal") -> int:
    """A post with a picture of one colour."""
    drawn = io.BytesIO()
    Image.new("RGB", (4, 3), colour).save(drawn, "PNG")
    drawn.seek(0)
    file = await bring(who, await pictures.bring_in(folder, drawn, 10_000), "plan.png")
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
