"""Our own API: what scripts need that no client of the field offers."""

from dataclasses import replace
from http import HTTPStatus
from typing import Annotated

from msgspec import Meta
from starlette.responses import Response

from server.actions import membership
from server.actions import moderation as moderating
from server.actions import spaces as verbs
from server.errors import Invalid, NotFound
from server.limits import DISPLAY_NAME_CHARACTERS, SUMMARY_BYTES
from server.openness import Level, Reach, Role
from server.queries import directory, linked, moderation, people, spaces
from server.queries.directory import Member, SpaceRow
from server.queries.linked import as_json
from server.queries.spaces import SeenSpace
from server.refusals import N_
from web.api import present
from web.api.bodies import Body, decode
from web.api.calls import SLUG, Call, json
from web.api.fields import read_body
from web.api.operations import Operation
from web.api.present import Shape, moment
from web.api.search import resolve

PAGE = 100
MOST_PARTNERS = 100
NOBODY = N_("« %(who)s » n’est personne que cette instance connaisse.")

Line = Annotated[str, Meta(max_length=DISPLAY_NAME_CHARACTERS)]
Handle = Annotated[str, Meta(max_length=320)]


class NewSpaceBody(Body, frozen=True):
    """A space that is to be. `owner` is the caller when nobody is named."""

    slug: Annotated[str, Meta(max_length=64)]
    name: Line
    level: Level = Level.CLOSED
    description: Annotated[str, Meta(max_length=SUMMARY_BYTES // 4)] = ""
    owner: Handle = ""
    listed: bool | None = None
    reach: Reach = Reach.INVITED
    partners: Annotated[tuple[Annotated[str, Meta(max_length=255)], ...], Meta(max_length=MOST_PARTNERS)] = ()


class NewMemberBody(Body, frozen=True):
    """Who is to come in: `name`, or `name@host`."""

    who: Handle
    role: Role = Role.MEMBER


async def list_spaces(call: Call) -> Response:
    limit = min(call.fields.whole("limit", 1, 10_000) or PAGE, PAGE)
    rows = await directory.listed(
        call.me, matching=call.fields.text("q", 200), after=call.fields.text("after", 255), limit=limit
    )
    following = rows[-1].space.slug if len(rows) == limit else None
    return json({"spaces": [_row(call, row) for row in rows], "after": following})


async def open_space(call: Call) -> Response:
    body = decode(await read_body(call.request), NewSpaceBody)
    new = verbs.NewSpace(
        slug=body.slug,
        name=body.name,
        level=body.level,
        owner=body.owner,
        description=body.description,
        listed=body.listed,
        reach=body.reach,
        partners=list(dict.fromkeys(body.partners)),
    )
    await verbs.open_space(call.colleague, new, call.here)
    location = {"location": call.here.space(body.slug)}
    return json(await _opened(call, body.slug), HTTPStatus.CREATED, location)


async def _opened(call: Call, slug: str) -> Shape:
    """Whoever opens a space for somebody else may not be able to see it."""
    try:
        return _space(call, await spaces.find(call.me, slug))
    except NotFound:
        return {"slug": slug, "uri": call.here.space(slug)}


async def show_space(call: Call) -> Response:
    return json(_space(call, await spaces.find(call.me, call.handle("slug"))))


async def list_members(call: Call) -> Response:
    """Names, or how many from where, or nothing: what the caller may know."""
    space = await spaces.find(call.me, call.handle("slug"))
    limit = min(call.fields.whole("limit", 1, 10_000) or PAGE, PAGE)
    told = await directory.members(call.me, space, after=call.fields.text("after", 50), limit=limit)
    return json(
        {
            "count": told.count,
            "organisations": [{"host": o.host, "title": o.title, "count": o.count} for o in told.organisations],
            "members": [_member(member) for member in told.people],
            "waiting": [_member(member) for member in told.waiting],
            "after": told.people[-1].cursor if told.more and told.people else None,
        }
    )


async def add_member(call: Call) -> Response:
    """A colleague comes in at once; somebody elsewhere is invited. Doing it again changes nothing."""
    space = await spaces.find(call.me, call.handle("slug"))
    body = decode(await read_body(call.request), NewMemberBody)
    actor_id = await _whom(call, body.who, ask=True)
    state = await membership.add(call.me, space.id, actor_id, body.role)
    return json({"who": body.who, "role": body.role.value, "state": state.value})


async def remove_member(call: Call) -> Response:
    space = await spaces.find(call.me, call.handle("slug"))
    await membership.remove(call.me, space.id, await _whom(call, call.handle("who")))
    return Response(status_code=HTTPStatus.NO_CONTENT)


class RefusalBody(Body, frozen=True):
    """Why a post is not published: its author reads it."""

    reason: Annotated[str, Meta(max_length=2000)]


async def list_waiting(call: Call) -> Response:
    """Posts of people from outside that wait, the oldest first, for those who run the space."""
    space = await spaces.find(call.me, call.handle("slug"))
    found = await moderation.waiting(call.me, space, call.fields.identifier("after"))
    after = str(found[-1].id) if len(found) == moderation.PAGE else None
    return json({"waiting": [present.status(card, call.here) for card in found], "after": after})


async def approve_post(call: Call) -> Response:
    space = await spaces.find(call.me, call.handle("slug"))
    await moderating.approve(call.me, space.id, call.id())
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def refuse_post(call: Call) -> Response:
    space = await spaces.find(call.me, call.handle("slug"))
    body = decode(await read_body(call.request), RefusalBody)
    await moderating.refuse(call.me, space.id, call.id(), body.reason)
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def list_links(call: Call) -> Response:
    """For administrators; their token says so by a scope of its own, which counts here as their whole session."""
    return json({"links": [as_json(one) for one in await linked.every(replace(call.colleague, scopes=None))]})


OPERATIONS = (
    Operation(
        "GET",
        "/spaces",
        list_spaces,
        "listSpaces",
        "Spaces that the caller may find, by name",
        "read:spaces",
        query={"q": "string", "after": "string", "limit": "integer"},
    ),
    Operation(
        "POST",
        "/spaces",
        open_space,
        "openSpace",
        "Open a space",
        "write:spaces",
        body=NewSpaceBody,
        done=HTTPStatus.CREATED,
    ),
    Operation("GET", "/spaces/{slug}", show_space, "showSpace", "One space", "read:spaces"),
    Operation(
        "GET",
        "/spaces/{slug}/members",
        list_members,
        "listMembers",
        "Who is in a space, as far as the caller may know",
        "read:spaces",
        query={"after": "string", "limit": "integer"},
    ),
    Operation(
        "POST",
        "/spaces/{slug}/members",
        add_member,
        "addMember",
        "Bring somebody in, or invite them",
        "write:spaces",
        body=NewMemberBody,
    ),
    Operation(
        "DELETE",
        "/spaces/{slug}/members/{who}",
        remove_member,
        "removeMember",
        "Let somebody go",
        "write:spaces",
        done=HTTPStatus.NO_CONTENT,
    ),
    Operation(
        "GET",
        "/spaces/{slug}/queue",
        list_waiting,
        "listWaitingPosts",
        "Posts that wait to be let through, for those who run the space",
        "read:spaces",
        query={"after": "string"},
    ),
    Operation(
        "POST",
        "/spaces/{slug}/queue/{id}/approve",
        approve_post,
        "approvePost",
        "Let a post through",
        "write:spaces",
        done=HTTPStatus.NO_CONTENT,
    ),
    Operation(
        "POST",
        "/spaces/{slug}/queue/{id}/refuse",
        refuse_post,
        "refusePost",
        "Refuse a post, and tell its author why",
        "write:spaces",
        body=RefusalBody,
        done=HTTPStatus.NO_CONTENT,
    ),
    Operation("GET", "/links", list_links, "listLinks", "Linked instances, for administrators", "admin:read"),
)


async def _whom(call: Call, who: str, *, ask: bool = False) -> int:
    """The actor of a handle, asked for elsewhere when it is new and `ask`. Raises Invalid, naming `who`."""
    handle = who.removeprefix("@")
    name, _, host = handle.partition("@")
    if SLUG.fullmatch(handle):
        host = "" if host.lower() == call.here.host else host.lower()
        try:
            return (await people.find(call.me, name, host)).card.id
        except NotFound:
            found = await resolve(call.request, call.me, handle) if host and ask else None
            if found is not None and found.actor_id is not None:
                return found.actor_id
    raise Invalid(NOBODY, field="who", params={"who": who[:80]})


def _row(call: Call, row: SpaceRow) -> Shape:
    return _space(call, row.space) | {"members": row.members}


def _space(call: Call, space: SeenSpace) -> Shape:
    return {
        "slug": space.slug,
        "uri": space.uri,
        "url": call.here.space(space.slug),
        "host": space.host or call.here.host,
        "name": space.name,
        "description": space.description,
        "level": space.level.value,
        "listed": space.listed,
        "reach": space.reach.value,
        "epoch": space.epoch,
        "created_at": moment(space.created_at),
        "my_state": space.state.value if space.state else None,
        "my_role": space.standing.role.value if space.standing.role else None,
    }


def _member(member: Member) -> Shape:
    return {
        "who": member.person.handle,
        "uri": member.person.uri,
        "name": member.person.display_name or member.person.name,
        "organisation": member.organisation,
        "role": member.role.value,
        "state": member.state.value,
        "since": moment(member.since_at) if member.since_at else None,
    }
