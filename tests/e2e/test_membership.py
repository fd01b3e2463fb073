"""What members know of each other while packets are lost, processes stop, die and flap, and hosts are cut off: five nodes on hosts of their own.
Deadlines are for what must happen at all; how fast it happens is tests/bench/run membership's to say."""

import collections
import contextlib
import json
import os
import subprocess
import time

from gridtest import Failure, check, check_equal, check_in, once, shared, timeout, wait_for
from rig import GridFleet, rig

MEMBERS = 5  # and one more host, for whoever comes besides


class HostedGrid:
    """The five, as the harness wants a shared grid."""

    def __init__(self):
        with contextlib.ExitStack() as stack:
            self.network, (self.fleet,) = stack.enter_context(rig(MEMBERS + 1, GridFleet, members=MEMBERS))
            self.fleet.start_all()
            self.stack = stack.pop_all()

    @property
    def nodes(self):
        return list(self.fleet.nodes.values())

    def alive(self):
        return [node for node in self.nodes if node.alive()]

    def __exit__(self, *failed):
        self.stack.__exit__(*failed)


@shared
def five():
    return HostedGrid()


def whole_again(fleet, deadline_s=60):
    check(fleet.wait_whole(deadline_s), f"not everyone sees everyone: {fleet.gaps()}")


def calm():
    """The five, seeing each other, without any drop."""
    grid = five()
    grid.network.heal()
    grid.network.lose(0)
    whole_again(grid.fleet)
    return grid.network, grid.fleet


def others(fleet, *without):
    return [n for n in fleet.numbers if n not in without]


def until_all_say(fleet, at, subject, states, observers, deadline_s):
    told = lambda: len(fleet.first(at, subject, states, observers)) == len(observers)  # noqa: E731
    check(fleet.wait(told, "all say so", deadline_s), f"after {deadline_s} s not all of {observers} say of m{subject} that it is {states}: {fleet.since(at)}")


@once
def test_a_killed_member_is_known_dead_by_all_and_comes_back():
    _, fleet = calm()
    at = time.time()
    fleet.kill(4)
    until_all_say(fleet, at, 4, ("dead",), others(fleet, 4), 15)
    check_equal(fleet.since(at, states=("dead",), observers=others(fleet, 4))[0].subject, 4, "who is dead")
    fleet.launch(4, join=1)
    whole_again(fleet)
    fleet.wait_started(4)


@once
def test_a_stopped_member_is_not_routed_to_and_not_dead():
    _, fleet = calm()
    at = time.time()
    fleet.freeze(3)
    try:
        until_all_say(fleet, at, 3, ("stalled",), others(fleet, 3), 4.5)
        time.sleep(max(0, at + 5 - time.time()))  # how long it stops is what is tested
    finally:
        fleet.thaw(3)
    check(fleet.wait_whole(10), f"it is not routable again: {fleet.gaps()}")
    check_equal(fleet.since(at, states=("dead", "left")), [], "deaths told of")


def counted(fleet):
    """The counters of gossip, of all nodes together."""
    sums = collections.Counter()
    for number in fleet.numbers:
        for line in get(fleet.nodes[number], "/metrics").splitlines():
            if line.startswith("grid_gossip_") and "_total " in line:
                name, value = line.split(" ")
                sums[name.removeprefix("grid_gossip_").removesuffix("_total")] += int(value)
    return sums


@once
def test_a_split_is_seen_by_both_sides_and_heals():
    network, fleet = calm()
    left, right = [1, 2], [3, 4, 5]
    before = counted(fleet)
    at = time.time()
    network.split(left, right)
    for side, far in ((left, right), (right, left)):
        for subject in far:
            until_all_say(fleet, at, subject, ("dead",), side, 40)
    check_equal([e for e in fleet.since(at, states=("dead",)) if (e.observer in left) == (e.subject in left)], [], "deaths told of on one's own side")
    network.heal()
    whole_again(fleet)
    least = {"deaths": 12, "false_positives": 12, "suspicions": 5, "stalls": 5, "refutations": 5, "received_bytes": 1000, "sent_bytes": 1000}
    wait_for(lambda: all((counted(fleet) - before)[name] >= number for name, number in least.items()), f"what happened is counted, at least {least}")


