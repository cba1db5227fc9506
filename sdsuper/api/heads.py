"""The head of an HTTP request before anybody parses it: what is too big, and what two parsers could read differently.

Promises: nothing passes that a proxy in front might understand as another request than we do (request smuggling).
Pure. Must not: understand what is asked. Source: RFC 9112, sections 2.2, 3.2, 5, 6.
"""

import re

BYTES = 16 * 1024
LINES = 100

_END = b"\r\n\r\n"
_STRAY = re.compile(rb"(?<!\r)\n|\r(?!\n)|\0")      # a line end that is none, or a NUL
_REQUEST = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32} /[!-~\x80-\xff]* HTTP/1\.[01]")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_ANNOUNCED = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)", re.IGNORECASE)
_RAW = re.compile(rb"[\x80-\xff]")
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:")


def split(data: bytes | bytearray) -> int:
    """Where the head that `data` begins with ends; -1: it is not complete."""
    end = data.find(_END)
    return -1 if end < 0 else end + len(_END)


def body_bytes(head: bytes) -> int:
    """The length that a correct head announces for its body."""
    found = _ANNOUNCED.search(head)
    return int(found[1]) if found else 0


def quoted(head: bytes) -> bytes:
    """The head with the request's target in ASCII: supervisorctl sends names of programs as they are (UTF-8)."""
    request, line_end, rest = head.partition(b"\r\n")
    return _RAW.sub(lambda found: b"%%%02X" % found[0][0], request) + line_end + rest


def early(data: bytes | bytearray) -> int:
    """The status that an incomplete head deserves already, or 0."""
    if len(data) > BYTES:
        return 431
    return 400 if _STRAY.search(data.removesuffix(b"\r")) else 0


def wrong(head: bytes) -> int:
    """The status that refuses a complete head, or 0."""
    if len(head) > BYTES or head.count(b"\n") - 2 > LINES:
        return 431
    if _STRAY.search(head):
        return 400
    request, *lines = head[:-len(_END)].split(b"\r\n")
    if not _REQUEST.fullmatch(request):
        return 400
    fields: dict[bytes, list[bytes]] = {}
    for line in lines:
        if not _FIELD.match(line):              # also what would continue the line before
            return 400
        name, _colon, value = line.partition(b":")
        fields.setdefault(name.lower(), []).append(value.strip(b" \t"))
    if any(len(fields.get(name, ())) > 1 for name in (b"host", b"content-length", b"transfer-encoding",
                                                        b"authorization", b"origin", b"sec-fetch-site")):
        return 400
    coding, length = fields.get(b"transfer-encoding"), fields.get(b"content-length")
    if length is not None and not _LENGTH.fullmatch(length[0]):
        return 400
    if coding is not None:
        # nobody needs chunks here, and a million of one byte each would keep us busy
        wrong_coding = length is not None or coding[0].lower() != b"chunked" or request.endswith(b".0")
        return 400 if wrong_coding else 411
    if b"upgrade" in fields:        # to nothing that we speak; uvicorn's versions differ in what they make of it
        return 400
    if b"host" not in fields and not request.endswith(b".0"):
        return 400
    return 0
