"""The shapes that the demo is written in: who works where, what is open to whom, who says what."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from server.openness import Level, Office, Reach, Visibility


@dataclass(frozen=True, slots=True)
class Somebody:
    """An employee. `part`: why one would sign in as them; without one they have no password."""

    name: str
    display_name: str
    does: str
    office: Office = Office.MEMBER
    part: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A space. `members` work here, `invited` at the partner, which is named unless `partner_named` says no."""

    slug: str
    name: str
    level: Level
    owner: str
    about: str
    members: Sequence[str] = ()
    invited: Sequence[str] = ()
    listed: bool | None = None
    reach: Reach = Reach.INVITED

    @property
    def partner_named(self) -> bool:
        return self.level is Level.PARTNERS or (self.level is Level.NETWORK and bool(self.invited))

    @property
    def shared(self) -> bool:
        """Whether the partner has to be linked before it can be opened as it is meant."""
        return self.partner_named or bool(self.invited)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A page of measurements, made into a PDF when it is attached, with its curve as a picture beside it.

    `volts`: (hour since the first, volts).
    """

    file_name: str
    title: str
    lines: Sequence[str]
    curve_name: str
    curve_words: str
    volts: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Line:
    """Somebody says something in a place, to colleagues, or in answer to another line by its key.

    `thanks`: who thanks for it; `gestures`: who answers with which emoji. `options`: what a poll offers, and `votes`
    who chooses which, by its place.
    """

    author: str
    text: str
    place: str = ""
    key: str = ""
    answers: str = ""
    sheet: Sheet | None = None
    thanks: Sequence[str] = ()
    gestures: Sequence[tuple[str, str]] = ()
    options: Sequence[str] = ()
    votes: Sequence[tuple[str, int]] = ()
    visibility: Visibility = Visibility.COLLEAGUES


@dataclass(frozen=True, slots=True)
class Company:
    """One of the two instances."""

    key: str
    name: str
    language: str
    people: Sequence[Somebody]
    places: Sequence[Place]
    follows: Sequence[tuple[str, str]] = ()  # one of ours, one of the partner's


@dataclass(frozen=True, slots=True)
class Story:
    """Both companies, and what is said, answers after what they answer."""

    companies: tuple[Company, Company]
    lines: Sequence[Line]

    def company_of(self, name: str) -> Company:
        """Where somebody works."""
        return next(one for one in self.companies if any(person.name == name for person in one.people))

    def host_of(self, slug: str) -> Company:
        """Whose space it is."""
        return next(one for one in self.companies if any(place.slug == slug for place in one.places))

    def partner_of(self, company: Company) -> Company:
        return next(one for one in self.companies if one is not company)

    def place_of(self, line: Line) -> Place | None:
        """The space that a line stands in; an answer stands where its question does."""
        while line.answers:
            line = self.line(line.answers)
        return next((p for one in self.companies for p in one.places if p.slug == line.place), None)

    def line(self, key: str) -> Line:
        return next(line for line in self.lines if line.key == key)

    def is_shared(self, line: Line) -> bool:
        """Whether it needs the link."""
        place = self.place_of(line)
        return place.shared if place else line.visibility is Visibility.PUBLIC

    def in_rounds(self) -> Iterator[Line]:
        """First what answers nothing, then the answers, then theirs: each side waits for the other least often."""
        return iter(sorted(self.lines, key=self._depth))

    def _depth(self, line: Line) -> int:
        return 1 + self._depth(self.line(line.answers)) if line.answers else 0
