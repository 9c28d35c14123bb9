"""Answers by mail: what is refused and with which exit code, what becomes a post, and that it dies with the right."""

from dataclasses import replace

import pytest

from server import database as db
from server.actions.accounts import reinstate, suspend
from server.actions.mails import forget_old_addresses, keep_reply_address
from server.actions.membership import remove
from server.actions.posts import withdraw
from server.actions.spaces import set_openness
from server.ids import ID_BITS
from server.limits import MAIL_ANSWERED_MS, MAIL_BYTES, MAIL_PARTS
from server.mail_tokens import reply_token
from server.openness import Level
from server.settings import Settings
from server.viewer import Operator
from tests.cast import HERE, Cast, enter, guest, say, space
from tests.unit.web.mail.office import ON_SQLITE, Office, address_all, send, text_of
from web.mail.commands import phrase_of
from web.mail.quotations import without_quotations
from web.mail.receiving import Exit, Outcome, receive, token_in

pytestmark = pytest.mark.anyio
REPLIES = "reponse@aubrac.test"
BRUNO = "bruno@courriel.test"
SECRETS = ("rachat", "Direction", "direction", "Alice", "alice")


def written(to: str, text: str = "Oui, demain.", sender: str = BRUNO, **headers: str) -> bytes:
    lines = {"From": sender, "To": to, "Message-ID": "<1@courriel.test>", "Content-Type": "text/plain; charset=utf-8"}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    return "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode() + b"\r\n" + text.encode()


async def reply_to(office: Office, settings: Settings, address: str = BRUNO) -> str:
    """The address under which somebody may answer what they were just written."""
    await send(settings)
    return str(office.messages(address)[-1]["Reply-To"])


async def answers(author_id: int) -> list[str]:
    rows = await db.fetch("SELECT source FROM post WHERE author_id = $1 AND deleted_at IS NULL ORDER BY id", author_id)
    return [row["source"] for row in rows]


async def take(settings: Settings, raw: bytes, **envelope: str) -> Outcome:
    return await receive(settings, HERE, raw, **envelope)


def told(outcome: Outcome) -> str:
    return phrase_of(outcome, "fr")


AUTOMATIC = (
    {"Auto_Submitted": "auto-replied"},
    {"Return_Path": "<>"},
    {"Precedence": "bulk"},
    {"Content_Type": "multipart/report; boundary=x"},
    {"List_Id": "<liste.courriel.test>"},
)
SENDERS = (
    "eve@inconnu.test",
    '"bruno@courriel.test" <eve@inconnu.test>',
    "bruno@courriel.test, eve@inconnu.test",
    "bruno@courriel.test <eve@inconnu.test>",
    "eve@inconnu.test, Bruno <bruno@courriel.test>",
    '"bruno@courriel.test"@inconnu.test',
    "bruno@courriel.test(@inconnu.test)",
    "",
)


@ON_SQLITE
async def test_H16_what_is_no_answer_of_that_person_changes_nothing(
    cast: Cast, office: Office, settings: Settings
) -> None:
    await say(cast.alice, "@bruno un mot")
    to = await reply_to(office, settings)
    for headers in AUTOMATIC:
        assert await take(settings, written(to, **headers)) == Outcome(Exit.TAKEN), headers
    assert await take(settings, written(to), sender="") == Outcome(Exit.TAKEN), "a bounce"
    for sender in SENDERS:
        outcome = await take(settings, written(to, sender=sender))
        assert outcome.code in (Exit.REFUSED, Exit.UNREADABLE), sender
    wrong = to.replace("+", "+aaaa", 1)[:-16] + "@aubrac.test"
    for address in (REPLIES, wrong, f"reponse+{'a' * 26}@aubrac.test", f"x{to}", to.replace("aubrac", "inconnu")):
        assert (await take(settings, written(address))).code is Exit.NOBODY, address
    for text in ("", "   \n\n", "> un mot\n", "-- \nBruno", f"Bonjour Bruno\n{'x' * 50_000}"):
        assert (await take(settings, written(to, text))).code is Exit.UNREADABLE, text[:20]
    assert (await take(settings, b"x" * (MAIL_BYTES + 1))).code is Exit.UNREADABLE
    deep = "".join(f"--b{n}\nContent-Type: multipart/mixed; boundary=b{n + 1}\n\n" for n in range(400))
    nested = written(to, deep, Content_Type="multipart/mixed; boundary=b0")
    assert (await take(settings, nested)).code is Exit.UNREADABLE
    assert await answers(cast.bruno.actor_id) == []


