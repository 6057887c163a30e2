#!/usr/bin/env python3
"""Run the benchmark programs in turn and show what came out.

    run.py [options] PROGRAM...        measure, then show
    run.py [options] --show FILE.csv   show an earlier run
    run.py ... --insert FILE.md        put the tables into that file, too,
                                       between its lines "<!-- tables -->" and
                                       "<!-- end of tables -->", or
                                       "instructions" instead of "tables"
    run.py --instructions PROGRAM...   count instructions with callgrind

A PROGRAM is a bench-NAME.  Each workload runs in a process of its own; one
round of a workload runs all programs, in another order each time.  Shown are
medians and, in brackets, minima over the rounds; ratios are those of a round,
and of them the median.
"""

import argparse
import csv
import datetime
import io
import os
import platform
import random
import re
import shutil
import statistics
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))

# ---- What there is to run -------------------------------------------------

ONE_THREAD = ["pair-16", "pair-64", "pair-256", "tight-64", "burst-64",
              "batch-lifo", "batch-fifo", "batch-random", "replace", "calloc",
              "large", "realloc-one", "realloc-eight"]
THREADS = ["swap-2", "producer", "larson-1", "larson-2", "threadtest-2",
           "shbench-1", "shbench-2", "cache-scratch", "cache-thrash",
           "xmalloc-2"]
MEMORY = ["map", "phases", "long-run"]
FILES = ["persist", "sync", "reopen", "dirty"]
FAMILIES = [("One thread, ns", ONE_THREAD, ["ns"]),
            ("Several threads, ns", THREADS, ["ns", "cpu"]),
            ("Memory", MEMORY, None),
            ("Heaps in files that come back", FILES, None)]
QUICK = ONE_THREAD + ["swap-2", "producer", "larson-2", "map", "reopen"]
# These take long and vary little.
FEW_ROUNDS = {"phases": 1, "long-run": 2, "persist": 3, "sync": 3,
              "reopen": 3, "dirty": 1, "map": 3}

# Takes minutes, and "phases" says the same.
LEFT_OUT = [("pmemobj", "long-run")]

OURS = ["default", "file"]
VOLATILE = ["glibc", "mimalloc", "jemalloc", "tcmalloc"]
PERSISTENT = ["memkind", "boost", "pmemobj"]

# Goal, workload, metric, what it is compared with, and the largest ratio
# allowed.  "best": the smallest figure among those named.
BEST = ["best"] + VOLATILE
GOALS = [
    ("G1", "pair-16", "ns", ["mimalloc"], 1.0),
    ("G1", "pair-64", "ns", ["mimalloc"], 1.0),
    ("G1", "pair-256", "ns", ["mimalloc"], 1.0),
    ("G1", "replace", "ns", ["mimalloc"], 1.0),
    ("G1+", "pair-16", "ns", BEST, 1.0),
    ("G1+", "pair-64", "ns", BEST, 1.0),
    ("G1+", "pair-256", "ns", BEST, 1.0),
    ("G1+", "replace", "ns", BEST, 1.0),
    ("G2", "batch-lifo", "ns", ["mimalloc"], 1.0),
    ("G2", "batch-fifo", "ns", ["mimalloc"], 1.0),
    ("G2", "batch-random", "ns", ["mimalloc"], 1.0),
    ("G3", "swap-2", "ns", ["best", "jemalloc", "tcmalloc", "mimalloc"], 1.0),
    ("G3", "producer", "ns", ["best", "jemalloc", "tcmalloc", "mimalloc"],
     1.0),
    ("G3", "swap-2", "cpu", ["best", "jemalloc", "tcmalloc", "mimalloc"], 1.0),
    ("G3", "producer", "cpu", ["best", "jemalloc", "tcmalloc", "mimalloc"],
     1.0),
    ("G4", "realloc-one", "ns", ["glibc"], 1.5),
    ("G4", "realloc-eight", "ns", ["jemalloc"], 1.0),
    ("G5", "large", "ns", ["mimalloc"], 1.0),
    ("G6", "map", "total-ns", BEST, 1.0),
    ("G6", "map", "walk-ns", BEST, 1.0),
    ("G7", "pair-64", "ns", ["boost"], 1 / 35),
    ("G7", "pair-64", "ns", ["pmemobj"], 1 / 110),
    ("G7", "burst-64", "ns", ["boost"], 1 / 35),
    ("G7", "burst-64", "ns", ["pmemobj"], 1 / 110),
    ("G8", "map", "bytes-a-node", [], 106),
    ("G8", "long-run", "peak-resident-mib", ["mimalloc"], 1.15),
    ("G8", "long-run", "peak-file-mib", ["mimalloc"], 1.15),
    ("G8", "long-run", "trimmed/peak", [], 0.1),
    ("G9", "reopen", "open-ms", [], 0.1),
    ("G9", "reopen", "open-killed-ms", [], 0.1),
    ("G9", "sync", "written/dirtied", [], 1.1),
    ("G9", "sync", "sync-ms", ["mapping"], 0.08),
    ("G9", "persist", "prefetch+walk-ms", ["mapping:walk-cold-ms"], 1.3),
]
# Figures that another one stands for where the program has no such: the peak
# of files is compared with the memory of those without files.
INSTEAD = {"peak-file-mib": "peak-resident-mib"}


