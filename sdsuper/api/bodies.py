"""Bodies of requests, no longer than allowed, and forms.

Must not: hold more than the limit, whatever the client announced.
"""

from urllib.parse import parse_qsl

from starlette.requests import Request

from sdsuper.api.guard import Refused

FIELDS = 100        # of a form


async def body(request: Request, most: int) -> bytes:
    """The body. Raises Refused 413, ClientDisconnect."""
    announced = request.headers.get("content-length", "0")
    if int(announced) > most:
        # a client that waits for "100 Continue" will not send the body, so nothing can follow it
        close = {"Connection": "close"} if "expect" in request.headers else None
        raise Refused(413, f"a body may have {most} bytes", close)
    pieces = bytearray()
    async for piece in request.stream():
        pieces += piece
        if len(pieces) > most:
            raise Refused(413, f"a body may have {most} bytes")
    return bytes(pieces)


async def form(request: Request, most: int) -> dict[str, str]:
    """The fields of a form as a browser sends it (application/x-www-form-urlencoded). Raises Refused 400, 413, 415."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Refused(415, "application/x-www-form-urlencoded expected")
    try:
        return dict(parse_qsl((await body(request, most)).decode("ascii"), max_num_fields=FIELDS))
    except ValueError:
        raise Refused(400, "not a form") from None
