"""What a host tells in one page has the effects that it has one by one: the same refusals, the same rows."""

import random
from hashlib import sha256
from typing import Any

import pytest

from server import database as db
from tests.federation.hostile.test_relays import Theirs
from tests.federation.stranger import Actor, Here, Json, OtherServer, linked, mirrored

pytestmark = pytest.mark.anyio
STEPS = 30
SEEDS = (1, 2)


class Told:
    """A script told in one space: the same numbers name the same things in each."""

    def __init__(self, theirs: Theirs, key: str) -> None:
        self.theirs, self.key = theirs, f"{key}-{theirs.group.name}"
        self.relays: list[Json] = []

    def note(self, number: int) -> str:
        return f"{self.theirs.group.server.base}/notes/{self.key}-{number}"

    def tell(self, step: int, kind: str, number: int, other: int) -> None:
        by, inner = self._inner(step, kind, number, other)
        inner["id"] = f"{by.server.base}/activities/{self.key}-{step}"
        if kind == "undo":
            inner["object"] = f"{by.server.base}/activities/{self.key}-{other}"
        self.relays.append(self.theirs.announce(inner))

    def _inner(self, step: int, kind: str, number: int, other: int) -> tuple[Actor, Json]:
        chloe, said = self.theirs.chloe, f"<p>{step}</p>"
        if kind in ("create", "reply", "edit", "elsewhere"):
            more: Json = {"id": self.note(number)}
            if kind == "reply":
                more["inReplyTo"] = self.note(other)
            if kind == "edit":
                more["updated"] = f"2026-11-01T10:00:{step:02d}Z"
            inner = self.theirs.create(chloe, content=said, **more)
            if kind == "elsewhere":
                inner["object"] |= {"to": [chloe.uri], "audience": chloe.uri}
            return chloe, inner | ({"type": "Update"} if kind == "edit" else {})
        if kind == "forged":
            return self.theirs.mia, self.theirs.create(self.theirs.mia, content=said)
        what = {"like": "Like", "delete": "Delete", "undo": "Undo"}[kind]
        return chloe, chloe.says(what, self.note(number), to=[self.theirs.group.uri])

    async def all_at_once(self) -> None:
        await self._heard(self.relays)

    async def one_by_one(self) -> None:
        for relay in self.relays:
            await self._heard([relay])

    async def _heard(self, relays: list[Json]) -> None:
        for relay in relays:
            assert (await self.theirs.here.hear(relay, self.theirs.pin.ed)).status_code == 202
        await self.theirs.here.process()

    async def outcomes(self) -> list[str]:
        """What became of each, without the names of this space."""
        found = []
        for relay in self.relays:
            [row] = await db.fetch(
                "SELECT outcome, code, processed_at FROM receipt WHERE activity_hash = $1",
                sha256(relay["id"].encode()).hexdigest(),
            )
            assert row["processed_at"] is not None
            found.append(f"{row['code']} {row['outcome']}".replace(self.theirs.group.name, "SPACE"))
        return found

    async def rows(self) -> list[dict[str, Any]]:
        """What is here afterwards: posts, what they answer, gestures, words that are found, facts."""
        posts = await db.fetch(
            "SELECT p.uri, p.html, p.edited_at, p.stamp, p.stamp_epoch, p.reply_to_uri, r.uri AS answers,"
            " t.uri AS root,"
            " CASE WHEN p.deleted_at IS NULL THEN 1 ELSE 0 END AS here, w.text,"
            " (SELECT COUNT(*) FROM reaction x WHERE x.post_id = p.id) AS gestures,"
            " (SELECT COUNT(*) FROM event e WHERE e.post_id = p.id) AS facts,"
            " (SELECT COUNT(*) FROM post_version v WHERE v.post_id = p.id) AS versions FROM post p"
            " LEFT JOIN post r ON r.id = p.reply_to_id LEFT JOIN post t ON t.id = p.root_id"
            " LEFT JOIN search_row w ON w.post_id = p.id WHERE p.space_id = $1 ORDER BY p.uri",
            self.theirs.id,
        )
        return [
            {
                name: value.replace(self.theirs.group.name, "SPACE") if isinstance(value, str) else value
                for name, value in post.items()
            }
            for post in posts
        ]


def script(seed: int) -> list[tuple[str, int, int]]:
    """(kind, number of a post, of another post or of a step): many about few posts, also before they come."""
    chance = random.Random(seed)
    kinds = ["create"] * 8 + ["reply"] * 4 + ["edit"] * 4 + ["like"] * 5 + ["undo", "delete", "forged", "elsewhere"]
    steps = []
    for step in range(STEPS):
        kind, most = chance.choice(kinds), 3 + step // 3
        steps.append((kind, chance.randrange(most), chance.randrange(step + 1 if kind == "undo" else most)))
    return steps


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_page_has_the_effects_of_its_events_one_by_one(
    closed: Here, kestrel: OtherServer, merle: OtherServer, seed: int
) -> None:
    pin, chloe, mia = await linked(kestrel), kestrel.actor("chloe"), merle.actor("mia")
    told = []
    for slug in ("cevennes", "vosges"):
        group = kestrel.actor(slug, "Group", f"/spaces/{slug}")
        group.publish(followers=f"{group.uri}/members")
        space_id = await mirrored(group, closed.alice)
        told.append(Told(Theirs(closed, pin, group, chloe, mia, space_id), str(seed)))
    for step, (kind, number, other) in enumerate(script(seed)):
        for space in told:
            space.tell(step, kind, number, other)
    one_by_one, together = told
    await one_by_one.one_by_one()
    await together.all_at_once()
    assert await together.outcomes() == await one_by_one.outcomes()
    assert await together.rows() == await one_by_one.rows()
