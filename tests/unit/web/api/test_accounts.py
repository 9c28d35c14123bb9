"""People and spaces as accounts of the field, and looking for them."""

import pytest
from starlette.applications import Starlette

from server import database as db
from server.openness import Level
from server.viewer import Employee
from tests import cast as company
from tests.cast import HERE, KESTREL, Cast
from tests.unit.web.api.client import Client
from web.api.search import Resolved

pytestmark = pytest.mark.anyio

ACCOUNTS = "/api/v1/accounts"


async def actor_of(space_id: int) -> int:
    row = await db.fetch_one("SELECT actor_id FROM space WHERE id = $1", space_id)
    assert row is not None
    return int(row["actor_id"])


async def test_a_hidden_space_is_no_account_of_bruno_s(bruno: Client, cast: Cast) -> None:
    actor_id = await actor_of(await company.space("rachat", Level.CLOSED, cast.alice, listed=False))
    for path in ("", "/statuses"):
        hidden = await bruno("GET", f"{ACCOUNTS}/{actor_id}{path}")
        unknown = await bruno("GET", f"{ACCOUNTS}/{actor_id + 1}{path}")
        assert hidden.status_code == unknown.status_code == 404
        assert hidden.content == unknown.content
    for path in ("follow", "unfollow"):
        assert (await bruno("POST", f"{ACCOUNTS}/{actor_id}/{path}")).status_code == 404
    assert (await bruno("GET", f"{ACCOUNTS}/lookup?acct=rachat")).status_code == 404
    assert await bruno.get(f"{ACCOUNTS}/relationships?id[]={actor_id}&id[]={cast.alice.actor_id}&id[]=7") == [
        {**NOTHING, "id": str(cast.alice.actor_id)}
    ]
    for term in ("rachat", "@rachat", "@rachat@aubrac.test", HERE.space("rachat")):
        assert await bruno.get("/api/v2/search", q=term, resolve="true") == FOUND_NOTHING


NOTHING = {
    "following": False,
    "requested": False,
    "followed_by": False,
    "showing_reblogs": True,
    "notifying": False,
    "blocking": False,
    "blocked_by": False,
    "muting": False,
    "muting_notifications": False,
    "requested_by": False,
    "domain_blocking": False,
    "endorsed": False,
    "note": "",
}
FOUND_NOTHING: dict[str, list[str]] = {"accounts": [], "statuses": [], "hashtags": []}


async def test_somebody_suspended_is_nobody(bruno: Client, cast: Cast) -> None:
    row = await db.fetch_one("SELECT id FROM actor WHERE name = 'zoe'")
    assert row is not None
    assert (await bruno("GET", f"{ACCOUNTS}/{row['id']}")).status_code == 404
    assert (await bruno("GET", f"{ACCOUNTS}/lookup?acct=zoe")).status_code == 404


async def test_a_closed_space_is_asked_and_an_internal_one_joined(bruno: Client, cast: Cast) -> None:
    closed = await actor_of(await company.space("chantier", Level.CLOSED, cast.alice))
    internal = await actor_of(await company.space("cantine", Level.INTERNAL, cast.alice))
    assert (await bruno.post(f"{ACCOUNTS}/{closed}/follow"))["requested"]
    assert (await bruno.post(f"{ACCOUNTS}/{internal}/follow"))["following"]
    assert not (await bruno.post(f"{ACCOUNTS}/{internal}/unfollow"))["following"]


async def test_following_a_colleague_is_at_once_and_a_person_elsewhere_is_asked(bruno: Client, cast: Cast) -> None:
    assert (await bruno.post(f"{ACCOUNTS}/{cast.alice.actor_id}/follow"))["following"]
    assert (await bruno.post(f"{ACCOUNTS}/{cast.chloe.actor_id}/follow"))["requested"]
    assert (await bruno("POST", f"{ACCOUNTS}/{cast.bruno.actor_id}/follow")).status_code == 422
    assert not (await bruno.post(f"{ACCOUNTS}/{cast.alice.actor_id}/unfollow"))["following"]


