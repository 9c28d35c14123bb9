"""Which addresses elsewhere may be spoken to: the pure half of the outgoing door.

`check_url` reads the text of an address so strictly that no two readers of it can disagree about the host;
`allowed` answers for an internet address once a name has become one. The first is asked again on every
redirect, the second on every connect (advisories F1–F22).
"""

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urljoin

from federation.errors import Malformed, Refused

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LONGEST_URL = 2048
"""Characters. Longer ones are nobody's id."""

_DEFAULT_PORTS = {"https": 443, "http": 80}

# IANA special-purpose address registries (RFC 6890 and its updates), multicast and what is left of class E.
# Ranges listed there as reachable (AS112, AMT, 192.0.0.9) are refused too: no instance lives in them.
_SPECIAL_V4 = [
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # between a carrier and its customers
        "127.0.0.0/8",  # this machine
        "169.254.0.0/16",  # link-local, and the metadata of cloud machines
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays, deprecated
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
]
# In version 6 only 2000::/3 is given out. Outside it lie ::, ::1, ::/96 (v4-compatible), 64:ff9b:1::/48
# (local NAT64), 100::/64, 5f00::/16, fc00::/7, fe80::/10, fec0::/10 and ff00::/8: refused unnamed.
_GIVEN_OUT_V6 = IPv6Network("2000::/3")
_SPECIAL_V6 = [
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments; Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, deprecated: wraps any v4 address
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
]
_NAT64 = IPv6Network("64:ff9b::/96")


def within(address: Address, networks: Iterable[Network]) -> bool:
    """Whether this internet address lies in one of the networks; ::ffff:a.b.c.d is a.b.c.d."""
    address = (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
    return any(address in network for network in networks)


def allowed(address: Address, allow_networks: Iterable[Network] = ()) -> bool:
    """Whether a connection may go to this internet address.

    A v4 address written in version 6 (::ffff:a.b.c.d) is that v4 address; one behind a public NAT64 prefix is
    judged by what it wraps, and `allow_networks` does not reach through that. 6to4, Teredo and v4-compatible
    forms are refused whatever they wrap. F2–F5, F9, F12.
    """
    return within(address, allow_networks) or _public(address)


def _public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    wrapped = address.ipv4_mapped or (IPv4Address(int(address) & 0xFFFF_FFFF) if address in _NAT64 else None)
    if wrapped is not None:
        return _public(wrapped)
    return address in _GIVEN_OUT_V6 and not any(address in network for network in _SPECIAL_V6)


@dataclass(frozen=True, slots=True)
class Target:
    """An address that was read strictly. Its parts are in normal form; the fragment is never sent."""

    url: str
    """What to ask for: lower-case scheme and host, no default port, no fragment."""
    scheme: str
    host: str
    """A lower-case name, or an internet address without brackets."""
    port: int
    fragment: str = ""

    @property
    def origin(self) -> tuple[str, str, int]:
        """(scheme, host, port): two addresses with the same one answer for each other (RFC 6454)."""
        return (self.scheme, self.host, self.port)


_CHARACTER = r"[a-z0-9._~!$&'()*+,;=:@/-]|%[0-9a-f]{2}"
_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>\[[0-9a-f:.]{2,45}\]|[a-z0-9.-]{1,253})"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    rf"(?P<path>/(?:{_CHARACTER})*)?"
    rf"(?P<query>\?(?:{_CHARACTER}|[?\[\]])*)?"
    rf"(?:#(?P<fragment>(?:{_CHARACTER}|[?])*))?",
    re.IGNORECASE | re.ASCII,
)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_DOT_SEGMENT = re.compile(r"/(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
_REFERENCE = re.compile(r"(?!///|[a-z][a-z0-9+.-]*:(?!//))[!-~]+", re.IGNORECASE)


def check_url(text: str, allow_networks: Iterable[Network] = ()) -> Target:
    """Reads an absolute address that we were given, before anything is asked for there.

    https only; http where a literal address lies in `allow_networks`, or for a name while there are such
    networks (the connect then insists that the name leads into them). Refused: user names, backslashes, odd
    spellings of internet addresses, names that are not ASCII, trailing dots, dot segments, a fragment right
    behind the host, more than LONGEST_URL characters. F6, F13, O29; RFC 3986 §3.

    Raises Malformed when it is not such an address, Refused when it leads where we do not go.
    """
    return _read_url(text, tuple(allow_networks))


@functools.lru_cache(maxsize=4096)
def _read_url(text: str, networks: tuple[Network, ...]) -> Target:
    """Remembered, because the same inboxes are written to all day; a refusal is worked out again."""
    found = _URL.fullmatch(text) if len(text) <= LONGEST_URL else None
    if found is None:
        raise _malformed("The address cannot be read.", text)
    scheme, path, query, fragment = (found[part] or "" for part in ("scheme", "path", "query", "fragment"))
    if query == "?":
        raise _malformed("The address has an empty query, which is sent or not as the software pleases.", text)
    if _DOT_SEGMENT.search(path):
        raise _malformed("The address has dot segments.", text)
    if fragment and not (path or query):
        raise _malformed("The address has a fragment right behind its host.", text)
    scheme = scheme.lower()
    host, literal = _read_host(found["host"].lower(), text)
    port = int(found["port"] or _DEFAULT_PORTS[scheme])
    if port > 65535:
        raise _malformed("The address has a port that does not exist.", text)
    _check_reach(scheme, literal, networks, text)
    written = f"[{host}]" if ":" in host else host
    authority = written if port == _DEFAULT_PORTS[scheme] else f"{written}:{port}"
    return Target(f"{scheme}://{authority}{path}{query}", scheme, host, port, fragment)


def _malformed(sentence: str, text: str) -> Malformed:
    return Malformed(sentence, repr(text[:200]))


def _read_host(host: str, text: str) -> tuple[str, Address | None]:
    """The host in normal form, and the internet address if it is one."""
    try:
        if host.startswith("["):
            six = IPv6Address(host[1:-1])
            return six.compressed, six
        labels = host.split(".")
        if _NUMBER.fullmatch(labels[-1]):
            four = IPv4Address(host)
            return str(four), four
    except ValueError:
        raise _malformed("The address spells its host in an odd way.", text) from None
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise _malformed("The address has no host name we read.", text)
    return host, None


def _check_reach(scheme: str, literal: Address | None, networks: tuple[Network, ...], text: str) -> None:
    if scheme == "http" and (not networks if literal is None else not within(literal, networks)):
        raise Refused("The address is not https.", text[:200])
    if literal is not None and not allowed(literal, networks):
        raise Refused("The address leads into a network that is not reached from here.", text[:200])


def resolve(
    base: Target, reference: str, allow_networks: Iterable[Network] = (), *, same_origin: bool = False
) -> Target:
    """Reads an address that may be relative to `base`: a redirect's Location, the next page, a NodeInfo link.

    With `same_origin`, one that leaves base's scheme, host or port is refused (F10, R10).
    Raises Malformed and Refused as check_url does.
    """
    if len(reference) > LONGEST_URL or not _REFERENCE.fullmatch(reference):
        raise _malformed("The address pointed to cannot be read.", reference)
    try:
        joined = urljoin(base.url, reference)
    except ValueError:
        raise _malformed("The address pointed to cannot be read.", reference) from None
    target = check_url(joined, allow_networks)
    if same_origin and target.origin != base.origin:
        raise Refused("The address pointed to is at another origin.", f"{base.url} to {target.url}")
    return target
