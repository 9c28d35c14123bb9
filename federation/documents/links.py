"""Offer, Accept, Confirm and Undo of a link between two instances."""

from typing import Any

from federation.documents.activities import Fact, Message
from federation.vocabulary import CONTEXT, moment
from server.events import Kind
from server.ids import Addresses


def about_link(fact: Fact, link: dict[str, Any], our_key: str, here: Addresses) -> Message:
    """What one side tells the other. `link`: its row with the peer's `base_url`; `our_key`: our Multikey."""
    theirs = f"{link['base_url']}/actor"
    offer = fact.detail("offer") or link["offer_uri"]
    offered = here.activity(int(offer.removeprefix("event:"))) if offer.startswith("event:") else offer
    nonce = fact.detail("nonce") or link["our_nonce"]
    side = {"parvis:key": our_key, "parvis:nonce": nonce, "parvis:minVersion": link["min_version"]}
    if link["until_at"] is not None:
        side["endTime"] = moment(link["until_at"])
    document: dict[str, Any] = {
        "@context": CONTEXT,
        "id": here.activity(fact.id),
        "actor": here.instance,
        "to": [theirs],
        "published": moment(fact.created_at),
    }
    if fact.kind is Kind.LINK_OFFERED:
        document |= {"type": "Offer", "object": _relation(offered, theirs, here, **side)}
        if link["offer_until_at"] is not None:
            document["endTime"] = moment(link["offer_until_at"])
    elif fact.kind is Kind.LINK_ACCEPTED:
        document |= {"type": "Accept", "object": offered, "result": side}
    elif fact.kind is Kind.LINK_CONFIRMED:
        document |= {"type": "parvis:Confirm", "object": offered}
    else:
        document |= {"type": "Undo", "object": {"id": offered, "type": "Offer"}}
    return Message(document, here.instance)


def new_key(fact: Fact, link: dict[str, Any], instance_actor: dict[str, Any], here: Addresses) -> dict[str, Any]:
    """That our key is another one from now on: to be signed with the old one and proved with the new one."""
    bare = {name: value for name, value in instance_actor.items() if name != "@context"}
    return _update(fact, f"{link['base_url']}/actor", bare, here)


def moved(fact: Fact, link: dict[str, Any], former: list[str], here: Addresses) -> dict[str, Any]:
    """That this instance is at another address than it was: to be proved with the key that the other side holds.

    `former`: where it stood before, the last one first.
    """
    theirs = f"{link['base_url']}/actor"
    stood = {"parvis:movedFrom": [f"{base}/actor" for base in former]}
    return _update(fact, theirs, _relation(here.activity(fact.id), theirs, here, **stood), here)


def consent(fact: Fact, theirs: str, consents: bool, here: Addresses) -> Message:
    """That hosts of spaces may open to more people what ours wrote there, or not. `theirs`: the instance that is told.

    About the link and not the whole actor, which would speak of our key, too.
    """
    answer = {"parvis:historyConsent": "allow" if consents else "deny"}
    relation = _relation(here.activity(fact.id), theirs, here, **answer)
    return Message(_update(fact, theirs, relation, here), here.instance)


def _update(fact: Fact, theirs: str, what: dict[str, Any], here: Addresses) -> dict[str, Any]:
    """What this instance says to another is otherwise than it was."""
    return {
        "@context": CONTEXT,
        "id": here.activity(fact.id),
        "type": "Update",
        "actor": here.instance,
        "to": [theirs],
        "published": moment(fact.created_at),
        "object": what,
    }


def _relation(address: str, theirs: str, here: Addresses, **said: Any) -> dict[str, Any]:
    """The link as an object, as the activity at this address speaks of it."""
    return {
        "id": f"{address}/link",
        "type": ["Relationship", "parvis:Link"],
        "subject": here.instance,
        "object": theirs,
        "relationship": "parvis:LinkedInstance",
        **said,
    }


def members_disagree(fact: Fact, here: Addresses) -> Message:
    """To the host of a space: its list of our members and ours differ, after we compared them twice."""
    document = {
        "@context": CONTEXT,
        "id": here.activity(fact.id),
        "type": "parvis:MembersDisagree",
        "actor": here.instance,
        "to": [fact.space_uri],
        "object": fact.space_uri,
        "published": moment(fact.created_at),
    }
    return Message(document, here.instance)
