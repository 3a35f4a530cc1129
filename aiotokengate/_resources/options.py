"""The options of every call: what they are, what they may be, and the request made of them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any, TypedDict

import attrs
from attrs.validators import deep_mapping, instance_of, optional

from aiotokengate._base.settings import DEADLINE, EXTRA_BODY, FAIR_KEY, PRIORITY, expected, kind
from aiotokengate._calls.request import CallPolicy, Request
from aiotokengate._policy.estimate import CallSize, estimate_tokens
from aiotokengate._policy.retry import Retry
from aiotokengate._policy.timeouts import Timeout
from aiotokengate.catalogue import Catalogue
from aiotokengate.errors import CallerError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from aiotokengate._calls.request import HttpRequest
    from aiotokengate._policy.queue import Priority

__all__ = [
    "OF_A_SESSION",
    "PATH_NAMES",
    "CallOptions",
    "Defaults",
    "Options",
    "SendOptions",
    "check_names",
    "check_several",
    "fit_headers",
    "keyed",
    "parted_options",
    "refuse",
]

PATH_NAMES = (
    *("audio_speech", "audio_transcriptions"),
    *("images_dashscope", "images_edits", "images_generations"),
    *("suno_api", "suno_generator", "suno_info", "suno_unwrap"),
    *("video_generations", "videos"),
)
"""What the session's ``paths`` can set; each resource says where it stands by default."""


OF_A_SESSION = "it is a part of TokenGate, of which each process makes its own"
"""Why what makes images, and the like, is not pickled."""

_UNFIT = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
"""What no field of HTTP may hold (RFC 9110, 5.5), or cannot be sent at all."""


_UNKNOWN_SIZE = CallSize()
_KEY_NAME = "Idempotency-Key"
_FIT_KEY = re.compile(r"[!-~]([ -~]{0,253}[!-~])?", re.ASCII)
"""A key that every server takes as it is: Stripe, where the header comes from, takes 255
characters (docs.stripe.com/api/idempotent_requests)."""


_TIMEOUT = expected("timeout=Timeout(total=...), got {got}", instance_of(Timeout), shown=kind)
_RETRY = expected("retry=Retry(attempts=...), got {got}", instance_of(Retry), shown=kind)
_CATALOGUE = expected(
    "catalogue=CATALOGUE.extended(...), got {got}", instance_of(Catalogue), shown=kind
)
_PATHS = expected(
    "paths as a dict of str to str", deep_mapping(instance_of(str), instance_of(str))
)


def _known_paths(_: object, field: attrs.Attribute[Any], paths: Mapping[str, str]) -> None:
    if unknown := [name for name in paths if name not in PATH_NAMES]:
        message = f"expected {field.name} named {', '.join(PATH_NAMES)}, got {unknown[0]!r}"
        raise CallerError(message)


def fit_headers(_: object, field: attrs.Attribute[Any], headers: object) -> None:
    """Refuse headers that are no text, or would begin another line.

    Raises:
        CallerError: there is one; its value is not shown.
    """
    if not headers:
        return
    if not isinstance(headers, Mapping):
        message = f"expected {field.name} as a dict, got {kind(headers)}"
        raise CallerError(message)
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            message = f"expected {field.name} of str to str, got {name!r}: {kind(value)}"
            raise CallerError(message)
        if _UNFIT.search(name + value):
            message = f"expected {field.name} without control characters, got one in {name!r}"
            raise CallerError(message)


def _fit_key(_: object, field: attrs.Attribute[Any], key: object) -> None:
    """Refuse an idempotency key that no header can hold; it is not shown."""
    if key is None or isinstance(key, bool):
        return
    if not isinstance(key, str):
        message = f"expected {field.name} as a text, True or False, got {kind(key)}"
        raise CallerError(message)
    if not _FIT_KEY.fullmatch(key):
        what = "1 to 255 printable ASCII characters, no blank first or last"
        message = f"expected {field.name} of {what}, got another text of {len(key)}"
        raise CallerError(message)


@attrs.frozen(eq=False, repr=False)
class Defaults:
    """What the session sets for every call.

    Attributes:
        strict: whether a frame that can't be read ends a reply.
        paths: where systems stand whose place is not certain, by name, see
            :class:`aiotokengate.TokenGate`.
        keyed: whether the session's own headers name an idempotency key.
    """

    timeout: Timeout = attrs.field(validator=_TIMEOUT)
    retry: Retry = attrs.field(validator=_RETRY)
    extra_body: Mapping[str, Any] = attrs.field(validator=EXTRA_BODY)
    catalogue: Catalogue = attrs.field(validator=_CATALOGUE)
    paths: Mapping[str, str] = attrs.field(factory=dict, validator=[_PATHS, _known_paths])
    strict: bool = False
    keyed: bool = False

    def request(self, http: HttpRequest, endpoint: str = "") -> Request:
        """Return a request that waits for no turn in the pool, of the key that it needs."""
        return Request(http, CallPolicy(self.timeout, self.retry, endpoint=endpoint))


