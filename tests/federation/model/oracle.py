"""Who may see what, told by somebody who only hears what people did: no code of the product is asked.

One space, hosted by `a`, for people who are invited at its partners. A partner's member reads what was written since
they came, which holds for their own words too; an instance holds what was written while somebody of it was in, and
nothing once nobody is.

While the past is open to newcomers, who is in reads what was written before, too, and their instance may hold it. What
was written while the space was closed is not for them unless that was opened besides; and since their instance is told
one date alone, they need not see what was written before the space was closed last, either.

What was on its way when its author was let go is refused by the host, and what an instance had alone when its database
was put back is gone: such things may be there or not, and are `loose`.
"""

from dataclasses import dataclass, field

ALLOWED, NOT_ALLOWED = True, False


@dataclass
class Item:
    """Something written. `word`: its canary, which stands in its text and nowhere else."""

    number: int
    author: str
    host: str
    at: float
    edits: int = 0
    gone: bool = False
    loose: bool = False
    """Whether it is there, and in which version, is not to be said: but who must not see it, is."""
    thanks: set[str] = field(default_factory=set)
    loose_thanks: bool = False
    inside: bool = False
    """It was written while the space was closed, and was not opened since."""
    answers: int | None = None
    """The number of what it answers."""
    loose_answer: bool = False
    """What it answers was perhaps not its author's to read any more when that was heard: then it stands alone."""
    votes: dict[str, int] | None = None
    """Who chose which of two, where it asks by a poll."""
    loose_votes: bool = False
    gone_at: float = 0.0
    """When its host took it back, if it was written there: from then on nobody is told of it."""
    held: bool = False
    """It holds a file, in which its word stands, too."""
    fragile: bool = False
    """Its author's or a reader's instance was put back since: the host may be the only one that has it, or a thanks."""

    @property
    def word(self) -> str:
        return f"canari{self.number:05d}x"

    @property
    def text(self) -> str:
        return f"{self.word} v{self.edits}."

    @property
    def file(self) -> bytes:
        return f"{self.word} joint.".encode()

    @property
    def tally(self) -> list[int]:
        chosen = list((self.votes or {}).values())
        return [chosen.count(choice) for choice in (0, 1)]


