"""How others find us: names, the instance, NodeInfo, host-meta, robots."""

import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from federation.wellknown import VERSION
from server.openness import Level
from tests.cast import HERE, INCONNU, KESTREL, Cast, gather, space
from tests.house.sources import ROOT
from tests.unit.federation.asking import Asking, asking, same

pytestmark = pytest.mark.anyio
HOST = HERE.host


@pytest.fixture
async def cast(database: str) -> Cast:
    return await gather()


@pytest.fixture
async def ask(cast: Cast, tmp_path: Path) -> AsyncIterator[Asking]:
    async with asking(tmp_path, "linked", KESTREL, INCONNU) as found:
        yield found


async def finger(ask: Asking, resource: str, by: str | None = None, more: str = "") -> httpx.Response:
    return await ask(f"/.well-known/webfinger?resource={quote(resource, safe='')}{more}", by, accept=None)


UNKNOWN = [
    f"acct:personne@{HOST}",
    f"acct:zoe@{HOST}",  # suspended
    "acct:alice@evil.test",
    f"acct:alice@{HOST}.evil.test",
    f"acct:alice@evil.{HOST}",
    f"acct:alice@{HOST}:8443",
    "acct:alice",
    "acct:@",
    f"acct:ali\0ce@{HOST}",
    f"acct:chloe@{KESTREL}@{HOST}",
    f"https://evil.test/@alice?{HERE.base}",
    f"http://{HOST}/@alice",
    f"{HERE.base}/@alice/outbox",
    f"{HERE.base}/@ALICE",
    f"{HERE.base}.evil.test/@alice",
    f"{HERE.base}/spaces/conseil",
    f"{HERE.base}/spaces/offre",
    f"acct:conseil@{HOST}",
    f"acct:maison@{HOST}",
    f"acct:offre@{HOST}",
]


