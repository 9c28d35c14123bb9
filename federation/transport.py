"""The one door out: every socket that this project opens towards another instance is opened here.

`Transport` takes and gives httpx values, over aiohttp's connections. Whoever named the address (a person, a
document, a redirect, a name server), the internet address of each connect goes through `addresses.allowed`.
Answers are bounded in time and in size; POST follows no redirect, GET at most three, each one read and signed
anew (advisories F1–F22, R2, R8).
"""

from __future__ import annotations

import asyncio
import errno
import functools
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import aiohttp
import httpx
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult

from federation import skew
from federation.addresses import Network, Target, allowed, check_url, resolve, within
from federation.answers import ACTIVITY, Accept, Document, check_media_type, check_status, read_body, too_long
from federation.errors import FederationError, Malformed, Refused, Unreachable
from federation.trust import host_at

Sign = Callable[[str, str, Mapping[str, str], bytes], Mapping[str, str]]
"""(method, url, headers, body) → the headers to send. Asked for each request, so again on each redirect."""

Lookup = Callable[[str], Awaitable[list[str]]]
"""A name → its internet addresses, as text. Raises OSError where there are none."""

MOST_REDIRECTS = 3
PER_HOST = 8
"""Exchanges with one host at a time; the rest wait, so that a slow host takes no one else's place."""
ANSWER_LIMIT = 64 << 10
"""Bytes of an answer that only its status is wanted of."""
DOCUMENT_LIMIT = 1 << 20
"""Bytes of a document, once unpacked."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NAMES_KEPT_S = 60.0
_MOST_NAMES = 4096
_IDLE_S = 4.0  # most servers close an idle connection after 5 s or more: a POST must not meet that moment
_REWRITTEN = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds."""

    connect: float = 3.0
    """For the name, and again for the connect with its TLS."""
    first_byte: float = 10.0
    """For each silence, the one before the first byte included."""
    total: float = 20.0
    """For everything: the wait for a free place, all redirects, the whole body (R2)."""


@dataclass(frozen=True, slots=True)
class Answered:
    """How a delivery was answered."""

    status: int
    headers: Mapping[str, str]
    """Asked without regard to case."""
    body: bytes = b""
    """Its beginning."""


