"""A partner takes back what we have of its space: hidden at once, erased in small steps, answered when all is gone.

Each step is one transaction that erases at most STEP posts and notes how far it came, so a purge of thousands keeps
nobody waiting and goes on after any crash where its rows stand. What was erased leaves its address and nothing
else, so that a copy which comes late stays away. Bytes of files go last, when no row needs them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from server import database as db
from server import live
from server.actions import file_bytes, poll_rows
from server.actions.membership_lists import ask_once_more
from server.clock import now_ms
from server.errors import NotFound
from server.events import Kind, record
from server.ids import new_id
from server.queries.former import moves
from server.recall_terms import Keep, RecallScope, root_of
from server.sql import Clause, among, one_of

STEP = 200
"""Posts erased in one transaction."""
MOST_ITEMS = 1_000_000
"""More than a recall may list."""
COUNTED = ("items", "media", "index", "notifications", "derived")


@dataclass(frozen=True, slots=True)
class Asked:
    """A recall as the host of the space says it. `uris`: the list, when it came along; else it is at `list_uri`."""

    uri: str
    scope: RecallScope
    root: str
    items: int
    keep: Keep
    deadline_at: int | None
    list_uri: str = ""
    uris: Sequence[str] | None = None
    up_to: int | None = None  # when its host began it (ms, by its clock)


async def begin(peer_id: int, space_id: int | None, asked: Asked) -> None:
    """Takes a recall: what it is about is hidden in this transaction, and erased from now on.

    The same one again is answered again once it was answered; one whose list was not believed goes by the list that it
    has now. `space_id`: the space here, None when nothing of it ever came. Raises NotFound when the id belongs to
    another instance's recall.
    """
    async with db.together():
        known = await db.fetch_one("SELECT id, peer_id, state FROM purge WHERE uri = $1", asked.uri)
        listed = asked.uris is not None or not asked.items
        if known is not None:
            if known["peer_id"] != peer_id:
                raise NotFound(detail="another instance's recall")
            if known["state"] == "done":
                await _answer(known["id"], space_id, peer_id)
            elif known["state"] == "refused":
                await _go_by(known["id"], asked, "items" if listed else "listing")
            return
        purge_id, now = new_id(), now_ms()
        await db.insert(
            "purge",
            {
                "id": purge_id,
                "peer_id": peer_id,
                "space_id": space_id,
                "uri": asked.uri,
                "scope": asked.scope.value,
                "root": asked.root,
                "items": asked.items,
                "list_uri": asked.list_uri,
                "keep": asked.keep.value,
                "deadline_at": asked.deadline_at,
                "up_to": asked.up_to,
                "state": "items" if listed else "listing",
                "received_at": now,
            },
        )
        await _write_parts(purge_id, 0, asked.uris or ())
        if space_id is not None and asked.scope.whole:
            await _hide(peer_id, space_id, asked.up_to)
        db.after_commit(partial(live.publish, live.Fact("recall", space_id=space_id)))


async def _go_by(purge_id: int, asked: Asked, state: str) -> None:
    """A recall that was given up begins once more, with the list that its host tells now."""
    await db.execute(
        "UPDATE purge SET state = $1, root = $2, items = $3, list_uri = $4, cursor = 0, tries = 0, next_at = 0,"
        " reason = '' WHERE id = $5",
        state,
        asked.root,
        asked.items,
        asked.list_uri,
        purge_id,
    )
    await _write_parts(purge_id, 0, asked.uris or ())
    db.after_commit(partial(live.publish, live.Fact("recall")))


async def _hide(peer_id: int, space_id: int, up_to: int | None) -> None:
    """From this commit on nobody here is in that space: nothing of it is shown, and nothing more is taken.

    A recall goes first, and may come after the next invitation all the same. So whom the host let in since it began
    is in; and over an active link who is invited, or has asked, is told so by the host if it no longer holds.
    """
    link = await db.fetch_one("SELECT id FROM link WHERE peer_id = $1 AND state = 'active'", peer_id)
    out = Clause("DELETE FROM membership WHERE space_id = ?", (space_id,))
    if link is not None:
        until = (1 << 62) if up_to is None else up_to
        out = out.then("AND state IN ('member', 'frozen') AND COALESCE(since_at, 0) <= ?", until)
    await db.execute(*out.statement())
    await db.execute(
        "DELETE FROM notice WHERE space_id = $1"
        " AND actor_id NOT IN (SELECT m.actor_id FROM membership m WHERE m.space_id = $1)",
        space_id,
    )
    db.after_commit(partial(live.publish, live.Fact("access", space_id=space_id)))


async def _write_parts(purge_id: int, after: int, uris: Sequence[str]) -> int:
    """Keeps some of the list in steps; the number of the last one."""
    rows = [
        {
            "id": new_id(),
            "purge_id": purge_id,
            "number": after + start // STEP + 1,
            "uris": msgspec.json.encode(list(uris[start : start + STEP])).decode(),
        }
        for start in range(0, len(uris), STEP)
    ]
    await db.insert_many("purge_part", rows)
    return after + len(rows)


# --- the list ------------------------------------------------------------------------------------


async def listing(limit: int, but: Collection[object] = ()) -> list[dict[str, Any]]:
    """Purges whose list is still to be fetched, and it is time to; `but`: of other instances (peer ids) than these."""
    query = Clause(
        "SELECT p.*, q.base_url FROM purge p JOIN peer q ON q.id = p.peer_id WHERE p.state = 'listing'"
        " AND p.next_at <= ?",
        (now_ms(),),
    )
    if but:
        query = query.join(Clause("AND NOT")).join(among("p.peer_id", but))
    return await db.fetch(*query.then("ORDER BY p.id LIMIT ?", limit).statement())


async def add_page(purge: Mapping[str, Any], uris: Sequence[str], following: str) -> None:
    """Keeps a page of the list; `following`: where the next one is, '' after the last."""
    async with db.transaction():
        row = await db.fetch_one("SELECT list_uri, cursor FROM purge WHERE id = $1 AND state = 'listing'", purge["id"])
        if row is None or row["list_uri"] != purge["list_uri"]:
            return  # somebody else did
        listed = int(row["cursor"]) + len(uris)
        if listed > int(purge["items"]) or (following and listed == int(purge["items"])):
            await give_up(purge["id"], "the list is longer than was told")
            return
        last = await db.fetch_one(
            "SELECT COALESCE(MAX(number), 0) AS n FROM purge_part WHERE purge_id = $1", purge["id"]
        )
        await _write_parts(purge["id"], last["n"] if last else 0, uris)
        if following:
            await db.execute(
                "UPDATE purge SET list_uri = $1, tries = 0, cursor = $2 WHERE id = $3", following, listed, purge["id"]
            )
            return
        if await _is_whole(purge):
            await db.execute("UPDATE purge SET state = 'items', tries = 0, cursor = 0 WHERE id = $1", purge["id"])
        else:
            await give_up(purge["id"], "the list is not the one whose root was told")


async def _is_whole(purge: Mapping[str, Any]) -> bool:
    rows = await db.fetch("SELECT uris FROM purge_part WHERE purge_id = $1", purge["id"])
    uris = [uri for row in rows for uri in msgspec.json.decode(row["uris"])]
    return len(uris) == int(purge["items"]) and root_of(uris) == str(purge["root"])


async def later(purge: Mapping[str, Any], reason: str) -> None:
    """The list cannot be had now, or what is to go does not go: it is tried again, and administrators see why."""
    wait = 2_000 << min(int(purge["tries"]), 10)
    await db.execute(
        "UPDATE purge SET tries = tries + 1, next_at = $1, reason = $2 WHERE id = $3",
        now_ms() + wait,
        reason[:300],
        purge["id"],
    )


async def give_up(purge_id: int, reason: str) -> None:
    """There is no list to go by: nothing is answered until another is told, and administrators see why."""
    await db.execute("UPDATE purge SET state = 'refused', reason = $1 WHERE id = $2", reason[:300], purge_id)
    await db.execute("DELETE FROM purge_part WHERE purge_id = $1", purge_id)


# --- the steps -----------------------------------------------------------------------------------


async def step(folder: Path) -> int:
    """One step of every purge that has one to take; how many took one. `folder`: where files are kept."""
    purges = await db.fetch(
        "SELECT * FROM purge WHERE state IN ('items', 'space', 'files') AND next_at <= $1 ORDER BY id LIMIT 20",
        now_ms(),
    )
    for purge in purges:
        if purge["state"] == "files":
            await _drop_files(purge, folder)
            continue
        async with db.transaction():
            # the row as it is now: another process may have taken this step, or be at it, and count what it erases
            alone = " FOR UPDATE" if db.engine_name() == "postgres" else ""
            now = await db.fetch_one(f"SELECT * FROM purge WHERE id = $1{alone}", purge["id"])
            if now is not None and now["state"] == "items":
                await _listed_items(now)
            elif now is not None and now["state"] == "space":
                await _rest_of_space(now)
    return len(purges)


async def _listed_items(purge: dict[str, Any]) -> None:
    part = await db.fetch_one(
        "SELECT id, uris FROM purge_part WHERE purge_id = $1 AND done_at IS NULL ORDER BY number LIMIT 1", purge["id"]
    )
    if part is None:
        following = "space" if RecallScope(purge["scope"]).whole and purge["space_id"] is not None else "files"
        await db.execute("UPDATE purge SET state = $1 WHERE id = $2", following, purge["id"])
        return
    uris: list[str] = msgspec.json.decode(part["uris"])
    counts = await _gone(purge, uris)
    await db.execute("UPDATE purge_part SET done_at = $1 WHERE id = $2", now_ms(), part["id"])
    await _count(purge, counts)


async def _gone(purge: dict[str, Any], uris: Sequence[str]) -> dict[str, int]:
    """Erases these items of the space; what never came is remembered as gone. Items of other spaces stay."""
    known_moves = await moves()
    uris = [known_moves.now(uri) for uri in uris]
    found = await db.fetch(
        *Clause("SELECT id, uri, author_id, peer_id, space_id, deleted_at FROM post WHERE")
        .join(one_of("uri", uris))
        .statement()
    )
    here = [row for row in found if row["space_id"] is not None and row["space_id"] == purge["space_id"]]
    kept = [row for row in here if _stays(purge, row)]
    elsewhere = [row for row in found if row["space_id"] != purge["space_id"]]
    whole = RecallScope(purge["scope"]).whole
    counts = await _erase([row["id"] for row in here if row not in kept], _again_after(purge))
    known = {row["uri"] for row in found}
    await _remember_gone(purge, [uri for uri in uris if uri not in known])
    stay = len([row for row in elsewhere if row["deleted_at"] is None])
    own = 0 if whole else len(kept)  # else they are counted with the rest of the space
    return counts | {"items": len(uris) - len(kept) - stay, "own": own}


def _stays(purge: Mapping[str, Any], post: Mapping[str, Any]) -> bool:
    """What our own people wrote, where the host says that they may keep it."""
    return purge["keep"] == Keep.OWN_AUTHORED and post["peer_id"] is None and post["deleted_at"] is None


async def _remember_gone(purge: Mapping[str, Any], uris: Sequence[str]) -> None:
    """Tombstones for what never came, of the host's own origin: of others it has no word to say."""
    peer = await db.fetch_one("SELECT base_url FROM peer WHERE id = $1", purge["peer_id"])
    space = await db.fetch_one("SELECT actor_id FROM space WHERE id = $1", purge["space_id"]) if uris else None
    if peer is None or space is None:
        return
    now = now_ms()
    rows = [
        {
            "id": new_id(),
            "uri": uri,
            "author_id": space["actor_id"],
            "space_id": purge["space_id"],
            "peer_id": purge["peer_id"],
            "visibility": "",
            "published_at": now,
            "deleted_at": now,
            "recalled_at": _again_after(purge),
        }
        for uri in uris
        if uri.startswith(f"{peer['base_url']}/")
    ]
    await db.insert_many("post", rows, ignore=True)


