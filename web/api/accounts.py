"""accounts/*: who somebody is, what they wrote, following them. A space is a group account: to follow is to join."""

from starlette.responses import Response

from server.actions import follows, join_requests, membership
from server.errors import Invalid, NotFound
from server.openness import MemberState
from server.queries import people, posts, spaces, timelines
from server.queries.people import Person
from server.queries.posts import PostCard
from server.queries.spaces import SeenSpace
from server.refusals import N_
from server.viewer import Resident
from web.api import present
from web.api.calls import SLUG, Call, json
from web.api.paging import window
from web.api.timelines import page

MOST_AT_ONCE = 40
NEEDS_HANDLE = N_("« acct » est un nom, tel que alice ou alice@rse.exemple.")


async def verify_credentials(call: Call) -> Response:
    """Who the token speaks for."""
    me = await people.find_by_id(call.me, call.me.actor_id)
    source = {"privacy": "private", "sensitive": False, "language": None, "note": "", "fields": []}
    role = {"id": "0", "name": call.me.office.value, "permissions": "0", "color": "", "highlighted": False}
    return json(_person(call, me) | {"source": source | {"follow_requests_count": 0}, "role": role})


async def show(call: Call) -> Response:
    found = await find(call.me, call.id())
    return json(shape(call, found))


async def lookup(call: Call) -> Response:
    """Somebody, or a space, that is known here by this handle."""
    acct = call.fields.text("acct", 320).removeprefix("@")
    if not SLUG.fullmatch(acct):
        raise Invalid(NEEDS_HANDLE, field="acct")
    return json(shape(call, await find_by_handle(call, acct)))


async def statuses(call: Call) -> Response:
    """What somebody wrote, or what was written in a space, as far as the caller may read."""
    found = await find(call.me, call.id())
    asked = window(call)
    if call.fields.flag("pinned"):
        return page(call, [])
    if isinstance(found, SeenSpace):
        cards = await timelines.of_space(call.me, found.id, asked)
    else:
        cards = await timelines.of_person(call.me, found.card.id, asked)
    return page(call, [card for card in cards if _wanted(call, card)])


async def relationships(call: Call) -> Response:
    """What the caller and each of these are to one another; who may not be known is left out (O28)."""
    told = []
    for actor_id in call.fields.identifiers("id", MOST_AT_ONCE):
        try:
            told.append(await _relationship(call, await find(call.me, actor_id)))
        except NotFound:
            continue
    return json(told)


async def follow(call: Call) -> Response:
    found = await find(call.me, call.id())
    if isinstance(found, SeenSpace):
        await join_requests.join(call.me, found.id)
    else:
        await follows.follow(call.colleague, found.card.id)
    return json(await _relationship(call, await find(call.me, call.id())))


async def unfollow(call: Call) -> Response:
    found = await find(call.me, call.id())
    if isinstance(found, SeenSpace):
        await membership.leave(call.me, found.id)
    else:
        await follows.unfollow(call.colleague, found.card.id)
    return json(await _left(call, found))


async def find(viewer: Resident, actor_id: int) -> Person | SeenSpace:
    """A person or a space by the id of its actor. Raises NotFound."""
    card = (await posts.people([actor_id])).get(actor_id)
    if card is None or card.kind == "application":
        raise NotFound(detail="no such account")
    if card.kind == "group":
        return await spaces.find_by_uri(viewer, card.uri)
    return await people.find_by_id(viewer, actor_id)


async def find_by_handle(call: Call, handle: str) -> Person | SeenSpace:
    """A person, else a space, by `name` or `name@host`. Raises NotFound."""
    name, _, host = handle.partition("@")
    host = "" if host.lower() == call.here.host else host.lower()
    try:
        return await people.find(call.me, name, host)
    except NotFound:
        return await spaces.find(call.me, f"{name}@{host}" if host else name.lower())


def shape(call: Call, found: Person | SeenSpace) -> present.Shape:
    return present.group(found, call.here) if isinstance(found, SeenSpace) else _person(call, found)


def _person(call: Call, person: Person) -> present.Shape:
    counts = {"followers_count": person.followers or 0, "following_count": person.following or 0}
    return present.account(person.card, call.here, note=person.summary) | counts


async def _left(call: Call, found: Person | SeenSpace) -> present.Shape:
    """After leaving a space it may be hidden from whoever left."""
    try:
        return await _relationship(call, await find(call.me, call.id()))
    except NotFound:
        return _relation(call.id())


async def _relationship(call: Call, found: Person | SeenSpace) -> present.Shape:
    if isinstance(found, SeenSpace):
        asked = found.state is MemberState.ASKED
        return _relation(found.actor_id, following=found.state is MemberState.MEMBER, requested=asked)
    relation = await people.relation(call.me, found.card.id)
    return _relation(
        found.card.id,
        following=relation.following == "accepted",
        requested=relation.following == "pending",
        followed_by=relation.followed_by,
    )


def _relation(
    actor_id: int, *, following: bool = False, requested: bool = False, followed_by: bool = False
) -> present.Shape:
    return {
        "id": str(actor_id),
        "following": following,
        "requested": requested,
        "followed_by": followed_by,
        "showing_reblogs": True,
        "notifying": False,
        "blocking": False,
        "blocked_by": False,
        "muting": False,
        "muting_notifications": False,
        "requested_by": False,
        "domain_blocking": False,
        "endorsed": False,
        "note": "",
    }


def _wanted(call: Call, card: PostCard) -> bool:
    if call.fields.flag("exclude_replies") and card.reply_to_id:
        return False
    return bool(card.files) if call.fields.flag("only_media") else True
