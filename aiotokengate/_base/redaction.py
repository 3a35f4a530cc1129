"""Blank what an error echoes of a key or a prompt, however it is written.

Strategy.  The forms of a secret are not enumerated: they combine (JSON inside of JSON, HTML of
JSON, a URL of either), and so would be too many.  Both sides are brought to one plain form
instead.  Escapes are decoded until none is left, and what writing changes, white space, quotes,
backslashes and ``+``, is left out; each character of a text knows the place that it came from.
Nothing depends on an order: the places of all secrets are collected first, and blanked then.

What is blanked: a secret as a whole, and each piece of one that has :data:`PIECE` characters where
it stands, of which :data:`GRAM` are plain.  The words of a prompt alone are not, nor is a text of
fewer than :data:`SHORTEST` bytes; blanking every ``hi`` would garble messages, and tells nobody
anything.

The time is linear, and prompts are long where errors are short.  So the pieces of the texts are
put into a set, and the prompt is walked through in steps; only near a hit is every place looked
at.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["PIECE", "SHORTEST", "blanked", "mask_keys", "texts_in"]

SHORTEST: Final = 4
"""Texts of fewer UTF-8 bytes are not looked for."""

PIECE: Final = 24
"""Characters of a piece, as it is written, by which a longer text is known."""

GRAM: Final = 12
"""Plain characters that a piece has at least; a shorter secret is found between other words only,
and not inside of one."""

_STEP: Final = 4
_SEED: Final = GRAM - _STEP + 1
"""Each GRAM that is looked for has a SEED at a place that is a multiple of STEP."""

_LEVELS: Final = 8
"""How often escapes are decoded that come to light by decoding."""

_BLANK: Final = "[…]"
_BETWEEN: Final = "\uffff"
"""Stands between two secrets, and in no plain text: it is no character."""

_SHORTEST_CUT: Final = 8
"""Plain characters of the beginning of a secret that are blanked at the end of a text."""

_KEY = re.compile(
    r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4}))"
    r"sk-[A-Za-z0-9_\-]{6,}"
)
_TOKEN = re.compile(r"(?=.*[0-9])[A-Za-z0-9_.\-]{16,}")
"""What looks like a key: each GRAM of it is blanked."""

_LONGEST_TOKEN: Final = 256

# JSON and its cousins (RFC 8259, 7; ECMA-262, 12.9.4 and B.2.1; Python's repr), URLs (RFC 3986,
# 2.1), HTML (Living Standard, 13.5).  Of backslashes in a row the last is enough, the others are
# left out anyway.  UTF-8 that was read as Latin-1 is what decoding a URL leaves.
_ESCAPES: Final = (
    (
        r"\\(?:u(?P<short>[0-9A-Fa-f]{4})|u\{(?P<braced>[0-9A-Fa-f]{1,6})\}"
        r"|U(?P<long>[0-9A-Fa-f]{8})|x(?P<byte>[0-9A-Fa-f]{2})|(?P<blank>[bfnrt]))"
    ),
    r"%(?:u(?P<percent_u>[0-9A-Fa-f]{4})|(?:25)*(?P<percent>[0-9A-Fa-f]{2}))",
    (
        r"&(?:amp;)*(?:#(?P<decimal>[0-9]{1,7})|#[xX](?P<hex>[0-9A-Fa-f]{1,6})"
        r"|(?P<name>[A-Za-z][A-Za-z0-9]{1,31}));"
    ),
    # Between the halves stand the backslashes that are left of those before the second.
    (
        "(?P<pair>[\ud800-\udbff]\\\\*[\udc00-\udfff])|(?P<utf8>[\xc2-\xdf](?:\\\\*[\x80-\xbf])"
        "|[\xe0-\xef](?:\\\\*[\x80-\xbf]){2}|[\xf0-\xf4](?:\\\\*[\x80-\xbf]){3})"
    ),
)
_ESCAPE = re.compile("|".join(_ESCAPES))
_BY_MARK: Final = tuple(zip("\\%&", map(re.compile, _ESCAPES), strict=False))
_HIGH_ESCAPE = re.compile(_ESCAPES[-1])
_HIGH = re.compile("[\x80-\xbf\ud800-\udfff]")
_NOISE: Final = (
    "\\s\"'\\\\+\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\ufffd"
    "\ud800-\udfff"
)
_NOISY = re.compile(f"[{_NOISE}]+")
_PLAIN = re.compile(f"[^{_NOISE}{_BETWEEN}]+")
_TAG = re.compile(r"<[^<>]*>")


class _View(NamedTuple):
    """A text in its plain form, and for each of its characters where it came from."""

    text: str
    starts: list[int]
    ends: list[int]


def mask_keys(text: str) -> str:
    """Blank what looks like an API key."""
    return _KEY.sub("sk-…", text)


def blanked(texts: Sequence[str], secrets: Iterable[str]) -> list[str]:
    """Return the texts without what they hold of the secrets, in whatever form."""
    joined = _BETWEEN.join(dict.fromkeys(secrets))
    spans: list[list[tuple[int, int]]] = [[] for _ in texts]
    for views, plain in _pairs(texts, joined):
        for all_of_text, found in zip(spans, _found(views, plain), strict=True):
            all_of_text.extend(found)
    pairs = zip(texts, spans, strict=True)
    return [mask_keys(_without(text, all_of_text)) for text, all_of_text in pairs]


def _pairs(texts: Sequence[str], joined: str) -> Iterator[tuple[list[_View], str]]:
    """Return the texts and the secrets as they are compared: decoded; and as they are.

    A prompt that holds escapes itself (code, addresses) is short where they are decoded, so a
    piece of it is looked for as it stands, too.  One with tags loses them on a page for people.
    """
    decoded = _decoded(joined)
    views = [_view(text) for text in texts]
    yield views, _plain(decoded)
    if decoded != _without_breaks(joined):
        yield [_plain_view(text, *_places(text)) for text in texts], _plain(joined)
    if "<" in decoded and decoded != (bare := _TAG.sub("", decoded)):
        yield views, _plain(bare)


def _without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Return a text with a mark in place of each of the spans, which may overlap."""
    parts: list[str] = []
    at = -1
    for start, end in sorted(spans):
        if start > at:
            parts += text[max(at, 0) : start], _BLANK
        at = max(at, end)
    return "".join((*parts, text[max(at, 0) :]))


