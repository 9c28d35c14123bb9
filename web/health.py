"""`/healthz`, `/readyz`, `/metrics`: for whoever watches the process; they name nobody and nothing that is inside.

`/metrics` names the hosts that we are linked with: it is for those who administer this instance.
"""

import ipaddress
import resource
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from server import database, schema
from server.errors import NotFound, Unavailable
from server.queries.health import Health, LinkFlow, overview
from server.settings import Settings
from server.viewer import Operator, Viewer
from web.api.calls import demand_scope
from web.session import viewer_of

METRICS_TYPE = "text/plain; version=0.0.4"
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")

Sample = tuple[str, str, dict[str, str], float]  # name, kind, labels, value


def routes() -> list[Route]:
    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]


async def healthz(request: Request) -> PlainTextResponse:
    """The process is up and its database answers."""
    try:
        await database.fetch("SELECT 1 AS up")
    except Unavailable:
        return PlainTextResponse("database unreachable\n", 503)
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> PlainTextResponse:
    """The tables are those of this version, and nothing that works in the background has stopped."""
    settings: Settings = request.app.state.settings
    try:
        found = await schema.check(settings.database_url)
    except Unavailable:
        return PlainTextResponse("database unreachable\n", 503)
    if found is not schema.Schema.CURRENT:
        return PlainTextResponse(f"schema {found}\n", 503)
    worker = request.app.state.worker
    if worker is not None and not worker.alive:
        return PlainTextResponse("a worker has stopped\n", 503)
    return PlainTextResponse("ready\n")


async def metrics(request: Request) -> Response:
    """Prometheus' text format. For this machine, or for an administrator's token; to others it is not there."""
    health = await overview(await _watcher(request))
    return PlainTextResponse(rendered([*_process(), *_queues(health), *_links(health.links)]), media_type=METRICS_TYPE)


async def _watcher(request: Request) -> Viewer:
    if "authorization" in request.headers:
        return replace(demand_scope(await viewer_of(request), "admin:read"), scopes=None)
    if not is_from_here(request):
        raise NotFound(detail="metrics are for this machine")
    return Operator("metrics")


def is_from_here(request: Request) -> bool:
    """Whether this machine itself asks, and not a proxy on it for somebody else."""
    if request.client is None or any(name in request.headers for name in FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def rendered(samples: Iterable[Sample]) -> str:
    """The samples as text, each name introduced once; samples of one name stand together."""
    lines: list[str] = []
    before = ""
    for name, kind, labels, value in samples:
        if name != before:
            lines.append(f"# TYPE {name} {kind}")
            before = name
        inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"{name}{{{inside}}} {value:.15g}" if inside else f"{name} {value:.15g}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _process() -> list[Sample]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return [
        ("process_cpu_seconds_total", "counter", {}, used.ru_utime + used.ru_stime),
        ("process_resident_memory_bytes", "gauge", {}, pages * resource.getpagesize()),
    ]


def _queues(health: Health) -> list[Sample]:
    queues = {
        "events": health.events,
        "deliveries": health.deliveries,
        "receipts": health.receipts,
        "jobs": health.jobs,
    }
    return [
        *(("parvis_waiting", "gauge", {"queue": name}, queue.waiting) for name, queue in queues.items()),
        *(("parvis_oldest_seconds", "gauge", {"queue": n}, q.oldest_ms / 1000) for n, q in queues.items()),
        ("parvis_deliveries_dead", "gauge", {}, health.dead),
        ("parvis_mail_aside", "gauge", {}, health.mail_aside),
        *(("parvis_peers", "gauge", {"state": state}, count) for state, count in health.peers.items()),
    ]


def _links(links: tuple[LinkFlow, ...]) -> list[Sample]:
    """Each link with what waits for it; look when `parvis_link_oldest_seconds` is over 300. Times since 1970."""

    def of_each(name: str, kind: str, value: Callable[[LinkFlow], float | None]) -> list[Sample]:
        values = [(link.host, value(link)) for link in links]
        return [(f"parvis_link_{name}", kind, {"host": host}, found) for host, found in values if found is not None]

    def seconds(ms: int | None) -> float | None:
        return None if ms is None else ms / 1000

    return [
        *of_each("active", "gauge", lambda link: link.state == "active"),
        *of_each("answers", "gauge", lambda link: link.health == "ok"),
        *of_each("waiting", "gauge", lambda link: link.waits.waiting),
        *of_each("oldest_seconds", "gauge", lambda link: link.waits.oldest_ms / 1000),
        *of_each("acked_total", "counter", lambda link: link.acked),
        *of_each("dead", "gauge", lambda link: link.dead),
        *of_each("clock_skew_seconds", "gauge", lambda link: seconds(link.skew_ms)),
        *of_each("last_ok_timestamp_seconds", "gauge", lambda link: seconds(link.last_ok_at)),
        *of_each("last_heard_timestamp_seconds", "gauge", lambda link: seconds(link.last_heard_at)),
        *of_each("failing_since_timestamp_seconds", "gauge", lambda link: seconds(link.failing_since_at)),
    ]
