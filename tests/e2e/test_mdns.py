"""Nodes that were given nothing but a name and a password find one another on a LAN: by the responder inside gridd, and by the host's avahi-daemon, which comes and goes."""

import contextlib
import json
import os
import shutil
import signal
import subprocess

from gridtest import Grid, Skip, check, check_equal, clean_environment, grid_command, once, wait_for
from rig import NET, PEER_PORT, GridFleet, Network, run_text
from test_join import PASSWORD

BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={folder}/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/><allow send_type="method_return"/><allow send_type="error"/>
<allow receive_type="method_call"/><allow receive_type="signal"/><allow receive_type="method_return"/><allow receive_type="error"/></policy></busconfig>
"""


class Avahi:
    """D-Bus and avahi-daemon of one host of the network."""

    def __init__(self, network, number, folder):
        self.network, self.number, self.folder = network, number, folder / f"avahi{number}"
        self.folder.mkdir()
        self.address = f"unix:path={self.folder}/bus"
        self.running = []

    def spawn(self, name, *command):
        with open(self.folder / f"{name}.log", "ab") as log:
            process = subprocess.Popen(self.network.enter(self.number) + list(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       env=clean_environment(self.folder, {"DBUS_SYSTEM_BUS_ADDRESS": self.address}))
        self.running.append(process)
        return process

    def start(self, publish=""):
        (self.folder / "bus.conf").write_text(BUS_CONFIG.format(folder=self.folder))
        (self.folder / "avahi.conf").write_text(f"[server]\nhost-name=host{self.number}\nuse-iff-running=no\n[publish]\npublish-workstation=no\n{publish}[wide-area]\nenable-wide-area=no\n")
        self.spawn("bus", "dbus-daemon", f"--config-file={self.folder}/bus.conf", "--nofork", "--nopidfile")
        wait_for((self.folder / "bus").exists, "D-Bus runs")
        # Its pid file has a fixed place: each has that folder to itself.
        self.spawn("avahi", "unshare", "-m", "--", "sh", "-c", 'mkdir -p /run/avahi-daemon && mount -t tmpfs none /run/avahi-daemon && exec "$@"', "sh",
                   "avahi-daemon", "-f", str(self.folder / "avahi.conf"), "--no-drop-root", "--no-rlimits", "--no-proc-title", "--no-chroot")
        wait_for(lambda: "Server startup complete" in (self.folder / "avahi.log").read_text(), "avahi-daemon runs")

    def kill(self):
        for process in reversed(self.running):
            process.kill()
            process.wait()
        self.running = []
        (self.folder / "bus").unlink(missing_ok=True)
        (self.folder / "avahi.log").unlink(missing_ok=True)

    def freeze(self):
        for process in self.running:
            os.kill(process.pid, signal.SIGSTOP)


@contextlib.contextmanager
def lan(count, avahi_at=(), grid="lan"):
    """Hosts on one LAN whose nodes know a name and a password, not started; those of `avahi_at` have a D-Bus of their own, not started either."""
    if os.geteuid() != 0:
        raise Skip("needs root, to make network namespaces: run it as root")
    if avahi_at and not shutil.which("avahi-daemon", path="/usr/sbin:/usr/bin:/sbin:/bin"):
        raise Skip("avahi-daemon is not installed: deploy/install-deps --tests does so")
    network = Network(count)
    try:
        with Grid(0, start=False) as scratch:
            secret = scratch.folder / "secret"
            secret.write_text(PASSWORD + "\n")
            secret.chmod(0o600)
            fleet = GridFleet(network, scratch.folder / "fleet", count, ["--grid", grid, "--password-file", str(secret), "--discover", "mdns", "--log-level", "debug"])
            daemons = {n: Avahi(network, n, scratch.folder) for n in avahi_at}
            for number, node in fleet.nodes.items():
                node.gridfile = None
                node.env["DBUS_SYSTEM_BUS_ADDRESS"] = daemons[number].address if number in daemons else f"unix:path={scratch.folder}/no-bus"
            try:
                yield fleet, daemons
            finally:
                problems = fleet.close()
                for daemon in daemons.values():
                    daemon.kill()
            check(not problems, f"how they ended: {problems}")
    finally:
        network.close()


def launch(fleet, *numbers):
    for number in numbers:
        fleet.launch(number)
    for number in numbers:
        fleet.wait_started(number)


def ask(node, path):
    """By its Unix socket: its addresses are another network's."""
    said = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", "20", "--unix-socket", str(node.socket), f"http://localhost{path}"], capture_output=True)
    return int(said.stdout or 0)


