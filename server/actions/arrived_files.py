"""Files of somebody elsewhere: noted with the post that brings them; their bytes are fetched later, if anybody may."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from server import database as db
from server import live
from server.actions import file_bytes
from server.clock import now_ms
from server.ids import new_id
from server.limits import ATTACHMENTS


@dataclass(frozen=True, slots=True)
class ArrivedFile:
    """A file of somebody elsewhere, by its address; its bytes follow."""

    uri: str
    name: str
    media_type: str
    size: int = 0
    description: str = ""
    digest: str = ""


async def arrive(post_id: int, author_id: int, files: Sequence[ArrivedFile]) -> None:
    """Notes the files of somebody elsewhere, and that their bytes are to be fetched."""
    now = now_ms()
    for position, file in enumerate(files[:ATTACHMENTS]):
        file_id = new_id()
        await db.insert(
            "attachment",
            {
                "id": file_id,
                "owner_id": author_id,
                "post_id": post_id,
                "position": position,
                "name": file.name[:255],
                "media_type": file.media_type[:100],
                "size": file.size,
                "description": file.description,
                "digest": file.digest[:200],
                "source_uri": file.uri[:2048],
                "state": "waiting" if file.uri else "failed",
                "created_at": now,
            },
        )
        if not file.uri:
            continue
        job = {"id": new_id(), "kind": "fetch_file", "key": str(file_id), "due_at": now, "created_at": now}
        await db.insert("job", job)
        db.after_commit(partial(live.publish, live.Fact("file", post_id=post_id)))


async def arrive_again(post_id: int, author_id: int, files: Sequence[ArrivedFile]) -> None:
    """After an edit elsewhere: files that are new are noted, files that are gone leave the post, and of the
    others is said what is said now.
    """
    rows = await db.fetch("SELECT id, sha256, source_uri, description FROM attachment WHERE post_id = $1", post_id)
    known, wanted = {row["source_uri"] for row in rows}, {file.uri for file in files}
    await file_bytes.forget([row for row in rows if row["source_uri"] not in wanted and row["source_uri"]])
    await arrive(post_id, author_id, [file for file in files if file.uri not in known])
    said = {file.uri: file.description for file in files}
    for row in rows:
        if said.get(row["source_uri"], row["description"]) != row["description"]:
            await db.execute("UPDATE attachment SET description = $1 WHERE id = $2", said[row["source_uri"]], row["id"])
