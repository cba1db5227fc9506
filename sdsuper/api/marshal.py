"""Python values as an XML-RPC reply.

Promises: well-formed for every client whatever text is in it: what XML 1.0 cannot hold (control characters, lone
surrogates, U+FFFE, U+FFFF) becomes U+FFFD. Integers have 32 bits there; larger ones are cut to the nearest, as
Supervisor cuts dates. Long logs are not held in memory: a reply is a list of text and of Piece, which is read when it
is sent. Must not: know the methods. Source: http://xmlrpc.com/spec.md, https://www.w3.org/TR/xml/#charsets.
"""

import re
from collections.abc import AsyncIterator
from typing import Any, NamedTuple, Protocol

MOST, LEAST = (1 << 31) - 1, -(1 << 31)

_HEAD = "<?xml version='1.0'?>\n<methodResponse>\n"
_ILLEGAL = "\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"
_TO_REPAIR = re.compile(f"[&<>{_ILLEGAL}]")
_NAMES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


class Piece(Protocol):
    """Text that comes when it is asked for."""

    def text(self) -> AsyncIterator[str]:
        """Its text in parts, as the log has it."""


class Raw(str):
    """XML of a value that is made already."""


Part = str | Piece


class Array(NamedTuple):
    """An array whose values are made already."""

    parts: list[Part]


def text(value: str) -> str:
    """`value` as character data."""
    if _TO_REPAIR.search(value) is None:
        return value
    return _TO_REPAIR.sub(lambda found: _NAMES.get(found[0], "\ufffd"), value)


def reply(value: Any) -> list[Part]:
    """The document that answers a call."""
    parts: list[Part] = [_HEAD, "<params>\n<param>\n"]
    write(value, parts)
    parts.append("</param>\n</params>\n</methodResponse>\n")
    return parts


def fault(code: int, words: str) -> list[Part]:
    """The document that refuses one."""
    parts: list[Part] = [_HEAD, "<fault>\n"]
    write({"faultCode": code, "faultString": words}, parts)
    parts.append("</fault>\n</methodResponse>\n")
    return parts


def write(value: Any, parts: list[Part]) -> None:
    """Append a value: str, bool, int, float, list, tuple, dict with str keys, Raw, or a Piece for a string."""
    if isinstance(value, Raw):
        parts.append(value)
    elif isinstance(value, str):
        parts.append(f"<value><string>{text(value)}</string></value>\n")
    elif isinstance(value, bool):
        parts.append(f"<value><boolean>{int(value)}</boolean></value>\n")
    elif isinstance(value, int):
        parts.append(f"<value><int>{max(LEAST, min(MOST, value))}</int></value>\n")
    elif isinstance(value, float):
        parts.append(f"<value><double>{value!r}</double></value>\n")
    elif isinstance(value, dict):
        parts.append("<value><struct>\n")
        for key, item in value.items():
            parts.append(f"<member>\n<name>{text(key)}</name>\n")
            write(item, parts)
            parts.append("</member>\n")
        parts.append("</struct></value>\n")
    elif isinstance(value, Array):
        parts += ["<value><array><data>\n", *value.parts, "</data></array></value>\n"]
    elif isinstance(value, list | tuple):
        parts.append("<value><array><data>\n")
        for item in value:
            write(item, parts)
        parts.append("</data></array></value>\n")
    else:
        parts += ["<value><string>", value, "</string></value>\n"]


def infos(rows: list[dict[str, Any]]) -> Raw:
    """The value of getAllProcessInfo: an array of what `info` makes of each process."""
    return Raw(f"<value><array><data>\n{''.join([info(row) for row in rows])}</data></array></value>\n")


def _member(name: str, kind: str, field: str) -> str:
    return f"<member>\n<name>{name}</name>\n<value><{kind}>%({field})s</{kind}></value>\n</member>\n"


_STRINGS = ("name", "group", "spawnerr", "stdout_logfile", "stderr_logfile", "description")
_INFO = "<value><struct>\n" + "".join([
    _member("name", "string", "name"), _member("group", "string", "group"), _member("start", "int", "start"),
    _member("stop", "int", "stop"), _member("now", "int", "now"), _member("state", "int", "statecode"),
    _member("statename", "string", "state"), _member("spawnerr", "string", "spawnerr"),
    _member("exitstatus", "int", "exitstatus"), _member("logfile", "string", "stdout_logfile"),
    _member("stdout_logfile", "string", "stdout_logfile"), _member("stderr_logfile", "string", "stderr_logfile"),
    _member("pid", "int", "pid"), _member("description", "string", "description"),
]) + "</struct></value>\n"


def info(row: dict[str, Any]) -> Raw:
    """The struct of getProcessInfo, from the interface's type Process. One template: it is made for thousands."""
    for field in _STRINGS:
        if _TO_REPAIR.search(row[field]) is not None:
            row[field] = text(row[field])
    for field in ("start", "stop", "now"):
        if row[field] > MOST:
            row[field] = MOST
    return Raw(_INFO % row)
