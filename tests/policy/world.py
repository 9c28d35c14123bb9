"""Every openness × history × stamp × age as real rows, and everybody who might look at them.

Peers are named by what they are to our spaces: `tnm` is tied by a link, named by every space, and has members in
them; a dash stands for what it is not. Each has a stranger, somebody invited, somebody who asked and, with `m`,
two members, one of whom came late. Some are more than that: of the same house (`kin`), named for invited people only
(`picked`), or named until a moment that is past (`over`) or to come (`until`). Guests are of two organisations.
Whoever came late stays until tomorrow; the membership of the `ended` is over.

The main product is openness × dates × stamp × moment. Dials that this would multiply by (how far back, blind, held)
have spaces of their own, with those stamps and moments that they concern.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from server import database as db
from server.clock import now_ms
from server.ids import new_id
from server.openness import History, Office, Variant, Visibility
from server.viewer import (
    Anonymous,
    Employee,
    Guest,
    Operator,
    PeerServer,
    RemotePerson,
    Viewer,
    guest_side,
    peer_side,
    side_of,
)

DAY = 24 * 3600 * 1000
HOUR = DAY // 24
LIMITED_DAYS = 90

DIALS: dict[Variant, tuple[str, bool, str]] = {
    Variant.CLOSED: ("closed", True, "invited"),
    Variant.UNLISTED: ("closed", False, "invited"),
    Variant.INTERNAL: ("internal", True, "invited"),
    Variant.INVITED: ("partners", True, "invited"),
    Variant.INVITED_UNLISTED: ("partners", False, "invited"),
    Variant.INVITED_READABLE: ("partners", True, "invited"),
    Variant.EVERYONE: ("partners", True, "everyone"),
    Variant.NETWORK: ("network", True, "invited"),
    Variant.PUBLIC: ("public", True, "invited"),
}


@dataclass(frozen=True)
class Dates:
    """How many days ago a space was opened to all, its partners named, its members and its late ones came."""

    name: str
    opened: int | None
    named: int
    joined: int
    late: int


DATES = (
    Dates("named after the opening", 60, 30, 10, 5),
    Dates("named before the opening", 30, 60, 45, 5),
    Dates("all long ago", 200, 150, 120, 95),
    Dates("never opened to all", None, 20, 100, 3),
)


@dataclass(frozen=True)
class Peer:
    id: int
    code: str
    linked: bool
    named: bool
    members: bool
    blocked: bool = False
    kin: bool = False
    picked: bool = False  # only invited people of it come in
    over: bool = False  # named until a moment that is past
    until: bool = False

    @property
    def named_now(self) -> bool:
        return self.named and not self.over

    @property
    def server(self) -> PeerServer:
        return PeerServer(self.id, self.linked)


@dataclass(frozen=True)
class Space:
    id: int
    variant: Variant
    dates: Dates
    host: int | None = None
    history: History = History.LEVEL
    days: int = 0
    blind: bool = False
    past: bool = False  # its past was opened to all that are let in


@dataclass(frozen=True)
class Kept:
    """Left out of the past that was opened at that moment, with the dial of until then."""

    at: int
    history: History
    days: int = 0


@dataclass(frozen=True)
class Post:
    id: int
    author: int
    published_at: int
    space: Space | None
    stamp: str = ""
    visibility: str = ""
    peer_id: int | None = None
    deleted: bool = False
    named: frozenset[int] = frozenset()
    stamp_blind: bool = False
    side: str = ""
    held: bool = False
    kept: Kept | None = None


@dataclass
class World:
    """What was written, for the tests to say what must come out of it."""

    now: int
    peers: list[Peer] = field(default_factory=list)
    viewers: dict[str, Viewer] = field(default_factory=dict)
    spaces: list[Space] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)
    followers: dict[int, frozenset[int]] = field(default_factory=dict)
    peer_of: dict[int, int] = field(default_factory=dict)  # actor id → peer id
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, table: str, **row: Any) -> int:
        row_id = new_id()
        self.rows.setdefault(table, []).append({"id": row_id, **row})
        return row_id

    def people(self) -> dict[str, Employee | Guest | RemotePerson]:
        return {name: v for name, v in self.viewers.items() if isinstance(v, (Employee, Guest, RemotePerson))}

    def coded(self, code: str) -> Peer:
        return next(peer for peer in self.peers if peer.code == code)

    def in_spaces(self) -> list[Post]:
        return [post for post in self.posts if post.space is not None]

    def personal(self) -> list[Post]:
        return [post for post in self.posts if post.space is None]


TABLES = ("peer", "link", "actor", "account", "space", "membership", "space_partner", "break_glass", "follow", "post")


async def build() -> World:
    """Fills an empty database."""
    world = World(now_ms())
    _peers(world)
    _people(world)
    _spaces(world)
    for space in world.spaces:
        _posts_in(world, space)
    _dialled(world)
    _personal(world)
    async with db.transaction():
        for table in (*TABLES, "mention"):
            await db.insert_many(table, world.rows[table])
    if db.engine_name() == "postgres":
        await db.execute("ANALYZE")
    return world


# --- who ------------------------------------------------------------------------------------------


def _peers(world: World) -> None:
    for linked, named, members in itertools.product((True, False), repeat=3):
        _peer(world, linked, named, members)
    _peer(world, True, True, True, "blocked")
    for members, more in itertools.product((True, False), ("kin", "picked")):
        _peer(world, True, True, members, more)
    for more in ("over", "until"):
        _peer(world, True, True, True, more)
    _peer(world, False, True, True, "kin")
    _peer(world, True, False, True, "kin")


def _peer(world: World, linked: bool, named: bool, members: bool, more: str = "") -> None:
    code = "".join(letter if it else "-" for letter, it in zip("tnm", (linked, named, members), strict=True))
    code += f"-{more}" if more else ""
    now = world.now
    host = f"{code.replace('-', 'x')}.test"
    blocked, kin = more == "blocked", more == "kin"
    peer_id = world.add(
        "peer", host=host, base_url=f"https://{host}", blocked_at=now if blocked else None, created_at=now
    )
    state = "active" if linked else "suspended"
    world.add("link", peer_id=peer_id, state=state, kin=kin, created_at=now, changed_at=now)
    peer = Peer(peer_id, code, linked, named, members, blocked, kin, more == "picked", more == "over", more == "until")
    world.peers.append(peer)
    waiting = ("invited", "asked") if more in ("", "blocked") else ("invited",)
    ended = ("ended",) if code in ("tnm", "tn-", "---") else ()
    for role in ("stranger", *waiting, *ended, *(("member", "late") if members else ())):
        actor = _actor(world, f"{role}@{code}", peer_id)
        if not blocked:
            world.viewers[f"{role}@{code}"] = RemotePerson(actor, peer_id, linked)
    if not blocked:
        world.viewers[f"server@{code}"] = peer.server


def _actor(world: World, name: str, peer_id: int | None, kind: str = "person") -> int:
    number = len(world.rows.get("actor", ()))
    actor_id = world.add(
        "actor",
        uri=f"https://a.test/{number}",
        kind=kind,
        name=f"n{number}",
        host=str(peer_id or ""),
        peer_id=peer_id,
        display_name=name,
        inbox=f"https://a.test/{number}/inbox",
        created_at=world.now,
    )
    if peer_id is not None:
        world.peer_of[actor_id] = peer_id
    return actor_id


ADMINISTRATORS = ("administrator", "glass", "glass not approved", "glass ended", "glass over")
"""All but the first asked for an exceptional reading of every space; so did the auditor, for whom it counts nothing."""

ORGANISATIONS = {"nord": "Atelier Nord", "sud": "Bureau  SUD"}


def _people(world: World) -> None:
    offices = dict.fromkeys(ADMINISTRATORS, Office.ADMIN) | {"auditor": Office.AUDITOR}
    for name in ("stranger", "member", "steward", "owner", "invited", "asked", *offices):
        actor = _actor(world, name, None)
        office = offices.get(name, Office.MEMBER)
        account = _account(world, actor, name, office)
        world.viewers[name] = Employee(account, actor, office)
    for code, organisation in ORGANISATIONS.items():
        for role in ("stranger", "invited", "member", "late", "ended"):
            actor = _actor(world, f"{role}@{code}", None)
            account = _account(world, actor, f"{role}.{code}", Office.GUEST, organisation)
            world.viewers[f"{role}@{code}"] = Guest(account, actor, guest_side(organisation, actor))
    world.viewers["web"] = Anonymous()
    world.viewers["operator"] = Operator()


def _account(world: World, actor: int, name: str, office: Office, organisation: str = "") -> int:
    return world.add(
        "account",
        actor_id=actor,
        name=name,
        office=office.value,
        organisation=organisation,
        until_at=world.now + DAY if organisation else None,
        created_at=world.now,
    )


# --- where ----------------------------------------------------------------------------------------


BACK = {
    Variant.INVITED: (History.SINCE_JOINING, History.SINCE_OPENING, History.DAYS, History.ALL),
    Variant.INVITED_READABLE: (History.DAYS,),
    Variant.INVITED_UNLISTED: (History.ALL,),
    Variant.EVERYONE: (History.SINCE_OPENING, History.ALL, History.SINCE_JOINING),
    Variant.NETWORK: (History.SINCE_OPENING, History.ALL, History.DAYS),
    Variant.PUBLIC: (History.SINCE_JOINING,),
}
"""How far back members from outside may look; the last of the open ones is beyond what its level allows."""

BACK_DAYS = 20


def _spaces(world: World) -> None:
    for variant, dates in itertools.product(DIALS, DATES):
        _space(world, variant, dates, None)
    hosts = [world.coded(code).id for code in ("t--", "---", "tnm")]
    for host, newcomers in itertools.product(hosts, (None, DATES[0].late, 100)):
        dials = ("public" if newcomers else "partners", True, "invited")
        _space(world, Variant.ELSEWHERE, DATES[0], host, dials, newcomers_from=newcomers)


def _dialled(world: World) -> None:
    """Spaces in which a dial changes what is read, and the posts that tell."""
    pasts = itertools.cycle(DATES)
    for variant, histories in BACK.items():
        for history in histories:
            space = _space(world, variant, next(pasts), None, history=history, days=BACK_DAYS)
            _posts_in(world, space, stamps=[variant.value, "network", "invited", "everyone", "internal"])
    _posts_in(world, _space(world, Variant.INVITED, DATES[0], None, history=History.DAYS, days=0), stamps=["invited"])
    for variant, blind in itertools.product((Variant.INVITED, Variant.EVERYONE), (True, False)):
        _sided(world, _space(world, variant, DATES[1], None, blind=blind))
    for variant, history in LEFT_OUT_IN:
        _left_out(world, _space(world, variant, DATES[0], None, history=history, days=BACK_DAYS, past=True))
    for variant in (Variant.CLOSED, Variant.INVITED, Variant.NETWORK, Variant.PUBLIC):
        _held(world, next(space for space in world.spaces if space.variant is variant))


def _sided(world: World, space: Space) -> None:
    """What each side wrote, and what was written for it, before and after the partners were blind."""
    authors = ("owner", "member@tnm", "member@tnm-kin", "member@nord", "member@sud")
    for name, stamp_blind, for_whom in itertools.product(authors, (True, False), ("tnm", "tnm-kin")):
        author = world.viewers[name]
        side = side_of(author) or peer_side(world.coded(for_whom).id)
        for days in (0, 3, 50):
            moment = world.now - days * DAY - 1
            _post(
                world,
                _id(world, name),
                moment,
                space=space,
                stamp=space.variant.value,
                stamp_blind=stamp_blind,
                side=side,
            )


LEFT_OUT_IN = (
    (Variant.INVITED, History.ALL),
    (Variant.EVERYONE, History.LEVEL),
    (Variant.NETWORK, History.ALL),
    (Variant.PUBLIC, History.LEVEL),
)


def _left_out(world: World, space: Space) -> None:
    """What was left out when its past was opened, beside the same that was not."""
    author = _id(world, "member@tnm")
    opened = world.now - 2 * DAY
    dials = (History.LEVEL, History.SINCE_OPENING, History.DAYS, History.ALL)
    left_out = [Kept(opened, history, BACK_DAYS * (history is History.DAYS)) for history in dials]
    stamps = dict.fromkeys((space.variant, Variant.INVITED))
    for stamp, moment in itertools.product(stamps, _moments(world, space)):
        for kept in (None, *left_out, Kept(world.now - 250 * DAY, History.ALL)):
            if moment < (kept.at if kept else opened) and abs(moment - world.now + LIMITED_DAYS * DAY) > HOUR:
                _post(world, author, moment, space=space, stamp=stamp.value, kept=kept)


def _held(world: World, space: Space) -> None:
    for author in ("owner", "member", "member@nord", "member@tnm", "member@--m"):
        _post(world, _id(world, author), world.now - 1, space=space, stamp=space.variant.value, held=True)


def _space(
    world: World,
    variant: Variant,
    dates: Dates,
    host: int | None,
    dials: tuple[str, bool, str] | None = None,
    *,
    history: History = History.LEVEL,
    days: int = 0,
    blind: bool = False,
    newcomers_from: int | None = None,
    past: bool = False,
) -> Space:
    actor = _actor(world, "space", host, "group")
    opened = world.now - dates.opened * DAY if dates.opened else None
    level, listed, reach = dials or DIALS[variant]
    number = len(world.spaces)
    space_id = world.add(
        "space",
        actor_id=actor,
        slug=f"space-{number}",
        name=f"Space {number}",
        level=level,
        listed=listed,
        reach=reach,
        staff_read=variant is Variant.INVITED_READABLE,
        partner_view="blind" if blind else "organisations",
        history=history.value,
        history_days=days,
        peer_id=host,
        newcomers_from=None if newcomers_from is None else world.now - newcomers_from * DAY,
        opened_at=0 if past and opened else opened,
        came_open_at=opened,
        created_at=world.now,
    )
    space = Space(space_id, variant, dates, host, history, days, blind, past)
    world.spaces.append(space)
    for peer in world.peers:
        if peer.named:
            until = world.now - HOUR if peer.over else world.now + DAY if peer.until else None
            world.add(
                "space_partner",
                space_id=space_id,
                peer_id=peer.id,
                added_at=0 if past else world.now - dates.named * DAY,
                named_at=world.now - dates.named * DAY,
                until_at=until,
                reach="invited" if peer.picked else "",
            )
    for row in world.rows["actor"]:
        if row["kind"] == "person":
            _enters(world, space_id, row, dates)
    for name in (*ADMINISTRATORS[1:], "auditor"):
        _asks_to_read(world, space_id, name)
    return space


def _asks_to_read(world: World, space_id: int, name: str) -> None:
    world.add(
        "break_glass",
        space_id=space_id,
        asked_by_id=_id(world, name),
        reason="…",
        asked_at=world.now - 2 * HOUR,
        approved_by_id=None if name == "glass not approved" else _id(world, "administrator"),
        approved_at=None if name == "glass not approved" else world.now - 2 * HOUR,
        until_at=world.now + (-HOUR if name == "glass over" else DAY),
        ended_at=world.now - HOUR if name == "glass ended" else None,
    )


def _enters(world: World, space_id: int, actor: dict[str, Any], dates: Dates) -> None:
    role = actor["display_name"].partition("@")[0]
    until = world.now + DAY if role == "late" else world.now - HOUR if role == "ended" else None
    days = {"late": dates.late}.get(role, dates.joined)
    if role not in ("member", "late", "steward", "owner", "invited", "asked", "ended"):
        return
    state = role if role in ("invited", "asked") else "member"
    world.add(
        "membership",
        space_id=space_id,
        actor_id=actor["id"],
        peer_id=actor["peer_id"],
        role=role if role == "steward" else "owner" if role == "owner" or state != "member" else "member",
        state=state,
        since_at=world.now - days * DAY if state == "member" else None,
        until_at=until,
        created_at=world.now,
    )


# --- what -----------------------------------------------------------------------------------------


def _moments(world: World, space: Space) -> Iterator[int]:
    """On each day that matters, just then and just before; around what is counted from now, an hour either side."""
    dates = space.dates
    for days in (dates.opened, dates.named, dates.joined, dates.late):
        if days is not None:
            yield world.now - days * DAY
            yield world.now - days * DAY - 1
    for days in (LIMITED_DAYS, *((space.days or 1,) if space.history is History.DAYS else ())):
        yield world.now - days * DAY + HOUR
        yield world.now - days * DAY - HOUR
    yield world.now - 1
    yield world.now - 300 * DAY


def _posts_in(world: World, space: Space, stamps: Iterable[str] = (*Variant, "")) -> None:
    """By ours and by theirs in turn, but by both where the author's instance decides."""
    ours, theirs = _id(world, "owner"), _id(world, "member@tnm")
    for number, (stamp, moment) in enumerate(itertools.product(stamps, _moments(world, space))):
        for author in (ours, theirs) if space.host else ((ours, theirs)[number % 2],):
            named: tuple[int, ...] = ()
            if len(world.posts) % 5 == 0:
                named = tuple(_id(world, name) for name in ("stranger@tn-", "stranger@---", "stranger"))
            _post(world, author, moment, space=space, stamp=str(stamp), named=named)
    for author in (ours, theirs):
        _post(world, author, world.now - 1, space=space, stamp=space.variant.value, deleted=True)


