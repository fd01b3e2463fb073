"""The cases of tests/bench/run membership (membership.py): one kind of fault each, made for all fleets on a network at the same moment, and what their
members say of it.

Where gridd and serf stand side by side they share every packet's fate only in kind: each packet is dropped by chance of its own; cuts, kills and stops
meet both at once. Joins, traffic and memory are taken one fleet after the other.
"""

import os
import random
import statistics
import tempfile
import time
from pathlib import Path

from rig import GridFleet, SerfFleet, rig

DEAD, UNROUTABLE = ("dead",), ("stalled", "dead")
INCIDENT_S = 5  # two members who say within this time that a third is dead speak of one death


# ---- figures ----------------------------------------------------------------------------------------------------------------------------


def seconds(values):
    """Worst and median; values that are None were never reached."""
    missing = sum(v is None for v in values)
    there = [v for v in values if v is not None]
    text = f"worst {max(there):.2f} s, median {statistics.median(there):.2f} s" if len(there) > 1 else f"{there[0]:.2f} s" if there else "never"
    return text + (f", never in {missing} of {len(values)}" if missing and there else "")


def of_how_many(values, count):
    """The seconds; how many they are where one fleet did not take part each time."""
    return seconds(values) + (f" ({len(values)} times)" if len(values) != count else "")


def within(values, bound):
    return bool(values) and all(v is not None and v <= bound for v in values)


def incidents(events):
    """Deaths told of, as (subject, first time): those of one subject that come together, each observer once, count as one."""
    found, open_ones = [], {}
    for e in sorted(events, key=lambda e: e.at):
        last, seen = open_ones.get(e.subject, (0, set()))
        if e.at - last > INCIDENT_S or e.observer in seen:
            found.append((e.subject, e.at))
            seen = set()
        open_ones[e.subject] = (e.at, seen | {e.observer})
    return found


def all_know(fleet, at, subject, states, observers):
    """Seconds until the last of the observers said so; None when one never did."""
    times = fleet.first(at, subject, states, observers)
    return max(times.values()) if len(times) == len(observers) else None


def settled(say, fleets, deadline_s, what):
    """Waits until everyone sees everyone in each fleet; says who does not."""
    for fleet in fleets:
        if not fleet.wait_whole(deadline_s):
            say(f"{fleet.name} is not whole {deadline_s} s after {what}: {fleet.gaps()}")


def start(fleets):
    for fleet in fleets:
        fleet.start_all()
    time.sleep(5)  # links, push-pull and the like come to rest


def others(fleet, *without):
    return [n for n in fleet.numbers if n not in without]


def at_a_random_phase():
    time.sleep(random.uniform(0.5, 2.5))
    return time.time()


class Ends:
    """Ends of members, one after the other: seconds until the others knew. Of all fleets in the first `beside` trials, of gridd alone after them."""

    def __init__(self, fleets, trials, beside):
        self.fleets, self.trials, self.beside = fleets, trials, beside
        self.known, self.unroutable = {f.name: [] for f in fleets}, []

    def taking_part(self, trial):
        return [f for f in self.fleets if trial < self.beside or f.name == "gridd" or len(self.fleets) == 1]

    def note(self, fleets, at, victim):
        for fleet in fleets:
            rest = others(fleet, victim)
            fleet.wait(lambda: all(fleet.view[o].get(victim) == "dead" for o in rest), "all know", 30)
            self.known[fleet.name].append(all_know(fleet, at, victim, DEAD, rest))
            if fleet.name == "gridd":
                self.unroutable.append(all_know(fleet, at, victim, UNROUTABLE, rest))

    def add_to(self, table, case, bound):
        figures = {n: of_how_many(v, self.trials) for n, v in self.known.items()}
        table.add(f"{case}: everyone knows", f"{bound} s", figures, within(self.known.get("gridd"), bound),
                  f"unroutable for all: {seconds(self.unroutable)}" if self.unroutable else "")


# ---- cases: each takes what the run was given, a network with started fleets, and the table ----------------------------------------------


def case_kill(args, network, fleets, table):
    ends = Ends(fleets, args.kills, args.beside)
    for trial in range(args.kills):
        taking_part = ends.taking_part(trial)
        victim = random.choice(others(fleets[0], 1))
        at = at_a_random_phase()
        for fleet in taking_part:
            fleet.kill(victim)
        ends.note(taking_part, at, victim)
        for fleet in taking_part:
            fleet.launch(victim, join=1)
        settled(table.say, taking_part, 60, f"m{victim} came back")
        table.progress("kill", trial, args.kills)
    ends.add_to(table, f"kill -9, {network.count} members, {args.kills} kills", 2)