# ---- Measuring ------------------------------------------------------------

def command_output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True,
                              check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def processor():
    with open("/proc/cpuinfo") as f:
        names = [line.split(":", 1)[1].strip() for line in f
                 if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()} x {os.cpu_count()}"


def revision():
    named = command_output("git", "-C", HERE, "describe", "--always",
                           "--dirty")
    return named or "unknown"


def name_of(program):
    return os.path.basename(program).split("-", 1)[1]


class Column:
    """A program, and the directory for its heaps."""

    def __init__(self, program, name, directory):
        self.program = os.path.abspath(program)
        self.name = name
        self.directory = directory
        out = command_output(self.program, "list")
        self.workloads = set(out.split())
        if not out:
            print(f"{name}: cannot be run, skipped", file=sys.stderr)


def columns(programs, options):
    made = []
    for program in programs:
        name = name_of(program)
        made.append(Column(program, name, options.tmpfs))
        if name == "file" and not options.quick:
            made.append(Column(program, "disk", options.disk))
    return made


def run_one(column, workload, options):
    """The values of one run as pairs (metric, value)."""
    on_disk = workload in FILES or column.name == "disk"
    parent = options.disk if on_disk else column.directory
    # Its files are gone even if it is killed.
    with tempfile.TemporaryDirectory(prefix="bench-", dir=parent) as directory:
        env = dict(os.environ, PMEM_IS_PMEM_FORCE="1", BENCH_DIR=directory,
                   BENCH_SCALE=str(options.scale))
        try:
            done = subprocess.run([column.program, workload], env=env,
                                  text=True, capture_output=True,
                                  timeout=options.timeout)
        except subprocess.TimeoutExpired:
            print(f"{column.name} {workload}: no end after "
                  f"{options.timeout} s", file=sys.stderr)
            return []
    if done.returncode != 0:
        print(f"{column.name} {workload}: status {done.returncode}: "
              f"{done.stderr.strip()}", file=sys.stderr)
    values = []
    for line in done.stdout.splitlines():
        _, metric, value = line.split()
        values.append((metric, float(value)))
    return values


def measure(options):
    """Rows as they go into the CSV."""
    head = [datetime.datetime.now().isoformat(timespec="minutes"),
            processor(), platform.release(), revision(), options.scale]
    if command_output("stat", "-f", "-c", "%T", options.disk) == "tmpfs":
        sys.exit(f"{options.disk} is no disk: choose another with --disk")
    all_columns = columns(options.programs, options)
    wanted = options.only.split(",") if options.only else \
        QUICK if options.quick else ONE_THREAD + THREADS + MEMORY + FILES
    rows = []
    for number in range(options.rounds):
        for workload in wanted:
            if number >= FEW_ROUNDS.get(workload, options.rounds):
                continue
            # The files workloads go to the disk in any case.
            turn = [c for c in all_columns if workload in c.workloads
                    and (c.name, workload) not in LEFT_OUT
                    and not (c.name == "disk" and workload in FILES)]
            random.shuffle(turn)
            for column in turn:
                for metric, value in run_one(column, workload, options):
                    rows.append(head + [number, workload, metric, column.name,
                                        value])
        print(f"round {number + 1} of {options.rounds} done", file=sys.stderr)
    return rows


FIELDS = ["date", "machine", "kernel", "revision", "scale", "round",
          "workload", "metric", "program", "value"]


# ---- Showing --------------------------------------------------------------

