"""Serving one instance: a listening socket, one process or several behind it, until a signal says stop."""

import contextlib
import errno
import gc
import os
import socket
from functools import partial

import uvicorn
from uvicorn.supervisors import Multiprocess

from server.settings import Settings
from server.terminal import Failure
from web.app import create_app
from web.even_refusals import EvenRefusals

BACKLOG = 2048
COLLECT_AFTER = (20_000, 20, 20)
"""New containers since the last look, and how many such looks before an older generation is looked at too."""
GRACE_SECONDS = 10
"""How long open answers may take to end once a signal says stop; live updates end at once."""

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}

EXPLAINED = {
    errno.EADDRINUSE: "another program listens there; stop it, or set another “port”",
    errno.EACCES: "only root may listen there; set a “port” above 1023 and put a proxy before it",
    errno.EADDRNOTAVAIL: "this machine does not have that address; set another “host”",
}


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound. Raises Failure when it cannot be, saying why and what to set."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        why = EXPLAINED.get(error.errno or 0, (error.strerror or "").partition(" (while")[0])
        raise Failure(f"cannot listen on {host}:{port}: {why}.") from None
    listening.set_inheritable(True)
    return listening


def run(settings: Settings, listening: socket.socket, *, workers: int, delivery: bool) -> bool:
    """Serves until a signal says stop; whether it ever started."""
    config = uvicorn.Config(
        partial(_settled_app, settings, delivery=delivery),
        factory=True,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=LOGGING,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=[str(network) for network in settings.trusted_proxies],
        timeout_graceful_shutdown=GRACE_SECONDS,
        workers=workers,
    )
    if workers > 1:
        Multiprocess(config, sockets=[listening]).run()
        return True
    server = Announced(config)
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:  # said again by uvicorn after it has stopped in good order
        pass
    return server.started


def _settled_app(settings: Settings, *, delivery: bool) -> EvenRefusals:
    """The application as strangers reach it, and a collector that looks seldom and never again at what was there first.

    With Python's own numbers a fifth of the CPU that receiving costs goes into looking for cycles; there are few.
    """
    app = EvenRefusals(create_app(settings, delivery=delivery))
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    return app


class Announced(uvicorn.Server):
    """Says that it answers to whoever started it and wants to know: systemd, or the demo (sd_notify(3))."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            announce(os.environ.get("NOTIFY_SOCKET", ""))


def announce(address: str) -> None:
    """Nobody wants to know: nothing happens. A name that begins with @ is an abstract one (unix(7))."""
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notice, contextlib.suppress(OSError):
        notice.sendto(b"READY=1", address.replace("@", "\0", 1) if address[0] == "@" else address)
