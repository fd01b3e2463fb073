"""Cases of `tests/bench/run replication` with whole grids: from a saved line to new answers on ten nodes, a rollback, and what a publisher uploads when
eight others fetch at the same time over links of a given speed (network namespaces; root)."""

import contextlib
import json
import os
import re
import shutil
import statistics
import time

from gridtest import Failure, Grid, Skip, check, compiled, grid_command, wait_for, ECHO_SOURCE
from replication import Case
from rig import GridFleet, rig

NODES = 10
LARGE_BYTES, LARGE_FILES = 16 * 1024 * 1024, 5
UPLOAD_NODES, LINK = 8, "100mbit"


def add_task(tree):
    (tree / "tasks").mkdir()
    shutil.copy(compiled(ECHO_SOURCE), tree / "tasks" / "echo")


def large_tree(bench):
    """200 MB in 40,000 files: eight copies of the npm tree and five long files."""
    tree = bench.folder / "large"
    tree.mkdir(exist_ok=True)
    for i in range(8):
        shutil.copytree(bench.corpus(), tree / f"part{i}", symlinks=True)
    for i in range(LARGE_FILES):
        (tree / f"long{i}").write_bytes(os.urandom(LARGE_BYTES))
    add_task(tree)
    return tree


def deploy(node, *args):
    """`grid deploy` or `grid rollback` to its end: what it said last."""
    done = node.grid(*args, "--json", "--wait", "600s", check_code=0, timeout_s=600)
    return json.loads(done.out)


def metric(node, name):
    found = re.search(rf"^{name} (\d+)$", node.get("/metrics").text, re.M)
    check(found, f"no {name} in /metrics")
    return int(found.group(1))


def moved(nodes):
    return sum(metric(node, "grid_release_received_bytes_total") for node in nodes)


def check_served(nodes, root):
    for node in nodes:
        answer = node.invoke("echo", b"{}", {"Grid-Node": node.name})
        check(answer.status == 200 and answer.headers.get("grid-release") == root, f"{node.name} answers {answer.status} from {answer.headers.get('grid-release')}")


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def figures(values):
    return f"median {statistics.median(values) * 1000:.0f} ms, p99 {percentile(values, 0.99) * 1000:.0f}, best {min(values) * 1000:.0f}"


@contextlib.contextmanager
def large_grid(bench):
    tree = large_tree(bench)
    with Grid(NODES, workers=1, options=["--log-level", "warn"]) as grid:
        begun = time.perf_counter()
        deploy(grid[0], "deploy", tree)
        print(f"the first deploy of {tree.name} to {NODES} nodes took {time.perf_counter() - begun:.1f} s", flush=True)
        yield grid, tree


def save(grid, tree, number):
    """Seconds from a changed line to the end of `grid deploy`: each node has told that it answers from the new release, which is looked at then."""
    path = tree / f"part{number % 8}" / "node_modules" / "express" / "index.js"
    text = path.read_text()
    begun = time.perf_counter()
    path.write_text(text + f"// line {number}\n")
    said = deploy(grid[0], "deploy", tree)
    took = time.perf_counter() - begun
    check_served(grid.nodes, said["root"])
    return took


def count_trees(node):
    return sum(not p.is_symlink() and not p.name.startswith(".") for p in (node.state / "releases").iterdir())


def wait_trees_ahead(grid):
    """Seconds until each node has made a second tree."""
    begun = time.perf_counter()
    for node in grid.nodes:
        wait_for(lambda: count_trees(node) > 1, f"{node.name} has made a tree ahead", 120)
    return time.perf_counter() - begun


def case_save(bench, table):
    with large_grid(bench) as (grid, tree):
        ahead = wait_trees_ahead(grid)
        table.add(f"{save(grid, tree, 0) * 1000:.0f} ms", note=f"the first save; {ahead:.1f} s after the first deploy each node had made a tree of 40,000 files ahead")
        taken = [save(grid, tree, number + 1) for number in range(bench.args.saves)]
        table.add(figures(taken), holds=percentile(taken, 0.99) <= 1, note=f"{len(taken)} saves")
        rollback(bench, table, grid)


def rollback(bench, table, grid):
    """There and back."""
    table.case = ROLLBACK
    taken, before = [], moved(grid.nodes)
    for _ in range(bench.args.rollbacks):
        begun = time.perf_counter()
        said = deploy(grid[0], "rollback")
        taken.append(time.perf_counter() - begun)
        check_served(grid.nodes, said["root"])
    sent = moved(grid.nodes) - before
    table.add(figures(taken), f"{sent} bytes of chunks", holds=max(taken) <= 1 and sent == 0, note=f"{len(taken)} rollbacks")


# ---- the publisher's upload -----------------------------------------------------------------------------------------------------------------


def store_bytes(node):
    return sum(p.stat().st_size for p in (node.state / "store").rglob("*") if p.is_file())


def deploy_on_host(network, fleet, number, tree):
    node = fleet.nodes[number]
    done = grid_command("deploy", tree, "--json", cwd=node.folder, check_code=0, timeout_s=600,
                        env={"GRID_API_SOCKET": str(node.socket)})
    return json.loads(done.out)


def upload_once(bench, rate):
    tree = bench.folder / "upload"
    if not tree.exists():
        shutil.copytree(bench.corpus(), tree, symlinks=True)
        add_task(tree)
    with rig(UPLOAD_NODES + 1, GridFleet) as (network, (fleet,)):
        for number in fleet.numbers:
            network.cap(number, rate)
        fleet.start_all()
        before, begun = network.sent(1), time.perf_counter()
        deploy_on_host(network, fleet, 1, tree)
        took, sent = time.perf_counter() - begun, network.sent(1) - before
        copies = [store_bytes(fleet.nodes[n]) for n in fleet.numbers if n > 1]
    return sent, statistics.median(copies), took


def case_upload(bench, table):
    """All bytes that leave the publisher's host, with what TCP and TLS put around them, against what one node keeps."""
    try:
        runs = [upload_once(bench, bench.args.link) for _ in range(bench.rounds)]
    except Skip as why:
        table.add(f"cannot be measured: {why}")
        return
    copies = [sent / copy for sent, copy, _ in runs]
    ours = f"{statistics.median(copies):.2f} copies, worst {max(copies):.2f}; {statistics.median(took for _, _, took in runs):.1f} s"
    alone = statistics.median(copy for _, copy, _ in runs)
    table.add(ours, f"{UPLOAD_NODES} copies of {alone / 1e6:.1f} MB", f"{statistics.median(copies) / UPLOAD_NODES:.2f}", max(copies) <= 1.5, f"{bench.args.link} a link")


def add_arguments(parser):
    parser.add_argument("--saves", type=int, default=100, help="edits of the case `save`")
    parser.add_argument("--rollbacks", type=int, default=20)
    parser.add_argument("--link", default=LINK, help="speed of each host's link in the case `upload`, as tc writes it")


ROLLBACK = Case("rollback", "rollback, 10 nodes", "", "at most 1 s, 0 bytes of chunks", None)
CASES = [
    Case("save", "save to served on all, 10 nodes, a line of 200 MB", "", "p99 at most 1 s", case_save),
    Case("upload", "publisher's upload to 8 nodes over capped links", "one copy per node", "at most 1.5 copies in all", case_upload),
]
