"""Spaces of every openness with a canary in every field, and everybody who might look, each through their own door."""

import io
import itertools
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.types import ASGIApp

from federation.keyring import instance_actor_id
from federation.signatures import messages
from federation.signatures.keys import PrivateKey
from server import database as db
from server import files
from server.actions import polls, posts
from server.actions.accounts import issue_token, suspend
from server.actions.attachments import bring
from server.actions.poll_rows import NewPoll
from server.clock import now_ms
from server.ids import new_id
from server.openness import Level, Office, Reach, Visibility
from server.queries import policies
from server.space_policy import canonical
from server.viewer import Employee, Guest, Operator, RemotePerson
from tests import cast as company
from tests.cast import HERE, INCONNU, KESTREL, Cast
from tests.leaks.oracle import OUTSIDE, SPACES, canary
from tests.unit.federation.asking import ACTIVITY, introduce
from tests.unit.web.pages.browser import session_of
from web.session import cookie_name

RIVAL, NAMED, PICKED, SISTER, OTHER, PAIR = (
    "rival.test",
    "solstice.test",
    "choisi.test",
    "soeur.test",
    "merle.test",
    "pair.test",
)
HOOK = "hameconzz"
"""Stands beside the canaries, so that a search finds them without being told them."""

SERVERS = {
    "partner with a member": KESTREL,
    "rival with a member": RIVAL,
    "partner without a member": NAMED,
    "partner by invitation": PICKED,
    "sister department": SISTER,
    "linked, not named": OTHER,
    "not linked": INCONNU,
    "not linked, with a member": PAIR,
}

LEVELS = {
    "closed": (Level.CLOSED, True, Reach.INVITED),
    "unlisted": (Level.CLOSED, False, Reach.INVITED),
    "internal": (Level.INTERNAL, True, Reach.INVITED),
    "invited": (Level.PARTNERS, True, Reach.INVITED),
    "invited_readable": (Level.PARTNERS, True, Reach.INVITED),
    "invited_unlisted": (Level.PARTNERS, False, Reach.INVITED),
    "blind": (Level.PARTNERS, True, Reach.INVITED),
    "everyone": (Level.PARTNERS, True, Reach.EVERYONE),
    "network": (Level.NETWORK, True, Reach.INVITED),
    "public": (Level.PUBLIC, True, Reach.INVITED),
}


@dataclass
class Space:
    """What an address can name of one space: ids as text, by what they are ids of."""

    name: str
    id: int
    slug: str
    ids: dict[str, list[str]] = field(default_factory=dict)
    posts: dict[str, str] = field(default_factory=dict)
    """The field of what was written, by its id."""


@dataclass
class Scene:
    """The application, the spaces, and what each observer shows at the door."""

    app: Starlette
    cast: Cast
    spaces: list[Space] = field(default_factory=list)
    cookies: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    keys: dict[str, PrivateKey] = field(default_factory=dict)
    reached: ASGIApp | None = None
    """What stands before the application, where something does."""

    @cached_property
    def number_begins(self) -> str:
        """How the ids of all posts begin, which are of one moment."""
        numbers = [number for space in self.spaces for number in space.posts]
        same = itertools.takewhile(lambda digits: len(set(digits)) == 1, zip(*numbers, strict=False))
        return "".join(digits[0] for digits in same)

    async def ask(self, door: str, observer: str, path: str, method: str = "GET", **options: Any) -> httpx.Response:
        """What an observer is answered, through the door of pages, of tokens or of documents."""
        headers = {**self._shown(door, observer, path, method), **options.pop("headers", {})}
        transport = httpx.ASGITransport(
            self.reached or self.app, raise_app_exceptions=False, client=("203.0.113.9", 4321)
        )
        async with httpx.AsyncClient(transport=transport, base_url=HERE.base) as http:
            return await http.request(method, path, headers=headers, **options)

    def _shown(self, door: str, observer: str, path: str, method: str) -> dict[str, str]:
        if door == "documents":
            headers = {"accept": ACTIVITY}
            key = self.keys.get(observer)
            return messages.sign(method, HERE.base + path, headers, b"", key, now_ms()) if key else headers
        if door == "tokens":
            token = self.tokens.get(observer)
            return {"authorization": f"Bearer {token}"} if token else {}
        cookie = self.cookies.get(observer)
        shown = {"accept": "text/html", "sec-fetch-site": "same-origin"}
        return shown | ({"cookie": f"{cookie_name(self.app.state.settings)}={cookie}"} if cookie else {})