# --- the plain form -----------------------------------------------------------------------------


def _decoded(text: str) -> str:
    """Return a text without escapes; each kind by itself, which is faster for long ones."""
    for _ in range(_LEVELS):
        before, text = text, _without_breaks(text)
        for mark, escape in _BY_MARK:
            if mark in text:
                text = escape.sub(_character, text)
        if not text.isascii() and _HIGH.search(text) is not None:
            text = _HIGH_ESCAPE.sub(_character, text)
        if text == before:
            break
    return text


def _without_breaks(text: str) -> str:
    """Return a text without the commonest of escapes, fast."""
    for escape in ("\\n", "\\t", "\\r"):
        text = text.replace(escape, " ")
    return text


def _plain(text: str) -> str:
    """Return a text without what writing changes."""
    for noise in ('"', "'", "\\"):
        text = text.replace(noise, "")
    return _NOISY.sub("", "".join(text.split()))


def _places(text: str) -> tuple[list[int], list[int]]:
    return list(range(len(text))), list(range(1, len(text) + 1))


def _view(text: str) -> _View:
    """Return the plain form of a text, with the places."""
    starts, ends = _places(text)
    for _ in range(_LEVELS):
        found = list(_ESCAPE.finditer(text))
        if not found:
            break
        text, starts, ends = _without_escapes(text, found, starts, ends)
    return _plain_view(text, starts, ends)


