"""What we answer to whom: nothing to those it is not for, in the same bytes as for what never was."""

import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from federation import reading
from federation.answering import accepts_activity
from federation.composing import Receiver, compose
from federation.outbox import sequence_waiting
from server import database as db
from server.actions import follows, membership
from server.actions.arriving import Arrived, receive
from server.actions.erasing import erase
from server.actions.gestures import react, unreact
from server.actions.posts import Draft, publish, withdraw
from server.actions.spaces import SpaceElsewhere, mirror, set_openness
from server.clock import now_ms
from server.events import Kind
from server.ids import new_id
from server.openness import History, Level, Reach, Visibility
from server.viewer import Operator
from tests.cast import HERE, INCONNU, KESTREL, Cast, enter, gather, say, space
from tests.unit.federation.asking import ACTIVITY, PAGE, Asking, asking, introduce, same

pytestmark = pytest.mark.anyio
ASKERS = [None, INCONNU, KESTREL]
NEVER = 4_000_000_000_000_000


@pytest.fixture
async def cast(database: str) -> Cast:
    return await gather()


@pytest.fixture
async def ask(cast: Cast, tmp_path: Path) -> AsyncIterator[Asking]:
    """Where only links federate: kestrel's is active, inconnu has none."""
    async with asking(tmp_path, "linked", KESTREL, INCONNU) as found:
        yield found


@pytest.fixture
async def open_ask(cast: Cast, tmp_path: Path) -> AsyncIterator[Asking]:
    async with asking(tmp_path, "open", KESTREL, INCONNU) as found:
        yield found


async def event_of(post_id: int, kind: Kind = Kind.POST_PUBLISHED) -> int:
    row = await db.fetch_one("SELECT MAX(id) AS id FROM event WHERE post_id = $1 AND kind = $2", post_id, kind.value)
    assert row is not None
    return int(row["id"])


async def another_partner() -> str:
    """A second linked instance, which must not hear of the first."""
    now, peer_id, host = now_ms(), new_id(), "corvus.test"
    await db.insert("peer", {"id": peer_id, "host": host, "base_url": f"https://{host}", "created_at": now})
    link = {"id": new_id(), "peer_id": peer_id, "state": "active", "active_at": now}
    await db.insert("link", {**link, "created_at": now, "changed_at": now})
    return host


def of_space(slug: str) -> list[str]:
    start = f"/spaces/{slug}"
    pages = [f"{start}/{name}{query}" for name in ("outbox", "members") for query in ("", "?page=true")]
    return [start, *pages, f"{start}/members?host={KESTREL}", f"{start}/outbox?page=true&after=5"]


def of_post(post_id: int) -> list[str]:
    start = f"/posts/{post_id}"
    collections = [f"{start}/{name}{query}" for name in ("replies", "context") for query in ("", "?page=true")]
    return [start, f"{start}/mirror", *collections]


def of_activity(event_id: int) -> list[str]:
    return [f"/activities/{event_id}{suffix}" for suffix in ("", "/announce", "/mirror")]


def of_person(name: str) -> list[str]:
    start = f"/@{name}"
    return [start, *(f"{start}/{part}{q}" for part in ("outbox", "followers", "following") for q in ("", "?page=true"))]


async def told_apart(ask: Asking, hidden: list[str], unknown: list[str], by: str | None) -> list[str]:
    """Those of the hidden addresses whose answer is not the one for an address that never was."""
    never = [await ask(path, by) for path in unknown]
    assert all(same(answer, never[0]) for answer in never)
    assert never[0].status_code == 404
    return [path for path in hidden if not same(await ask(path, by), never[0])]


# --- what is hidden -------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ASKERS)
async def test_A8_a_space_that_stays_inside_answers_like_one_that_never_was(
    ask: Asking, cast: Cast, by: str | None
) -> None:
    hidden: list[str] = []
    for number, (level, listed) in enumerate([(Level.CLOSED, True), (Level.CLOSED, False), (Level.INTERNAL, True)]):
        slug = f"dedans-{number}"
        space_id = await space(slug, level, cast.alice, cast.bruno, listed=listed)
        await enter(space_id, cast.chloe)  # a row that should not be there does not open it either
        post_id = await say(cast.alice, "confidentiel", space_id)
        await react(cast.bruno, post_id)
        hidden += of_space(slug) + of_post(post_id) + of_activity(await event_of(post_id))
        hidden += of_activity(await event_of(post_id, Kind.REACTED))
    unknown = of_space("jamais") + of_post(NEVER) + of_activity(NEVER)
    assert await told_apart(ask, hidden, unknown, by) == []


