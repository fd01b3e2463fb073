"""tests/bench/run replication: a release's way from folder to folder, beside programs that do a part of it. The corpus is a real npm tree of about
5,000 files, installed by `npm ci` from npm-tree/ into build/bench. What works alone (store, trees) is driven by fs_tool.c, process against process,
in turns; figures are medians and bests of the rounds, ratios those of one run.

A case is a row of CASES: its name, what it measures, what it is held against, the goal, and a function of (Bench, Table). A module of cases has a list
CASES of such rows, and is named in MODULES."""

import importlib
import json
import os
import shutil
import statistics
import subprocess
import time
from collections import namedtuple
from pathlib import Path

from gridtest import BIN, ROOT

HERE = Path(__file__).resolve().parent
OUT = ROOT / "build" / "bench"
SETTLED_S = 3  # a file must be older than this for its stamp to be trusted: see docs/formats/stat-cache.md
MODULES = ["replication_swarm", "replication_tree"]  # others with cases

Case = namedtuple("Case", "name title beside goal run")


# ---- the frame ------------------------------------------------------------------------------------------------------------------------------


class Table:
    """Rows of figures: ours, theirs, and the ratio of both."""

    def __init__(self):
        self.rows, self.case = [], None

    def add(self, ours, theirs="", ratio="", holds=None, note=""):
        verdict = "" if holds is None else "holds" if holds else "falls short"
        title = f"{self.case.title}{f' ({note})' if note else ''}"
        row = (title, ours, self.case.beside, theirs, ratio, self.case.goal, verdict, f"{os.getloadavg()[0]:.1f}")
        self.rows.append(row)
        print(f"{time.strftime('%H:%M:%S')} " + " | ".join(filter(None, row)), flush=True)

    def compare(self, ours, theirs, limit, note=""):
        """Seconds of either, by rounds: ours may take at most `limit` of theirs, by the medians."""
        middle, best = (choose(ours) / choose(theirs) for choose in (statistics.median, min))
        self.add(seconds_text(ours), seconds_text(theirs), f"{middle:.2f}, best {best:.2f}", middle <= limit, note)

    def show(self):
        print("\n| case | gridd | beside | | ratio | goal | | load |\n|---|---|---|---|---|---|---|---|")
        for row in self.rows:
            print(f"| {' | '.join(row)} |")


def seconds_text(values):
    return f"{statistics.median(values) * 1000:.1f} ms, best {min(values) * 1000:.1f}"


def run(*command, **options):
    return subprocess.run([str(c) for c in command], check=True, stdin=subprocess.DEVNULL, **options)


def timed(*command):
    """Seconds from the start of a program to its end."""
    begun = time.perf_counter()
    run(*command, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def alternate(rounds, **jobs):
    """Each job (a function of the round that returns seconds) once a round, the other first in every second one. Seconds by name."""
    taken = {name: [] for name in jobs}
    for number in range(rounds):
        order = list(jobs) if number % 2 == 0 else list(reversed(jobs))
        for name in order:
            taken[name].append(jobs[name](number))
    return taken


class Bench:
    """What cases stand on: options, the corpus, a folder of their own on the disk of the build tree."""

    def __init__(self, args):
        self.args, self.rounds = args, args.rounds
        self.folder = OUT / f"replication-{os.getpid()}"

    def __enter__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def tool(self):
        run("cmake", "--build", BIN.parent, "--target", "fs_tool", stdout=subprocess.DEVNULL)
        return BIN / "fs_tool"

    def corpus(self):
        """The npm tree, which nobody changes."""
        target, lock = OUT / "npm-tree", (HERE / "npm-tree" / "package-lock.json").read_bytes()
        done = target / "node_modules" / ".package-lock.json"
        if not done.exists() or (target / "package-lock.json").read_bytes() != lock:
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(HERE / "npm-tree", target)
            run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=target, stdout=subprocess.DEVNULL)
        return target

    def working_copy(self, name="work"):
        """A copy of the corpus to change, old enough that what is known of its files may be trusted."""
        target = self.folder / name
        run("cp", "-a", self.corpus(), target)
        time.sleep(SETTLED_S)
        return target


