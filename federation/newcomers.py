"""How many strangers a domain may make us look up in an hour: anybody may invent names, and names are cheap.

A wildcard in a name server gives one person any number of hosts, each with any number of actors, each of which
would be asked for (F21). Linked instances are not counted.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from ipaddress import ip_address

from federation.errors import Refused
from server.clock import now_ms
from server.limits import NEW_ACTORS_PER_HOUR, NEW_HOSTS_PER_HOUR

HOUR_MS = 3_600_000
MOST_DOMAINS = 10_000


@dataclass(slots=True)
class _Hour:
    began_at: int
    actors: int = 0
    hosts: set[str] = field(default_factory=set)


_domains: OrderedDict[str, _Hour] = OrderedDict()


def count(host: str) -> None:
    """Counts one look-up at a host. Raises Refused once its domain has had enough for this hour."""
    domain, now = domain_of(host), now_ms()
    hour = _domains.get(domain)
    if hour is None or now - hour.began_at > HOUR_MS:
        hour = _domains[domain] = _Hour(now)
    _domains.move_to_end(domain)
    if len(_domains) > MOST_DOMAINS:
        _domains.popitem(last=False)
    if hour.actors >= NEW_ACTORS_PER_HOUR or (host not in hour.hosts and len(hour.hosts) >= NEW_HOSTS_PER_HOUR):
        raise Refused("Too many strangers of one domain at once.", domain)
    hour.actors += 1
    hour.hosts.add(host)


def forget() -> None:
    """Begins the hour anew for every domain."""
    _domains.clear()


def domain_of(host: str) -> str:
    """What somebody registers: example.com of a.b.example.com, example.co.uk of a.example.co.uk.

    Without the public list of suffixes: a country's second level of at most three letters counts as one.
    A name of one label and an internet address stand for themselves, with their port.
    """
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    labels = name.split(".")
    if len(labels) == 1 or _is_address(name):
        return host
    suffix = 2 if len(labels[-1]) == 2 and len(labels[-2]) <= 3 else 1
    return ".".join(labels[-suffix - 1 :])


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
