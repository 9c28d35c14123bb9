"""oauth/*: giving a token back. Tokens are made by `parvis token` and in a person's settings."""

from starlette.responses import Response

from server.actions.accounts import revoke_token
from web.api.calls import Call, json
from web.session import MOST_TOKEN_BYTES


async def revoke(call: Call) -> Response:
    """RFC 7009: whoever holds a token may end it; for an unknown one the answer is the same."""
    token = call.fields.text("token", MOST_TOKEN_BYTES)
    if token:
        await revoke_token(token)
    return json({})
