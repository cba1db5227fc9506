"""`./dev bench results`: the whole comparison with Supervisor and with the C minimum, written to bench/RESULTS.md.

Four runs one after another (life, 4 KiB floods, 100-byte floods, events), each interleaved and repeated; every figure of the
table of targets is the median of ratios that were taken within a repeat.
"""
from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import report

#: (what, scenario, n, metric, base, limit, file); limit is the most the ratio may be, or the least where it is negative.
TARGETS = [
    ("cold start of 1,000 to the last child", "a", 1000, "last_s", "supervisor", 0.10, 0),
    ("", "a", 1000, "last_s", "cmin", 4, 0),
    ("cold start of 3,000", "a", 3000, "last_s", "supervisor", 0.10, 0),
    ("", "a", 3000, "last_s", "cmin", 4, 0),
    ("CPU of the start of 1,000", "a", 1000, "cpu_s", "supervisor", 0.10, 0),
    ("CPU of the start of 3,000", "a", 3000, "cpu_s", "supervisor", 0.10, 0),
    ("boot with one program", "j", 1, "first_ms", "supervisor", 0.08, 0),
    ("PSS with 1,000 programs", "b", 1000, "pss_mb", "supervisor", 0.55, 0),
    ("restart after kill -9, N = 10, median", "d", 10, "median_ms", "cmin", 3, 0),
    ("restart after kill -9, N = 10, p99", "d", 10, "p99_ms", "cmin", 10, 0),
    ("restart after kill -9, N = 1,000, median", "d", 1000, "median_ms", "cmin", 3, 0),
    ("restart after kill -9, N = 1,000, p99", "d", 1000, "p99_ms", "cmin", 10, 0),
    ("all 1,000 killed, all replaced", "e", 1000, "all_s", "cmin", 3, 0),
    ("`ctl status` with 1,000 programs", "g", 1000, "cli_status_ms", "supervisor", 0.10, 0),
    ("`ctl version`", "g", 1000, "cli_help_ms", "supervisor", 0.30, 0),
    ("reload, 1 changed, 10 new, N = 1,000", "h", 1000, "all_s", "supervisor", 0.20, 0),
    ("shutdown of 1,000", "i", 1000, "all_s", "cmin", 3, 0),
    ("getAllProcessInfo by XML-RPC, 1,000 programs", "x", 1000, "xml_ms", "supervisor", 0.04, 0),
    ("events/s that a listener gets in a storm of 1,000", "k", 1000, "per_s", "supervisor", -10, 3),
    ("log flood, 4 KiB writes, MB/s", "f", 1, "mb_s", "limit-cat", -0.85, 1),
    ("log flood, 4 KiB writes, CPU per GB", "f", 1, "cpu_s_per_gb", "supervisor", 0.65, 1),
    ("control socket during 8 floods of 4 KiB writes, median", "f", 8, "api_ms", "supervisor", 1, 1),
    ("log flood, 100-byte writes, CPU per GB", "f", 1, "cpu_s_per_gb", "supervisor", 0.40, 2),
    ("control socket during 8 floods of 100-byte writes, median", "f", 8, "api_ms", "supervisor", 1, 2),
]
#: (what, scenario, n, metric, most, file): figures that are not ratios.
FIXED = [
    ("idle with 1,000 programs, wake-ups/s", "c", 1000, "wakeups_per_s", 0, 0),
    ("idle with 1,000 programs, CPU ms per minute", "c", 1000, "cpu_ms_per_min", 0, 0),
    ("the daemon's own CPU ms for one getAllProcessInfo", "x", 1000, "daemon_cpu_ms", 5, 0),
    ("restart latency under 50 clients, times that at rest", "y", 1000, "ratio", 1.5, 0),
    ("events lost in a storm of 1,000, default buffer", "k0", 1000, "lost", 0, 3),
    ("programs touched wrongly by a reload", "h", 1000, "restarted_wrongly", 0, 0),
    ("bytes lost in a flood of 4 KiB writes", "f", 1, "lost_bytes", 0, 1),
    ("bytes lost in 8 floods of 4 KiB writes", "f", 8, "lost_bytes", 0, 1),
    ("bytes lost in a flood of 100-byte writes", "f", 1, "lost_bytes", 0, 2),
]
RUNS = [
    ["--managers", "cmin,sdsuper,supervisor", "--scenarios", "a,b,c,d,e,g,h,i,j,x,y", "--n", "1,1000,3000", "--idle", "10",
     "--kill-budget", "8"],
    ["--managers", "limits,sdsuper,supervisor", "--scenarios", "f", "--n", "1"],
    ["--managers", "limits,sdsuper,supervisor", "--scenarios", "f", "--n", "1", "--write-size", "100", "--log-mb", "200"],
    ["--managers", "sdsuper,supervisor", "--scenarios", "k0,k", "--n", "1000"],
]


