"""People change what is theirs, within what is offered, and with a whole session only."""

import dataclasses

import pytest

from server import database as db
from server.actions.preferences import Preferences, save
from server.actions.reading import read_up_to
from server.errors import DomainError, Forbidden
from server.queries import accounts
from tests.cast import Cast, gather

pytestmark = pytest.mark.anyio


@pytest.fixture
async def cast(database: str) -> Cast:
    return await gather()


@pytest.mark.parametrize(
    "wanted",
    [
        Preferences(""),
        Preferences("A" * 201),
        Preferences("A\u0007"),
        Preferences("Alice", summary="é" * 5001),
        Preferences("Alice", language="de"),
        Preferences("Alice", theme="neon"),
        Preferences("Alice", invitations="never"),
    ],
)
async def test_what_is_not_offered_changes_nothing(cast: Cast, wanted: Preferences) -> None:
    with pytest.raises(DomainError):
        await save(cast.alice, wanted)
    assert (await accounts.own(cast.alice)).display_name == "Alice Fournier"


async def test_a_token_changes_no_settings(cast: Cast) -> None:
    with pytest.raises(Forbidden):
        await save(dataclasses.replace(cast.alice, scopes=frozenset({"write"})), Preferences("Eve"))


async def test_a_new_name_is_told_and_a_new_theme_is_nobodys_business(cast: Cast) -> None:
    await save(cast.alice, Preferences("Alice Fournier", theme="dark"))
    assert await db.fetch("SELECT kind FROM event") == []
    await save(cast.alice, Preferences("Alice F.", "Réseau", "en", "dark", "ask"))
    assert await db.fetch("SELECT kind FROM event") == [{"kind": "person_changed"}]
    mine = await accounts.own(cast.alice)
    assert (mine.display_name, mine.summary, mine.language) == ("Alice F.", "Réseau", "en")
    assert (mine.theme, mine.invitations) == ("dark", "ask")


async def test_the_mark_of_what_was_read_never_moves_back(cast: Cast) -> None:
    await read_up_to(cast.alice, 200)
    await read_up_to(cast.alice, 100)
    assert (await accounts.own(cast.alice)).read_up_to == 200
    assert (await accounts.own(cast.bruno)).read_up_to == 0
