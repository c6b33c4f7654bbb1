"""HTTP/1.1 as uvicorn speaks it, with an end to what comes before a body.

httptools has no limit for a request's line and headers, and joins their pieces as they come: a header of 100 MB takes
seconds on the event loop, and its memory. Here a request whose next part does not end within ``MAX_HEAD`` is answered
with 431, and its connection is closed.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 * 1024
"""Bytes of a request line and headers, of one chunk's head, or of trailers; a little more may come in one piece."""

_MESSAGE = b"The request's head is too large.\n"
_ANSWER = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(_MESSAGE), _MESSAGE)
)


class Protocol(HttpToolsProtocol):
    """One connection."""

    _unended = 0

    def data_received(self, data: bytes) -> None:
        """Bytes of the client's. A piece in which nothing ends adds to what has not ended."""
        self._unended += len(data)
        super().data_received(data)
        if self._unended > MAX_HEAD and not self.transport.is_closing():
            self.transport.write(_ANSWER)
            self.transport.close()

    def on_headers_complete(self) -> None:
        self._unended = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unended = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unended = 0
        super().on_message_complete()
