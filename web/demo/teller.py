"""Writes one company's part of the story, through the verbs that pages and API use, beside the process that serves it.

What the other company says arrives as everything from elsewhere does, and is waited for.
"""

import asyncio
import html
import io
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from federation import links as meeting
from federation.commands.opened import opened
from federation.instance import Instance
from federation.lookup import find_handle
from server import database as db
from server.actions import (
    accounts,
    attachments,
    follows,
    gestures,
    links,
    membership,
    polls,
    posts,
    preferences,
    spaces,
)
from server.limits import POLL_LONGEST_S, UPLOAD_BYTES
from server.openness import LinkState, MemberState
from server.settings import Settings
from server.terminal import Failure
from server.viewer import Employee, Operator
from web.demo.sheets import curve, pdf
from web.demo.story import Company, Line, Place, Sheet, Somebody, Story

OPERATOR = Operator("demo")
PASSWORD = "parvis-demo"
EVERY_S = 0.05
PATIENCE_S = 90.0
BEGINNING = 40
T = TypeVar("T")


async def tell(settings: Settings, story: Story, company: Company, partner_host: str) -> None:
    """One company's whole part. Between its halves the supervisor says “ready”, then “same” for the six words.

    Raises Failure when the other side does not come, and whatever a verb refuses.
    """
    async with opened(settings) as instance:
        teller = Teller(instance, story, company, partner_host)
        await teller.settle_in()
        await _hear("ready")
        print(" ".join(await teller.meet()), flush=True)
        await _hear("same")
        await teller.agree()
        await teller.open_to_the_partner()
        await teller.converse()


async def _hear(word: str) -> None:
    said = (await asyncio.to_thread(sys.stdin.readline)).strip()
    if said != word:
        raise Failure(f"the demo was given up before “{word}”.")


