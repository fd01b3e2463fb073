"""Hosts of their own for members: a network namespace each, joined by a bridge, on which packets are lost and hosts cut off; and what each
member says it knows of the others, read from its log.

All drops happen in one place, the bridge, by one nftables transaction: a cut takes effect for all hosts at once. Loss is per packet and
direction. Two fleets may stand on the same hosts (gridd and serf): they meet the same faults then.

How precise the times are: gridd stamps its lines in milliseconds as it writes them, and nobody reads them before they are asked for, so that
reading costs nothing while something is measured. serf stamps whole seconds; a thread here that sleeps until a line comes stamps it, within
about a millisecond on a machine that is not overloaded. Faults are stamped right before they are made; an nft transaction takes 5 to 10 ms.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from gridtest import Failure, Node, Skip, check, clean_environment, mint_gridfile, wait_for

NET = "10.77.0."
PEER_PORT, SERF_PORT = 7900, 7946
READ_S = 0.05  # between two looks at the logs while something is awaited


def run_text(*command, text="", fail=True):
    done = subprocess.run([str(c) for c in command], input=text, capture_output=True, text=True)
    if fail and done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command[:4]))}: {done.stderr.strip()[:300]}")
    return done.stdout


class Network:
    """`count` hosts 1..count on one bridge. Close it after what runs in it has ended."""

    def __init__(self, count):
        if os.geteuid() != 0:
            raise Skip("needs root, to make network namespaces: run it as root")
        self.prefix, self.count = f"gcrig{os.getpid()}", count
        self.hub = f"{self.prefix}-hub"
        remove_stale_networks()
        try:
            self.build()
        except Failure as reason:
            self.close()
            raise Skip(f"network namespaces, veth, a bridge or nftables' bridge family cannot be had here: {reason}") from None
        except BaseException:
            self.close()
            raise

    def host(self, number):
        return f"{self.prefix}-{number}"

    def build(self):
        numbers = range(1, self.count + 1)
        run_text("ip", "-batch", "-", text="".join(f"netns add {name}\n" for name in [self.hub, *map(self.host, numbers)]))
        links = "".join(f"link add v{n} netns {self.hub} type veth peer name eth0 netns {self.host(n)}\n" for n in numbers)
        run_text("ip", "-batch", "-", text=links)
        ports = "".join(f"link set v{n} master bridge up\n" for n in numbers)
        run_text("ip", "-n", self.hub, "-batch", "-", text="link add bridge type bridge mcast_snooping 0\nlink set bridge up\n" + ports)
        for n in numbers:
            self.inside(n, "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6")
            run_text("ip", "-n", self.host(n), "-batch", "-", text=f"link set lo up\naddr add {NET}{n}/24 dev eth0\nlink set eth0 up\n")
        self.nft("""table bridge rig {
            set cut { type ipv4_addr . ipv4_addr; }
            chain cuts { type filter hook forward priority 0; ip saddr . ip daddr @cut drop; }
            chain loss { type filter hook forward priority 1; }
        }""")

    def enter(self, number):
        """A command that runs another one on a host; it ends when this process does."""
        return ["nsenter", f"--net=/run/netns/{self.host(number)}", "--", "setpriv", "--pdeathsig", "KILL", "--"]

    def inside(self, number, *command):
        return run_text("nsenter", f"--net=/run/netns/{self.host(number)}", "--", *command)

    def nft(self, script):
        run_text("nsenter", f"--net=/run/netns/{self.hub}", "--", "nft", "-f", "-", text=script)

    def lose(self, percent):
        rule = f"add rule bridge rig loss ether type ip numgen random mod 100 < {percent} drop\n" if percent else ""
        self.nft("flush chain bridge rig loss\n" + rule)

    def cut(self, *pairs):
        """Nothing passes from the first to the second of each pair any more."""
        self.nft("add element bridge rig cut { " + ", ".join(f"{NET}{a} . {NET}{b}" for a, b in pairs) + " }\n")

    def split(self, some, others):
        self.cut(*[pair for a in some for b in others for pair in ((a, b), (b, a))])

    def heal(self):
        self.nft("flush set bridge rig cut\n")

    def counted(self, number):
        return json.loads(run_text("ip", "-n", self.host(number), "-s", "-j", "link", "show", "eth0"))[0]["stats64"]

    def received(self, number):
        """(bytes with Ethernet headers, packets) that came in at a host."""
        rx = self.counted(number)["rx"]
        return rx["bytes"], rx["packets"]

    def sent(self, number):
        """Bytes with Ethernet headers that left a host."""
        return self.counted(number)["tx"]["bytes"]

    def cap(self, number, rate):
        """Both directions of a host's link pass no more than `rate`, as tc writes it."""
        shape = ["root", "tbf", "rate", rate, "burst", "64kb", "latency", "200ms"]
        self.inside(number, "tc", "qdisc", "add", "dev", "eth0", *shape)
        run_text("nsenter", f"--net=/run/netns/{self.hub}", "--", "tc", "qdisc", "add", "dev", f"v{number}", *shape)

    def close(self):
        names = [self.hub, *map(self.host, range(1, self.count + 1))]
        run_text("ip", "-force", "-batch", "-", text="".join(f"netns del {name}\n" for name in names), fail=False)


