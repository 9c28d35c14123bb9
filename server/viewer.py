"""Who is asking. Frozen, ids only: a viewer is looked up once at the door and handed down from there.

A signed fetch proves a server, not a person, so a server is a viewer of its own, and telling one member
elsewhere means telling that member's server.
"""

from dataclasses import dataclass

from server.openness import Office


@dataclass(frozen=True, slots=True)
class Anonymous:
    """No session, no signature: the web."""


@dataclass(frozen=True, slots=True)
class Employee:
    """A signed-in colleague. `scopes` limits what a client's token may do; None is a full session."""

    account_id: int
    actor_id: int
    office: Office = Office.MEMBER
    scopes: frozenset[str] | None = None

    @property
    def is_admin(self) -> bool:
        return self.office is Office.ADMIN


@dataclass(frozen=True, slots=True)
class Guest:
    """A signed-in person from outside, with a sponsor here and an end date: only in the spaces they were added to.

    `side`: their organisation, in the form in which blind partners are told apart.
    """

    account_id: int
    actor_id: int
    side: str = ""
    scopes: frozenset[str] | None = None

    @property
    def office(self) -> Office:
        return Office.GUEST


@dataclass(frozen=True, slots=True)
class RemotePerson:
    """A person of another instance, proved by a signature of their own key. `linked`: by an active link."""

    actor_id: int
    peer_id: int
    linked: bool = False


@dataclass(frozen=True, slots=True)
class PeerServer:
    """Another instance, proved by the signature of any of its actors. `linked`: by an active link."""

    peer_id: int
    linked: bool = False


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody at this machine's command line. Settings and membership, not content."""

    name: str = "operator"


LOOKS_AS = "parvis.looks_as"
"""Where a request's scope holds the viewer for whom a page of ours has another one rendered. Nothing that comes from
outside can put it there: it is no header, and servers hand over no such key."""

Resident = Employee | Guest
"""Somebody who signs in here. What only colleagues may do asks for an Employee."""

Viewer = Anonymous | Employee | Guest | RemotePerson | PeerServer | Operator


def side_of(viewer: Viewer) -> str:
    """The outside organisation that somebody is of; '' for ours and for visitors."""
    if isinstance(viewer, Guest):
        return viewer.side
    return peer_side(viewer.peer_id) if isinstance(viewer, (RemotePerson, PeerServer)) else ""


def peer_side(peer_id: int) -> str:
    """The side of everybody at another instance."""
    return f"peer:{peer_id}"


def guest_side(organisation: str, actor_id: int) -> str:
    """The side of a guest: their organisation, else they alone."""
    name = " ".join(organisation.casefold().split())
    return f"guest:{name}"[:128] if name else f"guest:#{actor_id}"
