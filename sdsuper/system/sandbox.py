"""What sdsuper-exec does beyond user, limits and directory, as steps in their order.

Promises: `steps` is a pure function of a program's options; whatever the options, the steps are in the order that
sdsuper-exec wants, each has the words in which its failure is told, and changes of mounts come after the namespace.
Must not: ask the kernel anything.

The codes are those of exec/sandbox.h. What is made of the mounts, from the outside to the inside: everything that must
stay as it is below something that is closed is copied first (KEEP), then private directories, then what is read-only or
inaccessible, and what was kept is put back where it was. A path further down is treated after the one above it, so it
wins. Sources: systemd.exec(5) for what the options mean, mount_namespaces(7), capabilities(7), landlock(7).
"""

from collections.abc import Mapping
from struct import Struct
from typing import NamedTuple

from sdsuper.config.model import User
from sdsuper.config.sandbox import Sandbox, capability_names, capability_set

(OOM_SCORE, IO_PRIORITY, CPU_AFFINITY, SCHEDULER, MOUNT_NAMESPACE, NETWORK_NAMESPACE, MOUNT, CAPABILITY_BOUNDS,
 CAPABILITIES_SET, DEATH_SIGNAL, LANDLOCK_RULES, LANDLOCK_PATH, LANDLOCK_ENFORCE, SYSTEM_CALLS) = range(1, 15)
KEEP, PUT, READ_ONLY, INACCESSIBLE, TMPFS, WRITE, DIRECTORY, LINK, SEAL, TERMINALS = range(10)
_OPTIONAL, _IF_THERE = 1, 2
_STEP = Struct("=IIIIQQ")

