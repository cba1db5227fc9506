"""A log that is followed over HTTP: /logtail/<name>/<channel> and /mainlogtail.

Promises: bytes are handed on as they come, nobody waits for them. Must not: know what a log is.
"""

import select

import h11

from sdsuper.cli.ctl.rpc import Server
from sdsuper.client import ProtocolError

_CHUNK = 1 << 16
_AT_ONCE = 1 << 18


class Stream:
    """The body of one GET that goes on and on. `status` is the answer's; `ended` when there is no more to come.

    Raises OSError for the connection, ProtocolError when the answer is no HTTP.
    """

    def __init__(self, server: Server, path: str) -> None:
        self._url = server.url + path
        self._http = h11.Connection(h11.CLIENT)
        self.ended = False
        self._socket = server.connect()
        try:
            headers = [("Host", server.host), ("User-Agent", "sdsuper"), ("Accept", "*/*"), *server.headers.items()]
            request = h11.Request(method="GET", target=path, headers=headers)
            self._socket.sendall(self._sent(request) + self._sent(h11.EndOfMessage()))
            while not isinstance(event := self._event(), h11.Response):
                if event is h11.NEED_DATA:
                    self._http.receive_data(self._socket.recv(_CHUNK))
            self.status, self.reason = event.status_code, event.reason.decode("latin-1")
        except BaseException:
            self._socket.close()
            raise

    def read(self) -> bytes:
        """What has come; empty when nothing has."""
        data = bytearray()
        while len(data) < _AT_ONCE and not self.ended:
            event = self._event()
            if isinstance(event, h11.Data):
                data += event.data
            elif event is not h11.NEED_DATA:
                self.ended = True
            elif select.select([self._socket], [], [], 0)[0]:
                self._receive()
            else:
                break
        return bytes(data)

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def _receive(self) -> None:
        try:
            data = self._socket.recv(_CHUNK)
        except ConnectionResetError:
            data = b""
        if data:
            self._http.receive_data(data)
        else:
            self.ended = True   # a server that goes away cuts the stream off; that is its end like any other

    def _event(self) -> "h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]":
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise ProtocolError(f"{self._url}: the answer is not HTTP: {ascii(str(error))[:80]}") from error

    def _sent(self, event: h11.Event) -> bytes:
        data = self._http.send(event)
        assert data is not None     # only ConnectionClosed has none
        return data
