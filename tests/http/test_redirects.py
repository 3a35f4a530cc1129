"""Redirects: where they lead, what goes along, and what is said of those that are refused."""

from __future__ import annotations

import pytest

from aiotokengate import CallerError
from aiotokengate._http.redirects import checked_url, named, onward, refused, travelling

GW = "https://gw.test/v1/file?sig=geheim99"

FOLLOWED = [
    ("https://files.test/a", "https://files.test/a"),
    ("//files.test/a?b=1#c", "https://files.test/a?b=1"),
    ("http://gw.test/a", "http://gw.test/a"),
    ("https://gw.test:8443/a", "https://gw.test:8443/a"),
    (" https://files.test/a b/文件.png ", "https://files.test/a b/文件.png"),
    ("HTTPS://FILES.test/a", "https://FILES.test/a"),
]


@pytest.mark.parametrize(("location", "target"), FOLLOWED)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_download_is_followed_to_another_host(location: str, target: str, status: int) -> None:
    assert onward("GET", GW, status, location, ours=True) == target
    assert onward("GET", GW, status, location, ours=False) == target
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert onward(method, GW, status, location, ours=True) is None
        assert onward(method, GW, status, location, ours=False) is None


@pytest.mark.parametrize(
    "location", ["/b", "b", "?c", "https://gw.test/b", "https://GW.test:443/b"]
)
def test_the_host_itself(location: str) -> None:
    """The gateway would get the key again, at a place nobody asked for; others get none."""
    assert onward("GET", GW, 302, location, ours=True) is None
    assert onward("GET", GW, 302, location, ours=False) is not None
    assert onward("POST", GW, 307, location, ours=False) is not None
    assert onward("POST", GW, 302, location, ours=False) is None
    assert onward("POST", GW, 307, location, ours=True) is None


@pytest.mark.parametrize(
    "location",
    [
        *("", "ftp://files.test/a", "file:///etc/passwd", "data:,a", "javascript:1", "http://"),
        *("http://files.test:99999/", "http://files.test:0/", "http://[::1", "http://a b/"),
        *("http://files.test\\@127.0.0.1/", "http://a@b@c/", "http:///a", "http://f.test:x/"),
        *("http://\udcff.test/", "https://files.test/\udcff", "http://[a]b/"),
    ],
)
def test_what_is_no_address(location: str) -> None:
    """Where two parsers may find two hosts, neither is asked."""
    assert onward("GET", GW, 302, location, ours=False) is None
    assert named(location) == "an address that is none"


@pytest.mark.parametrize("status", [200, 300, 304, 305, 306, 400])
def test_what_is_no_redirect(status: int) -> None:
    assert onward("GET", GW, status, "https://files.test/a", ours=True) is None


TRAVELLERS = [
    *("Accept", "accept-encoding", "Accept-Language", "If-Match", "If-Modified-Since"),
    *("If-None-Match", "if-range", "If-Unmodified-Since", "RANGE", "User-Agent"),
]


def test_only_headers_that_say_nothing_of_the_caller_travel() -> None:
    mine = ("Authorization", "api-key", "X-Auth-Token", "Cookie", "X-Api-Key", "Referer", "Host")
    more = ("Proxy-Authorization", "Forwarded", "X-Forwarded-For", "Origin", "Content-Type", "X")
    headers = {name: f"v{number}" for number, name in enumerate((*TRAVELLERS, *mine, *more))}
    assert travelling(headers) == {name: f"v{at}" for at, name in enumerate(TRAVELLERS)}


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("http://gw.test/a", "http://gw.test:80/b"),
        ("http://gw.test:80/a", "http://GW.test/b"),
        ("https://gw.test/a", "https://gw.test:443/b"),
        ("https://gw.test:81/a", "https://gw.test:81/b"),
        ("http://bot:p@gw.test/a", "http://gw.test/b"),
    ],
)
def test_what_is_the_same_host(url: str, same: str) -> None:
    """It keeps its body where the status says so, and where the gateway was not asked."""
    assert onward("POST", url, 308, same, ours=False) == same
    for other in ("http://gw.test:81/b", "https://gw.test:82/b", "https://www.gw.test/b"):
        assert onward("POST", url, 308, other, ours=False) is None


def test_an_upgrade_is_not_followed_by_whoever_has_the_key() -> None:
    """It is the same address by https; any other is fetched without the key."""
    asked = "http://gw.test/v1/file?a=1"
    assert onward("GET", asked, 302, "https://gw.test/v1/file?a=1", ours=True) is None
    assert onward("GET", asked, 302, "https://gw.test:8443/v1/file?a=1#x", ours=True) is None
    for other in (
        "https://files.test/v1/file?a=1",
        "https://gw.test/v1/other?a=1",
        "https://gw.test/v1/file?a=2",
        "http://gw.test:81/v1/file?a=1",
    ):
        assert onward("GET", asked, 302, other, ours=True) == other
        assert refused(asked, 302, other)[1] is None
    down = "http://gw.test/v1/file?sig=geheim99"
    assert onward("GET", GW, 302, down, ours=True) == down


@pytest.mark.parametrize(
    ("port", "fits"),
    [(0, False), (1, True), (65_535, True), (65_536, False)],
)
def test_ports_have_an_end(port: int, *, fits: bool) -> None:
    url = f"http://files.test:{port}/a"
    assert onward("GET", GW, 302, url, ours=True) == (url if fits else None)
    if fits:
        assert checked_url(url) == url
    else:
        with pytest.raises(CallerError, match="expected an http or https address to download"):
            checked_url(url)


def test_a_place_is_shown_without_a_login() -> None:
    """And one that is too long, or holds odd signs, is not shown."""
    assert named("HTTP://bot:geheim99@Files.test:81/a?b") == "http://Files.test:81"
    assert named("https://[::1%25a]:8/") == "https://[::1%25a]:8"
    assert named(f"https://{'a' * 255}/") == f"https://{'a' * 255}"
    for odd in (f"https://{'a' * 256}/", "https://a,b/", "https://a\u200bb/"):
        assert named(odd) == "an address that is none"


def test_a_refusal_names_the_place_and_no_more() -> None:
    target = "https://bot:geheim99@files.test:8443/geheim99?sig=geheim99#geheim99"
    away = "redirect not followed, it would carry the key away to https://files.test:8443 (302)"
    assert refused(GW, 302, target) == (away, None)
    message, hint = refused("http://gw.test:80/v1/chat", 308, "https://gw.test:8443/v1/chat")
    assert message == "redirect not followed: this address moved to https://gw.test:8443 (308)"
    assert hint is not None
    assert hint.startswith("hint: begin base_url with https:// (https://gw.test:8443)\n提示：")
    for nowhere in ("nowhere://geheim99", ""):
        none = "redirect not followed, it leads to no http or https address (302)"
        assert refused(GW, 302, nowhere) == (none, None)
    message, _ = refused(GW, 302, f"https://{'a' * 300}.test/")
    assert len(message) < 120
