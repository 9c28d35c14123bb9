"""What a link carries: events per second and CPU seconds for 1,000, at both ends, with proofs, at 1×, 10×, 100×.

Run by hand: `python -m tests.bench.link [sqlite|postgres] [events]`. Posts of the host's own people and of a third
instance (relayed with their author's proof) wait for a partner with one member. Each end is measured by itself: the
sender against a sink that acknowledges every page, then the receiver with the pages that the sink kept.
"""

import asyncio
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from federation.instance import Instance, instance_of
from federation.outbox import sequence_waiting
from federation.pages import Heard, read_page
from federation.peering import take
from federation.processing import process_waiting
from federation.sending import take_due
from federation.signatures.keys import PrivateKey, generate_ed25519
from federation.signatures.proofs import with_proof
from federation.streaming import LinkSender
from federation.trust import VerifiedSender
from server import database as db
from server.actions.accounts import NewPerson, add_person
from server.clock import now_ms
from server.credentials import make_secret
from server.ids import new_id
from server.settings import load
from server.viewer import Operator
from tests.bench.decisions import database_of

HOST, PARTNER, THIRD = "http://127.0.0.1:8000", "http://127.0.0.2:8000", "http://127.0.0.3:8000"


def instance_at(folder: Path, url: str, base: str) -> Instance:
    config = folder / "parvis.toml"
    config.write_text(f'base_url = "{base}"\ndatabase_url = "{url}"\nallow_private_networks = ["127.0.0.0/8"]\n')
    settings = load(config, {})
    make_secret(settings, sealed_keys_exist=False)
    return instance_of(settings)


async def peer(base: str, linked: bool) -> int:
    """An instance, perhaps with an active link."""
    identifier, host = new_id(), base.removeprefix("http://")
    row = {"id": identifier, "host": host, "base_url": base, "created_at": 0, "peering": f"{base}/peering"}
    await db.insert("peer", row)
    if linked:
        await db.insert(
            "link", {"id": new_id(), "peer_id": identifier, "state": "active", "created_at": 0, "changed_at": 0}
        )
    return identifier


async def actor(uri: str, kind: str, peer_id: int | None, key: PrivateKey | None = None) -> int:
    keys = [(key.key_id, uri, "multikey", key.public(uri).to_multikey())] if key else []
    identifier = new_id()
    row = {"id": identifier, "uri": uri, "kind": kind, "name": uri.rsplit("/", 1)[1], "peer_id": peer_id}
    more = {"inbox": f"{uri}/inbox", "followers_uri": f"{uri}/members", "keys": json.dumps(keys), "created_at": 0}
    await db.insert("actor", {**row, "display_name": "Quelqu’un", "fetched_at": now_ms(), **more})
    return identifier


async def space(uri: str, peer_id: int | None, member: int, member_peer: int | None, named: int | None) -> int:
    identifier = new_id()
    group = await actor(uri, "group", peer_id)
    row = {"id": identifier, "actor_id": group, "slug": uri.rsplit("/", 1)[1], "name": "Chantier", "level": "partners"}
    await db.insert("space", {**row, "peer_id": peer_id, "created_at": 0, "opened_at": 0})
    membership = {"id": new_id(), "space_id": identifier, "actor_id": member, "peer_id": member_peer}
    await db.insert("membership", {**membership, "state": "member", "role": "member", "since_at": 0, "created_at": 0})
    if named is not None:
        await db.insert("space_partner", {"id": new_id(), "space_id": identifier, "peer_id": named, "added_at": 0})
    return identifier


class Sink(asyncio.Protocol):
    """A partner that acknowledges every page at once, and keeps it."""

    pages: list[bytes] = []  # noqa: RUF012

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._out, self._held = transport, b""

    def data_received(self, data: bytes) -> None:
        self._held += data
        end = self._held.find(b"\r\n\r\n")
        if end < 0:
            return
        length = int(self._held[:end].lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(self._held) < end + 4 + length:
            return
        body, self._held = self._held[end + 4 : end + 4 + length], b""
        page = read_page(body)
        last = page.start + len(page.items) - 1
        Sink.pages.append(body)
        answer = json.dumps({"generation": page.generation, "acked": last, "done": last, "errors": []}).encode()
        self._out.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer))


async def waiting_posts(count: int, space_id: int, alice: int, third: int, third_peer: int, key: PrivateKey) -> None:
    """Posts that nobody was told of yet, every second one by somebody of a third instance, with their proof."""
    text = "<p>" + "Un relevé de plus, avec ses courbes. " * 8 + "</p>"
    posts: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    for number in range(count):
        post, event, relayed = new_id(), new_id(), number % 2 == 1
        uri = f"{THIRD}/posts/{post}" if relayed else f"{HOST}/posts/{post}"
        author, at = third if relayed else alice, now_ms()
        posts.append(
            {"id": post, "uri": uri, "author_id": author, "space_id": space_id, "html": text, "stamp": "invited"}
            | {"peer_id": third_peer if relayed else None, "published_at": at}
        )
        original = with_proof(create(uri, event), key, at) if relayed else None
        events.append(
            {"id": event, "kind": "post_published", "actor_id": author, "space_id": space_id, "post_id": post}
            | {"original": json.dumps(original) if original else "", "created_at": at}
        )
    for start in range(0, count, 500):
        async with db.transaction():
            await db.insert_many("post", posts[start : start + 500])
            await db.insert_many("event", events[start : start + 500])