@pytest.mark.parametrize("by", ASKERS)
async def test_K12_a_partner_space_is_not_there_for_those_it_does_not_name(
    ask: Asking, cast: Cast, by: str | None
) -> None:
    for slug, reach in (("invite", Reach.INVITED), ("tous", Reach.EVERYONE)):
        space_id = await space(slug, Level.PARTNERS, cast.alice, cast.bruno, reach=reach)
        post_id = await say(cast.alice, "confidentiel", space_id)
        hidden = of_space(slug) + of_post(post_id) + of_activity(await event_of(post_id))
        assert await told_apart(ask, hidden, of_space("jamais") + of_post(NEVER), by) == []


@pytest.mark.parametrize("by", ASKERS)
async def test_A8_posts_outside_spaces_are_there_for_those_they_are_addressed_to(
    ask: Asking, cast: Cast, by: str | None
) -> None:
    hidden = []
    for visibility in (Visibility.COLLEAGUES, Visibility.FOLLOWERS, Visibility.DIRECT):
        post_id = await say(cast.alice, "entre nous", visibility=visibility)
        hidden += of_post(post_id) + of_activity(await event_of(post_id))
    assert await told_apart(ask, hidden, of_post(NEVER) + of_activity(NEVER), by) == []


@pytest.mark.parametrize("by", ASKERS)
async def test_the_suspended_and_those_elsewhere_are_nobody_here(ask: Asking, cast: Cast, by: str | None) -> None:
    hidden = of_person("zoe") + of_person(f"chloe@{KESTREL}") + of_person("ALICE") + of_person("a%00b")
    assert await told_apart(ask, hidden, of_person("jamais"), by) == []


@pytest.mark.parametrize("path", [f"/posts/{i}" for i in ("0", "01", "-1", "1e3", "９", "9" * 40, "x", "%00")])
async def test_what_cannot_be_an_id_is_not_there(ask: Asking, path: str) -> None:
    assert same(await ask(path), await ask(f"/posts/{NEVER}"))
    assert same(await ask(path.replace("posts", "activities")), await ask(f"/posts/{NEVER}"))


