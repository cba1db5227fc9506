"""Another system for the tests of the configuration: files, directories and accounts as dictionaries."""

import fnmatch
from collections.abc import Mapping, Sequence

from sdsuper.config.load import load
from sdsuper.config.lookup import File
from sdsuper.config.model import Model, ProcessConfig, User
from sdsuper.errors import ConfigError


class FakeHost:
    """`Host` of a machine that has what the test says. Every directory is there unless `directories` names them."""

    def __init__(
        self,
        files: Mapping[str, str | bytes],
        uid: int = 0,
        directories: Sequence[str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.files = files
        self.directories = directories
        self.environ: Mapping[str, str] = environ if environ is not None else {"HOME": "/root", "PATH": "/usr/bin:/bin"}
        self.cwd = "/start"
        self.node = "node1"
        self.uid = uid
        self.tempdir = "/tmp"

    def read(self, path: str) -> File:
        if path not in self.files:
            raise FileNotFoundError(2, "No such file or directory", path)
        data = self.files[path]
        return File(data.encode() if isinstance(data, str) else data, None)

    def read_private(self, path: str) -> bytes:
        return self.read(path).data

    def glob(self, pattern: str) -> Sequence[str]:
        return sorted(
            path for path in self.files if fnmatch.fnmatch(path, pattern) and path.count("/") == pattern.count("/")
        )

    def exists(self, path: str) -> bool:
        return path in self.files

    def is_dir(self, path: str) -> bool:
        return self.directories is None or path in self.directories

    def user(self, name: str | int, gid: int | None = None) -> User | None:
        known = {"root": 0, "deploy": 1000, "nobody": 65534}
        for user, uid in known.items():
            if name in (user, uid):
                primary = uid if gid is None else gid
                return User(user, uid, primary, (primary, 100), f"/home/{user}", "/bin/sh")
        return None

    def group(self, name: str | int) -> int | None:
        return next((gid for group, gid in {"root": 0, "adm": 4, "deploy": 1000}.items() if name in (group, gid)), None)

    def has_zone(self, name: str) -> bool:
        return name in ("UTC", "Europe/Berlin", "America/New_York")

    def expand_user(self, path: str) -> str:
        return "/root" + path[1:] if path[:2] in ("~", "~/") else path


MAIN = "/etc/sup.conf"
HEAD = "[supervisord]\n"


def read(text: str, files: Mapping[str, str | bytes] | None = None, **more: object) -> Model:
    """The Model of a main file `text`."""
    return load(MAIN, FakeHost({MAIN: text, **(files or {})}, **more))  # type: ignore[arg-type]


def one(text: str, **more: object) -> ProcessConfig:
    """The only process of a [program:x] with these lines."""
    (group,) = read(f"{HEAD}[program:x]\ncommand=/bin/cat\n{text}\n", **more).groups
    (process,) = group.processes
    return process


def said(text: str, files: Mapping[str, str | bytes] | None = None, **more: object) -> list[str]:
    """All problems of a main file, as a person sees them, without the file's name and the servers' `not yet`."""
    try:
        problems = read(text, files, **more).warnings
    except ConfigError as error:
        problems = error.problems
    return [str(problem).removeprefix(f"{MAIN}:") for problem in problems]


def says(lines: str, **more: object) -> list[str]:
    """The problems of a [program:x] with these lines; the first of them is line 4."""
    return said(f"{HEAD}[program:x]\ncommand=/bin/cat\n{lines}\n", **more)