class Transport(httpx.AsyncBaseTransport):
    """Connections to other instances, kept for one event loop. Close it with `aclose` or `async with`.

    `allow_private_networks` may be reached although they are private, and over http. `ca_file` is trusted
    besides the system's authorities. No cookies, no proxies from the environment, no saved passwords.
    """

    def __init__(
        self,
        *,
        user_agent: str,
        allow_private_networks: tuple[Network, ...] = (),
        ca_file: Path | None = None,
        timeouts: Timeouts | None = None,
        lookup: Lookup | None = None,
    ) -> None:
        self.user_agent = user_agent
        self.networks = allow_private_networks
        self.timeouts = timeouts or Timeouts()
        self._tls = _trust(ca_file)
        self._names = _Names(lookup, self.timeouts.connect)
        self._places = _Places(PER_HOST)
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def aclose(self) -> None:
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()
        await self._names.close()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """For httpx.AsyncClient; our own callers use `send`, which costs less."""
        return await self.send(request, limit_bytes=DOCUMENT_LIMIT)

    async def send(
        self, request: httpx.Request, *, limit_bytes: int = ANSWER_LIMIT, cut: bool = False
    ) -> httpx.Response:
        """One request, one answer, whatever its status; redirects are not followed.

        A body over `limit_bytes` is refused, or with `cut` only its beginning is kept (a delivery is answered
        by its status). Raises Malformed, Refused and Unreachable, with a sentence for each cause.
        """
        target = check_url(str(request.url), self.networks)
        try:
            async with asyncio.timeout(self.timeouts.total):
                return await self._exchange(request, target, limit_bytes, cut)
        except TimeoutError:
            raise _too_slow(target) from None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answered:
        """One delivery, answered by its status; redirects are not followed. Raises as `send`, and costs half of it."""
        target = check_url(url, self.networks)
        try:
            async with asyncio.timeout(self.timeouts.total), self._places.of(target.host):
                return await self._post(target, headers, body)
        except TimeoutError:
            raise _too_slow(target) from None

    async def _post(self, target: Target, headers: Mapping[str, str], body: bytes) -> Answered:
        session = self._session(target.scheme)
        try:
            async with session.post(_wire_url(target.url), headers=headers, data=body, allow_redirects=False) as answer:
                said = await _read(answer, 0 if answer.status in _REDIRECTS else ANSWER_LIMIT, cut=True)
                _notice(target, answer.headers)
                return Answered(answer.status, answer.headers, said)
        except (aiohttp.ClientError, OSError) as error:
            raise _explain(error, target) from error

    async def get(
        self, url: str, accept: str = "*/*", *, sign: Sign | None = None, limit_bytes: int = DOCUMENT_LIMIT
    ) -> httpx.Response:
        """Fetches, following at most MOST_REDIRECTS. The answer's `url` is the one that answered.

        Each hop is read by `check_url`, connected to through the guard, and signed for itself (F8, F11, F20).
        Raises as `send`.
        """
        target = check_url(url, self.networks)
        try:
            async with asyncio.timeout(self.timeouts.total):
                return await self._follow(target, accept, sign, limit_bytes)
        except TimeoutError:
            raise _too_slow(target) from None

    async def get_json(
        self,
        url: str,
        *,
        accept: Accept = ACTIVITY,
        sign: Sign | None = None,
        limit_bytes: int = DOCUMENT_LIMIT,
    ) -> Document:
        """Fetches a document and insists on its status (200) and media type; its JSON is not read here.

        Raises Gone for 410, RefusedThere for other 4xx, Unreachable for 429 and 5xx, Malformed for an answer
        of another kind (O2–O4), and as `get`.
        """
        answer = await self.get(url, accept.header, sign=sign, limit_bytes=limit_bytes)
        final = str(answer.url)
        check_status(answer.status_code, final)
        asked, answered = check_url(url, self.networks), check_url(final, self.networks)
        media_type = check_media_type(answer, accept)
        return Document(url, final, asked.origin != answered.origin, media_type, answer.content)

    async def _follow(self, target: Target, accept: str, sign: Sign | None, limit: int) -> httpx.Response:
        for _ in range(MOST_REDIRECTS + 1):
            followed = skew.towards(host_at(target.url))
            answer = await self._exchange(self._get(target, accept, sign), target, limit, cut=False)
            if sign and 400 <= answer.status_code < 500 and skew.moved(host_at(target.url), followed):
                answer = await self._exchange(self._get(target, accept, sign), target, limit, cut=False)
            if answer.status_code not in _REDIRECTS:
                return answer
            target = resolve(target, answer.headers.get("location", ""), self.networks)
        raise Refused("The address redirects too often.", target.url)

    def _get(self, target: Target, accept: str, sign: Sign | None) -> httpx.Request:
        headers: Mapping[str, str] = {
            "accept": accept,
            "accept-encoding": "gzip",
            "user-agent": self.user_agent,
        }
        if sign is not None:
            headers = sign("GET", target.url, headers, b"")
        return httpx.Request("GET", target.url, headers=dict(headers))

    async def _exchange(self, request: httpx.Request, target: Target, limit: int, cut: bool) -> httpx.Response:
        body = await request.aread()
        async with self._places.of(target.host):
            try:
                async with self._session(target.scheme).request(
                    request.method,
                    _wire_url(str(request.url)),
                    headers=self._headers(request),
                    data=body or None,
                    allow_redirects=False,
                ) as answer:
                    if answer.status in _REDIRECTS:
                        limit, cut = 0, True
                    content = await _read(answer, limit, cut)
                    _notice(target, answer.headers)
            except (aiohttp.ClientError, OSError) as error:
                raise _explain(error, target) from error
        headers = [pair for pair in answer.raw_headers if pair[0].lower() not in _REWRITTEN]
        return httpx.Response(answer.status, headers=headers, content=content, request=request)

    def _headers(self, request: httpx.Request) -> list[tuple[str, str]]:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
        if not any(name.lower() == "user-agent" for name, _ in headers):
            headers.append(("User-Agent", self.user_agent))
        return headers

    def _session(self, scheme: str) -> aiohttp.ClientSession:
        """One for each scheme, because http goes nowhere but into the private networks that are allowed."""
        if scheme not in self._sessions:
            connector = aiohttp.TCPConnector(
                limit=512,
                use_dns_cache=False,
                resolver=self._names,
                socket_factory=self._plain_socket if scheme == "http" else self._socket,
                ssl=self._tls,
                keepalive_timeout=_IDLE_S,
            )
            self._sessions[scheme] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(sock_connect=self.timeouts.connect, sock_read=self.timeouts.first_byte),
                auto_decompress=False,
                trust_env=False,
                skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            )
        return self._sessions[scheme]

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        return _open(info, allowed(ip_address(info[4][0]), self.networks))

    def _plain_socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        return _open(info, within(ip_address(info[4][0]), self.networks))


@functools.cache
def _trust(ca_file: Path | None) -> ssl.SSLContext:
    """Built once in a process: the system's authorities take a tenth of a second to read."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


@functools.lru_cache(maxsize=4096)
def _wire_url(url: str) -> yarl.URL:
    return yarl.URL(url, encoded=True)


class _OutOfReach(OSError):
    """The guard's no, as the kind of error that a connect may raise."""


