"""Attachments on disk, found by what is in them: files/ab/cd/abcd…, so the same bytes are kept once.

A file is written under another name, flushed to the disk and only then given its own: whatever stops the process,
a name that exists stands for a whole file. What stays behind under another name is swept after a day.

The small picture of a picture lies beside it (abcd….small): whoever can find the one finds the other, and they go
together.
"""

import contextlib
import errno
import hashlib
import os
import re
import time
from collections.abc import AsyncIterable, Iterator
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import anyio.to_thread

from server.errors import NotFound, TooLarge, Unavailable
from server.refusals import N_

FILE_TOO_LARGE = N_("Ce fichier est trop volumineux : il dépasse %(limit)s Mio.")
DISK_FULL = N_("Le disque du serveur est plein : le fichier n’a pas été enregistré.")
DISK_FAULT = N_("Le fichier n’a pas pu être enregistré : réessayez dans un instant.")

CHUNK_BYTES = 256 * 1024
STALE_SECONDS = 24 * 3600
_ARRIVING = "arriving"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that is kept: its SHA-256 in hex, its size in bytes, and what its first bytes look like.

    `width`, `height`: of a picture that has a small one beside it, in pixels, as it is shown; 0 of all others.
    """

    sha256: str
    size: int
    head: bytes
    width: int = 0
    height: int = 0


class Arriving:
    """A file on its way in: `write` its pieces, then `keep` it; left without, nothing stays.

    Raises TooLarge at the first byte over `limit`, Unavailable when the disk is full or fails.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._digest = hashlib.sha256()
        self._size = 0
        self._head = b""

    def __enter__(self) -> "Arriving":
        with _faults_named():
            arriving = self._folder / _ARRIVING
            arriving.mkdir(parents=True, exist_ok=True)
            self._draft = arriving / f"{os.getpid()}-{os.urandom(12).hex()}"
            self._file = open(self._draft, "xb", buffering=0, opener=_for_us_alone)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._draft.unlink(missing_ok=True)

    def write(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            raise TooLarge(FILE_TOO_LARGE, params={"limit": self._limit // _MIB})
        self._digest.update(piece)
        if len(self._head) < CHUNK_BYTES:
            self._head += piece[: CHUNK_BYTES - len(self._head)]
        view = memoryview(piece)
        with _faults_named():
            while view:
                view = view[self._file.write(view) :]

    @property
    def head(self) -> bytes:
        """Its first bytes, as far as they have come."""
        return self._head

    @property
    def sha256(self) -> str:
        """In hex, of what has come until now."""
        return self._digest.hexdigest()

    @property
    def file(self) -> BinaryIO:
        """For another process to write into."""
        return self._file

    @contextlib.contextmanager
    def read(self) -> Iterator[mmap]:
        """What has come until now, which is something; without holding it in memory."""
        with self._draft.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            yield data

    def keep(self) -> Stored:
        """Makes the file last, and gives it its name."""
        sha256 = self.sha256
        self._keep_as(_place(self._folder, sha256))
        return Stored(sha256, self._size, self._head)

    def keep_beside(self, sha256: str) -> None:
        """Makes it last as the small picture of the file of that hash, in place of one that is there."""
        self._keep_as(_place(self._folder, sha256, small=True))

    def _keep_as(self, final: Path) -> None:
        with _faults_named():
            os.fsync(self._file.fileno())
            _make_folders(final.parent, self._folder)
            os.replace(self._draft, final)
            _flush_folder(final.parent)


def store(folder: Path, source: BinaryIO | Path, limit: int) -> Stored:
    """Keeps a file or an open stream of at most `limit` bytes. Blocks: call it in a thread.

    Raises TooLarge or Unavailable; nothing stays behind then.
    """
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
        arriving = stack.enter_context(Arriving(folder, limit))
        while piece := stream.read(CHUNK_BYTES):
            arriving.write(piece)
        return arriving.keep()


async def receive(folder: Path, pieces: AsyncIterable[bytes], limit: int) -> Stored:
    """Keeps what comes in piece by piece, such as an answer of another instance; like `store`."""
    with Arriving(folder, limit) as arriving:
        async for piece in pieces:
            await anyio.to_thread.run_sync(arriving.write, piece)
        return await anyio.to_thread.run_sync(arriving.keep)


def size_of(folder: Path, sha256: str, *, small: bool = False) -> int:
    """Its size in bytes, or that of its small picture. Raises NotFound."""
    try:
        return _place(folder, sha256, small=small).stat().st_size
    except OSError:
        raise NotFound(detail=f"no bytes for {sha256}") from None


def open_range(
    folder: Path, sha256: str, start: int = 0, end: int | None = None, *, small: bool = False
) -> Iterator[bytes]:
    """The bytes from `start` up to and without `end`, in pieces. Raises NotFound before the first."""
    try:
        file = _place(folder, sha256, small=small).open("rb")
    except OSError:
        raise NotFound(detail=f"no bytes for {sha256}") from None
    return _pieces(file, start, end)


def whole(folder: Path, sha256: str) -> BinaryIO:
    """The file, opened. Raises NotFound."""
    try:
        return _place(folder, sha256).open("rb")
    except OSError:
        raise NotFound(detail=f"no bytes for {sha256}") from None


def remove(folder: Path, sha256: str) -> None:
    """Forgets a file that nothing refers to any more, and its small picture; they may be gone already."""
    for small in (True, False):
        _place(folder, sha256, small=small).unlink(missing_ok=True)


def sweep(folder: Path) -> int:
    """Removes what a stopped process left half written, a day later; how many files that were."""
    arriving = folder / _ARRIVING
    swept = 0
    for draft in arriving.iterdir() if arriving.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            if draft.stat().st_mtime < time.time() - STALE_SECONDS:
                draft.unlink()
                swept += 1
    return swept


def _pieces(file: BinaryIO, start: int, end: int | None) -> Iterator[bytes]:
    with file:
        file.seek(start)
        left = None if end is None else max(end - start, 0)
        while piece := file.read(CHUNK_BYTES if left is None else min(CHUNK_BYTES, left)):
            left = None if left is None else left - len(piece)
            yield piece


def _place(folder: Path, sha256: str, *, small: bool = False) -> Path:
    """Where the bytes are. Only a hash becomes a path, never a name that somebody chose (H17, H18)."""
    if not _SHA256.fullmatch(sha256):
        raise NotFound(detail="not a SHA-256")
    return folder / sha256[:2] / sha256[2:4] / (f"{sha256}.small" if small else sha256)


def _for_us_alone(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _make_folders(folder: Path, root: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        for made in (folder.parent, root):
            _flush_folder(made)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _faults_named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        sentence = DISK_FULL if error.errno in _FULL else DISK_FAULT
        raise Unavailable(sentence, detail=f"{error.strerror} ({error.filename or 'while writing'})") from error
