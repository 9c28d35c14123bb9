"""The bytes of files: for whoever may open them now, and never run in our origin."""

import io
import re

import pytest
from starlette.applications import Starlette

from server import database as db
from server import files
from server.actions.spaces import set_openness
from server.clock import now_ms
from server.ids import new_id
from server.openness import Level
from server.settings import Settings
from server.viewer import Employee
from tests.cast import KESTREL, Cast, say, space
from tests.unit.web.pages.browser import Browser, bare

pytestmark = pytest.mark.anyio

BYTES = b"%PDF-1.7 0123456789"
SMALL = b"RIFF small"


async def attached(app: Starlette, owner: Employee, post_id: int, media_type: str = "application/pdf") -> str:
    """A stored file on a post, with a small picture if it is one; its address."""
    settings: Settings = app.state.settings
    kept = files.store(settings.files_dir, io.BytesIO(BYTES), 1 << 20)
    file_id, picture = new_id(), media_type == "image/png"
    if picture:
        with files.Arriving(settings.files_dir, 1 << 20) as small:
            small.write(SMALL)
            small.keep_beside(kept.sha256)
    row = {"id": file_id, "owner_id": owner.actor_id, "post_id": post_id, "name": "Relevés « 3 ».pdf"}
    row |= {"media_type": media_type, "sha256": kept.sha256, "size": kept.size, "created_at": now_ms()}
    row |= {"width": 40, "height": 30} if picture else {}
    await db.insert("attachment", row)
    return f"/media/{file_id}/x.pdf"


def small_of(address: str) -> str:
    return f"/small/{address.split('/')[2]}"


