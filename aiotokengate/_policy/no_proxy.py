"""What ``NO_PROXY`` says: which hosts are asked without the environment's proxy.

No standard describes it.  These are the forms that the tools in use understand, taken together:

* ``*`` is every host, ``name`` a host and all below it, ``.name`` the same, ``*.name`` what is
  below it only; other ``*`` stand for anything within one label, or for all labels at an end.
* ``192.0.2.1``, ``2001:db8::1`` and ``[2001:db8::1]`` are that address, however it is written;
  ``192.0.2.0/24`` and ``2001:db8::/32`` are ranges.  Only hosts that are written as an address
  are meant: no name is resolved for this.
* ``…:8080`` is that port alone (an address of IPv6 needs its brackets then), ``https://…`` that
  scheme alone.
* Case, blanks, dots at the end and the spelling of international names make no difference.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

__all__ = ["bypasses"]

_MAPPED = IPv6Network("::ffff:0:0/96")


def bypasses(listed: str, scheme: str, host: str, port: int) -> bool:
    """Say whether a list names a host.

    Args:
        listed: the value of the variable: entries between commas or blanks.
        scheme: of the address that is asked.
        host: of the same, without brackets or with them.
        port: of the same, the scheme's own where none is written.
    """
    name = _name(host.removeprefix("[").removesuffix("]"))
    address = _address(name)
    for entry in re.split(r"[\s,]+", listed):
        said, _, rest = entry.rpartition("://")
        if said and said.lower() != scheme:
            continue
        if _names(rest.partition("/")[0] if said else rest, name, address, port):
            return True
    return False


def _names(entry: str, name: str, address: IPv4Address | IPv6Address | None, port: int) -> bool:
    if "/" in entry:
        return address is not None and _holds(entry, address)
    host, wanted = _parted(entry)
    if not host or (wanted and wanted != str(port)):
        return False
    if address is None:
        return _is_below(_name(host), name)
    meant = _address(host)
    return meant == address if meant is not None else "*" in host and _is_like(host, name)


def _parted(entry: str) -> tuple[str, str]:
    """Part a host from its port, "" where there is none."""
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        return host, rest.removeprefix(":")
    if entry.count(":") > 1:  # an address of IPv6, bare
        return entry, ""
    host, _, port = entry.partition(":")
    return host, port


def _is_below(entry: str, name: str) -> bool:
    """Say whether a name is an entry's, or below it, by whole labels."""
    if "*" in entry:
        return _is_like(entry, name)
    entry = entry.lstrip(".")
    return bool(entry) and f".{name}".endswith(f".{entry}")


def _is_like(entry: str, name: str) -> bool:
    """Compare with a pattern."""
    labels = [re.escape(label).replace(r"\*", "[^.]*") for label in entry.lstrip(".").split(".")]
    for end in (0, -1):
        if labels[end] == "[^.]*":
            labels[end] = ".+"
    return re.fullmatch(r"\.".join(labels), name) is not None


def _name(host: str) -> str:
    """Write a name as it is resolved."""
    host = host.lower().rstrip(".")
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return host


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host.partition("%")[0])  # a zone says where it is, not which
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _holds(entry: str, address: IPv4Address | IPv6Address) -> bool:
    try:
        network = ip_network(entry.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return False
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        inner = IPv4Address(int(network.network_address) & 0xFFFF_FFFF)
        network = IPv4Network((inner, network.prefixlen - 96))
    return address in network
