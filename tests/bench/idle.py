"""What an instance costs that has 200 links and nothing to do, and one that tells 50 of them something every second.

Run by hand: `python -m tests.bench.idle [sqlite|postgres] [links] [seconds]`. A real `parvis serve`; this process plays
the partners, on many addresses of the loopback network, and acknowledges every page. Figures are of the process that
serves: its CPU over the time, and its resident memory at the end of it; PostgreSQL's own come on top.
"""

import asyncio
import os
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

from server import database as db
from server.ids import new_id
from tests.bench.decisions import database_of
from tests.bench.link import Sink, actor, peer
from tests.federation.harness import Node, free_port

ACTIVE = 50
SETTLES_S = 15
TICKS = os.sysconf("SC_CLK_TCK")


class Partners(Sink):
    """As the sink of the bench of links, which keeps nothing here."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        Sink.pages.clear()


async def partners(node: Node, links: int, port: int) -> None:
    """So many active links, each with a space of its own and a member there; ACTIVE of them share the space `tous`."""
    [owner] = await db.fetch("SELECT id FROM actor WHERE name = 'alice' AND peer_id IS NULL")
    rows: list[tuple[int, str]] = []
    for number in range(links):
        base = f"http://127.1.{number // 250}.{number % 250 + 1}:{port}"
        rows.append((await peer(base, linked=True), base))
    shared = await _space(node, "tous", owner["id"])
    for number, (peer_id, base) in enumerate(rows):
        await actor(f"{base}/actor", "application", peer_id)
        chloe = await actor(f"{base}/@chloe", "person", peer_id)
        own = await _space(node, f"avec-{number}", owner["id"])
        for space_id in (own, shared) if number < ACTIVE else (own,):
            await _member(space_id, chloe, peer_id)
            named = {"id": new_id(), "space_id": space_id, "peer_id": peer_id, "added_at": 0}
            await db.insert("space_partner", named)


async def _space(node: Node, slug: str, owner: int) -> int:
    uri = f"{node.base}/spaces/{slug}"
    space_id, group = new_id(), await actor(uri, "group", None)
    row = {"id": space_id, "actor_id": group, "slug": slug, "name": slug, "level": "partners", "opened_at": 0}
    await db.insert("space", {**row, "created_at": 0})
    await _member(space_id, owner, None, "owner")
    return space_id


async def _member(space_id: int, who: int, peer_id: int | None, role: str = "member") -> None:
    row: dict[str, Any] = {"id": new_id(), "space_id": space_id, "actor_id": who, "peer_id": peer_id, "role": role}
    await db.insert("membership", {**row, "state": "member", "since_at": 0, "created_at": 0})


def _used(pid: int) -> tuple[float, float]:
    """CPU seconds since its start, and resident MiB."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return (int(fields[11]) + int(fields[12])) / TICKS, pages * resource.getpagesize() / (1 << 20)


async def measure(url: str, links: int, seconds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        node = Node("Aubrac Énergie", Path(folder), free_port(), url)
        node.write_settings()
        alice = await node.person("alice")
        port = free_port()
        await db.connect(url)
        async with db.transaction():
            await partners(node, links, port)
        await db.disconnect()
        server = await asyncio.get_running_loop().create_server(Partners, "0.0.0.0", port)
        try:
            await node.start()
            assert node.process is not None
            pid = node.process.pid
            await asyncio.sleep(SETTLES_S)
            for what, posts in (("idle", False), (f"{min(ACTIVE, links)} links, a post a second", True)):
                before, _ = _used(pid)
                for _ in range(seconds):
                    if posts:
                        await alice.post("Un relevé de plus, avec ses courbes. " * 8, parvis_space="tous")
                    await asyncio.sleep(1)
                cpu, resident = _used(pid)
                print(f"  {what:<32} {100 * (cpu - before) / seconds:>6.2f} % CPU {resident:>6.0f} MiB", flush=True)
            sent = await node.values("SELECT COUNT(*) FROM delivery WHERE state = 'sent'")
            waiting = await node.values("SELECT COUNT(*) FROM delivery WHERE state = 'pending'")
            resting = await node.values("SELECT COUNT(*) FROM peer WHERE state <> 'ok'")
            print(f"  sent {sent[0]}, waiting {waiting[0]}, partners that rest {resting[0]}", flush=True)
        finally:
            await node.stop()
            server.close()


def main() -> None:
    links = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    seconds = int(sys.argv[3]) if len(sys.argv) > 3 else 60
    for engine in sys.argv[1:2] or ["sqlite", "postgres"]:
        print(f"{engine}, {links} links", flush=True)
        with database_of(engine) as url:
            asyncio.run(measure(url, links, seconds))


if __name__ == "__main__":
    main()
