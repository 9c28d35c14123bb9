"""create_app(settings): the only file that knows the routes of all three packages."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import BaseRoute, Mount, Router
from starlette.types import Receive, Scope, Send

from federation import links as meeting
from federation import lookup, mirroring, spaces_elsewhere
from federation import routes as federation
from federation.answering import signer_or
from federation.errors import FederationError
from federation.inbox import Inbox
from federation.instance import Instance, instance_of
from federation.keyring import private_key
from federation.signatures.keys import Algorithm
from federation.worker import Worker
from server import database, schema
from server.errors import DomainError, Invalid, Unavailable
from server.ids import Addresses
from server.openness import MemberState
from server.queries.elsewhere import ShownSpace
from server.refusals import N_
from server.settings import Settings
from server.upkeep import keep_up
from server.viewer import Employee
from web import errors, health, session, static_files
from web import routes as pages
from web.api import routes as api
from web.api.search import Lookup, Resolved
from web.mail.postman import Postman
from web.middleware import Guard
from web.pages.showing import frame

log = logging.getLogger("parvis.web")

NO_INSTANCE = N_("« %(host)s » ne répond pas comme une instance que l’on peut lier : vérifiez l’adresse.")
NO_MIRROR = N_("Ce partenaire ne dit pas maintenant ce qu’il tient de nous : réessayez plus tard.")
ALONE = N_("Cette instance ne parle à aucune autre : « federation » est sur « off » dans ses réglages.")


class Application(Starlette):
    """What other instances deliver goes straight to the inbox: none of what stands before the pages concerns it."""

    inbox: Inbox | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.inbox is not None and self.inbox.takes(scope):
            await self.inbox.answer(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(settings: Settings, *, delivery: bool = True) -> Application:
    """One web process of one instance; with `delivery` it also sends to the others.

    Started on tables of another version it refuses (WrongSchema). What other instances ask stands first and
    outside everything that is made for browsers.
    """
    instance = instance_of(settings)
    handlers: Mapping[Any, Any] = {
        DomainError: errors.refused,
        HTTPException: errors.refused_by_routing,
        Exception: errors.failed,
    }
    inbox = Inbox(instance)
    app = Application(
        routes=[
            *federation.routes(instance, inbox),
            *health.routes(),
            Mount("", Guard(ExceptionMiddleware(Router(for_people()), handlers), settings, for_people())),
        ],
        lifespan=_lifespan,
        exception_handlers=handlers,
    )
    app.inbox = inbox if instance.federates else None
    app.state.instance = instance
    app.state.asking = signer_or(instance, session.viewer_of)
    app.state.lookup = looking_up(instance)
    app.state.linking = Meeting(instance)
    app.state.elsewhere = Elsewhere(instance)
    app.state.keys_of = keys_of(instance)
    app.state.settings = settings
    app.state.here = Addresses(settings.base_url)
    app.state.delivery = delivery
    app.state.error_page = frame.error_page
    app.state.translated = frame.translated
    app.state.spoken = frame.spoken_to
    app.state.worker = None
    return app


def for_people() -> list[BaseRoute]:
    """What people and their tools call: behind the guard, unlike what other instances send."""
    return [*api.routes(), *pages.routes(), static_files.mount()]


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    await schema.refuse_unless_current(settings.database_url)
    await database.connect(settings.database_url)
    try:
        instance: Instance = app.state.instance
        async with _delivering(app, instance):
            yield
        await instance.transport.aclose()
    finally:
        await database.disconnect()


@asynccontextmanager
async def _delivering(app: Starlette, instance: Instance) -> AsyncIterator[None]:
    """The worker and the postman of this process, unless other processes deliver."""
    if not app.state.delivery:
        yield
        return
    async with _background(instance) as (worker, _):
        app.state.worker = worker
        yield


@asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Something that goes on beside the answers, and ends with them."""
    running = asyncio.create_task(work)
    running.add_done_callback(_complain)
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _complain(running: asyncio.Task[None]) -> None:
    """A worker that ends by itself is a fault; `/readyz` says so too."""
    if not running.cancelled() and running.exception() is not None:
        log.error("the worker has stopped", exc_info=running.exception())


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Delivers and sends mail without serving pages, over the open database, until it is told to stop."""
    instance = instance_of(settings)
    stopping = asyncio.create_task(stop.wait())
    try:
        async with _background(instance) as (_, running):
            ended, _ = await asyncio.wait({stopping, *running}, return_when=asyncio.FIRST_COMPLETED)
            for task in ended - {stopping}:
                await task  # a fault, which ends this process
    finally:
        stopping.cancel()
        await instance.transport.aclose()


@asynccontextmanager
async def _background(instance: Instance) -> AsyncIterator[tuple[Worker | None, list[asyncio.Task[None]]]]:
    """What goes on beside the answers: dates that come, deliveries unless nobody is told anything, mail where there is
    a mail server."""
    worker = Worker(instance) if instance.federates else None
    async with AsyncExitStack() as stack:
        running = []
        if instance.settings.mail_server is not None:
            running.append(await stack.enter_async_context(_running(Postman(instance.settings).run())))
        if worker is None:
            running.append(await stack.enter_async_context(_running(keep_up(instance.settings.files_dir))))
        else:
            delivering = await stack.enter_async_context(_running(worker.run()))
            await worker.begun(delivering)
            running.append(delivering)
        yield worker, running


def looking_up(instance: Instance) -> Lookup:
    """How the client API asks other instances, which it does not know itself."""

    async def look_up(viewer: Employee, term: str) -> Resolved:
        if not instance.federates:
            return Resolved()
        try:
            found = await (lookup.find if "://" in term else lookup.find_handle)(instance, term)
        except FederationError:
            return Resolved()
        return Resolved(actor_id=found.id)

    return look_up


def keys_of(instance: Instance) -> Callable[[str], Awaitable[None]]:
    """How a page makes sure that an actor has its keys: before its document is made in a transaction that is undone,
    because they are kept in memory once they are made.
    """

    async def ready(actor_uri: str) -> None:
        for algorithm in ALGORITHMS:
            await private_key(instance, actor_uri, algorithm)

    return ready


ALGORITHMS: tuple[Algorithm, ...] = ("rsa", "ed25519")


class Meeting:
    """How the page of linked instances speaks with the other one, which it does not know itself."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    async def offer(self, viewer: Employee, host: str, until_at: int | None = None) -> None:
        """Proposes a link, until a date if one is given (ms).

        Raises Invalid when nobody is there who can be linked, Unavailable when we are alone.
        """
        if not self._instance.federates:
            raise Unavailable(ALONE)
        try:
            await meeting.offer(self._instance, viewer, host, until_at)
        except FederationError as error:
            raise Invalid(NO_INSTANCE, field="host", params={"host": host[:80]}, detail=str(error)) from error

    async def resume(self, viewer: Employee, host: str) -> bool:
        """Lets a link flow again; False: the words are to be compared first. Raises Unavailable."""
        try:
            return await meeting.resume(self._instance, viewer, host)
        except FederationError as error:
            raise Unavailable(detail=str(error)) from error

    async def words(self, viewer: Employee, host: str) -> list[str]:
        """The six words that both administrators compare. Raises NotFound or Conflict."""
        return await meeting.six_words(self._instance, viewer, host)

    async def mirror(self, peer_id: int) -> dict[str, Any]:
        """What a partner tells that it sees and holds of ours. Raises Unavailable."""
        if not self._instance.federates:
            raise Unavailable(ALONE)
        try:
            return await mirroring.ask(self._instance, peer_id)
        except FederationError as error:
            raise Unavailable(NO_MIRROR, detail=str(error)) from error


class Elsewhere:
    """How a page asks other instances for a space of theirs, and to be let in. Raises NotFound, Unavailable."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    async def look(self, viewer: Employee, slug: str, host: str) -> ShownSpace:
        """What its host shows of it now."""
        return await spaces_elsewhere.look(self._federating(), viewer, slug, host)

    async def ask(self, viewer: Employee, slug: str, host: str) -> MemberState:
        """Asks its host to let somebody in."""
        return await spaces_elsewhere.ask(self._federating(), viewer, slug, host)

    def _federating(self) -> Instance:
        if not self._instance.federates:
            raise Unavailable(ALONE)
        return self._instance
