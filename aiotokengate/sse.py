r"""Server-sent events, decoded exactly by the rules of the WHATWG event stream.

::

    from aiotokengate.sse import SSEDecoder

    decoder = SSEDecoder()
    events = decoder.feed(b"data: hello\n\n")
"""

from aiotokengate._wire.sse import MAX_EVENT_BYTES, ServerSentEvent, SSEDecoder

__all__ = ["MAX_EVENT_BYTES", "SSEDecoder", "ServerSentEvent"]