def _personal(world: World) -> None:
    everybody = frozenset(viewer.actor_id for viewer in world.people().values())
    some = frozenset(_id(world, name) for name in ("stranger", "stranger@tnm", "stranger@--m"))
    nobody: frozenset[int] = frozenset()
    audiences = (("accepted", everybody), ("accepted", some), ("accepted", nobody), ("pending", everybody))
    for peer_id, (state, followers) in itertools.product((None, world.peers[0].id), audiences):
        author = _actor(world, "author", peer_id)
        for follower in followers:
            world.add("follow", follower_id=follower, followed_id=author, state=state, created_at=world.now)
        world.followers[author] = followers if state == "accepted" else nobody
        for visibility, named in itertools.product([*Visibility, ""], (nobody, some, everybody)):
            _post(world, author, world.now - 1, visibility=str(visibility), named=tuple(named))
        _post(world, author, world.now - 1, visibility="public", deleted=True)
    for author, visibility in itertools.product(sorted(everybody), Visibility):
        _post(world, author, world.now - 1, visibility=visibility.value)


def _post(
    world: World,
    author: int,
    published_at: int,
    *,
    space: Space | None = None,
    stamp: str = "",
    visibility: str = "",
    named: tuple[int, ...] = (),
    deleted: bool = False,
    stamp_blind: bool = False,
    side: str = "",
    held: bool = False,
    kept: Kept | None = None,
) -> None:
    peer_id = world.peer_of.get(author)
    post_id = world.add(
        "post",
        uri=f"https://a.test/posts/{len(world.posts)}",
        author_id=author,
        space_id=space.id if space else None,
        visibility=visibility,
        stamp=stamp,
        stamp_blind=stamp_blind,
        side=side,
        held_at=world.now - 1 if held else None,
        kept_at=kept.at if kept else None,
        kept_history=kept.history.value if kept else "",
        kept_days=kept.days if kept else 0,
        peer_id=peer_id,
        published_at=published_at,
        deleted_at=world.now if deleted else None,
    )
    for actor_id in named:
        world.add("mention", post_id=post_id, actor_id=actor_id)
    world.posts.append(
        Post(
            post_id,
            author,
            published_at,
            space,
            stamp,
            visibility,
            peer_id,
            deleted,
            frozenset(named),
            stamp_blind,
            side,
            held,
            kept,
        )
    )


def _id(world: World, name: str) -> int:
    viewer = world.viewers[name]
    assert isinstance(viewer, (Employee, Guest, RemotePerson))
    return viewer.actor_id
