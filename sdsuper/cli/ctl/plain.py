"""The few values that ctl needs, out of a configuration that is written plainly.

Loading the package that reads configurations takes nearly as long as a whole `status`, and all programs of a large file
would be read for a few keys of three sections. Promises: what is found here is what `sdsuper.config.load.load_ctl`
finds; whatever is not perfectly plain (expansion, inline comments, continued lines, merged sections, paths to be
resolved …) is None, and load_ctl is asked. Pure. Must not: guess.
"""

_WANTED = {
    "supervisorctl": ("serverurl", "prompt", "username", "password", "history_file"),
    "supervisord": ("control_socket",),
    "unix_http_server": ("file",),
}


def plain_values(text: str) -> dict[str, str] | None:
    """The wanted keys that `text` has, None when any of them needs the real reader. Key names do not repeat.

    Every line is looked at: a mistake anywhere is the real reader's to tell.
    """
    if "[DEFAULT]" in text or "\r" in text or "\0" in text or text.startswith("\ufeff"):
        return None
    values: dict[str, str] = {}
    begun: set[str] = set()
    wanted: tuple[str, ...] = ()
    key = ""
    for line in text.split("\n"):
        if not line or line[0] in ";#" or line.isspace():
            continue
        if line[0] == "[":
            section = line[1:-1]
            if line[-1] != "]" or not section or "]" in section or (section in begun and section in _WANTED):
                return None
            begun.add(section)
            wanted, key = _WANTED.get(section, ()), ""
        elif line[0].isspace():  # more of the value before it; nothing to us unless that one is wanted
            if not key or key in wanted:
                return None
        else:
            key, value = _entry(line)
            if not key or not begun:
                return None
            if key in wanted:
                if key in values or not _plain(key, value):
                    return None
                values[key] = value
    return values if "supervisorctl" in begun else None


def control_socket(values: dict[str, str]) -> str | None:
    """Where the daemon's control socket is, None when that needs the real reader."""
    if "control_socket" in values:
        return values["control_socket"]
    if "file" in values:
        return values["file"] + ".control"
    url = values.get("serverurl", "")
    return url[7:] + ".control" if url.startswith("unix://") else None


def _entry(line: str) -> tuple[str, str]:
    """Key and value; no key where there is no sign between them."""
    at = min((i for i in (line.find("="), line.find(":")) if i >= 0), default=0)
    return line[:at].strip().lower(), line[at + 1 :].strip()


def _plain(key: str, value: str) -> bool:
    return bool(value) and not any(letter in value for letter in "%;#") and _settled(key, value)


def _settled(key: str, value: str) -> bool:
    """Whether a path is already as the real reader would make it."""
    if key == "serverurl":
        path = value.removeprefix("unix://")
        return path == value or _settled("file", path)
    if key in ("control_socket", "file", "history_file"):
        return value.startswith("/") and "//" not in value and "/." not in value and not value.endswith("/")
    return True
