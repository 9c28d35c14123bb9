"""Writing and reading through the API of the field."""

import asyncio

import pytest

from server import database as db
from server.ids import new_id
from server.openness import Level
from tests import cast as company
from tests.cast import Cast
from tests.unit.web.api.client import Client

pytestmark = pytest.mark.anyio

STATUSES = "/api/v1/statuses"


async def count_posts() -> int:
    row = await db.fetch_one("SELECT COUNT(*) AS n FROM post")
    assert row is not None
    return int(row["n"])


async def test_a_visitor_writes_nothing_and_reads_nothing(visitor: Client, cast: Cast) -> None:
    post_id = await company.say(cast.alice, "pour tous les collègues")
    assert (await visitor("POST", STATUSES, json={"status": "bonjour"})).status_code == 401
    assert (await visitor("GET", f"{STATUSES}/{post_id}")).status_code == 401
    assert await count_posts() == 1


async def test_bruno_gets_the_bytes_of_what_never_was_for_a_post_of_a_closed_space(bruno: Client, cast: Cast) -> None:
    space_id = await company.space("conseil", Level.CLOSED, cast.alice)
    post_id = await company.say(cast.alice, "entre nous", space_id)
    for path in ("", "/context", "/source"):
        hidden = await bruno("GET", f"{STATUSES}/{post_id}{path}")
        unknown = await bruno("GET", f"{STATUSES}/{post_id + 1}{path}")
        assert hidden.status_code == unknown.status_code == 404
        assert (hidden.content, hidden.headers) == (unknown.content, unknown.headers)


@pytest.mark.parametrize("number", ["0", "x", "-1", "9" * 19, "9" * 30, "1e3", "٣", "%00"])
async def test_what_cannot_be_an_id_is_not_found(bruno: Client, number: str) -> None:
    assert (await bruno("GET", f"{STATUSES}/{number}")).status_code == 404


async def test_bruno_changes_and_withdraws_nothing_of_alice(bruno: Client, alice: Client) -> None:
    post = await alice.post(STATUSES, status="à nous tous")
    for method, body in (("PUT", {"status": "autre"}), ("DELETE", None)):
        assert (await bruno(method, f"{STATUSES}/{post['id']}", json=body)).status_code == 403
    assert (await bruno("GET", f"{STATUSES}/{post['id']}/source")).status_code == 403
    assert (await alice.get(f"{STATUSES}/{post['id']}"))["content"] == post["content"]


async def test_bruno_does_not_write_in_a_space_that_he_is_not_in(bruno: Client, cast: Cast) -> None:
    await company.space("chantier", Level.CLOSED, cast.alice)
    answer = await bruno("POST", STATUSES, json={"status": "et moi ?", "parvis_space": "chantier"})
    assert answer.status_code == 403
    assert "membres" in answer.json()["error"]
    named = await bruno("POST", STATUSES, json={"status": "@chantier et moi ?", "visibility": "public"})
    assert named.status_code == 403
    assert await count_posts() == 0


async def test_an_unlisted_space_is_unknown_to_bruno_by_name_too(bruno: Client, cast: Cast) -> None:
    await company.space("rachat", Level.CLOSED, cast.alice, listed=False)
    answer = await bruno("POST", STATUSES, json={"status": "?", "parvis_space": "rachat"})
    unknown = await bruno("POST", STATUSES, json={"status": "?", "parvis_space": "rien"})
    assert answer.status_code == unknown.status_code == 404
    assert answer.content == unknown.content


async def test_alice_writes_in_her_space_and_it_is_private(alice: Client, cast: Cast) -> None:
    await company.space("chantier", Level.INTERNAL, cast.alice)
    by_slug = await alice.post(STATUSES, status="lundi", parvis_space="chantier", visibility="public")
    by_name = await alice.post(STATUSES, status="@chantier mardi")
    assert by_slug["parvis_space"] == by_name["parvis_space"] == "chantier"
    assert by_slug["visibility"] == by_name["visibility"] == "private"
    assert by_slug["uri"] == company.HERE.post(int(by_slug["id"]))


