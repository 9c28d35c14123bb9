"""Who comes in and who does not: people, passwords, links, sessions, tokens, and what ends when somebody goes."""

import asyncio
from collections.abc import Iterator

import pytest
from argon2 import extract_parameters

from server import attempts, clock, live
from server import database as db
from server.actions import accounts, signing_in
from server.actions.accounts import Added, NewPerson, add_person
from server.actions.people_import import TableFaults, import_people
from server.attempts import PER_ADDRESS, PER_NAME, PER_NETWORK, TooManyAttempts
from server.clock import now_ms
from server.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, Unauthenticated
from server.ids import Addresses, new_id
from server.openness import Office
from server.queries import accounts as questions
from server.viewer import Anonymous, Employee, Operator
from tests.counting import Statements

pytestmark = pytest.mark.anyio

HERE = Addresses("https://aubrac.test")
OPERATOR = Operator("odile")
PASSWORD = "une longue phrase"
OTHER = "une autre longue phrase"
FROM = "192.0.2.7"


@pytest.fixture(autouse=True)
def opened(database: str) -> None:
    """Every test here has a database of its own."""


@pytest.fixture
def turned() -> Iterator[list[int]]:
    """A clock that stands still; the test adds milliseconds to its one number."""
    moment = [1_750_000_000_000 // attempts.WINDOW_MS * attempts.WINDOW_MS]
    clock.turn(lambda: moment[0])
    yield moment
    clock.turn(None)


async def alice(password: str = PASSWORD, name: str = "alice", office: str = "member") -> Added:
    return await add_person(
        OPERATOR, NewPerson(name, "Alice Fournier", f"{name}@aubrac.test", office, "", password), HERE
    )


def as_viewer(added: Added, office: Office = Office.MEMBER, scopes: frozenset[str] | None = None) -> Employee:
    return Employee(added.account_id, added.actor_id, office, scopes)


async def how_many(table: str) -> int:
    row = await db.fetch_one(f"SELECT COUNT(*) AS n FROM {table}")
    assert row is not None
    return int(row["n"])


# --- adding people --------------------------------------------------------------------------------


async def test_T10_nobody_but_administrators_adds_people() -> None:
    colleague = as_viewer(await alice())
    token = Employee(colleague.account_id, colleague.actor_id, Office.ADMIN, frozenset({"admin"}))
    auditor = Employee(colleague.account_id, colleague.actor_id, Office.AUDITOR)
    for viewer in (colleague, token, auditor):
        with pytest.raises(Forbidden):
            await add_person(viewer, NewPerson("bruno"), HERE)
        with pytest.raises(Forbidden):
            await import_people(viewer, "name\nbruno\n", HERE)
        with pytest.raises(Forbidden):
            await questions.listed(viewer)
    assert await how_many("account") == 1


@pytest.mark.parametrize(
    ("new", "named"),
    [
        (NewPerson(""), "name"),
        (NewPerson("Alice"), "name"),
        (NewPerson("élise"), "name"),
        (NewPerson(".."), "name"),
        (NewPerson("alice."), "name"),
        (NewPerson("a/b"), "name"),
        (NewPerson("a" * 65), "name"),
        (NewPerson("aubrac.test"), "name"),
        (NewPerson("alice", "x" * 201), "display_name"),
        (NewPerson("alice", "a\u202eb"), "display_name"),
        (NewPerson("alice", "a\nb"), "display_name"),
        (NewPerson("alice", email="alice"), "email"),
        (NewPerson("alice", email='"a@b"@c.test'), "email"),
        (NewPerson("alice", email="a@b.test\nbcc: c@d.test"), "email"),
        (NewPerson("alice", office="boss"), "office"),
        (NewPerson("alice", language="de"), "language"),
        (NewPerson("alice", password="court"), "password"),
    ],
)
async def test_H16_what_does_not_fit_is_refused_with_its_field_and_nothing_is_written(
    new: NewPerson, named: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await add_person(OPERATOR, new, HERE)
    assert refused.value.field == named
    assert refused.value.sentence % refused.value.params
    assert await how_many("actor") == 0


async def test_a_name_belongs_to_one_person_or_one_space() -> None:
    await alice()
    space = {"id": new_id(), "uri": HERE.space("atelier"), "kind": "group", "name": "atelier", "created_at": 1}
    await db.insert("actor", space)
    for new in (NewPerson("alice"), NewPerson("atelier"), NewPerson("bruno", email="ALICE@aubrac.test")):
        with pytest.raises(Conflict):
            await add_person(OPERATOR, new, HERE)
    assert await how_many("account") == 1


async def test_of_two_who_take_a_name_at_once_one_gets_it() -> None:
    outcomes = await asyncio.gather(*(alice(password="") for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(outcome, Added) for outcome in outcomes) == 1
    assert all(isinstance(outcome, (Added, DomainError)) for outcome in outcomes)
    assert (await how_many("account"), await how_many("actor")) == (1, 1)


async def test_a_person_is_an_account_and_an_actor_of_ours() -> None:
    added = await alice()
    row = await db.fetch_one("SELECT * FROM actor WHERE id = $1", added.actor_id)
    assert row is not None and row["host"] == "" and row["kind"] == "person"
    assert row["uri"] == "https://aubrac.test/@alice" and row["inbox"] == "https://aubrac.test/@alice/inbox"
    found = await questions.find(OPERATOR, "@Alice")
    assert (found.id, found.email, found.suspended_at) == (added.account_id, "alice@aubrac.test", None)
    with pytest.raises(NotFound):
        await questions.find(OPERATOR, "bruno")
    deed = await db.fetch_one("SELECT act, operator, subject, data FROM audit_entry")
    assert deed is not None and (deed["act"], deed["operator"], deed["subject"]) == ("add_person", "odile", "alice")
    assert PASSWORD not in str(deed)


# --- a table of people ----------------------------------------------------------------------------


async def test_every_fault_of_a_table_is_named_with_line_and_column_and_nobody_is_added() -> None:
    await alice()
    table = (
        'Identifiant;Nom;Courriel\nbruno;"Bruno\nKeller";bruno@aubrac.test\nalice;A;\nÉlise;E;pas une adresse\n'
        "\nchloe;C\nbruno;B;alice@aubrac.test\n"
    )
    with pytest.raises(TableFaults) as refused:
        await import_people(OPERATOR, table, HERE)
    faults = [(fault.line, fault.column, type(fault.error).__name__) for fault in refused.value.faults]
    assert faults == [
        (2, "Nom", "Invalid"),
        (4, "Identifiant", "Conflict"),
        (5, "Identifiant", "Invalid"),
        (5, "Courriel", "Invalid"),
        (7, "", "Invalid"),
        (8, "Identifiant", "Invalid"),
        (8, "Courriel", "Conflict"),
    ]
    assert all(fault.error.sentence % fault.error.params for fault in refused.value.faults)
    assert refused.value.sentence % refused.value.params
    assert await how_many("account") == 1


@pytest.mark.parametrize(
    "table", ["", "\n\n", "nom\nx\n", "name,name\na,b\n", "name,salaire\na,1\n", b"name\n\xff\n", 'name\n"a']
)
async def test_what_is_no_table_of_people_is_refused(table: str | bytes) -> None:
    with pytest.raises(Invalid) as refused:
        await import_people(OPERATOR, table, HERE)
    assert refused.value.field == "file" and refused.value.sentence % refused.value.params


async def test_five_thousand_people_are_added_in_a_few_statements_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [f"p{n},Personne {n},p{n}@aubrac.test" for n in range(5000)]
    with pytest.raises(TableFaults):
        await import_people(OPERATOR, "\n".join(["name,display_name,email", *rows, "P-,x,x"]), HERE)
    assert await how_many("account") == 0
    statements = Statements(monkeypatch)
    added = await import_people(OPERATOR, "\ufeff" + "\n".join(["name,display_name,email", *rows]), HERE)
    assert len(statements.asked) < 100
    assert len(added) == await how_many("account") == await how_many("actor") == 5000


# --- signing in -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bruno", "alice' OR '1'='1", "*)(uid=*", "", "x" * 5000, "\ud800", "\0"])
async def test_W8_whatever_does_not_fit_is_refused_in_the_same_words(name: str) -> None:
    await alice()
    await add_person(OPERATOR, NewPerson("bruno"), HERE)
    with pytest.raises(Unauthenticated) as nobody:
        await signing_in.sign_in(name, PASSWORD, FROM)
    with pytest.raises(Unauthenticated) as wrong:
        await signing_in.sign_in("alice", OTHER, FROM)
    assert str(nobody.value) == str(wrong.value)
    assert await how_many("session") == 0


async def test_W7_refusing_takes_as_long_for_a_known_name_as_for_an_unknown_one(
    hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await alice()
    statements, asked = Statements(monkeypatch), []
    for name in ("alice", "nobody"):
        statements.asked.clear()
        with pytest.raises(Unauthenticated):
            await signing_in.sign_in(name, OTHER, FROM)
        asked.append(list(statements.asked))
    known, unknown = hashed
    assert extract_parameters(known) == extract_parameters(unknown), "the same work"
    assert asked[0] == asked[1]


async def test_alice_signs_in_by_name_or_mail_address_and_is_known_again() -> None:
    added = await alice()
    for name in ("alice", " @Alice ", "ALICE@aubrac.test"):
        signed_in = await signing_in.sign_in(name, PASSWORD, FROM, "Firefox" * 100)
        assert await questions.viewer_of_session(signed_in.token) == as_viewer(added)
        assert signed_in.token not in repr(signed_in)
    assert await db.fetch("SELECT id FROM session WHERE token_hash = $1", signed_in.token) == []
    for raw in ("", "x", signed_in.token + "x", "x" * 501):
        assert await questions.viewer_of_session(raw) == Anonymous()
        assert await questions.find_token(raw) is None


async def test_W9_of_two_hundred_tries_at_once_no_more_than_the_limit_pass(turned: list[int]) -> None:
    counted = attempts.buckets("sign_in", "alice", FROM)
    outcomes = await asyncio.gather(*(attempts.count(counted) for _ in range(200)), return_exceptions=True)
    assert sum(outcome is None for outcome in outcomes) == PER_NAME
    assert all(isinstance(outcome, TooManyAttempts) for outcome in outcomes if outcome is not None)
    with pytest.raises(TooManyAttempts) as refused:
        await signing_in.sign_in("alice", PASSWORD, "198.51.100.1")
    assert 0 < refused.value.retry_after_s <= attempts.WINDOW_MS // 1000 + 1
    assert refused.value.sentence % refused.value.params
    turned[0] += attempts.WINDOW_MS
    await attempts.count(counted)


async def test_W4_changing_the_name_or_the_address_alone_does_not_help(turned: list[int]) -> None:
    for n in range(PER_ADDRESS):
        await attempts.count(attempts.buckets("sign_in", f"name{n}", FROM))
    with pytest.raises(TooManyAttempts):
        await attempts.count(attempts.buckets("sign_in", "another", f"::ffff:{FROM}"))
    for n in range(PER_NETWORK - PER_ADDRESS - 1):
        await attempts.count(attempts.buckets("sign_in", f"more{n}", f"192.0.2.{8 + n % 200}"))
    with pytest.raises(TooManyAttempts):
        await attempts.count(attempts.buckets("sign_in", "another", "192.0.2.250"))
    await attempts.count(attempts.buckets("sign_in", "another", "192.0.3.1"))


async def test_W4_one_household_of_ipv6_is_one_address() -> None:
    for n in range(PER_ADDRESS):
        await attempts.count(attempts.buckets("sign_in", f"name{n}", f"2001:db8:1:1::{n:x}"))
    with pytest.raises(TooManyAttempts):
        await attempts.count(attempts.buckets("sign_in", "another", "2001:db8:1:1:ffff::1"))
    await attempts.count(attempts.buckets("sign_in", "another", "2001:db8:1:2::1"))
    await attempts.count(attempts.buckets("sign_in", "another", "not an address"))


async def test_those_who_succeed_are_not_counted(turned: list[int]) -> None:
    await alice()
    for _ in range(3):
        await signing_in.sign_in("alice", PASSWORD, FROM)
    rows = await db.fetch("SELECT tries FROM attempt")
    assert [row["tries"] for row in rows] == [0, 0, 0]
    turned[0] += attempts.KEPT_MS + attempts.WINDOW_MS
    assert await attempts.sweep() == 3


async def test_a_link_signs_in_once_within_a_day_and_looking_does_not_use_it_up(turned: list[int]) -> None:
    added = await alice(password="")
    with pytest.raises(Forbidden):
        await signing_in.new_sign_in_link(as_viewer(added), added.account_id)
    with pytest.raises(NotFound):
        await signing_in.new_sign_in_link(OPERATOR, 1)
    raw = await signing_in.new_sign_in_link(OPERATOR, added.account_id)
    assert await questions.link_opens_for(raw) == "alice"
    outcomes = await asyncio.gather(
        *(signing_in.sign_in_with_link(raw, FROM) for _ in range(5)), return_exceptions=True
    )
    tokens = [outcome.token for outcome in outcomes if isinstance(outcome, signing_in.SignedIn)]
    assert len(tokens) == 1 and await questions.viewer_of_session(tokens[0]) == as_viewer(added)
    assert await questions.link_opens_for(raw) is None
    late = await signing_in.new_sign_in_link(OPERATOR, added.account_id)
    turned[0] += signing_in.LINK_MS
    with pytest.raises(Unauthenticated):
        await signing_in.sign_in_with_link(late, FROM)
    await signing_in.sweep()
    assert await how_many("sign_in_link") == 0


# --- sessions -------------------------------------------------------------------------------------


async def test_T6_signing_out_ends_this_session_and_no_other() -> None:
    added = await alice()
    here = await signing_in.sign_in("alice", PASSWORD, FROM)
    there = await signing_in.sign_in("alice", PASSWORD, FROM)
    await signing_in.sign_out(here.token)
    await signing_in.sign_out(here.token)
    assert await questions.viewer_of_session(here.token) == Anonymous()
    assert await questions.viewer_of_session(there.token) == as_viewer(added)


async def test_alice_sees_and_ends_her_own_sessions_only() -> None:
    added = await alice()
    bruno = await alice(name="bruno")
    here = await signing_in.sign_in("alice", PASSWORD, FROM, "Firefox")
    there = await signing_in.sign_in("alice", PASSWORD, FROM, "Chromium")
    with pytest.raises(NotFound):
        await signing_in.revoke_session(as_viewer(bruno), there.session_id)
    with pytest.raises(Forbidden):
        await signing_in.revoke_session(as_viewer(added, scopes=frozenset({"write"})), there.session_id)
    listed = await questions.sessions(as_viewer(added), here.token)
    assert {(row.user_agent, row.current) for row in listed} == {("Firefox", True), ("Chromium", False)}
    await signing_in.revoke_session(as_viewer(added), there.session_id)
    assert [row.id for row in await questions.sessions(as_viewer(added), here.token)] == [here.session_id]
    assert await questions.session_id(here.token) == here.session_id
    assert await questions.session_id(there.token) is None


async def test_a_session_is_written_once_a_minute_and_ends_when_nobody_comes(turned: list[int]) -> None:
    await alice()
    signed_in = await signing_in.sign_in("alice", PASSWORD, FROM)
    began = now_ms()

    async def seen_at() -> int:
        await questions.viewer_of_session(signed_in.token)
        row = await db.fetch_one("SELECT seen_at FROM session WHERE id = $1", signed_in.session_id)
        assert row is not None
        return int(row["seen_at"])

    turned[0] += questions.SEEN_MS - 1
    assert await seen_at() == began
    turned[0] += 1
    assert await seen_at() == now_ms()
    turned[0] += questions.SESSION_MS - 1
    assert await seen_at() == now_ms()
    turned[0] += questions.SESSION_MS
    assert await questions.viewer_of_session(signed_in.token) == Anonymous()
    await signing_in.sweep()
    assert await how_many("session") == 0


# --- passwords ------------------------------------------------------------------------------------


async def test_T3_a_changed_password_ends_all_other_sessions_all_tokens_and_links() -> None:
    added = await alice()
    here = await signing_in.sign_in("alice", PASSWORD, FROM)
    there = await signing_in.sign_in("alice", PASSWORD, FROM)
    token = await accounts.issue_token(added.account_id, "read write")
    link = await signing_in.new_sign_in_link(OPERATOR, added.account_id)
    viewer = as_viewer(added)
    with pytest.raises(Invalid) as wrong:
        await signing_in.change_password(viewer, OTHER, OTHER, here.token)
    with pytest.raises(Invalid) as short:
        await signing_in.change_password(viewer, PASSWORD, "court", here.token)
    with pytest.raises(Forbidden):
        await signing_in.change_password(as_viewer(added, scopes=frozenset({"write"})), PASSWORD, OTHER, "")
    assert (wrong.value.field, short.value.field) == ("present", "password")
    assert await questions.find_token(token) and await questions.viewer_of_session(there.token) == viewer
    with live.listening() as listener:
        await signing_in.change_password(viewer, PASSWORD, OTHER, here.token)
        assert (await listener.next()).account_id == added.account_id
    assert await questions.viewer_of_session(here.token) == viewer
    assert await questions.viewer_of_session(there.token) == Anonymous()
    assert await questions.find_token(token) is None
    assert await questions.link_opens_for(link) is None
    with pytest.raises(Unauthenticated):
        await signing_in.sign_in("alice", PASSWORD, FROM)
    await signing_in.sign_in("alice", OTHER, FROM)


async def test_T3_a_password_given_by_an_administrator_ends_every_session() -> None:
    added = await alice()
    here = await signing_in.sign_in("alice", PASSWORD, FROM)
    with pytest.raises(Forbidden):
        await signing_in.set_password(as_viewer(added), added.account_id, OTHER)
    await signing_in.set_password(OPERATOR, added.account_id, OTHER)
    assert await questions.viewer_of_session(here.token) == Anonymous()
    assert not any(OTHER in str(row) for row in await db.fetch("SELECT * FROM audit_entry"))


async def test_guessing_the_present_password_of_an_open_session_is_counted() -> None:
    added = await alice()
    for _ in range(PER_NAME):
        with pytest.raises(Invalid):
            await signing_in.change_password(as_viewer(added), "guess guess", OTHER, "")
    with pytest.raises(TooManyAttempts):
        await signing_in.change_password(as_viewer(added), PASSWORD, OTHER, "")


async def test_who_came_by_a_link_chooses_a_first_password() -> None:
    added = await alice(password="")
    assert not (await questions.own(as_viewer(added))).has_password
    await signing_in.change_password(as_viewer(added), "", OTHER, "")
    assert (await questions.own(as_viewer(added))).has_password
    await signing_in.sign_in("alice", OTHER, FROM)


# --- tokens ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scopes", ["", "root", "read everything", ["read write"], "read " + "write:x" * 40])
async def test_a_token_with_unknown_rights_is_not_issued(scopes: str | list[str]) -> None:
    added = await alice(password="")
    with pytest.raises(Invalid):
        await accounts.issue_token(added.account_id, scopes)
    with pytest.raises(NotFound):
        await accounts.issue_token(1, "read")


async def test_a_token_carries_its_scopes_until_it_is_revoked() -> None:
    added = await alice(password="")
    bruno = await alice(password="", name="bruno")
    first = await accounts.issue_token(added.account_id, "read write:statuses read", "Tus\0ky")
    second = await accounts.issue_token(added.account_id, ["read"])
    assert await questions.find_token(first) == as_viewer(added, scopes=frozenset({"read", "write:statuses"}))
    listed = await questions.tokens(as_viewer(added))
    assert [(row.label, row.scopes) for row in listed] == [("", ("read",)), ("Tusky", ("read", "write:statuses"))]
    with pytest.raises(NotFound):
        await accounts.revoke_token_by_id(as_viewer(bruno), listed[0].id)
    with pytest.raises(Forbidden):
        await accounts.revoke_token_by_id(as_viewer(added, scopes=frozenset({"write"})), listed[0].id)
    await accounts.revoke_token_by_id(as_viewer(added), listed[0].id)
    with live.listening() as listener:
        await accounts.revoke_token(first)
        assert (await listener.next()).kind == "access"
    assert await questions.find_token(first) is None and await questions.find_token(second) is None


# --- going ----------------------------------------------------------------------------------------


async def test_T8_who_is_suspended_is_out_at_once_everywhere() -> None:
    added = await alice()
    session = await signing_in.sign_in("alice", PASSWORD, FROM)
    token = await accounts.issue_token(added.account_id, "read")
    link = await signing_in.new_sign_in_link(OPERATOR, added.account_id)
    space_id = await _space_elsewhere(added.actor_id)
    with live.listening() as listener:
        await accounts.suspend(OPERATOR, added.account_id)
        facts = [await listener.next(), await listener.next()]
    assert {fact.kind for fact in facts} == {"access", "left"}
    assert await questions.viewer_of_session(session.token) == Anonymous()
    assert await questions.find_token(token) is None
    for attempt in (
        signing_in.sign_in("alice", PASSWORD, FROM),
        signing_in.sign_in_with_link(link, FROM),
        accounts.issue_token(added.account_id, "read"),
        signing_in.new_sign_in_link(OPERATOR, added.account_id),
    ):
        with pytest.raises((Unauthenticated, NotFound)):
            await attempt
    assert await how_many("membership") == 0
    event = await db.fetch_one("SELECT kind, space_id, actor_id FROM event")
    assert event == {"kind": "left", "space_id": space_id, "actor_id": added.actor_id}


async def test_T8_sessions_and_tokens_do_not_come_back_with_their_person() -> None:
    added = await alice()
    session = await signing_in.sign_in("alice", PASSWORD, FROM)
    token = await accounts.issue_token(added.account_id, "read")
    await accounts.suspend(OPERATOR, added.account_id)
    await accounts.suspend(OPERATOR, added.account_id)
    await accounts.reinstate(OPERATOR, added.account_id)
    assert await questions.viewer_of_session(session.token) == Anonymous()
    assert await questions.find_token(token) is None
    await signing_in.sign_in("alice", PASSWORD, FROM)


async def test_nobody_suspends_themselves_nor_the_last_administrator() -> None:
    odile = await alice(password="", name="odile", office="admin")
    colleague = await alice(password="")
    with pytest.raises(Forbidden):
        await accounts.suspend(as_viewer(colleague), odile.account_id)
    with pytest.raises(Invalid):
        await accounts.suspend(as_viewer(odile, Office.ADMIN), odile.account_id)
    for refused in (
        accounts.suspend(OPERATOR, odile.account_id),
        accounts.set_office(OPERATOR, odile.account_id, Office.MEMBER),
    ):
        with pytest.raises(Conflict):
            await refused
    with pytest.raises(NotFound):
        await accounts.suspend(OPERATOR, 1)
    await accounts.set_office(OPERATOR, colleague.account_id, Office.ADMIN)
    await accounts.suspend(as_viewer(colleague, Office.ADMIN), odile.account_id)
    assert [row.suspended_at is None for row in await questions.listed(OPERATOR)] == [True, False]


async def _space_elsewhere(member: int) -> int:
    peer = {"id": new_id(), "host": "kestrel.test", "base_url": "https://kestrel.test", "created_at": 1}
    await db.insert("peer", peer)
    group = {"id": new_id(), "uri": "https://kestrel.test/spaces/x", "kind": "group", "name": "x", "created_at": 1}
    await db.insert("actor", {**group, "host": "kestrel.test", "peer_id": peer["id"]})
    space = {"id": new_id(), "actor_id": group["id"], "slug": "x@kestrel.test", "peer_id": peer["id"], "name": "X"}
    await db.insert("space", {**space, "level": "partners", "created_at": 1})
    row = {"id": new_id(), "space_id": space["id"], "actor_id": member, "state": "member", "created_at": 1}
    await db.insert("membership", row)
    return int(str(space["id"]))