def create(uri: str, event: int) -> dict[str, Any]:
    where = f"{HOST}/spaces/chantier"
    note = {"id": uri, "type": "Note", "attributedTo": f"{THIRD}/@tiers", "audience": where, "to": [where]}
    words = "<p>" + "Un relevé de plus, avec ses courbes. " * 8 + "</p>"
    return {
        "@context": ["https://www.w3.org/ns/activitystreams", "https://w3id.org/security/data-integrity/v2"],
        "id": f"{THIRD}/activities/{event}",
        "type": "Create",
        "actor": f"{THIRD}/@tiers",
        "to": [where],
        "object": {**note, "content": words, "published": "2026-11-21T09:14:00Z"},
    }


def told(name: str, count: int, wall: float, cpu: float) -> None:
    print(
        f"  {name:<10} {count:>7} events {count / wall:>8.0f} /s {cpu * 1000 / count:>8.3f} CPU-s per 1,000", flush=True
    )


async def sending(url: str, count: int, key: PrivateKey) -> None:
    await db.connect(url)
    with tempfile.TemporaryDirectory() as folder:
        instance = instance_at(Path(folder), url, HOST)
        added = await add_person(Operator(), NewPerson("alice", display_name="Alice"), instance.here)
        partner, third_peer = await peer(PARTNER, linked=True), await peer(THIRD, linked=False)
        chloe = await actor(f"{PARTNER}/@chloe", "person", partner)
        third = await actor(f"{THIRD}/@tiers", "person", third_peer, key)
        space_id = await space(f"{HOST}/spaces/chantier", None, chloe, partner, partner)
        await waiting_posts(count, space_id, added.actor_id, third, third_peer, key)
        at = time.perf_counter(), time.process_time()
        while await sequence_waiting(instance):
            pass
        told("sequence", count, time.perf_counter() - at[0], time.process_time() - at[1])
        server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.2", 8000)
        Sink.pages.clear()
        at = time.perf_counter(), time.process_time()
        for due in await take_due("bench", 10):
            await LinkSender(instance).serve(due, "bench")
        told("send", count, time.perf_counter() - at[0], time.process_time() - at[1])
        row = await db.fetch_one("SELECT COUNT(*) AS n FROM delivery WHERE state = 'sent'")
        assert row is not None and row["n"] == count, row
        server.close()
        await instance.transport.aclose()
    await db.disconnect()


async def receiving(url: str, count: int, key: PrivateKey) -> None:
    await db.connect(url)
    with tempfile.TemporaryDirectory() as folder:
        instance = instance_at(Path(folder), url, PARTNER)
        added = await add_person(Operator(), NewPerson("chloe", display_name="Chloé"), instance.here)
        host = await peer(HOST, linked=True)
        await actor(f"{HOST}/@alice", "person", host)
        await actor(f"{THIRD}/@tiers", "person", await peer(THIRD, linked=False), key)
        await space(f"{HOST}/spaces/chantier", host, added.actor_id, None, None)
        sender = VerifiedSender(f"{HOST}/actor", f"{HOST}/actor#ed25519", "127.0.0.1:8000", host, linked=True)
        at = time.perf_counter(), time.process_time()
        for body in Sink.pages:
            answer = await take(instance, sender, read_page(body))
            assert isinstance(answer, Heard), answer
            await process_waiting(instance)
        while await process_waiting(instance):
            pass
        told("receive", count, time.perf_counter() - at[0], time.process_time() - at[1])
        row = await db.fetch_one("SELECT COUNT(*) AS n FROM post")
        why = await db.fetch("SELECT outcome, COUNT(*) AS n FROM receipt WHERE outcome <> '' GROUP BY outcome LIMIT 5")
        assert row is not None and row["n"] == count, (row, why)
        await instance.transport.aclose()
    await db.disconnect()


def main() -> None:
    smallest = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    for engine in sys.argv[1:2] or ["sqlite", "postgres"]:
        for times in itertools.accumulate((1, 10, 10), lambda one, other: one * other):
            key = generate_ed25519(f"{THIRD}/@tiers#ed25519")
            print(f"{engine}, {times}x", flush=True)
            for stage in (sending, receiving):
                with database_of(engine) as url:
                    asyncio.run(stage(url, smallest * times, key))


if __name__ == "__main__":
    main()
