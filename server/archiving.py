"""An archive of one person's own data as a ZIP file: JSON a program can read, and the files as they were brought.

`contents.json` says what is inside and when it was made; moments are milliseconds since 1970.
"""

import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import msgspec

from server import files
from server.clock import now_ms
from server.errors import NotFound
from server.ids import Addresses
from server.queries import archive
from server.queries.posts import PostCard
from server.viewer import Resident

_UNSAFE = re.compile(r"[^\w.\- ]+")
NAME_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Archived:
    """How much an archive holds. `withheld`: posts of theirs that they may not read any more."""

    posts: int
    files: int
    reactions: int
    votes: int
    withheld: int


async def write_archive(viewer: Resident, here: Addresses, folder: Path, target: Path) -> Archived:
    """Writes the viewer's archive to `target`, whole or not at all; `folder` is where this instance keeps files.

    The file is for its owner's eyes (mode 0600). Raises OSError.
    """
    beside = target.with_name(f".{target.name}.part")
    descriptor = os.open(beside, os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as out, ZipFile(out, "w", ZIP_DEFLATED) as archived:
            told = await _fill(viewer, here, folder, archived)
        os.replace(beside, target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return told


async def _fill(viewer: Resident, here: Addresses, folder: Path, archived: ZipFile) -> Archived:
    brought: list[tuple[str, str]] = []
    archived.writestr("account.json", _json(await archive.account(viewer)))
    archived.writestr("memberships.json", _json(await archive.memberships(viewer)))
    archived.writestr("follows.json", _json(await archive.follows(viewer)))
    posts = await _lines(archived, "posts.jsonl", _posts(viewer, brought))
    reactions = await _lines(archived, "reactions.jsonl", archive.reactions(viewer))
    votes = await _lines(archived, "votes.jsonl", archive.votes(viewer))
    copied = sum(_copy(archived, folder, sha256, name) for name, sha256 in brought)
    told = Archived(posts, copied, reactions, votes, await archive.withheld(viewer, posts))
    contents = {"made_at": now_ms(), "instance": here.base, **msgspec.to_builtins(told)}
    archived.writestr("contents.json", _json(contents))
    return told


async def _posts(viewer: Resident, brought: list[tuple[str, str]]) -> AsyncIterator[dict[str, Any]]:
    """Their posts; `brought` is given the names and digests of the files that belong to them."""
    async for card in archive.posts(viewer):
        carried = []
        for number, sha256 in enumerate(archive.open_files(viewer, card)):
            if sha256:
                brought.append((_name(card, number), sha256))
                carried.append({"path": brought[-1][0], "description": card.files[number].description})
        yield {
            "id": card.uri,
            "space": card.space.slug if card.space else "",
            "visibility": card.visibility,
            "text": card.source,
            "html": card.html,
            "summary": card.summary,
            "published_at": card.published_at,
            "edited_at": card.edited_at,
            "files": carried,
            "poll": _poll(card),
        }


def _poll(card: PostCard) -> dict[str, Any] | None:
    if card.poll is None:
        return None
    options = [{"title": option.title, "votes": option.votes} for option in card.poll.options]
    return {"options": options, "multiple": card.poll.multiple, "ends_at": card.poll.ends_at}


def _name(card: PostCard, number: int) -> str:
    plain = _UNSAFE.sub("_", card.files[number].name).strip(". ")[-NAME_CHARACTERS:]
    return f"files/{card.id}-{number + 1}-{plain or 'file'}"


async def _lines(archived: ZipFile, name: str, rows: AsyncIterator[dict[str, Any]]) -> int:
    count = 0
    with archived.open(name, "w", force_zip64=True) as out:
        async for row in rows:
            out.write(msgspec.json.encode(row) + b"\n")
            count += 1
    return count


def _copy(archived: ZipFile, folder: Path, sha256: str, name: str) -> int:
    try:
        pieces = files.open_range(folder, sha256)
    except NotFound:
        return 0
    with archived.open(name, "w", force_zip64=True) as out:
        for piece in pieces:
            out.write(piece)
    return 1


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
