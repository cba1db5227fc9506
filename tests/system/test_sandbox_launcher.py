"""Sandboxes, each with a child that tries to break out. Both builds of sdsuper-exec go through all of it."""

import errno
import json
import os
import platform
import resource
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sdsuper.config.model import User
from sdsuper.config.sandbox import PRESETS, Sandbox, capability_set
from sdsuper.system import process
from sdsuper.system.process import LEFT_OUT, Launch, Launcher, describe
from sdsuper.system.sandbox import MOUNT, READ_ONLY, TMPFS, Secrets, Step, Steps, steps

from .conftest import NOBODY, Ended, needs, run
from .test_launcher import failed, unprivileged

pytestmark = pytest.mark.root
PYTHON = "/usr/bin/python3 -SEc"
BIND = capability_set(["net_bind_service"])
ALL = (1 << 64) - 1


def boxed(launcher: Launcher, script: str, user: User | None = None, hidden: Secrets | None = None,
          more: dict[str, object] | None = None, **fields: object) -> Ended:
    """Run a script in a sandbox of these fields."""
    sandbox = Sandbox(**fields)  # type: ignore[arg-type]
    given: dict[str, object] = {"user": user, "no_new_privs": sandbox.no_new_privs, "directory": "/",
                                "steps": steps(sandbox, user, os.getpid(), hidden), **(more or {})}
    return run(launcher, script, **given)


def lines(launcher: Launcher, script: str, user: User | None = None, **fields: object) -> list[str]:
    """What it prints; everything of it was done."""
    ended = boxed(launcher, script, user, **fields)  # type: ignore[arg-type]
    assert ended.reports == [], describe(ended.reports[0], ended.launch)
    return ended.lines


def said(launcher: Launcher, call: str, user: User | None = NOBODY, **fields: object) -> str:
    """What Python says of an expression: its value, or the name of the error."""
    code = f"""import os, socket, ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def syscall(number, *arguments):
    result = libc.syscall(number, *[ctypes.c_long(a) for a in arguments])
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result
try:
    print({call})
except OSError as error:
    print(errno.errorcode[error.errno])
"""
    ended = boxed(launcher, "", user, None, {"path": "/usr/bin/python3", "argv": ("python3", "-SEc", code)}, **fields)
    assert ended.reports == [] and ended.code == 0, (ended.output, ended.reports)
    return ended.output.strip()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory of everybody's that is not below /tmp: a, a/b, a/b/c, each with a file."""
    top = Path(f"/var/lib/sdsuper-test-{os.getpid()}")
    for path in (top, top / "a", top / "a/b", top / "a/b/c"):
        path.mkdir()
        path.chmod(0o777)
        (path / "file").write_text(f"{path.name}\n")
        (path / "file").chmod(0o666)
    yield top
    subprocess.run(["rm", "-rf", top], check=True)


def writable(*paths: Path) -> str:
    """A script that tells for each path whether a file can be made there."""
    return "; ".join(f"(: >{path}/new) 2>/dev/null && echo yes || echo no" for path in paths)


# ---- the processor, the disk, memory ------------------------------------------------------------------------------

def test_affinity(launcher: Launcher) -> None:
    last = max(os.sched_getaffinity(0))
    assert lines(launcher, f"{PYTHON} 'import os; print(os.sched_getaffinity(0))'", cpu_affinity=(last,)) == [
        f"{{{last}}}"]


def test_affinity_to_a_processor_that_is_not_there(launcher: Launcher) -> None:
    assert failed(boxed(launcher, "", cpu_affinity=(8000,))) == "setting cpu_affinity: Invalid argument"


@pytest.mark.parametrize(("scheduler", "words"), [((3, 0), "3 0"), ((5, 0), "5 0"), ((1, 7), "1 7"), ((2, 99), "2 99")])
def test_scheduler(launcher: Launcher, scheduler: tuple[int, int], words: str) -> None:
    script = f"{PYTHON} 'import os; print(os.sched_getscheduler(0), os.sched_getparam(0).sched_priority)'"
    assert lines(launcher, script, scheduler=scheduler) == [words]


def test_scheduler_that_only_root_may_have(launcher: Launcher) -> None:
    words = unprivileged(launcher, steps=steps(Sandbox(scheduler=(1, 5)), None, 1))
    assert words == "setting sched_policy to fifo with priority 5: Operation not permitted"


