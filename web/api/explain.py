"""`GET /api/parvis/v1/explain`: why somebody sees a thing or does not, in words and for programs."""

from starlette.responses import Response

from server.queries import explanations
from web.api.calls import Call, json
from web.api.operations import Operation
from web.locale import choose


async def explain(call: Call) -> Response:
    """`thing` is found by the caller's own right; `as` is whom it is about, the caller when it is not there."""
    fields = call.fields
    told = await explanations.tell(
        call.me,
        fields.text("thing", explanations.MOST_CHARACTERS),
        fields.text("as", 300) or "me",
        fields.text("right", 40),
        call.here,
    )
    default = call.request.app.state.settings.default_language
    speaks = choose(fields.text("language", 8), call.request.headers.get("accept-language", ""), default)
    return json(explanations.as_json(told, speaks), headers={"content-language": speaks.language})


OPERATIONS = (
    Operation(
        "GET",
        "/explain",
        explain,
        "explain",
        "Why somebody sees a thing or does not, and the smallest change after which they would",
        "read:spaces",
        query={"thing": "string", "as": "string", "right": "string", "language": "string"},
    ),
)