def remove_stale_networks():
    """Those of a run that was itself killed: its processes ended with it."""
    for line in run_text("ip", "netns", "list", fail=False).splitlines():
        name = line.split()[0]
        owner = name.removeprefix("gcrig").partition("-")[0]
        if name.startswith("gcrig") and owner.isdigit() and not Path("/proc", owner).exists():
            run_text("ip", "netns", "del", name, fail=False)


# ---- what members say --------------------------------------------------------------------------------------------------------------------


class Event:
    """At `at` (seconds of the wall clock) `observer` says that `subject` is now "up", "stalled", "dead" or "left"."""

    __slots__ = ("at", "observer", "subject", "state")

    def __init__(self, at, observer, subject, state):
        self.at, self.observer, self.subject, self.state = at, observer, subject, state

    def __repr__(self):
        return f"{self.at:.3f} {self.observer}: {self.subject} {self.state}"


class Fleet:
    """Members 1..count of one kind, one on each host. Subclasses start them and read their lines."""

    name = ""

    def __init__(self, network, folder, count=None):
        self.network, self.folder, self.count = network, Path(folder), count or network.count
        self.numbers = range(1, self.count + 1)
        self.folder.mkdir()
        self.events, self.view, self.offsets = [], {n: {} for n in self.numbers}, {n: 0 for n in self.numbers}
        self.numbers_of = {f"m{n}": n for n in self.numbers}

    def log(self, number):
        return self.folder / f"m{number}.log"

    def refresh(self):
        """Reads what the logs have got since the last time. Returns self."""
        new = []
        for n in self.numbers:
            with contextlib.suppress(FileNotFoundError), open(self.log(n), "rb") as file:
                file.seek(self.offsets[n])
                data = file.read()
                whole = data[: data.rfind(b"\n") + 1]
                self.offsets[n] += len(whole)
                new += filter(None, (self.read_line(n, line) for line in whole.decode("utf-8", "replace").splitlines()))
        for event in sorted(new, key=lambda e: e.at):
            self.events.append(event)
            self.view[event.observer][event.subject] = event.state
        return self

    def forget(self, number):
        """Before a member starts anew: it knows nobody then."""
        self.refresh()
        self.view[number] = {}

    def sees(self, observer, subject):
        return observer == subject or self.view[observer].get(subject) == "up"

    def whole(self, among=None):
        """Whether all of them see each other as up, as far as has been read."""
        among = among or self.numbers
        return all(self.sees(a, b) for a in among for b in among)

    def wait(self, condition, what, deadline_s=60):
        """Until condition() holds of what has been read; False when it did not in time."""
        with contextlib.suppress(Failure):
            wait_for(lambda: self.refresh() and condition(), what, deadline_s, poll_s=READ_S)
            return True
        return False

    def wait_whole(self, deadline_s=60, among=None):
        return self.wait(lambda: self.whole(among), "all see all", deadline_s)

    def since(self, at, subject=None, states=("up", "stalled", "dead", "left"), observers=None, until=float("inf")):
        """Events of that time, in their order."""
        self.refresh()
        found = [e for e in self.events if at <= e.at <= until and e.state in states and (subject is None or e.subject == subject) and (observers is None or e.observer in observers)]
        return sorted(found, key=lambda e: e.at)

    def first(self, at, subject, states, observers):
        """Seconds from `at` until each observer had first said so, by observer."""
        times = {}
        for e in self.since(at, subject, states, observers):
            times.setdefault(e.observer, e.at - at)
        return times

    def stop_all(self):
        for n in self.numbers:
            with contextlib.suppress(ProcessLookupError, KeyError):
                self.kill(n)

    def start_all(self, deadline_s=60):
        """The first, then the others, who join it. Seconds from the first of the others' launch until all views are equal."""
        self.launch(1)
        self.wait_started(1)
        begun = time.time()
        for n in list(self.numbers)[1:]:
            self.launch(n, join=1)
        check(self.wait_whole(deadline_s), f"{self.name}: {self.count} members did not find each other: {self.gaps()}")
        for n in self.numbers:
            self.wait_started(n)
        return max([begun] + [e.at for e in self.events if e.state == "up"]) - begun

    def gaps(self):
        return [f"{a} sees {b} as {self.view[a].get(b)}" for a in self.numbers for b in self.numbers if not self.sees(a, b)][:6]

    def resident_mib(self, number):
        status = Path(f"/proc/{self.pid(number)}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def freeze(self, number):
        os.kill(self.pid(number), signal.SIGSTOP)

    def thaw(self, number):
        os.kill(self.pid(number), signal.SIGCONT)


class HostedNode(Node):
    """A gridd on a host of the network."""

    address = ""

    def arguments(self):
        args = super().arguments()
        args[args.index("--listen") + 1] = self.address
        return args


class GridFleet(Fleet):
    """gridd. `options` go to all of them."""

    name = "gridd"
    STATES = {"joined": "up", "resumed": "up", "restarted": "up", "stalled": "stalled", "failed": "dead", "left": "left", "evicted": "left"}

    def __init__(self, network, folder, count=None, options=()):
        super().__init__(network, folder, count)
        self.gridfile = mint_gridfile(self.folder, "riggrid")
        self.nodes = {n: self.node(n, options) for n in self.numbers}

    def node(self, number, options, name=None):
        node = HostedNode(self.folder / (name or f"m{number}"), name or f"m{number}", self.gridfile, 1, options=options)
        node.address, node.prefix = f"{NET}{number}:{PEER_PORT}", self.network.enter(number)
        return node

    def log(self, number):
        return self.nodes[number].log

    def read_line(self, number, line):
        if '"msg":"membership"' not in line:
            return None
        fields = json.loads(line)
        state, subject = self.STATES.get(fields["event"]), self.numbers_of.get(fields["member"])
        return Event(json_time(fields["ts"]), number, subject, state) if state and subject else None

    def launch(self, number, join=None):
        self.forget(number)
        self.nodes[number].join = join and f"{NET}{join}:{PEER_PORT}"
        self.nodes[number].launch()

    def wait_started(self, number):
        self.nodes[number].wait_ready()

    def kill(self, number):
        if self.nodes[number].alive():
            self.nodes[number].kill()

    def pid(self, number):
        return self.nodes[number].process.pid

    def close(self):
        """What was wrong about their ends."""
        for node in self.nodes.values():
            if node.alive():
                os.kill(node.process.pid, signal.SIGCONT)
                node.terminate()
        return [problem for node in self.nodes.values() for problem in node.close()]


def json_time(text):
    """2026-11-23T02:40:00.123Z in seconds since 1970."""
    import calendar

    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) + int(text[20:23]) / 1000