@pytest.mark.parametrize(("value", "words"), [(3 << 13, "idle"), (2 << 13 | 6, "best-effort: prio 6")])
def test_ionice(launcher: Launcher, value: int, words: str) -> None:
    assert lines(launcher, "ionice -p $$", ionice=value) == [words]


def test_ionice_that_is_none(launcher: Launcher) -> None:
    assert failed(boxed(launcher, "", ionice=7 << 13)) == "setting ionice: Invalid argument"


@pytest.mark.parametrize("score", [0, 321, 1000])
def test_oom_score(launcher: Launcher, score: int) -> None:
    assert lines(launcher, "cat /proc/self/oom_score_adj", NOBODY, oom_score_adj=score) == [str(score)]


def test_oom_score_that_only_root_may_have(launcher: Launcher) -> None:
    words = unprivileged(launcher, steps=steps(Sandbox(oom_score_adj=-5), None, 1))
    assert words == "setting oom_score_adj to -5: Permission denied"


# ---- the file system ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("user", [None, NOBODY])
def test_read_only_and_what_stays_writable_inside(launcher: Launcher, place: Path, user: User | None) -> None:
    script = writable(place, place / "a", place / "a/b", place / "a/b/c")
    assert lines(launcher, script, user, read_only_paths=(f"{place}/a",), read_write_paths=(f"{place}/a/b",)) == [
        "yes", "no", "yes", "yes"]
    assert lines(launcher, script, user, protect_system="strict", read_write_paths=(f"{place}/a",),
                 read_only_paths=(f"{place}/a/b/c",)) == ["no", "yes", "yes", "no"]


def test_read_only_holds_for_what_is_mounted_below(launcher: Launcher, place: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "none", place / "a/b"], check=True)
    try:
        assert lines(launcher, writable(place / "a/b"), None, read_only_paths=(str(place),)) == ["no"]
        subprocess.run(["mount", "-o", "remount,ro", place / "a/b"], check=True)
        # what the administrator has made read-only does not become writable
        assert lines(launcher, writable(place / "a", place / "a/b"), None, protect_system="strict",
                     read_write_paths=(str(place),)) == ["yes", "no"]
    finally:
        subprocess.run(["umount", place / "a/b"], check=True)


@pytest.mark.parametrize("user", [None, NOBODY])
def test_inaccessible(launcher: Launcher, place: Path, user: User | None) -> None:
    script = f"cat {place}/a/b/file; ls {place}/a/b; cat {place}/a/file; echo x >{place}/a/file; cat {place}/file"
    ended = boxed(launcher, script, user, inaccessible_paths=(f"{place}/a/b", f"{place}/a/file"))
    assert "b" not in ended.lines and "a" not in ended.lines and "c" not in ended.lines
    assert ended.lines[-1] == place.name
    assert sum("ermission denied" in line for line in ended.lines) == (2 if user is None else 4)
    assert (place / "a/file").read_text() == "a\n"


def test_protect_system(launcher: Launcher, place: Path) -> None:
    script = writable(Path("/usr"), Path("/etc"), place, Path("/dev/shm"))
    results = {level: lines(launcher, script, None, protect_system=level) for level in ("yes", "full", "strict")}
    for path in ("/etc/new", "/dev/shm/new"):
        Path(path).unlink()
    assert results == {"yes": ["no", "yes", "yes", "yes"], "full": ["no", "no", "yes", "yes"],
                       "strict": ["no", "no", "no", "yes"]}


@pytest.mark.parametrize(("level", "listed", "made"), [
    ("read-only", True, False), ("yes", False, False), ("tmpfs", False, False)])
def test_protect_home(launcher: Launcher, level: str, listed: bool, made: bool) -> None:
    probe = Path("/home") / f"probe-{os.getpid()}"
    probe.write_text("private\n")
    try:
        script = f"cat {probe} 2>/dev/null || echo hidden; {writable(Path('/home'), Path('/root'))}"
        assert lines(launcher, script, None, protect_home=level) == [
            "private" if listed else "hidden", *(["yes" if made else "no"] * 2)]
        # closed, or empty and readable
        kinds = {"read-only": "755", "yes": "0", "tmpfs": "755"}
        assert lines(launcher, "stat -c %a /home", None, protect_home=level) == [kinds[level]]
    finally:
        probe.unlink()


