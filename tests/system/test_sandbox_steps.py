"""The steps that the options become: pure, ordered, and what sdsuper-exec calls them."""

import re
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdsuper.config.sandbox import CAPABILITIES, PRESETS, Sandbox, capability_names, capability_set
from sdsuper.system import sandbox as compiled
from sdsuper.system.sandbox import (
    CAPABILITIES_SET,
    CAPABILITY_BOUNDS,
    INACCESSIBLE,
    KEEP,
    MOUNT,
    MOUNT_NAMESPACE,
    PUT,
    READ_ONLY,
    SEAL,
    SYSTEM_CALLS,
    TMPFS,
    Secrets,
    Step,
    Steps,
    steps,
)

from .conftest import NOBODY, SOURCE

PARENT = 4711
paths = st.lists(st.sampled_from(["/", "/srv", "/srv/a", "/srv/a/b", "/etc", "-/home/x", "/tmp/y", "/dev/shm", "/é"]),
                 max_size=4, unique=True).map(tuple)
sandboxes = st.builds(
    Sandbox, ionice=st.none() | st.integers(0, 7), cpu_affinity=st.sets(st.integers(0, 300), max_size=4).map(
        lambda numbers: tuple(sorted(numbers))), scheduler=st.sampled_from([None, (0, 0), (1, 5)]),
    oom_score_adj=st.none() | st.integers(-1000, 1000), no_new_privs=st.booleans(),
    capabilities=st.none() | st.tuples(st.integers(0, (1 << 41) - 1), st.integers(0, (1 << 41) - 1)),
    private_tmp=st.booleans(), private_devices=st.booleans(), private_network=st.booleans(),
    protect_system=st.sampled_from(["no", "yes", "full", "strict"]),
    protect_home=st.sampled_from(["no", "read-only", "yes", "tmpfs"]), protect_kernel_tunables=st.booleans(),
    protect_control_groups=st.booleans(), read_only_paths=paths, read_write_paths=paths,
    inaccessible_paths=paths, landlock_read=paths, landlock_write=paths,
    seccomp=st.sampled_from(["off", "standard", "strict"]), pdeathsig=st.integers(0, 64), optional=st.booleans(),
)
contents = st.dictionaries(st.sampled_from(["a", "b", "key.pem"]), st.binary(max_size=20))
secrets = st.none() | st.builds(Secrets, st.just("/run/x"), st.none() | contents)


def made(**fields: object) -> list[tuple[int, int, str]]:
    """Of each mount: what, value and path."""
    found = steps(Sandbox(**fields), None, PARENT)  # type: ignore[arg-type]
    return [(step.first, step.second, step.text.split(b"\0")[0].decode()) for step in found if step.code == MOUNT]


def preset(name: str) -> Sandbox:
    return Sandbox(**PRESETS[name])


# ---- what holds for all -------------------------------------------------------------------------------------------

@settings(deadline=None)
@given(sandboxes, secrets, st.sampled_from([None, NOBODY]))
def test_the_order_is_the_launchers(sandbox: Sandbox, hidden: Secrets | None, user: object) -> None:
    found = steps(sandbox, user, PARENT, hidden)  # type: ignore[arg-type]
    codes = [step.code for step in found]
    assert codes == sorted(codes)
    assert found == steps(sandbox, user, PARENT, hidden)  # type: ignore[arg-type]
    if MOUNT in codes:
        assert MOUNT_NAMESPACE in codes
    for code in set(range(1, 15)) - {MOUNT, compiled.LANDLOCK_PATH}:
        assert codes.count(code) <= 1
    assert all(step.optional == sandbox.optional and step.words for step in found)
    assert len(found) <= 512


@settings(deadline=None)
@given(sandboxes, secrets)
def test_what_is_kept_is_kept_before_anything_is_hidden_and_put_back_once(
        sandbox: Sandbox, hidden: Secrets | None) -> None:
    mounts = [step for step in steps(sandbox, NOBODY, PARENT, hidden) if step.code == MOUNT]
    kinds = [step.first for step in mounts]
    kept = kinds.count(KEEP)
    assert kinds[:kept] == [KEEP] * kept
    assert [step.second for step in mounts[:kept]] == list(range(kept))
    assert sorted(step.second for step in mounts if step.first == PUT) == list(range(kept))
    assert kept <= 128


@settings(deadline=None)
@given(sandboxes)
def test_the_inner_path_comes_after_the_outer_one(sandbox: Sandbox) -> None:
    wanted = [path for kind, _value, path in
              [(step.first, step.second, step.text.split(b"\0")[0].decode()) for step in steps(sandbox, None, PARENT)
               if step.code == MOUNT]
              if kind in (READ_ONLY, INACCESSIBLE, PUT)]
    for number, path in enumerate(wanted):
        for later in wanted[number + 1:]:
            assert path == "/" or not path.startswith(later.rstrip("/") + "/")


@settings(deadline=None)
@given(sandboxes, secrets)
def test_records_and_texts_fit(sandbox: Sandbox, hidden: Secrets | None) -> None:
    found = steps(sandbox, NOBODY, PARENT, hidden)
    records, texts = found.packed()
    assert len(records) == 32 * len(found)
    sizes = [record[2] for record in struct.iter_unpack("=IIIIQQ", records)]
    assert sum(sizes) == len(texts)
    at = 0
    for step, size in zip(found, sizes, strict=True):
        assert texts[at:at + size] == step.text + b"\0"
        at += size