_SECCOMP = {"standard": 1, "strict": 2}
_READ, _WRITTEN = 1, 2
_POLICIES = {0: "other", 1: "fifo", 2: "rr", 3: "batch", 5: "idle"}
_HOMES = ("/home", "/root", "/run/user")
_SYSTEM = {"no": (), "yes": ("/usr", "/boot", "/efi"), "full": ("/usr", "/boot", "/efi", "/etc"), "strict": ("/",)}
#: Where the kernel is told what to do; core_pattern and the like are ways out of anything for root.
_TUNABLES = ("/proc/sys", "/proc/sysrq-trigger", "/proc/acpi", "/proc/fs", "/proc/irq", "/proc/bus", "/sys")
_CGROUPS = "/sys/fs/cgroup"
#: What is in a private /dev beside terminals of its own.
_NODES = ("null", "zero", "full", "random", "urandom", "tty")
_DIRECTORIES = ("shm", "mqueue", "hugepages")
_LINKS = (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2"), ("ptmx", "pts/ptmx"))


class Step(NamedTuple):
    """One step. `words` tell what it does, as `mounting /srv read-only`; `text` is without its last NUL."""

    code: int
    words: str
    text: bytes = b""
    first: int = 0
    second: int = 0
    if_there: bool = False
    optional: bool = False


class Steps(tuple[Step, ...]):
    """Steps in their order, and what the spec has of them, which is made once: a program starts again and again."""

    _packed: tuple[bytes, bytes] | None = None

    def packed(self) -> tuple[bytes, bytes]:
        """The records and the texts for the spec."""
        if self._packed is None:
            records = [_STEP.pack(step.code, _OPTIONAL * step.optional | _IF_THERE * step.if_there,
                                  len(step.text) + 1, 0, step.first, step.second) for step in self]
            self._packed = b"".join(records), b"".join([step.text + b"\0" for step in self])
        return self._packed


class Secrets(NamedTuple):
    """Credentials: their directory, and what is to be written there in the program's own view of the file system.
    None: they are there.
    """

    directory: str
    contents: Mapping[str, bytes] | None


def oom_step(score: int) -> Step:
    """The one step that also a program without a sandbox may have: back to an ordinary score."""
    return Step(OOM_SCORE, f"setting oom_score_adj to {score}", b"%d" % score)


def steps(sandbox: Sandbox, user: User | None, parent: int, secrets: Secrets | None = None) -> Steps:
    """The steps for a program that runs as `user` (None: the daemon's own), in their order. `parent` is the pid of the
    daemon.
    """
    found = _surroundings(sandbox)
    if sandbox.mounts:
        found.append(Step(MOUNT_NAMESPACE, "making a mount namespace"))
    if sandbox.private_network:
        found.append(Step(NETWORK_NAMESPACE, "making a network namespace"))
    if sandbox.mounts:
        found += _mounts(sandbox)
        if secrets is not None and secrets.contents is not None:
            found += _secrets(secrets.directory, secrets.contents, user)
    found += _capabilities(sandbox, user)
    if sandbox.pdeathsig:
        found.append(Step(DEATH_SIGNAL, "setting pdeathsig", b"", sandbox.pdeathsig, parent))
    found += _landlock(sandbox, secrets)
    if sandbox.seccomp != "off":
        found.append(Step(SYSTEM_CALLS, f"filtering system calls ({sandbox.seccomp})", b"", _SECCOMP[sandbox.seccomp]))
    return Steps(step._replace(optional=True) for step in found) if sandbox.optional else Steps(found)


# ---- before anything else -----------------------------------------------------------------------------------------

def _surroundings(sandbox: Sandbox) -> list[Step]:
    found = []
    if sandbox.oom_score_adj is not None:
        found.append(oom_step(sandbox.oom_score_adj))
    if sandbox.ionice is not None:
        found.append(Step(IO_PRIORITY, "setting ionice", b"", sandbox.ionice))
    if sandbox.cpu_affinity:
        words = [0] * (sandbox.cpu_affinity[-1] // 64 + 1)      # of the machine's byte order
        for number in sandbox.cpu_affinity:
            words[number // 64] |= 1 << number % 64
        found.append(Step(CPU_AFFINITY, "setting cpu_affinity", Struct(f"={len(words)}Q").pack(*words)))
    if sandbox.scheduler is not None:
        policy, priority = sandbox.scheduler
        what = _POLICIES[policy] + (f" with priority {priority}" if priority else "")
        found.append(Step(SCHEDULER, f"setting sched_policy to {what}", b"", policy, priority))
    return found


# ---- the view of the file system ----------------------------------------------------------------------------------

def _mount(what: int, words: str, path: str, more: str | bytes | None = None, value: int = 0, if_there: bool = False
           ) -> Step:
    text = path.encode()
    if more is not None:
        text += b"\0" + (more.encode() if isinstance(more, str) else more)
    return Step(MOUNT, words, text, what, value, if_there)


class _View:
    """The mounts under way: what has been kept, in slots."""

    def __init__(self) -> None:
        self.kept: list[Step] = []
        self.done: list[Step] = []

    def keep(self, path: str, if_there: bool) -> int:
        """Copy what is there now; returns the slot to put it from."""
        slot = len(self.kept)
        self.kept.append(_mount(KEEP, f"keeping {path}", path, None, slot, if_there))
        return slot

    def add(self, what: int, words: str, path: str, more: str | None = None, value: int = 0, if_there: bool = False
            ) -> None:
        self.done.append(_mount(what, words, path, more, value, if_there))


def _depth(item: tuple[str, str]) -> tuple[int, str]:
    return item[0].rstrip("/").count("/"), item[0]


def _mounts(sandbox: Sandbox) -> list[Step]:
    """From the outside to the inside."""
    wanted: dict[str, tuple[str, bool]] = {}                # path -> what becomes of it, whether it may be missing
    for path in _SYSTEM[sandbox.protect_system]:
        wanted[path] = "read-only", True
    if sandbox.protect_system == "strict":
        wanted.update(dict.fromkeys(("/dev", "/proc", "/sys"), ("as it is", True)))
    if sandbox.protect_home != "no":
        wanted.update(dict.fromkeys(_HOMES, (sandbox.protect_home, True)))
    if sandbox.protect_kernel_tunables:
        wanted.update(dict.fromkeys(_TUNABLES, ("read-only", True)))
        wanted[_CGROUPS] = "as it is", True
    if sandbox.protect_control_groups:
        wanted[_CGROUPS] = "read-only", True
    if sandbox.private_tmp:
        wanted.update(dict.fromkeys(("/tmp", "/var/tmp"), ("private", False)))
    if sandbox.private_devices:
        wanted["/dev"] = "devices", False
    for paths, what in ((sandbox.read_only_paths, "read-only"), (sandbox.read_write_paths, "as it is"),
                        (sandbox.inaccessible_paths, "yes")):
        for path in paths:
            wanted[path.removeprefix("-")] = what, path.startswith("-")
    view = _View()
    for path, what in sorted(((path, what) for path, (what, _missing) in wanted.items()), key=_depth):
        _place(view, path, what, wanted[path][1])
    return view.kept + view.done


def _place(view: _View, path: str, what: str, missing: bool) -> None:
    """What becomes of one path."""
    if what == "as it is":
        slot = view.keep(path, missing)
        view.add(PUT, f"keeping {path} as it is", path, None, slot, missing)
    elif what == "read-only":
        view.add(READ_ONLY, f"mounting {path} read-only", path, None, 0, missing)
    elif what == "yes":
        view.add(INACCESSIBLE, f"making {path} inaccessible", path, None, 0, missing)
    elif what == "tmpfs":
        view.add(TMPFS, f"mounting a tmpfs on {path}", path, "mode=755", 1, missing)
    elif what == "private":
        view.add(TMPFS, f"mounting a private {path}", path, "mode=1777", 0, missing)
    else:
        _devices(view, path)


def _devices(view: _View, path: str) -> None:
    """A /dev of what is harmless. The nodes are those of the host, for none can be made on a tmpfs without devices."""
    slots = {name: view.keep(f"{path}/{name}", True) for name in (*_NODES, *_DIRECTORIES, "log")}
    words = f"making a private {path}"
    view.add(TMPFS, words, path, "mode=755")
    for name in (*_NODES, "log"):
        view.add(WRITE, words, f"{path}/{name}", "")
    for name in ("pts", *_DIRECTORIES):
        view.add(DIRECTORY, words, f"{path}/{name}", None, 0o755)
    for name, slot in slots.items():
        view.add(PUT, words, f"{path}/{name}", None, slot)
    view.add(TERMINALS, words, f"{path}/pts")
    for name, target in _LINKS:
        view.add(LINK, words, f"{path}/{name}", target)
    view.add(SEAL, words, path)


def _secrets(directory: str, contents: Mapping[str, bytes], user: User | None) -> list[Step]:
    """Files in a tmpfs that only the program's namespace has. The values are in no words."""
    uid, gid = (user.uid, user.gid) if user is not None else (0, 0)
    words = f"giving credentials in {directory}"
    found = [_mount(TMPFS, words, directory, f"mode=500,uid={uid},gid={gid}")]
    found += [_mount(WRITE, words, f"{directory}/{name}", content, uid | gid << 32)
              for name, content in sorted(contents.items())]
    return [*found, _mount(SEAL, words, directory)]


# ---- rights -------------------------------------------------------------------------------------------------------

def _capabilities(sandbox: Sandbox, user: User | None) -> list[Step]:
    if sandbox.capabilities is None and not sandbox.private_devices:
        return []
    bounds, ambient = sandbox.capabilities if sandbox.capabilities is not None else ((1 << 64) - 1, 0)
    if sandbox.private_devices:
        bounds &= ~capability_set(("mknod", "sys_rawio"))       # or it would make the devices that it does not see
    ambient &= bounds
    words = f"limiting capabilities to {capability_names(bounds)}"
    if user is None or user.uid == 0:
        # root gets everything that is within the bounds when it executes a program
        return [Step(CAPABILITY_BOUNDS, words, b"", bounds), Step(CAPABILITIES_SET, words, b"", bounds)]
    found = [Step(CAPABILITY_BOUNDS, words, b"", bounds, int(ambient != 0))]
    words = f"setting capabilities to {capability_names(ambient)}"
    return [*found, Step(CAPABILITIES_SET, words, b"", ambient, ambient)]


def _landlock(sandbox: Sandbox, secrets: Secrets | None) -> list[Step]:
    """Reading alone closes writing as well: else what is not to be read could be destroyed. Nobody can do without
    /dev/null."""
    if not sandbox.landlock_read and not sandbox.landlock_write:
        return []
    handled = _READ | _WRITTEN if sandbox.landlock_read else _WRITTEN
    found = [Step(LANDLOCK_RULES, "making Landlock rules", b"", handled)]
    given = (secrets.directory,) if secrets is not None and sandbox.landlock_read else ()
    written = *sandbox.landlock_write, "-/dev/null"
    for paths, rights in (((*sandbox.landlock_read, *given), _READ), (written, handled)):
        for path in paths:
            bare = path.removeprefix("-")
            found.append(Step(LANDLOCK_PATH, f"allowing {bare} by Landlock", bare.encode(), rights, 0, bare != path))
    return [*found, Step(LANDLOCK_ENFORCE, "enforcing Landlock")]
