"""What is promised under each fault, held against the fake gateway."""

import sys

from compare_faults import PAGE, broken, compare, load, page


async def test_ours_is_as_promised() -> None:
    """Under every fault of the documentation's table, users are told what the table promises."""
    outcome = await compare(["aiotokengate"], {"aiotokengate": sys.executable})
    assert broken(outcome) == []


def test_a_broken_promise_is_noticed() -> None:
    """An outcome that is not the promised one is named."""
    kept = load()["outcome"]
    kept["reset"]["aiotokengate"] = ["whole", "1"]
    assert broken(kept) == ["reset: promised ('StreamInterrupted', '1'), got ('whole', '1')"]


def test_the_table_is_that_of_the_last_run() -> None:
    """What stands in the documentation is what ``faults.json`` says."""
    text = PAGE.read_text("utf-8")
    assert page(text, load()) == text
