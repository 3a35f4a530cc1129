"""Which hosts ``NO_PROXY`` means, form by form."""

from __future__ import annotations

import pytest

from aiotokengate._policy.no_proxy import bypasses

DIRECT = [
    # all
    ("*", "http://a.example.com"),
    ("localhost,*", "http://a.example.com"),
    ("*, localhost", "http://[::1]"),
    ("*:8080", "http://a.example.com:8080"),
    # names
    ("example.com", "http://example.com"),
    ("example.com", "http://a.b.example.com"),
    (".example.com", "http://a.example.com"),
    (".example.com", "http://example.com"),
    ("*.example.com", "http://a.example.com"),
    ("*.example.com", "http://a.b.example.com"),
    ("A.EXAMPLE.com", "http://a.Example.COM"),
    ("a.example.com.", "http://a.example.com"),
    ("a.example.com", "http://a.example.com."),
    ("*.example.com.", "http://a.example.com"),
    (" a.example.com , b ", "http://a.example.com"),
    ("b a.example.com", "http://a.example.com"),
    ("b,\ta.example.com\n", "http://a.example.com"),
    ("b,,a.example.com,", "http://a.example.com"),
    ("localhost", "http://localhost"),
    ("com", "http://example.com"),
    ("api-*.example.com", "http://api-7.example.com"),
    ("gateway.*", "http://gateway.corp.example"),
    ("bücher.example", "http://xn--bcher-kva.example"),
    ("xn--bcher-kva.example", "http://www.bücher.example"),
    ("网关.测试", "http://网关.测试"),
    # ports
    ("a.example.com:80", "http://a.example.com"),
    ("a.example.com:443", "https://a.example.com"),
    ("example.com:8080", "http://a.example.com:8080"),
    (".example.com:8080", "http://a.example.com:8080"),
    ("*.example.com:8080", "http://a.example.com:8080"),
    ("a.example.com:", "http://a.example.com:8080"),
    ("127.0.0.1:8080", "http://127.0.0.1:8080"),
    # addresses
    ("127.0.0.1", "http://127.0.0.1:8080"),
    ("10.1.2.*", "http://10.1.2.3"),
    ("10.*", "http://10.1.2.3"),
    ("::1", "http://[::1]"),
    ("[::1]", "http://[::1]:8080"),
    ("[::1]:8080", "http://[::1]:8080"),
    ("0:0:0:0:0:0:0:1", "http://[::1]"),
    ("2001:DB8::0001", "http://[2001:db8::1]"),
    ("fe80::1", "http://[fe80::1%25eth0]"),
    ("fe80::1%eth0", "http://[fe80::1%25eth0]"),
    ("::ffff:10.0.0.1", "http://10.0.0.1"),
    ("10.0.0.1", "http://[::ffff:10.0.0.1]"),
    # ranges
    ("127.0.0.0/8", "http://127.0.0.1"),
    ("203.0.113.0/24,10.0.0.0/8", "http://10.1.2.3"),
    ("10.1.2.3/8", "http://10.9.9.9"),
    ("10.0.0.0/255.0.0.0", "http://10.9.9.9"),
    ("127.0.0.1/32", "http://127.0.0.1"),
    ("0.0.0.0/0", "http://8.8.8.8"),
    ("::1/128", "http://[::1]"),
    ("fd00::/8", "http://[fd12::1]"),
    ("[fd00::]/8", "http://[fd12::1]"),
    ("::ffff:10.0.0.0/104", "http://10.1.1.1"),
    ("10.0.0.0/8", "http://[::ffff:10.1.1.1]"),
    # schemes
    ("http://a.example.com", "http://a.example.com"),
    ("https://a.example.com/v1", "https://a.example.com"),
]
PROXIED = [
    ("", "http://a.example.com"),
    (" , ,", "http://a.example.com"),
    (".", "http://a.example.com"),
    ("ple.com", "http://example.com"),
    ("ample.com:80", "http://example.com"),
    ("*.example.com", "http://example.com"),
    ("*.example.com", "http://a.example.org"),
    ("*.example.com", "http://aexample.com"),
    ("a.example.com", "http://example.com"),
    ("a.example.com", "http://a.example.com.evil.org"),
    ("api-*.example.com", "http://api-7.x.example.com"),
    ("a.example.com:8080", "http://a.example.com"),
    ("a.example.com:80", "https://a.example.com"),
    ("a.example.com:http", "http://a.example.com"),
    ("*:8080", "http://a.example.com:80"),
    ("127.0.0.1:8080", "http://127.0.0.1:80"),
    ("127.0.0.1", "http://127.0.0.2"),
    ("0.0.1", "http://127.0.0.1"),
    (".1", "http://127.0.0.1"),
    ("1", "http://127.0.0.1"),
    ("localhost", "http://127.0.0.1"),
    ("127.0.0.1", "http://localhost"),
    ("10.*", "http://110.1.2.3"),
    ("::1", "http://[::2]"),
    ("[::1]:8080", "http://[::1]:80"),
    ("203.0.113.0/24", "http://127.0.0.1"),
    ("127.0.0.0/33", "http://127.0.0.1"),
    ("127.0.0.0/8", "http://127.example.com"),
    ("10.0.0.0/8", "http://[::a00:1]"),
    ("::/0", "http://10.0.0.1"),
    ("example.com/24", "http://example.com"),
    ("https://a.example.com", "http://a.example.com"),
]


def goes_directly(listed: str, url: str) -> bool:
    scheme, _, place = url.partition("://")
    host, colon, port = place.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = place, {"http": "80", "https": "443"}[scheme]
    return bypasses(listed, scheme, host, int(port))


@pytest.mark.parametrize(("listed", "url"), DIRECT)
def test_it_goes_directly(listed: str, url: str) -> None:
    assert goes_directly(listed, url)


@pytest.mark.parametrize(("listed", "url"), PROXIED)
def test_it_goes_through_the_proxy(listed: str, url: str) -> None:
    assert not goes_directly(listed, url)
