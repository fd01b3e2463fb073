"""tests/bench/run membership: gridd and Debian's serf as real processes on hosts of their own (network namespaces), under the same faults at the
same time, held against the numbers of membership. Needs root. tests/e2e/rig.py says how precise the times are, membership_cases.py what is done.

The join is taken alone, for it takes all the CPU time there is. The other cases mostly wait: they run in lanes beside one another, each a process with
networks and fleets of its own; --alone runs lane after lane.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import membership_cases as cases
from gridtest import Skip

SHARED = {  # name: (members, what to call); those of one lane share a network and fleets
    "kill": (16, cases.case_kill),
    "cut": (16, cases.case_cut),
    "stop5": (8, lambda *a: cases.case_stop(*a, 5)),
    "stop10": (8, lambda *a: cases.case_stop(*a, 10)),
    "loss25": (8, lambda a, *b: cases.case_loss(a, *b, 25, a.minutes, 0)),
    "loss50": (8, lambda a, *b: cases.case_loss(a, *b, 50, a.heavy_minutes, 3)),
    "split60": (8, lambda *a: cases.case_split(*a, 60, 2)),
    "split150": (8, lambda *a: cases.case_split(*a, 150, 5)),
}
OWN = {"join": cases.case_join, "traffic": cases.case_traffic, "memory": cases.case_memory}
CASES = ["kill", "cut", "stop5", "stop10", "loss25", "loss50", "split60", "split150", "join", "traffic", "memory"]  # as the table has them
LANES = [["kill", "cut"], ["stop5"], ["stop10"], ["loss25", "loss50"], ["split60", "split150"], ["memory", "traffic"]]
LONG = ("stop10", "split150")
NEIGHBOURS = Path("/proc/sys/net/ipv4/neigh/default")  # one table for all namespaces
NEIGHBOURS_MOST = {"gc_thresh1": 8192, "gc_thresh2": 16384, "gc_thresh3": 32768}


class Table:
    """Rows of figures: of both, the bound and the verdict on ours."""

    def __init__(self, rows=()):
        self.rows, self.case = list(rows), ""

    def say(self, text):
        print(f"{time.strftime('%H:%M:%S')} {self.case}: {text}", flush=True)

    def progress(self, what, trial, trials):
        if trial + 1 == trials or trial % 5 == 4:
            self.say(f"{what} {trial + 1} of {trials}")

    def add(self, case, bound, figures, holds, note=""):
        """`figures` by fleet name; `holds` is None when there is no bound."""
        verdict = "" if holds is None else "holds" if holds else "falls short"
        row = (case, figures.get("gridd", ""), figures.get("serf", ""), bound, verdict, f"{os.getloadavg()[0]:.1f}", note)
        self.rows.append((self.case, row))
        self.say(" | ".join(filter(None, row)))

    def show(self):
        print("\n| case | gridd | serf | bound | | load |\n|---|---|---|---|---|---|")
        for _, (case, ours, theirs, bound, verdict, load, note) in sorted(self.rows, key=lambda row: CASES.index(row[0])):
            print(f"| {case}{f' ({note})' if note else ''} | {ours} | {theirs} | {bound} | {verdict} | {load} |", flush=True)


def add_arguments(parser):
    parser.add_argument("--cases", type=lambda text: text.split(","), help=f"of {','.join(CASES)}; all by default")
    parser.add_argument("--systems", type=lambda text: text.split(","), default=["gridd", "serf"])
    parser.add_argument("--short", action="store_true", help="a minute of each loss, few trials, and without the cases that take longest: " + ", ".join(LONG))
    parser.add_argument("--alone", action="store_true", help="lane after lane, not beside one another")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--beside", type=int, default=6, help="in so many of the kills serf takes part, which takes ten times as long to know")
    parser.add_argument("--cuts-beside", type=int, default=3, help="and in so many of the cuts: it takes half a minute to be whole again")
    parser.add_argument("--stops", type=int, default=20)
    parser.add_argument("--splits", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=10, help="of 25%% loss")
    parser.add_argument("--heavy-minutes", type=float, default=3, help="of 50%% loss")
    parser.add_argument("--option", action="append", default=[], help="one more for each gridd")
    parser.add_argument("--keep", help="a folder for the logs, which stay")


def shorten(args):
    args.minutes = args.heavy_minutes = 1
    args.kills, args.cuts, args.stops, args.splits, args.rounds = 5, 3, 5, 1, 2
    args.beside = args.cuts_beside = 2


# ---- lanes ----------------------------------------------------------------------------------------------------------------------------------


def run_own(args, name, table):
    table.case = name
    table.say(f"begins, load average {os.getloadavg()[0]:.1f}")
    OWN[name](args, table)


def run_shared(args, names, table):
    count = SHARED[names[0]][0]
    table.case = names[0]
    with cases.fresh(args, count, *cases.kinds_of(args)) as (network, fleets):
        cases.start(fleets)
        for name in names:
            table.case = name
            table.say(f"begins, {count} members, load average {os.getloadavg()[0]:.1f}")
            SHARED[name][1](args, network, fleets, table)


def run_lane(args, names, table):
    shared = [name for name in names if name in SHARED]
    if shared:
        run_shared(args, shared, table)
    for name in names:
        if name in OWN:
            run_own(args, name, table)


def lane_process(args, names, pipe):
    """What a lane's process does: its rows, also of a lane that fails, go through the pipe."""
    table, reason = Table(), ""
    try:
        run_lane(args, names, table)
    except Skip as why:
        reason = f"cannot be measured: {why}"
    except Exception as why:  # the other lanes go on
        reason = f"{type(why).__name__}: {why}"
    pipe.send((table.rows, reason and f"{','.join(names)}: {reason}"))


