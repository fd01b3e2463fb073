"""Finding other nodes by more than plain addresses: files that are followed, and DNS with a real name server."""

import contextlib
import json
import os
import re
import socket
import ssl
import struct
import subprocess
import threading

from certs import DAY, HOUR, Authority, Leaf
from gridtest import Grid, Skip, check, check_equal, check_in, clean_environment, free_port, mint_gridfile, once, wait_for
from rig import NET, PEER_PORT, GridFleet, Network, run_text
from test_gossip import Liar, message
from test_join import PASSWORD, FakeMember, password_grid, said, secret_file

DOMAIN = "grid.test"
VERSION = 2  # grid.v1.Refusal.Code


def password_outsider(grid, place):
    """A node of another name and a password, which goes there to join."""
    secret = grid.folder / "outsider"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    grid.gridfile = None
    return grid.add(join=place, options=("--grid", "outside", "--password-file", str(secret)))


def hosts_seen(node):
    return sorted(host["name"] for host in node.hosts())


def test_addresses_in_a_file_are_followed():
    with Grid(1) as grid:
        places = grid.folder / "places"
        second = grid.add(join=f"file:{places}")
        wait_for(lambda: said(second, "looked for", "No such file"), "the missing file is named in the log")
        check(not said(grid[0], "joined"), "they met without a word of where")
        written = grid.folder / "written"
        written.write_text(f"# who is there\n\n127.0.0.1:9 # nobody\n{grid[0].listen_text}\n{second.listen_text}\nnonsense\n")
        written.rename(places)
        grid.wait_linked()
        wait_for(lambda: said(second, "line 6 is no address"), "the line that is no address is named")


def test_nodes_with_a_password_and_a_file_form_a_grid():
    with password_grid() as grid:
        places = grid.folder / "places"
        places.write_text("")
        for _ in range(3):
            grid.add(join=f"file:{places}")
        places.write_text("".join(f"{node.listen_text}\n" for node in grid.nodes))
        grid.wait_linked()


def start_again(*nodes):
    """As at a power cut, with nobody to tell them where the others are."""
    for node in nodes:
        node.kill()
        node.join = None
    for node in nodes:
        node.launch()
    for node in nodes:
        node.wait_ready()


@once
def test_members_are_remembered_when_nothing_else_says_where_they_are():
    with Grid(0) as grid:
        for _ in range(3):
            grid.add(options=("--listen", f"127.0.0.1:{free_port()}"))
        grid.wait_linked()
        for node in grid.nodes:
            wait_for((node.state / "peers").exists, f"{node.name} keeps where the others live")
            check_equal((node.state / "peers").stat().st_mode & 0o777, 0o600, "its mode")
        start_again(grid[2])
        grid.wait_linked()
        (grid[1].state / "peers").write_bytes(b"GPRS\0\1garbage")
        start_again(*grid.nodes)
        grid.wait_linked()
        check(said(grid[1], "where other nodes lived cannot be read"), "the damaged file is named")


def listed(node):
    return {host["name"]: host for host in json.loads(node.grid("list", "--json", env={"GRID_API": ""}, check_code=0).out)}


@once
def test_addresses_that_swallow_everything_cost_a_moment_each():
    """All of a member's addresses but the last are black holes, up to four seconds each when they are tried one after the other; only the third node can dial it, once gossip has told of it."""
    network = Network(3)
    try:
        with Grid(0, start=False) as scratch:
            fleet = GridFleet(network, scratch.folder / "fleet", 3, ["--profile", "wan"])
            holes = range(201, 208)
            fleet.nodes[1].options += ["--advertise", ",".join([*(f"{NET}{hole}:{PEER_PORT}" for hole in holes), fleet.nodes[1].address])]
            run_text("ip", "-n", network.host(1), "-batch", "-", text="".join(f"addr add {NET}{hole}/24 dev eth0\n" for hole in holes))
            network.cut(*[(number, hole) for number in (2, 3) for hole in holes])
            network.inside(1, "nft", "add table ip shy; add chain ip shy out { type filter hook output priority 0; }; "
                              f"add rule ip shy out ip daddr {NET}3 tcp flags & (syn|ack) == syn drop")
            try:
                for number, join in ((1, None), (2, 1), (3, 2)):
                    fleet.launch(number, join)
                    fleet.wait_started(number)
                last = fleet.nodes[3]
                wait_for(lambda: listed(last).get("m1", {}).get("path") == "direct", "the third node is linked with the first", 6)
                seen = {name: (host.get("found"), host.get("reached_at")) for name, host in listed(last).items()}
                check_equal(seen, {"m1": ("gossip", fleet.nodes[1].address), "m2": ("join", fleet.nodes[2].address), "m3": ("", "")}, "how the third found the others")
                check_equal([listed(fleet.nodes[1])[name]["found"] for name in ("m2", "m3")], ["inbound", "gossip"], "how the first found the others")
                wait_for(lambda: all(listed(last)[name]["rtt_us"] > 0 for name in ("m1", "m2")), "round trips are known")
            finally:
                problems = fleet.close()
            check(not problems, f"how they ended: {problems}")
    finally:
        network.close()


