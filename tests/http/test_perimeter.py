"""Downloads are taken from outside, unless the session itself stands inside."""

import pytest

from aiotokengate import CallerError
from aiotokengate._http.perimeter import InsideError, Perimeter, refused_inside

OUTSIDE, INSIDE = "8.8.8.8", "10.0.0.7"
FILE = f"http://{INSIDE}/cat.png"


@pytest.mark.parametrize("address", ["127.0.0.1", INSIDE, "169.254.169.254", "::1"])
async def test_a_session_outside_takes_nothing_from_inside(address: str) -> None:
    """Neither by name nor at the moment of the connection."""
    border = Perimeter("https://api.example.com/v1", {OUTSIDE}, allow=False)
    assert not border.is_open
    with pytest.raises(InsideError, match="not taken from an address inside"):
        border.check(address)
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(CallerError, match="expected a download from a public address"):
        await border.admit(f"http://{host}/cat.png")


async def test_what_is_outside_may_be_asked() -> None:
    """From everywhere."""
    border = Perimeter("https://api.example.com/v1", {OUTSIDE}, allow=False)
    border.check(OUTSIDE)
    await border.admit("https://cdn.example.com/cat.png")


@pytest.mark.parametrize("url", [f"http://{INSIDE}:8000/v1", "http://localhost/v1"])
async def test_a_session_that_is_written_as_inside_is_inside(url: str) -> None:
    """A gateway of one's own hands out addresses of its own."""
    border = Perimeter(url, set(), allow=False)
    assert border.is_open
    border.check(INSIDE)
    await border.admit(FILE)


async def test_who_allows_it_gets_all() -> None:
    """That is what ``allow_private`` is for."""
    border = Perimeter("https://api.example.com/v1", {OUTSIDE}, allow=True)
    border.check(INSIDE)
    await border.admit(FILE)


@pytest.mark.parametrize(("seen", "is_open"), [({INSIDE}, True), ({INSIDE, OUTSIDE}, False)])
def test_a_session_stands_where_all_its_connections_went(seen: set[str], is_open: bool) -> None:
    """One that went outside shows that the name leads there."""
    assert Perimeter("https://gate.example.com/v1", seen, allow=False).is_open is is_open


async def test_before_the_first_connection_the_name_is_looked_up() -> None:
    """One that nobody can look up stands nowhere."""
    border = Perimeter(f"https://{'a' * 70}.example.com/v1", set(), allow=False)
    with pytest.raises(CallerError, match="expected a download from a public address"):
        await border.admit(FILE)


async def test_a_host_given_as_its_address_is_looked_up_too() -> None:
    """What the look-up finds decides."""
    border = Perimeter(f"https://{OUTSIDE}/v1", set(), allow=False)
    await border.admit("https://cdn.example.com/cat.png")
    assert not border.is_open


async def test_behind_a_proxy_only_what_is_written_counts() -> None:
    """Nothing is looked up: the proxy makes the connections."""
    border = Perimeter("https://no-such-host.invalid/v1", None, allow=False)
    await border.admit("https://cdn.example.com/cat.png")
    with pytest.raises(CallerError):
        await border.admit(FILE)


def test_the_error_says_what_to_do() -> None:
    """And which address it was, without what else stands in the URL."""
    error = refused_inside(f"http://{INSIDE}/cat.png?key=sk-secret")
    assert INSIDE in str(error)
    assert "sk-secret" not in str(error)
    assert "allow_private=True" in repr(vars(error)) + str(error)
