"""Nodes behind gateways that translate their addresses (nftables masquerade) and let nobody in: one side, and both, by way of a third. Both private networks have the same
addresses, as homes do."""

import contextlib
import json
import os
import re
import socket
import subprocess
import threading
import time

import grpc

from certs import H2_START, Proxy, greet, tls_client
from gridtest import BIN, Grid, Project, Service, Skip, check, check_equal, grid_command, once, wait_for
from rig import NET, PEER_PORT, GridFleet, Network, run_text
from test_gossip import Liar, identity, message, sealed

PRIVATE = "192.168.1."
TASK = "exports.handler = (data) => ({node: process.env.GRID_NODE, data});\n"


class Homes(Network):
    """Hosts of a public network; those of `homes` are gateways, each with one host behind it, where their node runs."""

    def __init__(self, count, homes):
        self.homes = homes
        super().__init__(count)

    def inner(self, number):
        return f"{self.host(number)}in"

    def build(self):
        super().build()
        for n in self.homes:
            self.build_home(n)
        for n in range(1, self.count + 1):
            wait_for(lambda n=n: self.is_up(n), f"host {n} has its network")

    def is_up(self, n):
        namespaces = [self.host(n)] + [self.inner(n)] * (n in self.homes)
        return all(json.loads(run_text("ip", "-n", name, "-j", "link", "show", "eth0"))[0]["operstate"] == "UP" for name in namespaces)

    def build_home(self, n):
        run_text("ip", "netns", "add", self.inner(n))
        run_text("ip", "-n", self.host(n), "link", "add", "eth1", "type", "veth", "peer", "name", "eth0", "netns", self.inner(n))
        run_text("ip", "-n", self.host(n), "-batch", "-", text=f"addr add {PRIVATE}1/24 dev eth1\nlink set eth1 up\n")
        run_text("ip", "-n", self.inner(n), "-batch", "-", text=f"link set lo up\naddr add {PRIVATE}2/24 dev eth0\nlink set eth0 up\nroute add default via {PRIVATE}1\n")
        self.within(self.inner(n), "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6")
        self.within(self.host(n), "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        shut = "meta l4proto tcp reject with tcp reset" if n % 2 == 0 else "drop"  # gateways do either
        self.within(self.host(n), "nft", "-f", "-", text="""table ip home {
            chain post { type nat hook postrouting priority 100; oifname "eth0" masquerade; }
            chain in { type filter hook input priority 0; iifname "eth0" ct state established,related accept; iifname "eth0" SHUT; }
            chain pass { type filter hook forward priority 0; iifname "eth0" ct state established,related accept; iifname "eth0" drop; }
        }""".replace("SHUT", shut))

    def forward(self, n):
        """Whoever dials the gateway's address is let through to the host behind it from now on; which notices that something is different, as it has another address too."""
        self.within(self.host(n), "nft", "-f", "-", text=f"""table ip home {{
            chain pre {{ type nat hook prerouting priority -100; iifname "eth0" tcp dport {PEER_PORT} dnat to {PRIVATE}2; }}
        }}
        insert rule ip home pass iifname "eth0" ct status dnat accept
        """)
        run_text("ip", "-n", self.inner(n), "addr", "add", f"{PRIVATE}3/24", "dev", "eth0")

    @staticmethod
    def within(namespace, *command, text=""):
        return run_text("nsenter", f"--net=/run/netns/{namespace}", "--", *command, text=text)

    def enter(self, number):
        namespace = self.inner(number) if number in self.homes else self.host(number)
        return ["nsenter", f"--net=/run/netns/{namespace}", "--", "setpriv", "--pdeathsig", "KILL", "--"]

    def close(self):
        run_text("ip", "-force", "-batch", "-", text="".join(f"netns del {self.inner(n)}\n" for n in self.homes), fail=False)
        super().close()


class HomeFleet(GridFleet):
    def node(self, number, options, name=None):
        node = super().node(number, options, name)
        node.address = f"0.0.0.0:{PEER_PORT}"
        return node


@contextlib.contextmanager
def homes(count, behind, *options):
    """Nodes 1 to `count` of one grid, not started; those of `behind` each in a home of its own."""
    if os.geteuid() != 0:
        raise Skip("needs root, to make network namespaces: run it as root")
    network = Homes(count, behind)
    try:
        with Grid(0, start=False) as scratch:
            fleet = HomeFleet(network, scratch.folder / "fleet", count, ["--log-level", "debug", *options])
            fleet.project = Project(scratch.folder / "project").js("who", TASK)
            try:
                yield fleet
            finally:
                problems = fleet.close()
            check(not problems, f"how they ended: {problems}")
    finally:
        network.close()


def by_socket(node, path, *options, data=None):
    """(status, body), by the node's Unix socket: its addresses are another network's."""
    done = subprocess.run(["curl", "-s", "-w", "\n%{http_code}", "-m", "10", "--unix-socket", str(node.socket), *options, f"http://localhost{path}"], input=data, capture_output=True, text=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status or 0), body


def metric(node, name):
    return int(re.search(rf"^{name} (\d+)$", by_socket(node, "/metrics")[1], re.M)[1])


def answers(asked, node, data="1", timeout_ms=2000):
    """Whether `asked` has `node` answer a call."""
    status, body = by_socket(asked, "/invoke/who", "-H", f"Grid-Node: {node.name}", "-H", "Content-Type: application/json", "-H", f"Grid-Timeout-Ms: {timeout_ms}", "--data-binary", "@-", data=data)
    return status == 200 and json.loads(body) == {"node": node.name, "data": json.loads(data)}


def launch(fleet, *numbers):
    for number in numbers:
        fleet.launch(number, join=None if number == 1 else 1)
    for number in numbers:
        fleet.wait_started(number)


def deploy(fleet, number):
    grid_command("deploy", str(fleet.project.folder), env={"GRID_API": str(fleet.nodes[number].socket)}, check_code=0)


def paths(node):
    """How calls go to each of the others, as `grid list` has it."""
    return {host["name"]: host["path"] for host in json.loads(grid_command("list", "--json", env={"GRID_API": str(node.socket)}, check_code=0).out)}


def all_call_all(fleet, numbers, deadline_s):
    for a in numbers:
        for b in numbers:
            wait_for(lambda a=a, b=b: answers(fleet.nodes[a], fleet.nodes[b]), f"{a} has {b} answer", deadline_s)


def passes(asked, node, size):
    """Seconds that a call takes which gives and gets a text of so many bytes that becomes half as long at best."""
    begun = time.monotonic()
    check(answers(asked, node, json.dumps(os.urandom(size // 2).hex()), 10000), f"{asked.name} has {node.name} answer {size} bytes")
    return time.monotonic() - begun


RELAY_RATE = 4 << 20


@once
def test_nodes_behind_nat_are_called_by_who_can_be_dialled_and_by_way_of_a_third():
    with homes(4, (2, 3), "--relay-rate", f"{RELAY_RATE >> 20}MiB") as fleet:
        nodes = fleet.nodes
        # One side: it dials, and the roles turn.
        launch(fleet, 1, 2)
        check(fleet.wait_whole(10, (1, 2)), f"not linked: {fleet.gaps()}")
        wait_for(lambda: "other nodes cannot dial this one" in fleet.log(2).read_text(), "the node behind NAT knows that it cannot be dialled", 10)
        deploy(fleet, 2)  # the other fetches it from there
        all_call_all(fleet, (1, 2), 10)
        check_equal(grid_command("logs", "--node", "m2", env={"GRID_API": str(nodes[1].socket)}).returncode, 0, "lines of the one behind NAT")
        check_equal(metric(nodes[1], "grid_relay_tunnels_total"), 0, "tunnels where none was needed")
        check_equal((paths(nodes[1])["m2"], paths(nodes[2])["m1"]), ("reverse", "direct"), "how each is linked with the other")
        # Both sides: by way of the first.
        launch(fleet, 3)
        check(fleet.wait_whole(20, (1, 2, 3)), f"not linked: {fleet.gaps()}")
        all_call_all(fleet, (1, 2, 3), 10)
        check_equal((paths(nodes[2])["m3"], paths(nodes[3])["m2"]), ("relayed", "relayed"), "how the two behind gateways are linked")
        before = metric(nodes[1], "grid_relayed_bytes_total")
        took = sum(passes(nodes[2], nodes[3], 2 << 20) for _ in range(2))
        passed = metric(nodes[1], "grid_relayed_bytes_total") - before
        check(passed > 6 << 20 and took > (passed - RELAY_RATE) / RELAY_RATE, f"{passed} bytes were relayed in {took:.2f} s, with {RELAY_RATE} a second allowed")
        # The relay dies, and another one takes its place.
        launch(fleet, 4)
        check(fleet.wait_whole(20), f"not linked: {fleet.gaps()}")
        died = time.time()
        fleet.kill(1)
        check(fleet.wait(lambda: all(fleet.first(died, 1, ("dead",), (2, 3, 4)).get(n) for n in (2, 3, 4)), "the relay is dead to all", 20), "the relay's death was not seen")
        check(fleet.wait_whole(20, (2, 3, 4)), f"not linked by another relay: {fleet.gaps()}")
        all_call_all(fleet, (2, 3), 10)
        # One behind NAT dies: nobody can be refused by its host.
        died = time.time()
        fleet.kill(3)
        check(fleet.wait(lambda: len(fleet.first(died, 3, ("dead",), (2, 4))) == 2, "it is dead to both", 30), f"its death was not seen: {fleet.since(died)}")


class Caller(threading.Thread):
    """Has one node call another again and again, until the block ends."""

    def __init__(self, asked, node):
        super().__init__(daemon=True)
        self.asked, self.node, self.ending = asked, node, threading.Event()
        self.made, self.failed = 0, []

    def run(self):
        while not self.ending.is_set():
            if not answers(self.asked, self.node, str(self.made), 9000):
                self.failed.append(time.time())
            self.made += 1

    def goes_on(self):
        """Two calls have been made that began after this."""
        made = self.made
        wait_for(lambda: self.made >= made + 3, f"calls from {self.asked.name} to {self.node.name} go on", 40)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.join()


@once
def test_a_relayed_link_becomes_a_direct_one_where_a_way_has_opened_and_no_call_fails():
    with homes(3, (2, 3)) as fleet:
        nodes = fleet.nodes
        launch(fleet, 1, 2, 3)
        check(fleet.wait_whole(30), f"not linked: {fleet.gaps()}")
        deploy(fleet, 1)
        all_call_all(fleet, (2, 3), 20)
        wait_for(lambda: (paths(nodes[2])["m3"], paths(nodes[3])["m2"]) == ("relayed", "relayed"), "the two behind gateways are linked by way of a third", 10)
        with Caller(nodes[2], nodes[3]) as there, Caller(nodes[3], nodes[2]) as back:
            there.goes_on()
            fleet.network.forward(3)
            wait_for(lambda: (paths(nodes[2])["m3"], paths(nodes[3])["m2"]) == ("direct", "reverse"), "the one that can be dialled now is dialled by the other", 60)
            there.goes_on()
            back.goes_on()
            wait_for(lambda: metric(nodes[1], "grid_relay_tunnels") == 0, "nothing is relayed any more, while calls go on", 30)
            relayed = metric(nodes[1], "grid_relay_tunnels_total")
            there.goes_on()
            back.goes_on()
            check_equal(metric(nodes[1], "grid_relay_tunnels_total"), relayed, "tunnels that were begun since")
        check_equal((there.failed, back.failed), ([], []), "calls that failed while the link moved")


@once
def test_a_node_whose_address_changes_is_found_at_the_new_one():
    with homes(2, ()) as fleet:
        launch(fleet, 1, 2)
        check(fleet.wait_whole(10), f"not linked: {fleet.gaps()}")
        deploy(fleet, 1)
        all_call_all(fleet, (1, 2), 10)
        before, after = f"{NET}2", f"{NET}102"
        run_text("ip", "-n", fleet.network.host(2), "-batch", "-", text=f"addr del {before}/24 dev eth0\naddr add {after}/24 dev eth0\n")
        wait_for(lambda: {h["name"]: h["public_ip"] for h in json.loads(by_socket(fleet.nodes[1], "/hosts/list")[1])}.get("m2") == after, "the other knows the new address", 20)
        all_call_all(fleet, (1, 2), 20)


# ---- members that lie ---------------------------------------------------------------------------------------------------------------------


class Hidden(Liar):
    """A member by its certificate that says that it cannot be dialled."""

    def greet(self):
        self.hello(sealed(self.record(capabilities=["reach", "unreachable"], addresses=["192.0.2.1:7900"]), self.der, self.leaf.key))

    def speak(self, alpn, grid):
        """What the node says first to it on a connection under this protocol, as if asked for that; b"" when it ends it."""
        context = tls_client(*self.leaf.save(grid.folder / self.name), (alpn,))
        return greet(self.node.listen, context, b"\0")[1]

    @contextlib.contextmanager
    def service(self):
        """grid.v1.PeerReach at the node."""
        with Proxy(self.node.listen, self.context) as proxy, grpc.insecure_channel(f"127.0.0.1:{proxy.port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
            service = Service(channel, "grid.v1.PeerReach")
            service.Look.silent = channel.stream_unary("/grid.v1.PeerReach/Look").future  # a call whose question may never come
            yield service


@once
def test_nobody_serves_who_was_not_asked():
    with Grid(1) as grid, Hidden(grid, grid[0], "hidden") as hidden, Hidden(grid, grid[0], "other") as other:
        for member in (hidden, other):
            member.greet()
            check(member.is_read(), "it is a member")
            for alpn in ("grid-reverse/1", "grid-reverse-control/1"):
                check_equal(member.speak(alpn, grid), b"", f"what {member.name} is asked under {alpn} before anybody wants it")
        asking = subprocess.Popen([str(BIN / "grid"), "logs", "--node", "hidden"], env={**os.environ, "GRID_API": str(grid[0].socket)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        turn = hidden.wait("turn")[0].turn
        check_equal(turn.plane, 1, "what is asked for: calls")
        check_equal(other.speak("grid-reverse/1", grid), b"", "what another member is asked in its place")
        check_equal(hidden.speak("grid-reverse-control/1", grid), b"", "what it is asked where it is wanted for something else")
        check(hidden.speak("grid-reverse/1", grid).startswith(H2_START[:24]), "the one that was asked is spoken to as a server")
        check(asking.wait(30) != 0, "it has not answered, and nobody else has")
        check(not any(f.WhichOneof("body") == "turn" for f in other.heard), "another was asked")


def status_of(call):
    try:
        return call() or "OK"
    except grpc.RpcError as error:
        return error.code().name


@once
def test_what_a_member_may_ask_for_is_bounded():
    with Grid(2, options=("--relay-tunnels", "8")) as grid, Hidden(grid, grid[0], "asker") as asker, Hidden(grid, grid[0], "other") as other:
        for member in (asker, other):
            member.greet()
            check(member.is_read(), "it is a member")
        with asker.service() as service, asker.service() as second, other.service() as others:
            looks_are_bounded(service, grid[1])
            tunnels_are_bounded(service, grid, asker)
            who_says_nothing_takes_no_places((service, second), others, grid[1])
            dials_have_a_rate(service)


def looks_are_bounded(service, listening):
    """At its own source address alone, and whoever answers there must have its certificate."""
    answer = service.Look(message("LookRequest", port=listening.listen[1]))
    check_equal((answer.seen.rpartition(":")[0], answer.reached), ("127.0.0.1", False), "a look at a port where another member listens")
    for port in (0, 65536, 2**32 - 1):
        check_equal(status_of(lambda port=port: service.Look(message("LookRequest", port=port))), "INVALID_ARGUMENT", f"a look at port {port}")


def tunnels_are_bounded(service, grid, asker):
    first = lambda target: iter([message("TunnelPiece", target=target)])  # noqa: E731
    for target, status in (("", "INVALID_ARGUMENT"), ("g" * 64, "INVALID_ARGUMENT"), ("0" * 64, "UNAVAILABLE"), (identity(asker.leaf), "UNAVAILABLE")):
        check_equal(status_of(lambda target=target: list(service.Tunnel(first(target), timeout=20)) and None), status, f"a tunnel to {target!r}")
    ending = threading.Event()
    tunnels = [service.Tunnel(held(grid[1], ending), timeout=50) for _ in range(3)]
    answered = [status_of(lambda tunnel=tunnel: next(tunnel) and None) for tunnel in tunnels]
    check_equal(sorted(answered), ["OK", "OK", "RESOURCE_EXHAUSTED"], "of three tunnels at once, with eight allowed in all and two of one member")
    check_equal(relaying(grid[0]), 2, "tunnels that the node counts")
    ending.set()
    wait_for(lambda: relaying(grid[0]) == 0, "they have ended")
    check_equal(status_of(lambda: list(service.Tunnel(iter([message("TunnelPiece", target=grid[1].info["id"], data=b"x" * 70000)]), timeout=20)) and None), "RESOURCE_EXHAUSTED", "a piece that is too large")


def held(node, ending):
    yield message("TunnelPiece", target=node.info["id"])
    ending.wait(60)


def silence(ending):
    ending.wait(60)
    yield from ()


def who_says_nothing_takes_no_places(services, others, node):
    """By two connections: more than 200 streams of one that had to be reset would end it."""
    ending = threading.Event()
    looks = [services[0].Look.silent(silence(ending), timeout=50) for _ in range(20)]
    tunnels = [service.Tunnel(silence(ending), timeout=50) for service in services for _ in range(135)]
    tunnels[-1].code()  # those before have come before it
    check_equal(status_of(lambda: others.Look(message("LookRequest", port=node.listen[1])) and None), "OK", "another member's look meanwhile")
    check_equal(status_of(lambda: next(others.Tunnel(held(node, ending), timeout=50)) and None), "OK", "another member's tunnel meanwhile")
    for calls in looks, tunnels:
        ended = [call.code().name for call in calls]
        check(ended[0] == "DEADLINE_EXCEEDED" and set(ended) <= {"DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}, f"what they end with that say nothing: {ended}")
    ending.set()


def dials_have_a_rate(service):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    begun = time.monotonic()
    statuses = [status_of(lambda: service.Look(message("LookRequest", port=port)) and None) for _ in range(60)]
    took = time.monotonic() - begun
    check(statuses.count("OK") <= 32 + 10 * took + 1, f"a member made the node dial {statuses.count('OK')} times in {took:.2f} s")
    check(statuses[0] == "OK" and set(statuses) <= {"OK", "RESOURCE_EXHAUSTED"}, f"what it was answered: {statuses}")


def relaying(node):
    return int(re.search(r"^grid_relay_tunnels (\d+)$", node.get("/metrics").text, re.M)[1])
