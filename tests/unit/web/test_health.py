"""What watches the process, and what it must not tell."""

from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from server import database as db
from server.actions.accounts import issue_token
from server.clock import now_ms
from server.settings import Settings
from tests import cast as company
from tests.cast import HERE
from web.app import create_app
from web.health import rendered

pytestmark = pytest.mark.anyio


@pytest.fixture
def app(database: str, tmp_path: Path) -> Starlette:
    return create_app(Settings(base_url=HERE.base, database_url=database, data_dir=tmp_path))


async def ask(app: Starlette, path: str, host: str, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app, client=(host, 40000))
    async with httpx.AsyncClient(transport=transport, base_url=HERE.base) as http:
        return await http.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


async def test_metrics_are_not_there_for_others_nor_through_a_proxy_of_this_machine(app: Starlette) -> None:
    for host in ("203.0.113.9", "10.0.0.1", "", "localhost", "fe80::1"):
        assert (await ask(app, "/metrics", host)).status_code == 404
    for name in ("x_forwarded_for", "forwarded", "x_real_ip", "via"):
        assert (await ask(app, "/metrics", "127.0.0.1", **{name: "127.0.0.1"})).status_code == 404


async def test_metrics_are_for_an_administrator_s_token_only(app: Starlette) -> None:
    cast = await company.gather()
    for who, scopes, status in ((cast.alice, "admin:read", 403), (cast.odile, "read", 403), (cast.odile, "admin", 200)):
        token = await issue_token(who.account_id, scopes)
        answer = await ask(app, "/metrics", "203.0.113.9", authorization=f"Bearer {token}")
        assert answer.status_code == status


async def test_metrics_say_of_each_link_what_waits_and_for_how_long(app: Starlette) -> None:
    """And of no other instance anything."""
    now = now_ms()
    for number, (host, state) in enumerate((("kestrel.example", "active"), ("merle.example", "ended")), 1):
        peer = {"id": number, "host": host, "base_url": f"https://{host}", "created_at": 0, "skew_ms": -31_000}
        await db.insert("peer", {**peer, "last_ok_at": 1_796_036_253_000, "state": "backoff"})
        link = {"id": number, "peer_id": number, "state": state, "created_at": 0, "changed_at": 0}
        await db.insert("link", link)
        await db.insert("stream", {"id": number, "peer_id": number, "generation": "a", "given": 9, "acked": 7})
        for seq, became in enumerate(("dead", "sent", "pending", "pending")):
            event = {"id": number * 10 + seq, "kind": "tallied", "created_at": 0, "sequenced_at": 0}
            await db.insert("event", event)
            row = {"id": event["id"], "peer_id": number, "seq": seq, "event_id": event["id"], "inbox": "x"}
            await db.insert("delivery", {**row, "state": became, "created_at": now - 400_000 + seq})
    lines = (await ask(app, "/metrics", "127.0.0.1")).text.splitlines()
    told = dict(line.rsplit(" ", 1) for line in lines if line.startswith("parvis_link_"))
    of = 'parvis_link_%s{host="kestrel.example"}'
    assert not any("merle" in line for line in lines)
    assert {name: told[of % name] for name in ("active", "answers", "waiting", "dead", "acked_total")} == {
        "active": "1",
        "answers": "0",
        "waiting": "2",
        "dead": "1",
        "acked_total": "7",
    }
    assert float(told[of % "oldest_seconds"]) >= 399
    assert told[of % "clock_skew_seconds"] == "-31"
    assert told[of % "last_ok_timestamp_seconds"] == "1796036253"
    assert of % "failing_since_timestamp_seconds" not in told


async def test_metrics_of_this_machine_name_our_partners_and_nobody_else(app: Starlette) -> None:
    cast = await company.gather()
    await company.say(cast.alice, "bonjour")
    for host in ("127.0.0.1", "::1", "127.1.2.3"):
        answer = await ask(app, "/metrics", host)
        assert answer.status_code == 200
        assert 'parvis_waiting{queue="events"} 1' in answer.text
        assert 'parvis_peers{state="ok"} 2' in answer.text
        named = [line for line in answer.text.splitlines() if "kestrel" in line]
        assert named and all(line.startswith("parvis_link_") for line in named), "whom we are linked with"
        assert not any(word in answer.text.lower() for word in ("inconnu", "chloe", "alice", "bonjour"))


async def test_the_process_is_up_and_ready(app: Starlette) -> None:
    assert (await ask(app, "/healthz", "203.0.113.9")).text == "ok\n"
    assert (await ask(app, "/readyz", "203.0.113.9")).text == "ready\n"


async def test_a_worker_that_has_stopped_is_not_ready(app: Starlette) -> None:
    class Stopped:
        alive = False

    app.state.worker = Stopped()
    assert (await ask(app, "/readyz", "203.0.113.9")).status_code == 503


def test_labels_are_escaped_and_names_introduced_once() -> None:
    samples = [("a", "gauge", {"k": 'x"y\\z\n'}, 1.0), ("a", "gauge", {"k": "b"}, 2.5), ("b", "counter", {}, 1e9)]
    assert rendered(samples) == '# TYPE a gauge\na{k="x\\"y\\\\z\\n"} 1\na{k="b"} 2.5\n# TYPE b counter\nb 1000000000\n'