@once
def test_a_host_cut_off_one_way_is_not_called_dead_by_those_it_reaches():
    """It hears nothing and is heard: whatever is made of it, the rest stay whole, and all is well after."""
    network, fleet = calm()
    rest = others(fleet, 5)
    at = time.time()
    network.cut((1, 5))
    time.sleep(8)  # longer than nothing acknowledged means a death between two
    network.heal()
    whole_again(fleet)
    among = [e for e in fleet.since(at, states=("dead",), observers=rest)]
    check_equal(among, [], "deaths told of, though the others hear both")


@once
def test_the_second_of_a_name_is_refused_and_the_first_stays():
    network, fleet = calm()
    at = time.time()
    second = fleet.node(MEMBERS + 1, (), name="second")
    second.name, second.join = "m2", fleet.nodes[1].info["listen"]
    incumbent = fleet.nodes[2].info["id"]
    try:
        second.launch()
        wait_for(lambda: "m2" in second.text() and "refused" in second.text(), "the newcomer is told that its name is taken", 30)
        check(second.alive(), "the newcomer has given up")
        check_equal([e for e in fleet.since(at, 2, observers=others(fleet, 2)) if e.state != "up"], [], "what is said of the incumbent")
        for number in others(fleet, 2):
            found = {m["id"] for m in listed(fleet.nodes[number]) if m["name"] == "m2"}
            check_equal(found, {incumbent}, f"who m{number} says m2 is")
    finally:
        wrong = second.close()
    check_equal(wrong, [], "the newcomer's end")
    whole_again(fleet)


def get(node, path):
    """It is on a network of its own, but its socket is a file."""
    done = subprocess.run(["curl", "-sS", "--max-time", "10", "--unix-socket", str(node.socket), f"http://localhost{path}"], capture_output=True, text=True)
    check_equal(done.returncode, 0, f"GET {path}: {done.stderr}")
    return done.stdout


def listed(node):
    """Its hosts."""
    hosts = json.loads(get(node, "/hosts/list"))
    return hosts if isinstance(hosts, list) else list(hosts.values())


@once
@timeout(180)
def test_a_flapping_member_does_not_disturb_the_rest():
    _, fleet = calm()
    rest = others(fleet, 5)
    at = time.time()
    for turn in range(1, 11):
        fleet.kill(5)
        fleet.launch(5, join=1)
        time.sleep(max(0, at + 2 * turn - time.time()))  # every 2 s
    whole_again(fleet)
    check_equal([e for e in fleet.since(at, states=("stalled", "dead", "left"), observers=rest) if e.subject != 5], [], "what the rest say of each other")


@once
def test_round_trips_of_probes_are_measured_in_microseconds():
    _, fleet = calm()
    name = "grid_gossip_probe_rtt_seconds"

    def samples():
        return {key: float(value) for key, value in (line.split(" ") for line in get(fleet.nodes[1], "/metrics").splitlines() if line.startswith(name))}

    wait_for(lambda: samples()[name + "_count"] >= 2, "two probes were answered")
    now = samples()
    total = now[name + "_sum"]
    buckets = [(float(key.split('"')[1]), count) for key, count in now.items() if "_bucket" in key]
    check_equal(sorted(buckets), buckets, "bounds and counts, which grow together")
    check_equal(buckets[-1], (float("inf"), now[name + "_count"]), "the last bucket holds all")
    check(round(total * 1e6) % 1000 != 0, f"the sum of {now[name + '_count']:.0f} round trips is finer than milliseconds: {total} s")


@once
@timeout(180)
def test_a_quarter_of_all_packets_lost_for_a_minute_kills_nobody():
    network, fleet = calm()
    at = time.time()
    network.lose(25)
    try:
        time.sleep(60)  # what is tested is that nothing happens
        check_equal(fleet.since(at, states=("dead", "left")), [], "deaths told of")
    finally:
        network.lose(0)
    whole_again(fleet)