async def until(ask: Callable[[], Awaitable[T | None]], what: str) -> T:
    """Asks our own rows until they answer: another process writes them, and SQLite wakes nobody for that."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while (answer := await ask()) is None:
                await asyncio.sleep(EVERY_S)
            return answer
    except TimeoutError:
        raise Failure(f"not within {PATIENCE_S:.0f} s: {what}.") from None


@dataclass
class Teller:
    """One company's voice."""

    instance: Instance
    story: Story
    company: Company
    partner_host: str
    _staff: dict[str, Employee] = field(default_factory=dict)
    _told: dict[str, int] = field(default_factory=dict)

    async def settle_in(self) -> None:
        """Everything that needs nobody else: people, spaces, and what is said among colleagues."""
        for person in self.company.people:
            self._staff[person.name] = await self._hire(person)
        for place in self.company.places:
            if not place.shared:
                await self._open(place)
        await self._say_all(shared=False)

    async def meet(self) -> list[str]:
        """Offers the link, or takes the offer; the six words to compare."""
        if self._offers:
            await meeting.offer(self.instance, OPERATOR, self.partner_host)
        else:
            await self._link_is(LinkState.RECEIVED)
            await links.accept(OPERATOR, self.partner_host)
        await self._link_is(LinkState.CONFIRMED)
        return await meeting.six_words(self.instance, OPERATOR, self.partner_host)

    async def agree(self) -> None:
        """The words are the same on both sides."""
        await links.confirm(OPERATOR, self.partner_host)
        await self._link_is(LinkState.ACTIVE)

    async def open_to_the_partner(self) -> None:
        """The spaces that name the partner, their invitations, and who follows whom."""
        for place in self.company.places:
            if place.shared:
                await self._open(place)
        for place in self.company.places:
            for name in place.invited:
                await until(lambda: self._is_in(place.slug, name), f"{name} comes into {place.slug}")  # noqa: B023
        for ours, theirs in self.company.follows:
            found = await find_handle(self.instance, f"{theirs}@{self.partner_host}")
            await follows.follow(self._staff[ours], found.id)

    async def converse(self) -> None:
        """What is said with the partner, and then the gestures on all of it."""
        await self._say_all(shared=True)
        for line in self.story.lines:
            await self._answer_with_gestures(line)

    # --- the steps -------------------------------------------------------------------------------

    @property
    def _offers(self) -> bool:
        return self.story.companies[0] is self.company

    async def _hire(self, person: Somebody) -> Employee:
        password = PASSWORD if person.part else ""
        new = accounts.NewPerson(person.name, person.display_name, office=person.office.value, password=password)
        added = await accounts.add_person(OPERATOR, new, self.instance.here)
        employee = Employee(added.account_id, added.actor_id, person.office)
        about = preferences.Preferences(person.display_name, person.does, self.company.language)
        await preferences.save(employee, about)
        return employee

    async def _open(self, place: Place) -> None:
        new = spaces.NewSpace(
            slug=place.slug,
            name=place.name,
            level=place.level,
            owner=place.owner,
            description=place.about,
            listed=place.listed,
            reach=place.reach,
            partners=[self.partner_host] if place.partner_named else [],
        )
        space_id = await spaces.open_space(OPERATOR, new, self.instance.here)
        owner = self._staff[place.owner]
        for name in place.members:
            await membership.add(owner, space_id, self._staff[name].actor_id)
        for name in place.invited:
            found = await find_handle(self.instance, f"{name}@{self.partner_host}")
            await membership.add(owner, space_id, found.id)

    async def _say_all(self, *, shared: bool) -> None:
        for line in self.story.in_rounds():
            if line.author in self._staff and self.story.is_shared(line) is shared:
                await self._say(line)

    async def _say(self, line: Line) -> None:
        author, place = self._staff[line.author], self.story.place_of(line)
        draft = posts.Draft(
            line.text,
            space_id=await self._space_of(place, line.author) if place else None,
            visibility=line.visibility,
            reply_to_id=await self._post_of(self.story.line(line.answers)) if line.answers else None,
            file_ids=await self._attach(author, line.sheet) if line.sheet else [],
            client_key=f"demo {line.text[:BEGINNING]}",
            poll=polls.poll_of(line.options, False, POLL_LONGEST_S) if line.options else None,
        )
        self._told[line.text] = await posts.publish(author, draft, self.instance.here)

    async def _attach(self, author: Employee, sheet: Sheet) -> list[int]:
        brought = []
        for name, words, content in (
            (sheet.file_name, sheet.title, pdf(sheet)),
            (sheet.curve_name, sheet.curve_words, curve(sheet)),
        ):
            folder = self.instance.settings.files_dir
            brought.append(await attachments.take_in(author, folder, io.BytesIO(content), UPLOAD_BYTES, name, words))
        return brought

    async def _answer_with_gestures(self, line: Line) -> None:
        place = self.story.place_of(line)
        for name, emoji in [*((name, "") for name in line.thanks), *line.gestures]:
            if name in self._staff:
                if place:
                    await self._space_of(place, name)  # who is not in yet does not see what has arrived
                await gestures.react(self._staff[name], await self._post_of(line), emoji)
        for name, choice in line.votes:
            if name in self._staff:
                await polls.vote(self._staff[name], await self._post_of(line), [choice])

    async def _space_of(self, place: Place, author: str) -> int:
        slug = place.slug
        if self.story.host_of(slug) is not self.company:
            slug = f"{slug}@{self.partner_host}"
        return await until(lambda: self._is_in(slug, author), f"{author} comes into {slug}")

    async def _post_of(self, line: Line) -> int:
        if line.text in self._told:
            return self._told[line.text]
        return await until(lambda: self._arrived(line), f"“{line.text[:BEGINNING]}…” arrives")

    async def _arrived(self, line: Line) -> int | None:
        row = await db.fetch_one(
            "SELECT p.id FROM post p JOIN actor a ON a.id = p.author_id"
            " WHERE a.name = $1 AND a.host = $2 AND p.html LIKE $3",
            line.author,
            self.partner_host,
            f"%{html.escape(line.text[:BEGINNING], quote=False)}%",
        )
        return int(row["id"]) if row else None

    async def _is_in(self, slug: str, name: str) -> int | None:
        """The space's id, once somebody is a member."""
        row = await db.fetch_one(
            "SELECT s.id FROM space s JOIN membership m ON m.space_id = s.id JOIN actor a ON a.id = m.actor_id"
            " WHERE s.slug = $1 AND a.name = $2 AND m.state = $3",
            slug,
            name,
            MemberState.MEMBER.value,
        )
        return int(row["id"]) if row else None

    async def _link_is(self, state: LinkState) -> None:
        async def there() -> bool | None:
            row = await db.fetch_one(
                "SELECT l.state FROM link l JOIN peer q ON q.id = l.peer_id WHERE q.host = $1", self.partner_host
            )
            return (row is not None and row["state"] == state) or None

        await until(there, f"the link with {self.partner_host} is {state}")
