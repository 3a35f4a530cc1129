"""What a failure of the network means: was the request sent, and is it worth another try.

Three questions, in this order: whether a byte of the request may have left, whether what came is
the protocol, and whether the same would happen again.  Their answers are classes of the error
tree, so that whoever counts attempts and limits need not know aiohttp.

Imported by the first failure.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import aiohttp

from aiotokengate._http.internals import (
    ContentEncodingError,
    ContentLengthError,
    HttpProcessingError,
    PayloadEncodingError,
)
from aiotokengate.errors import (
    CallerError,
    ConnectFailed,
    TimedOut,
    TokenGateError,
    TransportError,
    Unanswered,
    WireError,
)

if TYPE_CHECKING:
    from aiotokengate._http.connections import Progress

__all__ = ["broken", "failed", "packed", "refused_by_proxy"]

PASSING = frozenset((408, 429, 500, 502, 503, 504))
"""What a proxy may answer now and not the next time; nothing was sent to the gateway."""

LONGEST = 200
"""Characters of a text of others that a message holds."""

_NO_CREDENTIALS = 407

_CERTIFICATE_HINT = (
    "hint: for a private certificate authority give ssl=ssl.create_default_context(cafile=...), "
    "or set SSL_CERT_FILE\n"
    "提示：私有 CA 请传入 ssl=ssl.create_default_context(cafile=...)，或设置 SSL_CERT_FILE"
)
_CLIENT_HINT = (
    "hint: give the certificate that the gateway asks for by ssl=, a context with "
    "load_cert_chain(...)\n"
    "提示：网关要求客户端证书，请用 load_cert_chain(...) 设置后通过 ssl= 传入"
)
_NO_TLS_HINT = (
    "hint: the port does not speak this TLS; see whether the address is http:// or https://\n"
    "提示：该端口不支持此 TLS，请确认地址应为 http:// 还是 https://"
)
_CREDENTIALS_HINT = (
    "hint: the proxy wants a user and password, as in proxy='http://user:password@host:port'\n"
    "提示：代理需要用户名和密码，例如 proxy='http://user:password@host:port'"
)
_PROXY_HINT = (
    "hint: ask the operator of the proxy, or go around it by proxy='' or NO_PROXY\n"
    "提示：请联系代理管理员，或用 proxy='' 或 NO_PROXY 绕过代理"
)


def failed(
    error: Exception, progress: Progress, connect: float | None, foreign: str = ""
) -> TokenGateError:
    """Return the error for a request to which no answer came.

    Args:
        error: what was raised.
        progress: how far the request came.
        connect: the limit for the connection.
        foreign: the address, where another host than the gateway was asked.
    """
    if isinstance(error, TokenGateError):
        return error.with_traceback(None)
    barred = _barred(error, foreign) if foreign else None
    if barred is not None:
        return barred
    told = _after_sending(error, progress) if progress.sent else _before_sending(error, connect)
    told.__cause__ = _plain(error)
    return told


def _barred(error: Exception, url: str) -> CallerError | None:
    """Say whether a download failed for where it was to come from."""
    from aiotokengate._http.perimeter import InsideError, refused_inside
    from aiotokengate._http.redirects import named

    if isinstance(getattr(error, "os_error", None), InsideError):
        return refused_inside(url)
    if isinstance(error, aiohttp.InvalidURL):  # which is quoted, and may be signed
        return CallerError(f"expected an http or https address, got {named(url)}")
    return None


def broken(error: Exception) -> TokenGateError:
    """Return the error for an answer that broke off in its body, or can't be decoded."""
    cause = error.__cause__
    told: TokenGateError
    if isinstance(cause, ContentEncodingError) or isinstance(error, ContentEncodingError):
        told = _undecodable(error)
    elif isinstance(error, HttpProcessingError) or _is_garbled(cause):
        told = WireError(f"the answer was not HTTP: {_reason(error)}")
    else:
        told = TransportError(f"the connection broke: {_reason(error)}")
    told.__cause__ = _plain(error)
    return told


def packed(coding: str) -> WireError:
    """Return the error for a body in a coding that nobody here decodes."""
    return WireError(f"the body of the answer can't be decoded: it is packed as {_cut(coding)!r}")


def refused_by_proxy(status: int, reason: str) -> ConnectFailed:
    """Return the error for a proxy that does not let a request through; none of it was sent on."""
    hint = _CREDENTIALS_HINT if status == _NO_CREDENTIALS else _PROXY_HINT
    told = ConnectFailed(
        f"the proxy did not let the request through: {_cut(reason) or 'no reason given'}",
        status=status,
        hint=hint,
    )
    told.retryable = status in PASSING
    return told


# --- before a byte has left ---------------------------------------------------------------------


def _before_sending(error: Exception, connect: float | None) -> TokenGateError:
    """Say why nothing was sent."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return refused_by_proxy(error.status, error.message)
    if isinstance(error, aiohttp.ClientResponseError | HttpProcessingError):
        return WireError(f"the proxy's answer was not HTTP: {_reason(error)}")
    if isinstance(error, aiohttp.InvalidURL):
        return CallerError(f"expected base_url to be an http or https address: {_reason(error)}")
    return _unconnected(error, connect)


def _unconnected(error: Exception, connect: float | None) -> TransportError:
    """Say why there is no connection."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return _unreachable(error)
    if isinstance(error, TimeoutError) and error.errno is None:
        return TimedOut("connect", connect or 0.0)
    is_over = isinstance(error, aiohttp.ServerDisconnectedError)
    what = "it was closed before the request was sent" if is_over else _reason(error)
    return ConnectFailed(f"the connection failed: {what}")