async def test_K14_bruno_and_a_visitor_get_the_same_404_as_for_no_file_at_all(
    app: Starlette, cast: Cast, alice: Browser, bruno: Browser, visitor: Browser
) -> None:
    cevennes = await space("cevennes", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    address = await attached(app, cast.alice, await say(cast.alice, "Les relevés", cevennes), "image/png")
    for outsider in (bruno, visitor):
        for one, never in ((address, "/media/1/x.pdf"), (small_of(address), "/small/1")):
            hidden, missing = await outsider.get(one), await outsider.get(never)
            assert hidden.status_code == missing.status_code == 404
            assert bare(hidden.text, one) == bare(missing.text, never)
        for odd in ("/media/x/y", "/media/0/y", f"/media/{1 << 63}/y", "/media/-1/y", "/small/x", "/small/0"):
            assert (await outsider.get(odd)).status_code == 404
    assert (await alice.get(address)).content == BYTES
    small = await alice.get(small_of(address))
    assert (small.content, small.headers["content-type"]) == (SMALL, "image/webp")
    assert "Relev" not in str(small.headers), "its name is in the post, and nowhere else"
    assert (await alice("HEAD", small_of(address))).headers["content-length"] == str(len(SMALL))


async def test_what_has_no_small_picture_answers_as_what_is_not_there(
    app: Starlette, cast: Cast, alice: Browser
) -> None:
    address = await attached(app, cast.alice, await say(cast.alice, "Voici"))
    none, never = await alice.get(small_of(address)), await alice.get("/small/1")
    assert none.status_code == 404 and bare(none.text, small_of(address)) == bare(never.text, "/small/1")


async def test_K14_after_the_space_closed_no_etag_and_no_range_opens_the_file(
    app: Starlette, cast: Cast, bruno: Browser
) -> None:
    team = await space("equipe", Level.INTERNAL, cast.alice)
    address = await attached(app, cast.alice, await say(cast.alice, "Les relevés", team), "image/png")
    marks = []
    for one in (address, small_of(address)):
        seen = await bruno.get(one)
        assert seen.headers["cache-control"] == "private, no-cache"
        marks.append((one, again := {"if-none-match": seen.headers["etag"]}))
        assert (await bruno.get(one, headers=again)).status_code == 304
    await set_openness(cast.alice, team, Level.CLOSED)
    for one, again in marks:
        for asked in ({}, again, {"range": "bytes=0-3"}):
            never = await bruno.get("/small/1", headers=asked)
            hidden = await bruno.get(one, headers=asked)
            assert hidden.status_code == never.status_code == 404
            assert bare(hidden.text, one) == bare(never.text, "/small/1")


@pytest.mark.parametrize("media_type", ["text/html", "image/svg+xml", "application/javascript", "text/plain"])
async def test_H17_what_a_browser_could_run_is_only_downloaded(
    app: Starlette, cast: Cast, alice: Browser, media_type: str
) -> None:
    address = await attached(app, cast.alice, await say(cast.alice, "Voici"), media_type)
    answer = await alice.get(address)
    assert answer.headers["content-disposition"].startswith("attachment; ")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


async def test_a_pdf_is_shown_under_its_own_name(app: Starlette, cast: Cast, bruno: Browser) -> None:
    answer = await bruno.get(await attached(app, cast.alice, await say(cast.alice, "Voici")))
    assert answer.headers["content-type"] == "application/pdf"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script" not in policy
    assert "sandbox" not in policy, "Chromium and Firefox show no PDF in a sandbox"
    assert answer.headers["content-disposition"] == "inline; filename*=UTF-8''Relev%C3%A9s%20%C2%AB%203%20%C2%BB.pdf"


@pytest.mark.parametrize(
    ("asked", "status", "got"),
    [
        ("bytes=0-3", 206, BYTES[:4]),
        ("bytes=5-", 206, BYTES[5:]),
        ("bytes=-4", 206, BYTES[-4:]),
        ("bytes=5-999", 206, BYTES[5:]),
        ("bytes=999-", 416, b""),
        ("bytes=4-2", 416, b""),
        ("bytes=-0", 416, b""),
        ("bytes=-", 200, BYTES),
        ("bytes=0-1,4-5", 200, BYTES),
        ("lines=1-2", 200, BYTES),
    ],
)
async def test_a_part_of_a_file_can_be_asked_for(
    app: Starlette, cast: Cast, alice: Browser, asked: str, status: int, got: bytes
) -> None:
    address = await attached(app, cast.alice, await say(cast.alice, "Voici"))
    answer = await alice.get(address, headers={"range": asked})
    assert (answer.status_code, answer.content) == (status, got)
    head = await alice("HEAD", address)
    assert (head.content, head.headers["content-length"]) == (b"", str(len(BYTES)))


async def test_a_picture_is_shown_with_its_description_to_whoever_may_open_it(
    app: Starlette, cast: Cast, alice: Browser, bruno: Browser
) -> None:
    team = await space("equipe", Level.INTERNAL, cast.alice)
    await attached(app, cast.alice, await say(cast.alice, "Le coffret", team), "image/png")
    await db.execute("UPDATE attachment SET description = 'Coffret ouvert, relais « en haut »'")
    page = await bruno.page("/spaces/equipe")
    assert 'alt="Coffret ouvert, relais « en haut »" width="40" height="30"' in page
    small = re.search(r'<a class="picture" href="/media/\d+/[^"]+"><img src="(/small/\d+)"', page)
    assert small and (await bruno.get(small[1])).content == SMALL
    await db.execute("""UPDATE space SET narrowed = '{"staff":{"files":0}}'""")
    page = await bruno.page("/spaces/equipe")
    assert "Coffret ouvert" not in page and "/media/" not in page and "ne s’ouvre pas pour vous" in page
    assert "/small/" not in page and (await bruno.get(small[1])).status_code == 403
    assert "Coffret ouvert" in await alice.page("/spaces/equipe")


async def test_a_long_description_is_folded_and_whole_for_who_hears_it(
    app: Starlette, cast: Cast, alice: Browser
) -> None:
    post_id = await say(cast.alice, "Les relevés", await space("cevennes", Level.INTERNAL, cast.alice))
    await attached(app, cast.alice, post_id, "image/png")
    long, short = "mot " * 700 + "fin", "Le poste 3"
    for words, folded in ((long, True), (short, False)):
        await db.execute("UPDATE attachment SET description = $1", words)
        page = await alice.page(f"/posts/{post_id}")
        assert f'alt="{words}"' in page and f'dir="auto">{words}</p>' in page
        assert ('<details class="fold small"><summary dir="auto">mot' in page) is folded
