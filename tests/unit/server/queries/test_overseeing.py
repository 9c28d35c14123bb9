"""What only those who look after the instance may ask (A9, A10)."""

import dataclasses

import pytest

from server.actions.audit import note
from server.errors import Forbidden, NotFound, Unauthenticated
from server.openness import Level, LinkState, Office
from server.queries import audit, deliveries, health, links
from server.viewer import Operator
from tests.cast import KESTREL, Cast, employee, say, space

pytestmark = pytest.mark.anyio

QUESTIONS = (links.listed, deliveries.listed, audit.listed, health.overview)


@pytest.mark.parametrize("question", QUESTIONS)
async def test_A9_nobody_but_administrators_is_answered(cast: Cast, question: object) -> None:
    token = dataclasses.replace(cast.odile, scopes=frozenset({"read"}))
    for viewer in (cast.alice, cast.bruno, token, cast.chloe, cast.kestrel, cast.driss, cast.eve):
        with pytest.raises(Forbidden):
            await question(viewer)  # type: ignore[operator]
    with pytest.raises(Unauthenticated):
        await question(cast.web)  # type: ignore[operator]
    await question(cast.odile)  # type: ignore[operator]
    await question(Operator())  # type: ignore[operator]


async def test_an_auditor_reads_the_audit_and_not_the_links(cast: Cast) -> None:
    auditor = await employee("ines", "Inès", Office.AUDITOR)
    await audit.listed(auditor)
    for question in (links.listed, deliveries.listed, health.overview):
        with pytest.raises(Forbidden):
            await question(auditor)


async def test_odile_sees_links_with_their_state_and_no_link_is_not_found(cast: Cast) -> None:
    await space("cevennes", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    (link,) = await links.listed(cast.odile)
    assert (link.host, link.state, link.spaces, link.people) == (KESTREL, LinkState.ACTIVE, 1, 1)
    with pytest.raises(NotFound):
        await links.find(cast.odile, "inconnu.test")


async def test_the_audit_names_who_did_what_and_pages(cast: Cast) -> None:
    cevennes = await space("cevennes", Level.INTERNAL, cast.alice)
    await note(Operator("root"), "close_space", subject="cevennes", space_id=cevennes)
    first, *_ = await audit.listed(cast.odile, limit=1)
    (rest,) = await audit.listed(cast.odile, before=first.id)
    assert (first.by, first.operator, first.space) == ("root", True, "cevennes")
    assert (rest.by, rest.act, rest.data) == ("alice", "open_space", {"level": "internal"})


async def test_the_queue_shows_facts_that_nobody_has_sequenced_yet(cast: Cast) -> None:
    await say(cast.alice, "Bonjour")
    overview = await health.overview(cast.odile)
    assert overview.events.waiting == 1 and overview.deliveries.waiting == 0
    assert overview.peers == {"ok": 2}
    assert await deliveries.listed(cast.odile, state="dead", host=KESTREL) == []
