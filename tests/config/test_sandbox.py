"""The options of a sandbox: values, presets, and what does not fit together."""

import pytest

from sdsuper.config.model import ProcessConfig
from sdsuper.config.reload import needs_restart
from sdsuper.config.sandbox import ALL_CAPABILITIES, PRESETS, Sandbox, capability_set
from sdsuper.config.sandbox_values import capabilities, credentials, ionice, path, paths, processors

from .fake import one, says

BIND = capability_set(["net_bind_service"])


def box(text: str, **more: object) -> Sandbox:
    found = one(text, **more).sandbox
    assert found is not None
    return found


def test_nothing_said_is_nothing() -> None:
    for text in ("", "sandbox=off", "sandbox_unsupported=error", "protect_home=no\nprivate_tmp=false\nseccomp=off"):
        assert one(text).sandbox is None


@pytest.mark.parametrize("name", ["standard", "strict"])
def test_presets_and_what_is_written_wins(name: str) -> None:
    assert box(f"sandbox={name}") == Sandbox(**PRESETS[name])
    changed = box(f"sandbox={name}\nprotect_home=no\ncapabilities=net_bind_service\nprivate_tmp=false")
    assert changed == Sandbox(**PRESETS[name])._replace(
        protect_home="no", capabilities=(BIND, BIND), private_tmp=False)
    assert box(f"seccomp=off\nsandbox={name}").no_new_privs


def test_all_of_them() -> None:
    assert box(
        "ionice=idle\ncpu_affinity=0-2,8\nsched_policy=fifo\noom_score_adj=-5\nno_new_privs=yes\n"
        "capabilities=CAP_KILL, chown\nprivate_tmp=1\nprivate_devices=1\nprivate_network=1\nprotect_system=full\n"
        "protect_home=tmpfs\nprotect_kernel_tunables=1\nprotect_control_groups=1\n"
        "read_only_paths=/a, /b/\nread_write_paths=/a/x\ninaccessible_paths=-/c\n"
        "landlock_read=/\nlandlock_write=/var/%(program_name)s\nseccomp=strict\npdeathsig=TERM\n"
        "credential=b:/y, a:/x\nsandbox_unsupported=warn"
    ) == Sandbox(
        ionice=3 << 13, cpu_affinity=(0, 1, 2, 8), scheduler=(1, 1), oom_score_adj=-5, no_new_privs=True,
        capabilities=(capability_set(["kill", "chown"]),) * 2, private_tmp=True, private_devices=True,
        private_network=True, protect_system="full", protect_home="tmpfs",
        protect_kernel_tunables=True, protect_control_groups=True, read_only_paths=("/a", "/b"),
        read_write_paths=("/a/x",), inaccessible_paths=("-/c",), landlock_read=("/",), landlock_write=("/var/x",),
        seccomp="strict", pdeathsig=15, credentials=(("a", "/x"), ("b", "/y")), optional=True)


def test_a_filter_and_landlock_bring_no_new_privs() -> None:
    assert box("seccomp=standard").no_new_privs and box("landlock_write=/a").no_new_privs
    assert not box("private_tmp=true").no_new_privs


@pytest.mark.parametrize(("text", "value"), [
    ("/a", "/a"), ("/", "/"), ("//a//b/./", "/a/b"), ("/é b", "/é b"),
])
def test_paths_that_are_read(text: str, value: str) -> None:
    assert path(text) == value


def test_lists() -> None:
    assert paths("/a, -/b,/a") == ("/a", "-/b") and paths("") == ()
    assert processors("3,1-2, 2") == (1, 2, 3) and processors("8191") == (8191,)
    assert [ionice(text) for text in ("none", "idle", "best-effort")] == [0, 3 << 13, 2 << 13 | 4]
    assert ionice("realtime:0") == 1 << 13
    assert capabilities("") == (0, 0) and capabilities("~") == (ALL_CAPABILITIES, 0)
    assert capabilities("~cap_kill,CAP_CHOWN") == (ALL_CAPABILITIES & ~capability_set(["kill", "chown"]), 0)
    assert credentials("") == () and credentials("a.b-c_1:/x") == (("a.b-c_1", "/x"),)


PATH = "as a path (absolute path without '..' expected)"


