"""Names of processes as the user writes and reads them: `web`, `group:web`, `group:*`, `web*`. Pure."""


def shown(group: str, name: str) -> str:
    """`group:name`, or `name` alone where the two are equal."""
    return name if group == name else f"{group}:{name}"


def split(name: str) -> tuple[str, str | None]:
    """(group, process) of what the user wrote; no process for `group:*` and `group:`, which mean the whole group."""
    group, colon, process = name.partition(":")
    if not colon:
        return name, name
    return group, None if process in ("", "*") else process


def as_typed(name: str) -> str:
    """What an answer about `name` calls it: the group for `group:*`, else its short form."""
    group, process = split(name)
    return group if process is None else shown(group, process)


def unknown(name: str) -> str:
    """`nope: ERROR (no such process)`, or `group` for `nope:*`."""
    return f"{as_typed(name)}: ERROR (no such {'group' if split(name)[1] is None else 'process'})"