async def build(app: Starlette, only: tuple[str, ...] = SPACES) -> Scene:
    """Fills an empty database."""
    await instance_actor_id(app.state.instance)
    scene = Scene(app, await company.gather())
    await _peers(scene)
    people = await _people(scene)
    for name in only:
        await _space(scene, name, people)
    await _former(scene, people)
    return scene


async def _peers(scene: Scene) -> None:
    for host in (RIVAL, NAMED, PICKED, SISTER, OTHER):
        await company._peer(host, host, linked=True)
    await company._peer(PAIR, PAIR, linked=False)
    await db.execute("UPDATE link SET kin = TRUE WHERE peer_id = $1", await company._peer_id(SISTER))
    for observer, host in SERVERS.items():
        scene.keys[observer] = await introduce(host)


@dataclass
class People:
    former: Employee
    gone: Employee
    inside: Guest
    elsewhere: Guest
    over: Guest
    glass: Employee
    rival: RemotePerson
    paul: RemotePerson


async def _people(scene: Scene) -> People:
    cast = scene.cast
    people = People(
        former=await company.employee("fanny", "Fanny Morel"),
        gone=await company.employee("gaspard", "Gaspard Petit"),
        inside=await company.guest("gwen", "Gwen Le Roux", cast.alice, "Cabinet Ouest"),
        elsewhere=await company.guest("hugo", "Hugo Blin", cast.alice, "Atelier Nord"),
        over=await company.guest("ines", "Inès Roy", cast.alice, "Atelier Sud"),
        glass=await company.employee("oscar", "Oscar Vidal", Office.ADMIN),
        rival=await company.stranger("rita", "Rita", RIVAL),
        paul=await company.stranger("paul", "Paul", PAIR),
    )
    auditor = await company.employee("aude", "Aude Simon", Office.AUDITOR)
    signed_in: dict[str, Employee | Guest] = {
        "member": cast.alice,
        "colleague": cast.bruno,
        "former member": people.former,
        "auditor": auditor,
        "admin": cast.odile,
        "admin with a granted reading": people.glass,
        "gone": people.gone,
        "guest in it": people.inside,
        "guest elsewhere": people.elsewhere,
        "guest whose time is over": people.over,
    }
    for observer, who in signed_in.items():
        scene.cookies[observer] = (await session_of(who)).token
        scene.tokens[observer] = await issue_token(who.account_id, "read write follow")
    await company.space("ailleurs", Level.PARTNERS, cast.alice, people.elsewhere)
    return people


async def _space(scene: Scene, name: str, people: People) -> None:
    cast, (level, listed, reach), now = scene.cast, LEVELS[name], now_ms()
    slug = f"s-{name.replace('_', '-')}"
    outside = (cast.chloe, people.rival, people.inside, people.over) if name in OUTSIDE else ()
    strangers = (people.paul,) if name in ("network", "public") else ()
    partners = (KESTREL, RIVAL, NAMED, PICKED, SISTER) if name in OUTSIDE else ()
    members = (people.former, people.gone, *outside, *strangers)
    space_id = await company.space(slug, level, cast.alice, *members, listed=listed, reach=reach, partners=partners)
    words = {part: f"{HOOK} {canary(name, part)}" for part in ("name", "description", "charter", "tone", "frame")}
    await db.execute(
        "UPDATE space SET name = $1, description = $2, charter = $3, tone = $4, frame = $5, staff_read = $6,"
        " partner_view = $7, opened_at = $8 WHERE id = $9",
        *words.values(),
        name == "invited_readable",
        "blind" if name == "blind" else "organisations",
        now - 60_000,
        space_id,
    )
    await db.execute(
        "UPDATE actor SET display_name = $1, summary = $2 WHERE id = (SELECT actor_id FROM space WHERE id = $3)",
        words["name"],
        words["description"],
        space_id,
    )
    await db.execute("UPDATE space_partner SET added_at = $1 WHERE space_id = $2", now - 60_000, space_id)
    await db.execute(
        "UPDATE space_partner SET reach = 'invited' WHERE space_id = $1 AND peer_id = $2",
        space_id,
        await company._peer_id(PICKED),
    )
    space = Space(name, space_id, slug)
    scene.spaces.append(space)
    await _silent(scene, space)
    await _written(scene, space, people)
    await _glass(space, people)


