"""The bounds on coverage: of all, of each room of the core, of each module by its own tests.

Run by ``make test`` once the data is combined, as ``python -m tests.programs.own_coverage``; with
``--list`` it prints what falls short today, as it stands below.

The tests of ``_wire/sse.py`` are ``tests/wire/test_sse.py``: with them alone it is covered as well
as asked for, or it stands below.  What an import runs counts for everybody, so that a module of
nothing but values needs no tests.  (``tests/support/measured.py`` tells coverage whose test runs.)
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from coverage import Coverage
from coverage.results import Numbers

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "aiotokengate"

CORE = ("_wire", "_policy", "_stream", "_calls", "_pool", "_http", "_session.py")
"""The parts where a line that no test reaches is a bug that waits."""

BOUND = 97.0

OTHERWISE = {
    "__main__.py": "the door to the command line, in whose tests it is run as a program",
    "wire/sse.py": "an old name of another module, which warns where it is imported",
}
"""Modules that are not covered by tests of their own, and why."""

SHORT: dict[str, int] = {
    "_base/copying.py": 68,
    "_base/error.py": 34,
    "_base/redaction.py": 25,
    "_base/sealing.py": 47,
    "_base/spelling.py": 45,
    "_calls/admission.py": 21,
    "_calls/many.py": 21,
    "_calls/routes.py": 41,
    "_calls/sending.py": 17,
    "_cli/app.py": 27,
    "_cli/doctor.py": 22,
    "_cli/gateway.py": 28,
    "_cli/loop.py": 53,
    "_cli/show.py": 28,
    "_cli/top.py": 24,
    "_cli/wrapping.py": 42,
    "_http/connections.py": 30,
    "_http/direct.py": 23,
    "_http/internals.py": 88,
    "_http/proxies.py": 27,
    "_http/socks.py": 95,
    "_http/transport.py": 23,
    "_policy/bucket.py": 89,
    "_policy/lanes.py": 17,
    "_policy/learning.py": 88,
    "_policy/queue.py": 96,
    "_policy/reported.py": 31,
    "_policy/retry.py": 86,
    "_policy/timeouts.py": 71,
    "_pool/backend.py": 36,
    "_pool/monitor.py": 21,
    "_pool/pool.py": 86,
    "_redis/backend.py": 24,
    "_redis/connection.py": 29,
    "_redis/lane.py": 14,
    "_redis/local_share.py": 23,
    "_redis/replies.py": 67,
    "_resources/audio.py": 37,
    "_resources/base.py": 45,
    "_resources/chat.py": 22,
    "_resources/conversation.py": 23,
    "_resources/embeddings.py": 27,
    "_resources/images.py": 37,
    "_resources/jobs.py": 21,
    "_resources/models.py": 48,
    "_resources/music.py": 37,
    "_resources/raw.py": 35,
    "_resources/single_use.py": 37,
    "_resources/structured.py": 21,
    "_resources/tasks.py": 27,
    "_resources/tools.py": 26,
    "_resources/videos.py": 39,
    "_session.py": 19,
    "_stream/call.py": 25,
    "_stream/clocks.py": 23,
    "_stream/download.py": 22,
    "_stream/receiver.py": 22,
    "_wire/audio.py": 37,
    "_wire/chat_completions.py": 12,
    "_wire/dialects.py": 32,
    "_wire/endings.py": 57,
    "_wire/extent.py": 33,
    "_wire/fitting.py": 18,
    "_wire/fold.py": 28,
    "_wire/framing.py": 14,
    "_wire/gemini.py": 14,
    "_wire/gemini_reply.py": 14,
    "_wire/headers.py": 30,
    "_wire/history.py": 19,
    "_wire/identity.py": 18,
    "_wire/jobs.py": 29,
    "_wire/jsontext.py": 16,
    "_wire/media.py": 27,
    "_wire/messages.py": 15,
    "_wire/messages_reply.py": 15,
    "_wire/output_calls.py": 18,
    "_wire/output_items.py": 19,
    "_wire/output_texts.py": 18,
    "_wire/pack.py": 26,
    "_wire/partial.py": 18,
    "_wire/partial_args.py": 18,
    "_wire/problems.py": 22,
    "_wire/protocols.py": 48,
    "_wire/question.py": 38,
    "_wire/relay.py": 18,
    "_wire/responses.py": 17,
    "_wire/responses_reply.py": 19,
    "_wire/results.py": 20,
    "_wire/short_ids.py": 35,
    "_wire/signed.py": 18,
    "_wire/sse.py": 96,
    "_wire/thinking.py": 28,
    "_wire/tokens.py": 45,
    "_wire/transcript.py": 17,
    "_wire/usage.py": 26,
    "catalogue.py": 64,
    "clock.py": 88,
    "errors.py": 70,
    "hooks.py": 86,
    "redis.py": 57,
    "testing/__init__.py": 90,
    "testing/_answers.py": 32,
    "testing/_chat_request.py": 30,
    "testing/_clock.py": 36,
    "testing/_connection.py": 31,
    "testing/_dialects.py": 51,
    "testing/_files.py": 30,
    "testing/_gate_limits.py": 38,
    "testing/_gateway.py": 19,
    "testing/_gemini.py": 25,
    "testing/_jobs.py": 27,
    "testing/_known_keys.py": 36,
    "testing/_limits.py": 31,
    "testing/_listing.py": 43,
    "testing/_masking.py": 44,
    "testing/_media.py": 24,
    "testing/_memory.py": 29,
    "testing/_messages.py": 24,
    "testing/_models.py": 80,
    "testing/_output.py": 31,
    "testing/_payloads.py": 46,
    "testing/_pytest_plugin.py": 70,
    "testing/_record.py": 34,
    "testing/_recording.py": 36,
    "testing/_refusals.py": 75,
    "testing/_render.py": 27,
    "testing/_request.py": 75,
    "testing/_responses.py": 20,
    "testing/_schemas.py": 14,
    "testing/_script.py": 63,
    "testing/_servers.py": 47,
    "testing/_shapes.py": 30,
    "testing/_signals.py": 36,
    "testing/_thread.py": 37,
    "testing/_tokens.py": 66,
    "testing/_transport.py": 25,
    "testing/_trouble.py": 46,
    "testing/_vendors.py": 40,
    "testing/_wishes.py": 57,
    "testing/faults.py": 64,
    "types.py": 72,
}
"""Modules whose own tests are to be brought up, and what they cover at least today."""


def main() -> int:
    """Check all bounds; say what falls short."""
    coverage = Coverage()
    coverage.load()
    if sys.argv[1:] == ["--list"]:
        list_short(coverage)
        return 0
    total = measured(coverage, files(PACKAGE))
    print(f"coverage: {total.pc_covered:.2f} % in all", end="")
    short = [] if total.pc_covered >= bound_of_all(coverage) else ["aiotokengate"]
    for part in CORE:
        found = measured(coverage, files(PACKAGE / part)).pc_covered
        print(f", {found:.2f} % of {part}", end="")
        short += [part] if found < BOUND else []
    print()
    if short:
        coverage.report()
        print("below the bound:", *short)
    return int(bool([*short, *short_by_themselves(coverage)]))


def bound_of_all(coverage: Coverage) -> float:
    """Return what pyproject.toml asks for."""
    return float(str(coverage.get_option("report:fail_under")))


def files(where: Path) -> list[Path]:
    """Return the modules of a directory, or the one module."""
    return [where] if where.is_file() else sorted(where.rglob("*.py"))


def measured(coverage: Coverage, modules: Iterable[Path]) -> Numbers:
    """Return how much of some modules ran, in the contexts that are set."""
    return sum((coverage._analyze(str(each)).numbers for each in modules), Numbers())


def own_test(module: Path) -> str:
    """Return where a module's tests are."""
    *rooms, name = (part.strip("_") for part in module.relative_to(PACKAGE).with_suffix("").parts)
    return "/".join(["tests", *rooms, f"test_{name}.py"])


