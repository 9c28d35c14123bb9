"""One decision, whichever way it is asked: one thing, a list, a card, a feed, and to whom it is told.

The whole domain is looked at: every row of the table × every stamp × every kind of caller × every moment that
matters, as real rows on both engines (`tests.policy.world`).
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

import pytest

from server import clock
from server import database as db
from server.errors import Forbidden, NotFound
from server.openness import Audience, Existence, History, MemberState, Variant, Visibility
from server.policy import (
    Act,
    Candidate,
    Kept,
    PostFacts,
    Standing,
    audience,
    may,
    may_post,
    scope_spaces,
)
from server.queries import posts, spaces, timelines
from server.queries.spaces import SeenSpace
from server.queries.timelines import Window
from server.sql import Clause
from server.viewer import Employee, Guest, Operator, PeerServer, RemotePerson, Viewer, side_of
from tests.policy.world import ADMINISTRATORS, DAY, ORGANISATIONS, Peer, Post, World

STEP = 131
"""Each caller opens every so many posts one by one; the callers begin at different ones."""


@pytest.fixture(scope="module")
async def listed(world: World) -> dict[str, frozenset[int]]:
    """Which posts each caller finds in lists: what `scope_posts` lets through."""
    ids = [post.id for post in world.posts]
    return {
        name: frozenset().union(*[await posts.readable(viewer, part) for part in parts(ids, 2_000)])
        for name, viewer in world.viewers.items()
    }


def parts(ids: Sequence[int], size: int) -> list[Sequence[int]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]


async def seen(world: World, viewer: Viewer) -> dict[int, SeenSpace]:
    """All spaces with what the caller is to each, seen or not."""
    return await spaces.around(viewer, [space.id for space in world.spaces])


def decided(world: World, viewer: Viewer, post: Post, around: dict[int, SeenSpace]) -> bool:
    """The answer of the one decision, from what was written rather than from any query about the post."""
    facts = facts_of(post, around)
    standing = around[post.space.id].standing if post.space else to_author(world, viewer, post)
    return bool(may_post(viewer, Act.READ, facts, standing, world.now))


def facts_of(post: Post, around: dict[int, SeenSpace]) -> PostFacts:
    return PostFacts(
        author_id=post.author,
        published_at=post.published_at,
        space=around[post.space.id].facts if post.space else None,
        stamp=Variant(post.stamp) if post.stamp else None,
        visibility=Visibility(post.visibility) if post.visibility else None,
        peer_id=post.peer_id,
        deleted=post.deleted,
        stamp_blind=post.stamp_blind,
        side=post.side,
        held=post.held,
        kept=Kept(post.kept.at, post.kept.history, post.kept.days) if post.kept else None,
    )


def to_author(world: World, viewer: Viewer, post: Post) -> Standing:
    followers, named = world.followers.get(post.author, frozenset()), post.named
    if isinstance(viewer, PeerServer):
        peers = world.peer_of
        follows = any(peers.get(actor) == viewer.peer_id for actor in followers)
        return Standing(Audience.FED, follows=follows, named=any(peers.get(a) == viewer.peer_id for a in named))
    if isinstance(viewer, (Employee, Guest, RemotePerson)):
        return Standing(Audience.FED, follows=viewer.actor_id in followers, named=viewer.actor_id in named)
    return Standing(Audience.WEB)


def shown(world: World, post: Post) -> str:
    """A post in words, for whoever reads a failure."""
    if post.space is None:
        return f"personal {post.visibility} peer={post.peer_id} named={len(post.named)} deleted={post.deleted}"
    age = (world.now - post.published_at) / DAY
    dials = f"{post.space.history} {post.space.days}{' blind' * post.space.blind}"
    marks = f"side={post.side}{' stamped blind' * post.stamp_blind}{' held' * post.held}"
    return (
        f"{post.space.variant} ({post.space.dates.name}; {dials}) stamp={post.stamp} {age:.3f} days"
        f" peer={post.peer_id} {marks}"
    )


def differing(world: World, one: Iterable[int], other: Iterable[int]) -> list[str]:
    """Posts that only one of two answers has, in few words."""
    by_id = {post.id: post for post in world.posts}
    return [shown(world, by_id[i]) for i in sorted(set(one) ^ set(other))][:20]


# --- the world itself -----------------------------------------------------------------------------


@pytest.mark.anyio
async def test_every_answer_is_given_somewhere(world: World, listed: dict[str, frozenset[int]]) -> None:
    """A world in which somebody reads nothing, or all of it, would prove nothing."""
    silent = {name for name, ids in listed.items() if not ids}
    assert silent == {"operator"}
    assert all(len(ids) < len(world.posts) * 0.9 for ids in listed.values())
    read = frozenset().union(*listed.values())
    by_id = {post.id: post for post in world.posts}
    assert {by_id[i].space.variant for i in read if by_id[i].space} == set(Variant)  # type: ignore[union-attr]


# --- reading --------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_one_decision_and_every_list_agree_for_everybody_and_every_post(
    world: World, listed: dict[str, frozenset[int]]
) -> None:
    mismatches = {}
    for name, viewer in world.viewers.items():
        around = await seen(world, viewer)
        allowed = {post.id for post in world.posts if decided(world, viewer, post, around)}
        if differs := differing(world, allowed, listed[name]):
            mismatches[name] = differs
    assert mismatches == {}


@pytest.mark.anyio
async def test_a_post_opens_exactly_when_it_is_listed(world: World, listed: dict[str, frozenset[int]]) -> None:
    """Through the door that pages, documents and files use, each by its id and by its address."""
    mismatches = Counter[str]()
    outcomes = Counter[bool]()
    for place, (name, viewer) in enumerate(world.viewers.items()):
        for post in world.posts[place % STEP :: STEP]:
            found = await opens(viewer, post)
            outcomes[found] += 1
            if found != (post.id in listed[name]):
                mismatches[f"{name}: {shown(world, post)}"] += 1
    assert mismatches == {}
    assert min(outcomes.values()) > 500


async def opens(viewer: Viewer, post: Post) -> bool:
    try:
        found = await posts.find(viewer, post.id)
    except NotFound:
        return False
    except Forbidden:
        assert isinstance(viewer, Operator)
        return False
    return found.id == post.id


@pytest.mark.anyio
async def test_a_card_is_made_exactly_of_what_is_listed(world: World, listed: dict[str, frozenset[int]]) -> None:
    for place, (name, viewer) in enumerate(world.viewers.items()):
        ids = [post.id for post in world.posts[place % 19 :: 19]]
        made = [card.id for card in await posts.cards(viewer, ids)]
        assert made == [i for i in ids if i in listed[name]], name
        assert all(card.may(viewer, Act.READ) for card in await posts.cards(viewer, ids[:60])), name


Feed = Callable[[Window], Awaitable[list[posts.PostCard]]]


async def leafed(feed: Feed, size: int = 80) -> list[int]:
    """A whole feed, page after page, downwards; each page is full but the last."""
    found: list[int] = []
    window = Window(limit=size)
    while True:
        page = [card.id for card in await feed(window)]
        assert len(page) <= size
        found += page
        if len(page) < size:
            return found
        window = Window(before=page[-1], limit=size)


async def leafed_upward(feed: Feed, size: int = 80) -> list[int]:
    found: list[int] = []
    window = Window(after=0, limit=size, upward=True)
    while True:
        page = [card.id for card in await feed(window)]
        assert len(page) <= size
        found += reversed(page)
        if len(page) < size:
            return found[::-1]
        window = Window(after=page[0], limit=size, upward=True)


@pytest.mark.anyio
async def test_a_space_shows_in_its_feed_exactly_what_is_listed(
    world: World, listed: dict[str, frozenset[int]]
) -> None:
    for place, (name, viewer) in enumerate(world.viewers.items()):
        for space in world.spaces[place % 9 :: 9]:
            expected = [p.id for p in world.posts if p.space is space and p.id in listed[name]]

            async def feed(window: Window, viewer: Viewer = viewer, space_id: int = space.id) -> list[posts.PostCard]:
                return await timelines.of_space(viewer, space_id, window)

            assert await leafed(feed) == sorted(expected, reverse=True), (name, space)


@pytest.mark.anyio
async def test_people_and_the_open_square_show_exactly_what_is_listed(
    world: World, listed: dict[str, frozenset[int]]
) -> None:
    authors = {post.author for post in world.personal()} - {v.actor_id for v in world.people().values()}
    for name, viewer in world.viewers.items():
        mine = listed[name]

        async def square(window: Window, viewer: Viewer = viewer) -> list[posts.PostCard]:
            return await timelines.public(viewer, window)

        public = [p.id for p in world.personal() if p.visibility == "public" and p.id in mine]
        assert await leafed(square, 40) == sorted(public, reverse=True), name
        for author in sorted(authors)[:2]:

            async def wall(window: Window, viewer: Viewer = viewer, author: int = author) -> list[posts.PostCard]:
                return await timelines.of_person(viewer, author, window)

            expected = sorted((p.id for p in world.posts if p.author == author and p.id in mine), reverse=True)
            assert await leafed(wall) == expected, name


@pytest.mark.anyio
@pytest.mark.parametrize("who", ["member", "stranger", "owner", "asked", "administrator"])
async def test_home_is_all_that_concerns_somebody_once_and_nothing_hidden(
    world: World, listed: dict[str, frozenset[int]], who: str
) -> None:
    viewer = world.viewers[who]
    assert isinstance(viewer, Employee)
    inside = {space for space, seen_space in (await seen(world, viewer)).items() if seen_space.state == "member"}
    followed = {author for author, followers in world.followers.items() if viewer.actor_id in followers}
    expected = {
        post.id
        for post in world.posts
        if post.id in listed[who]
        and (
            (post.space is not None and post.space.id in inside)
            or post.author in followed | {viewer.actor_id}
            or post.visibility == "colleagues"
            or viewer.actor_id in post.named
        )
    }

    async def feed(window: Window) -> list[posts.PostCard]:
        return await timelines.home(viewer, window)

    assert await leafed(feed) == sorted(expected, reverse=True)
    assert len(await timelines.home(viewer, Window(limit=3))) == min(3, len(expected))
    if who == "stranger":
        assert await leafed_upward(feed) == sorted(expected, reverse=True)


# --- what each new word means, said on rows -----------------------------------------------------


@pytest.mark.anyio
async def test_what_waits_for_a_steward_is_there_for_its_author_and_for_who_decides(
    world: World, listed: dict[str, frozenset[int]]
) -> None:
    people = {viewer.actor_id: name for name, viewer in world.people().items()}
    held = [post for post in world.in_spaces() if post.held]
    for post in held:
        readers = {name for name, ids in listed.items() if post.id in ids}
        author = people[post.author]
        assert readers - {author} == {"steward", "owner"} - {author}, shown(world, post)
    inside = {people[post.author] for post in held if post.id in listed[people[post.author]]}
    assert inside == {"owner", "member", "member@nord", "member@tnm", "member@--m"}


@pytest.mark.anyio
async def test_what_is_left_out_of_an_opened_past_has_fewer_readers_and_none_who_came_after_it(
    world: World, listed: dict[str, frozenset[int]]
) -> None:
    plain, left_out = {}, []
    for post in world.in_spaces():
        if post.space is None or not post.space.past or post.deleted:
            continue
        if post.kept is None:
            plain[post.space.id, post.stamp, post.published_at] = post.id
        else:
            left_out.append((post, post.space, post.kept))
    fewer = Counter[str]()
    for (post, space, kept), (name, read) in itertools.product(left_out, listed.items()):
        beside = plain[space.id, post.stamp, post.published_at]
        assert post.id not in read or beside in read, name
        fewer[name] += beside in read and post.id not in read
        came = world.now - space.dates.late * DAY
        closed = kept.history in (History.LEVEL, History.SINCE_JOINING) and post.stamp == Variant.INVITED
        assert not (closed and name.startswith("late@") and post.published_at < came and post.id in read), name
    assert {"late@tnm", "late@nord", "server@tn-", "web"} <= set(+fewer)
    assert not {"member", "owner", "stranger", "glass"} & set(+fewer), "what ours read of it is the stamp's alone"


@pytest.mark.anyio
async def test_blind_partners_do_not_find_what_is_from_or_for_one_another(
    world: World, listed: dict[str, frozenset[int]]
) -> None:
    seen_by = Counter[str]()
    for post in world.in_spaces():
        assert post.space is not None
        if not post.side or post.published_at < world.now - DAY:
            continue
        for name, viewer in world.viewers.items():
            if name.split("@")[0] not in ("member", "server") or post.id not in listed[name]:
                continue
            hidden = (post.space.blind or post.stamp_blind) and not isinstance(viewer, Employee)
            assert not hidden or side_of(viewer) == post.side, (name, shown(world, post))
            seen_by[name] += hidden
    assert {"member@tnm", "server@tnm", "member@tnm-kin", "member@nord", "member@sud"} <= set(+seen_by)


@pytest.mark.anyio
async def test_only_an_administrator_with_a_granted_reading_that_still_runs_reads_what_they_are_not_in(
    world: World, listed: dict[str, frozenset[int]]
) -> None:
    closed = {p.id for p in world.in_spaces() if p.space and p.space.variant in (Variant.CLOSED, Variant.UNLISTED)}
    for name in (*ADMINISTRATORS, "auditor", "stranger"):
        assert bool(listed[name] & closed) == (name == "glass"), name
    elsewhere = {p.id for p in world.in_spaces() if p.space and p.space.host is not None}
    assert not listed["glass"] & elsewhere
    for name in set(ADMINISTRATORS) - {"glass"} | {"auditor"}:
        assert listed[name] & {p.id for p in world.in_spaces()} == listed["stranger"] & {
            p.id for p in world.in_spaces()
        }, name


@pytest.mark.anyio
async def test_a_partner_whose_end_has_passed_is_nobody_the_space_names(
    world: World, listed: dict[str, frozenset[int]]
) -> None:
    here = {p.id for p in world.in_spaces() if p.space and p.space.host is None and not p.side and not p.held}
    for role in ("stranger", "member", "late", "server"):
        assert differing(world, listed[f"{role}@tnm-over"] & here, listed[f"{role}@t-m"] & here) == [], role
        assert differing(world, listed[f"{role}@tnm-until"] & here, listed[f"{role}@tnm"] & here) == [], role


@pytest.mark.anyio
async def test_whoever_was_a_member_until_a_moment_that_is_past_is_a_stranger(
    world: World, listed: dict[str, frozenset[int]]
) -> None:
    inside = {post.id for post in world.in_spaces()}
    for code in ("tnm", "tn-", "---", *ORGANISATIONS):
        assert differing(world, listed[f"ended@{code}"] & inside, listed[f"stranger@{code}"] & inside) == [], code


# --- what being nearer gives ----------------------------------------------------------------------


def beyond(world: World, listed: dict[str, frozenset[int]], lesser: str, greater: str) -> list[str]:
    here = {p.id for p in world.in_spaces() if p.space and p.space.host is None and not p.held}
    return differing(world, listed[lesser] & here, listed[lesser] & listed[greater] & here)


@pytest.mark.anyio
async def test_whoever_is_nearer_reads_no_less(world: World, listed: dict[str, frozenset[int]]) -> None:
    """I1 and I2 on rows, where the table meets opening dates, dates of joining and the limited past."""
    nearer = [
        ("web", "stranger@---"),
        ("stranger@---", "stranger@t--"),
        ("stranger@t--", "stranger@tn-"),
        ("stranger@tn-", "stranger@tn--kin"),
        ("stranger@tn--kin", "stranger"),
        ("stranger@t--", "stranger@tn--picked"),
        ("stranger@tn--picked", "stranger@tn-"),
        ("web", "stranger@nord"),
        ("stranger@nord", "stranger"),
        ("stranger", "glass"),
        ("stranger", "member"),
        ("glass", "member"),
    ]
    for code in ORGANISATIONS:
        nearer += [(f"stranger@{code}", f"late@{code}"), (f"late@{code}", f"member@{code}")]
        nearer += [(f"member@{code}", "member")]
    for peer in world.peers:
        if peer.members and not peer.blocked:
            nearer += [(f"stranger@{peer.code}", f"{role}@{peer.code}") for role in ("late", "member")]
            nearer += [(f"late@{peer.code}", f"member@{peer.code}"), (f"member@{peer.code}", "member")]
    assert {pair: more for pair in nearer if (more := beyond(world, listed, *pair))} == {}


@pytest.mark.anyio
async def test_a_server_reads_what_its_people_read_together(world: World, listed: dict[str, frozenset[int]]) -> None:
    """What one of them may read is told to their server; no more than that is."""
    written = {post.author for post in world.personal()}
    for peer in world.peers:
        if peer.blocked:
            continue
        people = [name for name in world.viewers if name.endswith(f"@{peer.code}") and not name.startswith("server")]
        together = frozenset().union(*[listed[name] for name in people]) - {p.id for p in world.posts if p.held}
        own = {p.id for p in world.personal() if world.peer_of.get(p.author) is not None and p.author in written}
        assert differing(world, together - own, listed[f"server@{peer.code}"] - own) == [], peer


@pytest.mark.anyio
async def test_levels_one_and_two_are_read_by_nobody_outside(world: World, listed: dict[str, frozenset[int]]) -> None:
    inside = (Variant.CLOSED, Variant.UNLISTED, Variant.INTERNAL)
    kept = {p.id for p in world.in_spaces() if p.space and p.space.variant in inside}
    kept |= {p.id for p in world.in_spaces() if p.stamp in inside}
    outside = [name for name, viewer in world.viewers.items() if not isinstance(viewer, Employee)]
    assert {name: leaked for name in outside if (leaked := listed[name] & kept)} == {}


# --- knowing that a space exists ------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize(("act", "at_least"), [(Act.SEE, Existence.CARD), (Act.LIST, Existence.LISTED)])
async def test_a_space_is_known_alike_by_itself_and_in_lists(world: World, act: Act, at_least: Existence) -> None:
    mismatches = defaultdict(list)
    for name, viewer in world.viewers.items():
        query = Clause("SELECT s.id FROM space s WHERE").join(scope_spaces(viewer, world.now, at_least))
        known = {row["id"] for row in await db.fetch(*query.statement())}
        around = await seen(world, viewer)
        for space in world.spaces:
            place = around[space.id]
            if bool(may(viewer, act, place.facts, place.standing)) != (space.id in known):
                mismatches[name].append(space)
            if act is Act.SEE and await found(viewer, space.id) != (space.id in known):
                mismatches[f"{name}, by its id"].append(space)
    assert mismatches == {}


@pytest.mark.anyio
async def test_whoever_is_to_lead_a_space_leads_nothing_before_they_are_in_it(world: World) -> None:
    """An owner who is invited, or asks, is nobody yet."""
    for name, viewer in world.viewers.items():
        for space_id, place in (await seen(world, viewer)).items():
            waiting = place.state in (MemberState.INVITED, MemberState.ASKED)
            if waiting:
                assert place.standing.role is None, (name, space_id)
                assert not place.may(viewer, Act.ADMIT_MEMBERS) and not place.may(viewer, Act.CHANGE_POLICY)


async def found(viewer: Viewer, space_id: int) -> bool:
    try:
        return (await spaces.find_by_id(viewer, space_id)).id == space_id
    except NotFound:
        return False


@pytest.mark.anyio
async def test_an_invitation_shows_a_space_only_while_it_admits_who_was_invited(world: World) -> None:
    let_in = {Variant.INVITED, Variant.INVITED_UNLISTED, Variant.INVITED_READABLE, Variant.EVERYONE}
    names = ("invited@tnm", "invited@tnm-picked", "invited@tn--kin", "invited@tnm-until", "invited@nord")
    for name in (*names, "invited@t-m", "invited@-nm", "invited@tnm-over"):
        viewer = world.viewers[name]
        known = {space.variant for space in world.spaces if await found(viewer, space.id)}
        named = let_in if name in names else set()
        hosted = {Variant.ELSEWHERE} if name == "invited@tnm" else set()  # by its own instance
        assert known == named | hosted | {Variant.NETWORK, Variant.PUBLIC}, name


@pytest.mark.anyio
async def test_what_has_no_end_does_not_end_while_it_is_asked_for(world: World) -> None:
    """A clock that runs on between two readings: once, a partner without an end was a stranger for that instant."""
    space = next(space for space in world.spaces if space.variant is Variant.EVERYONE)
    moments = itertools.count(world.now)
    clock.turn(lambda: next(moments))
    try:
        place = (await spaces.around(world.viewers["member@tnm"], [space.id]))[space.id]
    finally:
        clock.turn(None)
    assert place.standing.audience is Audience.PARTNER_MEMBER


# --- to whom it is told ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def members(world: World) -> AsyncIterator[dict[int, dict[int, int]]]:
    """Since when each space has a member at each instance."""
    since: dict[int, dict[int, int]] = defaultdict(dict)
    for row in await db.fetch(
        "SELECT space_id, peer_id, MIN(since_at) AS since FROM membership"
        " WHERE state = 'member' AND peer_id IS NOT NULL AND COALESCE(until_at, $1) >= $1 GROUP BY space_id, peer_id",
        world.now,
    ):
        since[row["space_id"]][row["peer_id"]] = row["since"]
    yield since


def candidate(world: World, peer: Peer, post: Post, members: dict[int, dict[int, int]]) -> Candidate:
    there = {actor for actor, peer_id in world.peer_of.items() if peer_id == peer.id}
    space = post.space
    named_at = world.now - space.dates.named * DAY if space else 0
    return Candidate(
        peer.id,
        linked=peer.linked,
        partner=space is not None and peer.named_now,
        blocked=peer.blocked,
        since_at=members[space.id].get(peer.id) if space else None,
        let_in_at=(0 if space.past else named_at) if space and peer.named_now else None,
        named_at=named_at if space and peer.named_now else None,
        follows=bool(world.followers.get(post.author, frozenset()) & there),
        named=bool(post.named & there),
        kin=peer.kin,
        by_invitation=peer.picked,
    )


@pytest.mark.anyio
async def test_a_post_is_told_exactly_to_the_instances_that_may_read_it_and_have_somebody_it_is_for(
    world: World, listed: dict[str, frozenset[int]], members: dict[int, dict[int, int]]
) -> None:
    around = await seen(world, Operator())
    mismatches, told_to = [], Counter[int]()
    for post in world.posts:
        candidates = [candidate(world, peer, post, members) for peer in world.peers]
        told = set(audience(facts_of(post, around), candidates, world.now))
        told_to[len(told)] += 1
        expected = set()
        for peer, one in zip(world.peers, candidates, strict=True):
            host = post.space is not None and post.space.host == peer.id
            inside = one.since_at is not None if post.space else one.follows
            if not peer.blocked and (host or inside or one.named) and post.id in listed[f"server@{peer.code}"]:
                expected.add(peer.id)
        if told != expected:
            codes = {peer.id: peer.code for peer in world.peers}
            mismatches.append((shown(world, post), {codes[i] for i in told}, {codes[i] for i in expected}))
    assert mismatches[:20] == []
    assert len(told_to) > 3
