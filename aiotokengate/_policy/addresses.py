"""Which addresses stand inside: on this machine, on its link, in a private network.

What a gateway names to be downloaded is asked for from here, and so may be a place that only this
machine reaches.  An address that something connects to is judged as it is; the host of a URL that
a proxy is to connect to is judged in every spelling that some resolver reads as an address, since
nobody knows which one the proxy has.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from itertools import product
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["is_inside", "names_inside"]

_Address: TypeAlias = IPv4Address | IPv6Address

# IANA's registries of special addresses, but for those of documentation, where nothing is, and
# 198.18.0.0/15, which is what proxies in wide use ("fake IP") resolve every public name to.
_INSIDE = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host (RFC 1122, 3.2.1.3); a connection to it reaches loopback
        "10.0.0.0/8",  # private (RFC 1918)
        "100.64.0.0/10",  # behind a carrier's NAT (RFC 6598), and in overlay networks
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local (RFC 3927), where clouds tell machines their secrets
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocols' own (RFC 6890)
        "192.168.0.0/16",  # private
        "224.0.0.0/4",  # multicast (RFC 5771)
        "240.0.0.0/4",  # reserved (RFC 1112), and broadcast
    )
)
_GLOBAL = IPv6Network("2000::/3")
"""What of IPv6 was ever given out for hosts of the internet (RFC 4291, 2.4)."""

_MAPPED = IPv6Network("::ffff:0:0/96")  # RFC 4291, 2.5.5.2
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
_6TO4 = IPv6Network("2002::/16")  # RFC 3056
_TEREDO = IPv6Network("2001::/32")  # RFC 4380
_ISATAP = (0x00005EFE, 0x02005EFE)  # the middle of an address (RFC 5214, 6.1)
_WORD = 0xFFFF_FFFF


def is_inside(address: str) -> bool:
    """Say whether an address, as a socket has it, is not one of the internet's hosts."""
    try:
        return _is_inside(ip_address(address.partition("%")[0]))
    except ValueError:  # no address of the internet at all
        return True


def _is_inside(address: _Address) -> bool:
    if isinstance(address, IPv4Address):
        return any(address in network for network in _INSIDE)
    if any(map(_is_inside, _carried(address))):
        return True
    return not any(address in network for network in (_GLOBAL, _MAPPED, _NAT64))


def _carried(address: IPv6Address) -> Iterator[IPv4Address]:
    """Return the IPv4 addresses that stand in one of IPv6, and to which it may lead."""
    number = int(address)
    if address in _MAPPED or address in _NAT64 or (number >> 32) & _WORD in _ISATAP:
        yield IPv4Address(number & _WORD)
    if address in _6TO4:
        yield IPv4Address((number >> 80) & _WORD)
    if address in _TEREDO:
        yield IPv4Address((number >> 64) & _WORD)  # the server
        yield IPv4Address(~number & _WORD)  # the client, inverted


# --- hosts of URLs ------------------------------------------------------------------------------

_LOCAL = frozenset(
    (
        *("localhost", "localhost.localdomain", "localhost4", "localhost4.localdomain4"),
        *("localhost6", "localhost6.localdomain6", "ip6-localhost", "ip6-loopback", "loopback"),
    )
)
"""Names that the hosts files of systems give to loopback; ``*.localhost``: RFC 6761, 6.3."""

_ESCAPED = re.compile(r"%([0-9a-fA-F]{2})")
_NUMBER = re.compile(r"0x[0-9a-f]{0,40}|[0-9]{1,40}")
_NUMERIC = re.compile(r"0x[0-9a-f]*|[0-9]+")
_MOST_PARTS = 4


def names_inside(host: str) -> bool:
    """Say whether the host of a URL is an address that :func:`is_inside`, or means this machine.

    A name that is none of those may lead inside all the same: who resolves it has to look.
    What looks like an address and is none is taken for one, for who knows how it is read.
    """
    plain = _plain(host)
    if ":" in plain:
        return is_inside(plain)
    if _NUMERIC.fullmatch(plain.rpartition(".")[2]):
        found = list(_readings(plain.split(".")))
        return not found or any(map(_is_inside, found))
    return not plain or plain in _LOCAL or plain.endswith(".localhost")


def _plain(host: str) -> str:
    """Write a host as resolvers do: small, and without what IDNA takes away (UTS #46, 4)."""
    host = host.strip().removeprefix("[").removesuffix("]")
    if ":" in host:
        return host.partition("%")[0]
    host = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), host).partition("%")[0]
    folded = unicodedata.normalize("NFKC", host).replace("。", ".").lower()
    return "".join(sign for sign in folded if not _is_invisible(sign)).strip(".")


def _readings(parts: list[str]) -> Iterator[IPv4Address]:
    """Return the addresses of dotted numbers: in full or short, decimal, octal or hexadecimal.

    A leading zero means octal to some and nothing to others.
    """
    if len(parts) > _MOST_PARTS or not all(map(_NUMBER.fullmatch, parts)):
        return
    room = 256 ** (_MOST_PARTS + 1 - len(parts))
    for *heads, last in product(*map(_values, parts)):
        if all(head < 256 for head in heads) and last < room:  # noqa: PLR2004 - a byte
            whole = sum(head << 8 * (3 - place) for place, head in enumerate(heads))
            yield IPv4Address(whole + last)


def _values(number: str) -> set[int]:
    if number.startswith("0x"):
        return {int(number[2:] or "0", 16)}
    is_octal = number.startswith("0") and not {"8", "9"} & {*number}
    return {int(number), int(number, 8)} if is_octal else {int(number)}


def _is_invisible(sign: str) -> bool:
    return sign.isspace() or unicodedata.category(sign) in ("Cc", "Cf")
