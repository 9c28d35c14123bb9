"""One click ends the mails to one person, and opens nothing."""

from pathlib import Path

import pytest

from server import database as db
from server.mail_tokens import account_of
from server.settings import Settings
from tests.cast import Cast, say
from tests.unit.web.mail.office import ON_SQLITE, Office, send
from tests.unit.web.pages.browser import Browser, application, bare

pytestmark = pytest.mark.anyio


@pytest.fixture
def visitor(database: str, tmp_path: Path, settings: Settings) -> Browser:
    app = application(database, tmp_path)
    app.state.settings = settings
    return Browser(app)


@ON_SQLITE
async def test_the_address_in_a_mail_stops_the_mails_to_its_reader_and_does_nothing_else(
    cast: Cast, office: Office, settings: Settings, visitor: Browser
) -> None:
    await say(cast.alice, "@bruno et @odile un mot")
    await send(settings)
    links = {to: message["List-Unsubscribe"].strip("<>") for to, message in office.taken}
    path = links["bruno@courriel.test"].removeprefix("https://aubrac.test")
    token = path.rpartition("/")[2]
    assert account_of(token) == cast.bruno.account_id
    flipped = token[:-1] + ("a" if token[-1] != "a" else "b")
    others = (flipped, token.replace(str(cast.bruno.account_id), str(cast.odile.account_id)), "1-" + "a" * 26)
    for wrong in others:
        for method in ("GET", "POST"):
            answer = await visitor(method, f"/mail/stop/{wrong}")
            assert answer.status_code == 404
            assert bare(answer.text, wrong) == bare((await visitor(method, "/mail/stop/inconnu")).text, "inconnu")
    assert "Ne plus m’écrire" in await visitor.page(path)
    assert await stopped() == set(), "to look is not to stop"
    await say(cast.alice, "@bruno et @odile encore")
    body = {"List-Unsubscribe": "One-Click"}
    answer = await visitor("POST", path, data=body, headers={"origin": "https://courriel.test"})
    assert answer.status_code == 200 and "nous ne vous écrirons plus" in answer.text
    assert "set-cookie" not in answer.headers
    assert (await visitor("POST", path, data=body)).status_code == 200, "twice is once"
    assert await stopped() == {"bruno"}
    await send(settings)
    assert [len(office.messages(to)) for to in ("bruno@courriel.test", "odile@courriel.test")] == [1, 2]
    await db.execute("UPDATE account SET email = 'autre@courriel.test', mails = 'at_once' WHERE name = 'bruno'")
    assert (await visitor.get(path)).status_code == 404, "T14: with another address it is no longer"


async def stopped() -> set[str]:
    return {row["name"] for row in await db.fetch("SELECT name FROM account WHERE mails = 'never'")}
