"""What the fake gateway remembers of requests with an ``Idempotency-Key``.

Strategy.  The first request with a key is answered as any other, and a good answer is kept, byte
for byte.  The next one with that key gets it again, or waits for it while it is still being made;
the same key with something else is refused with 422, as the draft of the header says
(draft-ietf-httpapi-idempotency-key-header).  What was refused, failed or cut is forgotten: the
next request is the first again.  Keys are one API key's own, and only the last are remembered.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping

import attrs
from aiohttp import web

from aiotokengate.testing._chat_request import Refusal
from aiotokengate.testing._request import GatewayRequest

__all__ = ["IdempotencyKeys"]

_NAME = "Idempotency-Key"
_FIRST_ERROR = 400
_REPLAYED = {"Idempotent-Replayed": "true"}  # docs.stripe.com/api/idempotent_requests
_OWN = frozenset(("content-length", "transfer-encoding", "date", "server", "x-oneapi-request-id"))
"""Headers that each answer has anew."""

_BOUNDARY = re.compile(r'boundary="?([^";]+)')


@attrs.define(eq=False)
class _Entry:
    """A key: what it was used for, and the answer once there is one.

    Attributes:
        digest: of the request.
        pieces: of the body, as they are sent.
        ended: set when the answer is there, or never will be.
        cut: whether the answer was cut on purpose.
        kept: the answer.
    """

    digest: bytes
    pieces: list[bytes] = attrs.field(factory=list)
    ended: asyncio.Event = attrs.field(factory=asyncio.Event)
    cut: bool = False
    kept: tuple[int, Mapping[str, str], bytes] | None = None

    def keep(self, response: web.StreamResponse) -> None:
        """Keep a good answer that is whole."""
        if response.status >= _FIRST_ERROR or self.cut:
            return
        whole = response.body if isinstance(response, web.Response) else b"".join(self.pieces)
        if whole and isinstance(whole, bytes | bytearray):  # else it went past us, piece by piece
            headers = {
                name: value for name, value in response.headers.items() if name.lower() not in _OWN
            }
            self.kept = response.status, headers, bytes(whole)

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        return len(self.kept[2]) if self.kept is not None else 0


class IdempotencyKeys:
    """The keys that a gateway has seen, the last of them at most."""

    MOST = 1_000
    MOST_BYTES = 64 * 1024 * 1024

    def __init__(self) -> None:
        """Know none."""
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._going: dict[GatewayRequest, _Entry] = {}

    async def answer(
        self,
        record: GatewayRequest,
        api_key: str,
        first: Callable[[], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Answer with what is kept, or as ``first`` does.

        Raises:
            Refusal: the key was used for something else.
        """
        name = record.headers.get(_NAME)
        if not name or record.method == "GET":
            return await first()
        place, digest = (api_key, name), _digest(record)
        while (entry := self._entries.get(place)) is not None:
            if entry.digest != digest:
                message = "Idempotency-Key 已用于其他请求 / used for another request before"
                raise Refusal(422, message, code="idempotency_key_reused")
            await entry.ended.wait()
            if entry.kept is not None:
                status, headers, body = entry.kept
                return web.Response(status=status, headers={**headers, **_REPLAYED}, body=body)
        return await self._first(record, place, digest, first)

    async def _first(
        self,
        record: GatewayRequest,
        place: tuple[str, str],
        digest: bytes,
        first: Callable[[], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        entry = self._entries[place] = self._going[record] = _Entry(digest)
        try:
            response = await first()
            entry.keep(response)
            return response
        finally:
            del self._going[record]
            if entry.kept is None and self._entries.get(place) is entry:
                del self._entries[place]
            entry.ended.set()
            self._trim()

    def pieces(self, record: GatewayRequest) -> list[bytes] | None:
        """Return where to copy what is sent in answer to a request, None where nobody asks."""
        entry = self._going.get(record)
        return None if entry is None else entry.pieces

    def cut(self, record: GatewayRequest) -> None:
        """Note that the answer to a request is cut, and so not worth keeping."""
        if (entry := self._going.get(record)) is not None:
            entry.cut = True

    def _trim(self) -> None:
        size = sum(entry.size for entry in self._entries.values())
        while len(self._entries) > self.MOST or size > self.MOST_BYTES:
            size -= self._entries.popitem(last=False)[1].size


def _digest(record: GatewayRequest) -> bytes:
    """Return what tells requests apart; a form's boundary is another each time."""
    body, found = record.body, _BOUNDARY.search(record.headers.get("Content-Type", ""))
    if found is not None:
        body = body.replace(found[1].encode(), b"")
    about = f"{record.method} {record.path}?{record.query}\n".encode()
    return hashlib.sha256(about + body).digest()