def size_of(folder):
    files = [p for p in Path(folder).rglob("*") if p.is_file() and not p.is_symlink()]
    return len(files), sum(p.stat().st_size for p in files)


# ---- storing --------------------------------------------------------------------------------------------------------------------------------


def casync_make(folder, number, tree):
    return timed("casync", "make", f"--store={folder}/casync.castr", folder / f"{number}.caidx", tree)


def case_first(bench, table):
    """An empty store each time; both find the tree in the page cache."""
    tool, tree = bench.tool(), bench.corpus()
    files, size = size_of(tree)

    def ours(number):
        folder = bench.folder / f"first-{number}"
        folder.mkdir()
        return timed(tool, "publish", folder, tree)

    def theirs(number):
        folder = bench.folder / f"casync-{number}"
        folder.mkdir()
        return casync_make(folder, number, tree)

    timed("tar", "-C", tree, "-cf", "/dev/null", ".")  # into the page cache
    taken = alternate(bench.rounds, gridd=ours, casync=theirs)
    table.compare(taken["gridd"], taken["casync"], 0.5, f"{files:,} files, {size / 1e6:.1f} MB; ours is synced to the disk")


def change_a_line(tree, number):
    path = tree / "node_modules" / "express" / "index.js"
    lines = path.read_text().splitlines(keepends=True)
    lines[len(lines) // 2] = f"// changed {number}\n"
    path.write_text("".join(lines))


def case_again(bench, table):
    """The same store again, one line of one file being another one."""
    tool, tree = bench.tool(), bench.working_copy()
    mine, other = bench.folder / "again", bench.folder / "again-casync"
    mine.mkdir()
    other.mkdir()
    publish = (tool, "publish", mine, tree)
    timed(*publish)
    casync_make(other, "before", tree)

    def ours(number):
        change_a_line(tree, 2 * number)
        return timed(*publish)

    def theirs(number):
        change_a_line(tree, 2 * number + 1)
        return casync_make(other, number, tree)

    taken = alternate(bench.rounds, gridd=ours, casync=theirs)
    table.compare(taken["gridd"], taken["casync"], 0.1)


# ---- chunking -------------------------------------------------------------------------------------------------------------------------------


def speed(tool, job, path):
    """GB/s of one core."""
    cpu = min(os.sched_getaffinity(0))
    done = json.loads(run("taskset", "-c", cpu, tool, job, path, capture_output=True, text=True).stdout)
    return done["bytes"] / done["seconds"] / 1e9


def case_chunking(bench, table):
    """In memory: random bytes, in which cuts are as they are on average."""
    tool, path = bench.tool(), bench.folder / "random"
    path.write_bytes(os.urandom(256 * 1024 * 1024))
    rates = {"chunk": [], "hash": []}
    for _ in range(bench.rounds):
        for job, found in rates.items():
            found.append(speed(tool, job, path))
    path.unlink()
    texts = [f"{statistics.median(rates[job]):.2f} GB/s, best {max(rates[job]):.2f}" for job in ("chunk", "hash")]
    ratio = statistics.median(rates["chunk"]) / statistics.median(rates["hash"])
    table.add(*texts, f"{ratio:.2f}", statistics.median(rates["chunk"]) >= 1.5)


CASES = [
    Case("first", "first store", "casync make", "at most half its time", case_first),
    Case("again", "again, one line changed", "casync make", "at most a tenth", case_again),
    Case("chunking", "chunking alone, one core", "SHA-256", "at least 1.5 GB/s", case_chunking),
]


def all_cases():
    return CASES + [case for name in MODULES for case in importlib.import_module(name).CASES]


def add_arguments(parser):
    for name in MODULES:
        getattr(importlib.import_module(name), "add_arguments", lambda _: None)(parser)
    parser.add_argument("--only", type=lambda text: text.split(","), help="cases, by name: " + ",".join(case.name for case in all_cases()))


def bench(args):
    OUT.mkdir(parents=True, exist_ok=True)
    cases = all_cases()
    unknown = set(args.only or []) - {case.name for case in cases}
    if unknown:
        raise SystemExit(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(case.name for case in cases)}")
    table = Table()
    with Bench(args) as context:
        for case in cases:
            if not args.only or case.name in args.only:
                table.case = case
                case.run(context, table)
    table.show()
