"""Sends what waits: takes what is due for one account as one mail, composes it, hands it to the mail server.

Between the server's answer and our note of it lies a moment in which kill -9 makes a mail go twice; both have one
Message-ID. Nothing else is sent twice, and nothing is lost: what waits is in rows (`server.actions.mails`).
"""

import asyncio
import logging
from time import monotonic

from server import database as db
from server import smtp
from server.actions import mails
from server.rounds import go_round
from server.settings import Settings
from server.smtp import Connection, Refused, Unreachable
from web.mail.composing import compose

log = logging.getLogger("parvis.mail")

EVERY_S = 1.0
AT_ONCE = 50
FIRST_WAIT_S, LONGEST_WAIT_S = 15.0, 900.0
"""Before a mail server that could not be spoken with is tried again: the double each time."""
GRACE_S = 8.0
SWEEPS_EVERY_S = 3600.0


class Postman:
    """The one who sends, in one process. `run` ends when cancelled, after the mail that is on its way."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._wait_s = 0.0
        self._not_before = 0.0
        self._sweeps_at = 0.0

    async def run(self) -> None:
        """Runs until cancelled."""
        if db.engine_name() == "sqlite":
            await mails.release_dead()
        await go_round(self.step, (), EVERY_S, log)

    async def step(self) -> int:
        """Sends what is due; for how many accounts something was done."""
        if monotonic() >= self._sweeps_at:
            self._sweeps_at = 0.0 if await mails.forget_old_addresses() else monotonic() + SWEEPS_EVERY_S
        due = await mails.due(AT_ONCE)
        if not due or monotonic() < self._not_before:
            return 0
        done = 0
        try:
            async with smtp.connected(self._settings) as connection:
                for account_id in due:
                    done += await self._without_breaking_off(connection, account_id)
            self._wait_s = 0.0
        except Unreachable as error:
            self._wait_s = min(max(self._wait_s * 2, FIRST_WAIT_S), LONGEST_WAIT_S)
            self._not_before = monotonic() + self._wait_s
            log.warning("%s Tried again in %.0f s.", error, self._wait_s, extra={"action": "mail.unreachable"})
        return done

    async def _without_breaking_off(self, connection: Connection, account_id: int) -> int:
        """A stop waits for the mail that is on its way: what the server took is noted."""
        one = asyncio.create_task(self._one(connection, account_id))
        try:
            return await asyncio.shield(one)
        except asyncio.CancelledError:
            await asyncio.wait({one}, timeout=GRACE_S)
            raise

    async def _one(self, connection: Connection, account_id: int) -> int:
        claim = await mails.claim(account_id)
        if claim is None:
            return 0
        sealed = await compose(self._settings, claim)
        if sealed is None:
            await mails.nothing_to_say(claim)
            return 1
        try:
            await connection.send(self._settings.mail_sender, sealed.recipient, sealed.message)
        except Refused as refused:
            await (mails.put_aside if refused.for_good else mails.refused_for_now)(claim, refused.said)
            return 1
        except Unreachable as error:
            await mails.refused_for_now(claim, str(error))
            raise
        await mails.sent(claim)
        return 1