@attrs.frozen(eq=False, repr=False, kw_only=True)
class Options:
    """What every call can be told beside what it asks; None takes the session's."""

    timeout: Timeout | None = attrs.field(default=None, validator=optional(_TIMEOUT))
    retry: Retry | None = attrs.field(default=None, validator=optional(_RETRY))
    deadline: float | None = attrs.field(default=None, validator=DEADLINE)
    priority: Priority = attrs.field(default="interactive", validator=PRIORITY)
    fair_key: str | None = attrs.field(default=None, validator=FAIR_KEY)
    extra_headers: Mapping[str, str] | None = attrs.field(default=None, validator=fit_headers)
    extra_body: Mapping[str, Any] | None = attrs.field(default=None, validator=EXTRA_BODY)
    idempotency_key: str | bool | None = attrs.field(default=None, validator=_fit_key)

    def request(
        self,
        defaults: Defaults,
        http: HttpRequest,
        model: str = "",
        *,
        size: CallSize = _UNKNOWN_SIZE,
        pooled: bool = True,
        costly: bool = True,
        endpoint: str = "",
    ) -> Request:
        """Return a request that is tried as these options say, with their headers.

        What is costly gets an idempotency key, unless the caller has another wish.
        """
        headers = self.extra_headers or {}
        wish = costly if self.idempotency_key is None else self.idempotency_key
        if wish and not defaults.keyed:
            headers = keyed(headers, key=wish)
        policy = CallPolicy(
            self.timeout or defaults.timeout,
            self.retry or defaults.retry,
            self.deadline,
            pooled=pooled,
            costly=costly,
            endpoint=endpoint,
            priority=self.priority,
            fair_key=self.fair_key,
            size=attrs.evolve(size, estimate=partial(estimate_tokens, http.body or b"")),
        )
        return Request(attrs.evolve(http, headers=headers), policy, model)


_OPTIONS = frozenset(attrs.fields_dict(Options))


class SendOptions(TypedDict, total=False):
    """How every call is sent, for type checkers; see :meth:`aiotokengate.TokenGate.chat`."""

    timeout: Timeout | None
    retry: Retry | None
    deadline: float | None
    priority: Priority
    fair_key: str | None
    extra_headers: Mapping[str, str] | None
    idempotency_key: str | bool | None


class CallOptions(SendOptions, total=False):
    """The options of every call, for type checkers; see :meth:`aiotokengate.TokenGate.chat`."""

    extra_body: Mapping[str, Any] | None


def parted_options(
    params: Mapping[str, Any], known: Collection[str], *also: str
) -> tuple[Options, dict[str, Any], Mapping[str, Any]]:
    """Part the options of every call from the API's own parameters; None is left out.

    Args:
        params: all that was given.
        known: the API's own parameters.
        also: arguments of the method that may have been meant, too.

    Returns:
        The options; the parameters; and ``extra_body``, which goes over all.

    Raises:
        CallerError: an option is wrong, or there is none of that name.
    """
    check_names(params, {*known, *_OPTIONS}, *also)
    options = Options(**{name: value for name, value in params.items() if name in _OPTIONS})
    given = {name: value for name, value in params.items() if value is not None}
    rest = {name: value for name, value in given.items() if name not in _OPTIONS}
    return options, rest, options.extra_body or {}


def check_names(
    given: Iterable[str], known: Collection[str], *also: str, way: str | None = None
) -> None:
    """Refuse names that do not exist.

    Args:
        given: names.
        known: those that exist.
        also: names that may have been meant, too.
        way: what to do if it was no mistake.

    Raises:
        CallerError: there is one; the error says what was probably meant.
    """
    for name in given:
        if name not in known:
            from aiotokengate._base.spelling import AS_IT_IS, unknown

            raise CallerError(unknown(name, {*known, *also}, way or AS_IT_IS))


def refuse(given: Iterable[str], method: Callable[..., object], way: str) -> None:
    """Refuse what a method does not take, for methods that take nothing but their arguments.

    Args:
        given: names.
        method: it is.
        way: what to do if it was no mistake.

    Raises:
        CallerError: there is one; the error says what was probably meant.
    """
    if given:
        own = [name for name in signature(method).parameters if name not in ("self", "unknown")]
        check_names(given, own, way=way)


def check_several(what: str, key: object) -> None:
    """Refuse one idempotency key for several requests, which differ.

    Raises:
        CallerError: it is a text; True makes one for each request.
    """
    if isinstance(key, str):
        message = f"expected idempotency_key=True with {what}, each of its requests needs another"
        raise CallerError(message)


def keyed(headers: Mapping[str, str], *, key: str | bool) -> Mapping[str, str]:
    """Return headers with an idempotency key, which goes with every attempt of a call.

    Args:
        headers: the caller's; a key among them stands.
        key: a text as it is; True makes one, False none.
    """
    if not key or any(name.lower() == _KEY_NAME.lower() for name in headers):
        return headers
    # From the system, and not from random, which a program may have seeded: its next run would
    # then be given this run's answers.
    made = key if isinstance(key, str) else f"aiotokengate-{os.urandom(16).hex()}"
    return {**headers, _KEY_NAME: made}