@dataclass
class Oracle:
    """Everything that was done, and what must and may be seen because of it. Moments are monotonic seconds.

    `skew_s`: by how much a date may be wrong: it is its author's word, by the clock of the space's host as far as their
    instance knows it.
    """

    home: str
    host_of: dict[str, str]
    skew_s: float = 0.0
    items: list[Item] = field(default_factory=list)
    member_since: dict[str, float] = field(default_factory=dict)
    """From when on somebody who is in has to see all; never before `came`."""
    came: dict[str, float] = field(default_factory=dict)
    """When somebody who is in was let in, at the earliest: nothing of before is theirs."""
    invited: dict[str, float] = field(default_factory=dict)
    """Who was invited and was not in yet when that was last looked at, and when that was."""
    named: set[str] = field(default_factory=set)
    stops: dict[str, list[tuple[float, bool]]] = field(default_factory=dict)
    """Host → changes of whether the host of the space stopped the link with it: then it is told nothing, and in the end
    everything.
    """
    leaving: set[str] = field(default_factory=set)
    """Who left at their own instance, of which the host has not heard: it may still tell them."""
    allowed: dict[str, list[tuple[float, bool]]] = field(default_factory=dict)  # host → changes of having a member
    closed: bool = False
    closed_until: float = 0.0
    """When the space was closed last, if what was written then was not opened since."""
    past: list[tuple[float, bool]] = field(default_factory=list)
    """Changes of whether who comes in reads what was written before."""
    lived: list[tuple[float, dict[str, list[tuple[float, bool]]], list[tuple[float, bool]]]] = field(
        default_factory=list
    )
    """What was so until a moment, which the host then forgot: what was sent meanwhile was sent rightly."""
    unsure: set[str] = field(default_factory=set)
    """Who was let in after the host's backup was made: their instance learns once a day that they are out."""

    def write(self, author: str, at: float, answers: int | None = None, asks: bool = False) -> Item:
        votes: dict[str, int] | None = {} if asks else None
        item = Item(len(self.items), author, self.host_of[author], at, inside=self.closed, answers=answers, votes=votes)
        self.items.append(item)
        return item

    def enters(self, person: str, at: float, seen_at: float | None = None) -> None:
        """Somebody came in after one moment and until another; what was written between may be theirs, and need not."""
        self.member_since.setdefault(person, at if seen_at is None else seen_at)
        self.came.setdefault(person, at)
        self.invited.pop(person, None)
        self.unsure.discard(person)
        self._look(at)

    def leaves(self, person: str, at: float) -> None:
        self._out(person)
        self._look(at)

    def walks_out(self, person: str) -> None:
        """They left, at their own instance: it shows them nothing more, and its host is to hear of it."""
        self._out(person)
        self.leaving.add(person)

    def is_heard_out(self, person: str, at: float) -> None:
        """The host heard that somebody left."""
        self.leaving.discard(person)
        self._look(at)

    def halts(self, host: str, stopped: bool, at: float) -> None:
        """The host stops its link with a partner for now, or lets it go on."""
        self.stops.setdefault(host, []).append((at, stopped))

    def is_halted(self, host: str) -> bool:
        return bool(self.stops.get(host)) and self.stops[host][-1][1]

    def parts(self, host: str, at: float) -> None:
        """The host ended its link with a partner: all of its people are out, and the space names it no more."""
        for person in [p for p in self.host_of if self.host_of[p] == host]:
            self._out(person)
            self.leaving.discard(person)
        self.named.discard(host)
        self.stops.pop(host, None)
        self._look(at)

    def names(self, hosts: set[str], at: float, closed: bool = False) -> None:
        """The partners that the space names now; people of the others are out."""
        self.named = set(hosts)
        if self.closed and not closed:
            self.closed_until = at
        self.closed = closed
        if closed:
            self.opens(False, at)
        inside = (*self.member_since, *self.invited, *self.leaving)
        for person in [p for p in inside if self.host_of[p] not in (self.home, *hosts)]:
            self._out(person)
            self.leaving.discard(person)
        self._look(at)

    @property
    def past_is_open(self) -> bool:
        return bool(self.past) and self.past[-1][1]

    def opens(self, wide: bool, at: float, with_all: bool = False) -> None:
        """The past is open to newcomers from now on, or no more; `with_all`: with what was written inside."""
        if wide is not self.past_is_open:
            self.past.append((at, wide))
        if with_all:
            self.closed_until = 0.0
            for item in self.items:
                item.inside = False

    def _out(self, person: str) -> None:
        self.member_since.pop(person, None)
        self.came.pop(person, None)
        self.invited.pop(person, None)

    def went_back(self, then: "Oracle", at: float) -> None:
        """The host's database is that of an earlier moment: who is in, and which partners it names, is as then."""
        self.unsure |= {person for person in self.member_since if person not in then.member_since}
        self.lived.append((at, self.allowed, self.past))
        self.past, self.closed, self.closed_until = list(then.past), then.closed, then.closed_until
        for item, before in zip(self.items, then.items, strict=False):
            item.inside = before.inside
        for host in self.stops:
            self.stops[host].append((at, then.is_halted(host)))
        self.named, self.allowed = set(then.named), {host: list(changes) for host, changes in then.allowed.items()}
        self.member_since, self.came = dict(then.member_since), dict(then.came)
        self.invited = dict(then.invited)
        self.unsure -= set(self.member_since)

    def members_at(self, host: str) -> list[str]:
        return [person for person in (*self.member_since, *self.leaving) if self.host_of[person] == host]

    def _look(self, at: float) -> None:
        for host in set(self.host_of.values()) - {self.home}:
            now = bool(self.members_at(host))
            changes = self.allowed.setdefault(host, [])
            if now and changes and changes[-1][0] >= at:
                changes.pop()  # whether the last was gone before the first came is not known
            if not changes or changes[-1][1] is not now:
                changes.append((at, now))

    def may_have_left_to(self, item: Item, host: str, at: float, slack_s: float) -> bool:
        """Whether a byte of an item may have been on its way to a host at a moment, or just before it."""
        if item.host == host or host == self.home:
            return ALLOWED
        if item.gone and item.gone_at and at > item.gone_at + slack_s:
            return NOT_ALLOWED
        if any(start + slack_s < at < end - slack_s for start, end in _times(self.stops.get(host, []))):
            return NOT_ALLOWED
        lived = next(((then, past) for until, then, past in self.lived if at <= until), (self.allowed, self.past))
        changes, past = lived[0].get(host, []), _times(lived[1])
        early = slack_s + self.skew_s
        open_then = not item.inside and any(start - slack_s <= at <= end + slack_s for start, end in past)
        return any(
            start - slack_s <= at <= end + slack_s and (open_then or item.at >= start - early)
            for start, end in _times(changes)
        )

    def must_see(self, person: str) -> dict[str, str]:
        """What somebody has to see once everything has arrived: word → text."""
        since = self._since(person)
        if since is None:
            return {}
        if self.past_is_open:
            since = min(since, self.closed_until)
        return {
            i.word: i.text
            for i in self.items
            if not i.gone and not i.loose and i.at > since + self.skew_s * (since > 0)
        }

    def may_see(self, person: str) -> set[str]:
        """What somebody may see at most."""
        if person not in self.member_since:
            return set()
        since = 0.0 if self.host_of[person] == self.home else self.came[person] - self.skew_s
        return {
            i.word
            for i in self.items
            if (not i.gone or i.loose) and (i.at >= since or (self.past_is_open and not i.inside))
        }

    def _since(self, person: str) -> float | None:
        if person not in self.member_since:
            return None
        return 0.0 if self.host_of[person] == self.home else self.member_since[person]


def _times(changes: list[tuple[float, bool]]) -> list[tuple[float, float]]:
    """From when until when it was so."""
    ends = [*(at for at, _ in changes[1:]), float("inf")]
    return [(start, end) for (start, now), end in zip(changes, ends, strict=False) if now]