async def _silent(scene: Scene, space: Space) -> None:
    """Somebody who is in it and never writes; of a partner where partners may be."""
    name = canary(space.name, "person")
    if space.name in OUTSIDE:
        who: Employee | RemotePerson = await company.stranger(f"m{space.id}", name, KESTREL)
    else:
        who = await company.employee(f"m{space.id}", name)
    await company.enter(space.id, who)
    space.ids["person"] = [str(who.actor_id)]


async def _written(scene: Scene, space: Space, people: People) -> None:
    alice, name = scene.cast.alice, space.name
    stored = _picture(scene.app.state.settings.files_dir, name)
    file_id = await bring(alice, stored, f"{canary(name, 'file')}.png", canary(name, "alt"))
    poll = NewPoll((f"{HOOK} {canary(name, 'option')}", "autre"), ends_at=now_ms() + 3_600_000)
    draft = posts.Draft(canary(name, "old"), space.id, file_ids=(file_id,), summary=canary(name, "summary"), poll=poll)
    body = await posts.publish(alice, draft, HERE)
    await polls.vote(alice, body, [0])
    link = f"https://exemple.test/{canary(name, 'link')}"
    await posts.edit(alice, body, f"{HOOK} {canary(name, 'body')} {link}", HERE)
    await _attached(body, name)
    past = await company.say(alice, canary(name, "past"), space.id)
    await db.execute("UPDATE post SET stamp = 'internal' WHERE id = $1", past)
    kept = await company.say(alice, canary(name, "kept"), space.id)
    await db.execute("UPDATE post SET published_at = published_at - 30000, kept_at = $1 WHERE id = $2", now_ms(), kept)
    taken = await company.say(alice, canary(name, "taken"), space.id)
    await posts.withdraw(alice, taken)
    written = [body, past, kept, taken]
    left = await company.say(people.former, canary(name, "left"), space.id)
    space.posts = {str(body): "body", str(past): "past", str(kept): "kept", str(left): "left"}
    if name in OUTSIDE:
        written.append(theirs := await company.say(scene.cast.chloe, canary(name, "theirs"), space.id))
        held = await _held(scene, space)
        space.ids["held"] = [str(held)]
        space.posts |= {str(theirs): "theirs", str(held): "held"}
    row = await db.fetch_one("SELECT actor_id FROM space WHERE id = $1", space.id)
    events = await db.fetch("SELECT id FROM event WHERE space_id = $1", space.id)
    notices = await db.fetch("SELECT id FROM notice WHERE space_id = $1 OR post_id = $2", space.id, body)
    assert row is not None
    space.ids |= {
        "post": [str(i) for i in written],
        "account": [str(row["actor_id"]), *space.ids["person"]],
        "space": [str(space.id)],
        "file": [str(file_id)],
        "event": [str(event["id"]) for event in events],
        "notice": [str(notice["id"]) for notice in notices] or ["7"],
        "slug": [space.slug],
        "file name": [f"{canary(name, 'file')}.png"],
        "recall": [str(await _taken_back(space, taken))],
        "change": [str(await _waiting(space))],
    }