def run_beside(args, lanes, table):
    """All lanes at the same time. Returns what went wrong, as sentences."""
    fork = multiprocessing.get_context("fork")
    running, wrong = [], []
    try:
        for names in lanes:
            ours, theirs = fork.Pipe(duplex=False)
            process = fork.Process(target=lane_process, args=(args, names, theirs))
            process.start()
            theirs.close()
            running.append((process, ours))
        for process, pipe in running:
            try:
                rows, reason = pipe.recv()
            except EOFError:
                rows, reason = [], "a lane ended without a word"
            table.rows += rows
            wrong += [reason] if reason else []
            process.join()
    finally:
        for process, _ in running:
            if process.is_alive():
                process.terminate()  # it takes its network down
        for process, _ in running:
            process.join()
    return wrong


@contextlib.contextmanager
def many_neighbours():
    """Room for all hosts' addresses in the kernel's table of neighbours, which is one for all namespaces and holds 1,024: with more, packets are lost."""
    before = {}
    try:
        for name, most in NEIGHBOURS_MOST.items():
            text = (NEIGHBOURS / name).read_text()
            if int(text) < most:
                (NEIGHBOURS / name).write_text(str(most))
                before[name] = text
    except OSError as reason:
        print(f"the table of neighbours stays as it is, and packets may be lost where there are many hosts: {reason}", flush=True)
    try:
        yield
    finally:
        for name, text in before.items():
            (NEIGHBOURS / name).write_text(text)


# ---- the run ------------------------------------------------------------------------------------------------------------------------------


def chosen(args):
    wanted = args.cases or [c for c in CASES if not (args.short and c in LONG)]
    unknown = [c for c in wanted if c not in CASES]
    if unknown:
        raise SystemExit(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    return wanted


def bench(args):
    wanted, wrong, table = chosen(args), [], Table()
    lanes = [lane for lane in ([name for name in lane if name in wanted] for lane in LANES) if lane]
    if args.short:
        shorten(args)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("membership: ended by a signal"))  # what was set up is taken down, as on Ctrl-C
    begun = time.time()
    try:
        with many_neighbours():
            if "join" in wanted:
                wrong += run_beside(args, [["join"]], table)
            for group in [[lane] for lane in lanes] if args.alone else [lanes]:
                wrong += run_beside(args, group, table)
    finally:
        table.show()
        print(f"\n{(time.time() - begun) / 60:.1f} minutes")
    if wrong:
        raise SystemExit("\n".join(wrong))
