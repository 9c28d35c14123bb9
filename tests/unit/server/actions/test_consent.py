"""Where a past is opened to more people, words of an instance that does not consent are left out (I5)."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from server import clock, plan_words
from server import database as db
from server.actions import consent, plans
from server.actions.arriving import Arrived, receive
from server.actions.openness import Door, How, adjust, change
from server.actions.past_notices import Opened, tell_authors
from server.clock import now_ms
from server.errors import Forbidden
from server.ids import new_id
from server.openness import History, Level, PartnerView, Reach
from server.policy import Act
from server.queries import notifications, policies, posts
from server.queries.newcomers import newcomers_of
from server.queries.notifications import PastOpened
from server.space_policy import PartnerTerms
from server.viewer import Operator, RemotePerson, Resident, Viewer
from tests import cast as company
from tests.cast import HERE, KESTREL
from web.locale import speech
from web.mail.wording import told as mailed

TIERS = "tiers.test"
PAST = How(Door.PAGE, past=True)


@pytest.fixture
async def cast(database: str) -> company.Cast:
    cast = await company.gather()
    now, peer_id = now_ms(), new_id()
    await db.insert("peer", {"id": peer_id, "host": TIERS, "base_url": f"https://{TIERS}", "created_at": now})
    link = {"id": new_id(), "peer_id": peer_id, "state": "active", "active_at": now}
    await db.insert("link", {**link, "created_at": now, "changed_at": now})
    return cast


@pytest.fixture
def later() -> Iterator[list[int]]:
    """A clock that goes on a second each time it is looked at; the moments it gave."""
    given = [now_ms()]

    def tick() -> int:
        given.append(given[-1] + 1_000)
        return given[-1]

    clock.turn(tick)
    yield given
    clock.turn(None)


async def in_projet(cast: company.Cast) -> tuple[int, dict[str, int]]:
    """A space with Kestrel, and what was said in it."""
    there = await company.space("projet", Level.PARTNERS, cast.alice, partners=(KESTREL,))
    await enter(there, cast.chloe)
    said = {"ours": await company.say(cast.alice, "de chez nous", there)}
    said["theirs"] = await company.say(cast.chloe, "de chez Kestrel", there)
    said["answer"] = await company.say(cast.alice, "en réponse", there, answers=said["theirs"])
    return there, said


async def enter(space_id: int, who: RemotePerson) -> RemotePerson:
    await company.enter(space_id, who)
    await db.execute("UPDATE membership SET since_at = $1 WHERE actor_id = $2", now_ms(), who.actor_id)
    return who


async def opened(cast: company.Cast, there: int, *more: str, level: Level = Level.PARTNERS) -> dict[str, object]:
    """The past is opened to all at these partners, too; what followed."""
    policy = await policies.current(there)
    partners = tuple(sorted((*policy.partners, *map(PartnerTerms, more)), key=lambda terms: terms.host))
    reach = Reach.EVERYONE if level is Level.PARTNERS else policy.reach
    done = await change(cast.alice, there, replace(policy, level=level, partners=partners, reach=reach), PAST)
    assert done.effects is not None
    return done.effects


async def last_change(space_id: int, before: int = 0) -> int:
    """When its policy was changed last, or so many times before."""
    sql = "SELECT at FROM policy_version WHERE space_id = $1 ORDER BY epoch DESC LIMIT 1 OFFSET $2"
    [row] = await db.fetch(sql, space_id, before)
    return int(row["at"])


async def read(said: dict[str, int], who: Viewer) -> set[str]:
    """What somebody finds in lists, which is what opens for them one by one."""
    listed = await posts.readable(who, [*said.values()])
    cards = {card.id: card for card in await posts.cards(who, [*said.values()])}
    assert {*cards} == listed
    for name, post_id in said.items():
        found = await posts.of(who, post_id)
        assert found is not None and bool(found.may(who, Act.READ)) == (post_id in listed), name
    if said["answer"] in cards and said["theirs"] not in listed:
        assert cards[said["answer"]].reply_to_author is None, "as an answer to what one does not see"
    return {name for name, post_id in said.items() if post_id in listed}


@pytest.mark.anyio
async def test_I5_words_of_an_instance_that_denies_are_left_out_of_an_opened_past(
    cast: company.Cast, later: list[int]
) -> None:
    await consent.heard(cast.kestrel.peer_id, False)
    there, said = await in_projet(cast)
    effects = await opened(cast, there, TIERS)
    assert effects["left_out"]["items"] == 1 and effects["left_out"]["of"] == [cast.kestrel.peer_id]  # type: ignore[index]
    newcomer = await enter(there, await company.stranger("timo", "Timo", TIERS))
    colleague = await enter(there, cast.driss)
    for late in (newcomer, cast.bruno, colleague):
        assert await read(said, late) == {"ours", "answer"}
    for who in (cast.alice, cast.chloe, cast.kestrel):
        assert await read(said, who) == {*said}
    since = await newcomers_of(cast.kestrel.peer_id, True, there)
    assert since == await last_change(there), "their instance has all of it, and keeps it from who comes now"
    assert await newcomers_of(newcomer.peer_id, True, there) == 0, "the other one never gets it"

    await opened(cast, there, level=Level.PUBLIC)
    for other in (cast.web, cast.inconnu, newcomer, colleague, cast.bruno):
        assert await read(said, other) == {"ours", "answer"}
    assert await read(said, cast.chloe) == {*said}


@pytest.mark.anyio
async def test_words_of_an_instance_that_consents_are_opened_and_so_are_those_of_one_that_changed_its_mind(
    cast: company.Cast, later: list[int]
) -> None:
    there, said = await in_projet(cast)
    assert "left_out" not in await opened(cast, there)
    assert await read(said, await enter(there, cast.driss)) == {*said}
    said["later"] = await company.say(cast.chloe, "encore", there)
    await consent.heard(cast.kestrel.peer_id, False)
    newcomer = await company.stranger("timo", "Timo", TIERS)
    await opened(cast, there, TIERS)
    assert await read(said, await enter(there, newcomer)) == {"ours", "answer"}
    assert await read(said, cast.driss) == {*said}, "nobody loses what they read"
    await consent.heard(cast.kestrel.peer_id, True)
    assert await read(said, newcomer) == {"ours", "answer"}, "not before it is opened once more"
    await opened(cast, there)
    assert await read(said, newcomer) == {*said}


@pytest.mark.anyio
async def test_I5_who_may_look_back_since_a_dial_was_turned_does_not_find_what_is_left_out(
    cast: company.Cast, later: list[int]
) -> None:
    await consent.heard(cast.kestrel.peer_id, False)
    there, said = await in_projet(cast)
    how = How(Door.PAGE)
    await adjust(cast.alice, there, how, lambda policy: replace(policy, history=History.DAYS, history_days=300))
    assert await read(said, await enter(there, cast.driss)) == {"ours", "answer"}
    said["later"] = await company.say(cast.chloe, "sous ce réglage", there)
    await adjust(cast.alice, there, how, lambda policy: replace(policy, history=History.ALL))
    timo = await company.stranger("timo", "Timo", KESTREL)
    assert await read(said, await enter(there, timo)) == {"ours", "answer", "later"}, "as it was when it was written"
    assert await newcomers_of(cast.kestrel.peer_id, True, there) == await last_change(there, 1)
    await adjust(cast.alice, there, how, lambda policy: replace(policy, history=History.SINCE_JOINING))
    assert await read(said, timo) == set(), "what is taken from newcomers is taken from all of it"
    assert await read(said, cast.chloe) == {*said}


@pytest.mark.anyio
async def test_I5_what_comes_late_from_an_instance_that_denied_was_left_out_too(
    cast: company.Cast, later: list[int]
) -> None:
    await consent.heard(cast.kestrel.peer_id, False)
    there, said = await in_projet(cast)
    before = now_ms()
    await opened(cast, there, TIERS)
    await opened(cast, there, level=Level.NETWORK)
    for name, at in (("late", before), ("new", now_ms())):
        told = Arrived(f"https://{KESTREL}/posts/{new_id()}", "<p>retenu</p>", at)
        said[name] = await receive(cast.chloe, cast.chloe.actor_id, told, there)
    timo = await enter(there, await company.stranger("timo", "Timo", TIERS))
    assert await read(said, timo) == await read(said, cast.bruno) == {"ours", "answer", "new"}
    assert await read(said, cast.chloe) == {*said}


@pytest.mark.anyio
async def test_a_plan_says_whose_words_are_opened_and_whose_are_left_out_and_who_agreed_agreed_to_that(
    cast: company.Cast, later: list[int]
) -> None:
    there, said = await in_projet(cast)
    await enter(there, cast.driss)
    file = {"id": new_id(), "owner_id": cast.chloe.actor_id, "post_id": said["theirs"], "name": "plan.pdf"}
    await db.insert("attachment", {**file, "media_type": "application/pdf", "created_at": now_ms()})
    wanted = replace(await policies.current(there), partners=(PartnerTerms(KESTREL), PartnerTerms(TIERS)))
    wanted = replace(wanted, reach=Reach.EVERYONE)

    async def planned() -> tuple[list[tuple[str, int, int, int, int, int]], str]:
        plan = await plans.plan(cast.alice, there, wanted, past=True)
        found = [
            (one.host, one.opened.items, one.opened.files, one.opened.authors, one.left_out.items, one.left_out.files)
            for one in plan.authors
        ]
        assert found == [] or "authors" in plan_words.plan_json(plan, speech("fr"))
        return found, plan.hash

    assert (await plans.plan(cast.alice, there, wanted)).authors == ()
    opened, agreed = await planned()
    assert opened == [("", 2, 0, 1, 0, 0), (KESTREL, 1, 1, 1, 0, 0)]
    await consent.heard(cast.kestrel.peer_id, False)
    opened, without = await planned()
    assert opened == [("", 2, 0, 1, 0, 0), (KESTREL, 0, 0, 0, 1, 1)]
    assert agreed != without, "who agreed to less has not agreed to more"
    plan = await plans.plan(cast.alice, there, wanted, past=True)
    for language, sentence in (("fr", "kestrel.test n’y consent pas"), ("en", "kestrel.test does not consent")):
        words = plan_words.plan_json(plan, speech(language))["authors"][1]["words"]
        assert len(words) == 1 and words[0].startswith(sentence)


@pytest.mark.anyio
async def test_authors_of_ours_are_told_once_who_reads_them_now_and_whoever_did_it_is_not(
    cast: company.Cast, later: list[int]
) -> None:
    there, _ = await in_projet(cast)
    wrote = await company.guest("gil", "Gil", cast.alice, "Atelier")
    for who in (cast.bruno, wrote, cast.odile):
        await company.enter(there, who)
    for guest_or_not in (cast.bruno, wrote):
        await company.say(guest_or_not, "avant", there)
    await opened(cast, there, TIERS)

    async def told(who: Resident) -> list[PastOpened | None]:
        return [one.past for one in await notifications.waiting(who) if one.kind == "openness"]

    [first] = await db.fetch("SELECT MIN(published_at) AS at FROM post WHERE author_id = $1", cast.bruno.actor_id)
    assert await told(cast.bruno) == [PastOpened(first["at"], Level.PARTNERS, (KESTREL, TIERS))]
    [waiting] = [one for one in await notifications.waiting(cast.bruno) if one.past]
    mail = mailed(cast.bruno, waiting, speech("fr"))
    assert mail.sentence.startswith("Vos messages plus anciens") and (mail.path, mail.text) == ("/spaces/projet", "")
    assert len(await told(wrote)) == 1
    assert await told(cast.alice) == await told(cast.odile) == [], "who opened it, and who wrote nothing"
    await tell_authors(there, Opened(3, now_ms(), Level.PARTNERS))
    assert len(await told(cast.bruno)) == 1, "once for each policy"

    hosts = (KESTREL, TIERS)
    how = How(Door.PAGE, past=True)
    await adjust(cast.alice, there, how, lambda policy: replace(policy, partner_view=PartnerView.BLIND))
    assert [one.hosts for one in await told(cast.bruno) if one] == [hosts, hosts]
    assert [one.hosts for one in await told(wrote) if one] == [(), ()], "a guest of one side knows of no other"
    await adjust(cast.alice, there, how, lambda policy: replace(policy, reach=Reach.INVITED))
    await db.execute("DELETE FROM membership WHERE actor_id = $1", wrote.actor_id)
    assert await told(wrote) == [], "nor of a space that is not theirs to know any more"


@pytest.mark.anyio
async def test_only_an_administrator_says_it_and_partners_are_told_once(cast: company.Cast) -> None:
    with pytest.raises(Forbidden):
        await consent.set_history_consent(cast.alice, False)
    for consents in (True, False, False):
        await consent.set_history_consent(cast.odile, consents)
    await consent.set_history_consent(Operator(), True)
    rows = await db.fetch("SELECT data FROM event WHERE kind = 'consent_changed'")
    assert len(rows) == 2 and str(cast.kestrel.peer_id) in rows[0]["data"]
    assert HERE.base not in rows[0]["data"]