def _unreachable(error: aiohttp.ClientConnectorError) -> ConnectFailed:
    place = f"{error.host}:{error.port}"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _refused(
            f"the certificate of {place} is not trusted: {_certificate_reason(error)}",
            _CERTIFICATE_HINT,
        )
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return _without_tls(place, error)
    whose = "the proxy " if isinstance(error, aiohttp.ClientProxyConnectionError) else ""
    return ConnectFailed(f"could not connect to {whose}{place}: {_reason(error.os_error)}")


def _certificate_reason(error: aiohttp.ClientConnectorCertificateError) -> str:
    found = error.certificate_error
    return _cut(getattr(found, "verify_message", "") or str(found))


_FOR_GOOD = ("WRONG_VERSION", "HTTP_REQUEST", "UNSUPPORTED_PROTOCOL", "PROTOCOL_VERSION")


def _without_tls(place: str, error: aiohttp.ClientConnectorError) -> ConnectFailed:
    """Tell of a handshake that failed: no TLS at all, a certificate of ours, or a break."""
    found = error.os_error
    message = f"no TLS with {place}: {_reason(found)}"
    if _asks_for_certificate(found):
        return _refused(message, _CLIENT_HINT)
    if any(word in str(found).upper() for word in _FOR_GOOD):
        return _refused(message, _NO_TLS_HINT)
    return ConnectFailed(message)


def _refused(message: str, hint: str) -> ConnectFailed:
    """Return an error that would come again."""
    told = ConnectFailed(message, hint=hint)
    told.retryable = False
    return told


# --- after it -----------------------------------------------------------------------------------


def _after_sending(error: Exception, progress: Progress) -> TokenGateError:
    if isinstance(error.__cause__, ContentEncodingError) or "content-encoding" in str(error):
        return _undecodable(error)
    if isinstance(error, aiohttp.ClientResponseError | HttpProcessingError):
        return WireError(f"the answer was not HTTP: {_reason(error)}")
    if _asks_for_certificate(error.__cause__):  # with TLS 1.3 after the request, which is not read
        return _refused(f"the gateway refused the connection: {_reason(error)}", _CLIENT_HINT)
    unreadable = _unreadable(error)
    if unreadable is not None:
        return unreadable
    if isinstance(error, aiohttp.ServerDisconnectedError):
        told = Unanswered("the server closed the connection before it answered")
    else:
        told = Unanswered(f"the connection broke before an answer came: {_reason(error)}")
    told.reconnectable = progress.kept and not progress.begun and _has_no_head(error)
    return told


def _unreadable(error: Exception) -> CallerError | None:
    """Say whether reading what was to be uploaded failed, and not the network."""
    cause = error.__cause__
    if "Failed to send bytes" not in str(error) or cause is None:
        return None
    return CallerError(f"what was to be uploaded could not be read: {type(cause).__name__}")


def _has_no_head(error: Exception) -> bool:
    """Say whether aiohttp knows of no beginning of an answer."""
    return not isinstance(error, aiohttp.ServerDisconnectedError) or isinstance(error.message, str)


def _asks_for_certificate(error: BaseException | None) -> bool:
    """Say whether the peer wants a certificate of ours, or does not like the one that it got."""
    return isinstance(error, ssl.SSLError) and {"ALERT", "CERTIFICATE"} <= {
        *str(error.reason or "").upper().split("_")
    }


# --- texts --------------------------------------------------------------------------------------


def _undecodable(error: Exception) -> WireError:
    return WireError(f"the body of the answer can't be decoded: {_reason(error)}")


def _is_garbled(cause: BaseException | None) -> bool:
    """Say whether a body is framed as none may be, and was not only cut."""
    return (
        isinstance(cause, PayloadEncodingError)
        and not isinstance(cause, ContentLengthError)
        and "Not enough data" not in str(cause)
    )


def _reason(error: BaseException) -> str:
    """Return what an error says, in one line."""
    if isinstance(error, aiohttp.ClientResponseError | HttpProcessingError):
        return _cut(error.message) or type(error).__name__
    text = str(error)
    if isinstance(error, aiohttp.ClientPayloadError):
        # aiohttp writes "400, message:" and then what it is about.
        text = text.rpartition("message:")[2]
    return _cut(text) or type(error).__name__


def _cut(text: str) -> str:
    """Return the first line that says something, and not too much of it."""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return first.rstrip(":") if len(first) <= LONGEST else f"{first[:LONGEST]}…"


def _plain(error: BaseException) -> BaseException | None:
    """Return an error fit to be a cause: without frames that keep the stream alive, or a key.

    aiohttp's response errors carry the request with its headers, and so the key; those of its
    parser, and what they are put in, quote what came, which may be the key again.
    """
    found: BaseException | None = error
    while found is not None:
        found.__traceback__ = None
        inner = found.__cause__ or found.__context__
        found.__context__ = found.__cause__ = inner and _kept(inner)
        found = found.__cause__
    return _kept(error)


def _kept(error: BaseException) -> BaseException | None:
    return None if isinstance(error, _QUOTING) else error


_QUOTING = (
    aiohttp.ClientResponseError,
    aiohttp.ClientPayloadError,
    aiohttp.ServerDisconnectedError,
    HttpProcessingError,
)
