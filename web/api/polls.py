"""polls/*: how one stands, and a vote in it. A poll has the id of its post."""

from starlette.responses import Response

from server.actions import polls
from server.errors import Conflict, Invalid, NotFound
from server.limits import POLL_OPTIONS_ELSEWHERE
from server.queries import posts
from web.api import present
from web.api.calls import Call, json
from web.api.fields import Fields


async def show(call: Call) -> Response:
    return json(await _shown(call))


async def vote(call: Call) -> Response:
    """Chooses, once; `choices[]` are the answers' places, from 0 on."""
    last = POLL_OPTIONS_ELSEWHERE - 1
    texts = call.fields.texts("choices", POLL_OPTIONS_ELSEWHERE, 4)
    chosen = [Fields({"choices": [text]}).whole("choices", 0, last) or 0 for text in texts]
    await _shown(call)
    try:
        await polls.vote(call.me, call.id(), chosen)
    except Conflict as error:
        raise Invalid(error.sentence) from None  # 422, as clients of the field expect of a second vote
    return json(await _shown(call))


async def _shown(call: Call) -> present.Shape:
    """Raises NotFound, also for a post without a poll."""
    cards = await posts.cards(call.me, [call.id()])
    if not cards or cards[0].poll is None:
        raise NotFound(detail="no such poll")
    return present.poll(cards[0].id, cards[0].poll)
