"""What hosts that do not answer do to those that do (D1): 30 of 100 black-holed, 10 answer in 9 s, 10 break.

Run by hand: `python -m tests.bench.holes [sqlite|postgres] [posts]`. A post goes to 100 followers, each at a host of
its own on the loopback network; the time from its commit to its arrival is taken at the 50 that answer. Rounds in which
all 100 answer, rounds in which half of them do not, and rounds in which there are only the 50 come in turn. A black
hole is a listener whose queue is full: the kernel drops what would open a connection, as a firewall does.
"""

import asyncio
import contextlib
import multiprocessing
import resource
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from federation.worker import Worker
from server import database as db
from server import live
from server.actions.accounts import NewPerson, add_person
from server.actions.posts import Draft, publish
from server.ids import new_id
from server.openness import Visibility
from server.viewer import Employee, Operator
from tests.bench.decisions import database_of
from tests.bench.fanout import open_instance

HOSTS, HEALTHY, SLOW, BROKEN = 100, 50, 10, 10
SLOW_S = 9.0
ALL_WELL, HALF_AWAY, NO_OTHERS = "127.10.0", "127.11.0", "127.12.0"
ARRIVES_S = 30.0
ROUNDS = 2


class Host(asyncio.Protocol):
    """Says when something arrived, and answers as its address has it."""

    told: Connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._out, self._held = transport, b""
        net, _, number = transport.get_extra_info("sockname")[0].rpartition(".")
        self._number, self._well = int(number), net != HALF_AWAY or int(number) <= HEALTHY

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            length = int(self._held[:end].lower().split(b"content-length:")[1].split(b"\r\n")[0])
            if len(self._held) < end + 4 + length:
                return
            self._held = self._held[end + 4 + length :]
            if self._number <= HEALTHY:
                Host.told.send(time.monotonic())
            self._answer()

    def _answer(self) -> None:
        if self._well:
            self._out.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
        elif self._number <= HEALTHY + SLOW:
            later = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
            asyncio.get_running_loop().call_later(SLOW_S, self._out.write, later)
        else:
            self._out.write(b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n")


def play_hosts(told: Connection) -> None:
    """Listens on all loopback addresses at one port, which it tells; then tells each arrival."""
    Host.told = told

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Host, "0.0.0.0", 0, backlog=500)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


@contextlib.contextmanager
def black_holes(numbers: range) -> Iterator[int]:
    """Listeners that drop every new connection, at one port, which is returned."""
    with contextlib.ExitStack() as stack:
        port = 0
        for number in numbers:
            address = f"{HALF_AWAY}.{number}"
            hole = stack.enter_context(socket.socket())
            hole.bind((address, port))
            port = hole.getsockname()[1]
            hole.listen(0)
            for _ in range(3):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex((address, port))
        yield port


async def followers(alice: int, net: str, port: int, hole: int) -> None:
    """One follower on each host of a network; the last 30 are at the port of the holes when half is away."""
    for number in range(1, (HEALTHY if net == NO_OTHERS else HOSTS) + 1):
        away = net == HALF_AWAY and number > HEALTHY + SLOW + BROKEN
        host = f"{net}.{number}:{hole if away else port}"
        peer, actor, base = new_id(), new_id(), f"http://{host}"
        await db.insert("peer", {"id": peer, "host": host, "base_url": base, "created_at": 0})
        row = {"id": actor, "uri": f"{base}/u", "kind": "person", "name": "u", "host": host, "peer_id": peer}
        await db.insert("actor", row | {"inbox": f"{base}/u/inbox", "shared_inbox": f"{base}/inbox", "created_at": 0})
        follow = {"id": new_id(), "follower_id": actor, "followed_id": alice, "state": "accepted", "created_at": 0}
        await db.insert("follow", follow)


async def arrivals(told: Connection, count: int) -> list[float]:
    """The next so many arrivals at hosts that answer. Raises TimeoutError."""

    def read() -> list[float]:
        found: list[float] = []
        while len(found) < count:
            if not told.poll(ARRIVES_S):
                raise TimeoutError(f"{len(found)} of {count} arrived within {ARRIVES_S} s")
            found.append(told.recv())
        return found

    return await asyncio.to_thread(read)


async def one_round(url: str, net: str, ports: tuple[int, int], told: Connection, posts: int) -> list[float]:
    """Seconds from the commit of a post to its arrival, for each post and host that answers; in order."""
    await db.connect(url)
    found: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        instance = open_instance(Path(folder), url)
        added = await add_person(Operator(), NewPerson("alice", display_name="Alice"), instance.here)
        alice = Employee(added.account_id, added.actor_id)
        await followers(alice.actor_id, net, *ports)
        working = asyncio.create_task(Worker(instance).run())
        for number in range(posts):
            draft = Draft("Un relevé de plus, avec ses courbes. " * 8, visibility=Visibility.PUBLIC)
            await publish(alice, draft, instance.here)
            begun = time.monotonic()
            came = await arrivals(told, HEALTHY)
            if number:  # the first opens the connections
                found += [at - begun for at in came]
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await instance.transport.aclose()
    await db.disconnect()
    live.publish(live.Fact("served"))
    return sorted(found)


def measure(engine: str, posts: int) -> dict[str, list[float]]:
    """All seconds of each kind of rounds, in order."""
    ours, theirs = multiprocessing.Pipe()
    player = multiprocessing.get_context("spawn").Process(target=play_hosts, args=(theirs,), daemon=True)
    player.start()
    port = ours.recv()
    found: dict[str, list[float]] = {ALL_WELL: [], HALF_AWAY: [], NO_OTHERS: []}
    try:
        with black_holes(range(HEALTHY + SLOW + BROKEN + 1, HOSTS + 1)) as hole:
            for _ in range(ROUNDS):
                for net, seconds in found.items():
                    with database_of(engine) as url:
                        seconds += asyncio.run(one_round(url, net, (port, hole), ours, posts))
    finally:
        player.terminate()
    return {net: sorted(seconds) for net, seconds in found.items()}


def share(seconds: list[float], hundredth: int) -> float:
    """So many hundredths of these, in order, are not greater."""
    return seconds[min(len(seconds) - 1, len(seconds) * hundredth // 100)]


def said(engine: str, found: dict[str, list[float]]) -> str:
    """The figures in one line."""
    names = {ALL_WELL: "all answer", HALF_AWAY: "half are away", NO_OTHERS: "only the 50"}
    parts = [
        f"{names[net]}: p50 {share(s, 50) * 1000:.0f} ms, p99 {share(s, 99) * 1000:.0f} ms of {len(s)}"
        for net, s in found.items()
    ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return f"{engine}: {'; '.join(parts)}; {peak} MiB at most"


def main() -> None:
    posts = int(sys.argv[2]) if len(sys.argv) > 2 else 30
    for engine in sys.argv[1:2] or ["sqlite", "postgres"]:
        print(said(engine, measure(engine, posts)))


if __name__ == "__main__":
    main()
