"""What stands inside, as a socket has it and in every spelling of a URL."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiotokengate._policy.addresses import is_inside, names_inside

INSIDE = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255"),  # noqa: S104
    *("127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255"),
    *("192.0.0.0", "192.0.0.255", "192.168.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1"),
    "255.255.255.255",
    *("::", "::1", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "fc00::1", "fd00:ec2::254"),
    *("ff02::1", "1fff::1", "100::1", "4000::1", "::ffff:0:127.0.0.1", "::7f00:1"),
    "64:ff9b:1::7f00:1",
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "64:ff9b::127.0.0.1"),
    *("64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:c0a8:101::1", "2002:a00:1:2:3:4:5:6"),
    *("2001:0:808:808::80ff:fffe", "2001:0:7f00:1::f7f7:f7f7"),  # Teredo: client, server
    *("2001:4860::5efe:10.0.0.1", "2001:4860::200:5efe:127.0.0.1"),  # ISATAP
]
OUTSIDE = [
    *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0"),
    *("126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255"),
    *("172.32.0.0", "192.167.255.255", "192.169.0.0", "198.18.0.1", "223.255.255.255"),
    *("191.255.255.255", "192.0.1.0", "2000::1", "3fff::1"),
    *("2001:4860:4860::8888", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"),
    *("2002:808:808::1", "2001:0:808:808::f7f7:f7f7", "2001:4860::5efe:8.8.8.8"),
]


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside(address: str) -> None:
    assert is_inside(address)
    assert names_inside(f"[{address}]" if ":" in address else address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_address_of_the_internet(address: str) -> None:
    assert not is_inside(address)
    assert not names_inside(f"[{address}]" if ":" in address else address)


@pytest.mark.parametrize("address", ["/run/a.sock", "", "gateway", "1.2.3", "12345::1"])
def test_what_is_no_address_is_not_connected_to(address: str) -> None:
    assert is_inside(address)


LOOPBACK = [
    *("127.1", "127.0.1", "2130706433", "0x7f000001", "0X7F.1", "0x7f.0x0.0x0.0x1"),
    *("0177.0.0.1", "00000177.1", "017700000001", "127.0.0.1.", "127.0.0.1..", "127.000.000.001"),
    *(
        "\uff11\uff12\uff17.\uff10.0.\uff11",
        "127。0。0。1",
        "①②⑦.0.0.1",
        "%31%32%37.0.0.1",
        "127.0.0.%31",
    ),
    *("127.0.0.1%25eth0", "127.\u200b0.0.1", "[::1]", "[0:0:0:0:0:0:0:1]", "[::1%25lo]"),
    *("[::ffff:7f00:1]", "[::FFFF:127.0.0.1]", "[fe80::1%25en0]", "0", "0x0", "00", "0x"),
    *("localhost", "LocalHost", "localhost.", "a.localhost", "localhost.localdomain"),
    *("localhost4", "localhost4.localdomain4", "localhost6", "localhost6.localdomain6"),
    *("ip6-localhost", "ip6-loopback", "loopback"),
    *("\uff4cocalhost", "local\u00adhost", "", ".", "[]"),
]


@pytest.mark.parametrize("host", LOOPBACK)
def test_a_spelling_of_this_machine(host: str) -> None:
    assert names_inside(host)


@pytest.mark.parametrize(
    "host", ["256.0.0.1", "1.2.3.4.5", "4294967296", "0xffffffffff", "1" * 50, "x.1", "a.0x1"]
)
def test_what_only_looks_like_an_address(host: str) -> None:
    """Who knows how it is read; no name of the internet ends in a number."""
    assert names_inside(host)


@pytest.mark.parametrize(
    "host",
    [
        *("134744072", "8.8.2056", "0x08080808", "010.8.8.8", "8.8.8.8.", "example.com", "1.com"),
        *("127.0.0.1.example.com", "localhost.example.com", "mylocalhost", "例子.测试", "a.1x"),
    ],
)
def test_what_may_be_asked(host: str) -> None:
    """``010.8.8.8`` is 8.8.8.8 to some, and 10.8.8.8, which is private, to others."""
    assert names_inside(host) == host.startswith("010")


@given(st.ip_addresses(v=4))
def test_every_spelling_of_an_address_is_judged_alike(address: IPv4Address) -> None:
    number = int(address)
    a, b, c, d = address.packed
    spellings = (str(number), hex(number), f"{hex(a)}.{(b << 16) + (c << 8) + d}", f"{address}.")
    assert {names_inside(host) for host in spellings} == {is_inside(str(address))}


@given(st.ip_addresses(v=4))
def test_what_carries_an_address_inside_is_inside(address: IPv4Address) -> None:
    packed = address.packed
    carriers = (
        bytes(10) + b"\xff\xff" + packed,
        b"\x00\x64\xff\x9b" + bytes(8) + packed,
        b"\x20\x02" + packed + bytes(10),
    )
    judged = {is_inside(str(IPv6Address(carrier))) for carrier in carriers}
    assert judged == {is_inside(str(address))}


@given(st.text(max_size=40))
def test_any_host_is_judged(host: str) -> None:
    assert names_inside(host) in (True, False)