def case_cut(args, network, fleets, table):
    """serf takes part for as long as it stands: the cuts are of its host too."""
    ends = Ends(fleets, args.cuts, min(args.beside, args.cuts_beside))
    for trial in range(args.cuts):
        taking_part = ends.taking_part(trial)
        victim = random.choice(others(fleets[0], 1))
        at = at_a_random_phase()
        network.split([victim], others(fleets[0], victim))
        ends.note(taking_part, at, victim)
        network.heal()
        settled(table.say, ends.taking_part(trial + 1), 90, f"m{victim} was reachable again")
        table.progress("cut", trial, args.cuts)
    ends.add_to(table, f"host cut off, {network.count} members, {args.cuts} cuts", 6)


def back_for_good(fleet, at, subject, observers):
    """Seconds from `at` until the last observer saw it up and went on to; None when one does not. Those who never saw it otherwise count 0."""
    times = [0.0]
    for o in observers:
        said = fleet.since(at, subject, observers=[o])
        if not fleet.sees(o, subject):
            return None
        times += [e.at - at for e in said if e.state == "up"][-1:]
    return max(times)


def stop_once(fleets, length_s, say):
    """One member of each stops for a while: per fleet (deaths told, seconds to unroutable, seconds back to routable, others' troubles)."""
    victim = random.choice(others(fleets[0], 1))
    at = at_a_random_phase()
    for fleet in fleets:
        fleet.freeze(victim)
    time.sleep(max(0, at + length_s - time.time()))
    woken = time.time()
    for fleet in fleets:
        fleet.thaw(victim)
    time.sleep(2)
    results = {}
    for fleet in fleets:
        rest = others(fleet, victim)
        fleet.refresh()
        deaths = incidents(fleet.since(at, None, DEAD))
        bystanders = len([e for e in fleet.since(at, None, UNROUTABLE, rest) if e.subject != victim])
        results[fleet.name] = (len(deaths), all_know(fleet, at, victim, UNROUTABLE, rest), back_for_good(fleet, woken, victim, rest), bystanders)
    settled(say, fleets, 90, f"m{victim} was woken")
    return results


def case_stop(args, network, fleets, table, length_s):
    told = {f.name: [] for f in fleets}
    for trial in range(args.stops):
        for name, result in stop_once(fleets, length_s, table.say).items():
            told[name].append(result)
        table.progress(f"stop of {length_s} s", trial, args.stops)
    case = f"SIGSTOP of one of {network.count} for {length_s} s, {args.stops} trials"
    ours = list(zip(*told["gridd"])) if "gridd" in told else None
    table.add(f"{case}: false deaths", "0", {n: str(sum(r[0] for r in v)) for n, v in told.items()}, ours and sum(ours[0]) == 0)
    table.add(f"{case}: unroutable for all", "1.5 s", {n: seconds([r[1] for r in v]) for n, v in told.items()}, ours and within(ours[1], 1.5))
    table.add(f"{case}: routable for all again after waking", "1 s", {n: seconds([r[2] for r in v]) for n, v in told.items()}, ours and within(ours[2], 1),
              f"bystanders found unroutable: {sum(ours[3])}" if ours and sum(ours[3]) else "")


def case_loss(args, network, fleets, table, percent, minutes, bound):
    at = time.time()
    network.lose(percent)
    while (left := at + minutes * 60 - time.time()) > 0:
        time.sleep(min(left, 60))
        table.say(f"{percent}% loss since {(time.time() - at) / 60:.1f} of {minutes:g} min: " + ", ".join(f"{f.name} {len(incidents(f.since(at, None, DEAD)))} deaths" for f in fleets))
    network.lose(0)
    deaths, tellings, stalls = {}, {}, 0
    until = time.time()
    for fleet in fleets:
        told = fleet.since(at, None, DEAD, until=until)
        deaths[fleet.name], tellings[fleet.name] = len(incidents(told)), len(told)
        if fleet.name == "gridd":
            stalls = len(incidents(fleet.since(at, None, ("stalled",), until=until)))
    settled(table.say, fleets, 90, f"{percent}% loss")
    table.add(f"{percent}% loss for {minutes:g} min, {network.count} members: false deaths a minute", f"{bound}",
              {n: f"{d / minutes:.1f} (told {tellings[n] / minutes:.1f} times)" for n, d in deaths.items()},
              "gridd" in deaths and deaths["gridd"] <= bound * minutes, f"{stalls / minutes:.0f} times a minute a member was unroutable for somebody")


def healed(fleet, at, deadline_s):
    """Seconds from `at` until all saw all, None after the deadline."""
    if not fleet.wait_whole(deadline_s):
        return None
    return max([0.0] + [e.at - at for e in fleet.since(at, None, ("up",))])


