"""The mirror between instances: to the linked partner alone, signed, bounded when it is read."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from federation import mirroring
from federation.errors import Malformed
from federation.keyring import instance_key
from federation.proving import holds
from server.clock import now_ms
from server.openness import Level
from tests.cast import HERE, INCONNU, KESTREL, Cast, gather, say, space
from tests.unit.federation.asking import Asking, asking

pytestmark = pytest.mark.anyio


@pytest.fixture
async def cast(database: str) -> Cast:
    return await gather()


@pytest.fixture
async def ask(cast: Cast, tmp_path: Path) -> AsyncIterator[Asking]:
    async with asking(tmp_path, "linked", KESTREL, INCONNU) as found:
        yield found


async def test_only_the_linked_partner_hears_and_what_it_hears_is_proved(ask: Asking, cast: Cast) -> None:
    await say(cast.alice, "bonjour", await space("offre", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,)))
    await space("rachat", Level.CLOSED, cast.alice, listed=False)
    for other in (None, INCONNU):
        assert (await ask(mirroring.PATH, other)).status_code == 404, other
    document = await ask.document(mirroring.PATH, KESTREL)
    key = await instance_key(ask.instance)
    here = HERE.instance
    keys = [(key.key_id, here, "multikey", key.public(here).to_multikey())]
    assert holds(document, here, keys)
    told = mirroring.read(document["parvis:mirror"], KESTREL)
    assert [one["space"] for one in told["spaces"]] == [HERE.space("offre")]
    assert [one["ours"] for one in told["spaces"]] == [1]
    await space("appel", Level.PARTNERS, cast.alice, partners=(KESTREL,))
    later = mirroring.read((await ask.document(mirroring.PATH, KESTREL))["parvis:mirror"], KESTREL)
    counted = {one["space"]: one["ours"] for one in later["spaces"]}
    assert counted[HERE.space("appel")] == 0, "nobody of theirs is in it, and who is not is not told how many are"
    document["parvis:mirror"]["spaces"][0]["items"] += 1
    assert not holds(document, here, keys), "what was changed on the way is not believed"


GOOD: dict[str, Any] = {"space": "https://k/s", "theirs": 1, "ours": 1, "items": 1, "files": 0, "copies": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"partner": INCONNU},
        {"at": 1},
        {"at": "now"},
        {"spaces": {}},
        {"spaces": [GOOD] * 201},
        {"spaces": [GOOD | {"items": -1}]},
        {"spaces": [GOOD | {"items": True}]},
        {"spaces": [GOOD | {"copies": "1"}]},
        {"spaces": [GOOD | {"space": "x" * 600}]},
        {"spaces": ["x"]},
    ],
)
def test_a_mirror_that_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    whole = {"partner": KESTREL, "at": now_ms(), "spaces": [GOOD], "more": False}
    assert mirroring.read(whole, KESTREL)["spaces"] == [GOOD]
    with pytest.raises(Malformed):
        mirroring.read(whole | change, KESTREL)