def _open(info: aiohttp.AddrInfoType, reached: bool) -> socket.socket:
    """Asked at the last moment, with the address that is connected to: no name can change in between."""
    if not reached:
        raise _OutOfReach(errno.EACCES, "not reached from here")
    return socket.socket(info[0], info[1], info[2])


class _Names(AbstractResolver):
    """Names to internet addresses, remembered for a minute. It judges nothing: the guard does, at connect."""

    def __init__(self, lookup: Lookup | None, timeout: float) -> None:
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="names")
        self._lookup = lookup or self._ask_system
        self._timeout = timeout
        self._known: dict[str, tuple[float, list[str]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        now = time.monotonic()
        until, found = self._known.get(host, (0.0, []))
        if until <= now:
            found = await self._ask(host)
            if len(self._known) >= _MOST_NAMES:
                self._known.clear()
            self._known[host] = (now + _NAMES_KEPT_S, found)
        return [
            ResolveResult(hostname=host, host=ip, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)
            for ip in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, host: str) -> list[str]:
        try:
            async with asyncio.timeout(self._timeout):
                found = await self._lookup(host)
        except TimeoutError:
            raise OSError(errno.ETIMEDOUT, "the name servers do not answer") from None
        if not found:
            raise OSError(errno.ENOENT, "no address under this name")
        return found

    async def _ask_system(self, host: str) -> list[str]:
        loop = asyncio.get_running_loop()
        ask = functools.partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
        rows = await loop.run_in_executor(self._threads, ask)
        return list(dict.fromkeys(str(row[4][0]) for row in rows))


class _Places:
    """At most `each` holders of one host at a time; a host that nobody holds or waits for is forgotten."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._hosts: dict[str, _Place] = {}

    def of(self, host: str) -> _Place:
        return self._hosts.get(host) or self._hosts.setdefault(host, _Place(self._each, self._hosts, host))


class _Place:
    """The places at one host, as a context that waits for a free one."""

    def __init__(self, each: int, hosts: dict[str, _Place], host: str) -> None:
        self._free = asyncio.Semaphore(each)
        self._users = 0
        self._hosts = hosts
        self._host = host

    async def __aenter__(self) -> None:
        self._users += 1
        try:
            await self._free.acquire()
        except BaseException:
            self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._free.release()
        self._leave()

    def _leave(self) -> None:
        self._users -= 1
        if not self._users:
            del self._hosts[self._host]


def _notice(target: Target, headers: Mapping[str, str]) -> None:
    skew.noticed(host_at(target.url), headers.get("date", ""), headers.get("age", ""))


async def _read(answer: aiohttp.ClientResponse, limit: int, cut: bool) -> bytes:
    if not cut and (answer.content_length or 0) > limit:
        raise too_long(f"{answer.content_length} bytes announced by {answer.url}")
    coding = answer.headers.get("Content-Encoding", "")
    return await read_body(answer.content.iter_any(), coding, limit, cut=cut)


def _too_slow(target: Target) -> Unreachable:
    return Unreachable("The other instance took too long to answer.", target.url)


def _explain(error: Exception, target: Target) -> FederationError:
    """Which of the ways to fail it was, in words that tell them apart on an administrator's page."""
    detail = f"{target.url}: {error}"
    match error:
        case aiohttp.ClientConnectorDNSError():
            return Unreachable("The other instance's name leads nowhere.", detail)
        case aiohttp.ClientConnectorCertificateError():
            return Unreachable("The other instance's certificate is not accepted.", detail)
        case aiohttp.ClientSSLError():
            return Unreachable("No TLS connection with the other instance comes about.", detail)
        case aiohttp.ClientConnectorError(os_error=_OutOfReach()):
            return Refused("The address leads into a network that is not reached from here.", detail)
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            return Unreachable("Nothing listens at the other instance's address.", detail)
        case aiohttp.ClientConnectorError():
            return Unreachable("There is no way to the other instance's address.", detail)
        case aiohttp.ConnectionTimeoutError():
            return Unreachable("The other instance did not take the connection in time.", detail)
        case aiohttp.ServerTimeoutError():
            return Unreachable("The other instance took the connection and then fell silent.", detail)
        case aiohttp.ClientPayloadError():
            return Unreachable("The other instance broke off in the middle of its answer.", detail)
        case aiohttp.ClientConnectionError() | OSError():
            return Unreachable("The other instance broke the connection off.", detail)
    return Malformed("The other instance's answer is not HTTP that is read.", detail)
