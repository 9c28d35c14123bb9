"""What must follow, follows: received activities take effect, events become deliveries, deliveries are sent.

Four loops, each over rows: `receipt` without an end, `event` without deliveries, `delivery` still pending, `job`
whose time has come. A loop looks when something that concerns it happened here, and twice a second in any case
(another process may have written); what happens at the same moment is looked at together. It holds
nothing that is not in a row: killed at any moment, the next start goes on where the commits stand. Every effect is
idempotent, so a step that was done and not yet marked may be done again.

An instance that rests (see `schedule`) is left alone until its time; a word from it brings the next attempt
forward. A stop is polite: what is on its way is finished or left for the next start.
"""

import asyncio
import logging
import os
import secrets
from collections.abc import Collection
from dataclasses import replace

from federation import skew
from federation.files import fetch_waiting
from federation.instance import Instance
from federation.keyring import instance_actor_id
from federation.lookup import peering_of
from federation.outbox import sequence_waiting
from federation.processing import process_waiting
from federation.recalling import work_off
from federation.resync import resync_waiting
from federation.sending import Peer, Sender, release, take_due
from federation.streaming import LinkSender
from federation.streams import greet
from federation.upkeep import look_after
from server import database as db
from server import live, upkeep
from server.events import Kind
from server.rounds import AFTER_FAILURE_S, Step, go_round

log = logging.getLogger("parvis.worker")

EVERY_S = 0.5
MOST_PEERS = 100


class Worker:
    """The loops of one process. `run` ends when cancelled; `alive` says whether all of them go round."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.owner = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._sender = Sender(instance)
        self._streams = LinkSender(instance)
        self._serving: dict[int, asyncio.Task[None]] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._begun = asyncio.Event()

    @property
    def alive(self) -> bool:
        """Whether every loop is running."""
        return bool(self._loops) and not any(task.done() for task in self._loops)

    async def begun(self, running: "asyncio.Task[None]") -> None:
        """Returns when the loops go round, or when `running` (the task of `run`) has ended before they did."""
        waiting = asyncio.create_task(self._begun.wait())
        await asyncio.wait({waiting, running}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    async def run(self) -> None:
        """Runs until cancelled."""
        await instance_actor_id(self.instance)
        if db.engine_name() == "sqlite":
            # one process serves an embedded database, so a lease found at start is a dead process's
            await db.execute("UPDATE peer SET lease_until_at = 0 WHERE lease_until_at > 0")
        await greet()
        await skew.recall()
        steps: list[tuple[Step, Collection[str]]] = [
            (lambda: process_waiting(self.instance), ("receipt",)),
            (lambda: sequence_waiting(self.instance), [kind.value for kind in Kind]),
            (self._send, ("sequenced", "served", "receipt")),
            (lambda: fetch_waiting(self.instance), ("file",)),
            (lambda: look_after(self.instance), ("receipt",)),
            (lambda: resync_waiting(self.instance), ("served",)),
            (lambda: work_off(self.instance), ("recall", "served", "receipt", "post_withdrawn")),
            *upkeep.steps(self.instance.settings.files_dir),
        ]
        self._loops = [asyncio.create_task(go_round(step, kinds, EVERY_S, log)) for step, kinds in steps]
        self._begun.set()
        try:
            await asyncio.gather(*self._loops)
        finally:
            for task in [*self._loops, *self._serving.values()]:
                task.cancel()
            await asyncio.gather(*self._loops, *self._serving.values(), return_exceptions=True)

    async def _send(self) -> int:
        """Starts serving every instance whose time has come; never waits for one of them."""
        room = MOST_PEERS - len(self._serving)
        due = await take_due(self.owner, room, self._serving) if room > 0 else []
        for peer in due:
            self._serving[peer.id] = asyncio.create_task(self._serve(peer))
        return len(due)

    async def _serve(self, peer: Peer) -> None:
        ended = False
        try:
            if peer.linked and not peer.peering:
                peer = replace(peer, peering=await peering_of(self.instance, peer.id))
            by_stream = peer.streams and not peer.beside
            await (self._streams if by_stream else self._sender).serve(peer, self.owner)
            ended = True
        except Exception:
            log.exception("serving failed", extra={"action": "worker.failed", "peer": peer.host})
            await asyncio.sleep(AFTER_FAILURE_S)
        finally:
            self._serving.pop(peer.id, None)
            if not ended:
                await asyncio.shield(release(peer, self.owner))
            live.publish(live.Fact("served"))