async def test_people_are_shown_as_the_field_shows_them(bruno: Client, cast: Cast) -> None:
    me = await bruno.get(f"{ACCOUNTS}/verify_credentials")
    assert (me["id"], me["acct"], me["source"]["privacy"]) == (str(cast.bruno.actor_id), "bruno", "private")
    chloe = await bruno.get(f"{ACCOUNTS}/lookup?acct=@chloe@{KESTREL}")
    assert (chloe["acct"], chloe["username"], chloe["group"]) == (f"chloe@{KESTREL}", "chloe", False)
    assert (await bruno.get(f"{ACCOUNTS}/lookup?acct=alice@aubrac.test"))["acct"] == "alice"


async def test_a_space_is_a_group_account_whose_statuses_are_what_was_written_in_it(bruno: Client, cast: Cast) -> None:
    space_id = await company.space("cantine", Level.INTERNAL, cast.alice)
    post_id = await company.say(cast.alice, "menu", space_id)
    group = await bruno.get(f"{ACCOUNTS}/lookup?acct=cantine")
    assert (group["group"], group["parvis_space"], group["url"]) == (True, "cantine", HERE.space("cantine"))
    page = await bruno.get(f"{ACCOUNTS}/{group['id']}/statuses")
    assert [one["id"] for one in page] == [str(post_id)]
    assert await bruno.get(f"{ACCOUNTS}/{group['id']}/statuses?pinned=true") == []
    assert await bruno.get(f"{ACCOUNTS}/{group['id']}/statuses?only_media=true") == []


@pytest.mark.parametrize("query", ["acct=", "acct=a%00b", "acct=" + "a" * 400, "acct=a&acct=b", "acct=../x"])
async def test_a_handle_that_is_none_is_refused(bruno: Client, query: str) -> None:
    assert (await bruno("GET", f"{ACCOUNTS}/lookup?{query}")).status_code == 422


async def test_search_finds_only_what_the_caller_may_read(alice: Client, bruno: Client, cast: Cast) -> None:
    closed = await company.space("chantier", Level.CLOSED, cast.alice)
    secret = await company.say(cast.alice, "turbine secrète", closed)
    shown = await company.say(cast.alice, "turbine publique")
    found = await bruno.get("/api/v2/search?q=turbine&type=statuses")
    assert [one["id"] for one in found["statuses"]] == [str(shown)]
    assert {one["id"] for one in (await alice.get("/api/v2/search?q=turbine"))["statuses"]} == {
        str(secret),
        str(shown),
    }
    by_address = await bruno.get("/api/v2/search", q=HERE.post(secret), resolve="true")
    assert by_address == FOUND_NOTHING
    mine = await alice.get("/api/v2/search", q=HERE.post(secret))
    assert [one["id"] for one in mine["statuses"]] == [str(secret)]


async def test_search_finds_people_by_name_handle_and_address(bruno: Client, cast: Cast) -> None:
    for term in ("Fournier", "alice", "@alice@aubrac.test", HERE.person("alice")):
        found = await bruno.get("/api/v2/search", q=term)
        assert [one["acct"] for one in found["accounts"]] == ["alice"], term
    assert await bruno.get("/api/v2/search", q="   ") == FOUND_NOTHING


async def test_elsewhere_is_asked_only_when_the_caller_wants_it_and_nothing_is_known(
    app: Starlette, bruno: Client, cast: Cast
) -> None:
    asked: list[str] = []

    async def lookup(viewer: Employee, term: str) -> Resolved:
        asked.append(term)
        return Resolved(actor_id=cast.driss.actor_id)

    app.state.lookup = lookup
    await bruno.get("/api/v2/search", q="@new@kestrel.test")
    await bruno.get("/api/v2/search", q=f"@chloe@{KESTREL}", resolve="true")
    await bruno.get("/api/v2/search", q="nobody in particular", resolve="true")
    await bruno.get("/api/v2/search", q="file:///etc/passwd", resolve="true")
    assert asked == []
    found = await bruno.get("/api/v2/search", q="@new@kestrel.test", resolve="true")
    assert [one["acct"] for one in found["accounts"]] == [f"driss@{KESTREL}"]
    assert asked == ["new@kestrel.test"]
