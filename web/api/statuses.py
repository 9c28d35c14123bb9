"""statuses/*: write, read, change, withdraw, thank."""

import hashlib

from starlette.responses import Response

from server import limits
from server.actions import gestures, polls
from server.actions import posts as verbs
from server.actions.poll_rows import NewPoll
from server.errors import Conflict, Invalid, NotFound
from server.openness import Visibility
from server.policy import Act
from server.queries import audience, posts, spaces, threads
from server.queries.posts import PostCard
from server.refusals import N_
from server.text import find_mentions
from web.api import present
from web.api.calls import SLUG, Call, json
from web.api.fields import LARGEST, Fields

UNKNOWN_VISIBILITY = N_("« visibility » est public, colleagues, private ou direct ; « %(given)s » ne convient pas.")
DIRECT_IN_SPACE = N_("Un message direct ne se publie pas dans un espace : choisissez l’un ou l’autre.")
TWO_SPACES = N_("Ce message nomme plusieurs espaces : dites lequel avec « parvis_space ».")
SAME_FILES = N_("Les fichiers d’un message publié ne changent plus : retirez-le et publiez-le de nouveau.")
SAME_POLL = N_("Les choix d’un sondage publié ne changent plus : retirez-le et publiez-le de nouveau.")
SHOWN_TOTALS = N_("Un sondage d’ici montre toujours son décompte : « hide_totals » n’est pas possible.")
LONGEST_SUMMARY = 500

VISIBILITY = {
    "": Visibility.COLLEAGUES,
    "public": Visibility.PUBLIC,
    "colleagues": Visibility.COLLEAGUES,
    "private": Visibility.FOLLOWERS,
    "followers": Visibility.FOLLOWERS,
    "direct": Visibility.DIRECT,
}


async def create(call: Call) -> Response:
    """One of ours writes: in a space, as an answer, or to whom `visibility` says.

    Sent again with the same Idempotency-Key it is the same post, also when both arrive at once.
    """
    draft = await _draft(call)
    try:
        post_id = await verbs.publish(call.me, draft, call.here)
    except Conflict:
        if draft.client_key is None:
            raise
        post_id = await verbs.publish(call.me, draft, call.here)
    return json(await _shown(call, post_id))


async def show(call: Call) -> Response:
    return json(await _shown(call, call.id()))


async def source(call: Call) -> Response:
    """What the author typed, for whoever may change it."""
    card = await _card(call, call.id())
    post = await posts.find(call.me, card.id)
    post.demand(call.me, Act.EDIT_POST)
    return json(present.source(card))


async def edit(call: Call) -> Response:
    """Its author says it better. Files stay as they are."""
    card = await _card(call, call.id())
    if "media_ids" in call.fields and set(_files(call.fields)) != {file.id for file in card.files}:
        raise Invalid(SAME_FILES, field="media_ids")
    _same_poll(call.fields.inside("poll"), card)
    text = call.fields.text("status", limits.SOURCE_BYTES)
    await verbs.edit(call.me, card.id, text, call.here, call.fields.text("language", 16))
    return json(await _shown(call, card.id))


def _same_poll(given: Fields | None, card: PostCard) -> None:
    """Clients send a poll along with an edit of its question. Raises Invalid when it is another one."""
    if given is not None:
        asked = [option.title for option in card.poll.options] if card.poll else []
        if [" ".join(option.split()) for option in _options(given)] != asked:
            raise Invalid(SAME_POLL, field="poll")


async def withdraw(call: Call) -> Response:
    """Takes it back, and gives its text to whoever wants to write it anew."""
    card = await _card(call, call.id())
    await verbs.withdraw(call.me, card.id)
    return json(present.status(card, call.here) | {"text": present.source(card)["text"]})


async def context(call: Call) -> Response:
    """What it answers and what answers it, as far as the caller may read."""
    thread = await threads.around(call.me, call.id())
    return json(
        {
            "ancestors": [present.status(card, call.here) for card in thread.before],
            "descendants": [present.status(card, call.here) for card in thread.after],
        }
    )