async def _rest_of_space(purge: dict[str, Any]) -> None:
    """What of the space was not listed, then what says that it was: names, people, notices, refused documents."""
    rows = await db.fetch(
        "SELECT p.id, p.peer_id, p.deleted_at, (SELECT MIN(e.id) FROM event e WHERE e.post_id = p.id"
        " AND e.kind = 'post_published') AS told_id FROM post p"
        " WHERE p.space_id = $1 AND p.id > $2 AND p.id < $3 ORDER BY p.id LIMIT $4",
        purge["space_id"],
        purge["cursor"],
        purge["id"],
        STEP,
    )
    if rows:
        since = [row for row in rows if (row["told_id"] or 0) > purge["id"]]  # what is of the past, and came later
        kept = [row for row in rows if _stays(purge, row) and row not in since]
        live_rows = [row for row in rows if row["deleted_at"] is None and row not in kept and row not in since]
        counts = await _erase([row["id"] for row in live_rows], _again_after(purge))
        counts |= {"items": len(live_rows), "own": len(kept)}
        await db.execute("UPDATE purge SET cursor = $1 WHERE id = $2", rows[-1]["id"], purge["id"])
        await _count(purge, counts)
        return
    await _count(purge, await _forget_space(purge))
    await db.execute("UPDATE purge SET state = 'files' WHERE id = $1", purge["id"])


