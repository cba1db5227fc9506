"""The settings table, part five: what a program may not do, and how the kernel serves it.

Promises: rows only; names are those of systemd.exec(5) where systemd has the notion. Must not: decide anything.
"""

from collections.abc import Callable

from sdsuper.config import sandbox_values, values
from sdsuper.config.row import Change, Row, Scope

_P = ("program", "eventlistener", "fcgi-program")


def _row(name: str, default: str | None, doc: str, read: Callable[[str], object], scope: Scope = Scope.SECTION) -> Row:
    return Row(name, _P, default, doc, read, since="sdsuper", change=Change.RESTART, scope=scope, field="sandbox")


_paths = sandbox_values.paths
_EACH = Scope.PROCESS

SANDBOX_ROWS = (
    _row("sandbox", "off", "A bundle of the options below: `off`, `standard` for nearly every server program, or "
         "`strict` for one that needs its own files and the network alone. An option that is written wins. See "
         "sandbox.md for what is in them.", sandbox_values.one_of("a sandbox", "off", "standard", "strict")),
    _row("sandbox_unsupported", "error", "What happens when this kernel, or the daemon's rights, cannot do what one of "
         "the options below asks for: `error` refuses the start, `warn` starts without it and says so in the log.",
         values.either("error", "warn", "an answer")),

    _row("ionice", None, "The priority of disk access: `best-effort:0` (first) to `best-effort:7`, `idle`, `none`, or "
         "`realtime:0` to `realtime:7`.", sandbox_values.ionice),
    _row("cpu_affinity", None, "The processors it may run on, such as `0-3,8`.", sandbox_values.processors, _EACH),
    _row("sched_policy", None, "The scheduling policy: `other`, `batch`, `idle`, `fifo` or `rr`.",
         sandbox_values.sched_policy),
    _row("sched_priority", None, "The priority of `sched_policy=fifo` or `rr`, from 1 (the default) to 99.",
         sandbox_values.sched_priority),
    _row("oom_score_adj", None, "How readily the kernel ends it when memory is short, from -1000 (never) to 1000. When "
         "nothing is said it is what the daemon has, but never less than 0.", sandbox_values.oom_score),
    _row("pdeathsig", None, "A signal that the process gets when the daemon dies, however it dies. Without it programs "
         "outlive a daemon that was killed.", values.signal_number),

    _row("no_new_privs", "false", "Whether nothing that it executes gains rights: sudo, ping and other set-user-ID "
         "programs do not work. `seccomp`, `landlock_read` and `landlock_write` bring it with them.", values.boolean),
    _row("capabilities", None, "The capabilities that it and what it starts can ever have, with commas between, such "
         "as `CAP_NET_BIND_SERVICE`; empty is none. A `user` other than root has them from the start. With a `~` "
         "before them: all but these, and no user has any from the start. Needs root.", sandbox_values.capabilities),
    _row("seccomp", "off", "Refuse system calls with EPERM: `off`, `standard` (administration of the machine, mounts, "
         "namespaces, looking into other processes) or `strict` (also io_uring, other socket families, chroot and the "
         "like).", sandbox_values.one_of("a filter", "off", "standard", "strict")),

    _row("private_tmp", "false", "A `/tmp` and `/var/tmp` of its own, in memory, gone with the run. Needs root.",
         values.boolean),
    _row("private_devices", "false", "A `/dev` with null, zero, full, random, urandom, tty, the terminals and shared "
         "memory, and nothing else. Needs root.", values.boolean),
    _row("private_network", "false", "A network of its own with nothing but a loopback. Needs root.", values.boolean),
    _row("protect_system", "no", "Make the system read-only: `yes` is `/usr`, `/boot` and `/efi`, `full` `/etc` as "
         "well, `strict` everything but `/dev`, `/proc`, `/sys` and `read_write_paths`. Needs root.",
         sandbox_values.one_of("a protection", "no", "yes", "full", "strict")),
    _row("protect_home", "no", "What is seen of `/home`, `/root` and `/run/user`: `no` is all, `read-only`, `yes` "
         "makes them empty and closed, `tmpfs` empty and readable. Needs root.",
         sandbox_values.one_of("a protection", "no", "read-only", "yes", "tmpfs")),
    _row("protect_kernel_tunables", "false", "Make the settings of the kernel read-only: `/proc/sys`, `/sys` without "
         "its control groups, and the like. Needs root.", values.boolean),
    _row("protect_control_groups", "false", "Make `/sys/fs/cgroup` read-only. Needs root.", values.boolean),
    _row("read_only_paths", None, "Absolute paths that are read-only with all below them, with commas between. A `-` "
         "before one: it need not be there. A path further down wins over one above it. Needs root.", _paths, _EACH),
    _row("read_write_paths", None, "Absolute paths that stay as they are inside of what is protected. Needs root.",
         _paths, _EACH),
    _row("inaccessible_paths", None, "Absolute paths that cannot be opened: directories are empty. Needs root.", _paths,
         _EACH),
    _row("landlock_read", None, "Absolute paths below which files may be read and executed, by Landlock; none other "
         "may, and nothing is written but below `landlock_write` (and `/dev/null`). Needs no root. Brings "
         "`no_new_privs`.", _paths, _EACH),
    _row("landlock_write", None, "Absolute paths below which files may be written, made and removed (and read), by "
         "Landlock. Alone it leaves reading as it is.", _paths, _EACH),

    _row("credential", None, "Secrets from files that the daemon reads at each start: `NAME:/path`, several with "
         "commas between. The program finds them as files in the directory of its variable CREDENTIALS_DIRECTORY, "
         "which only its user can read.", sandbox_values.credentials, _EACH),
)
SANDBOX_OPTIONS = frozenset(row.name for row in SANDBOX_ROWS)