def split_once(network, fleets, length_s, say):
    """Per fleet (seconds until all have seen it, seconds from the healing until all see all)."""
    half = network.count // 2
    some, rest = list(fleets[0].numbers)[:half], list(fleets[0].numbers)[half:]
    at = at_a_random_phase()
    network.split(some, rest)
    time.sleep(length_s)
    seen = {}
    for fleet in fleets:
        times = [all_know(fleet, at, b, DEAD, side) for side, far in ((some, rest), (rest, some)) for b in far]
        seen[fleet.name] = None if None in times else max(times)
    mended = time.time()
    network.heal()
    result = {fleet.name: (seen[fleet.name], healed(fleet, mended, 60)) for fleet in fleets}
    settled(say, fleets, 120, "the split was healed")
    return result


def case_split(args, network, fleets, table, length_s, bound):
    told = {f.name: [] for f in fleets}
    for trial in range(args.splits):
        for name, result in split_once(network, fleets, length_s, table.say).items():
            told[name].append(result)
        table.progress(f"split of {length_s} s", trial, args.splits)
    case = f"split {network.count // 2}:{network.count - network.count // 2} of {length_s} s, {args.splits} trials"
    seen, whole = ({n: [r[i] for r in v] for n, v in told.items()} for i in (0, 1))
    table.add(f"{case}: seen by all", "10 s", {n: seconds(v) for n, v in seen.items()}, within(seen.get("gridd"), 10))
    table.add(f"{case}: whole again after the healing", f"{bound} s", {n: seconds(v) for n, v in whole.items()}, within(whole.get("gridd"), bound))


# ---- cases that bring up fleets of their own ------------------------------------------------------------------------------------------------


def kinds_of(args):
    return [kind for kind in (GridFleet, SerfFleet) if kind.name in args.systems]


def fresh(args, count, *kinds):
    """A network and fleets that are not yet started (rig.py)."""
    return rig(count, *kinds, options=args.option, keep=args.keep and tempfile.mkdtemp(dir=args.keep))


def cpu_seconds(pid):
    """On-CPU time of all threads of a process so far."""
    return sum(int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[0]) for thread in os.listdir(f"/proc/{pid}/task")) / 1e9


def case_join(args, table):
    took, cpu = {}, {}
    for trial in range(args.rounds):
        for kind in kinds_of(args):
            with fresh(args, 32, kind) as (_, fleets):
                took.setdefault(kind.name, []).append(fleets[0].start_all(90))
                cpu.setdefault(kind.name, []).append(sum(cpu_seconds(fleets[0].pid(n)) for n in fleets[0].numbers))
        table.progress("join", trial, args.rounds)
    table.add(f"join of 32, from the first launch until all views are equal, {args.rounds} rounds", "1 s", {n: seconds(v) for n, v in took.items()}, within(took.get("gridd"), 1),
              "CPU of all 32 until then: " + ", ".join(f"{n} {statistics.median(v):.2f} s" for n, v in cpu.items()))


def case_traffic(args, table):
    received, plain = {}, {}
    for kind in kinds_of(args):
        with fresh(args, 8, kind) as (network, fleets):
            start(fleets)
            time.sleep(15)
            before, at = [network.received(n) for n in fleets[0].numbers], time.time()
            time.sleep(60)
            after, took = [network.received(n) for n in fleets[0].numbers], time.time() - at
            rates = [(b[0] - a[0]) / took for a, b in zip(before, after)]
            received[kind.name] = statistics.mean(rates)
            plain[kind.name] = f"{kind.name} {statistics.mean((b[0] - a[0] - 14 * (b[1] - a[1])) / took for a, b in zip(before, after)):.0f}, most of one {max(rates):.0f}"
    table.add("idle, 8 members, received by each", "500 B/s", {n: f"{v:.0f} B/s" for n, v in received.items()}, received.get("gridd", 1e9) <= 500,
              "without Ethernet headers: " + "; ".join(plain.values()))


def case_memory(args, table):
    figures, beyond = {}, None
    for kind in kinds_of(args):
        with fresh(args, 1, kind) as (_, fleets):
            fleets[0].start_all()
            time.sleep(3)
            alone = fleets[0].resident_mib(1)
        with fresh(args, 32, kind) as (_, fleets):
            start(fleets)
            time.sleep(10)
            sizes = [fleets[0].resident_mib(n) for n in fleets[0].numbers]
        figures[kind.name] = f"{max(sizes) - alone:.1f} MiB beyond {alone:.1f}"
        beyond = max(sizes) - alone if kind is GridFleet else beyond
    table.add("resident at 32 members, the largest", "12 MiB beyond", figures, beyond is not None and beyond <= 12)