def _picture(folder: Path, name: str) -> files.Stored:
    """A picture with a small one beside it: no decoder leaves a word in one, so both are only alike."""
    whole = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + canary(name, "bytes").encode()
    stored = files.store(folder, io.BytesIO(whole), 10_000)
    with files.Arriving(folder, 10_000) as small:
        small.write(canary(name, "small").encode())
        small.keep_beside(stored.sha256)
    return replace(stored, width=4, height=3)


async def _held(scene: Scene, space: Space) -> int:
    """What waits for a steward, as the rows say it."""
    words = canary(space.name, "held")
    post = await company.say(scene.cast.chloe, words, space.id)
    await db.execute("UPDATE post SET held_at = $1 WHERE id = $2", now_ms(), post)
    activity = {"activity_uri": f"https://{KESTREL}/activities/{post}", "original": f'["{words}"]'}
    await db.insert("held_post", {"post_id": post, **activity})
    return post


async def _taken_back(space: Space, post_id: int) -> int:
    """A recall of what was taken back, from the partner with a member, as the rows say it."""
    recall, target, now = new_id(), new_id(), now_ms()
    row = {"id": recall, "space_id": space.id, "scope": "item", "items": f"[{post_id}]", "reason": "withdraw_post"}
    await db.insert("recall", {**row, "keep": "none", "deadline_at": now, "created_at": now})
    about = {"id": target, "recall_id": recall, "peer_id": await company._peer_id(KESTREL), "linked": True}
    await db.insert("recall_target", {**about, "items": 1, "gathered_at": now})
    uri = f"{HERE.base}/posts/{post_id}"
    await db.insert(
        "recall_part",
        {"id": new_id(), "target_id": target, "number": 0, "from_uri": uri, "to_uri": uri, "uris": f'["{uri}"]'},
    )
    return recall


async def _waiting(space: Space) -> int:
    """A change of openness that waits for a second person, with the reason that its owner gave."""
    wanted, change_id = await policies.current(space.id), new_id()
    row = {"id": change_id, "space_id": space.id, "state": "waiting", "base_epoch": 1, "door": "page"}
    row |= {"wanted": canonical(replace(wanted, level=Level.PUBLIC)), "reason": canary(space.name, "reason")}
    await db.insert("policy_change", {**row, "plan_hash": "0" * 64, "asked_at": now_ms()})
    return change_id


async def _attached(post_id: int, name: str) -> None:
    """A gesture and somebody named: rows, for no name of a person nor gesture holds a canary by itself."""
    named = await company.stranger(canary(name, "mention"), "Quelqu’un", KESTREL)
    await db.insert("mention", {"id": new_id(), "post_id": post_id, "actor_id": named.actor_id})
    gesture = {"post_id": post_id, "actor_id": named.actor_id, "emoji": canary(name, "reaction")}
    await db.insert("reaction", {"id": new_id(), **gesture, "created_at": now_ms()})


async def _glass(space: Space, people: People) -> None:
    now = now_ms()
    row = {"space_id": space.id, "asked_by_id": people.glass.actor_id, "reason": "contrôle", "asked_at": now}
    reading = new_id()
    await db.insert("break_glass", {"id": reading, **row, "approved_at": now, "until_at": now + 3_600_000})
    space.ids["reading"] = [str(reading)]


async def _former(scene: Scene, people: People) -> None:
    """Whoever was in them and is not any more: their sessions, tokens and addresses are what they were."""
    await company.say(people.elsewhere, "bonjour", await _elsewhere())
    await company.say(scene.cast.bruno, "@alice bonjour", visibility=Visibility.COLLEAGUES)
    await db.execute("DELETE FROM membership WHERE actor_id = $1", people.former.actor_id)
    await suspend(Operator(), people.gone.account_id)
    await db.execute("UPDATE account SET until_at = 1 WHERE id = $1", people.over.account_id)


async def _elsewhere() -> int:
    row = await db.fetch_one("SELECT id FROM space WHERE slug = 'ailleurs'")
    assert row is not None
    return int(row["id"])
