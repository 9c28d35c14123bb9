"""What is new, page by page, for whoever asks."""

from urllib.parse import parse_qs, urlsplit

import pytest

from server import database as db
from server.actions.posts import withdraw
from server.openness import Level, Visibility
from tests import cast as company
from tests.cast import Cast
from tests.unit.web.api.client import Client

pytestmark = pytest.mark.anyio

HOME = "/api/v1/timelines/home"


def ids(page: list[dict[str, str]]) -> list[int]:
    return [int(one["id"]) for one in page]


async def test_bruno_reads_nothing_of_a_space_he_is_not_in_by_no_timeline(bruno: Client, cast: Cast) -> None:
    space_id = await company.space("conseil", Level.CLOSED, cast.alice)
    await company.say(cast.alice, "entre nous, @bruno", space_id)
    for path in (HOME, "/api/v1/timelines/public", f"/api/v1/timelines/list/{space_id}", "/api/v1/lists"):
        assert await bruno.get(path) == []
    assert await bruno.get(f"/api/v1/accounts/{cast.alice.actor_id}/statuses") == []
    assert await bruno.get("/api/v1/notifications?types[]=mention") == []


async def test_a_hidden_space_is_no_list(bruno: Client, cast: Cast) -> None:
    space_id = await company.space("rachat", Level.CLOSED, cast.alice, listed=False)
    for path in ("/api/v1/timelines/list", "/api/v1/lists"):
        hidden, unknown = await bruno("GET", f"{path}/{space_id}"), await bruno("GET", f"{path}/{space_id + 1}")
        assert hidden.status_code == unknown.status_code == 404
        assert hidden.content == unknown.content


async def test_alice_reads_her_spaces_as_lists(alice: Client, cast: Cast) -> None:
    space_id = await company.space("chantier", Level.CLOSED, cast.alice)
    post_id = await company.say(cast.alice, "lundi", space_id)
    assert [(one["id"], one["parvis_space"]) for one in await alice.get("/api/v1/lists")] == [
        (str(space_id), "chantier")
    ]
    assert ids(await alice.get(f"/api/v1/timelines/list/{space_id}")) == [post_id]
    assert ids(await alice.get(HOME)) == [post_id]


async def test_the_public_timeline_holds_only_what_is_for_everybody(bruno: Client, cast: Cast) -> None:
    shown = await company.say(cast.alice, "à tous", visibility=Visibility.PUBLIC)
    await company.say(cast.alice, "aux collègues")
    assert ids(await bruno.get("/api/v1/timelines/public")) == [shown]


async def test_pages_meet_without_a_gap_and_without_anything_twice(alice: Client, cast: Cast) -> None:
    said = [await company.say(cast.bruno, f"jour {n}") for n in range(7)]
    first = await alice("GET", HOME, params={"limit": 3})
    assert ids(first.json()) == said[:3:-1]
    older = await alice("GET", neighbour(first.headers["link"], "next"))
    assert ids(older.json()) == said[3:0:-1]
    last = await alice("GET", neighbour(older.headers["link"], "next"))
    assert ids(last.json()) == said[0::-1]
    back = await alice("GET", neighbour(last.headers["link"], "prev"))
    assert ids(back.json()) == said[3:0:-1]


def neighbour(link: str, rel: str) -> str:
    found = next(part for part in link.split(", ") if f'rel="{rel}"' in part)
    address = found[found.index("<") + 1 : found.index(">")]
    assert address.startswith(company.HERE.base + HOME)
    assert parse_qs(urlsplit(address).query)["limit"] == ["3"]
    return address.removeprefix(company.HERE.base)


async def test_min_id_gives_what_came_next_and_since_id_what_is_newest(alice: Client, cast: Cast) -> None:
    said = [await company.say(cast.bruno, f"jour {n}") for n in range(5)]
    assert ids(await alice.get(HOME, min_id=str(said[0]), limit="2")) == [said[2], said[1]]
    assert ids(await alice.get(HOME, since_id=str(said[0]), limit="2")) == [said[4], said[3]]
    assert ids(await alice.get(HOME, min_id="0")) == said[::-1]
    assert ids(await alice.get(HOME, max_id=str(2**63 - 1), limit="1")) == [said[4]]


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=x", "max_id=x", "min_id=-1", f"max_id={2**63}"])
async def test_a_window_that_is_none_is_refused(alice: Client, query: str) -> None:
    assert (await alice("GET", f"{HOME}?{query}")).status_code == 422


