"""Polls through the API of the field, as its clients send and read them."""

from typing import Any

import pytest

from server import database as db
from server.actions.timers import run_due
from server.openness import Level
from tests.cast import Cast, say, space
from tests.unit.web.api.client import Client

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]
STATUSES = "/api/v1/statuses"


async def test_what_is_no_poll_and_whose_it_is_not_is_refused(alice: Client, bruno: Client, cast: Cast) -> None:
    wrong: list[Any] = ["x", {}, {"options": ["a"]}, {"options": ["a", {}]}, {"options": ["a", "b"], "expires_in": 60}]
    for poll in wrong:
        answer = await alice("POST", STATUSES, json={"status": "?", "poll": poll})
        assert answer.status_code == 422, poll
    hides = {"options": ["a", "b"], "hide_totals": True}
    assert (await alice("POST", STATUSES, json={"status": "?", "poll": hides})).status_code == 422
    assert await db.fetch("SELECT id FROM post") == []
    await space("conseil", Level.CLOSED, cast.alice)
    post = await alice.post(STATUSES, status="?", parvis_space="conseil", poll={"options": ["a", "b"]})
    plain = await say(cast.alice, "sans sondage")
    for poll_id in (post["id"], plain, 7):
        for method, path in (("GET", f"/api/v1/polls/{poll_id}"), ("POST", f"/api/v1/polls/{poll_id}/votes")):
            answer = await bruno(method, path, json={"choices": [0]} if method == "POST" else None)
            assert (answer.status_code, answer.content) == (404, (await bruno("GET", f"{STATUSES}/1")).content)
    for choices in ([], ["x"], [2], [0, 1], ["0"] * 21):
        answer = await alice("POST", f"/api/v1/polls/{post['id']}/votes", json={"choices": choices})
        assert answer.status_code == 422, choices
    assert await db.fetch("SELECT id FROM vote") == []


async def test_clients_ask_by_forms_or_json_vote_and_read_how_it_stands(alice: Client, bruno: Client) -> None:
    form = {
        "status": "quand ?",
        "poll[options][]": ["lundi", " mardi "],
        "poll[expires_in]": "3600",
        "poll[multiple]": "true",
    }
    post = (await alice("POST", STATUSES, data=form)).json()
    poll = post["poll"]
    assert [option["title"] for option in poll["options"]] == ["lundi", "mardi"]
    assert (poll["id"], poll["multiple"], poll["expired"], poll["voted"]) == (post["id"], True, False, False)
    assert poll["expires_at"] > post["created_at"]
    voted = await bruno("POST", f"/api/v1/polls/{poll['id']}/votes", data={"choices[]": ["1", "0"]})
    assert voted.json()["own_votes"] == [0, 1]
    stands = await alice.get(f"/api/v1/polls/{poll['id']}")
    assert (stands["votes_count"], stands["voters_count"], stands["voted"], stands["own_votes"]) == (2, 1, False, [])
    again = await bruno("POST", f"/api/v1/polls/{poll['id']}/votes", json={"choices": [0]})
    assert (again.status_code, set(again.json())) == (422, {"error"})
    same = {"status": "quand donc ?", "poll": {"options": ["lundi", "mardi"], "expires_in": 60}}
    edited = (await alice("PUT", f"{STATUSES}/{post['id']}", json=same)).json()
    assert (edited["poll"]["votes_count"], edited["content"]) == (2, "<p>quand donc ?</p>")
    other = {"status": "quand ?", "poll": {"options": ["lundi", "jeudi"]}}
    assert (await alice("PUT", f"{STATUSES}/{post['id']}", json=other)).status_code == 422
    await db.execute("UPDATE poll SET ends_at = 1, due_at = 1")
    assert await run_due() == 1
    [notice] = await bruno.get("/api/v1/notifications")
    assert (notice["type"], notice["account"]["username"], notice["status"]["id"]) == ("poll", "alice", post["id"])
    assert (await alice.get("/api/v2/instance"))["configuration"]["polls"]["max_options"] == 10
