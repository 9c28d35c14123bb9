"""A domain error to a page or to JSON: decided here and only here.

Who calls our own API gets a problem document (RFC 9457) with a stable `code`, who calls the API of the field its
`{"error": …}`, who reads pages a page. What may not be known is answered with exactly the bytes of what never was.
"""

import html
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from server.actions.openness import MANAGED, MOVED
from server.attempts import TooManyAttempts
from server.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, TooLarge, Unauthenticated, Unavailable
from server.refusals import N_

log = logging.getLogger("parvis.web")

OURS = "/api/parvis/"
FIELD = ("/api/", "/oauth/")
DOCUMENTS = ("application/activity+json", "application/ld+json")
BACK_SOON_SECONDS = 5

FAULT = N_("Quelque chose n’a pas fonctionné de notre côté. Rien de ce que vous avez fait n’est perdu à moitié.")
NO_SUCH_METHOD = N_("Cette adresse ne se demande pas de cette façon.")
NOT_UNDERSTOOD = N_("Cette demande n’est pas comprise.")


class Fault(DomainError):
    """What nobody foresaw. `detail` is the request's id, the only thing of it that is shown."""

    default = FAULT


class NoSuchMethod(DomainError):
    """The address is there, but not for this method."""

    default = NO_SUCH_METHOD


class NotUnderstood(DomainError):
    """Not HTTP as we speak it."""

    default = NOT_UNDERSTOOD


class NeedsVersion(DomainError):
    """A change that does not say which version it has seen."""

    default = N_("Dites quelle version vous avez lue, dans l’en-tête If-Match.")


class VersionMoved(Conflict):
    """It is no longer the version that the caller has seen. `params` hold the version."""

    default = MOVED


class ManagedByFile(Conflict):
    """What a file declares is changed there. `params` hold the file."""

    default = MANAGED


ANSWERS: Mapping[type[DomainError], tuple[HTTPStatus, str]] = {
    NotFound: (HTTPStatus.NOT_FOUND, "not_found"),
    TooManyAttempts: (HTTPStatus.TOO_MANY_REQUESTS, "too_many_attempts"),
    Forbidden: (HTTPStatus.FORBIDDEN, "forbidden"),
    Unauthenticated: (HTTPStatus.UNAUTHORIZED, "unauthenticated"),
    Invalid: (HTTPStatus.UNPROCESSABLE_ENTITY, "invalid"),
    VersionMoved: (HTTPStatus.PRECONDITION_FAILED, "version_moved"),
    NeedsVersion: (HTTPStatus.PRECONDITION_REQUIRED, "version_required"),
    ManagedByFile: (HTTPStatus.CONFLICT, "managed_by_file"),
    Conflict: (HTTPStatus.CONFLICT, "conflict"),
    TooLarge: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large"),
    Unavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "unavailable"),
    NoSuchMethod: (HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed"),
    NotUnderstood: (HTTPStatus.BAD_REQUEST, "bad_request"),
    Fault: (HTTPStatus.INTERNAL_SERVER_ERROR, "fault"),
}


async def refused(request: Request, error: Exception) -> Response:
    """The answer to a domain error. An error that nobody foresaw rises."""
    if not isinstance(error, DomainError):
        raise error
    log.info("%s %s: %s", request.method, request.url.path, error)
    return await answer(request, error)


async def refused_by_routing(request: Request, error: Exception) -> Response:
    """What routing and parsing refuse: an address that is not there, a method it does not take, a body too long."""
    if not isinstance(error, HTTPException):
        raise error
    kinds: dict[int, type[DomainError]] = {404: NotFound, 405: NoSuchMethod, 413: TooLarge, 403: Forbidden}
    response = await answer(request, kinds.get(error.status_code, NotUnderstood)(detail=str(error.detail)))
    response.headers.update(error.headers or {})
    return response


async def failed(request: Request, error: Exception) -> Response:
    """The answer to what nobody foresaw: a calm sentence and the id under which the log tells more."""
    number = str(request.scope.get("state", {}).get("request_id", ""))
    log.error("%s %s: a fault, request %s", request.method, request.url.path, number or "-")
    return await answer(request, Fault(detail=number))


async def answer(request: Request, error: DomainError) -> Response:
    """An error as whoever asks reads it best."""
    status, code = _status_of(error)
    sentence = await _sentence(request, error)
    path = request.url.path
    if path.startswith(OURS):
        response = _problem(error, status, code, sentence)
    elif path.startswith(FIELD):
        response = _json({"error": sentence}, status, "application/json")
    elif any(kind in request.headers.get("accept", "") for kind in DOCUMENTS):
        response = _json({"error": code}, status, "application/json")
    else:
        response = await request.app.state.error_page(request, status, sentence, _shown(error))
    response.headers.setdefault("cache-control", "private, no-store")
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["www-authenticate"] = "Bearer"
    if isinstance(error, TooManyAttempts):
        response.headers["retry-after"] = str(error.retry_after_s)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["retry-after"] = str(BACK_SOON_SECONDS)
    return response


def _status_of(error: DomainError) -> tuple[HTTPStatus, str]:
    return next(ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS)


async def _sentence(request: Request, error: DomainError) -> str:
    if error.said is not None:
        return str(await request.app.state.spoken(request, error.said))
    sentence: str = await request.app.state.translated(request, error.sentence)
    sentence = sentence % error.params if error.params else sentence
    if error.enough is None:
        return sentence
    return f"{sentence} {await request.app.state.spoken(request, error.enough)}"


def _shown(error: DomainError) -> str:
    """The only detail that people see: the number of the request that failed."""
    return error.detail if isinstance(error, Fault) else ""


def _problem(error: DomainError, status: HTTPStatus, code: str, sentence: str) -> Response:
    problem: dict[str, Any] = {"type": "about:blank", "title": status.phrase, "status": status.value, "code": code}
    problem["detail"] = sentence
    if error.field:
        problem["field"] = error.field
    if error.steps:
        problem["reason"] = error.detail
        problem["would_change_if"] = [{"step": step, "to": to} for step, to in error.steps]
    if shown := _shown(error):
        problem["request"] = shown
    return _json(problem, status, "application/problem+json")


def _json(value: Any, status: HTTPStatus, media_type: str) -> Response:
    return Response(msgspec.json.encode(value), status, media_type=media_type)


async def untranslated(request: Request, sentence: str) -> str:
    """The sentence as it is written in the code, which is French."""
    return sentence


async def plain_page(request: Request, status: HTTPStatus, sentence: str, number: str) -> Response:
    """A page that needs nothing but itself, for when nothing else works."""
    shown = f"<p><small>{html.escape(number)}</small></p>" if number else ""
    text = (
        '<!doctype html><html lang="fr"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Parvis</title><main><p>{html.escape(sentence)}</p>{shown}"
        '<p><a href="/">Parvis</a></p></main></html>'
    )
    return HTMLResponse(text, status)
