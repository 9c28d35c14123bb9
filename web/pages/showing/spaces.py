"""The directory, a space, its members, what it is for, and how open it is in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from server.actions.moderation import REASON_CHARACTERS
from server.actions.spaces import NewSpace
from server.errors import DomainError
from server.openness import (
    Audience,
    Level,
    Members,
    MemberState,
)
from server.policy import Act
from server.queries import arrivals, directory, moderation, overseeing, spaces
from server.queries.directory import MemberList
from server.queries.overseeing import Glass
from server.queries.people import Person
from server.queries.posts import PostCard
from server.queries.spaces import SeenSpace
from server.viewer import Employee, Resident
from web.locale import Speech
from web.pages.showing.frame import refused_words, show, speech_for
from web.pages.showing.own import status_for
from web.pages.showing.posts import composing_in, shown
from web.pages.showing.rights import row_of
from web.pages.visits import Visit

PAGE = 20


@dataclass(frozen=True, slots=True)
class Tab:
    name: str
    address: str
    words: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What the reader can do about being in a space: at most one of these."""

    may_join: bool = False
    may_ask: bool = False
    invited: bool = False
    asked: bool = False
    may_leave: bool = False


def tabs_of(speaks: Speech, space: SeenSpace) -> list[Tab]:
    """The sections of a space that its reader may open."""
    address = f"/spaces/{space.slug}"
    said = [Tab("feed", address, speaks.gettext("Fil"))]
    if space.rights().members >= Members.COUNT:
        said.append(Tab("members", f"{address}/members", speaks.gettext("Membres")))
    said.append(Tab("about", f"{address}/about", speaks.gettext("À propos")))
    said.append(Tab("openness", f"{address}/openness", speaks.gettext("Ouverture")))
    return said


def standing_of(visit: Visit, space: SeenSpace) -> Standing:
    """Which button the reader gets."""
    if not isinstance(visit.viewer, Resident):
        return Standing()
    if space.state is MemberState.MEMBER:
        return Standing(may_leave=True)
    if space.state is MemberState.INVITED:
        return Standing(invited=True)
    if space.state is MemberState.ASKED:
        return Standing(asked=True)
    if space.may(visit.viewer, Act.JOIN):
        return Standing(may_join=True)
    return Standing(may_ask=bool(space.may(visit.viewer, Act.ASK_TO_JOIN)))


async def listed(visit: Visit, *, matching: str, after: str) -> Response:
    """Mine first, those that invite me before them, then all that may be found."""
    viewer = visit.viewer
    first = not after
    mine = await directory.mine(viewer, matching=matching) if first and isinstance(viewer, Resident) else []
    invited = await directory.invitations(viewer) if first and isinstance(viewer, Resident) and not matching else []
    found = await directory.listed(viewer, matching=matching, after=after, limit=directory.PAGE + 1)
    known = {row.space.id for row in [*mine, *invited]}
    others = [row for row in found[: directory.PAGE] if row.space.id not in known]
    more = f"/spaces?after={found[directory.PAGE - 1].space.slug}" if len(found) > directory.PAGE else ""
    return await show(
        visit,
        "spaces.html",
        "spaces",
        mine=mine,
        invited=invited,
        others=others,
        matching=matching,
        more=more,
        may_open=isinstance(viewer, Employee),
    )


async def new_space(visit: Visit, wanted: NewSpace, refused: DomainError | None = None) -> Response:
    """The form for a new space."""
    words = await refused_words(visit, refused)
    status = status_for(refused)
    levels = [level for level in Level]
    return await show(visit, "space_new.html", "spaces", status=status, wanted=wanted, refused=words, choices=levels)


async def space(visit: Visit, seen: SeenSpace, posts: Sequence[PostCard]) -> Response:
    """What was written in a space, and where one can write."""
    speaks, _ = await speech_for(visit.request, visit.viewer)
    first = visit.cursor("before") is None
    older = f"/spaces/{seen.slug}?before={posts[-1].id}" if len(posts) >= PAGE else ""
    return await show(
        visit,
        "space.html",
        "spaces",
        space=seen,
        tabs=tabs_of(speaks, seen),
        views=[shown(visit, post) for post in posts],
        read_by=await _read_by(seen),
        may_read=bool(seen.may(visit.viewer, Act.READ)),
        standing=standing_of(visit, seen),
        may_count=bool(seen.may(visit.viewer, Act.COUNT_MEMBERS)),
        composing=await composing_in(visit, seen) if first else None,
        older=older,
        held=await moderation.count(visit.viewer, seen),
        partners=await spaces.partners(visit.viewer, seen) if seen.rights().members >= Members.ORGANISATIONS else [],
    )


async def _read_by(seen: SeenSpace) -> list[Glass]:
    """Exceptional readings that are going on: the space's own people see them, and so does whoever reads so."""
    inside = seen.standing.audience in (Audience.STAFF_MEMBER, Audience.GLASS)
    return await overseeing.reading_now(seen.id) if inside and seen.hosted_here else []


async def about(visit: Visit, seen: SeenSpace) -> Response:
    """What a space is for."""
    speaks, _ = await speech_for(visit.request, visit.viewer)
    tabs, standing = tabs_of(speaks, seen), standing_of(visit, seen)
    return await show(visit, "space_about.html", "spaces", space=seen, tabs=tabs, standing=standing)


async def queue(
    visit: Visit,
    seen: SeenSpace,
    found: Sequence[PostCard],
    *,
    more: bool = False,
    refused: DomainError | None = None,
    about: int | None = None,
    reason: str = "",
) -> Response:
    """What waits for those who run a space. `about`: the post that a refusal of ours is about, `reason`: as typed."""
    speaks, _ = await speech_for(visit.request, visit.viewer)
    return await show(
        visit,
        "space_queue.html",
        "spaces",
        status=status_for(refused),
        space=seen,
        tabs=tabs_of(speaks, seen),
        views=[shown(visit, post) for post in found],
        refused=await refused_words(visit, refused),
        about=about if any(post.id == about for post in found) else None,
        reason=reason,
        longest=REASON_CHARACTERS,
        more=f"/spaces/{seen.slug}/queue?after={found[-1].id}" if more else "",
    )


async def guest(visit: Visit, seen: SeenSpace, who: Person) -> Response:
    """Before somebody from outside comes in: what they would have here."""
    speaks, _ = await speech_for(visit.request, visit.viewer)
    arrival = await arrivals.of_guest(visit.viewer, seen, who.card.id)
    words = row_of(speaks, Audience.GUEST_MEMBER, arrival.rights)
    tabs = tabs_of(speaks, seen)
    return await show(
        visit, "space_guest.html", "spaces", space=seen, tabs=tabs, person=who, arrival=arrival, words=words
    )


async def members(
    visit: Visit, seen: SeenSpace, found: MemberList, refused: DomainError | None = None, who: str = ""
) -> Response:
    """Who is in a space, as far as the reader may know; for those who admit, who waits."""
    speaks, _ = await speech_for(visit.request, visit.viewer)
    more = f"/spaces/{seen.slug}/members?after={found.people[-1].cursor}" if found.more else ""
    return await show(
        visit,
        "space_members.html",
        "spaces",
        status=status_for(refused),
        space=seen,
        tabs=tabs_of(speaks, seen),
        found=found,
        standing=standing_of(visit, seen),
        may_invite=seen.hosted_here and bool(seen.may(visit.viewer, Act.INVITE)),
        may_admit=bool(seen.may(visit.viewer, Act.ADMIT_MEMBERS)),
        refused=await refused_words(visit, refused),
        who=who,
        more=more,
    )