def test_private_tmp(launcher: Launcher, tmp_path: Path) -> None:
    assert str(tmp_path).startswith("/tmp")
    (tmp_path / "there").write_text("")
    script = f"ls -A /tmp /var/tmp; echo x >/tmp/mine && echo y >/var/tmp/mine && stat -c %a /tmp; ls {tmp_path} 2>&1"
    found = lines(launcher, script, NOBODY, private_tmp=True)
    assert found[:4] == ["/tmp:", "", "/var/tmp:", "1777"] and "No such file" in found[4]
    assert not Path("/tmp/mine").exists() and not Path("/var/tmp/mine").exists()


def test_protect_kernel_tunables_and_control_groups(launcher: Launcher) -> None:
    script = "for f in /proc/sys/kernel/panic /sys/kernel/mm/transparent_hugepage/defrag; do " \
             "(cat $f >/dev/null && : >>$f) 2>/dev/null && echo yes || echo no; done; " \
             "d=/sys/fs/cgroup; [ -d $d/unified ] && d=$d/unified; " \
             "mkdir $d/sdsuper-probe-$$ 2>/dev/null && rmdir $d/sdsuper-probe-$$ && echo made || echo not"
    assert lines(launcher, script) == ["yes", "yes", "made"]
    assert lines(launcher, script, protect_kernel_tunables=True) == ["no", "no", "made"]
    assert lines(launcher, script, protect_system="strict") == ["yes", "yes", "made"]
    assert lines(launcher, script, protect_control_groups=True) == ["yes", "yes", "not"]
    both = {"protect_kernel_tunables": True, "protect_control_groups": True, "protect_system": "strict"}
    assert lines(launcher, script, **both) == ["no", "no", "not"]


@pytest.mark.parametrize("user", [None, NOBODY])
def test_private_devices(launcher: Launcher, user: User | None) -> None:
    script = "echo x >/dev/null; head -c3 /dev/zero | wc -c; head -c3 /dev/urandom | wc -c; echo $(ls /dev); " \
             f"(: >/dev/new) 2>&1; {PYTHON} 'import os; print(len(os.openpty()))'; : >/dev/shm/x && rm /dev/shm/x; " \
             "mknod /tmp/sda b 8 0 2>&1; ls -A /dev/pts"
    found = lines(launcher, script, user, private_devices=True)
    assert found[:2] == ["3", "3"]
    assert set(found[2].split()) >= {"null", "zero", "full", "random", "urandom", "tty", "pts", "shm", "fd", "stdin"}
    assert not {"kmsg", "mem", "sda", "vda", "kvm", "loop0"} & set(found[2].split())
    assert "Read-only" in found[3] and found[4] == "2" and "not permitted" in found[5] and found[6:] == ["ptmx"]


def test_nothing_is_seen_outside(launcher: Launcher, place: Path) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    lines(launcher, "mount -t tmpfs none /mnt 2>/dev/null; umount /usr; true", None,
          **(PRESETS["strict"] | {"seccomp": "off", "capabilities": None, "read_only_paths": (str(place),)}))
    assert Path("/proc/self/mountinfo").read_text() == before


def test_the_working_directory_is_no_way_around(launcher: Launcher, place: Path) -> None:
    script = "(: >./new) 2>/dev/null && echo yes || echo no"
    assert lines(launcher, script, None, more={"directory": str(place)}, read_only_paths=(str(place),)) == ["no"]


@pytest.mark.parametrize(("fields", "words"), [
    ({"read_only_paths": ("/none",)}, "mounting /none read-only: No such file or directory"),
    ({"read_write_paths": ("/none",)}, "keeping /none: No such file or directory"),
    ({"inaccessible_paths": ("/none",)}, "making /none inaccessible: No such file or directory"),
    ({"landlock_write": ("/none",)}, "allowing /none by Landlock: No such file or directory"),
])
def test_a_path_that_is_not_there(launcher: Launcher, fields: dict[str, object], words: str) -> None:
    assert failed(boxed(launcher, "", None, **fields)) == words  # type: ignore[arg-type]
    spared = {name: tuple(f"-{path}" for path in value) for name, value in fields.items()}  # type: ignore[attr-defined]
    assert lines(launcher, "echo fine", **spared) == ["fine"]  # type: ignore[arg-type]


