"""tests/bench/run discovery: how long it takes until a node that was started is linked with the one that was there, by each way of finding it. Needs root but for the DHT: hosts of their
own are network namespaces. Of each figure the median and the worst of the rounds; the second node's state folder is a new one in each, but for those that are about a restart.

From the moment before the process is made until the node writes that the other has joined it.
"""

import contextlib
import json
import os
import shutil
import statistics
import sys
import time

from gridtest import ROOT, Failure, Skip, wait_for
from rig import json_time

sys.path.insert(0, str(ROOT / "tests" / "interop"))

import test_dht as dht  # noqa: E402
import test_discovery as dns  # noqa: E402
import test_mdns as mdns  # noqa: E402
import test_nat as nat  # noqa: E402

LINK_S = 60
QUIET_S = 5  # a responder says nothing twice within a second, and repeats its announcements for some: what is measured is one that has been there for a while


def add_arguments(parser):
    parser.add_argument("--ways", type=lambda text: text.split(","), help=f"of {','.join(WAYS)}; all by default")


def met_at(node, since):
    """When, by its log, it had its first member after `since`; None: it has none yet."""
    for line in node.log.read_text(errors="replace").splitlines():
        if '"msg":"membership"' not in line or '"event":"joined"' not in line:
            continue
        at = json_time(json.loads(line)["ts"])
        if at >= since:
            return at
    return None


def timed(node, launch):
    """Seconds from its launch until it is linked with somebody."""
    began = time.time()
    launch()
    wait_for(lambda: met_at(node, began - 0.001) is not None, f"{node.name} is linked", LINK_S)
    return met_at(node, began - 0.001) - began


def forget(node):
    """It is stopped, and starts as if for the first time."""
    node.stop()
    shutil.rmtree(node.state)


def repeated(args, node, launch, between=forget):
    figures = []
    for number in range(args.rounds):
        figures.append(timed(node, launch))
        if number + 1 < args.rounds:
            between(node)
    return figures


# ---- the ways -------------------------------------------------------------------------------------------------------------------------------


def beside_others(args, fleet, *others):
    def leave(node):
        forget(node)
        time.sleep(QUIET_S)

    mdns.launch(fleet, *others)
    fleet.wait_whole(LINK_S, others)
    time.sleep(QUIET_S)
    return repeated(args, fleet.nodes[2], lambda: mdns.launch(fleet, 2), leave)


def by_mdns(args):
    """Each has the Gridfile."""
    with mdns.lan(2) as (fleet, _):
        for node in fleet.nodes.values():
            node.gridfile = fleet.gridfile
            del node.options[: node.options.index("--discover")]
        return beside_others(args, fleet, 1)


def by_mdns_and_password(args):
    """And joins before it is linked: the password is stretched, an exchange follows."""
    with mdns.lan(3) as (fleet, _):
        return beside_others(args, fleet, 1, 3)  # who founded the grid stays


def by_service(args):
    with dns.named_nodes(2, "--join", f"srv:_gridcontrol._tcp.{dns.DOMAIN}") as (fleet, names):
        names.start(*dns.srv(f"_gridcontrol._tcp.{dns.DOMAIN}", 1, 2))
        fleet.launch(1)
        fleet.wait_started(1)
        return repeated(args, fleet.nodes[2], lambda: fleet.launch(2))


def by_memory(args):
    """A restart that nothing else helps."""
    with mdns.lan(2) as (fleet, _):
        node = fleet.nodes[2]
        mdns.launch(fleet, 1, 2)
        wait_for((node.state / "peers").exists, "it keeps where the other lives")
        node.options[node.options.index("mdns")] = "none"
        node.stop()
        return repeated(args, node, node.launch, lambda n: n.stop())


@contextlib.contextmanager
def pair_in_the_dht():
    with contextlib.closing(dht.Swarm()) as swarm, dht.nodes_in_the_dht(1, swarm.bootstrap()) as grid:
        dht.wait_in_the_dht(grid[0])
        yield grid, grid.add(join=None, start=False)


def by_dht_cold(args):
    with pair_in_the_dht() as (_, node):
        return repeated(args, node, node.launch)


def by_dht_warm(args):
    def leave(node):
        node.stop()
        (node.state / "peers").unlink(missing_ok=True)

    with pair_in_the_dht() as (_, node):
        node.start()
        wait_for(lambda: met_at(node, 0) is not None, "it is linked", LINK_S)
        leave(node)
        node.options[node.options.index("--dht-bootstrap") + 1] = "none"
        return repeated(args, node, node.launch, leave)


def behind_nat(args):
    """The second one is behind a gateway."""
    with nat.homes(2, (2,)) as fleet:
        nat.launch(fleet, 1)
        return repeated(args, fleet.nodes[2], lambda: fleet.launch(2, join=1))


def both_behind_nat(args):
    """Until the two behind gateways are linked with each other, by way of a third."""
    def launch():
        fleet.launch(3, join=1)
        wait_for(lambda: fleet.wait_whole(0.1, (2, 3)), "both see each other", LINK_S)

    with nat.homes(3, (2, 3)) as fleet:
        nat.launch(fleet, 1, 2)
        figures = []
        for _ in range(args.rounds):
            began = time.time()
            launch()
            figures.append(time.time() - began)
            forget(fleet.nodes[3])
            fleet.forget(3)
        return figures


WAYS = {  # name: (what it is, the bound in seconds, how)
    "mdns": ("a LAN, multicast DNS", 1, by_mdns),
    "mdns-password": ("the same, given name and password alone", 1, by_mdns_and_password),
    "srv": ("DNS SRV, dnsmasq", 1, by_service),
    "remembered": ("a restart, nothing else to find it by", None, by_memory),
    "dht-cold": ("a DHT of 50 nodes of bittorrent-dht, cold table", 10, by_dht_cold),
    "dht-warm": ("the same, warm table, no bootstrap node", 3, by_dht_warm),
    "nat": ("one of two behind a gateway", 3, behind_nat),
    "relay": ("both behind gateways, by way of a third", 5, both_behind_nat),
}


def row(name, args):
    what, bound, measure = WAYS[name]
    load = os.getloadavg()[0]
    try:
        figures = measure(args)
    except (Skip, Failure, FileNotFoundError) as reason:
        return f"| {what} | not measured: {str(reason)[:160]} | | | {load:.1f} |"
    median, worst = statistics.median(figures), max(figures)
    verdict = "" if bound is None else "holds" if median <= bound else "falls short"
    return f"| {what} | {median:.2f} s, worst of {len(figures)}: {worst:.2f} s | {f'{bound} s' if bound else ''} | {verdict} | {load:.1f} |"


def bench(args):
    print("| way | linked after | bound | | load |\n|---|---|---|---|---|", flush=True)
    for name in args.ways or WAYS:
        print(row(name, args), flush=True)
