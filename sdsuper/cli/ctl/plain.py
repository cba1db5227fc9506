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
    """The wanted keys that `text` has, None when any of them needs the real reader. Key names do not repeat."""
    if "[DEFAULT]" in text or "\r" in text or "\0" in text or text.startswith("\ufeff"):
        return None
    values: dict[str, str] = {}
    for section, keys in _WANTED.items():
        body = _body("\n" + text, section)
        if body is None:
            return None
        if not _take(body, keys, values):
            return None
    return values


def control_socket(values: dict[str, str]) -> str | None:
    """Where the daemon's control socket is, None when that needs the real reader."""
    if "control_socket" in values:
        return values["control_socket"]
    if "file" in values:
        return values["file"] + ".control"
    url = values.get("serverurl", "")
    return url[7:] + ".control" if url.startswith("unix://") else None


def _body(text: str, section: str) -> str | None:
    """The lines of a section, none of one that is not there. None when it is there twice, or not at all and is ours."""
    header = f"[{section}]"
    start = text.find("\n" + header)
    if start < 0:
        return None if header in text or section == "supervisorctl" else ""
    if text.count(header) > 1:
        return None
    rest_of_line, _, body = text[start + 1 + len(header) :].partition("\n")
    if rest_of_line.strip():
        return None
    end = ("\n" + body).find("\n[")
    return body if end < 0 else body[:end]


def _take(body: str, keys: tuple[str, ...], values: dict[str, str]) -> bool:
    """Put what `body` says of `keys` into `values`; False when it needs the real reader."""
    key = ""
    for line in body.split("\n"):
        if not line or line.isspace() or line[0] in ";#":
            continue
        if line[0].isspace():  # more of the value before it; nothing to us unless that one is wanted
            if not key or key in keys:
                return False
            continue
        at = min((i for i in (line.find("="), line.find(":")) if i >= 0), default=0)
        key, value = line[:at].strip().lower(), line[at + 1 :].strip()
        if not key:
            return False
        if key in keys:
            if key in values or not value or any(letter in value for letter in "%;#") or not _settled(key, value):
                return False
            values[key] = value
    return True


def _settled(key: str, value: str) -> bool:
    """Whether a path is already as the real reader would make it."""
    if key == "serverurl":
        path = value.removeprefix("unix://")
        return path == value or _settled("file", path)
    if key in ("control_socket", "file", "history_file"):
        return value.startswith("/") and "//" not in value and "/." not in value and not value.endswith("/")
    return True