async def _forget_space(purge: dict[str, Any]) -> dict[str, int]:
    """The space itself: an address stays, without a name. Where somebody came in since, it is theirs again.

    Who was in when it was taken back was put out then; whoever is in now came later, and so did what they read.
    """
    space_id = purge["space_id"]
    notices = await db.execute(
        "DELETE FROM notice WHERE space_id = $1 AND id < $2 AND kind <> 'invitation'", space_id, purge["id"]
    )
    await db.execute(
        "UPDATE event SET original = '' WHERE space_id = $1 AND original <> '' AND id < $2", space_id, purge["id"]
    )
    space = await db.fetch_one(
        "SELECT a.id, a.uri, a.name, (SELECT COUNT(*) FROM membership m WHERE m.space_id = s.id) AS known,"
        " (SELECT COUNT(*) FROM membership m WHERE m.space_id = s.id AND m.state IN ('member', 'frozen')) AS inside"
        " FROM space s JOIN actor a ON a.id = s.actor_id WHERE s.id = $1",
        space_id,
    )
    derived = 1
    if space is not None:  # what it relayed before and was not taken yet
        derived += await db.execute(
            "UPDATE receipt SET body = '', processed_at = $1, outcome = 'taken back' WHERE processed_at IS NULL"
            " AND attempts > 0 AND peer_id = $2 AND id < $3 AND body LIKE $4 AND body LIKE '%\"Announce\"%'",
            now_ms(),
            purge["peer_id"],
            purge["id"],
            f'%"{space["uri"]}"%',
        )
    if space is not None and not space["known"]:
        await db.execute("UPDATE space SET name = $1, description = '' WHERE id = $2", space["name"], space_id)
        await db.execute(
            "UPDATE actor SET display_name = '', summary = '' WHERE id = $1 AND peer_id IS NOT NULL", space["id"]
        )
    if space is not None and not space["inside"]:
        derived += await db.execute(
            "UPDATE receipt SET body = '' WHERE peer_id = $1 AND processed_at IS NOT NULL AND body <> ''",
            purge["peer_id"],
        )
    derived += await _forget_people(purge["peer_id"], space_id)
    return {"notifications": notices, "derived": derived}