def covered_alone(coverage: Coverage, module: Path) -> float:
    """Return the percentage of a module that its own tests cover, and those alone."""
    coverage.get_data().set_query_contexts([f"^{re.escape(own_test(module))}$", "^$"])
    return measured(coverage, [module]).pc_covered


def short_by_themselves(coverage: Coverage) -> list[str]:
    """Return the modules whose tests cover too little, and print them."""
    short, names = [], set()
    for module in files(PACKAGE):
        name = module.relative_to(PACKAGE).as_posix()
        names.add(name)
        found, bound = covered_alone(coverage, module), SHORT.get(name, BOUND)
        if name not in OTHERWISE and found < bound:
            short.append(name)
            print(f"{found:6.2f} % of {name} by {own_test(module)} alone, not {bound} %")
        elif name in SHORT and found >= BOUND:
            print(f"{found:6.2f} % of {name} by {own_test(module)}: no longer short")
    gone = sorted({*OTHERWISE, *SHORT} - names)
    if gone:
        print("no longer there:", *gone)
    return short + gone


def list_short(coverage: Coverage) -> None:
    """Print the modules that fall short, and what their own tests cover, rounded down."""
    for module in files(PACKAGE):
        name, found = module.relative_to(PACKAGE).as_posix(), covered_alone(coverage, module)
        if name not in OTHERWISE and found < BOUND:
            print(f'    "{name}": {int(found)},')


if __name__ == "__main__":
    sys.exit(main())