def lonely(node):
    """What the doctor warns of beside faults."""
    said = json.loads(node.grid("doctor", "--json", env={"GRID_API": ""}).out)
    return " ".join(f["text"] for f in said if f["level"] == "warning" and f["about"] == "peers")


def responders(fleet, number):
    """What its log says of those it has used, one after the other, and of what its announcement was called."""
    return [json.loads(line) for line in fleet.log(number).read_text().splitlines() if '"msg":"multicast DNS"' in line and line.endswith("}")]


def speaks_by(fleet, number):
    """Which responder the node uses now."""
    said = responders(fleet, number)
    return said[-1]["responder"] if said else ""


def has_heard(fleet, number, what, service):
    return any(f'"multicast DNS: a service is {what}"' in line and f'"service":"{service}"' in line for line in fleet.log(number).read_text().splitlines())


def move(fleet, number, *changes):
    """What changes in the network of its host."""
    run_text("ip", "-n", fleet.network.host(number), "-batch", "-", text="".join(f"{change}\n" for change in changes))


@once
def test_nodes_on_a_lan_find_each_other_by_name_and_password_or_by_gridfile():
    """Two grids on one network: each node needs its card or its password, and no address."""
    with lan(4) as (fleet, _):
        for node in (fleet.nodes[3], fleet.nodes[4]):
            node.gridfile = fleet.gridfile
            del node.options[: node.options.index("--discover")]
        launch(fleet, 1, 2, 3, 4)
        check(fleet.wait_whole(60, (1, 2)), f"the two with a password are not linked: {fleet.gaps()}")
        check(fleet.wait_whole(60, (3, 4)), f"the two with a Gridfile are not linked: {fleet.gaps()}")
        check(speaks_by(fleet, 1) == "built-in", "there is no daemon, and another responder is used")
        check(not lonely(fleet.nodes[1]), "the doctor finds nothing wrong with multicast DNS")
        fleet.kill(2)
        wait_for(lambda: "multicast DNS has found none of this grid" in lonely(fleet.nodes[1]), "the doctor says what may keep it alone")
        tried = [line for line in fleet.log(3).read_text().splitlines() if "may be is tried" in line]
        check(tried and not any(f"{NET}{n}:" in line for line in tried for n in (1, 2)), f"another grid's node was tried: {tried}")


@once
def test_the_doctor_says_that_multicast_is_blocked_and_the_nodes_meet_once_it_is_not():
    with lan(2) as (fleet, _):
        for number in (1, 2):
            fleet.network.inside(number, "nft", "add table inet shut; add chain inet shut in { type filter hook input priority 0; }; add rule inet shut in udp dport 5353 drop")
        launch(fleet, 1, 2)
        for node in fleet.nodes.values():
            wait_for(lambda node=node: "a firewall drops UDP port 5353; name one with --join" in lonely(node), "the doctor says what may keep it alone")
        for number in (1, 2):
            fleet.network.inside(number, "nft", "delete table inet shut")
        check(fleet.wait_whole(60), f"the two are not linked: {fleet.gaps()}")
        wait_for(lambda: not any(map(lonely, fleet.nodes.values())), "the doctor finds nothing wrong any more")


@once
def test_nodes_on_a_lan_where_nobody_gives_out_addresses_find_each_other_by_those_they_have_made_themselves():
    """IPv4 link-local addresses (RFC 3927), no gateway and no default route."""
    with lan(2) as (fleet, _):
        for number, node in fleet.nodes.items():
            host = fleet.network.host(number)
            run_text("ip", "-n", host, "-batch", "-", text=f"addr flush dev eth0 scope global\naddr add 169.254.77.{number}/16 dev eth0 scope link\n")
            node.address = f"0.0.0.0:{PEER_PORT}"
        launch(fleet, 1, 2)
        check(fleet.wait_whole(60), f"the two are not linked: {fleet.gaps()}")
        for one, other in ((1, 2), (2, 1)):
            logs = grid_command("logs", "--node", f"m{other}", env={"GRID_API": str(fleet.nodes[one].socket)})
            check_equal(logs.returncode, 0, f"what m{one} hears of m{other}: {logs.err}")


