"""Fifty clients at once that ask for all programs by XML-RPC, as fast as they are answered, until stdin closes.

argv: the unix socket, the number of clients. Prints how many answers they had. Run as `python3 -S -E clients.py …`."""
import os
import selectors
import socket
import sys

REQUEST = (b"<?xml version='1.0'?><methodCall><methodName>supervisor.getAllProcessInfo</methodName><params/></methodCall>")
MESSAGE = (b"POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n" % len(REQUEST)
           + REQUEST)


def connect(path):
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    client.sendall(MESSAGE)
    return client


def main(path, number):
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    for _ in range(number):
        selector.register(connect(path), selectors.EVENT_READ, [b"", None])
    answers = 0
    buffer = bytearray(1 << 18)
    while True:
        for key, _ in selector.select():
            if key.fd == 0:
                print(answers, flush=True)
                return
            client, state = key.fileobj, key.data
            count = client.recv_into(buffer)
            if not count:                       # closed: a peer without keep-alive
                selector.unregister(client)
                client.close()
                selector.register(connect(path), selectors.EVENT_READ, [b"", None])
                continue
            if state[1] is None:
                head, end, body = (state[0] + bytes(buffer[:count])).partition(b"\r\n\r\n")
                if not end:
                    state[0] = head
                    continue
                length = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
                state[1] = int(length[0].partition(b":")[2]) - len(body)
            else:
                state[1] -= count
            if state[1] == 0:
                answers += 1
                state[:] = b"", None
                client.sendall(MESSAGE)


if __name__ == "__main__":
    os.set_blocking(0, False)
    main(sys.argv[1], int(sys.argv[2]))