def test_no_mount_is_changed_without_a_namespace(launcher: Launcher, place: Path) -> None:
    """Whatever a broken daemon may write into a spec."""
    before = Path("/proc/self/mountinfo").read_text()
    for step in (Step(MOUNT, "tmpfs", f"{place}\0mode=0".encode(), TMPFS),
                 Step(MOUNT, "read-only", str(place).encode(), READ_ONLY, optional=True)):
        ended = boxed(launcher, "echo went on", None, None, {"steps": Steps([step])})
        assert ended.reports[0].error == errno.EINVAL and (ended.output == "went on\n") == step.optional
    assert Path("/proc/self/mountinfo").read_text() == before


# ---- credentials --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("user", [None, NOBODY])
def test_credentials_in_the_programs_own_view(launcher: Launcher, place: Path, user: User | None) -> None:
    secrets = Secrets(f"{place}/a", {"db": b"one\0two\n", "empty": b""})
    script = f"cd {place}/a; stat -c '%a %u %n' . db empty; od -An -c db; (: >new) 2>&1; cat file 2>&1"
    ended = boxed(launcher, script, user, secrets, private_tmp=True)
    assert ended.reports == []
    uid = user.uid if user else 0
    assert ended.lines[:3] == [f"500 {uid} .", f"400 {uid} db", f"400 {uid} empty"]
    assert ended.lines[3].split() == ["o", "n", "e", "\\0", "t", "w", "o", "\\n"]
    assert len(ended.lines) == 6
    assert sorted(os.listdir(place / "a")) == ["b", "file"]


def test_credentials_are_the_users_alone(launcher: Launcher, place: Path) -> None:
    script = f"setpriv --reuid 12345 --regid 12345 --clear-groups cat {place}/a/db 2>&1"
    ended = boxed(launcher, script, None, Secrets(f"{place}/a", {"db": b"one"}), private_tmp=True)
    assert "Permission denied" in ended.output


def test_small_limits_are_the_programs(launcher: Launcher, place: Path) -> None:
    limits = ((resource.RLIMIT_NOFILE, 12, 12), (resource.RLIMIT_FSIZE, 60, 60))
    ended = boxed(launcher, f"ulimit -n; wc -c <{place}/a/db", NOBODY, Secrets(f"{place}/a", {"db": b"x" * 200}),
                  {"rlimits": limits}, **(PRESETS["strict"] | {"read_write_paths": (str(place),)}))
    assert (ended.reports, ended.lines) == ([], ["12", "200"])


# ---- the network --------------------------------------------------------------------------------------------------