class Results:
    def __init__(self, rows):
        if not rows:
            sys.exit("nothing was measured")
        self.head = rows[0][:5]
        self.rounds = 0
        self.values = {}        # (workload, metric, program): {round: value}
        self.programs = []
        self.metrics = {}       # workload: metrics in order
        for row in rows:
            number, workload, metric, program, value = row[5:]
            self.rounds = max(self.rounds, int(number) + 1)
            at = self.values.setdefault((workload, metric, program), {})
            at[int(number)] = float(value)
            if program not in self.programs:
                self.programs.append(program)
            if metric not in self.metrics.setdefault(workload, []):
                self.metrics[workload].append(metric)
        order = OURS + ["disk"] + VOLATILE + PERSISTENT + ["lmdb", "mapping",
                                                           "none"]
        self.programs.sort(key=lambda p: order.index(p) if p in order
                           else len(order))

    def median(self, workload, metric, program):
        at = self.values.get((workload, metric, program))
        return statistics.median(at.values()) if at else None

    def least(self, workload, metric, program):
        at = self.values.get((workload, metric, program))
        return min(at.values()) if at else None

    def ratio(self, workload, metric, ours, peer, peer_metric=None):
        """Median of the ratios of the rounds, and the ratio of the minima."""
        mine = self.values.get((workload, metric, ours), {})
        its = self.values.get((workload, peer_metric or metric, peer)) \
            or self.values.get((workload, INSTEAD.get(metric), peer), {})
        both = [mine[r] / its[r] for r in mine if r in its and its[r] > 0]
        if not both:
            return None
        least = min(mine.values()) / min(its.values())
        return statistics.median(both), least


def figure(value):
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.3g}"


def markdown(head, rows, out):
    widths = [max(len(str(row[i])) for row in [head] + rows)
              for i in range(len(head))]

    def line(cells):
        cells = [str(c).ljust(w) if i == 0 else str(c).rjust(w)
                 for i, (c, w) in enumerate(zip(cells, widths))]
        out.write("| " + " | ".join(cells) + " |\n")
    line(head)
    out.write("|" + "|".join("-" * (w + 1) + ("-" if i == 0 else ":")
                             for i, w in enumerate(widths)) + "|\n")
    for row in rows:
        line(row)
    out.write("\n")


def goal_rows(results):
    rows = []
    for goal, workload, metric, peers, limit in GOALS:
        for ours in OURS:
            mine = results.median(workload, metric, ours)
            if mine is None:
                continue
            if not peers:
                rows.append([goal, f"{workload} {metric}", ours, figure(mine),
                             "", "", figure(limit),
                             "met" if mine <= limit else "not met"])
                continue
            peer, _, peer_metric = peers[0].partition(":")
            if peer == "best":
                have = [(results.median(workload, metric, p), p)
                        for p in peers[1:]
                        if results.median(workload, metric, p)]
                if not have:
                    continue
                peer = min(have)[1]
            both = results.ratio(workload, metric, ours, peer, peer_metric)
            if both is None:
                continue
            its = results.median(workload, peer_metric or metric, peer) or \
                results.median(workload, INSTEAD.get(metric), peer)
            rows.append([goal, f"{workload} {metric}", ours, figure(mine),
                         f"{peer} {figure(its)}",
                         f"{both[0]:.3g} ({both[1]:.3g})", figure(limit),
                         "met" if both[0] <= limit else "not met"])
    return rows


def show(results, out):
    date, machine, kernel, rev, scale = results.head
    out.write(f"{date}; {machine}; Linux {kernel}; revision {rev}; "
              f"--rounds {results.rounds} --scale {scale}\n\n")
    out.write("### Goals\n\nOf each ratio: the median of those of the rounds, "
              "and in brackets that of the minima.\n\n")
    markdown(["goal", "workload", "heap", "figure", "beside", "ratio", "limit",
              ""], goal_rows(results), out)
    for title, workloads, metrics in FAMILIES:
        rows = []
        programs = [p for p in results.programs
                    if any((w, m, p) in results.values for w in workloads
                           for m in results.metrics.get(w, []))]
        for workload in workloads:
            for metric in results.metrics.get(workload, []):
                if metrics and metric not in metrics or "@" in metric:
                    continue
                cells = []
                for p in programs:
                    middle = results.median(workload, metric, p)
                    least = results.least(workload, metric, p)
                    several = len(results.values.get((workload, metric, p),
                                                     {})) > 1
                    cells.append(figure(middle) + (f" ({figure(least)})"
                                                   if several else ""))
                rows.append([f"{workload} {metric}"] + cells)
        if rows:
            out.write(f"### {title}\n\n")
            markdown([""] + programs, rows, out)


def insert(path, what, text):
    """Replace what stands between the two marks of the file."""
    begin, end = f"<!-- {what} -->\n", f"<!-- end of {what} -->\n"
    with open(path) as f:
        old = f.read()
    if begin not in old or end not in old:
        sys.exit(f"{path}: has no place for {what}")
    with open(path, "w") as f:
        f.write(old[:old.index(begin) + len(begin)] + "\n" + text
                + old[old.index(end):])


