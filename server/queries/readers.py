"""« Qui voit ceci ? »: everybody by what they are to a thing, with numbers, and why each of them reads or does not.

What is counted here is exact; people elsewhere are at most so many, on the word of their own instance (`attested_at`).
Nobody is counted or named whom the asker may not count or name.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from server.clock import now_ms
from server.explaining import Case, Changes, enough, explain
from server.explaining_words import Reason, chain
from server.openness import Audience, Reach
from server.policy import Act, PostFacts, Standing
from server.queries import audience, posts, sides, spaces
from server.queries.audience import is_outside, members_of, named_by, seen_as
from server.queries.posts import PersonCard, SeenPost
from server.queries.spaces import SeenSpace
from server.viewer import Anonymous, Employee, RemotePerson, Viewer, peer_side

MOST_NAMED = 200
NOBODY = 0


@dataclass(frozen=True, slots=True)
class Readers:
    """Some people who are alike to a thing. `word`: what asks about them, as `explanations.find_subject` reads it.

    `count` None: they cannot be counted. `people`: those whom the asker may know by name, at most `MOST_NAMED`;
    `ids` stand for them meanwhile. `at_most`: some of them may be gone; `attested_at`: when their instance last gave
    a word, in milliseconds.
    """

    audience: Audience
    word: str
    reads: bool
    why: Reason
    would_change_if: tuple[Changes, ...]
    count: int | None = None
    people: tuple[PersonCard, ...] = ()
    ids: tuple[int, ...] = ()
    host: str = ""
    title: str = ""
    at_most: bool = False
    attested_at: int | None = None


async def of_space(viewer: Viewer, space: SeenSpace) -> list[Readers]:
    """Who reads what is written in a space from now on, and who does not. Raises Forbidden to who may not count."""
    now = now_ms()
    return await _of(
        viewer, space, PostFacts(NOBODY, now, space=space.facts, stamp=space.facts.variant), now, future=True
    )


async def of_post(viewer: Viewer, post: SeenPost) -> list[Readers]:
    """The same of a post in a space. Raises Forbidden to who may not count."""
    assert post.space is not None
    return await _of(viewer, post.space, replace(post.facts, author_id=NOBODY), now_ms())


async def _of(viewer: Viewer, space: SeenSpace, post: PostFacts, now: int, future: bool = False) -> list[Readers]:
    space.demand(viewer, Act.COUNT_MEMBERS)
    members = await members_of(viewer, space)
    named = await named_by(viewer, space)
    told = bool(space.may(viewer, Act.SEE_ORGANISATIONS))
    ask = _Asking(post, now, future)
    found = [*await _inside(ask, [row for row in members if not is_outside(row)])]
    found += _outside(ask, [row for row in members if is_outside(row)], named, told)
    if space.hosted_here:
        found += [_whole_partner(ask, row) for row in named.values() if told]
        found.append(ask.kind(RemotePerson(NOBODY, NOBODY), Standing(Audience.FED), "fed"))
        found.append(ask.kind(Anonymous(), Standing(Audience.WEB), "web"))
    return await _with_names(viewer, space, found, members)


@dataclass(frozen=True, slots=True)
class _Asking:
    """One post, asked about for one kind of reader after another."""

    post: PostFacts
    now: int
    future: bool = False  # it stands for what is written from now on, whatever the space is then

    def kind(self, viewer: Viewer, standing: Standing, word: str, *, changes: bool = True, **facts: Any) -> Readers:
        case = Case(viewer, Act.READ, standing, self.post.space, self.post, self.now)
        told = explain(case, changes=changes)
        found = told.would_change_if
        if self.future and found:
            found = enough(replace(case, post=None))
        return Readers(standing.audience, word, bool(told.decision), chain(told)[-1], found, **facts)


async def _inside(ask: _Asking, members: list[dict[str, Any]]) -> list[Readers]:
    member = Standing(Audience.STAFF_MEMBER, since_at=NOBODY)
    everybody = await audience.count_colleagues()
    found = []
    if members:
        found.append(ask.kind(Employee(NOBODY, NOBODY), member, "staff", count=len(members), ids=_ids(members)))
    others = Standing(Audience.STAFF)
    found.append(ask.kind(Employee(NOBODY, NOBODY), others, "staff", count=max(0, everybody - len(members))))
    return found


def _outside(
    ask: _Asking, rows: list[dict[str, Any]], named: dict[int, dict[str, Any]], told_apart: bool
) -> list[Readers]:
    """Members from outside: of each organisation those who read, and beside them those who do not, with the reason.

    Before whoever may not see the organisations they are not `told_apart`.
    """
    assert ask.post.space is not None
    groups: dict[tuple[int, str, bool, str], list[dict[str, Any]]] = defaultdict(list)
    told: dict[tuple[int, str, bool, str], Readers] = {}
    for row in rows:
        viewer, standing = seen_as(row, ask.post.space, named)
        one = ask.kind(viewer, standing, "", changes=False)
        organisation = (row["peer_id"] or NOBODY, row["organisation"] or "")
        key = (*(organisation if told_apart else (NOBODY, "")), one.reads, one.why.rule)
        groups[key].append(row)
        if key not in told:
            told[key] = ask.kind(viewer, standing, "")
    found = []
    for key in sorted(groups, key=lambda one: (one[0] != NOBODY, one[0], one[1], not one[2])):
        some, first = groups[key], groups[key][0]
        found.append(
            replace(
                told[key],
                count=len(some),
                ids=_ids(some),
                host=(first["host"] or "") if told_apart else "",
                title=(first["title"] or first["organisation"] or first["host"] or "") if told_apart else "",
                at_most=first["peer_id"] is not None,
                attested_at=first["last_heard_at"],
            )
        )
    return found


def _whole_partner(ask: _Asking, row: dict[str, Any]) -> Readers:
    """Anybody at a partner that the space names, who is not a member."""
    who = Audience.KIN if row["kin"] else Audience.PARTNER
    who = Audience.PARTNER_UNINVITED if row["reach"] == Reach.INVITED else who
    side = peer_side(row["peer_id"])
    standing = Standing(who, let_in_at=row["added_at"], side=side, named_at=row["named_at"])
    viewer = spaces.stranger_at(row["peer_id"], True)
    facts = {"host": row["host"], "title": row["title"] or row["host"], "attested_at": row["last_heard_at"]}
    return ask.kind(viewer, standing, f"partner:{row['host']}", **facts)


def _ids(rows: Iterable[dict[str, Any]]) -> tuple[int, ...]:
    return tuple(row["actor_id"] for row in rows)


async def _with_names(
    viewer: Viewer, space: SeenSpace, found: list[Readers], members: list[dict[str, Any]]
) -> list[Readers]:
    """People by name, before those who may know them; at most `MOST_NAMED` of each kind."""
    if not space.may(viewer, Act.NAME_MEMBERS):
        return [replace(one, ids=()) for one in found]
    whose = await sides.named(viewer, space)
    shown = {row["actor_id"] for row in members if whose == sides.EVERYBODY or _is_near(row, space)}
    cards = await posts.people(i for one in found for i in one.ids[:MOST_NAMED] if i in shown)
    return [replace(one, people=tuple(cards[i] for i in one.ids if i in cards), ids=()) for one in found]


def _is_near(row: dict[str, Any], space: SeenSpace) -> bool:
    """Our own people, and those of the asker's side."""
    side = space.standing.side
    return not is_outside(row) or (bool(side) and seen_as(row, space.facts, {})[1].side == side)
