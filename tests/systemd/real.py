"""systemd's own readers of words and environment files, out of the library that its programs share."""

import ctypes
import shutil
import subprocess
from pathlib import Path

UNQUOTED, UNESCAPED = 1 << 5, 1 << 5 | 1 << 1


def _library() -> ctypes.CDLL:
    program = shutil.which("systemd-analyze") or ""
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    (path,) = (word for word in linked.split() if word.startswith("/") and "libsystemd-shared" in word)
    return ctypes.CDLL(path)


_LIBRARY = _library()


def environment_file(path: Path) -> list[str]:
    """`NAME=value` for each variable, as EnvironmentFile= takes it."""
    found = ctypes.POINTER(ctypes.c_char_p)()
    assert _LIBRARY.load_env_file(None, str(path).encode(), ctypes.byref(found)) >= 0
    values = []
    while found and found[len(values)]:
        values.append((found[len(values)] or b"").decode())
    return values


def words(text: str, flags: int) -> list[str] | None:
    """The words of a directive; None for what systemd does not take."""
    place = ctypes.c_char_p(text.encode())
    found = []
    while True:
        word = ctypes.c_char_p()
        length = _LIBRARY.extract_first_word(ctypes.byref(place), ctypes.byref(word), None, flags)
        if length < 0:
            return None
        if length == 0:
            return found
        found.append((word.value or b"").decode(errors="replace"))