class SerfFleet(Fleet):
    """Debian's serf with its defaults (profile lan)."""

    name = "serf"
    STATES = {"EventMemberJoin": "up", "EventMemberFailed": "dead", "EventMemberLeave": "left", "EventMemberReap": "left"}

    def __init__(self, network, folder, count=None):
        super().__init__(network, folder, count)
        self.processes, self.stamper = {}, Stamper()

    def read_line(self, number, line):
        stamp, _, said = line.partition(" ")
        if "serf: EventMember" not in said:
            return None
        kind, member = said.split("serf: ")[1].split(":", 1)
        state, subject = self.STATES.get(kind), self.numbers_of.get(member.split()[0])
        return Event(float(stamp), number, subject, state) if state and subject else None

    def launch(self, number, join=None):
        self.forget(number)
        command = ["serf", "agent", f"-node=m{number}", f"-bind={NET}{number}:{SERF_PORT}", "-rpc-addr=127.0.0.1:7373", "-log-level=info"]
        command += [f"-join={NET}{join}:{SERF_PORT}"] if join else []
        process = subprocess.Popen(self.network.enter(number) + command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   env=clean_environment(self.folder), cwd=self.folder)
        self.processes[number] = process
        self.stamper.add(process.stdout, self.log(number))

    def wait_started(self, number):
        check(self.wait(lambda: "agent running" in self.log(number).read_text(), "serf runs", 20), f"serf {number} did not start")

    def kill(self, number):
        self.processes[number].kill()
        self.processes[number].wait()

    def pid(self, number):
        return self.processes[number].pid

    def close(self):
        self.stop_all()
        self.stamper.close()
        return []


