"""The ways in which a gateway may quote a text in an error."""

import html
import json
import re
from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import quote, quote_plus

Form: TypeAlias = Callable[[str], str]


def go_json(text: str) -> str:
    """Write JSON as Go's encoding/json does."""
    written = json.dumps(text, ensure_ascii=False)
    for sign in "<>&":
        written = written.replace(sign, f"\\u{ord(sign):04x}")
    return written


def upper_hex(text: str) -> str:
    """Write JSON with the digits of its escapes in upper case."""
    return re.sub(r"(?<!\\)\\u(....)", lambda found: f"\\u{found[1].upper()}", json.dumps(text))


def _lower_percent(text: str) -> str:
    return re.sub("%..", lambda found: found[0].lower(), quote(text, safe="", errors="replace"))


FORMS: dict[str, Form] = {
    "as it is": str,
    "one line": lambda text: " ".join(text.split()),
    "JSON in ASCII": json.dumps,
    "JSON in UTF-8": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON in upper case": upper_hex,
    "JSON of Go": go_json,
    "JSON with slashes": lambda text: json.dumps(text).replace("/", "\\/"),
    "HTML": html.escape,
    "HTML in ASCII": lambda text: text.encode("ascii", "xmlcharrefreplace").decode(),
    "HTML in decimals": lambda text: "".join(f"&#{ord(sign)};" for sign in text),
    "HTML in hexadecimals": lambda text: "".join(f"&#x{ord(sign):X};" for sign in text),
    "URL": lambda text: quote(text, errors="replace"),
    "URL of a form": lambda text: quote_plus(text, errors="replace"),
    "URL in lower case": _lower_percent,
    "repr": repr,
    "ASCII repr": ascii,
    "repr of bytes": lambda text: repr(text.encode("utf-8", "replace")),
}