# ---- Plots ----------------------------------------------------------------

COLOURS = {"default": "#c0392b", "file": "#e67e22", "disk": "#f1c40f",
           "glibc": "#2c3e50", "mimalloc": "#2980b9", "jemalloc": "#27ae60",
           "tcmalloc": "#8e44ad", "memkind": "#16a085", "boost": "#7f8c8d",
           "pmemobj": "#95a5a6", "mapping": "#d35400", "none": "#bdc3c7",
           "lmdb": "#34495e"}


def gnuplot(script):
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def plot_dots(results, title, metric, workloads, programs, path):
    """One line for each workload, on it a dot for each program."""
    workloads = [w for w in workloads if metric in results.metrics.get(w, [])]
    programs = [p for p in programs if p in results.programs]
    if not workloads or not programs:
        return
    blocks, plots = [], []
    for p in programs:
        lines = [f"{results.median(w, metric, p)} {-i}"
                 for i, w in enumerate(workloads)
                 if results.median(w, metric, p)]
        if not lines:
            continue
        name = re.sub(r"\W", "_", p)
        ours = p in OURS
        blocks.append(f"${name} << EOD\n" + "\n".join(lines) + "\nEOD\n")
        plots.append(f"${name} using 1:2 with points pt {7 if ours else 6} "
                     f"ps {0.9 if ours else 0.7} lw 1.6 "
                     f"lc rgb '{COLOURS.get(p, '#000000')}' title '{p}'")
    tics = ", ".join(f"'{w}' {-i}" for i, w in enumerate(workloads))
    gnuplot(f"""set terminal svg size 760,{120 + 30 * len(workloads)} \
font 'sans-serif,13' background '#ffffff'
set output '{path}'
set title '{title}' font ',15'
set logscale x
set yrange [{-len(workloads) + 0.4}:0.6]
set ytics ({tics}) scale 0
set grid ytics xtics lc rgb '#dddddd' lt 1
set mxtics 1
set border 1 lc rgb '#888888'
set key outside right top
set xlabel 'nanoseconds, logarithmic'
{''.join(blocks)}
plot {', '.join(plots)}
""")


def plot_phases(results, path):
    """Memory over time, from the metrics NAME@STEP of workload phases."""
    blocks, plots = [], []
    for p in results.programs:
        series = {}
        for (w, metric, q), at in results.values.items():
            if w == "phases" and q == p and "@" in metric:
                what, step = metric.split("@")
                series.setdefault(int(step), {})[what] = \
                    statistics.median(at.values())
        if not series:
            continue
        if not blocks:
            live = "\n".join(f"{s} {v['live-mib']}"
                             for s, v in sorted(series.items()))
            blocks.append(f"$live << EOD\n{live}\nEOD\n")
            plots.append("$live using 1:2 with filledcurves x1 "
                         "lc rgb '#dddddd' title 'live'")
        name = re.sub(r"\W", "_", p)
        lines = "\n".join(f"{s} {v['resident-mib']}"
                          for s, v in sorted(series.items()))
        blocks.append(f"$p_{name} << EOD\n{lines}\nEOD\n")
        plots.append(f"$p_{name} using 1:2 with lines "
                     f"lw {2.6 if p in OURS else 1.4} "
                     f"lc rgb '{COLOURS.get(p, '#000000')}' title '{p}'")
    if plots:
        gnuplot(f"""set terminal svg size 860,420 font 'sans-serif,13' \
background '#ffffff'
set output '{path}'
set title 'Memory in 24 phases of other sizes' font ',15'
set xlabel 'phase'
set ylabel 'MiB'
set yrange [0:]
set border 3 lc rgb '#888888'
set tics nomirror
set key outside right top
{''.join(blocks)}
plot {', '.join(plots)}
""")


def plot_all(results, directory):
    if shutil.which("gnuplot") is None:
        print("plots: skipped, gnuplot is not installed", file=sys.stderr)
        return
    fast = OURS + VOLATILE + ["none"]
    plot_dots(results, "One thread", "ns", ONE_THREAD, fast,
              os.path.join(directory, "one-thread.svg"))
    plot_dots(results, "Two threads", "ns", THREADS, fast,
              os.path.join(directory, "threads.svg"))
    plot_dots(results, "Heaps in files", "ns",
              ["pair-64", "replace", "batch-random", "realloc-eight", "calloc",
               "swap-2"], ["file", "disk"] + PERSISTENT,
              os.path.join(directory, "persistent.svg"))
    plot_phases(results, os.path.join(directory, "phases.svg"))


