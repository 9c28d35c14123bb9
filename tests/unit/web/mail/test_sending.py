"""Notices by mail, over a real socket: who gets one, what it carries, and once."""

import asyncio
from email.header import decode_header, make_header

import msgspec
import pytest

from server import database as db
from server.actions import mails
from server.actions.gestures import react
from server.actions.join_requests import join
from server.actions.membership import remove
from server.actions.notices import notify, read_all
from server.actions.posts import withdraw
from server.actions.spaces import set_openness
from server.clock import now_ms
from server.openness import Level
from server.queries.mails import standings
from server.settings import Settings
from server.viewer import Operator
from tests.cast import Cast, guest, say, space
from tests.unit.web.mail.office import ON_SQLITE, Office, address_all, html_of, send, settings_for, text_of, time_passes
from web.api.notifications import KINDS
from web.mail.composing import encoded, one_line
from web.mail.postman import Postman
from web.mail.wording import SENTENCES

pytestmark = pytest.mark.anyio
BRUNO, ALICE, GWEN = "bruno@courriel.test", "alice@courriel.test", "gwen@courriel.test"


async def narrow(space_id: int, audience: str, notices: int) -> None:
    narrowed = msgspec.json.encode({audience: {"notices": notices}}).decode()
    await db.execute("UPDATE space SET narrowed = $1 WHERE id = $2", narrowed, space_id)


def test_every_kind_of_notice_has_its_sentence() -> None:
    assert {kind for kinds in KINDS.values() for kind in kinds} == set(SENTENCES)


OUT = {
    "has no address": "UPDATE account SET email = NULL WHERE name = 'bruno'",
    "wants none": "UPDATE account SET mails = 'never' WHERE name = 'bruno'",
    "is suspended": "UPDATE account SET suspended_at = 1 WHERE name = 'bruno'",
    "is a guest whose time is over": "UPDATE account SET office = 'guest', until_at = 1 WHERE name = 'bruno'",
    "has read it": "UPDATE notice SET read_at = 1",
}


async def test_who_is_out_or_has_read_it_is_not_written_to(cast: Cast, office: Office, settings: Settings) -> None:
    for why, change in OUT.items():
        await say(cast.alice, "@bruno un mot")
        await db.execute(change)
        await send(settings)
        assert office.taken == [], why
        await db.execute(
            "UPDATE account SET office = 'member', until_at = NULL, suspended_at = NULL, mails = 'at_once'"
        )
        await address_all()
        await send(settings)
        assert office.taken == [], f"nor afterwards, when it was that somebody {why}"
    await say(cast.alice, "@bruno un mot")
    await read_all(cast.bruno.actor_id)
    await say(cast.alice, "@alice à moi-même")
    await react(cast.alice, await say(cast.bruno, "merci"))
    await send(settings)
    assert office.taken == [], "a gesture alone is no reason to write"
    await say(cast.alice, "@bruno un mot")
    await send(settings)
    assert len(office.messages(BRUNO)) == 1


@ON_SQLITE
@pytest.mark.parametrize("how", ["narrowed", "put out", "taken back"])
async def test_what_is_no_longer_theirs_to_know_is_not_mailed_then_or_later(
    cast: Cast, office: Office, settings: Settings, how: str
) -> None:
    team = await space("equipe", Level.INTERNAL, cast.alice, *([cast.bruno] if how == "put out" else []))
    post = await say(cast.alice, "@bruno un mot", team)
    await time_passes()
    if how == "narrowed":
        await set_openness(cast.alice, team, Level.CLOSED)
    elif how == "put out":
        await remove(cast.alice, team, cast.bruno.actor_id)
    else:
        await withdraw(cast.alice, post)
    await send(settings)
    if how == "narrowed":
        await set_openness(cast.alice, team, Level.INTERNAL)
    await send(settings)
    assert office.taken == []