async def test_a_post_of_a_public_space_is_public_but_not_what_was_written_before(alice: Client, cast: Cast) -> None:
    space_id = await company.space("place", Level.INTERNAL, cast.alice)
    before = await alice.post(STATUSES, status="avant", parvis_space="place")
    await db.execute("UPDATE space SET level = 'public', opened_at = 1 WHERE id = $1", space_id)
    after = await alice.post(STATUSES, status="après", parvis_space="place")
    assert (await alice.get(f"{STATUSES}/{before['id']}"))["visibility"] == "private"
    assert after["visibility"] == "public"


@pytest.mark.parametrize(
    ("word", "shown"),
    [("public", "public"), ("colleagues", "private"), ("private", "private"), ("direct", "direct"), (None, "private")],
)
async def test_outside_any_space_the_author_chooses_who_reads(alice: Client, word: str | None, shown: str) -> None:
    post = await alice.post(STATUSES, status="bonjour", **({"visibility": word} if word else {}))
    assert post["visibility"] == shown


@pytest.mark.parametrize("word", ["unlisted", "tous", "PUBLIC", "public\0"])
async def test_a_visibility_that_we_do_not_have_is_refused_and_none_is_chosen_instead(alice: Client, word: str) -> None:
    answer = await alice("POST", STATUSES, json={"status": "bonjour", "visibility": word})
    assert answer.status_code == 422
    assert await count_posts() == 0


async def test_a_direct_message_does_not_go_into_a_space(alice: Client, cast: Cast) -> None:
    await company.space("chantier", Level.INTERNAL, cast.alice)
    answer = await alice("POST", STATUSES, json={"status": "@chantier x", "visibility": "direct"})
    assert answer.status_code == 422


