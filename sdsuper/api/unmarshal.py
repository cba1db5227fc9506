"""An XML-RPC request as Python values.

Promises: no document type, no entities of the client's, a bounded depth and number of elements; values of exactly the
types that are named here. Must not: know the methods. Source: http://xmlrpc.com/spec.md, and <nil/>.

    int i4 -> int (32 bits)   boolean -> bool   double -> float (finite)   string, no type -> str   nil -> None
    dateTime.iso8601 -> Date   base64 -> str (UTF-8, other bytes as surrogateescape)   array -> list   struct -> dict
"""

import math
import re
from base64 import b64decode
from typing import Any
from xml.parsers import expat

DEPTH = 64
ELEMENTS = 20_000

_INT = re.compile(r"[+-]?\d{1,10}", re.ASCII)
_DOUBLE = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)      # no two ways to read a digit
_DATE = re.compile(r"\d{4}(0[1-9]|1[0-2])([0-2]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-6]\d", re.ASCII)

#: where an element may stand
_PARENTS = {
    "methodCall": {""}, "methodName": {"methodCall"}, "params": {"methodCall"}, "param": {"params"},
    "value": {"param", "data", "member"}, "array": {"value"}, "data": {"array"}, "struct": {"value"},
    "member": {"struct"}, "name": {"member"},
}
_SCALARS = frozenset({"int", "i4", "boolean", "double", "string", "dateTime.iso8601", "base64", "nil"})
_TEXT = frozenset({"methodName", "name", "value"}) | _SCALARS


class NotXmlRpc(ValueError):
    """The request cannot be understood; the text says why."""


class Date(str):
    """A dateTime.iso8601, as it came."""


def request(body: bytes) -> tuple[str, list[Any]]:
    """Method name and parameters. Raises NotXmlRpc."""
    reader = _Reader()
    try:
        reader.parser.Parse(body, True)
    except NotXmlRpc:
        raise
    except (expat.ExpatError, LookupError, ValueError) as error:    # the latter two: an encoding that is none for expat
        raise NotXmlRpc(f"not XML: {error}") from None
    if not reader.method:
        raise NotXmlRpc("no method name")
    return reader.method, reader.params


class _Reader:
    """Collects what expat reports. Each open element has a list for the values of its children."""

    def __init__(self) -> None:
        self.method = ""
        self.params: list[Any] = []
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._data
        self._open: list[tuple[str, list[Any], list[str]]] = []
        self._count = 0

    def _doctype(self, *_: object) -> None:
        raise NotXmlRpc("a document type is not accepted")

    def _start(self, tag: str, _attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > ELEMENTS or len(self._open) >= DEPTH:
            raise NotXmlRpc("too many elements")
        parent = self._open[-1][0] if self._open else ""
        if parent not in _PARENTS.get(tag, ()) and not (tag in _SCALARS and parent == "value"):
            raise NotXmlRpc(f"<{tag[:40]}> is not expected in <{parent}>")
        self._open.append((tag, [], []))

    def _data(self, text: str) -> None:
        tag, _children, pieces = self._open[-1]
        if tag in _TEXT:
            pieces.append(text)
        elif not text.isspace():
            raise NotXmlRpc(f"text is not expected in <{tag}>")

    def _end(self, tag: str) -> None:
        _tag, children, pieces = self._open.pop()
        value = self._value(tag, children, "".join(pieces))
        if tag == "methodName":
            self.method = value
        elif tag == "params":
            self.params = value
        elif self._open:
            self._open[-1][1].append(value)

    def _value(self, tag: str, children: list[Any], text: str) -> Any:
        if tag in _SCALARS:
            return _scalar(tag, text)
        if tag in ("methodName", "name"):
            return text
        if tag == "value":
            if not children:
                return text
            if len(children) > 1 or text.strip():
                raise NotXmlRpc("more than one value in <value>")
            return children[0]
        if tag in ("param", "array"):
            if len(children) != 1:
                raise NotXmlRpc(f"<{tag}> needs one element")
            return children[0]
        if tag == "member":
            if len(children) != 2 or not isinstance(children[0], str):
                raise NotXmlRpc("<member> needs a name and a value")
            return tuple(children)
        return dict(children) if tag == "struct" else children


def _scalar(tag: str, text: str) -> Any:
    word = text.strip()
    if tag == "string":
        return text
    if tag in ("int", "i4") and _INT.fullmatch(word) and -1 << 31 <= int(word) < 1 << 31:
        return int(word)
    if tag == "boolean" and word in ("0", "1"):
        return word == "1"
    if tag == "double" and _DOUBLE.fullmatch(word) and math.isfinite(float(word)):
        return float(word)
    if tag == "dateTime.iso8601" and _DATE.fullmatch(word):
        return Date(word)
    if tag == "base64":
        try:
            return b64decode("".join(text.split()), validate=True).decode(errors="surrogateescape")
        except ValueError:
            pass
    if tag == "nil" and not text:
        return None
    raise NotXmlRpc(f"not a {tag}")
