"""Starts the two instances of the demo, lets their story be told, and ends everything that it started.

Each instance is `parvis serve` as anybody runs it. One that dies is started again; when this process dies, whatever
kills it, the kernel ends the others (prctl(2), PR_SET_PDEATHSIG).
"""

import asyncio
import contextlib
import ctypes
import errno
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from server.terminal import Failure, remark
from web.demo import folder as place
from web.demo.conversations import STORY
from web.demo.folder import Told
from web.demo.story import Company
from web.demo.teller import PASSWORD

STARTS_WITHIN_S = 60
ENDS_WITHIN_S = 20
STAYS_UP_S = 5
PR_SET_PDEATHSIG = 1
T = TypeVar("T")


async def run(folder: Path, ports: Sequence[int], *, reset: bool) -> None:
    """The demo, until SIGINT, SIGTERM or SIGHUP.

    Raises Failure for a port that is taken, a folder of something else, an instance that does not stay up.
    """
    _stop_at_signals()
    with contextlib.suppress(asyncio.CancelledError), place.held(folder):
        refuse_taken(ports)
        told = _go_on(folder, ports, reset)
        async with AsyncExitStack() as stack:
            served = []
            for company, port in zip(STORY.companies, ports, strict=True):
                await place.install(folder, company, port)
                served.append(await stack.enter_async_context(serving(folder, company, port)))
            await _play(folder, served, told)
    remark("Both instances are stopped.")


def _stop_at_signals() -> None:
    """The running task is cancelled at the first signal; the second one does not hurry what ends in good order."""
    task = asyncio.current_task()
    assert task is not None
    for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if stop is not signal.SIGHUP or signal.getsignal(stop) is not signal.SIG_IGN:  # nohup means it
            asyncio.get_running_loop().add_signal_handler(stop, lambda: task.cancelling() or task.cancel())


def refuse_taken(ports: Sequence[int]) -> None:
    """Raises Failure when something listens there already, also under the other name of this machine."""
    for port in ports:
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            try:
                socket.create_server((host, port), family=family).close()
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise Failure(f"port {port} is taken by another program: stop it, and start again.") from None


def _go_on(folder: Path, ports: Sequence[int], reset: bool) -> Told | None:
    """What was told here, or None and nothing is left of an older one."""
    told = place.read(folder)
    if told is not None and not reset:
        if list(told.ports) != list(ports):
            raise Failure(f"the demo in {folder} was made for other ports: --reset begins afresh.")
        return told
    place.clear(folder, STORY.companies)
    return None


async def _play(folder: Path, served: list["Served"], told: Told | None) -> None:
    if told is None:
        remark("Two companies settle in; this takes some seconds, once.")
        words = await _tell(folder, served)
        told = Told([one.port for one in served], words)
        place.mark(folder, told)
    else:
        await _while_served(served, _ready(served))
    print(_invitation(served, told), flush=True)
    await asyncio.gather(*(one.watched for one in served))


async def _ready(served: list["Served"]) -> None:
    """Both answer. Raises Failure when that takes too long."""
    try:
        async with asyncio.timeout(STARTS_WITHIN_S):
            for one in served:
                await one.ready.wait()
    except TimeoutError:
        raise Failure(f"the instances do not answer within {STARTS_WITHIN_S} s: see {served[0].log}.") from None


