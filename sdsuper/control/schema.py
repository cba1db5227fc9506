"""Reading a Varlink interface description, to check parameters against it. PURE.

Promises: as much of the language as io.sdsuper.Control uses (bool, int, float, string, `?`, `[]`, named types,
comments); what it does not know is a ValueError when the daemon's own text is parsed, never a wrong answer. Source:
https://varlink.org/Interface-Definition.
"""

import re

_TOKEN = re.compile(r"#[^\n]*|\s+|(->|\[\]|[A-Za-z_][A-Za-z0-9_.]*|[():,?])")
_TYPES: dict[str, type | tuple[type, ...]] = {"bool": bool, "int": int, "float": (int, float), "string": str}

#: A type: its name, whether it may be absent, whether it is an array.
Kind = tuple[str, bool, bool]
Fields = dict[str, Kind]


class Schema:
    """The methods and types of one interface."""

    def __init__(self) -> None:
        self.types: dict[str, Fields] = {}
        self.methods: dict[str, tuple[Fields, Fields]] = {}
        self.errors: dict[str, Fields] = {}

    def check(self, method: str, parameters: dict[str, object]) -> str | None:
        """The name of the first parameter that is wrong, missing or unknown; None when all is well."""
        return self._wrong(self.methods[method][0], parameters)

    def check_reply(self, method: str, parameters: dict[str, object]) -> str | None:
        """The same for what a method returns."""
        return self._wrong(self.methods[method][1], parameters)

    def _wrong(self, fields: Fields, values: dict[str, object]) -> str | None:
        for name in values:
            if name not in fields:
                return name
        for name, (kind, optional, array) in fields.items():
            value = values.get(name)
            if value is None:
                if not optional:
                    return name
            elif array:
                if not isinstance(value, list) or not all(self._fits(kind, item) for item in value):
                    return name
            elif not self._fits(kind, value):
                return name
        return None

    def _fits(self, kind: str, value: object) -> bool:
        if kind in _TYPES:
            return isinstance(value, _TYPES[kind]) and (kind == "bool" or not isinstance(value, bool))
        return isinstance(value, dict) and self._wrong(self.types[kind], value) is None


def parse(text: str) -> Schema:
    """The schema that the text describes. Raises ValueError."""
    schema = Schema()
    try:
        _read(_tokens(text), schema)
    except IndexError:
        raise ValueError("the text ends too early") from None
    known = {*_TYPES, *schema.types}
    of_methods = (fields for both in schema.methods.values() for fields in both)
    for fields in (*schema.types.values(), *schema.errors.values(), *of_methods):
        for kind, _optional, _array in fields.values():
            if kind not in known:
                raise ValueError(f"'{kind}' is no type")
    return schema


def _read(tokens: list[str], schema: Schema) -> None:
    while tokens:
        word = tokens.pop()
        name = tokens.pop()
        if word == "interface":
            continue
        fields = _fields(tokens)
        if word == "type":
            schema.types[name] = fields
        elif word == "error":
            schema.errors[name] = fields
        elif word == "method" and tokens.pop() == "->":
            schema.methods[name] = fields, _fields(tokens)
        else:
            raise ValueError(f"unexpected '{word}'")


def _tokens(text: str) -> list[str]:
    """All tokens, the first one last."""
    tokens, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"unexpected {text[at]!r}")
        if match[1]:
            tokens.append(match[1])
        at = match.end()
    return tokens[::-1]


def _fields(tokens: list[str]) -> Fields:
    fields: Fields = {}
    if tokens.pop() != "(":
        raise ValueError("'(' expected")
    end = tokens.pop() if tokens[-1] == ")" else ","
    while end == ",":
        name = tokens.pop()
        if tokens.pop() != ":":
            raise ValueError(f"':' expected after '{name}'")
        optional = tokens[-1] == "?" and bool(tokens.pop())
        array = tokens[-1] == "[]" and bool(tokens.pop())
        fields[name] = tokens.pop(), optional, array
        end = tokens.pop()
    if end != ")":
        raise ValueError(f"',' or ')' expected before '{end}'")
    return fields