async def _forget_people(peer_id: int, space_id: int) -> int:
    """Names of people at that instance, and of others in that space, of whom nothing else is left here: their address
    and keys stay. What the host said of people of third instances goes with the last of its spaces.
    """
    cards = await db.execute(
        "DELETE FROM passport WHERE peer_id = $1 AND NOT EXISTS (SELECT 1 FROM membership m"
        " JOIN space s ON s.id = m.space_id WHERE s.peer_id = $1 AND m.state IN ('member', 'frozen'))",
        peer_id,
    )
    return cards + await db.execute(
        "UPDATE actor SET display_name = '', summary = '' WHERE kind = 'person' AND display_name <> ''"
        " AND (peer_id = $1 OR (peer_id IS NOT NULL AND id IN (SELECT author_id FROM post WHERE space_id = $2)))"
        " AND NOT EXISTS (SELECT 1 FROM post p WHERE p.author_id = actor.id AND p.deleted_at IS NULL)"
        " AND NOT EXISTS (SELECT 1 FROM membership m WHERE m.actor_id = actor.id)"
        " AND NOT EXISTS (SELECT 1 FROM follow f WHERE f.follower_id = actor.id OR f.followed_id = actor.id)"
        " AND NOT EXISTS (SELECT 1 FROM mention n WHERE n.actor_id = actor.id)"
        " AND NOT EXISTS (SELECT 1 FROM reaction r WHERE r.actor_id = actor.id)",
        peer_id,
        space_id,
    )


def _again_after(purge: Mapping[str, Any]) -> int | None:
    """After when (ms, by its clock) a host that tells what it took back brings it back: it opened it again.

    With all of the space, whatever is told to whoever came in since; else what it says after it began the recall, for
    a copy that comes late was on its way (D4). None: never, where it did not say when that was.
    """
    if RecallScope(purge["scope"]).whole:
        return 0
    return None if purge["up_to"] is None else int(purge["up_to"])


