"""What receiving costs: CPU seconds for 1,000 signed posts, accepted and then taken effect, on SQLite.

Run by hand: `python -m tests.bench.inbox [N] [--profile accept|process]`. Figures are CPU seconds of this process;
compare them within one run, not between machines.
"""

import asyncio
import cProfile
import pstats
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request

from federation.inbox import Inbox
from federation.instance import instance_of
from federation.processing import process_waiting
from federation.signatures import cavage
from federation.signatures.keys import PrivateKey, generate_rsa
from server import database as db
from server.actions.accounts import NewPerson, add_person
from server.clock import now_ms
from server.credentials import make_secret
from server.ids import new_id
from server.migrating import migrate
from server.settings import load
from server.viewer import Operator

SENDERS = 50


async def stranger(number: int) -> tuple[str, PrivateKey]:
    """Somebody elsewhere whose key is known already."""
    uri = f"http://127.0.0.{10 + number % 20}:9100/users/s{number}"
    key = generate_rsa(f"{uri}#main-key")
    host = uri.split("/")[2]
    peer = new_id()
    await db.execute(
        "INSERT INTO peer (id, host, base_url, created_at) VALUES ($1, $2, $3, 0) ON CONFLICT DO NOTHING",
        peer,
        host,
        f"http://{host}",
    )
    row = await db.fetch_one("SELECT id FROM peer WHERE host = $1", host)
    assert row is not None
    keys = [(key.key_id, uri, "pem", key.public(uri).to_pem())]
    await db.insert(
        "actor",
        {
            "id": new_id(),
            "uri": uri,
            "kind": "person",
            "name": f"s{number}",
            "host": host,
            "peer_id": row["id"],
            "inbox": f"{uri}/inbox",
            "keys": msgspec.json.encode(keys).decode(),
            "created_at": 0,
        },
    )
    return uri, key


def create(uri: str, number: int, alice: str) -> bytes:
    """A Create of a Note that names Alice, about 1.2 kB."""
    note = {
        "id": f"{uri}/notes/{number}",
        "type": "Note",
        "attributedTo": uri,
        "to": ["https://www.w3.org/ns/activitystreams#Public"],
        "cc": [f"{uri}/followers", alice],
        "content": "<p>" + "Un relevé de plus, avec ses courbes. " * 8 + "</p>",
        "published": "2026-11-21T09:14:00Z",
        "tag": [{"type": "Mention", "href": alice, "name": "@alice"}],
    }
    activity = {
        "@context": "https://www.w3.org/ns/activitystreams",
        "id": f"{uri}/notes/{number}/activity",
        "type": "Create",
        "actor": uri,
        "to": note["to"],
        "cc": note["cc"],
        "object": note,
    }
    return msgspec.json.encode(activity)


def request(base: str, uri: str, key: PrivateKey, body: bytes) -> Request:
    """A signed POST, as the server hands it over."""
    headers = cavage.sign("POST", f"{base}/inbox", {"content-type": "application/activity+json"}, body, key, now_ms())
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/inbox",
        "raw_path": b"/inbox",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(scope, receive)


async def measure(count: int, profiled: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "parvis.toml"
        config.write_text('base_url = "http://127.0.0.1:8000"\nfederation = "open"\n')
        settings = load(config, {})
        make_secret(settings, sealed_keys_exist=False)
        await migrate(settings.database_url, settings.data_dir)
        await db.connect(settings.database_url)
        instance = instance_of(settings)
        await add_person(Operator(), NewPerson("alice", display_name="Alice"), instance.here)
        people = [await stranger(number) for number in range(SENDERS)]
        bodies = [
            (people[n % SENDERS], create(people[n % SENDERS][0], n, instance.here.person("alice")))
            for n in range(count)
        ]
        requests = [request(instance.here.base, uri, key, body) for (uri, key), body in bodies]
        inbox = Inbox(instance)

        async def accept() -> None:
            for start in range(0, count, 16):
                answers = await asyncio.gather(*(inbox(r) for r in requests[start : start + 16]))
                assert all(answer.status_code == 202 for answer in answers), answers[0].body

        async def process() -> None:
            while await process_waiting(instance):
                pass

        for name, stage in (("accept", accept), ("process", process)):
            profile = cProfile.Profile(time.thread_time)
            before = time.process_time()
            if name == profiled:
                profile.enable()
            await stage()
            profile.disable()
            print(f"{name}: {(time.process_time() - before) * 1000 / count:.3f} CPU-s per 1,000")
            if name == profiled:
                pstats.Stats(profile).sort_stats("cumulative").print_stats(60)
                pstats.Stats(profile).sort_stats("tottime").print_stats(30)
        row = await db.fetch_one("SELECT COUNT(*) AS n FROM notice")
        assert row is not None and row["n"] == count, row
        await instance.transport.aclose()
        await db.disconnect()


if __name__ == "__main__":
    words = sys.argv[1:]
    asyncio.run(
        measure(int(words[0]) if words else 1000, words[words.index("--profile") + 1] if "--profile" in words else "")
    )
