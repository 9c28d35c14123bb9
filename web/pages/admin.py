"""What administrators look after: people, deliveries, audit."""

from urllib.parse import urlencode

from starlette.responses import Response

from server.actions import accounts as verbs
from server.actions import deliveries as telling
from server.actions import signing_in
from server.actions.accounts import NewPerson
from server.errors import Conflict, Invalid, NotFound
from server.limits import DISPLAY_NAME_CHARACTERS, EMAIL_CHARACTERS, HANDLE_CHARACTERS
from server.openness import Office
from server.queries import accounts, audit, deliveries, health
from server.queries.offices import demand_administrator
from web.pages import showing
from web.pages.visits import Form, Visit, number, see

HOST_CHARACTERS = 300


async def overview(visit: Visit) -> Response:
    """`/admin`: how the instance fares."""
    return await showing.admin(visit, await health.overview(visit.viewer))


async def people(visit: Visit) -> Response:
    """`/admin/people`: all accounts by name, the suspended too."""
    found = await accounts.listed(visit.viewer, after=visit.query("after"), limit=accounts.PAGE + 1)
    return await showing.admin_people(visit, found[: accounts.PAGE], more=len(found) > accounts.PAGE)


async def add(visit: Visit) -> Response:
    """`POST /admin/people`: adds somebody, and shows the link by which they come in first."""
    viewer, form = visit.colleague, await visit.form()
    try:
        added = await verbs.add_person(viewer, _new(form), visit.here)
    except (Invalid, Conflict) as refused:
        found = await accounts.listed(viewer)
        return await showing.admin_people(visit, found, more=False, refused=refused, new=_new(form.as_typed()))
    return await _with_link(visit, added.account_id, added.name)


def _new(form: Form) -> NewPerson:
    return NewPerson(
        name=form.line("name", HANDLE_CHARACTERS),
        display_name=form.line("display_name", DISPLAY_NAME_CHARACTERS),
        email=form.line("email", EMAIL_CHARACTERS),
        office=form.line("office") or Office.MEMBER.value,
        job=form.line("job", DISPLAY_NAME_CHARACTERS),
        sponsor=form.line("sponsor", HANDLE_CHARACTERS + 1),
        until=form.line("until"),
        organisation=form.line("organisation", DISPLAY_NAME_CHARACTERS),
    )


async def link(visit: Visit) -> Response:
    """`POST /admin/people/{name}/link`: another one-time link, shown once."""
    row = await accounts.find(visit.viewer, visit.handle("name"))
    return await _with_link(visit, row.id, row.name)


async def extend(visit: Visit) -> Response:
    """`POST /admin/people/{name}/extend`: moves the last day of a guest."""
    row, form = await accounts.find(visit.viewer, visit.handle("name")), await visit.form()
    try:
        await verbs.extend_guest(visit.colleague, row.id, form.line("until"))
    except Invalid as refused:
        found, typed = await accounts.listed(visit.colleague), form.as_typed().line("until")
        return await showing.admin_people(visit, found, more=False, refused=refused, extending=(row.id, typed))
    return see("/admin/people")


async def suspend(visit: Visit) -> Response:
    """`POST /admin/people/{name}/suspend`."""
    row = await accounts.find(visit.viewer, visit.handle("name"))
    try:
        await verbs.suspend(visit.colleague, row.id)
    except (Invalid, Conflict) as refused:
        return await showing.admin_people(visit, await accounts.listed(visit.colleague), more=False, refused=refused)
    return see("/admin/people")


async def reinstate(visit: Visit) -> Response:
    """`POST /admin/people/{name}/reinstate`."""
    row = await accounts.find(visit.viewer, visit.handle("name"))
    await verbs.reinstate(visit.colleague, row.id)
    return see("/admin/people")


async def told(visit: Visit) -> Response:
    """`/admin/deliveries`: what was told to other instances, newest first."""
    state = visit.query("state") if visit.query("state") in deliveries.STATES else ""
    found = await deliveries.listed(
        visit.viewer,
        state=state,
        host=visit.query("host"),
        before=visit.cursor("before"),
        limit=deliveries.PAGE + 1,
    )
    return await showing.admin_deliveries(visit, found[: deliveries.PAGE], state, more=len(found) > deliveries.PAGE)


async def retry(visit: Visit) -> Response:
    """`POST /admin/deliveries/retry`: what was put aside waits once more, one delivery or all of one instance."""
    viewer, form = visit.colleague, await visit.form()
    demand_administrator(viewer)
    host = form.line("host", HOST_CHARACTERS).lower()
    if form.has("id"):
        host, count = await telling.retry(viewer, number(form.line("id")))
    elif host:
        count = await telling.retry_all(viewer, host)
    else:
        raise NotFound(detail="neither a delivery nor a host")
    if form.has("back"):
        return see(f"/admin/links/{host}?{urlencode({'again': count})}")
    return see(f"/admin/deliveries?{urlencode({'host': host, 'again': count})}")


async def deeds(visit: Visit) -> Response:
    """`/admin/audit`: who did what, newest first."""
    found = await audit.listed(visit.viewer, before=visit.cursor("before"), limit=audit.PAGE + 1)
    return await showing.admin_audit(visit, found[: audit.PAGE], more=len(found) > audit.PAGE)


async def _with_link(visit: Visit, account_id: int, name: str) -> Response:
    token = await signing_in.new_sign_in_link(visit.colleague, account_id)
    found = await accounts.listed(visit.colleague)
    address = f"{visit.here.base}/login/once/{token}"
    return await showing.admin_people(visit, found, more=False, link=address, whom=name)