def _without_escapes(
    text: str, found: list[re.Match[str]], starts: list[int], ends: list[int]
) -> tuple[str, list[int], list[int]]:
    parts: list[str] = []
    begins: list[int] = []
    stops: list[int] = []
    at = 0
    for escape in found:
        start, end = escape.span()
        character = _character(escape)
        parts += text[at:start], character
        begins += (*starts[at:start], *[starts[start]] * len(character))
        stops += (*ends[at:start], *[ends[end - 1]] * len(character))
        at = end
    return "".join((*parts, text[at:])), begins + starts[at:], stops + ends[at:]


def _plain_view(text: str, starts: list[int], ends: list[int]) -> _View:
    parts: list[str] = []
    begins: list[int] = []
    stops: list[int] = []
    for run in _PLAIN.finditer(text):
        start, end = run.span()
        parts.append(run[0])
        begins += starts[start:end]
        stops += ends[start:end]
    return _View("".join(parts), begins, stops)


def _character(escape: re.Match[str]) -> str:
    """Return what an escape stands for."""
    kind = str(escape.lastgroup)
    value = escape[kind]
    if kind == "blank":
        return " "
    if kind == "pair":
        return (value[0] + value[-1]).encode("utf-16", "surrogatepass").decode("utf-16")
    if kind == "utf8":
        return value.replace("\\", "").encode("latin-1").decode("utf-8", "replace")
    if kind == "name":
        from html import unescape

        return unescape(f"&{value};")
    code = int(value, 10 if kind == "decimal" else 16)
    return chr(code) if code <= 0x10FFFF else " "  # noqa: PLR2004 - the last of Unicode


# --- looking for secrets ------------------------------------------------------------------------


def _found(views: Sequence[_View], joined: str) -> Iterator[list[tuple[int, int]]]:
    """Return where each text holds something of the secrets."""
    secrets = joined.split(_BETWEEN)
    whole = {one for one in secrets if len(one) < PIECE and _is_long(one)}
    tokens = {one for one in secrets if len(one) <= _LONGEST_TOKEN and _TOKEN.fullmatch(one)}
    texts = [view.text for view in views]
    common = _common(joined, texts)
    of_tokens = _slices(texts, GRAM) & _slices(tokens, GRAM)
    for view in views:
        pieces = _pieces(view, common, PIECE)
        keys = _pieces(view, of_tokens, GRAM)
        yield [*pieces, *keys, *_wholes(view, whole), *_beginning(view, secrets)]


def _is_long(secret: str) -> bool:
    return len(secret.encode("utf-8", "replace")) >= SHORTEST


def _slices(texts: Iterable[str], size: int) -> set[str]:
    """Return all pieces of one size."""
    return {text[at : at + size] for text in texts for at in range(len(text) - size + 1)}


def _common(joined: str, texts: Sequence[str]) -> set[str]:
    """Return the grams that stand both in the secrets and in a text."""
    seeds = _slices(texts, _SEED)
    steps = range(0, len(joined) - _SEED + 1, _STEP)
    hits = [at for at in steps if joined[at : at + _SEED] in seeds]
    around = {joined[max(at - _STEP + 1, 0) : at + GRAM] for at in hits}
    return _slices(texts, GRAM) & _slices(around, GRAM) if hits else set()


def _pieces(view: _View, common: set[str], least: int) -> Iterator[tuple[int, int]]:
    """Return where runs of grams stand that are of a secret, and long enough."""
    at, last = 0, len(view.text) - GRAM
    while common and at <= last:
        start = at
        while at <= last and view.text[at : at + GRAM] in common:
            at += 1
        if at > start:
            span = view.starts[start], view.ends[at + GRAM - 2]
            if span[1] - span[0] >= least:
                yield span
        at += 1


