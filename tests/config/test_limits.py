"""Limits of cgroups: what the words of a configuration become in the kernel's files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.config import limit_values
from sdsuper.config.reload import needs_restart
from sdsuper.config.rows_limits import LIMIT_ROWS
from sdsuper.engine.resources import _DEFAULTS

from .fake import one, says


@pytest.mark.parametrize(
    ("option", "value", "file", "written"),
    [
        ("memory_max", "20MB", "memory.max", "20971520"),
        ("memory_max", "unlimited", "memory.max", "max"),
        ("memory_high", "1GB", "memory.high", "1073741824"),
        ("memory_swap_max", "0", "memory.swap.max", "0"),
        ("memory_oom_group", "true", "memory.oom.group", "1"),
        ("pids_max", "7", "pids.max", "7"),
        ("pids_max", "infinity", "pids.max", "max"),
        ("cpu_max", "50%", "cpu.max", "50000 100000"),
        ("cpu_max", "50%%", "cpu.max", "50000 100000"),        # as every other value with a percent sign
        ("cpu_max", "250%", "cpu.max", "250000 100000"),
        ("cpu_max", "12.5%", "cpu.max", "12500 100000"),
        ("cpu_max", "max", "cpu.max", "max 100000"),
        ("cpu_weight", "10000", "cpu.weight", "10000"),
        ("io_weight", "50", "io.weight", "default 50"),
        ("io_max", "/dev/sda rbps=1MB wiops=10", "io.max", "/dev/sda rbps=1048576 wiops=10"),
        ("io_max", "/a rbps=max, /b wbps=1KB", "io.max", "/a rbps=max\n/b wbps=1024"),
    ],
)
def test_what_is_written(option, value, file, written):
    assert one(f"{option}={value}").limits == ((file, written),)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("memory_max=lots", "cannot read 'lots' as an amount of memory (size like 512MB, or unlimited expected)"),
        ("memory_max=-1", "cannot read '-1' as an amount of memory (size like 512MB, or unlimited expected)"),
        ("pids_max=0", "cannot read '0' as a number of processes (number from 1, or unlimited expected)"),
        ("cpu_max=0.5", "cannot read '0.5' as a share of CPUs (percentage of one CPU like 50% or 200%, 1% at least, or "
                        "unlimited expected)"),
        ("cpu_max=nan%", "cannot read 'nan%' as a share of CPUs"),
        ("cpu_weight=0", "cannot read '0' as a weight (number from 1 to 10000, where 100 is usual expected)"),
        ("io_max=sda rbps=1", "cannot read 'sda rbps=1' as limits of devices"),
        ("io_max=/dev/sda", "cannot read '/dev/sda' as limits of devices"),
        ("io_max=/dev/sda speed=3", "cannot read '/dev/sda speed=3' as limits of devices"),
        ("io_max=", "cannot read '' as limits of devices"),
        ("memory_oom_group=perhaps", "cannot read 'perhaps'"),
        ("limits_unsupported=ignore", "cannot read 'ignore' as limits_unsupported (error or warn expected)"),
    ],
)
def test_what_is_refused(line, message):
    (found,) = says(line)
    assert found.startswith("4: error: [program:x] ") and message in found


@given(st.text(max_size=30))
def test_no_text_does_harm(text):
    for row in LIMIT_ROWS:
        try:
            found = row.read(text)
        except ValueError as error:
            assert "expected" in str(error)
        else:
            assert isinstance(found, bool if row.name == "limits_unsupported" else str)


@given(st.integers(1, 100_000))
def test_every_percentage_is_a_quota(percent):
    quota, period = map(int, limit_values.cpu(f"{percent}%").split())
    assert quota * 100 == percent * period and quota >= 1000, "the kernel takes no less than a millisecond"


def test_a_limit_that_vanishes_has_a_default_to_go_back_to():
    files = {row.name.replace("_", ".") for row in LIMIT_ROWS if row.field == "limits"}
    assert files == {*_DEFAULTS, "io.max"}


def test_no_limit_needs_a_restart():
    old, new = one(""), one("memory_max=1GB\ncpu_max=10%\nlimits_unsupported=warn")
    assert old.limits == () and not needs_restart(old, new)