async def test_a_page_is_never_longer_than_forty(alice: Client, cast: Cast) -> None:
    for n in range(41):
        await company.say(cast.bruno, f"{n}")
    assert len(await alice.get(HOME, limit="1000")) == 40
    assert len(await alice.get(HOME)) == 20


# --- what waits ----------------------------------------------------------------------------------

NOTICES = "/api/v1/notifications"


async def test_the_bench_counts_mentions_as_clients_of_the_field_do(alice: Client, cast: Cast) -> None:
    said = [await company.say(cast.bruno, f"@alice {n}") for n in range(5)]
    await company.say(cast.bruno, "à personne")
    newest = await alice.get(f"{NOTICES}?types[]=mention&limit=1")
    assert int(newest[0]["status"]["id"]) == said[-1]
    seen: list[str] = []
    since = "0"
    while len(seen) < 9 and (page := await alice.get(f"{NOTICES}?types[]=mention&limit=2&min_id={since}")):
        seen += [one["status"]["id"] for one in reversed(page)]
        since = max((one["id"] for one in page), key=int)
    assert [int(i) for i in seen] == said


async def test_kinds_are_chosen_and_left_out(alice: Client, bruno: Client, cast: Cast) -> None:
    post = await alice.post("/api/v1/statuses", status="fini")
    await bruno.post(f"/api/v1/statuses/{post['id']}/favourite")
    await bruno.post(f"/api/v1/accounts/{cast.alice.actor_id}/follow")
    await bruno.post("/api/v1/statuses", status="@alice merci")
    kinds = {one["type"] for one in await alice.get(NOTICES)}
    assert kinds == {"favourite", "follow", "mention"}
    assert [one["type"] for one in await alice.get(f"{NOTICES}?types[]=follow&types[]=nothing")] == ["follow"]
    left = await alice.get(f"{NOTICES}?exclude_types[]=mention&exclude_types[]=follow")
    assert [one["type"] for one in left] == ["favourite"]
    assert await alice.get(f"{NOTICES}?types[]=status") == []


async def test_what_only_we_have_is_told_to_those_who_ask_for_it(alice: Client, bruno: Client, cast: Cast) -> None:
    await company.space("chantier", Level.CLOSED, cast.alice)
    await alice.post("/api/parvis/v1/spaces/chantier/members", who="bruno")
    assert await bruno.get(NOTICES) == []
    (told,) = await bruno.get(f"{NOTICES}?types[]=parvis_member")
    assert (told["parvis_space"], told["parvis_kind"], told["status"]) == ("chantier", "member", None)


async def test_a_notice_of_somebody_else_is_not_there(alice: Client, bruno: Client, cast: Cast) -> None:
    await company.say(cast.bruno, "@alice")
    (mine,) = await alice.get(NOTICES)
    assert (await alice.get(f"{NOTICES}/{mine['id']}"))["id"] == mine["id"]
    theirs = await bruno("GET", f"{NOTICES}/{mine['id']}")
    unknown = await bruno("GET", f"{NOTICES}/1")
    assert theirs.status_code == unknown.status_code == 404
    assert theirs.content == unknown.content
    assert (await alice("GET", f"{NOTICES}/{2**63 - 1}")).status_code == 404


async def test_a_notice_goes_with_what_it_told(alice: Client, cast: Cast) -> None:
    post_id = await company.say(cast.bruno, "@alice")
    await withdraw(cast.bruno, post_id)
    assert await alice.get(NOTICES) == []


async def test_clearing_marks_all_as_seen(alice: Client, cast: Cast) -> None:
    await company.say(cast.bruno, "@alice")
    assert await alice.get(f"{NOTICES}/unread_count") == {"count": 1}
    await alice.post(f"{NOTICES}/clear")
    assert await alice.get(f"{NOTICES}/unread_count") == {"count": 0}
    row = await db.fetch_one("SELECT COUNT(*) AS n FROM notice")
    assert row is not None
    assert row["n"] == 1