async def favourite(call: Call) -> Response:
    """The plain thank-you; twice is once."""
    await gestures.react(call.me, call.id(), present.THANKS)
    return json(await _shown(call, call.id()))


async def unfavourite(call: Call) -> Response:
    await gestures.unreact(call.me, call.id(), present.THANKS)
    return json(await _shown(call, call.id()))


async def _draft(call: Call) -> verbs.Draft:
    fields = call.fields
    text = fields.text("status", limits.SOURCE_BYTES)
    answered = fields.identifier("in_reply_to_id")
    wanted = visibility_of(fields.text("visibility", 20))
    space_id = None if answered else await _space(call, text)
    if space_id is not None and wanted is Visibility.DIRECT:
        raise Invalid(DIRECT_IN_SPACE, field="visibility")
    return verbs.Draft(
        source=text,
        space_id=space_id,
        visibility=wanted,
        reply_to_id=answered,
        file_ids=_files(fields),
        summary=fields.text("spoiler_text", LONGEST_SUMMARY),
        language=fields.text("language", 16),
        poll=_poll(fields.inside("poll")),
        client_key=_key(call.request.headers.get("idempotency-key", "")),
    )


def visibility_of(word: str) -> Visibility:
    """The field's word as ours. `unlisted` is refused: we have no such audience, and choose none in its place."""
    try:
        return VISIBILITY[word]
    except KeyError:
        raise Invalid(UNKNOWN_VISIBILITY, field="visibility", params={"given": word}) from None


async def _space(call: Call, text: str) -> int | None:
    """The space that is meant: by `parvis_space`, or because the text names its actor."""
    slug = call.fields.text("parvis_space", 255)
    if slug:
        return await _named(call, slug)
    handles = find_mentions(text) if "@" in text else []  # parsing costs a millisecond
    found = [await _mentioned(call, handle.name, handle.host) for handle in handles]
    named = {space_id for space_id in found if space_id is not None}
    if len(named) > 1:
        raise Invalid(TWO_SPACES, field="parvis_space")
    return named.pop() if named else None


async def _named(call: Call, slug: str) -> int:
    if not SLUG.fullmatch(slug):
        raise NotFound(detail="not a slug")
    return (await spaces.find(call.me, slug)).id


async def _mentioned(call: Call, name: str, host: str) -> int | None:
    slug = name.lower() if host.lower() in ("", call.here.host) else f"{name}@{host.lower()}"
    try:
        return await _named(call, slug)
    except NotFound:
        return None


def _poll(given: Fields | None) -> NewPoll | None:
    """What a client asks by a poll. Raises Invalid."""
    if given is None:
        return None
    if given.flag("hide_totals"):
        raise Invalid(SHOWN_TOTALS, field="poll")
    options = _options(given)
    return polls.poll_of(options, given.flag("multiple") or False, given.whole("expires_in", 0, LARGEST))


def _options(given: Fields) -> list[str]:
    return given.texts("options", limits.POLL_OPTIONS_ELSEWHERE, limits.POLL_OPTION_CHARACTERS_ELSEWHERE)


def _files(fields: Fields) -> list[int]:
    return fields.identifiers("media_ids", limits.ATTACHMENTS)


def _key(text: str) -> str | None:
    """What makes two sendings one; of any length, so only its digest is kept."""
    return f"api:{hashlib.sha256(text.encode()).hexdigest()}" if text else None


async def _card(call: Call, post_id: int) -> PostCard:
    cards = await posts.cards(call.me, [post_id])
    if not cards:
        raise NotFound(detail="no such post")
    return cards[0]


async def _shown(call: Call, post_id: int) -> present.Shape:
    """One status; its author hears who reads it."""
    card = await _card(call, post_id)
    told = present.status(card, call.here)
    if card.author.id == call.me.actor_id:
        count = await audience.of_post(call.me, await posts.find(call.me, post_id))
        told["parvis_audience"] = present.audience(count)
    return told
