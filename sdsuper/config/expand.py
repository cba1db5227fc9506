"""`%(name)s` expansion.

Promises: Python's % formatting with Supervisor's names, `%%` for a percent sign; a mistake is a ValueError that lists
the names known at that place but no environment variable by name. Must not: know which option may use which name.
"""


class UnknownName(KeyError):
    """A name that the place does not know."""


class Names(dict[str, object]):
    """The names known at one place; what is not here is looked up in `outer`."""

    __slots__ = ("outer",)

    def __init__(self, names: dict[str, object], outer: "Names | None" = None) -> None:
        super().__init__(names)
        self.outer = outer

    def __missing__(self, name: str) -> object:
        if self.outer is None:
            raise UnknownName(name)
        return self.outer[name]

    def __repr__(self) -> str:
        # Reached by a bare `%s`: Python would format the whole mapping, every environment variable with its value.
        raise ValueError("bare conversion")

    def known(self) -> list[str]:
        """The names, sorted; the environment's are one entry, `ENV_...`."""
        found: set[str] = set()
        names: Names | None = self
        while names is not None:
            found.update("ENV_..." if name.startswith("ENV_") else name for name in names)
            names = names.outer
        return sorted(found)


def environment_names(environ: dict[str, str]) -> dict[str, object]:
    """`ENV_X` for each variable."""
    return {f"ENV_{name}": value for name, value in environ.items()}


def expand(text: str, names: Names) -> str:
    """Expand `text`. Raises ValueError, worded for the person who wrote the text."""
    if "%" not in text:
        return text
    try:
        return text % names
    except UnknownName as error:
        name = error.args[0]
        if name.startswith("ENV_"):
            raise ValueError(f"%({name}): the environment has no {name[4:]!r}") from None
        raise ValueError(f"%({name}): no such name here, known are {', '.join(names.known())}") from None
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        why = "" if str(error) == "bare conversion" else f" ({error})"
        expected = "%(name)s expected, and %% for a percent sign"
        raise ValueError(f"cannot expand {_around(text)!r}{why}: {expected}") from None


def _around(text: str) -> str:
    """The first percent sign that starts neither `%%` nor `%(`; little of the rest, for it may be a password."""
    rest = text.replace("%%", "\0\0")
    at = 0
    while (at := rest.find("%", at)) >= 0 and rest[at + 1:at + 2] == "(":
        at += 1
    if at >= 0:
        return text[at:at + 3]
    at = rest.find("%(")
    return text[at:at + 24]
