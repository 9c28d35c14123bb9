"""Whether this instance runs on this machine, by a lock that a process holds for as long as it lives, kill -9 or not.

Whoever serves, delivers or sends mail shares it. What must find the database in peace (another address, a backup that
is put back) takes it alone. Processes on other machines, on PostgreSQL, are not seen: their operator stops them.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from server.settings import Settings
from server.terminal import Failure

FILE = "running.lock"


@contextmanager
def runs(settings: Settings) -> Iterator[None]:
    """This process serves. Raises Failure while something is done that stands no server beside it."""
    with _lock(settings, fcntl.LOCK_SH, "this instance is being moved or put back: start it when that is done."):
        yield


@contextmanager
def at_rest(settings: Settings) -> Iterator[None]:
    """Nobody serves meanwhile. Raises Failure when somebody does."""
    with _lock(settings, fcntl.LOCK_EX, "this instance runs: stop it first (parvis serve, parvis worker)."):
        yield


@contextmanager
def _lock(settings: Settings, kind: int, refusal: str) -> Iterator[None]:
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = settings.data_dir / FILE
    if not path.exists():
        path.touch()
    with path.open("rb") as file:  # whoever made it, root perhaps
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure(refusal) from None
        yield