async def test_an_answer_is_a_post_under_its_author_s_name_once(cast: Cast, office: Office, settings: Settings) -> None:
    closed = await space("direction", Level.CLOSED, cast.alice, cast.bruno)
    post = await say(cast.alice, "@bruno un mot", closed)
    to = await reply_to(office, settings)
    text = "Oui, demain.\n\nB.\n\nLe lun. 30 nov. 2026 à 10:00, Parvis <noreply@aubrac.test> a\nécrit :\n> un mot\n"
    raw = written("autre@courriel.test", text, sender='"Keller, Bruno" <BRUNO@courriel.test>', Delivered_To=to.upper())
    for _ in range(2):
        assert await take(settings, raw) == Outcome(Exit.TAKEN)
    (row,) = await db.fetch("SELECT * FROM post WHERE author_id = $1", cast.bruno.actor_id)
    assert (row["source"], row["reply_to_id"], row["space_id"]) == ("Oui, demain.\n\nB.", post, closed)
    await send(settings)
    assert "demain" in text_of(office.messages("alice@courriel.test")[-1]), "and Alice is written to in her turn"
    by_envelope = written("liste@courriel.test", "Encore.", Message_ID="<2@courriel.test>")
    assert (await take(settings, by_envelope)).code is Exit.NOBODY
    assert (await take(settings, by_envelope, recipient=to)).code is Exit.TAKEN
    assert len(await answers(cast.bruno.actor_id)) == 2


@ON_SQLITE
@pytest.mark.parametrize("how", ["narrowed", "put out", "taken back", "suspended", "guests only read"])
async def test_the_address_dies_with_the_right_and_says_so_without_naming_anything(
    cast: Cast, office: Office, settings: Settings, how: str
) -> None:
    gwen = await guest("gwen", "Gwen Le Roux", cast.alice)
    await address_all()
    direction = await space("direction", Level.PARTNERS, cast.alice, gwen)
    post = await say(cast.alice, "@gwen le rachat", direction)
    to = await reply_to(office, settings, "gwen@courriel.test")
    if how == "narrowed":
        await set_openness(cast.alice, direction, Level.INTERNAL)
    elif how == "put out":
        await remove(cast.alice, direction, gwen.actor_id)
        await enter(direction, gwen)  # and comes back before trying
        await db.execute("UPDATE membership SET since_at = 0")
    elif how == "taken back":
        await withdraw(cast.alice, post)
    elif how == "suspended":
        await suspend(Operator(), gwen.account_id)
    else:
        await db.execute("""UPDATE space SET narrowed = '{"guest_member": {"take_part": 1}}'""")
    raw = written(to, sender="gwen@courriel.test")
    for _ in range(2):
        outcome = await take(settings, raw)
        assert outcome.code is Exit.REFUSED
        said = told(outcome)
        assert "est pas publiée" in said, said
        assert not any(secret in said for secret in SECRETS), said
    assert await answers(gwen.actor_id) == []
    if how == "guests only read":
        await db.execute("UPDATE space SET narrowed = '{}'")
        assert (await take(settings, raw)).code is Exit.REFUSED, "it does not come back to life"
    if how == "suspended":
        await reinstate(Operator(), gwen.account_id)
        assert (await take(settings, raw)).code is Exit.REFUSED, "nor with its person"
    if how == "narrowed":
        await set_openness(cast.alice, direction, Level.PARTNERS)
        await enter(direction, gwen)
        await db.execute("UPDATE membership SET since_at = 0")
        assert (await take(settings, raw)).code is Exit.REFUSED, "it does not come back to life"


@ON_SQLITE
async def test_a_narrowing_ends_the_addresses_with_the_rights_in_one_transaction(
    cast: Cast, office: Office, settings: Settings
) -> None:
    """Untried in between, and opened again: they stay dead; those of members live on."""
    team = await space("equipe", Level.INTERNAL, cast.alice, cast.odile)
    post = await say(cast.alice, "@bruno et @odile un mot", team)
    for who in (cast.bruno, cast.odile):
        assert await keep_reply_address(who.account_id, post, reply_token(settings, who.account_id, post))
    await set_openness(cast.alice, team, Level.CLOSED)
    await set_openness(cast.alice, team, Level.INTERNAL)
    outcomes = {}
    for who, name in ((cast.bruno, "bruno"), (cast.odile, "odile")):
        to = f"reponse+{reply_token(settings, who.account_id, post)}@aubrac.test"
        outcomes[name] = (await take(settings, written(to, sender=f"{name}@courriel.test"))).code
    assert outcomes == {"bruno": Exit.REFUSED, "odile": Exit.TAKEN}