@settings(deadline=None)
@given(sandboxes)
def test_no_secret_is_in_the_words(sandbox: Sandbox) -> None:
    hidden = Secrets("/run/x", {"db": b"kept quiet"})
    assert not any("quiet" in step.words for step in steps(sandbox, NOBODY, PARENT, hidden))


def test_nothing_asked_nothing_done() -> None:
    assert steps(Sandbox(), NOBODY, PARENT) == ()
    assert steps(Sandbox(no_new_privs=True, optional=True), None, PARENT) == ()
    assert Steps().packed() == (b"", b"")


# ---- examples -----------------------------------------------------------------------------------------------------

def test_strict_leaves_what_is_no_file_system_as_it_is() -> None:
    found = made(protect_system="strict", read_write_paths=("/var/lib/web",))
    assert [path for what, _, path in found if what == KEEP] == ["/dev", "/proc", "/sys", "/var/lib/web"]
    assert found[4:] == [(READ_ONLY, 0, "/"), (PUT, 0, "/dev"), (PUT, 1, "/proc"), (PUT, 2, "/sys"),
                         (PUT, 3, "/var/lib/web")]


def test_what_is_written_wins_over_what_is_bundled() -> None:
    found = made(protect_home="yes", read_only_paths=("/root",), read_write_paths=("/home",))
    assert found == [(KEEP, 0, "/home"), (PUT, 0, "/home"), (READ_ONLY, 0, "/root"), (INACCESSIBLE, 0, "/run/user")]


def test_a_private_dev_is_closed_at_the_end_and_takes_two_capabilities_away() -> None:
    found = steps(Sandbox(private_devices=True), None, PARENT)
    mounts = [step for step in found if step.code == MOUNT]
    assert mounts[-1].first == SEAL and [step.first for step in mounts].count(TMPFS) == 1
    (bounds,) = [step.first for step in found if step.code == CAPABILITY_BOUNDS]
    assert capability_names(bounds) == "all but CAP_SYS_RAWIO, CAP_MKNOD"


def test_capabilities_of_root_and_of_others() -> None:
    bits = capability_set(["net_bind_service"])
    sandbox = Sandbox(capabilities=(bits, bits))
    rights = {CAPABILITY_BOUNDS, CAPABILITIES_SET}

    def values(user: object) -> list[tuple[int, int]]:
        found = steps(sandbox, user, PARENT)  # type: ignore[arg-type]
        return [(step.first, step.second) for step in found if step.code in rights]

    assert values(NOBODY) == [(bits, 1), (bits, bits)]
    assert values(None) == values(NOBODY._replace(uid=0)) == [(bits, 0), (bits, 0)]


@pytest.mark.parametrize(("bits", "text"), [
    (0, "none"), ((1 << 64) - 1, "all"), (1 << 10, "CAP_NET_BIND_SERVICE"), (3, "CAP_CHOWN, CAP_DAC_OVERRIDE"),
    (((1 << 64) - 1) & ~1, "all but CAP_CHOWN"), (1 << 63, "none"),
])
def test_names_of_capabilities(bits: int, text: str) -> None:
    assert capability_names(bits) == text


def test_presets() -> None:
    standard, strict = preset("standard"), preset("strict")
    assert [step.words for step in steps(standard, NOBODY, PARENT)][-1] == "filtering system calls (standard)"
    assert [step.first for step in steps(strict, NOBODY, PARENT) if step.code == SYSTEM_CALLS] == [2]
    assert strict.capabilities == (0, 0) and preset("off") == Sandbox()


def test_a_path_that_need_not_be_there() -> None:
    found = steps(Sandbox(inaccessible_paths=("-/a", "/b")), None, PARENT)
    assert [step.if_there for step in found if step.code == MOUNT] == [True, False]


# ---- the other side -----------------------------------------------------------------------------------------------

def numbers(text: str, name: str) -> list[str]:
    body = re.search(rf"enum {name} \{{(.*?)\}}", text, re.S)
    assert body is not None
    return re.findall(r"\b[A-Z_]{3,}\b", re.sub(r"/\*.*?\*/", "", body[1], flags=re.S))


def test_numbers_are_those_of_the_source() -> None:
    text = (SOURCE.parent / "sandbox.h").read_text()
    codes = {name: number for number, name in enumerate(numbers(text, "code"), 1) if name != "CODES"}
    here = {("CAPABILITIES_SET" if name == "CAPABILITIES" else name): number for name, number in codes.items()}
    assert {name: getattr(compiled, name) for name in here} == here
    kinds = dict(enumerate(numbers(text, "mounting")))
    assert {number: getattr(compiled, name) for number, name in kinds.items()} == {number: number for number in kinds}
    assert len(codes) == 14 and len(kinds) == 10


def test_capability_names_are_the_kernels() -> None:
    header = "/usr/include/linux/capability.h"
    with open(header) as file:
        there = {name.lower(): int(number) for name, number in re.findall(r"#define CAP_(\w+)\s+(\d+)$", file.read(),
                                                                          re.M)}
    assert there == {name: number for number, name in enumerate(CAPABILITIES)}


def test_a_step_is_plain_data() -> None:
    assert Step(1, "x") == Step(1, "x", b"", 0, 0, False, False)