# ---- Instructions ---------------------------------------------------------

# Column, loop of the driver, function counted; None: all of the loop, and
# nothing is subtracted.
COUNTED = [("pair with its loop", "100", None),
           ("malloc, 1 live", "1", "bench_malloc"),
           ("free", "1", "bench_free"),
           ("malloc, 100 live", "100", "bench_malloc"),
           ("free", "100", "bench_free"),
           ("malloc, 256 live", "256", "bench_malloc"),
           ("free", "256", "bench_free"),
           ("free, other thread", "remote", "bench_free"),
           ("calloc 64", "calloc", "bench_calloc"),
           ("realloc in place", "realloc", "bench_realloc")]


def collected(program, kind, function, n):
    toggle = [f"--toggle-collect={function}"] if function else []
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
        + toggle + [program, "loop", kind, str(n)],
        env=dict(os.environ, MMALLOC_VALGRIND="0"), text=True,
        capture_output=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    return int(found.group(1)) if done.returncode == 0 and found else None


def per_call(program, kind, function):
    """Instructions a call: the difference of a long and a short run."""
    short, long = 50000, 150000
    first = collected(program, kind, function, short)
    second = collected(program, kind, function, long)
    if first is None or second is None:
        return None
    return (second - first) / (long - short)


def instructions(programs, out):
    if shutil.which("valgrind") is None:
        out.write("bench-instructions: skipped, valgrind is not installed\n")
        return
    # A mapping that is filled from front to back is no more than "none".
    programs = [os.path.abspath(p) for p in programs
                if name_of(p) != "mapping"]
    programs.sort(key=lambda p: name_of(p) != "none")
    harness, rows = {}, []
    for program in programs:
        cells = []
        for i, (_, kind, function) in enumerate(COUNTED):
            value = per_call(program, kind, function)
            if name_of(program) == "none":
                harness[i] = value or 0
            elif value is not None and function is not None:
                value -= harness.get(i, 0)
            cells.append("-" if value is None else f"{value:.1f}")
        if any(c != "-" for c in cells):
            rows.append([name_of(program)] + cells)
        print(f"{name_of(program)} counted", file=sys.stderr)
    out.write(f"Revision {revision()}; {processor()}.  "
              "Instructions of one call; those of the call itself (none) are "
              "subtracted from the others, but not in the first column.\n\n")
    markdown([""] + [c[0] for c in COUNTED], rows, out)


# ---- All together ---------------------------------------------------------

def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("programs", nargs="*", metavar="PROGRAM")
    parser.add_argument("--show", metavar="CSV")
    parser.add_argument("--instructions", action="store_true")
    parser.add_argument("--quick", action="store_true",
                        help="fewer workloads, rounds and operations")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--scale", type=float, default=0)
    parser.add_argument("--only", metavar="WORKLOAD,...")
    parser.add_argument("--out", default="bench-results", metavar="DIR")
    parser.add_argument("--tmpfs", default="/dev/shm", metavar="DIR")
    parser.add_argument("--disk", default="/var/tmp", metavar="DIR",
                        help="for heaps on a disk (/var/tmp)")
    parser.add_argument("--insert", metavar="FILE.md")
    parser.add_argument("--timeout", type=float, default=600)
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 7)
    options.scale = options.scale or (0.3 if options.quick else 1)
    if not options.programs and not options.show:
        parser.error("no programs")
    return options


def main():
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if options.instructions:
        counted = io.StringIO()
        instructions(options.programs, counted)
        print(counted.getvalue(), end="")
        if options.insert:
            insert(options.insert, "instructions", counted.getvalue())
        return
    if options.show:
        with open(options.show, newline="") as f:
            rows = list(csv.reader(f))[1:]
    else:
        rows = measure(options)
    results = Results(rows)
    show(results, sys.stdout)
    if options.insert:
        tables = io.StringIO()
        show(results, tables)
        insert(options.insert, "tables", tables.getvalue())
    if options.show is None or options.out != "bench-results":
        os.makedirs(options.out, exist_ok=True)
        if options.show is None:
            with open(os.path.join(options.out, "results.csv"), "w",
                      newline="") as f:
                csv.writer(f, lineterminator="\n").writerows([FIELDS] + rows)
        with open(os.path.join(options.out, "tables.md"), "w") as f:
            show(results, f)
        plot_all(results, options.out)


if __name__ == "__main__":
    main()
