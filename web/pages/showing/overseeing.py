"""Every space in figures, and exceptional readings with their reasons."""

from collections.abc import Sequence
from urllib.parse import urlencode

from starlette.responses import Response

from server.errors import DomainError
from server.policy_words import spoken, terms_words
from server.queries.overseeing import Glass, Overseen
from server.queries.policies import Version
from server.space_policy import SpacePolicy
from server.viewer import Employee
from web.pages.showing.frame import refused_words, show, speech_for
from web.pages.showing.opening import VERSIONS, entry, rows_of, told
from web.pages.showing.own import status_for
from web.pages.visits import Visit


async def overseen(visit: Visit, found: Sequence[Overseen], *, more: bool) -> Response:
    """All spaces by slug."""
    onward = f"/admin/spaces?{urlencode({'after': found[-1].slug})}" if more and found else ""
    return await show(visit, "admin_spaces.html", "admin", found=found, onward=onward)


async def overseen_space(visit: Visit, found: Overseen, policy: SpacePolicy, versions: Sequence[Version]) -> Response:
    """One of them: its policy in words, and a page of what changed it."""
    speaks, _ = await speech_for(visit.request, visit.viewer)
    shown = versions[:VERSIONS]
    return await show(
        visit,
        "admin_space.html",
        "admin",
        found=found,
        facts=told(speaks, policy),
        partners=[(one.host, spoken(terms_words(one, policy.reach), speaks)) for one in policy.partners],
        rows=rows_of(speaks, policy),
        history=[entry(speaks, one) for one in shown],
        older=f"/admin/spaces/{found.slug}?before={shown[-1].epoch}" if len(versions) > VERSIONS else "",
    )


async def glasses(
    visit: Visit,
    found: Sequence[Glass],
    *,
    more: bool,
    refused: DomainError | None = None,
    slug: str = "",
    reason: str = "",
) -> Response:
    """Exceptional readings, newest first."""
    older = f"/admin/glass?before={found[-1].id}" if more and found else ""
    may_ask = isinstance(visit.viewer, Employee) and visit.viewer.is_admin
    return await show(
        visit,
        "admin_glass.html",
        "admin",
        status=status_for(refused),
        found=found,
        older=older,
        may_ask=may_ask,
        refused=await refused_words(visit, refused),
        slug=slug or visit.query("space"),
        reason=reason,
    )
