"""Person, Group and Application as JSON: full, or the stub that a caller without rights gets."""

from dataclasses import dataclass
from typing import Any

from federation.instance import Instance
from federation.keyring import older_instance_keys, private_key
from federation.vocabulary import CONTEXT, LINK_V1, moment, newcomers
from server.openness import Level
from server.queries.consent import denies_past
from server.queries.former import our_former


@dataclass(frozen=True, slots=True)
class OwnActor:
    """One of our actors, as its row says."""

    uri: str
    name: str
    display_name: str
    summary: str
    created_at: int


async def keys(instance: Instance, actor_uri: str) -> dict[str, Any]:
    """The published halves: `publicKey` for everybody, `assertionMethod` by FEP-521a."""
    rsa = (await private_key(instance, actor_uri, "rsa")).public(actor_uri)
    ed25519 = (await private_key(instance, actor_uri, "ed25519")).public(actor_uri)
    multikey = {
        "id": ed25519.key_id,
        "type": "Multikey",
        "controller": actor_uri,
        "publicKeyMultibase": ed25519.to_multikey(),
    }
    return {
        "publicKey": {"id": rsa.key_id, "owner": actor_uri, "publicKeyPem": rsa.to_pem()},
        "assertionMethod": [multikey],
    }


async def person(instance: Instance, actor: OwnActor, *, full: bool) -> dict[str, Any]:
    """An employee. The stub says only what checking a signature needs."""
    here = instance.here
    document: dict[str, Any] = {
        "@context": CONTEXT,
        "id": actor.uri,
        "type": "Person",
        "preferredUsername": actor.name,
        "inbox": f"{actor.uri}/inbox",
        "outbox": f"{actor.uri}/outbox",
        "followers": f"{actor.uri}/followers",
        "following": f"{actor.uri}/following",
        "endpoints": {"sharedInbox": here.shared_inbox},
        "url": actor.uri,
        "manuallyApprovesFollowers": True,
        "discoverable": False,
        "indexable": False,
        **await keys(instance, actor.uri),
    }
    if full:
        document |= {
            "name": actor.display_name or actor.name,
            "summary": actor.summary,
            "published": moment(actor.created_at),
            "webfinger": f"{actor.name}@{here.host}",
        }
    return document


async def group(
    instance: Instance,
    actor: OwnActor,
    level: Level,
    epoch: int,
    *,
    full: bool,
    proofs: bool = True,
    newcomers_from: int | None = None,
) -> dict[str, Any]:
    """A space. `followers` is its member collection; the stub is for those who know only that it exists.

    `newcomers_from`: since when (ms) what is written is for people of the receiver who come in later, too; None: never.
    """
    document: dict[str, Any] = {
        "@context": CONTEXT,
        "id": actor.uri,
        "type": "Group",
        "preferredUsername": actor.name,
        "name": actor.display_name,
        "inbox": f"{actor.uri}/inbox",
        "url": actor.uri,
        **await keys(instance, actor.uri),
    }
    if full:
        document |= {
            "summary": actor.summary,
            "outbox": f"{actor.uri}/outbox",
            "followers": f"{actor.uri}/members",
            "parvis:members": f"{actor.uri}/members",
            "parvis:openness": level.value,
            "parvis:policyEpoch": epoch,
            "parvis:proofs": proofs,
            **newcomers(newcomers_from),
            "manuallyApprovesFollowers": level is not Level.PUBLIC,
            "discoverable": level is Level.PUBLIC,
            "indexable": level is Level.PUBLIC,
            "published": moment(actor.created_at),
        }
    if level is Level.PUBLIC:
        document["endpoints"] = {"sharedInbox": instance.here.shared_inbox}
    return document


async def application(instance: Instance) -> dict[str, Any]:
    """The instance itself (FEP-2677, FEP-d556, FEP-844e). It names no person, space or partner."""
    here = instance.here
    former = [f"{base}/actor" for base in await our_former()]
    published = await keys(instance, here.instance)
    for uri, multikey in await older_instance_keys(instance):
        key = {"id": uri, "type": "Multikey", "controller": here.instance, "publicKeyMultibase": multikey}
        published["assertionMethod"].append(key)
    return {
        "@context": CONTEXT,
        "id": here.instance,
        "type": "Application",
        "preferredUsername": here.host,
        "name": instance.settings.name,
        "inbox": f"{here.instance}/inbox",
        "endpoints": {"sharedInbox": here.shared_inbox, "parvis:peering": here.peering},
        "url": here.base,
        **({"alsoKnownAs": former} if former else {}),
        **({"parvis:historyConsent": "deny"} if await denies_past() else {}),
        "implements": [
            {"href": "https://datatracker.ietf.org/doc/html/rfc9421", "name": "RFC-9421"},
            {"href": "https://w3id.org/fep/8b32"},
            {"href": "https://w3id.org/fep/1b12"},
            {"href": LINK_V1, "name": "Parvis link v1"},
        ],
        **published,
    }
