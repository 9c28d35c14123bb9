"""Files that our people bring: kept by their bytes, named by their owner, carried by a post later or never."""

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from server import database as db
from server import pictures
from server.actions import file_bytes
from server.clock import now_ms
from server.errors import NotFound, TooLarge, Unavailable
from server.files import DISK_FAULT, Stored
from server.ids import new_id
from server.limits import DESCRIPTION_BYTES
from server.media_types import safe_name, sniff
from server.refusals import N_
from server.viewer import Resident

LONG_DESCRIPTION = N_("La description du fichier dépasse %(limit)s octets.")
TRIES = 3


async def take_in(
    viewer: Resident, folder: Path, source: BinaryIO, limit: int, name: str, description: str = ""
) -> int:
    """Keeps the bytes of a file, at most `limit`, and notes it; returns its id. Raises TooLarge or Unavailable.

    The same bytes may be taken away at this moment, because nothing needed them until now: then they are kept anew.
    """
    bounded(description)
    for _ in range(TRIES):
        source.seek(0)
        stored = await pictures.bring_in(folder, source, limit, file_bytes.expect)
        async with db.transaction():
            if await file_bytes.claim(folder, stored.sha256):
                return await bring(viewer, stored, name, description)
    raise Unavailable(DISK_FAULT, detail="its bytes were taken away while it came")


async def bring(viewer: Resident, stored: Stored, name: str, description: str = "") -> int:
    """In the transaction that claims its bytes: notes a file; returns its id. It is its owner's alone until a post
    carries it.
    """
    bounded(description)
    file_id, name = new_id(), safe_name(name)
    row = {
        "id": file_id,
        "owner_id": viewer.actor_id,
        "name": name,
        "media_type": sniff(stored.head, name),
        "size": stored.size,
        "width": stored.width,
        "height": stored.height,
        "sha256": stored.sha256,
        "description": description,
        "created_at": now_ms(),
    }
    await db.insert("attachment", row)
    return file_id


async def describe(viewer: Resident, file_id: int, description: str) -> None:
    """Says what is in a file, before a post carries it. Raises NotFound for anybody else's."""
    bounded(description)
    changed = await db.execute(
        "UPDATE attachment SET description = $1 WHERE id = $2 AND owner_id = $3 AND post_id IS NULL",
        description,
        file_id,
        viewer.actor_id,
    )
    if not changed:
        raise NotFound(detail="no file of theirs that no post carries")


async def describe_anew(post_id: int, described: Mapping[int, str]) -> bool:
    """In the transaction of an edit: corrects what is said of files of this post; whether that changed anything.

    Raises TooLarge.
    """
    changed = 0
    for file_id, description in described.items():
        bounded(description)
        changed += await db.execute(
            "UPDATE attachment SET description = $1 WHERE id = $2 AND post_id = $3 AND description <> $4",
            description,
            file_id,
            post_id,
            description,
        )
    return changed > 0


def bounded(description: str, field: str = "description") -> None:
    """Raises TooLarge, naming the field, for a description that is longer than any may be."""
    if len(description.encode()) > DESCRIPTION_BYTES:
        raise TooLarge(LONG_DESCRIPTION, field=field, params={"limit": DESCRIPTION_BYTES})