async def test_an_address_is_of_one_person_and_one_post_and_its_secret_is_kept_nowhere(
    cast: Cast, office: Office, settings: Settings
) -> None:
    await say(cast.alice, "@bruno et @odile un mot")
    mine = await reply_to(office, settings)
    theirs = str(office.messages("odile@courriel.test")[0]["Reply-To"])
    assert mine != theirs
    assert (await take(settings, written(theirs))).code is Exit.REFUSED
    assert token_in(f"{mine}, {theirs}", REPLIES) == "", "of two, none"
    kept = str(await db.fetch("SELECT * FROM reply_address")) + str(await db.fetch("SELECT * FROM mailbox"))
    assert token_in(mine, REPLIES) not in kept
    (row,) = await db.fetch("SELECT COUNT(*) AS n FROM reply_address WHERE account_id = $1", cast.bruno.account_id)
    assert row["n"] == 1
    await db.execute("UPDATE reply_address SET created_at = 1")
    assert (await take(settings, written(mine))).code is Exit.REFUSED, "after ninety days"
    assert await forget_old_addresses() == 0
    await db.execute("UPDATE reply_address SET id = id - $1", (3 * MAIL_ANSWERED_MS) << ID_BITS)
    assert await forget_old_addresses() == 2
    assert (await take(settings, written(mine))).code is Exit.NOBODY


HTML = (
    "<html><head><style>p{color:red}</style></head><body><p>Oui&nbsp;: <b>demain</b>.<script>alert(1)</script></p>"
    '<p onclick="x()">Bruno</p><div class="gmail_quote"><div class="gmail_attr">On Mon, Alice wrote:<br></div>'
    "<blockquote>le rachat</blockquote></div></body></html>"
)


@ON_SQLITE
async def test_html_alone_is_read_as_text_and_files_are_left_out(
    cast: Cast, office: Office, settings: Settings
) -> None:
    await say(cast.alice, "@bruno un mot")
    to = await reply_to(office, settings)
    assert (await take(settings, written(to, HTML, Content_Type="text/html; charset=utf-8"))).code is Exit.TAKEN
    (first,) = await answers(cast.bruno.actor_id)
    assert first.replace("\u00a0", " ") == "Oui : demain.\n\nBruno"
    parts = "--b\nContent-Type: text/plain\nContent-Disposition: attachment; filename=plan.txt\n\nle plan\n"
    parts += "--b\nContent-Type: text/plain; charset=inconnu\n\nVoici.\n--b--\n"
    raw = written(to, parts, Content_Type="multipart/mixed; boundary=b", Message_ID="<3@courriel.test>")
    assert (await take(settings, raw)).code is Exit.TAKEN
    assert (await answers(cast.bruno.actor_id))[1:] == ["Voici."]
    assert await db.fetch("SELECT * FROM attachment") == []
    many = "--b\nContent-Type: image/png\n\nx\n" * MAIL_PARTS + "--b\nContent-Type: text/plain\n\nVoici.\n--b--\n"
    late = written(to, many, Content_Type="multipart/mixed; boundary=b", Message_ID="<4@courriel.test>")
    assert (await take(settings, late)).code is Exit.UNREADABLE, "so many parts are not looked at"


QUOTED = {
    "Oui.\n\n— Pour répondre, écrivez au-dessus de cette ligne —\nBonjour": "Oui.",
    "Oui.\n> > — To answer, write above this line —\nx": "Oui.",
    "Yes.\nOn Mon, 30 Nov 2026, Parvis wrote:\n> x\n>\n> y": "Yes.",
    "Oui.\n\nEnvoyé de mon iPhone\n\nLe 30 nov. 2026 à 10:00, Parvis a écrit :\n\nx": "Oui.",
    "Oui.\n-- \nBruno Keller\nDirecteur": "Oui.",
    "Oui.\n________________________________\nDe : Parvis\nEnvoyé : lundi\nx": "Oui.",
    "Oui.\n\nDe : Parvis <x@y.z>\nDate : lundi\nÀ : Bruno\n\nx": "Oui.",
    "Le 30 nov., Parvis a écrit :\n> x\n\nOui, dessous.": "Oui, dessous.",
    "De : loin, je dirais oui.\nEt sans doute.": "De : loin, je dirais oui.\nEt sans doute.",
    "Un :\n- deux\n- trois": "Un :\n- deux\n- trois",
}


@pytest.mark.parametrize("text", QUOTED)
def test_what_is_quoted_and_signed_is_cut(text: str) -> None:
    assert without_quotations(text) == QUOTED[text]


@ON_SQLITE
async def test_without_the_setting_there_are_no_answers(cast: Cast, office: Office, settings: Settings) -> None:
    silent = replace(settings, mail_replies=None)
    await say(cast.alice, "@bruno un mot")
    await send(silent)
    (message,) = office.messages(BRUNO)
    assert message["Reply-To"] is None and "répondre" not in text_of(message)
    assert (await receive(silent, HERE, written(REPLIES))).code is Exit.LATER