def _wholes(view: _View, secrets: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Return where short secrets stand."""
    for secret in secrets:
        at = view.text.find(secret)
        while at >= 0:
            end = at + len(secret)
            if len(secret) >= GRAM or not (_goes_on(view, at) or _goes_on(view, end)):
                yield view.starts[at], view.ends[end - 1]
            at = view.text.find(secret, at + 1)


_IDEOGRAPHS: Final = "\u2e80"
"""From here on scripts have no spaces between words."""


def _goes_on(view: _View, at: int) -> bool:
    """Whether a place is in the middle of a word."""
    if not 0 < at < len(view.text) or view.ends[at - 1] < view.starts[at]:
        return False
    around = view.text[at - 1 : at + 1]
    return around.isalnum() and all(one < _IDEOGRAPHS for one in around)


def _beginning(view: _View, secrets: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Return where the beginning of a secret stands at the end of a text that was cut."""
    text = view.text.removesuffix("…").removesuffix("...")
    tail = text[-PIECE:]
    for secret in secrets:
        if secret[:_SHORTEST_CUT] in tail and len(secret) >= _SHORTEST_CUT:
            sizes = range(min(len(secret), len(tail)), _SHORTEST_CUT - 1, -1)
            size = next((size for size in sizes if tail.endswith(secret[:size])), 0)
            if size:
                yield view.starts[len(text) - size], view.ends[len(text) - 1]


# --- what is a secret ---------------------------------------------------------------------------

_CONTENT: Final = frozenset(
    (
        *("arguments", "content", "contents", "gpt_description_prompt", "input", "input_text"),
        *("instructions", "lyrics", "negative_prompt", "output", "parts", "prompt", "query"),
        *("reasoning_content", "result", "suffix", "system", "text", "texts", "thinking", "user"),
    )
)
"""Under these keys a text is the user's own, however short."""

_OWN: Final = frozenset(("args", "arguments", "input", "metadata", "output", "response"))
"""An object under these keys is the user's own, with all that is in it."""

_WORDS: Final = frozenset(
    (
        *("background", "call_id", "detail", "effort", "encoding_format", "format", "id"),
        *("language", "media_type", "mimeType", "mime_type", "modalities", "model", "object"),
        *("quality", "reasoning_effort", "response_format", "role", "service_tier", "size"),
        *("status", "tool_call_id", "tool_choice", "tool_use_id", "truncation", "type"),
        *("verbosity", "voice"),
    )
)
"""Under these keys a text is a word of the protocol, as long as it is one word."""

_WORD = re.compile(r"[A-Za-z_.\-]{1,15}")
"""What may be a word of the protocol elsewhere: errors name fields, functions and settings."""

_NAME = re.compile(r"\S{1,64}")
_DATA = re.compile(r"(?:data:[^,\s]{1,100},)?[A-Za-z0-9+/=_%-]{1000,}")
_MOST_DATA: Final = 64 * 1024
"""Characters of a file as text after which its beginning is enough to know it by."""

_SHORTEST_NAME: Final = 8


def texts_in(value: object) -> Iterator[str]:
    """Return the texts in parsed JSON that are the user's: all but the protocol's own words."""
    rest: list[tuple[object, str, bool]] = [(value, "content", False)]
    while rest:
        item, key, own = rest.pop()
        if isinstance(item, str):
            if own or _is_own(item, key):
                yield _beginning_of_data(item) if len(item) > _MOST_DATA else item
            if key in _OWN and item.startswith("{"):
                rest.append((_parsed(item), key, True))
        elif isinstance(item, list | tuple):
            rest += [(one, key, own) for one in item]
        elif isinstance(item, dict):
            own = own or key in _OWN
            rest += [(one, name, own) for name, one in item.items()]
            yield from (name for name in item if _is_telling(name))


def _is_own(text: str, key: str) -> bool:
    if key in _WORDS:
        return not _NAME.fullmatch(text)
    return key in _CONTENT or not _WORD.fullmatch(text)


def _beginning_of_data(text: str) -> str:
    """Return a text, of a picture in base64 the beginning: megabytes would take too long."""
    return text[:_MOST_DATA] if _DATA.fullmatch(text, 0, _MOST_DATA) else text


def _is_telling(name: str) -> bool:
    """Whether a key is one of the user's, and no name of a field."""
    return len(name) >= _SHORTEST_NAME and not (_WORD.fullmatch(name) or name.isidentifier())


def _parsed(text: str) -> object:
    """Return the arguments of a call, which are JSON in a text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