@ON_SQLITE
async def test_a_mail_carries_as_much_as_the_notices_of_a_space_may(
    cast: Cast, office: Office, settings: Settings
) -> None:
    gwen = await guest("gwen", "Gwen Le Roux", cast.alice)
    await address_all()
    offre = await space("offre", Level.PARTNERS, cast.alice, cast.bruno, gwen)
    for notices, seen in ((0, ""), (1, "Offre"), (2, "Offre Alice rachat")):
        await narrow(offre, "guest_member", notices)
        await say(cast.alice, f"@gwen le rachat {'est long ' * 40} fin", offre)
        await send(settings)
        message = office.messages(GWEN)[-1]
        whole = message["Subject"] + text_of(message) + html_of(message)
        assert "fin" not in text_of(message).split(), "guests have an excerpt at most"
        assert {word for word in ("Offre", "Alice", "rachat") if word in whole} == set(seen.split()), notices
        assert (message["Reply-To"] is not None) == (notices == 2)
        if notices < 2:
            assert message["Subject"] == "Du nouveau pour vous"
    await say(cast.alice, f"@bruno le rachat {'est long ' * 40} fin", offre)
    await send(settings)
    message = office.messages(BRUNO)[-1]
    assert "fin" in text_of(message).split() and "fin</p>" in html_of(message), "colleagues in it have the text"
    assert message["Subject"] == "Alice Fournier a parlé de vous dans l’espace « Offre »"
    team = await space("equipe", Level.INTERNAL, cast.alice)
    await say(cast.alice, "@bruno le rachat", team)
    await send(settings)
    message = office.messages(BRUNO)[-1]
    words = message["Subject"] + text_of(message) + html_of(message)
    assert "Quelque chose vous attend." in words
    assert not any(word in words for word in ("rachat", "Equipe", "Alice"))


@ON_SQLITE
async def test_who_is_declined_is_written_to_as_who_is_let_in(cast: Cast, office: Office, settings: Settings) -> None:
    workshop = await space("atelier", Level.CLOSED, cast.alice)
    await join(cast.bruno, workshop)
    await remove(cast.alice, workshop, cast.bruno.actor_id)
    await notify([cast.bruno.actor_id], "declined", key="declined:7", words="!pose@kestrel.test")  # elsewhere
    await send(settings)
    text = " ".join(text_of(office.messages(BRUNO)[-1]).split())
    assert "Votre demande d’entrer dans l’espace « Atelier » a été déclinée" in text
    assert "l’espace d’une autre instance a été déclinée" in text and "!pose@kestrel.test" in text
    assert "Alice" not in text


@ON_SQLITE
async def test_before_guests_people_have_the_name_that_the_space_gives_them(
    cast: Cast, office: Office, settings: Settings
) -> None:
    gwen = await guest("gwen", "Gwen Le Roux", cast.alice)
    await address_all()
    offre = await space("offre", Level.PARTNERS, cast.alice, gwen)
    await db.execute("UPDATE space SET identity_outside = 'function' WHERE id = $1", offre)
    await db.execute("UPDATE account SET job = 'Acheteuse' WHERE name = 'alice'")
    await say(cast.alice, "@gwen nos conditions", offre)
    await send(settings)
    message = office.messages(GWEN)[0]
    whole = message.as_string() + text_of(message) + html_of(message)
    assert "Acheteuse a parlé de vous" in text_of(message)
    assert "Alice" not in whole and "alice" not in whole and "Fournier" not in whole


async def test_several_notices_are_one_mail_and_one_address_is_not_flooded(
    cast: Cast, office: Office, settings: Settings
) -> None:
    for number in range(3):
        await say(cast.alice, f"@bruno mot {number}")
    postman = Postman(settings)
    assert await postman.step() == 0, "they wait for one another"
    await send(settings)
    (message,) = office.messages(BRUNO)
    assert [f"mot {number}" in text_of(message) for number in range(3)] == [True] * 3
    assert message["Subject"] == "Du nouveau pour vous (3)"
    assert message["Reply-To"] is None and text_of(message).count("reponse+") == 3, "each has an address of its own"
    await say(cast.alice, "@bruno encore")
    await db.execute("UPDATE notice SET mail_due_at = 1 WHERE mail_due_at IS NOT NULL")
    assert await postman.step() == 0, "W6: not so soon after the last one"
    await db.execute("UPDATE mailbox SET not_before_at = 0, sent_that_day = $1", mails.MOST_A_DAY - 1)
    assert await postman.step() == 1
    (box,) = await db.fetch("SELECT not_before_at FROM mailbox")
    assert box["not_before_at"] == mails.morning_after(now_ms()), "W6: that was enough for a day"


@ON_SQLITE
async def test_a_daily_digest_waits_for_the_morning_and_has_the_gestures_too(
    cast: Cast, office: Office, settings: Settings
) -> None:
    await db.execute("UPDATE account SET mails = 'daily', language = 'en'")
    post = await say(cast.bruno, "terminé")
    await react(cast.alice, post, "👍")
    await say(cast.alice, "@bruno un mot")
    (due,) = await db.fetch("SELECT DISTINCT mail_due_at FROM notice")
    assert due["mail_due_at"] == mails.morning_after(now_ms())
    await send(settings)
    (message,) = office.messages(BRUNO)
    assert message["Subject"] == "What is waiting for you (2)"
    assert "Alice Fournier reacted to your post" in text_of(message) and "once a day" in text_of(message)


