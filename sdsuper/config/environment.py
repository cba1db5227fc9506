"""The grammar of `environment=`.

Promises: reads what Supervisor 4.3.0 reads (a shlex of its own making), including what it makes of unquoted special
characters, and says so. Must not: show values in errors or notes, for they may be secrets.
"""

_BLANK = " \t\r\n"
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/.+-():")


def _tokens(text: str) -> tuple[list[str], list[int], bool]:
    """Supervisor's tokens: quoted strings with their quotes, words of `_LETTERS`, every other character for itself;
    and behind which character each of them ends.

    The flag says whether a `#` outside quotes made the rest of a line a comment.
    """
    tokens: list[str] = []
    ends: list[int] = []
    commented = False
    at, end = 0, len(text)
    word = ""
    while at < end:
        character = text[at]
        at += 1
        if character == "#":
            commented = True
            line_end = text.find("\n", at)
            at = end if line_end < 0 else line_end + 1
        elif character in _LETTERS or (word and character in "'\""):
            word += character
        else:
            if word:
                tokens.append(word)
                ends.append(at - 1)
                word = ""
            if character in "'\"":
                close = text.find(character, at)
                if close < 0:
                    raise ValueError("No closing quotation")
                tokens.append(text[at - 1:close + 1])
                at = close + 1
                ends.append(at)
            elif character not in _BLANK:
                tokens.append(character)
                ends.append(at)
    if word:
        tokens.append(word)
        ends.append(end)
    return tokens, ends, commented


def variable_lines(text: str) -> dict[str, int]:
    """The variables of a text that `environment` reads, and on which of its lines, from 0, each of them begins."""
    tokens, ends, _commented = _tokens(text)
    return {name: text.count("\n", 0, ends[at * 4] - len(name)) for at, name in enumerate(tokens[::4])}


def environment(text: str) -> tuple[dict[str, str], list[str]]:
    """`A=1,B="two words"` to its variables, and notes on what was probably not meant.

    Raises ValueError where Supervisor refuses.
    """
    if not text:
        return {}, []
    tokens, _ends, commented = _tokens(text)
    variables: dict[str, str] = {}
    notes = ["the rest of a line behind # is ignored; a value with # needs quotes"] if commented else []
    for at in range(0, len(tokens), 4):
        group = tokens[at:at + 4]
        if len(group) < 3 or group[1] != "=":
            after = f"after {tokens[at - 4]!r}" if at else "at the start"
            raise ValueError(f"cannot read name=value pairs {after} (NAME=\"value\" with commas between expected)")
        name = group[0]
        if "=" in name or "\0" in name:
            raise ValueError(f"cannot use {name!r} as a variable's name")
        if name[0] in "'\"":
            notes.append(f"{name}: the quotes are part of the variable's name")
        if name in variables:
            notes.append(f"{name} is given twice, the last one counts")
        if group[2] == ",":
            notes.append(f"{name}: the value is a comma; write {name}=\"\" for an empty one")
        elif len(group) == 4 and group[3] not in (",", ";"):
            notes.append(f"{name}: the value ends before {group[3][:1]!r}; put it in quotes")
        variables[name] = group[2].strip("'\"")
    return variables, notes