async def test_two_spaces_named_are_refused(alice: Client, cast: Cast) -> None:
    await company.space("un", Level.INTERNAL, cast.alice)
    await company.space("deux", Level.INTERNAL, cast.alice)
    assert (await alice("POST", STATUSES, json={"status": "@un @deux"})).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{",
        b'"x"',
        b'{"status": {"a": 1}}',
        b'{"status": ["a", "b"]}',
        b'{"status": "a\\u0000b"}',
        b'{"status": "   "}',
        b"{}",
        b'{"status": "a", "in_reply_to_id": "x"}',
        b'{"status": "a", "in_reply_to_id": 9223372036854775808}',
        b'{"status": "a", "media_ids": ["1", "2"]}',
        b'{"status": "a", "media_ids": [[1]]}',
        b"[" * 100_000,
        b'{"status": "\xff"}',
    ],
)
async def test_a_body_that_does_not_fit_is_refused_in_one_sentence(alice: Client, body: bytes) -> None:
    answer = await alice("POST", STATUSES, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert set(answer.json()) == {"error"}
    assert await count_posts() == 0


async def test_R4_a_text_is_as_long_as_partners_accept_and_no_longer(alice: Client) -> None:
    assert (await alice("POST", STATUSES, json={"status": "é" * 20_001})).status_code in (413, 422)
    assert (await alice("POST", STATUSES, content=b"x" * (1024 * 1024 + 1))).status_code == 413
    assert (await alice("POST", STATUSES, json={"status": "a", "spoiler_text": "é" * 501})).status_code == 422
    assert await count_posts() == 0


async def test_O28_every_file_of_a_list_is_checked_and_no_value_counts_twice(alice: Client, cast: Cast) -> None:
    theirs = await uploaded(cast.bruno.actor_id)
    mine = await uploaded(cast.alice.actor_id)
    for form in (
        f"status=a&media_ids[]={mine}&media_ids[]={theirs}",
        f"status=a&media_ids[0]={mine}&media_ids={theirs}",
    ):
        assert (await form_of(alice, form)).status_code == 422
    assert (await form_of(alice, "status=a&visibility=direct&visibility=public")).status_code == 422
    assert (await form_of(alice, "status=a&in_reply_to_id=1&in_reply_to_id[]=2")).status_code == 422
    assert await count_posts() == 0
    post = (await form_of(alice, f"status=a&media_ids[]={mine}&media_ids[]={mine}")).json()
    assert [file["id"] for file in post["media_attachments"]] == [str(mine)]


async def form_of(client: Client, form: str):  # type: ignore[no-untyped-def]
    kind = {"content-type": "application/x-www-form-urlencoded"}
    return await client("POST", STATUSES, content=form.encode(), headers=kind)


async def uploaded(owner_id: int) -> int:
    file_id = new_id()
    row = {"id": file_id, "owner_id": owner_id, "name": "plan.pdf", "media_type": "application/pdf", "created_at": 1}
    await db.insert("attachment", row)
    return file_id


async def test_what_clients_send_besides_is_not_looked_at(alice: Client) -> None:
    post = await alice.post(STATUSES, status="bonjour", scheduled_at=None, quote_id="3")
    assert post["poll"] is None


async def test_sent_twice_with_one_key_it_is_one_post(alice: Client, bruno: Client) -> None:
    key = {"idempotency-key": "k" * 300}
    body = {"status": "une fois"}
    first, second = [await alice("POST", STATUSES, json=body, headers=key) for _ in range(2)]
    other = await bruno("POST", STATUSES, json=body, headers=key)
    assert first.json()["id"] == second.json()["id"] != other.json()["id"]
    assert await count_posts() == 2


async def test_sent_at_once_with_one_key_it_is_one_post(alice: Client) -> None:
    key = {"idempotency-key": "ensemble"}
    sent = [alice("POST", STATUSES, json={"status": "une fois"}, headers=key) for _ in range(8)]
    answers = await asyncio.gather(*sent)
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await count_posts() == 1


async def test_a_reply_stands_where_its_parent_does_and_shows_in_the_context(alice: Client, bruno: Client) -> None:
    first = await alice.post(STATUSES, status="une question")
    answer = await bruno.post(STATUSES, status="une réponse", in_reply_to_id=first["id"], visibility="public")
    assert answer["parvis_visibility"] == "colleagues"
    assert answer["in_reply_to_id"] == first["id"]
    below = await alice.get(f"{STATUSES}/{first['id']}/context")
    above = await alice.get(f"{STATUSES}/{answer['id']}/context")
    assert [post["id"] for post in below["descendants"]] == [answer["id"]]
    assert [post["id"] for post in above["ancestors"]] == [first["id"]]


async def test_its_author_changes_it_and_takes_it_back(alice: Client) -> None:
    post = await alice.post(STATUSES, status="demian")
    edited = (await alice("PUT", f"{STATUSES}/{post['id']}", json={"status": "demain"})).json()
    assert "demain" in edited["content"]
    assert edited["edited_at"]
    assert (await alice.get(f"{STATUSES}/{post['id']}/source"))["text"] == "demain"
    assert (await alice("DELETE", f"{STATUSES}/{post['id']}")).json()["text"] == "demain"
    assert (await alice("GET", f"{STATUSES}/{post['id']}")).status_code == 404


async def test_files_of_a_published_post_do_not_change(alice: Client, cast: Cast) -> None:
    file_id = await uploaded(cast.alice.actor_id)
    post = await alice.post(STATUSES, status="plan", media_ids=[str(file_id)])
    path = f"{STATUSES}/{post['id']}"
    assert (await alice("PUT", path, json={"status": "plan 2", "media_ids": []})).status_code == 200
    other = await uploaded(cast.alice.actor_id)
    assert (await alice("PUT", path, json={"status": "plan 3", "media_ids": [str(other)]})).status_code == 422
    kept = await alice("PUT", path, json={"status": "plan 3", "media_ids": [str(file_id)]})
    assert [file["id"] for file in kept.json()["media_attachments"]] == [str(file_id)]


async def test_thanking_twice_is_once_and_can_be_taken_back(alice: Client, bruno: Client) -> None:
    post = await alice.post(STATUSES, status="fini !")
    for _ in range(2):
        thanked = await bruno.post(f"{STATUSES}/{post['id']}/favourite")
    assert (thanked["favourites_count"], thanked["favourited"]) == (1, True)
    seen = await alice.get(f"{STATUSES}/{post['id']}")
    assert (seen["favourites_count"], seen["favourited"]) == (1, False)
    assert (await bruno.post(f"{STATUSES}/{post['id']}/unfavourite"))["favourites_count"] == 0
