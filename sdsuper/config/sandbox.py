"""What a program may not do: the options of rows_sandbox.py as one record, with their presets.

Promises: an option that is written wins over the preset; what does not fit together, or cannot be had, is told with the
option that says it. Must not: know how the kernel is asked (see system/sandbox.py).
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple


class Sandbox(NamedTuple):
    """One program's. The defaults are those of a program that says nothing.

    Paths may begin with `-`: not there is fine. Capabilities are bits by number.
    """

    ionice: int | None = None                           # of ioprio_set(2): class << 13 | level
    cpu_affinity: tuple[int, ...] = ()
    scheduler: tuple[int, int] | None = None            # policy and priority of sched_setscheduler(2)
    oom_score_adj: int | None = None
    no_new_privs: bool = False
    capabilities: tuple[int, int] | None = None         # what may ever be had, what an unprivileged user has
    private_tmp: bool = False
    private_devices: bool = False
    private_network: bool = False
    protect_system: str = "no"
    protect_home: str = "no"
    protect_kernel_tunables: bool = False
    protect_control_groups: bool = False
    read_only_paths: tuple[str, ...] = ()
    read_write_paths: tuple[str, ...] = ()
    inaccessible_paths: tuple[str, ...] = ()
    landlock_read: tuple[str, ...] = ()
    landlock_write: tuple[str, ...] = ()
    seccomp: str = "off"
    pdeathsig: int = 0
    credentials: tuple[tuple[str, str], ...] = ()       # name, path
    optional: bool = False                              # sandbox_unsupported=warn

    @property
    def mounts(self) -> bool:
        """Whether the program has its own view of the file system."""
        return any(getattr(self, option) != self._field_defaults[option] for option in _MOUNTED)


#: capabilities(7) by number.
CAPABILITIES = (
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
    "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
    "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
    "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap",
    "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf",
    "checkpoint_restore",
)
ALL_CAPABILITIES = (1 << 64) - 1


def capability_set(names: Collection[str]) -> int:
    """The bits of these names."""
    return sum(1 << CAPABILITIES.index(name) for name in names)


def capability_names(bits: int) -> str:
    """`none`, `CAP_KILL`, `all but CAP_BPF` …, whichever is shorter."""
    known = (1 << len(CAPABILITIES)) - 1
    there = [f"CAP_{name.upper()}" for number, name in enumerate(CAPABILITIES) if bits >> number & 1]
    gone = [f"CAP_{name.upper()}" for number, name in enumerate(CAPABILITIES) if not bits >> number & 1]
    if not bits & known:
        return "none"
    if not gone:
        return "all"
    return ", ".join(there) if len(there) <= len(gone) else f"all but {', '.join(gone)}"


#: What the machine is administered with, or another process taken over.
DANGEROUS = ("sys_admin", "sys_module", "sys_rawio", "sys_boot", "sys_ptrace", "sys_time", "sys_pacct",
             "sys_tty_config", "linux_immutable", "mac_admin", "mac_override", "mknod", "syslog", "wake_alarm",
             "block_suspend", "perfmon", "bpf", "checkpoint_restore")

#: What a preset says for the options that are not written.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "off": {},
    "standard": {
        "no_new_privs": True, "private_tmp": True, "protect_system": "full", "protect_home": "read-only",
        "protect_kernel_tunables": True,
        "capabilities": (ALL_CAPABILITIES & ~capability_set(DANGEROUS), 0), "seccomp": "standard",
    },
    "strict": {
        "no_new_privs": True, "private_tmp": True, "private_devices": True, "protect_system": "strict",
        "protect_home": "yes", "protect_kernel_tunables": True, "protect_control_groups": True,
        "capabilities": (0, 0), "seccomp": "strict",
    },
}

_PATHS = ("read_only_paths", "read_write_paths", "inaccessible_paths")
_MOUNTED = ("private_tmp", "private_devices", "protect_system", "protect_home", "protect_kernel_tunables",
            "protect_control_groups", *_PATHS)
_NEED_ROOT = ("capabilities", "private_network", *_MOUNTED)
_REALTIME = (1, 2)

#: who is told of a mistake: option, message
Complain = Callable[[str, str], None]


def sandbox(values: Mapping[str, Any], written: Collection[str], root: bool, complain: Complain) -> Sandbox:
    """The record of one process. `values` are those of all options, `written` the names of the options that the file
    has, `root` whether the daemon is.
    """
    preset = PRESETS[values["sandbox"]]

    def value(name: str) -> Any:
        return values[name] if name in written else preset.get(name, values[name])

    made = Sandbox(
        ionice=value("ionice"), cpu_affinity=value("cpu_affinity") or (), scheduler=_scheduler(values, complain),
        oom_score_adj=value("oom_score_adj"), no_new_privs=value("no_new_privs"), capabilities=value("capabilities"),
        private_tmp=value("private_tmp"), private_devices=value("private_devices"),
        private_network=value("private_network"), protect_system=value("protect_system"),
        protect_home=value("protect_home"), protect_kernel_tunables=value("protect_kernel_tunables"),
        protect_control_groups=value("protect_control_groups"), read_only_paths=value("read_only_paths") or (),
        read_write_paths=value("read_write_paths") or (), inaccessible_paths=value("inaccessible_paths") or (),
        landlock_read=value("landlock_read") or (), landlock_write=value("landlock_write") or (),
        seccomp=value("seccomp"), pdeathsig=value("pdeathsig") or 0, credentials=value("credential") or (),
        optional=value("sandbox_unsupported"))
    if made.seccomp != "off" or made.landlock_read or made.landlock_write:
        if "no_new_privs" in written and not made.no_new_privs:
            complain("no_new_privs", "cannot be false with seccomp or Landlock, which need it")
        made = made._replace(no_new_privs=True)
    _check_paths(made, complain)
    if not root and not made.optional:
        _check_rights(made, written, complain)
    return made


def _scheduler(values: Mapping[str, Any], complain: Complain) -> tuple[int, int] | None:
    policy, priority = values["sched_policy"], values["sched_priority"]
    if policy in _REALTIME:
        return policy, 1 if priority is None else priority
    if priority is not None:
        complain("sched_priority", "is for sched_policy=fifo and rr only")
    return None if policy is None else (policy, 0)


def _check_paths(made: Sandbox, complain: Complain) -> None:
    seen: dict[str, str] = {}
    for option in _PATHS:
        for path in getattr(made, option):
            bare = path.removeprefix("-")
            if bare in seen:
                complain(option, f"{bare} is in {seen[bare]} as well")
            seen[bare] = option


def _check_rights(made: Sandbox, written: Collection[str], complain: Complain) -> None:
    """What an unprivileged daemon cannot give."""
    lacking = [option for option in _NEED_ROOT if getattr(made, option) != Sandbox._field_defaults[option]]
    for option in lacking:
        if option in written:
            complain(option, "needs a daemon that is root (sandbox_unsupported=warn starts without it)")
    if lacking and not any(option in written for option in lacking):
        complain("sandbox", f"needs a daemon that is root, for {', '.join(lacking)} (sandbox_unsupported=warn starts "
                            "without what cannot be had)")