async def test_a_signature_that_does_not_hold_gets_what_the_web_gets(ask: Asking, cast: Cast) -> None:
    await space("offre", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    assert (await ask("/spaces/offre", KESTREL)).status_code == 200
    never = await ask("/spaces/jamais")
    ask.keys[INCONNU], ask.keys[KESTREL] = ask.keys[KESTREL], ask.keys[INCONNU]
    assert same(await ask("/spaces/offre", KESTREL), never)  # eve's key
    await db.execute("UPDATE link SET state = 'suspended' WHERE peer_id = $1", cast.kestrel.peer_id)
    assert same(await ask("/spaces/offre", INCONNU), never)


async def test_A12_what_is_closed_is_gone_for_a_partner_with_the_same_commit(ask: Asking, cast: Cast) -> None:
    space_id = await space("offre", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    post_id = await say(cast.alice, "à relire", space_id)
    addresses = [*of_space("offre"), *of_post(post_id)[:1], *of_activity(await event_of(post_id))[:2]]
    assert [path for path in addresses if (await ask(path, KESTREL)).status_code != 200] == []
    await set_openness(cast.alice, space_id, Level.CLOSED)
    assert await told_apart(ask, addresses, of_space("jamais"), KESTREL) == []


# --- actors ---------------------------------------------------------------------------------------


async def test_the_web_gets_no_more_of_a_colleague_than_what_checks_their_signature(ask: Asking, cast: Cast) -> None:
    await db.execute("UPDATE actor SET summary = 'Réseaux' WHERE id = $1", cast.alice.actor_id)
    for by in (None, INCONNU):
        stub = await ask.document("/@alice", by)
        assert not {"name", "summary", "published"} & set(stub)
        assert stub["publicKey"]["owner"] == stub["id"] == HERE.person("alice")
        assert await told_apart(ask, of_person("alice")[1:], of_person("jamais"), by) == []
    full = await ask.document("/@alice", KESTREL)
    assert (full["name"], full["summary"]) == ("Alice Fournier", "Réseaux")


async def test_an_open_instance_names_its_people_to_all_and_describes_them_to_servers(
    open_ask: Asking, cast: Cast
) -> None:
    await db.execute("UPDATE actor SET summary = 'Réseaux' WHERE id = $1", cast.alice.actor_id)
    shown = {by: await open_ask.document("/@alice", by) for by in (None, INCONNU)}
    assert (shown[None]["name"], shown[None]["summary"]) == ("Alice Fournier", "")
    assert shown[INCONNU]["summary"] == "Réseaux"


async def test_a_blocked_instance_is_the_web(open_ask: Asking, cast: Cast) -> None:
    await db.execute("UPDATE actor SET summary = 'Réseaux' WHERE id = $1", cast.alice.actor_id)
    await db.execute("UPDATE peer SET blocked_at = 1 WHERE id = $1", cast.inconnu.peer_id)
    assert (await open_ask.document("/@alice", INCONNU))["summary"] == ""


async def test_where_only_links_federate_the_web_finds_no_network_space(ask: Asking, cast: Cast) -> None:
    await space("salon", Level.NETWORK, cast.alice)
    assert same(await ask("/spaces/salon"), await ask("/spaces/jamais"))
    assert (await ask.document("/spaces/salon", KESTREL))["name"] == "Salon"


async def test_the_web_gets_the_keys_of_a_network_space_and_not_its_title(open_ask: Asking, cast: Cast) -> None:
    ask = open_ask
    await space("salon", Level.NETWORK, cast.alice)
    stub = await ask.document("/spaces/salon")
    assert stub["publicKey"]["owner"] == HERE.space("salon")
    assert stub["name"] == "salon"
    assert not {"summary", "followers", "outbox", "parvis:openness", "published"} & set(stub)
    assert await told_apart(ask, of_space("salon")[1:], of_space("jamais"), None) == []


async def test_a_public_space_is_whole_for_everybody(ask: Asking, cast: Cast) -> None:
    await space("place", Level.PUBLIC, cast.alice)
    for by in ASKERS:
        assert (await ask.document("/spaces/place", by))["parvis:openness"] == "public"


async def test_a_named_partner_gets_the_whole_of_a_space_before_anybody_of_theirs_is_in(
    ask: Asking, cast: Cast
) -> None:
    await space("offre", Level.PARTNERS, cast.alice, partners=(KESTREL,))
    found = await ask.document("/spaces/offre", KESTREL)
    assert found["followers"] == HERE.members("offre")
    assert found["parvis:openness"] == "partners"
    assert "endpoints" not in found


async def test_the_instance_is_there_for_anybody_and_names_nobody(ask: Asking, cast: Cast) -> None:
    for by, accept in itertools.product(ASKERS, (ACTIVITY, "*/*", "text/html")):
        answer = await ask("/actor", by, accept=accept)
        assert answer.json()["type"] == "Application"
        assert not any(name in answer.text for name in ("alice", "Alice", KESTREL))


async def test_somebody_who_will_not_come_back_leaves_a_tombstone(open_ask: Asking, cast: Cast) -> None:
    await db.execute("UPDATE actor SET gone_at = 1 WHERE id = $1", cast.bruno.actor_id)
    answer = await open_ask("/@bruno")
    assert (answer.status_code, answer.json()["type"]) == (410, "Tombstone")
    assert "Bruno" not in answer.text


async def test_a_space_elsewhere_never_answers_here_not_even_to_its_host(ask: Asking, cast: Cast) -> None:
    await mirrored(cast)
    hidden = of_space(f"lab@{KESTREL}") + of_space("lab")
    assert await told_apart(ask, hidden, of_space("jamais"), KESTREL) == []


# --- posts and activities -------------------------------------------------------------------------


async def mirrored(cast: Cast) -> int:
    """A space that kestrel hosts, with Alice in it; returns its id here."""
    actor_id = new_id()
    uri = f"https://{KESTREL}/spaces/lab"
    row = {"id": actor_id, "uri": uri, "kind": "group", "name": "lab", "host": KESTREL}
    row |= {"peer_id": cast.kestrel.peer_id, "inbox": f"{uri}/inbox", "followers_uri": f"{uri}/members"}
    await db.insert("actor", {**row, "created_at": now_ms()})
    told = SpaceElsewhere(actor_id, "lab", KESTREL, "Lab", "", Level.PARTNERS)
    space_id = await mirror(cast.kestrel, told)
    await enter(space_id, cast.alice)
    return space_id


async def test_the_host_of_a_space_gets_what_ours_wrote_there_and_nobody_else_does(ask: Asking, cast: Cast) -> None:
    space_id = await mirrored(cast)
    ours = await publish(cast.alice, Draft("pour le lab", space_id), HERE)
    theirs = await receive(
        cast.kestrel, cast.chloe.actor_id, Arrived(f"https://{KESTREL}/posts/1", "<p>là-bas</p>", now_ms()), space_id
    )
    for by in (None, INCONNU):
        assert await told_apart(ask, of_post(ours) + of_post(theirs), of_post(NEVER), by) == []
    assert await told_apart(ask, of_post(theirs), of_post(NEVER), KESTREL) == []
    assert (await ask.document(f"/posts/{ours}", KESTREL))["audience"] == f"https://{KESTREL}/spaces/lab"
    created = await ask.document(f"/activities/{await event_of(ours)}", KESTREL)
    assert created["proof"]["cryptosuite"] == "eddsa-jcs-2022"


async def test_what_somebody_elsewhere_wrote_in_a_space_of_ours_is_served_by_their_instance(
    ask: Asking, cast: Cast
) -> None:
    space_id = await space("place", Level.PUBLIC, cast.alice, cast.chloe)
    await db.execute("UPDATE space SET first_posts_moderated = 0 WHERE id = $1", space_id)
    post_id = await say(cast.chloe, "bonjour", space_id)
    for by in ASKERS:
        assert await told_apart(ask, of_post(post_id)[:1] + of_post(post_id)[2:], of_post(NEVER), by) == []
        event = await event_of(post_id)
        assert (await ask(f"/activities/{event}", by)).status_code == 404
    announced = await ask.document(f"/activities/{event}/announce", KESTREL)
    assert (announced["type"], announced["actor"]) == ("Announce", HERE.space("place"))


async def test_K3_an_activity_is_there_only_while_what_it_is_about_may_be_read(ask: Asking, cast: Cast) -> None:
    space_id = await space("offre", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    post_id = await say(cast.alice, "à relire", space_id)
    await react(cast.alice, post_id, "👏")
    addresses = of_activity(await event_of(post_id)) + of_activity(await event_of(post_id, Kind.REACTED))
    for by in (None, INCONNU):
        assert await told_apart(ask, addresses, of_activity(NEVER), by) == []
    answers = [(await ask(path, KESTREL)).status_code for path in addresses]
    assert answers == [200, 200, 404, 200, 200, 404]
    for path in (addresses[0], addresses[1]):
        assert (await ask.document(path, KESTREL))["id"] == HERE.base + path
    await unreact(cast.alice, post_id, "👏")
    assert (await ask(addresses[3], KESTREL)).status_code == 404
    await withdraw(cast.alice, post_id)
    assert await told_apart(ask, addresses, of_activity(NEVER), KESTREL) == []


async def test_K3_who_thanked_whom_in_public_is_for_servers_not_for_the_web(ask: Asking, cast: Cast) -> None:
    space_id = await space("place", Level.PUBLIC, cast.alice, cast.bruno)
    post_id = await say(cast.alice, "bonjour", space_id)
    await react(cast.bruno, post_id)
    path = f"/activities/{await event_of(post_id, Kind.REACTED)}"
    assert same(await ask(path), await ask(f"/activities/{NEVER}"))
    assert (await ask.document(path, KESTREL))["type"] == "Like"


async def test_K3_an_invitation_is_there_for_the_server_to_which_it_was_told(ask: Asking, cast: Cast) -> None:
    other = await another_partner()
    ask.keys[other] = await introduce(other)
    space_id = await space("offre", Level.PARTNERS, cast.alice, partners=(KESTREL, other))
    await membership.add(cast.alice, space_id, cast.chloe.actor_id)
    await follows.follow(cast.alice, cast.driss.actor_id)
    rows = await db.fetch("SELECT id, kind FROM event WHERE kind IN ('invited', 'follow_asked') ORDER BY kind")
    paths = [f"/activities/{row['id']}" for row in rows]
    for by in (*ASKERS, other):
        assert await told_apart(ask, paths, of_activity(NEVER), by) == []  # told to nobody yet
    await sequence_waiting(ask.instance)
    for by in (None, INCONNU, other):
        assert await told_apart(ask, paths, of_activity(NEVER), by) == []
    assert [(await ask.document(path, KESTREL))["type"] for path in paths] == ["Follow", "Invite"]


async def test_who_was_erased_leaves_a_tombstone_to_those_who_were_told_and_nothing_to_others(
    ask: Asking, cast: Cast
) -> None:
    other = await another_partner()
    ask.keys[other] = await introduce(other)
    await follows.asked(cast.chloe, cast.bruno.actor_id, f"https://{KESTREL}/follows/1")
    await erase(Operator(), cast.bruno.account_id)
    while await sequence_waiting(ask.instance):
        pass
    [event] = await db.fetch("SELECT id FROM event WHERE kind = 'person_erased'")
    sealed = await compose(ask.instance, event["id"], Receiver(cast.kestrel.peer_id, KESTREL, linked=True))
    assert sealed is not None
    told = json.loads(sealed.body)
    assert (told["type"], told["actor"], told["object"]) == ("Delete", HERE.person("bruno"), HERE.person("bruno"))
    answer = await ask("/@bruno", KESTREL)
    assert (answer.status_code, answer.json()["type"]) == (410, "Tombstone")
    for by in (None, INCONNU, other):
        assert same(await ask("/@bruno", by), await ask("/@jamais", by))


async def test_what_was_for_all_leaves_a_tombstone_and_what_was_not_leaves_nothing(ask: Asking, cast: Cast) -> None:
    place = await space("place", Level.PUBLIC, cast.alice)
    inside = await space("dedans", Level.INTERNAL, cast.alice)
    gone = [await say(cast.alice, "public", place), await say(cast.alice, "à tous", visibility=Visibility.PUBLIC)]
    hidden = [await say(cast.alice, "interne", inside), await say(cast.alice, "ici")]
    for post_id in gone + hidden:
        await withdraw(cast.alice, post_id)
    for by in ASKERS:
        for post_id in gone:
            answer = await ask(f"/posts/{post_id}", by)
            assert (answer.status_code, answer.json()["type"]) == (410, "Tombstone")
            event = await event_of(post_id, Kind.POST_WITHDRAWN)
            assert (await ask.document(f"/activities/{event}", by))["type"] == "Delete"
        events = [await event_of(post_id, Kind.POST_WITHDRAWN) for post_id in hidden]
        paths = [path for post_id in hidden for path in of_post(post_id)]
        paths += [path for event in events for path in of_activity(event)]
        assert await told_apart(ask, paths, of_post(NEVER), by) == []
    await set_openness(cast.alice, place, Level.CLOSED)
    assert same(await ask(f"/posts/{gone[0]}"), await ask(f"/posts/{NEVER}"))


async def test_a_post_addressed_to_followers_is_there_for_a_server_that_has_one(ask: Asking, cast: Cast) -> None:
    post_id = await say(cast.alice, "à ceux qui suivent", visibility=Visibility.FOLLOWERS)
    never = await ask(f"/posts/{NEVER}", KESTREL)
    assert same(await ask(f"/posts/{post_id}", KESTREL), never)
    await follows.asked(cast.chloe, cast.alice.actor_id, f"https://{KESTREL}/follows/1")
    assert (await ask.document(f"/posts/{post_id}", KESTREL))["to"] == [f"{HERE.person('alice')}/followers"]
    assert same(await ask(f"/posts/{post_id}"), never)


async def test_K10_a_server_without_a_link_gets_the_note_of_the_space_itself(open_ask: Asking, cast: Cast) -> None:
    space_id = await space("salon", Level.NETWORK, cast.alice, cast.eve)
    post_id = await say(cast.alice, "bienvenue", space_id)
    assert same(await open_ask(f"/posts/{post_id}/mirror"), await open_ask(f"/posts/{NEVER}/mirror"))
    told = await open_ask.document(f"/posts/{post_id}/mirror", INCONNU)
    assert (told["attributedTo"], told["to"]) == (HERE.space("salon"), [HERE.members("salon")])
    create = await open_ask.document(f"/activities/{await event_of(post_id)}/mirror", INCONNU)
    assert create["object"]["id"] == told["id"]


# --- how we answer --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_K13_no_answer_may_be_kept_for_somebody_else(ask: Asking, cast: Cast, method: str) -> None:
    place = await space("place", Level.PUBLIC, cast.alice)
    await space("conseil", Level.CLOSED, cast.alice)
    post_id = await say(cast.alice, "bonjour", place)
    gone = await say(cast.alice, "parti", place)
    event = await event_of(post_id)
    await withdraw(cast.alice, gone)
    paths = ["/actor", *of_person("alice"), *of_space("place"), *of_space("conseil"), *of_post(post_id)]
    paths += [*of_activity(event), f"/posts/{gone}", f"/posts/{NEVER}", f"/.well-known/webfinger?resource={HERE.base}"]
    for path, by in itertools.product(paths, ASKERS):
        headers = (await ask(path, by, method=method)).headers
        assert headers["cache-control"] == "private, no-store", path
        assert headers["vary"] == "Accept, Signature, Signature-Input, Authorization, Cookie"
        assert not {"etag", "last-modified", "set-cookie"} & set(headers)


async def test_A7_the_same_address_answers_each_asker_anew(ask: Asking, cast: Cast) -> None:
    await space("offre", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    seen = [(await ask("/spaces/offre", by)).status_code for by in (KESTREL, None, KESTREL, INCONNU, KESTREL)]
    assert seen == [200, 404, 200, 404, 200]
    known = await ask("/spaces/offre", KESTREL, **{"if-none-match": "*", "if-modified-since": "Fri, 1 Jan 2100"})
    assert known.status_code == 200


ACCEPTED = [
    ("application/activity+json", True),
    ("Application/Activity+JSON", True),
    ('application/ld+json; profile="https://www.w3.org/ns/activitystreams"', True),
    ('application/ld+json; profile="urn:x https://www.w3.org/ns/activitystreams"', True),
    ('application/activity+json, application/ld+json; profile="https://www.w3.org/ns/activitystreams", '
     "text/html;q=0.1", True),
    ("text/html;q=0.5, application/activity+json;q=0.9", True),
    ("application/ld+json", False),
    ('application/ld+json; profile="https://www.w3.org/ns/activitystreams#x"', False),
    ("application/json", False),
    ("*/*", False),
    ("", False),
    ("application/activity+json;q=0", False),
    ("application/activity+json;q=ten", False),
    ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
    ("text/html, application/activity+json", False),
    ("application/activity+json;q=0.5, application/xhtml+xml", False),
    ('text/plain; x="application/activity+json, y"', False),
    ('"' * 5000 + "," * 5000, False),
]  # fmt: skip


@pytest.mark.parametrize(("accept", "wanted"), ACCEPTED)
async def test_a_page_stays_a_page_unless_a_document_is_preferred(ask: Asking, accept: str, wanted: bool) -> None:
    assert accepts_activity(accept) is wanted
    answer = await ask("/@alice", accept=accept)
    assert (answer.headers["content-type"] == ACTIVITY) is wanted
    assert (answer.text == PAGE) is not wanted


async def test_a_post_to_a_page_is_not_ours(ask: Asking) -> None:
    assert (await ask("/@alice", method="POST")).status_code == 405


async def test_every_inbox_hears_and_does_not_say_whose_it_is(ask: Asking, cast: Cast) -> None:
    await space("conseil", Level.CLOSED, cast.alice)
    names = ["/@alice", "/@jamais", "/spaces/conseil", "/spaces/jamais", "/actor", ""]
    answers = [await ask(f"{name}/inbox", INCONNU, method="POST") for name in names]
    assert {answer.status_code for answer in answers} == {415}
    assert all(same(answer, answers[0]) for answer in answers)
    looked = [await ask(f"{name}/inbox", KESTREL) for name in names]
    assert all(same(answer, looked[0]) for answer in looked)


async def test_O3_the_routes_leave_files_to_the_page_of_files(ask: Asking) -> None:
    assert (await ask("/media/1/actor.json", KESTREL)).text == "Not Found"


async def test_an_instance_that_does_not_federate_has_pages_only(cast: Cast, tmp_path: Path) -> None:
    place = await space("place", Level.PUBLIC, cast.alice)
    post_id = await say(cast.alice, "bonjour", place)
    async with asking(tmp_path, "off", KESTREL) as ask:
        paths = ["/actor", *of_person("alice"), *of_space("place"), *of_post(post_id)]
        paths += of_activity(await event_of(post_id))
        assert await told_apart(ask, paths, of_space("jamais"), KESTREL) == []
        for path in ("/inbox", "/actor/inbox", "/@alice/inbox", "/spaces/place/inbox"):
            assert same(await ask(path, KESTREL, method="POST"), await ask("/actor"))
        assert (await ask("/spaces/place", accept="text/html")).text == PAGE


async def test_what_is_dated_at_the_very_beginning_is_compared_too(cast: Cast, ask: Asking) -> None:
    """One post of a day that nobody could ask for ended every comparison with an instance, and its people lacked
    whatever it would have told.
    """
    there = await space("projet", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    await db.execute("UPDATE membership SET since_at = 0")
    await say(cast.chloe, "d’un serveur sans horloge", there)
    await db.execute("UPDATE post SET published_at = 5")
    state = f"/peering/state?space={HERE.base}/spaces/projet"
    [[day, count, _]] = (await ask.document(state, KESTREL))["parvis:days"]
    assert (day, count) == (0, 1)
    assert len((await ask.document(f"{state}&day={day}", KESTREL))["parvis:items"]) == 1
    assert (await ask(f"{state}&day=-1", KESTREL)).status_code == 404


async def from_when(ask: Asking, there: int, by: str | None = KESTREL) -> int | None:
    """Since when what is written is for newcomers, as every document says it to this server."""
    told = (await ask.document("/spaces/projet", by)).get("parvis:newcomersFrom")
    peer = await db.fetch_one("SELECT id FROM peer WHERE host = $1", by or "")
    if peer is not None and by == KESTREL:
        event_id = new_id()
        changed = {"id": event_id, "kind": Kind.SPACE_CHANGED.value, "space_id": there, "created_at": now_ms()}
        await db.insert("event", changed)
        sealed = await compose(ask.instance, event_id, Receiver(peer["id"], KESTREL, linked=True))
        assert sealed is not None
        page = await ask.document(f"/spaces/projet/members?page=true&host={KESTREL}", by)
        for document in (json.loads(sealed.body)["object"], page) if page["orderedItems"] else ():
            also = reading.moment(document.get("parvis:newcomersFrom")) or 0
            assert abs(also - (reading.moment(told) or 0)) < 5_000, "days go by meanwhile"
    return reading.moment(told)


async def test_I5_I7_since_when_the_past_is_for_newcomers_tells_nothing_of_what_is_hidden(
    cast: Cast, open_ask: Asking
) -> None:
    """Not when somebody wrote last among colleagues, nor whether: it is when their time was over."""
    ask = open_ask
    there = await space("projet", Level.INTERNAL, cast.alice)
    for level in (Level.NETWORK, Level.PUBLIC):
        hidden = await say(cast.alice, "entre nous", there)
        await db.execute("UPDATE post SET published_at = $1 WHERE id = $2", now_ms() - 86_400_000, hidden)
        before = now_ms()
        await set_openness(Operator(), there, level)
        opened = await from_when(ask, there)
        assert opened is not None and before <= opened <= now_ms()
        await db.execute("UPDATE post SET stamp = 'public' WHERE id = $1", hidden)
        assert await from_when(ask, there) == opened, "whether there is anything or not"
        await set_openness(Operator(), there, Level.INTERNAL)
    await set_openness(Operator(), there, Level.PUBLIC)
    for by in (None, INCONNU):
        assert await from_when(ask, there, by) is None, "only those who share spaces with us let their people in"
    late = await say(cast.alice, "pendant l’ouverture", there)
    opened = await from_when(ask, there)
    await db.execute("UPDATE post SET stamp = 'internal', published_at = $1 WHERE id = $2", opened, late)
    assert await from_when(ask, there) == (opened or 0) + 1, "what was being written as it was opened"


async def test_I5_the_past_of_newcomers_goes_back_no_further_than_the_dial(cast: Cast, ask: Asking) -> None:
    there = await space("projet", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    assert await from_when(ask, there) is None
    [named] = await db.fetch("SELECT added_at FROM space_partner")
    for history, days in ((History.ALL, 0), (History.SINCE_OPENING, 0), (History.DAYS, 7)):
        await db.execute("UPDATE space_partner SET added_at = $1", named["added_at"] - 9_000)
        await db.execute("UPDATE space SET history = $1, history_days = $2", history.value, days)
        before = now_ms()
        since = await from_when(ask, there)
        assert since is not None
        if history is History.DAYS:
            await db.execute("UPDATE space_partner SET added_at = 0")
            since = await from_when(ask, there)
            assert since is not None and before <= since + 7 * 86_400_000 <= now_ms()
        else:
            assert since == (0 if history is History.ALL else named["added_at"] - 9_000)
    await set_openness(Operator(), there, Level.NETWORK)
    assert (await from_when(ask, there) or 0) > named["added_at"], "what was for those who were in"
