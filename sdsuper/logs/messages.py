"""Messages for syslog servers (RFC 5424), and the frames in which they go to the process that sends them. PURE.

Promises: whatever a program or a configuration says, a message has the form of RFC 5424: nothing in a value can end it
or become another field. Must not: know servers or time.

A frame to the sender, in the machine's byte order: the bytes of the message, how many messages of this server were
lost before it, the bytes of the address, then the address and the message. An address is `udp:host:port`; the first
frame has none, and its message is the settings. A frame back: how many messages of a server are done with (sent or
lost), the bytes of its address, and the address.
"""

from struct import Struct

FRAME = Struct("=IIH")
DONE = Struct("=IH")
#: Bytes of a line in one message: with what stands before it less than the 8 KiB that receivers take as a rule.
LONGEST = 7168
#: The number for examples (RFC 5612), for there is no registered one.
SD_ID = "sdsuper@32473"


def name(text: str, most: int) -> str:
    """Text as a HOSTNAME, APP-NAME, PROCID or MSGID: printable ASCII, `-` for none. RFC 5424 section 6.2."""
    return "".join(letter if "!" <= letter <= "~" else "_" for letter in text[:most]) or "-"


def data(fields: dict[str, str]) -> str:
    """STRUCTURED-DATA with one element of ours. Names are ours: letters, digits and `-`. Section 6.3."""
    pairs = []
    for key, value in fields.items():
        for letter in '\\"]':
            value = value.replace(letter, f"\\{letter}")
        pairs.append(f' {key}="{value}"')
    return f"[{SD_ID}{''.join(pairs)}]"


def head(host: str, app: str, procid: str, msgid: str, fields: dict[str, str]) -> bytes:
    """What follows the date, up to the message: ` HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA `."""
    words = f" {name(host, 255)} {name(app, 48)} {name(procid, 128)} {name(msgid, 32)} {data(fields)} "
    return words.encode(errors="backslashreplace")


def message(facility: int, severity: int, date: str, tail: bytes, line: bytes) -> bytes:
    """A message; `tail` is from `head`."""
    return b"<%d>1 %s%s%s" % (facility * 8 + severity, date.encode(), tail, line)


def frame(address: bytes, content: bytes, lost: int = 0) -> bytes:
    """A frame to the sender."""
    return FRAME.pack(len(content), lost, len(address)) + address + content


def whole(line: bytes, most: int) -> int:
    """Where to cut a line that is longer than `most` bytes: not inside of a character of UTF-8."""
    end = most
    while most - end < 3 and line[end] & 0xC0 == 0x80:
        end -= 1
    return end if line[end] & 0xC0 != 0x80 else most
