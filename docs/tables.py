"""Write the tables of the documentation from the code: ``python docs/tables.py``.

A table stands between two comments that name it; what is between them is written anew.  The
tests hold that nothing would change.
"""

from __future__ import annotations

import inspect
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import attrs
import typer

import aiotokengate
from aiotokengate import Retry, Timeout, errors
from aiotokengate._cli.app import app
from aiotokengate._wire.dialects import DIALECTS, Dialect
from aiotokengate._wire.endings import CLASSES, broken_off
from aiotokengate.catalogue import CATALOGUE, Model
from aiotokengate.testing._models import MODELS

DOCS = Path(__file__).parent
PLACE = re.compile(r"(<!-- begin (\w+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)

INLINE = {
    "leading": "at the beginning",
    "assume_open": "assumed open at the beginning",
    "never": "never",
}


def dialects() -> Iterable[Sequence[str]]:
    """Yield a row for each dialect."""
    yield "dialect", "fields, the first with text wins", "tags in the text", "sent back as"
    for row in DIALECTS.values():
        yield code(row.name), _fields(row), _inline(row), _echo(row)


def _fields(row: Dialect) -> str:
    return ", ".join(map(code, (*row.fields, *(("reasoning_details",) if row.details else ()))))


def _inline(row: Dialect) -> str:
    where = INLINE[row.inline]
    if row.inline == "never":
        return where
    enders = f"; {', '.join(map(_mark, row.enders))} end them, too" if row.enders else ""
    return f"{where}: {', '.join(map(_mark, row.openers))}{enders}"


def _mark(text: str) -> str:
    """Set a mark as code; in a table its bars would end the cell, and its line ends the row."""
    return code(text.replace("|", "\\|").replace("\n", "⏎"))


def _echo(row: Dialect) -> str:
    return code(row.echo) if row.echo else "the field it came in"


WANTED_BACK = {"nothing": "-", "tool_reasoning": "thinking with calls", "blocks": "blocks"}


def models() -> Iterable[Sequence[str]]:
    """Yield a row for each row of the catalogue."""
    yield (
        *("pattern", "family", "protocol", "dialect", "thinking", "efforts", "off"),
        *("refuses", "takes → gives", "wants back"),
    )
    for row in CATALOGUE.rows:
        chats = "text" in row.inputs and "text" in row.outputs
        yield (
            *(code(row.pattern), row.family),
            *(_spoken_to(row) if chats else ("-",) * 3),
            *(_thinks(row) if chats and row.thinking != "none" else ("-",) * 2),
            _refuses(row) if chats else "-",
            f"{', '.join(row.inputs)} → {', '.join(row.outputs)}",
            WANTED_BACK[row.wants_back],
        )


def sources() -> Iterable[Sequence[str]]:
    """Yield a row for each source of the catalogue, with the rows that are from it."""
    yield "source", "as of", "rows"
    found: dict[tuple[str, str], list[str]] = {}
    for row in CATALOGUE.rows:
        found.setdefault((row.source, row.as_of), []).append(code(row.pattern))
    for (source, day), patterns in found.items():
        yield source, day, ", ".join(patterns)


def _thinks(row: Model) -> tuple[str, str]:
    words = ", ".join(f"**{word}**" if word == row.unasked else word for word in row.efforts)
    return words or "-", row.off.replace("_", " ")


def _refuses(row: Model) -> str:
    always = [word.replace("_", " ") for word in row.refuses]
    thinking = [word.replace("_", " ") for word in row.refuses_thinking]
    said = [*always, *([f"thinking: {', '.join(thinking)}"] if thinking else ())]
    return "; ".join(said) or "-"


def _spoken_to(row: Model) -> tuple[str, str, str]:
    thinking = row.thinking if row.protocol == "chat" else row.native_thinking
    tools = f", {code(row.tools_protocol)} with functions" if row.tools_protocol else ""
    return f"{code(row.protocol)}{tools}", code(row.dialect), code(thinking)


def offered() -> Iterable[Sequence[str]]:
    """Yield a row for each model of the fake gateway."""
    yield "model", "owner", "thinks unasked", "tokens of context"
    for row in MODELS.values():
        yield code(row.id), row.owner, "yes" if row.thinks else "no", f"{row.context:,}"


MEANINGS = {
    "connect": "until the connection stands: name, TCP, TLS",
    "first_event": "from sending to the first content or typed event",
    "stall": "without content or a typed event, once it began",
    "total": "from sending to the end of the reply, of one attempt",
    "after_finish": "for the protocol's own end, once every choice says that it has finished; "
    "counted anew from whatever still comes",
    "attempts": "how often a call is sent at most, the first time included, refusals and "
    "failures together",
    "max_wait": "seconds for all waits between the attempts of a call together; a gateway that "
    "asks for more than is left of it is not tried again",
    "empty": "whether a reply with nothing to show, or one that the vendor calls malformed, is "
    "asked for again, too",
}


def timeout() -> Iterable[Sequence[str]]:
    """Yield a row for each clock."""
    yield "`Timeout(...)`", "default", "how long it may take"
    yield from _defaults(Timeout)


def retry() -> Iterable[Sequence[str]]:
    """Yield a row for each limit of retries."""
    yield "`Retry(...)`", "default", "what it bounds"
    yield from _defaults(Retry)


def _defaults(kind: type[attrs.AttrsInstance]) -> Iterable[Sequence[str]]:
    for field in attrs.fields(kind):
        yield code(field.name), _default(field.default), MEANINGS[field.name]


def _default(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else f"{value:g}"


COMES_TO = {
    "finished": "complete",
    "calls": "complete, with tool calls to be answered",
    "length": "complete, and cut by a limit of tokens",
    "filtered": "complete, and cut or refused for what it says",
    "paused": "`paused`: ask again to go on",
    "broken": "`StreamInterrupted`, never a success",
}


def endings() -> Iterable[Sequence[str]]:
    """Yield a row for each class of finish words."""
    yield "class", "what the reply comes to", *map(code, CLASSES)
    for name, meaning in COMES_TO.items():
        yield name, meaning, *(_words_of(protocol, name) for protocol in CLASSES)


def _words_of(protocol: str, name: str) -> str:
    found = [word for word, ending in CLASSES[protocol].items() if ending == name]
    return ", ".join(code(word) for word in found) or "-"


def broken() -> Iterable[Sequence[str]]:
    """Yield a row for each error that stands for words which mean broken off."""
    yield "error", "made again", "words"
    found: dict[tuple[str, str], dict[str, None]] = {}
    for words in CLASSES.values():
        for word in (word for word, ending in words.items() if ending == "broken"):
            error = broken_off(word)
            again = "with `Retry(empty=True)`" if error.useless_answer else _yes(type(error))
            found.setdefault((type(error).__name__, again), {})[code(word)] = None
    for (name, again), listed in found.items():
        yield code(name), again, ", ".join(listed)


def retried() -> Iterable[Sequence[str]]:
    """Yield a row for each error: whether the call is made again."""
    yield "error", "made again", "what it means"
    for name in errors.__all__:
        kind = getattr(errors, name)
        if name not in ("TokenGateError", "StatusError"):
            yield code(name), RETRIED.get(name) or _yes(kind), _first_line(kind)


RETRIED = {"TimedOut": "only `connect`", "StreamInterrupted": "only if nothing came"}


def _yes(kind: type[errors.TokenGateError]) -> str:
    return "yes" if kind.retryable else "no"


def _first_line(kind: type) -> str:
    return (inspect.getdoc(kind) or "").partition("\n")[0].replace("``", "`")


def contact() -> Iterable[Sequence[str]]:
    """Return where to write to in private, or nothing where nobody has said it."""
    told = tomllib.loads((DOCS / "addresses.toml").read_text("utf-8"))["contact"]
    return [("in private · 私下联系",), (told,)] if told else []


def public_modules() -> Iterable[Sequence[str]]:
    """Return a row for each module that users import from."""
    yield "module", "what is in it"
    for module in public():
        about = (inspect.getdoc(import_module(module)) or "").partition("\n")[0]
        yield code(module), about.replace("``", "`")


@cache
def public() -> Mapping[str, Sequence[str]]:
    """Return the modules that users import from, those without an underscore, with their names."""
    found = {"aiotokengate": tuple(aiotokengate.__all__)}
    for module in walk_packages(aiotokengate.__path__, "aiotokengate."):
        inside = module.name.split(".")[1:]
        # The old path of a moved module has no place: it warns, and leads to the new one.
        if not any(part.startswith("_") for part in inside) and inside[0] != "wire":
            found[module.name] = tuple(import_module(module.name).__all__)
    return found


def chat_options() -> Iterable[Sequence[str]]:
    """Return a row for each argument of ``aiotokengate chat``."""
    return _options("chat")


def models_options() -> Iterable[Sequence[str]]:
    """Return a row for each argument of ``aiotokengate models``."""
    return _options("models")


def top_options() -> Iterable[Sequence[str]]:
    """Return a row for each argument of ``aiotokengate top``."""
    return _options("top")


def doctor_options() -> Iterable[Sequence[str]]:
    """Return a row for each argument of ``aiotokengate doctor``."""
    return _options("doctor")


def _options(command: str) -> Iterable[Sequence[str]]:
    yield "argument", "what it is"
    for each in typer.main.get_group(app).commands[command].params:
        names = map(code, (*each.opts, *each.secondary_opts))
        yield ", ".join(names), getattr(each, "help", None) or ""


TABLES = {
    table.__name__: table
    for table in (
        dialects,
        models,
        sources,
        offered,
        timeout,
        retry,
        retried,
        endings,
        broken,
        contact,
        public_modules,
        chat_options,
        models_options,
        top_options,
        doctor_options,
    )
}


def code(text: str) -> str:
    """Set as code."""
    return f"`{text}`"


def table(rows: Iterable[Sequence[str]]) -> str:
    """Set rows as Markdown, the first being the head; of no rows nothing is left."""
    lines = [*rows]
    lines[1:1] = [["---"] * len(head) for head in lines[:1]]
    return "".join(f"| {' | '.join(row)} |\n" for row in lines)


def rewritten(text: str) -> str:
    """Return a page with all its tables as the code has them."""
    return PLACE.sub(lambda place: between(place[1], table(TABLES[place[2]]()), place[3]), text)


def between(begin: str, inner: str, end: str) -> str:
    """Put a table between its comments."""
    return f"{begin}\n{inner}\n{end}" if inner else f"{begin}{end}"


def main() -> int:
    """Rewrite all pages."""
    for page in sorted([*DOCS.parent.glob("*.md"), *DOCS.glob("**/*.md")]):
        page.write_text(rewritten(page.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
