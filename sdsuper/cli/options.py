"""Command-line options the way Supervisor reads them: short, long, unique long prefixes, its error texts.

Promises: `parse` is pure and imports nothing (the standard library's modules for this cost more than a whole `status`).
Options end at the first word that is none, or after `--`.
"""

from sdsuper.errors import SdsuperError


class UsageError(SdsuperError):
    """A command line that cannot be used: the text for stderr, exit status 2."""


#: How an option is written, with its dashes -> (name of the value, whether it takes one).
Table = dict[str, tuple[str, bool]]


def parse(argv: list[str], table: Table) -> tuple[dict[str, str], list[str]]:
    """Split `argv` into values by name (a flag's value is "1") and the words that follow the options.

    Raises UsageError with Supervisor's texts; an option that is given twice is refused as there.
    """
    found: list[tuple[str, str]] = []
    rest = list(argv)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        found += _long(word, rest, table) if word.startswith("--") else _short(word, rest, table)
    values: dict[str, str] = {}
    for option, value in found:
        name = table[option][0]
        if name in values and name != "help":
            raise UsageError(f"conflicting command line option {option!r}")
        values[name] = value
    return values, rest


def _long(word: str, rest: list[str], table: Table) -> list[tuple[str, str]]:
    typed, equals, value = word.partition("=")
    if typed in table:
        option = typed
    else:
        fitting = [option for option in table if option.startswith("--") and option.startswith(typed)]
        if not fitting:
            raise UsageError(f"option {typed} not recognized")
        if len({table[option] for option in fitting}) > 1:
            raise UsageError(f"option {typed} not a unique prefix")
        option = fitting[0]
    if not table[option][1]:
        if equals:
            raise UsageError(f"option {option} must not have an argument")
        return [(option, "1")]
    if not equals:
        if not rest:
            raise UsageError(f"option {option} requires argument")
        value = rest.pop(0)
    return [(option, value)]


def _short(word: str, rest: list[str], table: Table) -> list[tuple[str, str]]:
    found = []
    letters = word[1:]
    while letters:
        option, letters = f"-{letters[0]}", letters[1:]
        if option not in table:
            raise UsageError(f"option {option} not recognized")
        value = "1"
        if table[option][1]:
            if not letters and not rest:
                raise UsageError(f"option {option} requires argument")
            value, letters = letters or rest.pop(0), ""
        found.append((option, value))
    return found


def parse_anywhere(argv: list[str], table: Table) -> tuple[dict[str, str], list[str]]:
    """The same for a command whose options may stand behind its words, too. Raises UsageError."""
    options, rest = parse(argv, table)
    words = []
    while rest:
        words.append(rest[0])
        more, rest = parse(rest[1:], table)
        options |= more
    return options, words