@contextlib.contextmanager
def served(answer):
    """A server of `answer(connection)`; its address."""
    taken = []

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                taken.append(connection)
                with contextlib.suppress(OSError):
                    answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield "127.0.0.1:%d" % server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in taken:
        connection.close()


def no_gridd(answer=b""):
    """A server that takes connections, and says what no gridd says, or nothing."""
    return served(lambda connection: answer and connection.sendall(answer))


@contextlib.contextmanager
def swallower():
    """An address of loopback whose kernel lets nobody in and says nothing: its backlog is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        yield "127.0.0.1:%d" % server.getsockname()[1]


def faults(node):
    return [f["text"] for f in json.loads(node.grid("doctor", "--json").out) if f["level"] == "fault"]


def wait_for_the_fault(node, begins):
    """The only fault of a node, once it is this one: on a busy machine a dial may have come to nothing before."""
    told = lambda: (found := faults(node)) and len(found) == 1 and found[0].startswith(begins) and found[0]  # noqa: E731
    return wait_for(told, f"the doctor says, and nothing beside it: {begins}")


@once
def test_the_doctor_says_of_each_place_why_nobody_is_found_there():
    with Grid(1) as grid, no_gridd() as mute, no_gridd(b"HTTP/1.1 400 Bad Request\r\n\r\n") as web, swallower() as hole:
        closed = f"127.0.0.1:{free_port()}"
        node = grid.add(join=",".join((closed, mute, web, hole)))
        expected = {f"{closed} refuses connections", f"{hole} does not answer", f"{mute} takes connections and says nothing", f"{web} answers, but is no node"}
        wait_for(lambda: {text for text in expected for fault in faults(node) if fault.startswith(text)} == expected, "the doctor names each place and why nobody is found there")
        check_equal(faults(grid[0]), [], "faults of a node that looks for nobody")
        outsider = password_outsider(grid, closed)
        wait_for(lambda: any(fault.startswith(f"this node cannot join at {closed}: ") for fault in faults(outsider)), "who has only a password is told so, too")


@once
def test_the_doctor_tells_a_node_of_another_grid_from_one_of_another_time():
    with Grid(1) as grid:
        own = grid.gridfile
        grid.gridfile = mint_gridfile(grid.folder / "elsewhere", "elsewhere")
        stranger = grid.add(join=grid[0].listen_text)
        grid.gridfile = own
        told = wait_for_the_fault(stranger, f"{grid[0].listen_text} and this node do not take each other's certificate (another grid's authority issued it")
        check_in('see that both have the Gridfile, or name and password, of one grid; "grid adopt"', told, "the remedy")
        with early_member(grid) as place:
            node = grid.add(join=place)
            told = wait_for_the_fault(node, f"{place} and this node do not take each other's certificate (it is only valid in 2 days: is a clock wrong?)")
        check_in("see that both machines' clocks are right", told, "the remedy")
        check("Gridfile" not in told, f"it is sent to look for a Gridfile: {told}")


@contextlib.contextmanager
def early_member(grid):
    """A server with a member's certificate, by a clock that is two days and a half ahead of this one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    key, crt = Leaf(Authority.of_gridfile(grid.gridfile), roles=("node",), name="early", start=60 * HOUR, end=30 * DAY).save(grid.folder / "early")
    context.load_cert_chain(crt, key)
    context.set_alpn_protocols(["grid-control/1"])
    with served(lambda connection: context.wrap_socket(connection, server_side=True).close()) as place:
        yield place


