"""Colleagues, and people elsewhere that this instance has met."""

from starlette.responses import Response

from server.actions import follows
from server.queries import people, timelines
from server.queries.people import Person
from server.queries.timelines import Window
from web.pages import showing
from web.pages.visits import Visit, see


async def listed(visit: Visit) -> Response:
    """`/people`: colleagues by name; with `q`, those elsewhere too."""
    viewer, matching = visit.colleague, visit.query("q")
    if matching:
        found = await people.known(viewer, matching=matching)
    else:
        found = await people.colleagues(viewer, after=visit.query("after"), limit=people.PAGE + 1)
    return await showing.people(visit, found[: people.PAGE], matching=matching, more=len(found) > people.PAGE)


async def show(visit: Visit) -> Response:
    """`/@{name}` and `/@{name@host}`: who somebody is, and what they wrote that the visitor may read."""
    person = await _found(visit)
    posts = await timelines.of_person(visit.viewer, person.card.id, Window(before=visit.cursor("before")))
    return await showing.person(visit, person, posts)


async def follow(visit: Visit) -> Response:
    """`POST /@{name}/follow`."""
    person = await _found(visit)
    await follows.follow(visit.colleague, person.card.id)
    return see(f"/@{person.card.handle}")


async def unfollow(visit: Visit) -> Response:
    """`POST /@{name}/unfollow`."""
    person = await _found(visit)
    await follows.unfollow(visit.colleague, person.card.id)
    return see(f"/@{person.card.handle}")


async def accept_follow(visit: Visit) -> Response:
    """`POST /@{name}/accept-follow`: somebody elsewhere may follow whoever is signed in."""
    return await _decided(visit, accepted=True)


async def decline_follow(visit: Visit) -> Response:
    """`POST /@{name}/decline-follow`."""
    return await _decided(visit, accepted=False)


async def _decided(visit: Visit, *, accepted: bool) -> Response:
    viewer = visit.colleague
    person = await _found(visit)
    await follows.decide(viewer, person.card.id, accepted=accepted)
    return see("/notifications")


async def _found(visit: Visit) -> Person:
    name, _, host = visit.handle("name").partition("@")
    return await people.find(visit.viewer, name, host if host != visit.here.host else "")
