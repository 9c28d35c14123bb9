"""The directory of spaces, a space, its members, what it is for, how open it is."""

from urllib.parse import urlencode

from starlette.responses import Response

from server.actions import join_requests, membership
from server.actions import spaces as verbs
from server.actions.spaces import NewSpace
from server.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, TooLarge
from server.limits import HANDLE_CHARACTERS
from server.openness import Level, MemberState, Reach, Role
from server.policy import Act
from server.queries import audience, directory, people, spaces, timelines
from server.queries.spaces import SeenSpace
from server.queries.timelines import Window
from server.refusals import N_
from server.viewer import Employee, Guest
from web.pages import showing
from web.pages.elsewhere import names_a_space
from web.pages.visits import Form, Visit, number, see

NOBODY = N_("Dites qui : le nom d’un·e collègue, ou nom@instance chez un partenaire.")
UNKNOWN_PERSON = N_("« %(who)s » n’est connu ni ici ni chez une instance liée.")
NAME_CHARACTERS = 200
DESCRIPTION_CHARACTERS = 2000
REFUSALS = (Invalid, Conflict, Forbidden, TooLarge)


async def listed(visit: Visit) -> Response:
    """`/spaces`: mine, those that wait for my answer, and all that I may find; `?part=new` opens one."""
    if visit.part == "new":
        return await new(visit)
    words = visit.query("q").strip()
    if names_a_space(words) and isinstance(visit.viewer, Employee):
        return see(f"/elsewhere?{urlencode({'address': words})}")
    return await showing.spaces(visit, matching=visit.query("q"), after=visit.query("after"))


async def new(visit: Visit) -> Response:
    """`GET /spaces?part=new`: the form for a new space, for colleagues."""
    if isinstance(visit.viewer, Guest):
        raise NotFound(detail="for colleagues")
    return await showing.new_space(visit, NewSpace("", ""))


async def open_space(visit: Visit) -> Response:
    """`POST /spaces`: opens one, whose owner is whoever asks."""
    viewer, form = visit.colleague, await visit.form()
    try:
        wanted = _wanted(form)
        await verbs.open_space(viewer, wanted, visit.here)
    except REFUSALS as refused:
        return await showing.new_space(visit, _wanted(form.as_typed()), refused)
    return see(f"/spaces/{wanted.slug}")


def _wanted(form: Form) -> NewSpace:
    level = form.line("level")
    return NewSpace(
        slug=form.line("slug", HANDLE_CHARACTERS).lower(),
        name=form.line("name", NAME_CHARACTERS),
        description=form.text("description", DESCRIPTION_CHARACTERS),
        level=Level(level) if level in list(Level) else Level.CLOSED,
        listed=form.has("listed") if form.has("listed_shown") else None,
        reach=Reach.EVERYONE if form.line("reach") == Reach.EVERYONE else Reach.INVITED,
        partners=tuple(form.line("partners", 2000).replace(",", " ").split()),
    )


async def show(visit: Visit) -> Response:
    """`/spaces/{slug}`: what was written there; `?part=audience`: who would see what is written now."""
    space = await _found(visit)
    if visit.part == "audience":
        return await showing.audience_line(visit, space, await audience.of_space(visit.viewer, space))
    posts = await timelines.of_space(visit.viewer, space.id, Window(before=visit.cursor("before")))
    return await showing.space(visit, space, posts)


async def about(visit: Visit) -> Response:
    """`/spaces/{slug}/about`: what it is for."""
    return await showing.about(visit, await _found(visit))


async def members(visit: Visit) -> Response:
    """`/spaces/{slug}/members`: as far as the visitor may know."""
    space = await _found(visit)
    space.demand(visit.viewer, Act.COUNT_MEMBERS)
    return await showing.members(visit, space, await directory.members(visit.viewer, space, after=visit.query("after")))


async def add(visit: Visit) -> Response:
    """`POST /spaces/{slug}/members`: a colleague comes in, somebody elsewhere is invited, who asked is admitted."""
    viewer, space, form = visit.me, await _found(visit), await visit.form()
    role = form.line("role")
    try:
        actor_id = form.id("id") or await _actor(visit, form.line("who", 300))
        if not form.has("confirmed") and await _comes_first(visit, space, actor_id):
            return await showing.guest(visit, space, await people.find_by_id(viewer, actor_id))
        await membership.add(viewer, space.id, actor_id, Role(role) if role in list(Role) else Role.MEMBER)
    except (*REFUSALS, NotFound) as refused:
        return await _refused(visit, space, refused, form.as_typed().line("who"))
    return see(f"/spaces/{space.slug}/members")


async def _comes_first(visit: Visit, space: SeenSpace, actor_id: int) -> bool:
    """Whether this is a guest who would be new here: then whoever adds them reads first what they would get."""
    if not space.may(visit.viewer, Act.ADMIT_MEMBERS) or not membership.takes_guests(space):
        return False
    person = await people.find_by_id(visit.viewer, actor_id)
    here = await directory.find_member(visit.viewer, space, actor_id)
    return person.card.until_at is not None and (here is None or here.state is not MemberState.MEMBER)


async def remove(visit: Visit) -> Response:
    """`POST /spaces/{slug}/members/{id}/remove`: lets a member go, declines a request, takes an invitation back."""
    space = await _found(visit)
    try:
        await membership.remove(visit.me, space.id, number(str(visit.request.path_params["id"])))
    except NotFound as gone:  # on a page that shows them still: it has moved on
        return await _refused(visit, space, Conflict(gone.sentence))
    except REFUSALS as refused:
        return await _refused(visit, space, refused)
    return see(f"/spaces/{space.slug}/members")


async def join(visit: Visit) -> Response:
    """`POST /spaces/{slug}/join`: comes in, asks to, or accepts an invitation."""
    space = await _found(visit)
    await join_requests.join(visit.me, space.id)
    return see(f"/spaces/{space.slug}")


async def leave(visit: Visit) -> Response:
    """`POST /spaces/{slug}/leave`: leaves, takes a request back, or declines an invitation."""
    space = await _found(visit)
    try:
        await membership.leave(visit.me, space.id)
    except REFUSALS as refused:
        return await _refused(visit, space, refused)
    return see("/spaces")


async def _found(visit: Visit) -> SeenSpace:
    return await spaces.find(visit.viewer, visit.handle("slug"))


async def _refused(visit: Visit, space: SeenSpace, refused: DomainError, who: str = "") -> Response:
    if not space.may(visit.viewer, Act.COUNT_MEMBERS):
        raise refused
    found = await directory.members(visit.viewer, space)
    return await showing.members(visit, space, found, refused=refused, who=who)


async def _actor(visit: Visit, who: str) -> int:
    """Whom a name means: a colleague, somebody we have met, or somebody that their instance knows."""
    name, _, host = who.strip().removeprefix("@").partition("@")
    if not name:
        raise Invalid(NOBODY, field="who")
    host = "" if host == visit.here.host else host.lower()
    try:
        return (await people.find(visit.me, name, host)).card.id
    except NotFound:
        found = await visit.request.app.state.lookup(visit.colleague, f"{name}@{host}") if host else None
    if found is None or found.actor_id is None:
        raise Invalid(UNKNOWN_PERSON, field="who", params={"who": who[:80]})
    return int(found.actor_id)
