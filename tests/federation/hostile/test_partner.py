"""A hostile partner: it holds a valid link and says what it must not. Each is refused, counted, and harms nothing."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from federation.signatures import messages
from federation.vocabulary import moment
from server import database as db
from server.actions.posts import Draft, publish
from server.clock import now_ms
from server.openness import Level
from tests.federation.stranger import Actor, Here, Json, OtherServer, enter, everything, linked, met, mirrored

pytestmark = pytest.mark.anyio
BUT = ("receipt", "link_incident", "passport", "actor", "peer")


class Wicked:
    """Kestrel, linked with us: host of a space with Alice in it, guest in one of ours; Merle is another partner."""

    def __init__(self, here: Here, pin: Actor, group: Actor, chloe: Actor, mia: Actor) -> None:
        self.here, self.pin, self.group, self.chloe, self.mia = here, pin, group, chloe, mia
        self.ours = here.space("projet")
        self.mine = here.person("alice")

    def create(self, author: Actor, **note: Any) -> Json:
        to = [self.group.uri, f"{self.group.uri}/members"]
        return author.says("Create", author.note(**{"to": to, "audience": self.group.uri, **note}), to=to)

    def announce(self, inner: Any, by: Actor | None = None, **more: Any) -> Json:
        return (by or self.group).says("Announce", inner, to=[f"{self.group.uri}/members"], **more)


@pytest.fixture
async def wicked(closed: Here, kestrel: OtherServer, merle: OtherServer) -> Wicked:
    pin, mia = await linked(kestrel), merle.actor("mia")
    await linked(merle)
    group = kestrel.actor("cevennes", "Group", "/spaces/cevennes")
    await mirrored(group, closed.alice)
    chloe = kestrel.actor("chloe")
    space_id = await closed.open_space("projet", Level.PARTNERS, kestrel, merle)
    await enter(space_id, await met(chloe), kestrel)
    await enter(space_id, await met(mia), merle)
    await db.execute("UPDATE space SET epoch = 5 WHERE peer_id IS NOT NULL")
    return Wicked(closed, pin, group, chloe, mia)


Said = Callable[[Wicked], Json]
EPOCH: Json = {"parvis:policyEpoch": 5}
OLD: Json = {"parvis:policyEpoch": 4}
CRIMES: dict[str, tuple[str, Said]] = {
    "an author at another instance, without proof": ("RR3", lambda w: w.announce(w.create(w.mia), **EPOCH)),
    "an author at another instance, proved by somebody else": (
        "RR3",
        lambda w: w.announce(w.chloe.proved(w.create(w.mia)), **EPOCH),
    ),
    "our own people, who never said so": (
        "RR3",
        lambda w: w.announce(
            {
                "id": f"{w.here.base}/activities/9",
                "type": "Create",
                "actor": w.mine,
                "object": w.create(w.chloe)["object"],
            },
            **EPOCH,
        ),
    ),
    "an old epoch": ("RR1", lambda w: w.announce(w.create(w.chloe), **OLD)),
    "no epoch": ("RR1", lambda w: w.announce(w.create(w.chloe))),
    "a space that it does not host": ("untrusted", lambda w: w.announce(w.create(w.chloe), w.mia)),
    "a space never shared": (
        "hidden",
        lambda w: w.announce(w.create(w.chloe), w.pin.server.actor("vosges", "Group", "/spaces/vosges")),
    ),
    "an answer that nobody asked for": ("O24", lambda w: w.group.says("Accept", f"{w.here.base}/activities/1")),
    "an invitation that is somebody else's": ("refused", lambda w: w.chloe.says("Invite", w.group.uri, target=w.mine)),
    "removing somebody who is not ours": (
        "hidden",
        lambda w: w.group.says("Remove", w.mia.uri, target=f"{w.group.uri}/members"),
    ),
    "removing somebody from our own space": (
        "hidden",
        lambda w: w.chloe.says("Remove", w.mine, target=f"{w.ours}/members"),
    ),
    "the words of a member of another partner": ("untrusted", lambda w: w.mia.says("Like", w.ours)),
    "an activity of a kind that we do not take": ("untaken", lambda w: w.chloe.says("Travel", w.ours)),
    "an actor twice": ("malformed", lambda w: {**w.chloe.says("Like", w.ours), "object": [w.ours, w.mine]}),
}


@pytest.mark.parametrize("crime", CRIMES)
async def test_each_is_refused_with_its_reason_and_disturbs_nothing(wicked: Wicked, crime: str) -> None:
    rule, said = CRIMES[crime]
    before = await everything(*BUT)
    await wicked.here.hear(said(wicked), wicked.pin.ed)
    await wicked.here.process()
    assert await everything(*BUT) == before
    [incident] = await db.fetch("SELECT rule, reason, count FROM link_incident")
    assert incident["rule"] == rule and incident["reason"] and incident["count"] == 1
    [link] = await db.fetch(
        "SELECT l.state FROM link l JOIN peer q ON q.id = l.peer_id WHERE q.host = $1", wicked.pin.server.host
    )
    assert link["state"] == "active"
    create = wicked.create(wicked.chloe)
    assert await wicked.here.take(wicked.announce(create, **EPOCH), wicked.pin.ed) == "", "the next one goes on"


async def test_what_is_too_big_or_too_deep_is_refused_before_it_is_read(wicked: Wicked) -> None:
    deep: Any = "x"
    for _ in range(64):
        deep = {"object": deep}
    nested = json.dumps(wicked.chloe.says("Create", deep)).encode()
    big = json.dumps(wicked.chloe.says("Create", wicked.chloe.note("x" * (1 << 20)))).encode()
    before = await everything(*BUT)
    assert (await wicked.here.hear(nested, wicked.pin.ed)).status_code == 400
    assert (await wicked.here.hear(big, wicked.pin.ed)).status_code == 413
    assert await everything(*BUT) == before
    rows = await db.fetch("SELECT rule, reason FROM link_incident ORDER BY rule")
    assert [row["rule"] for row in rows] == ["malformed", "unproved malformed"]


async def test_the_same_thing_a_hundred_times_is_one_row_and_replays_do_nothing(wicked: Wicked) -> None:
    for _ in range(100):
        await wicked.here.hear(wicked.announce(wicked.create(wicked.mia), **EPOCH), wicked.pin.ed)
    await wicked.here.process()
    [incident] = await db.fetch("SELECT rule, count FROM link_incident")
    assert incident == {"rule": "RR3", "count": 100}
    assert wicked.mia.server.asked("/users/mia") <= 1, "nobody is asked a hundred times because of what it forges"
    once = wicked.announce(wicked.create(wicked.chloe), **EPOCH)
    assert await wicked.here.take(once, wicked.pin.ed) == ""
    before = await everything()
    for _ in range(3):
        assert (await wicked.here.hear(once, wicked.pin.ed)).status_code == 202
    await wicked.here.process()
    assert await everything() == before


async def test_a_withdrawn_post_that_is_relayed_again_stays_withdrawn(wicked: Wicked) -> None:
    create = wicked.create(wicked.chloe)
    assert await wicked.here.take(wicked.announce(create, **EPOCH), wicked.pin.ed) == ""
    gone = wicked.chloe.says("Delete", create["object"]["id"])
    assert await wicked.here.take(wicked.announce(gone, **EPOCH), wicked.pin.ed) == ""
    edited = create["object"] | {"content": "<p>again</p>", "updated": moment(now_ms() + 1000)}
    for inner in (create, wicked.chloe.says("Update", edited)):
        await wicked.here.take(wicked.announce(inner, **EPOCH), wicked.pin.ed)
    assert await db.fetch("SELECT id FROM post WHERE deleted_at IS NULL") == []


async def test_a_swapped_key_stops_its_own_link_and_no_other(wicked: Wicked) -> None:
    stolen = wicked.pin.server.actor("thief")
    wicked.pin.ed = type(wicked.pin.ed)(f"{wicked.pin.uri}#other", stolen.ed.key)
    wicked.pin.publish()
    assert (await wicked.here.hear(wicked.pin.says("Like", wicked.ours), wicked.pin.ed)).status_code in (401, 403)
    rows = await db.fetch("SELECT q.host, l.state, l.cause FROM link l JOIN peer q ON q.id = l.peer_id")
    states = {row["host"]: (row["state"], row["cause"]) for row in rows}
    assert states == {wicked.pin.server.host: ("suspended", "key"), wicked.mia.server.host: ("active", "")}
    assert len(await db.fetch("SELECT id FROM notice WHERE kind = 'link'")) == 1


async def test_a_partner_reads_only_what_it_may_and_finds_the_same_nothing_elsewhere(wicked: Wicked) -> None:
    here = wicked.here
    secret = await here.open_space("secret", Level.CLOSED)
    post_id = await publish(here.alice, Draft("confidentiel", secret), here.instance.here)
    bodies = set()
    for path in (
        f"/posts/{post_id}",
        f"/posts/{post_id}/replica",
        "/posts/99999/replica",
        "/spaces/secret",
        "/spaces/x",
    ):
        headers = {"accept": "application/activity+json"}
        signed = messages.sign("GET", here.base + path, headers, b"", wicked.pin.ed, now_ms())
        answer = await here.http.get(here.base + path, headers=dict(signed))
        assert answer.status_code == 404
        bodies.add((answer.content, tuple(sorted(answer.headers.items()))))
    assert len({body for body, _ in bodies}) == 1