def test_private_network(launcher: Launcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert said(launcher, f'socket.create_connection(("127.0.0.1", {port}), 5) and 1') == "1"
        assert said(launcher, f'socket.create_connection(("127.0.0.1", {port}), 5)', private_network=True) == \
            "ECONNREFUSED"
    assert said(launcher, 'socket.create_connection(("192.0.2.1", 80), 5)', private_network=True) == "ENETUNREACH"
    # the loopback works
    code = '(s := socket.create_server(("127.0.0.1", 0))) and socket.create_connection(s.getsockname(), 5) and "up"'
    assert said(launcher, code, private_network=True) == "up"


# ---- capabilities -------------------------------------------------------------------------------------------------

def test_a_privileged_port_for_nobody(launcher: Launcher) -> None:
    code = 'socket.create_server(("127.0.0.1", 81)) and "bound"'
    # the network is its own, so that the port is free and its limit the usual one
    assert said(launcher, code, private_network=True) == "EACCES"
    assert said(launcher, code, private_network=True, capabilities=(BIND, BIND)) == "bound"
    assert said(launcher, code, private_network=True, capabilities=(ALL & ~BIND, 0)) == "EACCES"


def caps(found: list[str]) -> dict[str, int]:
    return {line.split(":")[0]: int(line.split()[1], 16) for line in found}


@pytest.mark.parametrize("user", [None, NOBODY, NOBODY._replace(uid=0, name="root")])
def test_sets_of_capabilities(launcher: Launcher, user: User | None) -> None:
    there = caps(lines(launcher, "grep ^Cap /proc/self/status"))["CapBnd"]
    two = capability_set(["net_bind_service", "chown"])
    script = "grep ^Cap /proc/self/status"
    unprivileged_user = user is not None and user.uid != 0
    got = caps(lines(launcher, script, user, capabilities=(two, two)))
    ambient = two if unprivileged_user else 0
    assert got == {"CapInh": ambient, "CapPrm": two, "CapEff": two, "CapBnd": two, "CapAmb": ambient}
    got = caps(lines(launcher, script, user, capabilities=(0, 0)))
    assert got == dict.fromkeys(got, 0)
    got = caps(lines(launcher, script, user, capabilities=(ALL & ~two, 0)))
    assert got["CapBnd"] == there & ~two and got["CapPrm"] == (0 if unprivileged_user else there & ~two)


def test_root_without_capabilities_is_no_root(launcher: Launcher, place: Path) -> None:
    (place / "a/file").chmod(0)
    os.chown(place / "a/file", 65534, 65534)
    script = f"cat {place}/a/file 2>&1; chown 1 {place}/file 2>&1; id -u"
    found = lines(launcher, script, None, capabilities=(0, 0))
    assert "Permission denied" in found[0] and "not permitted" in found[1] and found[2] == "0"


def test_a_capability_that_nobody_has(launcher: Launcher) -> None:
    assert failed(boxed(launcher, "", NOBODY, capabilities=(1 << 62, 1 << 62))) == \
        "setting capabilities to none: Operation not permitted"


def test_capabilities_need_root(launcher: Launcher) -> None:
    words = unprivileged(launcher, steps=steps(Sandbox(capabilities=(0, 0)), None, 1))
    assert words == "limiting capabilities to none: Operation not permitted"


def test_nothing_gains_rights_under_no_new_privs(launcher: Launcher, place: Path) -> None:
    su = place / "id"
    su.write_bytes(Path("/usr/bin/id").read_bytes())
    su.chmod(0o4755)
    assert lines(launcher, f"{su} -u", NOBODY) == ["0"]
    assert lines(launcher, f"{su} -u", NOBODY, no_new_privs=True) == ["65534"]


# ---- system calls -------------------------------------------------------------------------------------------------

X86 = platform.machine() == "x86_64"
#: name -> number on x86-64, number elsewhere
CALLS = {
    "mount": (165, 40), "umount2": (166, 39), "unshare": (272, 97), "setns": (308, 268), "ptrace": (101, 117),
    "kexec_load": (246, 104), "init_module": (175, 105), "bpf": (321, 280), "perf_event_open": (298, 241),
    "reboot": (169, 142), "swapon": (167, 224), "pivot_root": (155, 41), "keyctl": (250, 219),
    "open_by_handle_at": (304, 265), "userfaultfd": (323, 282), "process_vm_readv": (310, 270),
    "sethostname": (170, 161), "settimeofday": (164, 170), "fsopen": (430, 430), "mount_setattr": (442, 442),
}
STRICT = {"chroot": (161, 51), "io_uring_setup": (425, 425), "personality": (135, 92), "fanotify_init": (300, 262)}


def refused(launcher: Launcher, calls: dict[str, tuple[int, int]], preset: str) -> dict[str, str]:
    """What each call answers, with arguments that harm nobody."""
    listed = ", ".join(f"{name}={pair[0 if X86 else 1]}" for name, pair in calls.items())
    answer = "libc.syscall(number, *map(ctypes.c_long, (-1, 0, 0, 0, 0))) and errno.errorcode[ctypes.get_errno()]"
    code = f"__import__('json').dumps({{name: {answer} for name, number in dict({listed}).items()}})"
    found: dict[str, str] = json.loads(said(launcher, code, None, seccomp=preset, no_new_privs=True))
    return found


def test_system_calls_of_administration(launcher: Launcher) -> None:
    assert refused(launcher, CALLS, "standard") == dict.fromkeys(CALLS, "EPERM")
    assert "EPERM" not in refused(launcher, STRICT, "standard").values()
    assert refused(launcher, CALLS | STRICT, "strict") == dict.fromkeys(CALLS | STRICT, "EPERM")


def test_without_a_filter_they_fail_for_other_reasons(launcher: Launcher) -> None:
    safe = {name: CALLS[name] for name in ("mount", "ptrace", "setns", "process_vm_readv", "fsopen")}
    assert "EPERM" not in refused(launcher, safe, "off").values()


CLONE = (56, 220)[not X86]
CLONE3, SOCKET_VSOCK, SOCKET_ALG = 435, 40, 38


@pytest.mark.parametrize("preset", ["standard", "strict"])
@pytest.mark.parametrize("flag", [0x10000000, 0x00020000, 0x40000000])
def test_no_namespaces_by_clone(launcher: Launcher, preset: str, flag: int) -> None:
    code = f"syscall({CLONE}, {flag} | 17, 0, 0, 0, 0)"
    assert said(launcher, code, None, seccomp=preset, no_new_privs=True) == "EPERM"
    assert said(launcher, f"syscall({CLONE3}, 0, 0)", None, seccomp=preset, no_new_privs=True) == "ENOSYS"


@pytest.mark.parametrize("preset", ["standard", "strict"])
def test_ordinary_programs_run_under_a_filter(launcher: Launcher, preset: str) -> None:
    code = "import threading, subprocess, socket, os, ssl, select, mmap, multiprocessing as m; " \
           "t = threading.Thread(target=print, args=(1,)); t.start(); t.join(); " \
           "print(subprocess.run(['echo', '2'], capture_output=True, text=True).stdout.strip()); " \
           "p = m.get_context('fork').Process(target=print, args=(3,)); p.start(); p.join(); " \
           "[socket.socket(f, 2).close() for f in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)]; " \
           "print(len(socket.if_nameindex()) > 0)"
    ended = boxed(launcher, f'/usr/bin/python3 -c "{code}"', NOBODY, seccomp=preset, no_new_privs=True)
    assert ended.lines == ["1", "2", "3", "True"]


def test_strict_knows_families_and_terminals(launcher: Launcher) -> None:
    strict = {"seccomp": "strict", "no_new_privs": True}
    for family in (SOCKET_ALG, SOCKET_VSOCK, 17, 99):
        assert said(launcher, f"socket.socket({family}, 2)", None, **strict) == "EPERM"
    assert said(launcher, "__import__('fcntl').ioctl(0, 0x5412, b'x')", None, **strict) == "EPERM"
    assert said(launcher, "__import__('fcntl').ioctl(0, 0x541c, b'x')", None, **strict) == "EPERM"
    assert said(launcher, "__import__('fcntl').ioctl(0, 0x5401, b'x' * 60)", None, **strict) == "ENOTTY"


@pytest.mark.skipif(not X86, reason="has no other architecture to run")
def test_calls_of_another_architecture(launcher: Launcher, program: Callable[[str, str], str]) -> None:
    other = program("other-architecture", """
        #include <stdio.h>
        #include <unistd.h>
        #include <errno.h>
        int main(void)
        {
            long old;
            __asm__ volatile("int $0x80" : "=a"(old) : "a"(20 /* getpid */) : "memory", "r8", "r9", "r10", "r11");
            long x32 = syscall(0x40000000 + 39 /* getpid */);
            printf("%d %d %d\\n", old == -EPERM, x32 == -1 && errno == EPERM, getpid() > 0);
        }
    """)
    assert lines(launcher, other, NOBODY, seccomp="standard", no_new_privs=True) == ["1 1 1"]


def test_a_filter_needs_no_new_privs(launcher: Launcher) -> None:
    assert failed(boxed(launcher, "", NOBODY, seccomp="standard")) == \
        "filtering system calls (standard): Permission denied"


# ---- landlock -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("user", [None, NOBODY])
def test_landlock_for_writing(launcher: Launcher, place: Path, user: User | None) -> None:
    script = f"{writable(place, place / 'a', place / 'a/b')}; cat {place}/file; rm {place}/file 2>&1 | tail -c 18; " \
             f"echo x >>{place}/a/file && tail -1 {place}/a/file; (echo x >>{place}/file) 2>/dev/null || echo no; " \
             f"mv {place}/a/file {place}/moved 2>/dev/null || echo stays; ls /etc/hostname"
    found = lines(launcher, script, user, landlock_write=(f"{place}/a",), no_new_privs=True)
    assert found == ["no", "yes", "yes", place.name, "Permission denied", "x", "no", "stays", "/etc/hostname"]


def test_landlock_for_reading(launcher: Launcher, place: Path) -> None:
    script = f"cat {place}/a/file; cat {place}/file 2>&1; cat /etc/hostname 2>&1; (: >{place}/a/new) 2>&1; " \
             f"(: >{place}/a/b/new) && echo written"
    system = ("/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache")
    found = lines(launcher, script, None, landlock_read=(*system, f"{place}/a"),
                  landlock_write=(f"{place}/a/b",), no_new_privs=True)
    assert found[0] == "a" and all("Permission denied" in line for line in found[1:4]) and found[4] == "written"


def test_landlock_for_reading_lets_credentials_be_read(launcher: Launcher, place: Path) -> None:
    system = ("/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache")
    for secrets in (Secrets(f"{place}/a", {"db": b"secret\n"}), Secrets(f"{place}/a", None)):
        ended = boxed(launcher, f"cat {place}/a/db {place}/a/file 2>/dev/null; cat {place}/file 2>&1", None, secrets,
                      private_tmp=True, landlock_read=system, no_new_privs=True)
        assert ended.lines[0] == ("a" if secrets.contents is None else "secret") and "denied" in ended.lines[-1]


def test_landlock_for_reading_lets_nothing_be_written(launcher: Launcher, place: Path) -> None:
    assert lines(launcher, writable(place), None, landlock_read=("/",), no_new_privs=True) == ["no"]


def test_landlock_needs_no_root(launcher: Launcher) -> None:
    words = unprivileged(launcher, no_new_privs=True, steps=steps(Sandbox(landlock_write=("/usr",)), None, 1),
                         path="/bin/sh", argv=("sh", "-c", "(: >/var/tmp/x) 2>/dev/null || id -u"))
    assert words == "65534\n"


def test_landlock_needs_no_new_privs(launcher: Launcher) -> None:
    assert failed(boxed(launcher, "", NOBODY, landlock_write=("/usr",))) == \
        "enforcing Landlock: Operation not permitted"


# ---- the parent ---------------------------------------------------------------------------------------------------

def test_death_signal(launcher: Launcher) -> None:
    reader, writer = os.pipe()
    middle = os.fork()
    if middle == 0:
        pid = launcher.spawn(Launch(1, "/bin/sleep", ("sleep", "1000"), environment=dict(os.environ), stdout=writer,
                                    user=NOBODY, steps=steps(Sandbox(pdeathsig=signal.SIGKILL), NOBODY, os.getpid())))
        while not os.readlink(f"/proc/{pid}/exe").endswith("sleep"):
            pass
        os._exit(0)
    os.close(writer)
    os.waitpid(middle, 0)
    assert os.read(reader, 1) == b""        # the last one who had it is gone
    os.close(reader)


def test_death_signal_of_a_parent_that_is_gone_already(launcher: Launcher) -> None:
    ended = run(launcher, "", steps=steps(Sandbox(pdeathsig=15), None, 1))
    assert failed(ended) == "setting pdeathsig: No such process"


# ---- all at once, and what cannot be had --------------------------------------------------------------------------

@pytest.mark.parametrize("user", [None, NOBODY])
@pytest.mark.parametrize("preset", ["standard", "strict"])
def test_presets(launcher: Launcher, preset: str, user: User | None) -> None:
    places = writable(Path("/usr"), Path("/etc"), Path("/tmp"))
    script = f"grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status; {places}; " \
             "echo x >/dev/null && echo null; unshare -m true 2>/dev/null || echo alone; id -u"
    assert lines(launcher, script, user, **PRESETS[preset]) == [
        "NoNewPrivs:\t1", "Seccomp:\t2", "no", "no", "yes", "null", "alone", str(user.uid if user else 0)]


PROBE = Path(__file__).parents[2] / "vm-tests/probe.py"
#: What the probe may still do under both presets, whoever the program is.
HARMLESS = {
    "write /tmp", "write /var/tmp", "write /dev/shm", "write /dev/null", "terminal", "make a set-user-ID file",
    "write and execute memory", "lock memory", "socket unix", "socket inet", "socket inet6", "socket netlink",
    "loopback", "network outside",
}


@pytest.mark.parametrize(("preset", "user", "more"), [
    ("standard", NOBODY, {"list /home", "io_uring", "personality"}),
    ("strict", NOBODY, set()),
    ("strict", None, {"read /etc/shadow", "signal pid 1"}),
])
def test_probe(quick: Launcher, tools: Path, preset: str, user: User | None, more: set[str]) -> None:
    """What is left, by the program that machines are tried with."""
    text = PROBE.read_text()        # its place may be closed
    argv = ("python3", "-SEc", text, "--marker", str(tools))
    ended = boxed(quick, "", user, None, {"path": "/usr/bin/python3", "argv": argv}, **PRESETS[preset])
    found = {line[:26].strip(): line[27:] for line in ended.lines}
    assert len(found) > 85 and not [name for name, outcome in found.items() if "killed" in outcome]
    allowed = {name for name, outcome in found.items() if outcome == "allowed"}
    allowed -= {"type into a terminal", "socket alg", "socket vsock"} if preset == "standard" else set()
    # the rest depends on the machine
    assert allowed - HARMLESS <= more and allowed >= HARMLESS - {"network outside"}


def test_what_cannot_be_had_and_is_optional_is_left_out_and_reported(launcher: Launcher, place: Path) -> None:
    """An unprivileged daemon with everything that needs root, and something that does not."""
    sandbox = Sandbox(private_tmp=True, protect_system="full", private_network=True, capabilities=(0, 0),
                      read_write_paths=(str(place),), landlock_write=(str(place),), no_new_privs=True,
                      seccomp="standard", optional=True)
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        own = Launcher(launcher._path)
        ended = run(own, f"{writable(place, Path('/var/tmp'))}; grep ^Seccomp: /proc/self/status",
                    steps=steps(sandbox, None, os.getpid()), no_new_privs=True)
        told = [f"{report.stage == LEFT_OUT} {describe(report, ended.launch)}" for report in ended.reports]
        os.write(writer, "\n".join([*told, *ended.lines]).encode())
        os._exit(0)
    os.close(writer)
    found = os.read(reader, 10_000).decode().splitlines()
    os.close(reader)
    os.wait()
    assert found == [
        "True making a mount namespace: Operation not permitted",
        "True making a network namespace: Operation not permitted",
        "True limiting capabilities to none: Operation not permitted",
        "yes", "no", "Seccomp:\t2",
    ]


def test_what_cannot_be_had_and_is_not_optional(launcher: Launcher) -> None:
    for sandbox, words in ((Sandbox(private_tmp=True), "making a mount namespace: Operation not permitted"),
                           (Sandbox(private_network=True), "making a network namespace: Operation not permitted")):
        assert unprivileged(launcher, steps=steps(sandbox, None, 1)) == words


def test_a_step_that_follows_one_left_out_is_left_out(launcher: Launcher, place: Path) -> None:
    """Nothing is hidden when what was to be kept inside of it could not be kept."""
    made = steps(Sandbox(protect_system="strict", read_write_paths=("/none",), optional=True), None, 1)
    ended = boxed(launcher, writable(place), None, None, {"steps": made})
    assert [describe(report, ended.launch) for report in ended.reports] == ["keeping /none: No such file or directory"]
    assert ended.lines == ["yes"]


@needs("valgrind")
def test_valgrind_sees_nothing(grinded: str, tools: Path) -> None:
    launcher = Launcher(grinded)
    sandbox = Sandbox(ionice=3 << 13, cpu_affinity=(max(os.sched_getaffinity(0)),), oom_score_adj=5,
                      capabilities=(BIND, BIND), pdeathsig=15)
    try:
        ended = run(launcher, "echo there", user=NOBODY, steps=steps(sandbox, NOBODY, os.getpid()))
    finally:
        launcher.close()
    logs = [log.read_text() for log in tools.glob("log.*")]
    assert (ended.code, ended.output, ended.reports) == (0, "there\n", []), logs
    assert not any(logs)


def test_reports_have_their_words() -> None:
    launch = Launch(1, "/bin/sh", ("sh",), steps=Steps([Step(1, "setting this")]))
    assert describe(process.Report(1, 2, "taking step", 1, 0), launch) == "setting this: Operation not permitted"
    assert describe(process.Report(1, 2, "taking step", 1, 9), launch) == "taking step: Operation not permitted"