@once
def test_the_doctor_says_that_a_node_is_of_another_version():
    with Grid(1) as grid, Liar(grid, grid[0], "newer") as newer, Liar(grid, grid[0], "older") as older:
        newer.hello(protocol=9)
        wait_for(lambda: "this node refuses another: protocol version 9 does not go with 2: upgrade the older node" in faults(grid[0]), "the doctor says so of who comes")
        older.say(refusal=message("Refusal", code=VERSION, reason=b"protocol version 2 does not go with 9: upgrade the older node"))
        wait_for(lambda: "a node refuses this one: protocol version 2 does not go with 9: upgrade the older node" in faults(grid[0]), "the doctor says so of who refuses it")


class Teller:
    """The only node of a DHT: whatever is looked for is at these addresses of loopback."""

    def __init__(self, places):
        self.values = b"".join(b"6:" + socket.inet_aton(host) + struct.pack(">H", int(port)) for host, port in (place.rsplit(":", 1) for place in places))
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    @property
    def options(self):
        return ("--discover", "dht", "--dht-bootstrap", "127.0.0.1:%d" % self.socket.getsockname()[1])

    def serve(self):
        while True:
            query, sender = self.socket.recvfrom(4096)
            if query == b"over":
                return
            transaction = re.search(rb"1:t(\d+):(.{1,4}?)(?=1:v|1:y)", query, re.DOTALL)
            if transaction and b"1:y1:q" in query:
                values = b"6:valuesl" + self.values + b"e" if b"9:get_peers" in query else b""
                self.socket.sendto(b"d1:rd2:id20:" + b"t" * 20 + b"5:nodes0:5:token1:t" + values + b"e1:t%d:" % len(transaction[2]) + transaction[2] + b"1:y1:re", sender)

    def close(self):
        self.socket.sendto(b"over", self.socket.getsockname())
        self.thread.join()
        self.socket.close()


@once
def test_two_nodes_that_know_only_one_another_in_the_dht_meet():
    with password_grid(options=("--discover", "dht", "--dht-bootstrap", "127.0.0.1:9")) as grid:
        first = grid.add(join=None)
        second = grid.add(join=None, start=False)
        second.options[second.options.index("--dht-bootstrap") + 1] = first.listen_text
        second.start()
        grid.wait_linked()


@once
def test_fake_members_in_the_dht_leave_guesses_for_whom_the_operator_names():
    """Whoever knows the grid's name uses up the guesses of places that are found; the true one, named later, is tried all the same."""
    with password_grid(1) as grid, contextlib.closing(FakeMember(grid.folder, 16)) as fake, contextlib.closing(Teller(fake.addresses.split(","))) as teller:
        places = grid.folder / "places"
        places.write_text("")
        node = grid.add(join=f"file:{places}", options=teller.options)
        wait_for(lambda: said(node, "tried to join 15 times within an hour where it found others by itself"), "what is found has used up its guesses")
        places.write_text(f"{grid[0].listen_text}\n")
        grid.wait_linked()
        check_equal(len(fake.heard), 15, "guesses of those that were found")


@once
def test_silent_places_in_the_dht_hold_no_joiner_up():
    with password_grid(1) as grid, contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(15)]
        teller = stack.enter_context(contextlib.closing(Teller([*(f"127.0.0.1:{s.getsockname()[1]}" for s in silent), grid[0].listen_text])))
        joiner = grid.add(join=None, options=teller.options)
        wait_for(lambda: len(joiner.hosts()) == 2, "the joiner is linked", 15)


@once
def test_a_node_that_is_sent_to_itself_says_so_and_goes_there_no_more():
    with password_grid() as grid:
        with socket.create_server(("127.0.0.1", 0)) as free:
            own = "127.0.0.1:%d" % free.getsockname()[1]
        node = grid.add(join=own, options=("--listen", own, "--log-level", "debug"))
        wait_for(lambda: said(node, "what --join names is this node itself", f'"at":"{own}"'), "it says that it is itself")
        wait_for(lambda: said(node, "this node goes on alone and keeps trying"), "a while has passed")
        check_equal(node.text().count("is this node itself"), 1, "how often it went there")


