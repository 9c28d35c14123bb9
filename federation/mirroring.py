"""The partner's mirror between instances: told to the partner alone, signed, and asked of it to compare both sides."""

from typing import Any

from federation.errors import FederationError, Malformed, Refused
from federation.instance import Instance
from federation.json_reading import parse_json
from federation.keyring import instance_key
from federation.pins import proved_by_pin
from federation.sending import OF_A_LINK
from federation.signatures.proofs import with_proof
from federation.signing import sign_as_instance
from federation.vocabulary import CONTEXT
from server import database as db
from server.clock import now_ms
from server.openness import LinkState
from server.queries import mirrors
from server.viewer import Viewer

PATH = "/peering/mirror"
MOST_AGE_MS = 300_000
NUMBERS = ("theirs", "ours", "items", "files", "copies")
LARGEST = 1 << 53


async def told(instance: Instance, viewer: Viewer) -> dict[str, Any]:
    """What the instance that asks sees here and what we hold of it, with our proof. Raises NotFound to all others."""
    mirror = await mirrors.for_itself(viewer)
    now = now_ms()
    document = {
        "@context": CONTEXT,
        "id": f"{instance.here.base}{PATH}",
        "type": "parvis:Mirror",
        "attributedTo": instance.here.instance,
        "parvis:mirror": mirrors.as_json(mirror, now),
    }
    return with_proof(document, await instance_key(instance), now)


async def ask(instance: Instance, peer_id: int) -> dict[str, Any]:
    """What a linked instance tells of us. Raises FederationError when it does not answer or does not prove it."""
    row = await db.fetch_one(
        "SELECT q.host, q.base_url, l.state FROM peer q JOIN link l ON l.peer_id = q.id WHERE q.id = $1", peer_id
    )
    if row is None or row["state"] != LinkState.ACTIVE:
        raise Refused("No active link ties that instance to us.")
    sign = await sign_as_instance(instance, OF_A_LINK)
    answer = await instance.transport.get_json(f"{row['base_url']}{PATH}", sign=sign)
    document = parse_json(answer.body)
    if not isinstance(document, dict) or not await proved_by_pin(peer_id, document):
        raise FederationError("The mirror is not proved by the key of that instance.", row["host"])
    return read(document.get("parvis:mirror"), instance.here.host)


def read(told_there: Any, host: str) -> dict[str, Any]:
    """The mirror that another instance told, bounded and typed. Raises Malformed."""
    match told_there:
        case {"partner": str() as partner, "at": int() as at, "spaces": list() as spaces} if partner == host:
            if len(spaces) > mirrors.MOST_SPACES or abs(now_ms() - at) > MOST_AGE_MS:
                raise Malformed("The mirror is too long or too old.", host)
            return {"at": at, "spaces": [_space(one) for one in spaces], "more": bool(told_there.get("more"))}
    raise Malformed("The mirror cannot be read.", host)


def _space(one: Any) -> dict[str, Any]:
    if not isinstance(one, dict) or not isinstance(one.get("space"), str) or len(one["space"]) > 512:
        raise Malformed("A space of the mirror cannot be read.")
    numbers = {name: one.get(name) for name in NUMBERS}
    if not all(type(number) is int and 0 <= number <= LARGEST for number in numbers.values()):
        raise Malformed("The numbers of the mirror cannot be read.")
    return {"space": one["space"], **numbers}