def values(data: dict, scenario: str, n: int, manager: str, metric: str) -> dict[int, float]:
    """repeat -> figure."""
    return {row["repeat"]: row["metrics"][metric] for row in data["rows"]
            if (row["scenario"], row["n"], row["manager"]) == (scenario, n, manager)
            and row["metrics"].get(metric) is not None}


def slope(data: dict) -> float | None:
    """kB of PSS a program, between 1 and 1,000."""
    one, many = (values(data, "b", n, "sdsuper", "pss_mb") for n in (1, 1000))
    both = [(many[r] - one[r]) * 1024 / 999 for r in many if r in one]
    return statistics.median(both) if both else None


def targets(data: list[dict]) -> list[str]:
    """The table of targets, a line each."""
    lines = ["| figure | sdsuper | against | ratio | target | |", "|---|---|---|---|---|---|"]
    name = ""
    for what, scenario, n, metric, base, limit, file in TARGETS:
        name = what or name
        ours = values(data[file], scenario, n, "sdsuper", metric)
        theirs = values(data[file], scenario, n, base, metric)
        ratios = [ours[r] / theirs[r] for r in ours if theirs.get(r)]
        if not ratios:
            lines.append(f"| {name} | | {base} | not measured | | no |")
            continue
        ratio = statistics.median(ratios)
        met = ratio <= limit if limit > 0 else ratio >= -limit
        lines.append(f"| {name} | {report.fmt(statistics.median(ours.values()))} | {base} | {ratio:.3g}x of {len(ratios)} | "
                     f"{'≤' if limit > 0 else '≥'} {abs(limit):g}x | {'yes' if met else '**no**'} |")
    for what, scenario, n, metric, most, file in FIXED:
        found = values(data[file], scenario, n, "sdsuper", metric)
        figure = statistics.median(found.values()) if found else None
        met = figure is not None and figure <= most
        lines.append(f"| {what} | {report.fmt(figure)} | | | {most} | {'yes' if met else '**no**'} |")
    kb = slope(data[0])
    lines.append(f"| PSS a program, kB (slope 1 to 1,000) | {report.fmt(kb)} | | | ≤ 7 | "
                 f"{'yes' if kb is not None and kb <= 7 else '**no**'} |")
    return lines


def main(argv: list[str]) -> int:
    """`results [REPEATS]`, or `results --from LIFE FLOOD SHORT EVENTS` to write the page again from result files."""
    if argv[:1] == ["--from"]:
        files = [Path(name) for name in argv[1:5]]
    else:
        folder = Path(tempfile.mkdtemp(prefix="bench-results-"))
        files = [folder / name for name in ("life.json", "flood.json", "short.json", "events.json")]
        for arguments, file in zip(RUNS, files):
            subprocess.run([sys.executable, "-m", "bench", *arguments, "--repeat", argv[0] if argv else "5", "--out", file],
                           check=True)
    data = [report.load([file]) for file in files]
    page = ["# Results", "",
            f"Written by `./dev bench results` on {time.strftime('%Y-%m-%d', time.gmtime())}; do not edit. Every ratio is the "
            "median of ratios within one repeat.", "", "## Targets", "", *targets(data)]
    for title, one in zip(("Life", "Floods of 4 KiB writes", "Floods of 100-byte writes", "Events"), data):
        bases = ["supervisor", "limit-cat"] if one in data[1:3] else ["supervisor", "cmin"]
        page += ["", f"## {title}", report.markdown(one, bases).rstrip()]
    Path(__file__).with_name("RESULTS.md").write_text("\n".join(page) + "\n")
    return 0