async def _erase(post_ids: Sequence[int], again_after: int | None) -> dict[str, int]:
    """Erases posts and whatever was made of them; how many rows of each kind."""
    if not post_ids:
        return {}
    counts = {"media": await _erase_files(post_ids)}
    for table, counted in MADE_OF_POSTS:
        query = Clause(f"DELETE FROM {table} WHERE").join(one_of("post_id", post_ids))
        counts[counted] = counts.get(counted, 0) + await db.execute(*query.statement())
    for change in (
        "UPDATE event SET original = '', data = '{}' WHERE original <> '' AND",
        "UPDATE event SET data = '{}' WHERE kind IN ('reacted', 'reaction_undone', 'voted') AND",
    ):
        await db.execute(*Clause(change).join(one_of("post_id", post_ids)).statement())
    now = now_ms()
    erased = Clause(
        "UPDATE post SET html = '', source = '', summary = '', language = '', byline = '',"
        " deleted_at = COALESCE(deleted_at, ?),"
        " recalled_at = CASE WHEN deleted_at IS NULL THEN CAST(? AS BIGINT) ELSE recalled_at END WHERE",
        (now, again_after),
    )
    await db.execute(*erased.join(one_of("id", post_ids)).statement())
    return counts


MADE_OF_POSTS = (
    ("search_row", "index"),
    ("held_post", "derived"),
    ("notice", "notifications"),
    ("post_version", "derived"),
    ("mention", "derived"),
    ("reaction", "derived"),
    ("reply_address", "derived"),
    *((table, "derived") for table in poll_rows.TABLES),
)


async def _erase_files(post_ids: Sequence[int]) -> int:
    """Forgets the files of posts, and leaves a job for the bytes of each."""
    query = Clause("SELECT id, sha256 FROM attachment WHERE").join(one_of("post_id", post_ids))
    rows = await db.fetch(*query.statement())
    await file_bytes.forget(rows)
    return len(rows)


async def _count(purge: Mapping[str, Any], more: Mapping[str, int]) -> None:
    row = await db.fetch_one("SELECT counts FROM purge WHERE id = $1", purge["id"])
    counts: dict[str, int] = msgspec.json.decode(row["counts"]) if row else {}
    for name, number in more.items():
        counts[name] = counts.get(name, 0) + number
    await db.execute("UPDATE purge SET counts = $1 WHERE id = $2", msgspec.json.encode(counts).decode(), purge["id"])


# --- the end -------------------------------------------------------------------------------------


async def _drop_files(purge: Mapping[str, Any], folder: Path) -> None:
    if await file_bytes.drop(folder):
        return
    if stays := await file_bytes.not_removed():
        await later(purge, stays)
    else:
        await db.execute("UPDATE purge SET state = 'signing' WHERE id = $1 AND state = 'files'", purge["id"])


async def ready(limit: int = 20) -> list[dict[str, Any]]:
    """Purges of which nothing is left, whose receipt is to be signed."""
    return await db.fetch("SELECT * FROM purge WHERE state = 'signing' ORDER BY id LIMIT $1", limit)


async def finish(purge: Mapping[str, Any], receipt: str) -> None:
    """Keeps the signed receipt and records the fact that tells it."""
    async with db.transaction():
        if await db.execute(
            "UPDATE purge SET state = 'done', done_at = $1, receipt = $2, reason = ''"
            " WHERE id = $3 AND state = 'signing'",
            now_ms(),
            receipt,
            purge["id"],
        ):
            await db.execute("DELETE FROM purge_part WHERE purge_id = $1", purge["id"])
            await _answer(purge["id"], purge["space_id"], purge["peer_id"])
            if RecallScope(purge["scope"]).whole:
                await _have_it_told(purge["space_id"])


async def _have_it_told(space_id: int) -> None:
    """Where somebody came in while all of it was taken back: what was told them meanwhile may have gone, too."""
    inside = await db.fetch_one(
        "SELECT actor_id FROM membership WHERE space_id = $1 AND peer_id IS NULL AND state = 'member'"
        " ORDER BY id LIMIT 1",
        space_id,
    )
    if inside is not None:
        await ask_once_more(space_id, inside["actor_id"])


async def _answer(purge_id: int, space_id: int | None, peer_id: int) -> None:
    await record(Kind.RECALL_ANSWERED, space_id=space_id, data={"purge": purge_id, "peer": peer_id})