@pytest.mark.parametrize(("text", "problem"), [
    ("read_only_paths=/a,b", f"read_only_paths: cannot read 'b' {PATH}"),
    ("inaccessible_paths=/a/../b", f"inaccessible_paths: cannot read '/a/../b' {PATH}"),
    ("landlock_read=~/x", f"landlock_read: cannot read '~/x' {PATH}"),
    ("read_write_paths=" + ",".join(f"/{n}" for n in range(65)),
     "read_write_paths: cannot take 65 paths (at most 64 expected)"),
    ("capabilities=CAP_FLY", "capabilities: no such capability: 'CAP_FLY' (names like CAP_NET_BIND_SERVICE expected)"),
    ("cpu_affinity=", "cpu_affinity: cannot read '' as processors (numbers and ranges like 0-3,8 expected)"),
    ("cpu_affinity=1-", "cpu_affinity: cannot read '1-' as processors (numbers and ranges like 0-3,8 expected)"),
    ("cpu_affinity=5-2", "cpu_affinity: cannot read '5-2' as processors (ranges from a lower to a higher number <= "
     "8191 expected)"),
    ("cpu_affinity=0-9999", "cpu_affinity: cannot read '0-9999' as processors (ranges from a lower to a higher number "
     "<= 8191 expected)"),
    ("ionice=best-effort:8", "ionice: cannot read 'best-effort:8' as an IO priority (none, idle, best-effort[:0-7] or "
     "realtime[:0-7] expected)"),
    ("sched_policy=deadline", "sched_policy: cannot read 'deadline' as a scheduling policy (other, fifo, rr, batch or "
     "idle expected)"),
    ("sched_priority=5", "sched_priority: is for sched_policy=fifo and rr only"),
    ("sched_policy=rr\nsched_priority=100", "sched_priority: cannot read '100' as a priority (number from 1 to 99 "
     "expected)"),
    ("oom_score_adj=1001", "oom_score_adj: cannot read '1001' as an OOM score adjustment (number from -1000 to 1000 "
     "expected)"),
    ("pdeathsig=HURRY", "pdeathsig: cannot read 'HURRY' as a signal (name like TERM, or number expected)"),
    ("sandbox=tight", "sandbox: cannot read 'tight' as a sandbox (off, standard or strict expected)"),
    ("protect_home=maybe", "protect_home: cannot read 'maybe' as a protection (no, read-only, yes or tmpfs expected)"),
    ("seccomp=on", "seccomp: cannot read 'on' as a filter (off, standard or strict expected)"),
    ("sandbox_unsupported=ignore", "sandbox_unsupported: cannot read 'ignore' as an answer (error or warn expected)"),
    ("no_new_privs=false\nseccomp=standard", "no_new_privs: cannot be false with seccomp or Landlock, which need it"),
    ("sandbox=strict\nno_new_privs=0", "no_new_privs: cannot be false with seccomp or Landlock, which need it"),
    ("read_only_paths=/a\ninaccessible_paths=-/a", "inaccessible_paths: /a is in read_only_paths as well"),
    ("credential=a:/x,a:/y", "credential: 'a' is there twice"),
])
def test_mistakes(text: str, problem: str) -> None:
    (found,) = says(text)
    assert found.split(": error: [program:x] ", 1)[1] == problem
    assert found.split(":")[0] in ("4", "5")


@pytest.mark.parametrize("text", ["hunter2", "db:hunter2", "db", ":/x", "../x:/y", ".x:/y", "a/b:/y", "é:/x", "a:"])
def test_what_may_be_the_secret_itself_is_not_repeated(text: str) -> None:
    (found,) = says(f"credential={text}")
    assert "NAME:/path expected" in found and "hunter2" not in found and text not in found.replace("NAME:/path", "")


def test_what_needs_root() -> None:
    words = "needs a daemon that is root"
    for option in ("private_tmp=true", "capabilities=", "protect_home=yes", "read_only_paths=/a"):
        (found,) = says(option, uid=1000)
        name = option.split("=")[0]
        assert found == f"4: error: [program:x] {name}: {words} (sandbox_unsupported=warn starts without it)"
    (found,) = says("sandbox=strict", uid=1000)
    assert found.startswith(f"4: error: [program:x] sandbox: {words}, for capabilities, private_tmp, ")
    assert says("sandbox=strict\nsandbox_unsupported=warn", uid=1000) == []
    assert says("seccomp=strict\nlandlock_write=/a\ncredential=a:/x\noom_score_adj=5", uid=1000) == []


def test_a_default_for_all_programs() -> None:
    text = "private_tmp=false\n[program-default]\nsandbox=standard"
    assert box(text) == Sandbox(**PRESETS["standard"])._replace(private_tmp=False)


def test_equal_ones_are_one() -> None:
    from .fake import HEAD, read
    programs = "".join(f"[program:{name}]\ncommand=/bin/cat\nsandbox=strict\n" for name in "ab")
    first, second = (group.processes[0] for group in read(HEAD + programs).groups)
    assert first.sandbox is second.sandbox


def test_a_change_needs_a_restart() -> None:
    def changed(text: str) -> tuple[ProcessConfig, ProcessConfig]:
        return one("sandbox=standard"), one(text)
    assert needs_restart(*changed("sandbox=strict")) and needs_restart(*changed(""))
    assert not needs_restart(*changed("sandbox=standard\npriority=5"))
