"""Files follow the right of the post that carries them (A4, A12)."""

import pytest

from server import database as db
from server.actions.posts import withdraw
from server.actions.spaces import set_openness
from server.clock import now_ms
from server.errors import NotFound, Unavailable
from server.ids import new_id
from server.openness import Level
from server.queries import attachments
from server.viewer import Employee
from tests.cast import KESTREL, Cast, say, space

pytestmark = pytest.mark.anyio


async def attached(owner: Employee, post_id: int | None, state: str = "ready") -> int:
    file_id = new_id()
    row = {"id": file_id, "owner_id": owner.actor_id, "post_id": post_id, "name": "relevés.pdf", "state": state}
    await db.insert("attachment", {**row, "media_type": "application/pdf", "sha256": "a" * 64, "created_at": now_ms()})
    return file_id


async def test_A12_nobody_opens_a_file_of_a_space_they_are_not_in(cast: Cast) -> None:
    cevennes = await space("cevennes", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    file_id = await attached(cast.alice, await say(cast.alice, "Les relevés", cevennes))
    for viewer in (cast.bruno, *cast.outsiders()):
        with pytest.raises(NotFound) as hidden:
            await attachments.find(viewer, file_id)
        with pytest.raises(NotFound) as missing:
            await attachments.find(viewer, 1)
        assert hidden.value.sentence == missing.value.sentence
    for reader in (cast.alice, cast.chloe, cast.kestrel):
        assert (await attachments.find(reader, file_id)).name == "relevés.pdf"


async def test_A12_a_file_closes_with_its_space_and_with_its_post(cast: Cast) -> None:
    team = await space("equipe", Level.INTERNAL, cast.alice)
    post = await say(cast.alice, "Les relevés", team)
    file_id = await attached(cast.alice, post)
    await attachments.find(cast.bruno, file_id)
    await set_openness(cast.alice, team, Level.CLOSED)
    with pytest.raises(NotFound):
        await attachments.find(cast.bruno, file_id)
    await withdraw(cast.alice, post)
    with pytest.raises(NotFound):
        await attachments.find(cast.odile, file_id)


async def test_A4_a_file_that_no_post_carries_is_its_owners_alone(cast: Cast) -> None:
    file_id = await attached(cast.alice, None)
    for viewer in (cast.bruno, cast.odile, cast.chloe, *cast.outsiders()):
        with pytest.raises(NotFound):
            await attachments.find(viewer, file_id)
    await attachments.find(cast.alice, file_id)


async def test_a_file_whose_bytes_are_still_elsewhere_says_so(cast: Cast) -> None:
    post = await say(cast.alice, "Les relevés")
    with pytest.raises(Unavailable):
        await attachments.find(cast.bruno, await attached(cast.alice, post, "waiting"))
    with pytest.raises(NotFound):
        await attachments.find(cast.bruno, await attached(cast.alice, post, "failed"))
