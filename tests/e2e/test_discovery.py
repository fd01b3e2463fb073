"""Finding other nodes by more than plain addresses: files that are followed, and DNS with a real name server."""

import contextlib
import os
import subprocess

from gridtest import Grid, Skip, check, check_in, clean_environment, wait_for
from rig import NET, PEER_PORT, GridFleet, Network
from test_join import password_grid, said

DOMAIN = "grid.test"


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
