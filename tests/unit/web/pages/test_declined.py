"""Who asked to come into a space and is declined reads so, here and elsewhere, and no more than that."""

import re

import pytest

from server import database as db
from server.actions.join_requests import answered, ask_elsewhere, join
from server.actions.membership import add, leave, remove
from server.actions.spaces import SpaceElsewhere, mirror
from server.openness import Level
from server.queries.notifications import waiting
from tests.cast import KESTREL, Cast, enter, space, stranger
from tests.unit.web.pages.browser import Browser

pytestmark = pytest.mark.anyio
DECLINED = "Votre demande d’entrer dans l’espace a été déclinée"


def notices(page: str) -> list[str]:
    return [" ".join(re.sub(r"<[^>]*>", " ", one).split()) for one in re.findall(r"<li.*?</li>", page, re.DOTALL)]


async def kinds(actor_id: int) -> list[str]:
    rows = await db.fetch("SELECT kind FROM notice WHERE actor_id = $1 ORDER BY id", actor_id)
    return [row["kind"] for row in rows]


async def asked_at_kestrel(cast: Cast) -> str:
    """Bruno asks to come into a space of Kestrel's; the id of his Join."""
    group = await stranger("pose", "Pose secrète", KESTREL)
    await db.execute("UPDATE actor SET kind = 'group' WHERE id = $1", group.actor_id)
    told = SpaceElsewhere(group.actor_id, "pose", KESTREL, "Pose secrète", "Pour les poseurs.", Level.PARTNERS)
    await ask_elsewhere(cast.bruno, await mirror(cast.kestrel, told))
    [row] = await db.fetch("SELECT uri FROM membership WHERE actor_id = $1", cast.bruno.actor_id)
    return str(row["uri"])


async def test_who_asks_for_a_space_here_and_is_declined_reads_so_once(cast: Cast, bruno: Browser) -> None:
    space_id = await space("atelier", Level.CLOSED, cast.alice)
    for times in (1, 2):
        await join(cast.bruno, space_id)
        await remove(cast.alice, space_id, cast.bruno.actor_id)
        page = await bruno.page("/notifications")
        [said] = [one for one in notices(page) if DECLINED in one]
        assert "Atelier" in said and "Alice" not in said and 'href="/spaces/atelier"' in page, times
    english = await bruno.page("/notifications", headers={"accept-language": "en"})
    assert "Your request to come into the space was declined" in english
    assert await kinds(cast.alice.actor_id) == ["request"], "nobody else hears of it"


async def test_who_is_let_in_takes_it_back_or_is_put_out_is_not_declined(cast: Cast) -> None:
    space_id = await space("atelier", Level.CLOSED, cast.alice)
    await join(cast.bruno, space_id)
    await leave(cast.bruno, space_id)
    assert await kinds(cast.bruno.actor_id) == []
    await join(cast.bruno, space_id)
    await add(cast.alice, space_id, cast.bruno.actor_id)
    assert await kinds(cast.bruno.actor_id) == ["member"]
    await remove(cast.alice, space_id, cast.bruno.actor_id)
    assert await kinds(cast.bruno.actor_id) == []


async def test_of_a_space_that_is_hidden_meanwhile_nothing_is_said(cast: Cast, bruno: Browser) -> None:
    space_id = await space("atelier", Level.CLOSED, cast.alice)
    await join(cast.bruno, space_id)
    await remove(cast.alice, space_id, cast.bruno.actor_id)
    await db.execute("UPDATE space SET listed = $1 WHERE id = $2", False, space_id)
    page = await bruno.page("/notifications")
    assert "déclinée" not in page and "Atelier" not in page


async def test_who_asks_elsewhere_and_is_declined_reads_the_address_that_they_asked_for(
    cast: Cast, bruno: Browser
) -> None:
    uri = await asked_at_kestrel(cast)
    await answered(cast.kestrel, uri, accepted=False)
    await db.execute("UPDATE space SET name = 'Rachat', description = 'Rachat'")
    page = await bruno.page("/notifications")
    [said] = [one for one in notices(page) if DECLINED in one]
    assert f"!pose@{KESTREL}" in said and "Rachat" not in page and "secrète" not in page
    assert f'href="/elsewhere?address=%21pose%40{KESTREL}"' in page
    assert await kinds(cast.bruno.actor_id) == ["declined"]


async def test_nobody_declines_what_was_not_asked_of_them(cast: Cast) -> None:
    uri = await asked_at_kestrel(cast)
    for host, join_uri in ((cast.inconnu, uri), (cast.kestrel, "event:7")):
        with pytest.raises(Exception, match="O24"):
            await answered(host, join_uri, accepted=False)
    assert await kinds(cast.bruno.actor_id) == []


async def test_a_person_elsewhere_is_told_by_their_own_instance(cast: Cast) -> None:
    space_id = await space("offre", Level.PARTNERS, cast.alice, partners=(KESTREL,))
    await enter(space_id, cast.chloe, state="asked")
    await remove(cast.alice, space_id, cast.chloe.actor_id)
    assert await db.fetch("SELECT id FROM notice") == []


async def test_it_names_nobody_and_no_space_that_is_not_theirs_to_know(cast: Cast) -> None:
    await answered(cast.kestrel, await asked_at_kestrel(cast), accepted=False)
    [notice] = await waiting(cast.bruno)
    assert (notice.kind, notice.space, notice.by, notice.words) == ("declined", None, None, f"!pose@{KESTREL}")