@pytest.mark.parametrize("by", [None, INCONNU], ids=["the web", "a stranger"])
async def test_K12_who_is_nobody_hidden_or_of_another_host_gets_the_same_bytes(
    ask: Asking, cast: Cast, by: str | None
) -> None:
    await space("conseil", Level.CLOSED, cast.alice)
    await space("maison", Level.INTERNAL, cast.alice)
    await space("offre", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    never = await finger(ask, f"acct:jamais@{HOST}", by)
    assert never.status_code == 404
    assert [resource for resource in UNKNOWN if not same(await finger(ask, resource, by), never)] == []


async def test_A8_a_linked_instance_that_a_space_does_not_name_cannot_find_it(ask: Asking, cast: Cast) -> None:
    await space("offre", Level.PARTNERS, cast.alice)
    never = await finger(ask, f"acct:jamais@{HOST}", KESTREL)
    assert same(await finger(ask, f"acct:offre@{HOST}", KESTREL), never)
    assert same(await finger(ask, f"{HERE.base}/spaces/offre", KESTREL), never)


async def test_a_named_partner_finds_a_space_and_its_answer_is_for_nobody_else(ask: Asking, cast: Cast) -> None:
    await space("offre", Level.PARTNERS, cast.alice, partners=(KESTREL,))
    found = await finger(ask, f"acct:offre@{HOST}", KESTREL)
    assert found.json()["links"][0]["href"] == HERE.space("offre")
    assert found.headers["cache-control"] == "private, no-store"
    assert "Signature" in found.headers["vary"]


async def test_anybody_finds_a_public_space(ask: Asking, cast: Cast) -> None:
    await space("place", Level.PUBLIC, cast.alice)
    assert (await finger(ask, f"acct:place@{HOST}")).json()["subject"] == f"acct:place@{HOST}"


async def test_a_network_space_is_found_by_anybody_only_where_any_instance_federates(
    ask: Asking, cast: Cast, tmp_path: Path
) -> None:
    await space("place", Level.NETWORK, cast.alice)
    assert same(await finger(ask, f"acct:place@{HOST}"), await finger(ask, f"acct:jamais@{HOST}"))
    async with asking(tmp_path / "open", "open") as open_ask:
        assert (await finger(open_ask, f"acct:place@{HOST}")).json()["subject"] == f"acct:place@{HOST}"


@pytest.mark.parametrize("resource", [f"acct:alice@{HOST}", f"acct:Alice@{HOST.upper()}", f"{HERE.base}/@alice"])
async def test_a_colleague_is_found_by_name_and_by_address(ask: Asking, resource: str) -> None:
    answer = await finger(ask, resource)
    assert answer.headers["content-type"] == "application/jrd+json"
    assert answer.headers["access-control-allow-origin"] == "*"
    found = answer.json()
    assert found["subject"] == f"acct:alice@{HOST}"
    assert found["aliases"] == [HERE.person("alice")]
    assert {"rel": "self", "type": "application/activity+json", "href": HERE.person("alice")} in found["links"]


async def test_only_the_relations_that_are_asked_for_come_back(ask: Asking) -> None:
    found = (await finger(ask, f"acct:alice@{HOST}", more="&rel=self")).json()
    assert [link["rel"] for link in found["links"]] == ["self"]


@pytest.mark.parametrize("resource", [HERE.base, f"{HERE.base}/", HERE.instance, f"acct:{HOST}@{HOST}"])
async def test_the_instance_itself_is_found_at_its_root(ask: Asking, resource: str) -> None:
    links = (await finger(ask, resource)).json()["links"]
    assert {(link["rel"], link["href"]) for link in links} == {
        ("https://www.w3.org/ns/activitystreams#Service", HERE.instance),
        ("self", HERE.instance),
    }


@pytest.mark.parametrize("query", ["", "?resource=", "?resource=acct:a@b&resource=acct:c@d"])
async def test_without_exactly_one_resource_the_question_is_not_understood(ask: Asking, query: str) -> None:
    assert (await ask(f"/.well-known/webfinger{query}")).status_code == 400


async def test_nodeinfo_counts_nobody_and_names_no_space(ask: Asking, cast: Cast) -> None:
    await space("place", Level.PUBLIC, cast.alice)
    links = (await ask("/.well-known/nodeinfo")).json()["links"]
    assert {link["rel"]: link["href"] for link in links} == {
        "http://nodeinfo.diaspora.software/ns/schema/2.1": f"{HERE.base}/nodeinfo/2.1",
        "https://www.w3.org/ns/activitystreams#Application": HERE.instance,
    }
    answer = await ask("/nodeinfo/2.1")
    assert answer.headers["content-type"].startswith("application/json; profile=")
    told = answer.json()
    assert told["usage"] == {"users": {}}
    assert told["openRegistrations"] is False
    assert told["software"] == {"name": "parvis", "version": VERSION}
    assert told["metadata"] == {"nodeName": "Aubrac Énergie"}


def test_the_version_is_that_of_the_package() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"] == VERSION


async def test_host_meta_says_where_names_are_looked_up(ask: Asking) -> None:
    answer = await ask("/.well-known/host-meta", accept="application/xrd+xml")
    template = f"{HERE.base}/.well-known/webfinger?resource={{uri}}"
    assert answer.headers["content-type"] == "application/xrd+xml"
    assert f'rel="lrdd" type="application/jrd+json" template="{template}"' in answer.text
    for path, accept in (("/.well-known/host-meta.json", "*/*"), ("/.well-known/host-meta", "application/json")):
        assert (await ask(path, accept=accept)).json()["links"][0]["template"] == template


async def test_robots_are_told_to_go(ask: Asking) -> None:
    assert (await ask("/robots.txt")).text == "User-agent: *\nDisallow: /\n"


async def test_an_instance_that_does_not_federate_is_not_found(cast: Cast, tmp_path: Path) -> None:
    async with asking(tmp_path, "off", KESTREL) as ask:
        for path in ("/.well-known/host-meta", "/.well-known/nodeinfo", "/nodeinfo/2.1"):
            assert (await ask(path)).status_code == 404
        assert (await finger(ask, f"acct:alice@{HOST}", KESTREL)).status_code == 404
        assert (await ask("/robots.txt")).status_code == 200
