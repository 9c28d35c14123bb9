"""Our own API as a table: each operation once, for the routes and for the OpenAPI document alike."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.responses import Response

from server.settings import Settings
from web.api.bodies import Body
from web.api.calls import Answer, Call, Endpoint, json

PREFIX = "/api/parvis/v1"
PROBLEMS = {401: "nobody is signed in", 403: "not allowed", 404: "not there", 422: "a value that does not fit"}


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that our own API does. `query`: parameter names, each with its JSON type.

    `headers`: those that it asks for; `answers`: statuses of its own, besides those of every operation.
    """

    method: str
    path: str
    answer: Answer
    name: str
    summary: str
    scope: str
    body: type[Body] | None = None
    query: dict[str, str] = field(default_factory=dict)
    done: HTTPStatus = HTTPStatus.OK
    headers: tuple[str, ...] = ()
    answers: dict[HTTPStatus, str] = field(default_factory=dict)

    def endpoint(self) -> Endpoint:
        return Endpoint(
            self.method, PREFIX + self.path, self.answer, self.scope, reads_body=self.body is None, sessions=True
        )


def document(operations: Sequence[Operation], settings: Settings) -> dict[str, Any]:
    """The OpenAPI 3.1 description."""
    bodies = [operation.body for operation in operations if operation.body]
    schemas, components = msgspec.json.schema_components(bodies, ref_template="#/components/schemas/{name}")
    shapes = dict(zip(bodies, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        shape = shapes.get(operation.body) if operation.body else None
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, shape)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Parvis", "version": "1"},
        "servers": [{"url": settings.base_url + PREFIX}],
        "paths": paths,
        "components": {
            "schemas": components | {"Problem": _PROBLEM},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def describing(operations: Sequence[Operation]) -> Endpoint:
    """The address of the description, for everybody."""

    async def describe(call: Call) -> Response:
        return json(document(operations, call.request.app.state.settings))

    return Endpoint("GET", f"{PREFIX}/openapi.json", describe)


def _described(operation: Operation, shape: dict[str, Any] | None) -> dict[str, Any]:
    in_path = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    parameters = [_parameter(name, "path", "string") for name in in_path]
    parameters += [_parameter(name, "query", kind) for name, kind in operation.query.items()]
    parameters += [_parameter(name, "header", "string") | {"required": True} for name in operation.headers]
    told: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "security": [{"bearer": [operation.scope]}] if operation.scope else [],
        "parameters": parameters,
        "responses": {str(operation.done.value): {"description": operation.done.phrase}}
        | {str(status): _problem(why) for status, why in PROBLEMS.items()}
        | {str(status.value): _answer(status, why) for status, why in operation.answers.items()},
    }
    if shape is not None:
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": shape}}}
    return told


def _parameter(name: str, place: str, kind: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": {"type": kind}}


def _answer(status: HTTPStatus, why: str) -> dict[str, Any]:
    return {"description": why} if status < HTTPStatus.BAD_REQUEST else _problem(why)


def _problem(why: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": why, "content": {"application/problem+json": {"schema": schema}}}


_PROBLEM = {
    "type": "object",
    "description": "RFC 9457; `code` is stable, `detail` is a sentence in the caller's language.",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "field": {"type": "string"},
    },
}
