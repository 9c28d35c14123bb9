"""Which addresses elsewhere may be spoken to. Rows F2–F6, F9, F10, F13 of the advisories, and O29's hosts."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx
import pytest
import yarl
from hypothesis import example, given
from hypothesis import strategies as st

from federation.addresses import LONGEST_URL, allowed, check_url, resolve
from federation.errors import FederationError, Malformed, Refused

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
PARTNER = (ip_network("10.20.0.0/16"),)

# IANA IPv4 and IPv6 special-purpose address registries, one or two addresses of each row, first and last.
SPECIAL = """
0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.0 127.0.0.1 127.255.255.255
169.254.0.0 169.254.169.254 169.254.255.255 172.16.0.0 172.31.255.255 192.0.0.0 192.0.0.8 192.0.0.9
192.0.0.10 192.0.0.170 192.0.0.171 192.0.0.255 192.0.2.0 192.0.2.255 192.31.196.1 192.52.193.1 192.88.99.0
192.88.99.255 192.168.0.0 192.168.255.255 192.175.48.1 198.18.0.0 198.19.255.255 198.51.100.0 198.51.100.255
203.0.113.0 203.0.113.255 224.0.0.1 239.255.255.255 240.0.0.0 255.255.255.254 255.255.255.255
:: ::1 ::ffff:0:0 64:ff9b:1:: 64:ff9b:1:ffff:ffff:ffff:ffff:ffff 100:: 100:0:0:1:: 2001:: 2001:0:ffff::
2001:1::1 2001:1::2 2001:1::3 2001:2:: 2001:3:: 2001:4:112:: 2001:10:: 2001:20:: 2001:30:: 2001:1ff:ffff::
2001:db8:: 2001:db8:ffff:: 2002:: 2620:4f:8000:: 3fff:: 3fff:fff:: 5f00:: fc00:: fdff:ffff:: fe80::
febf:ffff:: fec0:: ff00:: ff02::1 ffff:ffff::
""".split()

ORDINARY = "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 172.15.255.255 \
172.32.0.0 192.0.1.0 192.167.255.255 198.17.255.255 198.20.0.0 223.255.255.255 \
2001:200:: 2001:4860:4860::8888 2003:: 2a00:1450:: 2c00:: 3ffe::".split()


@pytest.mark.parametrize("text", SPECIAL)
def test_F2_no_special_network_is_reached(text: str) -> None:
    assert not allowed(ip_address(text))


@pytest.mark.parametrize("text", ORDINARY)
def test_F2_the_open_internet_is_reached(text: str) -> None:
    assert allowed(ip_address(text))


@pytest.mark.parametrize("text", ["https://[::]/", "https://0.0.0.0/", "https://[0:0:0:0:0:0:0:0]/"])
def test_F3_the_unspecified_address_is_not_this_machine_by_another_name(text: str) -> None:
    with pytest.raises(Refused):
        check_url(text)


def test_F4_a_v4_address_written_in_v6_is_that_v4_address() -> None:
    assert not allowed(ip_address("::ffff:127.0.0.1"))
    assert not allowed(ip_address("::ffff:a9fe:a9fe"))
    assert allowed(ip_address("::ffff:1.1.1.1"))
    assert allowed(ip_address("::ffff:10.20.0.1"), PARTNER)
    assert not allowed(ip_address("::ffff:10.21.0.1"), PARTNER)


@pytest.mark.parametrize("text", ["::127.0.0.1", "::7f00:1", "::169.254.169.254", "::8.8.8.8", "::10.20.0.1"])
def test_F5_v4_compatible_addresses_are_refused_whatever_they_wrap(text: str) -> None:
    assert not allowed(ip_address(text), PARTNER)


@pytest.mark.parametrize(
    "text",
    [
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::10.20.0.1",
        "64:ff9b:1::8.8.8.8",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2002:808:808::1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "2001::5601:5601",
    ],
)
def test_F9_private_addresses_wrapped_for_a_tunnel_are_refused(text: str) -> None:
    assert not allowed(ip_address(text), PARTNER)


def test_F9_an_instance_on_a_v6_only_network_reaches_v4_through_its_gateway() -> None:
    assert allowed(ip_address("64:ff9b::1.1.1.1"))


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_F4_F9_no_wrapping_opens_what_the_plain_address_closes(four: IPv4Address) -> None:
    bits = int(four)
    wrapped = [0xFFFF << 32 | bits, bits, 0x64FF9B << 96 | bits, 0x2002 << 112 | bits << 80]
    wrapped += [0x20010000 << 96 | (bits ^ 0xFFFFFFFF), 0x64FF9B0001 << 80 | bits]
    assert allowed(four) or not any(allowed(IPv6Address(number)) for number in wrapped)


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_F2_what_is_reached_is_also_global_for_the_standard_library(
    address: IPv4Address | IPv6Address,
) -> None:
    assert not allowed(address) or (address.is_global and not address.is_multicast)


ODD_HOSTS = """
https://2130706433/ https://0x7f000001/ https://0x7f.1/ https://0177.0.0.1/ https://127.1/ https://127.0.1/
https://0/ https://00/ https://0x/ https://127.0.0.01/ https://1.2.3.4.5/ https://256.1.1.1/ https://a.1/
https://a.0x1/ https://[::1 https://::1/ https://[::1]x/ https://[fe80::1%25eth0]/ https://[fe80::1%eth0]/
https://[v1.a]/ https://[1.1.1.1]/ https://[]/ https://user@kestrel.example/ https://user:pw@kestrel.example/
https://kestrel.example@evil.example/ https://@kestrel.example/ https://kestrel.example\\@evil.example/
https://kestrel.example\\.evil.example/ https:\\\\kestrel.example/ https:/kestrel.example/
https:kestrel.example/ https:///kestrel.example/ //kestrel.example/ kestrel.example
https://kestrel.example#@evil.example/ https://kestrel.example#main-key https://kestrel.example./
https://kestrel.example../ https://.kestrel.example/ https://kestrel..example/ https://-kestrel.example/
https://kestrel-.example/ https://kes_trel.example/ https://kestrel。example/ https://127。0。0。1/
https://①②⑦.0.0.1/ https://bücher.example/ https://ⓚestrel.example/
https://kestrel%2eexample/ https://%6bestrel.example/ https://kestrel.example%2f@evil.example/
https://kestrel.example:/ https://kestrel.example:0/ https://kestrel.example:065/
https://kestrel.example:65536/ https://kestrel.example:443:80/ https://kestrel.example:+443/
https://kestrel.example:٤٤٣/ https://kestrel.example/%zz https://kestrel.example/% https://kestrel.example/é
https://kestrel.example/a\\b https://kestrel.example/../etc https://kestrel.example/a/./b
https://kestrel.example/a/%2E%2e/b https://kestrel.example/a/.. https://kestrel.example/<x>
https://kestrel.example? https://kestrel.example/inbox? https://kestrel.example/?#a
ftp://kestrel.example/ file:///etc/passwd gopher://kestrel.example/ data:,x javascript:alert(1) unix://x https://
""".split()
ODD_TEXTS = [
    *ODD_HOSTS,
    "https://\uff4bestrel.example/",
    "",
    " https://kestrel.example/",
    "https://kestrel.example/ ",
    "https://kestrel.example/\n",
    "https://kestrel.example/a b",
    "https://kestrel.example\t/",
    "https://kes\ntrel.example/",
    "https://kestrel.example/\x00",
    "https://kestrel.example/\x7f",
    "https://kestrel\u00ad.example/",
    "https://" + "a" * 64 + ".example/",
    "https://" + "a." * 127 + "example/",
]


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_F13_an_address_that_could_be_read_in_two_ways_is_not_read(text: str) -> None:
    with pytest.raises(Malformed):
        check_url(text, LOOPBACK)


@pytest.mark.parametrize(
    "text",
    ["https://127.0.0.1/", "https://[::1]/", "https://169.254.169.254/latest", "https://[::ffff:7f00:1]:8443/"],
)
def test_F7_private_literals_are_refused_unless_the_settings_say_otherwise(text: str) -> None:
    with pytest.raises(Refused):
        check_url(text)


def test_F13_an_address_longer_than_anybodys_is_not_read() -> None:
    room = LONGEST_URL - len("https://kestrel.example/")
    assert check_url("https://kestrel.example/" + "a" * room)
    with pytest.raises(Malformed):
        check_url("https://kestrel.example/" + "a" * (room + 1))


@pytest.mark.parametrize("text", ["http://kestrel.example/", "http://1.1.1.1/", "http://[2a00:1450::1]/"])
def test_F6_a_provider_given_over_http_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        check_url(text)


def test_F6_http_is_for_the_private_networks_that_are_allowed_and_for_no_others() -> None:
    assert check_url("http://127.0.0.1:8001/actor", LOOPBACK).port == 8001
    assert check_url("http://localhost:8001/actor", LOOPBACK).origin == ("http", "localhost", 8001)
    for elsewhere in ("http://1.1.1.1/", "http://10.0.0.1/"):
        with pytest.raises(Refused):
            check_url(elsewhere, LOOPBACK)


def test_O29_spellings_of_one_origin_are_one_origin_and_a_longer_name_is_another() -> None:
    kestrel = check_url("https://kestrel.example/a").origin
    assert kestrel == check_url("HTTPS://Kestrel.EXAMPLE:443/b?c#d").origin == ("https", "kestrel.example", 443)
    assert check_url("https://[2A00:0:0::1]/").origin == check_url("https://[2a00::1]:443").origin
    for other in ("https://evilkestrel.example/", "https://kestrel.example.evil.example/"):
        assert check_url(other).origin != kestrel
    assert check_url("https://kestrel.example:8443/").origin != kestrel


def test_a_fragment_is_kept_apart_and_never_sent() -> None:
    target = check_url("https://kestrel.example/@chloe#main-key")
    assert (target.url, target.fragment) == ("https://kestrel.example/@chloe", "main-key")


@pytest.mark.parametrize(
    "reference",
    ["//evil.example/", "https://evil.example/", "http://kestrel.example/", "https://kestrel.example:8443/"],
)
def test_F10_a_nodeinfo_link_may_not_leave_its_origin(reference: str) -> None:
    base = check_url("https://kestrel.example/.well-known/nodeinfo")
    with pytest.raises(Refused):
        resolve(base, reference, same_origin=True)
    assert resolve(base, "/nodeinfo/2.1", same_origin=True).url == "https://kestrel.example/nodeinfo/2.1"


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "https:evil",
        "///evil.example/",
        "javascript:x",
        "\\\\evil.example/",
        "/a b",
        "/\n",
        "/é",
        "https://[",
        "/" * 3000,
    ],
)
def test_F13_a_reference_that_could_be_read_in_two_ways_is_not_read(reference: str) -> None:
    with pytest.raises(Malformed):
        resolve(check_url("https://kestrel.example/a"), reference)


PIECES = st.sampled_from(
    "https:// http:// // / \\ @ : # ? % %2e %00 [ ] ::1 127.0.0.1 2130706433 0x7f 0177 . 。 .. a kestrel.example "
    "evil.example 443 é \x00".split(" ")
)
URLS = st.one_of(
    st.lists(PIECES, max_size=8).map(lambda pieces: "https://" + "".join(pieces)),
    st.lists(PIECES, max_size=8).map("".join),
    st.text(max_size=40).map(lambda text: "https://" + text),
)


@given(URLS)
@example("https://a/?b#c")
@example("https://a?https://")
def test_F13_every_reader_agrees_about_the_host_of_what_is_accepted(text: str) -> None:
    try:
        target = check_url(text, LOOPBACK)
    except FederationError:
        return
    theirs, wire = httpx.URL(target.url), yarl.URL(target.url, encoded=True)
    assert (theirs.scheme, theirs.host, theirs.port or (theirs.scheme and target.port)) == target.origin
    assert (wire.scheme, wire.raw_host, wire.port) == target.origin
    assert theirs.raw_path.decode() == wire.raw_path_qs
    assert str(theirs) == target.url
    assert check_url(str(wire), LOOPBACK).origin == target.origin


@given(URLS, URLS)
def test_F13_a_redirect_is_read_or_refused_and_never_breaks_the_reader(base: str, reference: str) -> None:
    try:
        resolve(check_url(base, LOOPBACK), reference, LOOPBACK)
    except FederationError:
        return
