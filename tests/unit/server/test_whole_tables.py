"""What goes round all the time reads no table from end to end: its cost does not grow with what happened before."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest

from federation import unheard
from server import database as db
from server.actions import file_bytes, mails, polls, post_rows
from server.clock import now_ms
from server.queries import notifications
from tests.cast import gather, say

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]
HISTORY = {"notice", "attachment", "post", "poll", "vote", "event", "delivery", "reply_address", "w", "p", "c"}


async def test_rounds_find_their_rows_by_an_index(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = await gather()
    post = await say(cast.alice, "@bruno bonjour")
    await db.execute("UPDATE account SET email = name || '@courriel.test'")
    await file_bytes.unneeded(["0" * 64])
    said: list[tuple[str, tuple[Any, ...]]] = []

    def heard(call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def hear(sql: str, *args: Any) -> Any:
            said.append((sql, args))
            return await call(sql, *args)

        return hear

    with monkeypatch.context() as listening:
        for name in ("fetch", "fetch_one", "execute"):
            listening.setattr(db, name, heard(getattr(db, name)))
        await mails.due(1)
        claim = await mails.claim(cast.bruno.account_id)
        assert claim is not None
        await notifications.waiting(cast.bruno, mail=claim.number)
        await mails.sent(claim)
        await mails.forget_waiting(cast.bruno.account_id)
        await mails.forget_old_addresses()
        await polls.end_due(now_ms())
        await file_bytes._forget_unposted(now_ms())
        await file_bytes.drop(tmp_path)
        await post_rows.take_back(post, cast.alice.actor_id, None)
        await db.execute("DELETE FROM reply_address WHERE post_id = $1", post)  # as a purge does
    read_whole = set()
    for sql, args in said:
        if sql.split()[0] in ("SELECT", "UPDATE", "DELETE"):
            for step in await db.fetch(f"EXPLAIN QUERY PLAN {sql}", *args):
                how, table, *by = step["detail"].split()
                # of one person all notices there ever were
                all_of_one = table in ("w", "notice") and "mail_due_at" in sql and "(actor_id=?)" in by
                if (how == "SCAN" and table in HISTORY) or all_of_one:
                    read_whole.add((step["detail"], sql))
    assert not read_whole


async def test_what_a_recall_finds_unheard_is_not_looked_for_in_all_that_ever_came(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a partner, which is kept for ever: an index has the few whose words are here still."""
    said: list[str] = []

    async def hear(sql: str, *args: Any) -> list[dict[str, Any]]:
        said.append(sql)
        return []

    with monkeypatch.context() as listening:
        listening.setattr(db, "fetch", hear)
        listening.setattr(unheard, "moves", AsyncMock())
        await unheard.forget_unheard({"peer_id": 1, "id": 9})
    [sql] = said
    plan = await db.fetch(f"EXPLAIN QUERY PLAN {sql}", 1, 0, 9, 100)
    assert ["receipt_has_words" in step["detail"] for step in plan] == [True]
