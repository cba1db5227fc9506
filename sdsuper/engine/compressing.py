"""Compressing rotated logs, one at a time for each account, by a child at the lowest priority.

Promises: a compressed log appears complete, with the owner, mode and date of the other, which is removed only then;
the child reads one descriptor and writes another, as the log's user or an account without rights, and opens nothing.
A child that gets nowhere is killed; one that is slow holds up logs of its own account alone. A file that a user could
lead to root's contents, or root to his, is refused. Logs that are rotated meanwhile are found under their new names;
what was left over (the child was killed, the daemon crashed) is done with the next rotation. Must not: wait, or follow
a link (logs.opening).
"""

import os
import signal

from sdsuper.config.model import User
from sdsuper.core.vocabulary import Exit
from sdsuper.engine.supervise import Engine
from sdsuper.logs import opening
from sdsuper.logs.rotate import SUFFIXES, UNFINISHED
from sdsuper.logs.sinks import FileSink
from sdsuper.system.loop import Timer
from sdsuper.system.process import Launch

NICE = 19
LOOK_SECONDS = 600.0        # in which a child has to read so much, or all that is left, and then has to end
LEAST_BYTES = 1 << 20
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROGRAMS = {suffix: program for program, suffix in SUFFIXES.items()}


class _Job:
    """A log at work: `index` is where it is in the row of rotated ones, `source` and `made` are descriptors, `owner`
    the uid that `made` has had from the beginning; `timer` looks whether it has `read` more of `source`.
    """

    __slots__ = ("index", "made", "owner", "pid", "read", "sink", "source", "stuck", "suffix", "timer")

    def __init__(self, sink: FileSink, index: int, source: int, made: int) -> None:
        self.sink, self.index, self.source, self.made, self.suffix = sink, index, source, made, sink.suffix
        self.owner = os.fstat(made).st_uid
        self.pid = self.read = 0
        self.stuck = False
        self.timer: Timer | None = None

    @property
    def path(self) -> str:
        return f"{self.sink.path}.{self.index}"


class Compressing:
    """All of it. `user` runs the children for logs that are the daemon's own (None: the daemon's account)."""

    def __init__(self, engine: Engine, user: User | None) -> None:
        self._engine, self._user = engine, user
        self._rows: dict[int, _Row] = {}            # by uid

    def rotated(self, sink: FileSink) -> None:
        """A log has been rotated that is to be compressed."""
        user = sink.user if os.geteuid() == 0 and sink.user is not None else self._user
        uid = os.geteuid() if user is None else user.uid
        if uid not in self._rows:
            self._rows[uid] = _Row(self._engine)
        self._rows[uid].rotated(sink, user)

    def close(self) -> None:
        """The daemon ends: no more of it."""
        for row in self._rows.values():
            row.close()


