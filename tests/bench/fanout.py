"""What delivering costs: CPU seconds for 1,000 signed deliveries, to 10, 100 and 1,000 hosts.

Run by hand: `python -m tests.bench.fanout [sqlite|postgres] [posts]`. Another process plays the hosts, on many
addresses of the loopback network. Figures are CPU seconds of this process, from the commit of a post to the last
delivery's; on PostgreSQL its own come on top.
"""

import asyncio
import multiprocessing
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from federation.instance import Instance, instance_of
from federation.worker import Worker
from server import database as db
from server import live
from server.actions.accounts import NewPerson, add_person
from server.actions.posts import Draft, publish
from server.credentials import make_secret
from server.ids import new_id
from server.openness import Visibility
from server.settings import load
from server.viewer import Employee, Operator
from tests.bench.decisions import database_of
from tests.bench.growth import Table

HOSTS = (10, 100, 1_000)
ACCEPTED = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"


class Sink(asyncio.Protocol):
    """Answers 202 to every POST, whatever it says."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._out, self._held = transport, b""

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head = self._held[:end].lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0]) if b"content-length:" in head else 0
            if len(self._held) < end + 4 + length:
                return
            self._held = self._held[end + 4 + length :]
            self._out.write(ACCEPTED)


def play_hosts(told: Connection) -> None:
    """Listens on all loopback addresses at one port, which it tells."""

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Sink, "0.0.0.0", 0)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


async def followers(alice: int, hosts: range, port: int) -> None:
    """One follower on each host."""
    for number in hosts:
        host = f"127.{1 + number // 65_000}.{number // 250 % 250}.{1 + number % 250}:{port}"
        peer, actor, base = new_id(), new_id(), f"http://{host}"
        await db.insert("peer", {"id": peer, "host": host, "base_url": base, "created_at": 0})
        row = {"id": actor, "uri": f"{base}/u", "kind": "person", "name": "u", "host": host, "peer_id": peer}
        inboxes = {"inbox": f"{base}/u/inbox", "shared_inbox": f"{base}/inbox", "created_at": 0}
        await db.insert("actor", row | inboxes)
        follow = {"id": new_id(), "follower_id": actor, "followed_id": alice, "state": "accepted", "created_at": 0}
        await db.insert("follow", follow)


async def delivered(instance: Instance, alice: Employee) -> None:
    """Writes a post and waits until none of its deliveries is pending."""
    post = Draft("Un relevé de plus, avec ses courbes. " * 8, visibility=Visibility.PUBLIC)
    with live.listening(("sequenced", "served")) as news:
        await publish(alice, post, instance.here)
        await news.next()
        while await db.fetch_one("SELECT id FROM delivery WHERE state = 'pending' LIMIT 1"):
            await news.next()


async def measure(url: str, posts: int, port: int) -> None:
    await db.connect(url)
    table = Table(f"{db.engine_name()}: CPU s for 1,000 deliveries to {HOSTS} hosts, {posts} posts")
    with tempfile.TemporaryDirectory() as folder:
        instance = open_instance(Path(folder), url)
        added = await add_person(Operator(), NewPerson("alice", display_name="Alice"), instance.here)
        alice = Employee(added.account_id, added.actor_id)
        working = asyncio.create_task(Worker(instance).run())
        there = 0
        for hosts in HOSTS:
            await followers(alice.actor_id, range(there, hosts), port)
            there = hosts
            await delivered(instance, alice)
            before = time.process_time()
            for _ in range(posts):
                await delivered(instance, alice)
            table.add("one post to each host", (time.process_time() - before) * 1000 / (hosts * posts))
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await instance.transport.aclose()
    table.print()
    await db.disconnect()


def open_instance(folder: Path, url: str) -> Instance:
    config = folder / "parvis.toml"
    config.write_text(
        f'base_url = "http://127.0.0.1:8000"\nfederation = "open"\ndatabase_url = "{url}"\n'
        'allow_private_networks = ["127.0.0.0/8"]\n'
    )
    settings = load(config, {})
    make_secret(settings, sealed_keys_exist=False)
    return instance_of(settings)


def main() -> None:
    posts = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    ours, theirs = multiprocessing.Pipe()
    player = multiprocessing.get_context("spawn").Process(target=play_hosts, args=(theirs,), daemon=True)
    player.start()
    port = ours.recv()
    for engine in sys.argv[1:2] or ["sqlite", "postgres"]:
        with database_of(engine) as url:
            asyncio.run(measure(url, posts, port))
    player.terminate()


if __name__ == "__main__":
    main()
