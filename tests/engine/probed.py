"""Servers that programs under check could be, as threads of the test."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"


def redirect(to: str, status: int = 302) -> bytes:
    """An answer that sends somebody elsewhere."""
    return f"HTTP/1.1 {status} There\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()


class Web:
    """Takes connections on a port of 127.0.0.1. `answer` makes an answer of a request's path, None to say nothing at
    all; `heads` and `bodies` are what came.
    """

    def __init__(self, answer: Callable[[str], bytes | None], context: ssl.SSLContext | None) -> None:
        self.answer, self._context = answer, context
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.now = self.most = 0            # who waits for an answer at the same time
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._socket.settimeout(0.05)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"{'https' if context else 'http'}://localhost:{self.port}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join()
        self._socket.close()

    def _accept(self) -> None:
        while not self._ends.is_set():
            try:
                connection, _place = self._socket.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket) -> None:
        try:
            plain.settimeout(5)
            with (self._context.wrap_socket(plain, server_side=True) if self._context else plain) as connection:
                self._talk(connection)
        except OSError:
            pass
        finally:
            plain.close()

    def _talk(self, connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return
            data += more
        head, _blank, body = data.partition(b"\r\n\r\n")
        text = head.decode()
        wanted = next((int(line[15:]) for line in text.splitlines() if line.lower().startswith("content-length:")), 0)
        while len(body) < wanted:
            body += connection.recv(65536)
        self.bodies.append(body)
        self.heads.append(text)
        with self._waiting():
            answer = self.answer(text.split()[1])
            if answer is None:
                self._say_nothing(connection)
        if answer is not None:
            connection.sendall(answer)

    def _say_nothing(self, connection: socket.socket) -> None:
        connection.settimeout(0.05)
        while not self._ends.is_set():
            try:
                if not connection.recv(1):
                    return
            except TimeoutError:
                continue

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """Somebody waits for an answer."""
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            yield
        finally:
            with self._lock:
                self.now -= 1


@contextmanager
def web(answer: Callable[[str], bytes | None] = lambda _path: OK, context: ssl.SSLContext | None = None
        ) -> Iterator[Web]:
    """A server while it is needed."""
    made = Web(answer, context)
    try:
        yield made
    finally:
        made.close()