class NameServer:
    """dnsmasq on a host of the network, authoritative for DOMAIN; hosts that enter() sees ask it, through a resolv.conf of their own."""

    def __init__(self, network, number, folder):
        self.network, self.number, self.process = network, number, None
        self.conf = folder / "resolv.conf"
        self.records, self.log = folder / "dnsmasq.conf", folder / "dnsmasq.log"
        self.conf.write_text(f"search {DOMAIN}\nnameserver {NET}{number}\noptions timeout:1 attempts:1\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.kill()
            self.process.wait()

    def start(self, *records):
        self.records.write_text("\n".join(("no-resolv", "no-hosts", "no-daemon", f"local=/{DOMAIN}/", "local=/_tcp/", "local-ttl=2", "user=root", f"listen-address={NET}{self.number}", "bind-interfaces", *records)) + "\n")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.network.enter(self.number) + ["dnsmasq", f"--conf-file={self.records}", "--pid-file="],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean_environment(self.records.parent))
        wait_for(lambda: b"started" in self.log.read_bytes(), "dnsmasq runs")

    def enter(self, number):
        return self.network.enter(number) + ["unshare", "-m", "--", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', str(self.conf)]


@contextlib.contextmanager
def named_nodes(count, *options):
    """Nodes that know the same place to look, each on a host of its own, not started; and their name server, not started either."""
    if os.geteuid() != 0:
        raise Skip("needs root, to make network namespaces: run it as root")
    network = Network(count + 1)
    try:
        with Grid(0, start=False) as grid, NameServer(network, count + 1, grid.folder) as names:
            fleet = GridFleet(network, grid.folder / "fleet", count, options)
            for number, node in fleet.nodes.items():
                node.prefix = names.enter(number)
            try:
                yield fleet, names
            finally:
                problems = fleet.close()
            check(not problems, f"how they ended: {problems}")
    finally:
        network.close()


def srv(name, *numbers):
    return [f"srv-host={name},m{n}.{DOMAIN},{PEER_PORT},0,1" for n in numbers] + [f"address=/m{n}.{DOMAIN}/{NET}{n}" for n in numbers]


def launch_all(fleet):
    for number in fleet.numbers:
        fleet.launch(number)
    for number in fleet.numbers:
        fleet.wait_started(number)


def test_services_in_dns_are_found_once_a_name_server_answers():
    with named_nodes(2, "--join", f"srv:_gridcontrol._tcp.{DOMAIN}") as (fleet, names):
        launch_all(fleet)
        wait_for(lambda: "looked for" in fleet.log(2).read_text(), "the silent name server is named in the log")
        check(not fleet.refresh().sees(1, 2), "they met without a name server")
        names.start(*srv(f"_gridcontrol._tcp.{DOMAIN}", 1, 2))
        check(fleet.wait_whole(60), f"the nodes of the SRV records are not linked: {fleet.gaps()}")


def test_services_of_the_search_domain_are_found_by_discover_dns():
    with named_nodes(2, "--discover", "dns") as (fleet, names):
        names.start(*srv(f"_gridcontrol._tcp.{DOMAIN}", 1, 2))
        launch_all(fleet)
        check(fleet.wait_whole(60), f"the nodes of the search domain's SRV records are not linked: {fleet.gaps()}")


def test_a_name_of_many_addresses_leads_to_all_of_them():
    """As a headless service of Kubernetes: the name's first addresses are one's own and dead ones."""
    with named_nodes(3, "--join", f"nodes.{DOMAIN}:{PEER_PORT}") as (fleet, names):
        names.start(f"host-record=nodes.{DOMAIN},{NET}1", f"host-record=nodes.{DOMAIN},{NET}9", f"host-record=nodes.{DOMAIN},{NET}2", f"host-record=nodes.{DOMAIN},{NET}3")
        launch_all(fleet)
        check(fleet.wait_whole(60), f"the nodes behind the name are not linked: {fleet.gaps()}")


@once
def test_a_newcomer_that_has_only_a_password_is_held_up_by_no_places_that_swallow_everything():
    """Thirteen places come before the one where the grid is, and cost two seconds each when one is tried after the other."""
    holes = [f"{NET}{hole}" for hole in range(201, 214)]
    with named_nodes(2, "--grid", "demo", "--discover", "none") as (fleet, _):
        secret = secret_file(fleet)
        for node in fleet.nodes.values():
            node.gridfile = None
            node.options += ["--password-file", str(secret)]
        run_text("ip", "-n", fleet.network.host(3), "-batch", "-", text="".join(f"addr add {hole}/24 dev eth0\n" for hole in holes))
        fleet.network.inside(3, "nft", f"add table ip shy; add chain ip shy in {{ type filter hook input priority 0; }}; add rule ip shy in tcp dport {PEER_PORT} drop")
        fleet.launch(1)
        fleet.wait_started(1)
        fleet.nodes[2].options += ["--join", ",".join(f"{host}:{PEER_PORT}" for host in [*holes, f"{NET}1"])]
        fleet.launch(2)
        fleet.wait_started(2)
        check(fleet.wait_whole(24), f"the newcomer is not linked: {fleet.gaps()}")