class _Row:
    """What one account compresses: a user can stop the child, and shall not hold up others with that."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: dict[FileSink, User | None] = {}         # who runs the child
        self._job: _Job | None = None

    def rotated(self, sink: FileSink, user: User | None) -> None:
        """A log has been rotated that `user` is to compress."""
        if self._job is not None and self._job.sink.path == sink.path:
            self._job.index += 1
        self._waiting.setdefault(sink, user)
        self._engine.loop.soon(0, self._go_on)

    def close(self) -> None:
        """The daemon ends: no more of it."""
        self._waiting.clear()
        job, self._job = self._job, None
        if job is not None:
            _kill(job)
            self._forget(job)

    def _go_on(self) -> None:
        while self._job is None and self._waiting:
            sink, user = next(iter(self._waiting.items()))
            try:
                if not self._begin(sink, user):
                    del self._waiting[sink]         # nothing is left to do
            except OSError as error:
                self._give_up(sink, f"{error.filename or sink.path}: {error.strerror}")
        self._engine.log.flush()

    def _begin(self, sink: FileSink, user: User | None) -> bool:
        """Start with the newest that is not compressed. False: all are. Raises OSError."""
        index = next((i for i in range(1, sink.backups + 1) if os.path.lexists(f"{sink.path}.{i}")), 0)
        if not index or not sink.suffix:
            return False
        source = opening.open_read(f"{sink.path}.{index}", sink.user)
        made = -1
        try:
            opening.remove(sink.path + UNFINISHED, sink.user)
            made = opening.create(sink.path + UNFINISHED, sink.user)
            job = _Job(sink, index, source, made)
            # the text is ours alone; what is written must be on the disk before the other is removed
            script = f"{_PROGRAMS[sink.suffix]} -c && dd if=/dev/null conv=notrunc,fsync 2>/dev/null"
            job.pid = self._engine.launch(Launch(
                0, "/bin/sh", ("sh", "-c", script), {"PATH": _PATH}, directory="/", user=user,
                stdin=source, stdout=made, nice=NICE, no_new_privs=True), self._ended)
        except OSError:
            os.close(source)
            if made >= 0:
                os.close(made)
            raise
        self._job = job
        job.timer = self._engine.loop.soon(LOOK_SECONDS, lambda: self._look(job))
        return True

    def _look(self, job: _Job) -> None:
        """Whether the child does anything: its user can stop it, and other logs wait."""
        read = os.lseek(job.source, 0, os.SEEK_CUR)         # ours is the child's, too
        size = os.fstat(job.source).st_size
        job.stuck = read < min(job.read + LEAST_BYTES, size) or job.read >= size
        job.read = read
        if job.stuck:
            _kill(job)                                      # the rest follows when it has ended
        else:
            job.timer = self._engine.loop.soon(LOOK_SECONDS, lambda: self._look(job))

    def _ended(self, exit: Exit) -> None:
        job, self._job = self._job, None
        if job is None:
            return                      # the daemon ends
        try:
            if job.stuck:
                self._give_up(job.sink, f"{_PROGRAMS[job.suffix]} got nowhere for {LOOK_SECONDS:g} seconds, and was "
                                        "killed")
            elif exit.code != 0:
                self._give_up(job.sink, f"{_PROGRAMS[job.suffix]} ended with {exit}")
            elif job.index <= job.sink.backups:         # else it is gone
                self._finish(job)
        except OSError as error:
            self._give_up(job.sink, f"{error.filename or job.path}: {error.strerror}")
        finally:
            self._forget(job)
        self._go_on()

    def _finish(self, job: _Job) -> None:
        """Put what was made in the place of what it was made of. Raises OSError."""
        unfinished = job.sink.path + UNFINISHED
        if not (_same(job.path, job.source) and _same(unfinished, job.made)):
            raise OSError(0, "somebody has changed it meanwhile", job.path)
        facts = os.fstat(job.source)
        made = os.fstat(job.made)
        if made.st_nlink != 1 or made.st_uid != job.owner:
            raise OSError(0, f"{UNFINISHED} has more than one name (hard link), or another owner", job.path)
        # where a user may rename and link files, he shall neither get one of somebody else nor make one for him
        if facts.st_uid not in (job.owner, job.sink.user.uid if job.sink.user is not None else job.owner):
            raise OSError(0, f"belongs to uid {facts.st_uid}", job.path)
        os.utime(job.made, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        if os.geteuid() == 0:
            os.fchown(job.made, facts.st_uid, facts.st_gid)
        os.fchmod(job.made, facts.st_mode & 0o777)
        name, folder = os.path.basename(job.path), job.sink.path
        opening.rename_all(folder, job.sink.user, [(os.path.basename(unfinished), name + job.suffix), (name, None)])

    def _give_up(self, sink: FileSink, why: str) -> None:
        """Until its next rotation."""
        self._waiting.pop(sink, None)
        self._engine.log.write("error", f"cannot compress {sink.path}: {why}; it is tried again with the next rotation")

    def _forget(self, job: _Job) -> None:
        if job.timer is not None:
            job.timer.cancel()
        os.close(job.source)
        os.close(job.made)
        try:
            opening.remove(job.sink.path + UNFINISHED, job.sink.user)
        except OSError:
            pass                        # nobody can take it for a log


def _kill(job: _Job) -> None:
    try:
        os.killpg(job.pid, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(job.pid, signal.SIGKILL)        # its user has moved it into another group


def _same(path: str, fd: int) -> bool:
    try:
        facts = os.lstat(path)
    except OSError:
        return False
    known = os.fstat(fd)
    return (facts.st_dev, facts.st_ino) == (known.st_dev, known.st_ino)