async def _while_served(served: list["Served"], work: Coroutine[Any, Any, T]) -> T:
    """Does something as long as both stay up. Raises Failure when one does not."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait([task, *(one.watched for one in served)], return_when=asyncio.FIRST_COMPLETED)
        for one in served:
            if one.watched.done():
                one.watched.result()
        return await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# --- the instances -------------------------------------------------------------------------------


@dataclass
class Served:
    """One instance, served; `watched` ends only with a Failure. `ready` is set while it answers."""

    company: Company
    port: int
    config: Path
    log: Path
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    watched: asyncio.Task[None] = field(init=False)

    @property
    def base(self) -> str:
        return f"http://localhost:{self.port}"


@asynccontextmanager
async def serving(folder: Path, company: Company, port: int) -> AsyncIterator[Served]:
    """An instance that is served inside, started again when it dies, and ended on the way out."""
    served = Served(company, port, place.config_of(folder, company), place.log_of(folder, company))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.setblocking(False)
        notices.bind(f"\0parvis-demo-{os.getpid()}-{port}")  # abstract: no file that could stay behind (unix(7))
        served.watched = asyncio.create_task(_watch(served, notices))
        try:
            yield served
        finally:
            served.watched.cancel()
            await asyncio.gather(served.watched, return_exceptions=True)


async def _watch(served: Served, notices: socket.socket) -> None:
    while True:
        began = time.monotonic()
        name = "@" + notices.getsockname()[1:].decode()
        async with _process(served, ["serve", "--config", str(served.config)], {"NOTIFY_SOCKET": name}) as process:
            heard = asyncio.create_task(_hear(notices, served.ready))
            try:
                code = await process.wait()
            finally:
                heard.cancel()
        served.ready.clear()
        if time.monotonic() - began < STAYS_UP_S:
            raise Failure(f"{served.company.name} does not stay up: {_last_line(served.log)}")
        remark(f"{served.company.name} has ended ({_how(code)}) and is started again.")


async def _hear(notices: socket.socket, ready: asyncio.Event) -> None:
    while True:
        if b"READY=1" in await asyncio.get_running_loop().sock_recv(notices, 4096):
            ready.set()


@asynccontextmanager
async def _process(
    served: Served, words: list[str], more: dict[str, str], talking: bool = False
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`parvis` with these words; it does not outlive the block."""
    pipe = asyncio.subprocess.PIPE if talking else asyncio.subprocess.DEVNULL
    with served.log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("parvis")),
            *words,
            stdin=pipe,
            stdout=pipe if talking else log,
            stderr=log,
            env=_environment() | more,
            preexec_fn=_die_with_the_demo,
        )
    try:
        yield process
    finally:
        await asyncio.shield(_end(process))


async def _end(process: asyncio.subprocess.Process) -> None:
    """Politely, and after a while not."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            async with asyncio.timeout(ENDS_WITHIN_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _die_with_the_demo() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _environment() -> dict[str, str]:
    """Without settings for other instances."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PARVIS_", "NOTIFY_SOCKET"))}


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].removeprefix("parvis: ") if lines else f"{log} is empty."


def _how(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


# --- the story -----------------------------------------------------------------------------------


async def _tell(folder: Path, served: list[Served]) -> str:
    """Both sides tell their part, each in a process; the six words, compared."""
    async with AsyncExitStack() as stack:
        tellers = []
        for one in served:
            words = ["demo", "--dir", str(folder), "--tell", one.company.key]
            tellers.append(await stack.enter_async_context(_process(one, words, {}, talking=True)))
        return await _while_served(served, _lead(served, tellers))


async def _lead(served: list[Served], tellers: list[asyncio.subprocess.Process]) -> str:
    await _ready(served)
    _say(tellers, "ready")
    first, second = [await _line(one, teller) for one, teller in zip(served, tellers, strict=True)]
    if first != second:
        raise Failure(f"the six words differ: {first} / {second}.")
    _say(tellers, "same")
    for one, teller in zip(served, tellers, strict=True):
        if await teller.wait():
            raise Failure(f"the story of {one.company.name} could not be told: {_last_line(one.log)}")
    return first


def _say(tellers: list[asyncio.subprocess.Process], word: str) -> None:
    for teller in tellers:
        assert teller.stdin is not None
        teller.stdin.write(f"{word}\n".encode())


async def _line(one: Served, teller: asyncio.subprocess.Process) -> str:
    assert teller.stdout is not None
    line = (await teller.stdout.readline()).decode().strip()
    if not line:
        await teller.wait()
        raise Failure(f"the story of {one.company.name} could not be told: {_last_line(one.log)}")
    return line


def _invitation(served: list[Served], told: Told) -> str:
    lines = [""]
    for one in served:
        lines += [f"{one.company.name}: {one.base}"]
        parts = [person for person in one.company.people if person.part]
        lines += [f"    {person.name:<8}{person.display_name:<18}{person.part}" for person in parts]
    return "\n".join(
        [
            *lines,
            "",
            f"Everybody above signs in with the password {PASSWORD} (for this demo on this machine only).",
            f"The two are linked; the six words compared: {told.words}",
            "Ctrl-C stops both; starting again keeps what was written, --reset (make run RESET=1) begins afresh.",
        ]
    )
