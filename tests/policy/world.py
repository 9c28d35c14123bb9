"""Every openness × history × stamp × age as real rows, and everybody who might look at them.

Peers are named by what they are to our spaces: `tnm` is tied by a link, named by every space, and has members in
them; a dash stands for what it is not. Each has a stranger, somebody invited, somebody who asked and, with `m`,
two members, one of whom came late.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from server import database as db
from server.clock import now_ms
from server.ids import new_id
from server.openness import Office, Variant, Visibility
from server.viewer import Anonymous, Employee, Operator, PeerServer, RemotePerson, Viewer

DAY = 24 * 3600 * 1000
HOUR = DAY // 24
LIMITED_DAYS = 90

DIALS = {
    Variant.CLOSED: ("closed", True, "invited"),
    Variant.UNLISTED: ("closed", False, "invited"),
    Variant.INTERNAL: ("internal", True, "invited"),
    Variant.INVITED: ("partners", True, "invited"),
    Variant.INVITED_UNLISTED: ("partners", False, "invited"),
    Variant.EVERYONE: ("partners", True, "everyone"),
    Variant.NETWORK: ("network", True, "invited"),
    Variant.PUBLIC: ("public", True, "invited"),
}


@dataclass(frozen=True)
class History:
    """How many days ago a space was opened to all, its partners named, its members and its late ones came."""

    name: str
    opened: int | None
    named: int
    joined: int
    late: int


HISTORIES = (
    History("named after the opening", 60, 30, 10, 5),
    History("named before the opening", 30, 60, 45, 5),
    History("all long ago", 200, 150, 120, 95),
    History("never opened to all", None, 20, 100, 3),
)


@dataclass(frozen=True)
class Peer:
    id: int
    code: str
    linked: bool
    named: bool
    members: bool
    blocked: bool = False

    @property
    def server(self) -> PeerServer:
        return PeerServer(self.id, self.linked)


@dataclass(frozen=True)
class Space:
    id: int
    variant: Variant
    history: History
    host: int | None = None


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

    def people(self) -> dict[str, Employee | RemotePerson]:
        return {name: v for name, v in self.viewers.items() if isinstance(v, (Employee, RemotePerson))}

    def in_spaces(self) -> list[Post]:
        return [post for post in self.posts if post.space is not None]

    def personal(self) -> list[Post]:
        return [post for post in self.posts if post.space is None]


async def build() -> World:
    """Fills an empty database."""
    world = World(now_ms())
    _peers(world)
    _people(world)
    _spaces(world)
    for space in world.spaces:
        _posts_in(world, space)
    _personal(world)
    async with db.transaction():
        for table in ("peer", "link", "actor", "account", "space", "membership", "space_partner", "follow", "post"):
            await db.insert_many(table, world.rows[table])
        await db.insert_many("mention", world.rows["mention"])
    if db.engine_name() == "postgres":
        await db.execute("ANALYZE")
    return world


# --- who ------------------------------------------------------------------------------------------


def _peers(world: World) -> None:
    for linked, named, members in itertools.product((True, False), repeat=3):
        _peer(world, linked, named, members)
    _peer(world, True, True, True, blocked=True)


def _peer(world: World, linked: bool, named: bool, members: bool, blocked: bool = False) -> None:
    code = "".join(letter if it else "-" for letter, it in zip("tnm", (linked, named, members), strict=True))
    code += "-blocked" if blocked else ""
    now = world.now
    host = f"{code.replace('-', 'x')}.test"
    peer_id = world.add(
        "peer", host=host, base_url=f"https://{host}", blocked_at=now if blocked else None, created_at=now
    )
    state = "active" if linked else "suspended"
    world.add("link", peer_id=peer_id, state=state, created_at=now, changed_at=now)
    peer = Peer(peer_id, code, linked, named, members, blocked)
    world.peers.append(peer)
    for role in ("stranger", "invited", "asked", *(("member", "late") if members else ())):
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


def _people(world: World) -> None:
    offices = {"administrator": Office.ADMIN, "auditor": Office.AUDITOR}
    for name in ("stranger", "member", "steward", "owner", "invited", "asked", *offices):
        actor = _actor(world, name, None)
        office = offices.get(name, Office.MEMBER)
        account = world.add("account", actor_id=actor, name=name, office=office.value, created_at=world.now)
        world.viewers[name] = Employee(account, actor, office)
    world.viewers["web"] = Anonymous()
    world.viewers["operator"] = Operator()


# --- where ----------------------------------------------------------------------------------------


def _spaces(world: World) -> None:
    for (variant, dials), history in itertools.product(DIALS.items(), HISTORIES):
        _space(world, variant, dials, history, None)
    hosts = [peer.id for peer in world.peers if peer.code in ("t--", "---", "tnm")]
    for host, level in itertools.product(hosts, ("closed", "public")):
        _space(world, Variant.ELSEWHERE, (level, True, "invited"), HISTORIES[0], host)


def _space(world: World, variant: Variant, dials: tuple[str, bool, str], history: History, host: int | None) -> None:
    actor = _actor(world, "space", host, "group")
    opened = world.now - history.opened * DAY if history.opened else None
    level, listed, reach = dials
    number = len(world.spaces)
    space_id = world.add(
        "space",
        actor_id=actor,
        slug=f"space-{number}",
        name=f"Space {number}",
        level=level,
        listed=listed,
        reach=reach,
        peer_id=host,
        opened_at=opened,
        created_at=world.now,
    )
    world.spaces.append(Space(space_id, variant, history, host))
    for peer in world.peers:
        if peer.named:
            world.add("space_partner", space_id=space_id, peer_id=peer.id, added_at=world.now - history.named * DAY)
    for row in world.rows["actor"][: len(world.rows["actor"]) - 1]:
        if row["kind"] == "person":
            _enters(world, space_id, row, history)


def _enters(world: World, space_id: int, actor: dict[str, Any], history: History) -> None:
    role = actor["display_name"].partition("@")[0]
    days = {"late": history.late}.get(role, history.joined)
    if role in ("stranger", "administrator", "auditor"):
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
        created_at=world.now,
    )


# --- what -----------------------------------------------------------------------------------------


def _moments(world: World, history: History) -> Iterator[int]:
    """On each day that matters, just then and just before; around the limited past, an hour either side."""
    for days in (history.opened, history.named, history.joined, history.late):
        if days is not None:
            yield world.now - days * DAY
            yield world.now - days * DAY - 1
    yield world.now - LIMITED_DAYS * DAY + HOUR
    yield world.now - LIMITED_DAYS * DAY - HOUR
    yield world.now - 1
    yield world.now - 300 * DAY


def _posts_in(world: World, space: Space) -> None:
    ours = _id(world, "owner")
    theirs = _id(world, "member@tnm")
    stamps = [*(variant.value for variant in Variant), ""]
    for stamp, moment, author in itertools.product(stamps, _moments(world, space.history), (ours, theirs)):
        named: tuple[int, ...] = ()
        if len(world.posts) % 5 == 0:
            named = tuple(_id(world, name) for name in ("stranger@tn-", "stranger@---", "stranger"))
        _post(world, author, moment, space=space, stamp=stamp, named=named)
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
) -> None:
    peer_id = world.peer_of.get(author)
    post_id = world.add(
        "post",
        uri=f"https://a.test/posts/{len(world.posts)}",
        author_id=author,
        space_id=space.id if space else None,
        visibility=visibility,
        stamp=stamp,
        peer_id=peer_id,
        published_at=published_at,
        deleted_at=world.now if deleted else None,
    )
    for actor_id in named:
        world.add("mention", post_id=post_id, actor_id=actor_id)
    world.posts.append(
        Post(post_id, author, published_at, space, stamp, visibility, peer_id, deleted, frozenset(named))
    )


def _id(world: World, name: str) -> int:
    viewer = world.viewers[name]
    assert isinstance(viewer, (Employee, RemotePerson))
    return viewer.actor_id
