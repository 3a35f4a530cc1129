"""A plugin of ``make test``: coverage learns which test file runs, and where not to look.

With ``-p tests.support.measured`` what is measured has the test file as its context, also in the
processes that a test starts, so that ``tests/programs/own_coverage.py`` can say what a module's
own tests cover.  The context changes with the file and not with the test, which costs nothing.
"""

import importlib
import os
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager

import coverage
import pytest

PROCESS_CONFIG = "COVERAGE_PROCESS_CONFIG"
"""How coverage tells the processes that a test starts what to measure, and for whom."""

_file = ""


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """Note what a test file runs while its cases are made as its own."""
    if isinstance(collector, pytest.Module):
        _measure_for(collector.nodeid)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Note what a test runs, in processes of its own too, under the name of its file."""
    _measure_for(item.location[0])
    if item.get_closest_marker("unmeasured") is None:
        return (yield)
    with _unmeasured():
        return (yield)


@contextmanager
def _unmeasured() -> Iterator[None]:
    """Stop measuring, also in processes that are started."""
    running = coverage.Coverage.current()
    if running is None:
        yield
        return
    running.stop()
    config = os.environ.pop(PROCESS_CONFIG, None)
    try:
        yield
    finally:
        if config is not None:
            os.environ[PROCESS_CONFIG] = config
        running.start()


def _measure_for(file: str) -> None:
    """Have coverage note what runs from here on under a test file's name."""
    global _file  # noqa: PLW0603 - hooks are functions, and there is one coverage a process
    running = coverage.Coverage.current()
    if running is None or file == _file:
        return
    if not _file:
        _import_all()
    _file = file
    running.switch_context(file)
    running.set_option("run:context", file)
    os.environ[PROCESS_CONFIG] = running.config.serialize()


def _import_all() -> None:
    """Import the package under no test file's name: what an import runs is nobody's own."""
    package = importlib.import_module("aiotokengate")
    for found in pkgutil.walk_packages(package.__path__, "aiotokengate."):
        if not found.name.startswith(("aiotokengate.__main__", "aiotokengate.wire")):
            importlib.import_module(found.name)