@once
def test_a_node_announces_itself_by_avahi_daemon_while_there_is_one():
    with lan(3, avahi_at=(1,)) as (fleet, daemons):
        daemons[1].start()
        launch(fleet, 1, 2)
        check(fleet.wait_whole(60, (1, 2)), f"a node by avahi-daemon and one without it are not linked: {fleet.gaps()}")
        check(speaks_by(fleet, 1) == "avahi-daemon", "the daemon is there and is not used")
        daemons[1].kill()
        wait_for(lambda: speaks_by(fleet, 1) == "built-in", "the built-in responder takes over from a daemon that died")
        fleet.kill(2)
        launch(fleet, 3)
        check(fleet.wait_whole(60, (1, 3)), f"a node that comes after the daemon died is not found: {fleet.gaps()}")
        daemons[1].start()
        wait_for(lambda: speaks_by(fleet, 1) == "avahi-daemon", "the daemon that is back is used again", 30)


@once
def test_an_avahi_daemon_that_takes_no_services_of_others_is_not_used():
    """As on hardened hosts. It is there all the time, and is asked again now and then."""
    with lan(2, avahi_at=(1,)) as (fleet, daemons):
        daemons[1].start("disable-user-service-publishing=yes\n")
        launch(fleet, 1, 2)
        wait_for(lambda: speaks_by(fleet, 1) == "built-in", "the built-in responder is used beside it")
        check(fleet.wait_whole(60), f"the two are not linked: {fleet.gaps()}")
        wait_for(lambda: has_heard(fleet, 2, "there", responders(fleet, 1)[-1]["service"]), "the other hears of it beside the daemon")
        check("avahi-daemon" not in {line["responder"] for line in responders(fleet, 1)}, "it was used for a while")


@once
def test_two_nodes_of_one_host_are_both_heard():
    """Each has a responder of its own, and both the same addresses."""
    with lan(3) as (fleet, _):
        fleet.nodes[3].prefix, fleet.nodes[3].address = fleet.nodes[1].prefix, f"{NET}1:{PEER_PORT + 1}"
        launch(fleet, 2)
        for number in (1, 3):
            launch(fleet, number)
            wait_for(lambda number=number: speaks_by(fleet, number) and has_heard(fleet, 2, "there", responders(fleet, number)[-1]["service"]), f"the other host hears of node {number}")
        check(fleet.wait_whole(60), f"not linked: {fleet.gaps()}")


@once
def test_nodes_find_each_other_when_their_network_comes_up_after_them_and_again_when_it_was_away():
    with lan(2) as (fleet, _):
        for number, node in fleet.nodes.items():
            node.address = f"0.0.0.0:{PEER_PORT}"
            move(fleet, number, "addr flush dev eth0 scope global", "link set eth0 down")
        launch(fleet, 1, 2)
        wait_for(lambda: all(speaks_by(fleet, n) == "built-in" for n in (1, 2)), "both wait for a network")
        for number in (1, 2):
            move(fleet, number, "link set eth0 up", f"addr add {NET}{number}/24 dev eth0")
        check(fleet.wait_whole(60), f"not linked once there is a network: {fleet.gaps()}")
        fleet.kill(2)
        for node in fleet.nodes.values():
            (node.state / "peers").unlink(missing_ok=True)
        move(fleet, 2, "addr flush dev eth0 scope global", "link set eth0 down")
        move(fleet, 2, "link set eth0 up", f"addr add {NET}102/24 dev eth0")
        launch(fleet, 2)
        check(fleet.wait_whole(60), f"not linked after the network was away: {fleet.gaps()}")


@once
def test_a_node_that_leaves_says_goodbye_to_the_network():
    """What is announced would be held for true for 75 minutes otherwise."""
    with lan(2) as (fleet, _):
        launch(fleet, 1, 2)
        check(fleet.wait_whole(60), f"the two are not linked: {fleet.gaps()}")
        service = responders(fleet, 2)[-1]["service"]
        wait_for(lambda: has_heard(fleet, 1, "there", service), "the other has heard of it")
        check_equal(fleet.nodes[2].stop(), [], "how it ended")
        wait_for(lambda: has_heard(fleet, 1, "gone", service), "the other hears that it has gone")


@once
def test_a_d_bus_that_hangs_holds_up_nobody():
    with lan(2, avahi_at=(1,)) as (fleet, daemons):
        daemons[1].start()
        daemons[1].freeze()
        launch(fleet, 1, 2)
        check(ask(fleet.nodes[1], "/healthz") == 200, "the node answers")
        check(fleet.nodes[1].stop() == [], "it ends although D-Bus does not answer")
