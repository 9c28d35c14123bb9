"""One activity on its way to its verb."""

import re
from dataclasses import dataclass

from federation.instance import Instance
from federation.lookup import KnownActor
from federation.reading import Activity, IncomingActor
from federation.trust import host_at
from server.viewer import PeerServer, RemotePerson

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class Call:
    """A verified activity, its actor's row, and what had to be fetched for it beforehand.

    `peer_id`, `linked` and `key_id` are of the server that sent it. `wrapped`: it came inside another's Announce;
    `proved` then says that its own actor's proof holds, `attested` that only the host answers for who
    that is.
    """

    instance: Instance
    said: Activity
    actor: KnownActor
    peer_id: int
    linked: bool
    key_id: str = ""
    raw: str = ""
    wrapped: Activity | None = None
    wrapped_actor: KnownActor | None = None
    proved: bool = False
    attested: bool = False
    fetched: IncomingActor | None = None

    @property
    def person(self) -> RemotePerson:
        """The actor, as somebody who asks."""
        return RemotePerson(self.actor.id, self.peer_id, self.linked)

    @property
    def server(self) -> PeerServer:
        """The server that sent it, as somebody who asks."""
        return PeerServer(self.peer_id, self.linked)

    @property
    def host(self) -> str:
        return host_at(self.said.actor)

    def own_event(self, address: str) -> int | None:
        """The number of one of our own facts, when an address names one."""
        prefix = f"{self.instance.here.base}/activities/"
        number = address.removeprefix(prefix) if address.startswith(prefix) else ""
        return int(number) if _NUMBER.fullmatch(number) else None