async def test_I6_what_is_refused_for_now_stays_the_same_mail_and_goes_once(
    cast: Cast, office: Office, settings: Settings
) -> None:
    office.after_data = "451 plus tard"
    await say(cast.alice, "@bruno un mot")
    await time_passes()
    postman = Postman(settings)
    assert await postman.step() == 1
    (box,) = await db.fetch("SELECT claim, attempts, error FROM mailbox")
    assert (box["attempts"], box["error"]) == (1, "451 plus tard")
    assert await postman.step() == 0, "it waits"
    assert [row.state for row in await standings(Operator())] == ["later"]
    await say(cast.alice, "@bruno entre-temps")
    office.after_data = "250 OK"
    await db.execute("UPDATE mailbox SET not_before_at = 0")
    assert await postman.step() == 1
    (first,) = office.messages(BRUNO)
    assert first["Message-ID"] == f"<{box['claim']}@aubrac.test>" and "entre-temps" not in text_of(first)
    await send(settings)
    await send(settings)
    assert ["entre-temps" in text_of(message) for message in office.messages(BRUNO)] == [False, True]
    office.after_data = "451 plus tard"
    await say(cast.alice, "@bruno lu avant le second essai")
    await send(settings)
    await db.execute("UPDATE notice SET read_at = 1")
    office.after_data = "250 OK"
    await send(settings)
    assert len(office.messages(BRUNO)) == 2


async def test_I6_of_two_that_send_at_once_each_mail_is_sent_by_one(
    cast: Cast, office: Office, settings: Settings
) -> None:
    await say(cast.alice, "@bruno et @odile un mot")
    await say(cast.bruno, "@alice un mot")
    await time_passes()
    postmen = [Postman(settings) for _ in range(3)]
    done = await asyncio.gather(*(postman.step() for postman in postmen))
    assert sum(done) == 3
    assert sorted(recipient.partition("@")[0] for recipient, _ in office.taken) == ["alice", "bruno", "odile"]


async def test_what_is_refused_for_good_is_put_aside_until_an_operator_says_so(
    cast: Cast, office: Office, settings: Settings
) -> None:
    office.refusals[BRUNO] = "550 personne de ce nom"
    await say(cast.alice, "@bruno et @odile un mot")
    await send(settings)
    assert len(office.messages("odile@courriel.test")) == 1, "others are written to"
    await say(cast.alice, "@bruno encore")
    office.refusals.clear()
    await send(settings)
    assert office.messages(BRUNO) == []
    (row,) = await standings(Operator(), aside_only=True)
    assert (row.name, row.state, row.error) == ("bruno", "aside", "550 personne de ce nom")
    assert await mails.retry("bruno") == 1
    await say(cast.alice, "@bruno de nouveau")
    await send(settings)
    (message,) = office.messages(BRUNO)
    assert "de nouveau" in text_of(message) and "encore" not in text_of(message)


async def test_without_a_mail_server_nothing_is_lost_until_it_is_a_week_old(
    cast: Cast, office: Office, settings: Settings
) -> None:
    await say(cast.alice, "@bruno un mot")
    await time_passes()
    nobody = settings_for(office, settings.database_url, settings.data_dir, smtp_url="smtp://127.0.0.1:9")
    postman = Postman(nobody)
    assert await postman.step() == 0
    assert await db.fetch("SELECT * FROM mailbox") == [], "nothing was taken that could not be sent"
    await say(cast.alice, "@odile un mot")
    await db.execute(
        "UPDATE notice SET created_at = $1 WHERE key LIKE 'post:%' AND actor_id = $2", 1, cast.bruno.actor_id
    )
    await send(settings)
    assert [recipient for recipient, _ in office.taken] == ["odile@courriel.test"]


@ON_SQLITE
async def test_no_name_writes_a_header(cast: Cast, office: Office, settings: Settings) -> None:
    await space("offre", Level.PARTNERS, cast.alice, cast.bruno)
    await db.execute("UPDATE space SET name = 'Offre' || $1", "\r\nBcc: eve@inconnu.test\r\n\r\nx")
    await db.execute(
        "UPDATE actor SET display_name = 'Alice' || $1 WHERE name = 'alice'", "\u202e\r\nBcc: eve@inconnu.test"
    )
    (row,) = await db.fetch("SELECT id FROM space")
    await say(cast.alice, "@bruno un mot", row["id"])
    await send(settings)
    (message,) = office.messages(BRUNO)
    assert message["Bcc"] is None and message["Cc"] is None
    assert message["Subject"].startswith("Alice Bcc: eve@inconnu.test a parlé de vous")
    disguised = "=?utf-8?q?Alice=E2=80=AE?= wrote"
    assert str(make_header(decode_header(encoded("Subject", disguised)))) == disguised
    assert one_line("a\x00b\u2028c\u202ed") == "a b c d"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