class Stamper(threading.Thread):
    """Appends the lines that come through pipes to files, each with the time it came at."""

    def __init__(self):
        super().__init__(daemon=True)
        self.selector, self.ending = selectors.DefaultSelector(), False
        self.bell, self.ringer = os.pipe()
        self.selector.register(self.bell, selectors.EVENT_READ)
        self.start()

    def add(self, pipe, path):
        os.set_blocking(pipe.fileno(), False)
        self.selector.register(pipe, selectors.EVENT_READ, (open(path, "ab", buffering=0), [b""]))
        os.write(self.ringer, b"1")

    def run(self):
        while not self.ending:
            for key, _ in self.selector.select():
                now = time.time()
                if key.fd == self.bell:
                    os.read(self.bell, 64)
                else:
                    self.take(key, now)

    def take(self, key, now):
        file, rest = key.data
        data = key.fileobj.read()
        if not data:
            self.selector.unregister(key.fileobj)
            return
        *lines, rest[0] = (rest[0] + data).split(b"\n")
        file.write(b"".join(b"%.3f %s\n" % (now, line) for line in lines))

    def close(self):
        self.ending = True
        os.write(self.ringer, b"1")
        self.join()


@contextlib.contextmanager
def rig(count, *kinds, members=None, options=(), keep=None):
    """A network of `count` hosts and a fleet of each kind on it, of as many members or fewer, not yet started: (network, fleets). Ends and removes all, and
    fails on a bad end."""
    wrong = []
    with contextlib.ExitStack() as stack:
        folder = Path(keep or stack.enter_context(tempfile.TemporaryDirectory(prefix="gridrig-")))
        network = Network(count)
        stack.callback(network.close)
        fleets = []
        for kind in kinds:
            fleet = kind(network, folder / kind.name, members, **({"options": options} if kind is GridFleet else {}))
            stack.callback(lambda f=fleet: wrong.extend(f.close()))
            fleets.append(fleet)
        yield network, fleets
    if wrong:
        raise Failure("; ".join(wrong))
