"""What a passive listener sees: every frame of a network of the test's own, searched for all that is secret or names somebody."""

import contextlib
import json
import os
import select
import socket
import struct
import subprocess
import threading

from gridtest import Grid, Node, Skip, check, check_equal, once, wait_for

GRID_NAME, PAYLOAD, ANSWER, TASK = "kestrelgrid", "payload-of-kestrel", "answer-of-kestrel", "kestreltask"
ETH_P_ALL = 3


class Network:
    """A network namespace with only a loopback interface; nodes in it are started through `prefix`. Capturing needs no program: a packet socket
    that was opened inside it sees every frame."""

    def __init__(self):
        if os.geteuid() != 0:
            raise Skip("needs root, to make a network namespace")
        self.keeper = subprocess.Popen(["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep 600"], stdout=subprocess.PIPE, text=True)
        if self.keeper.stdout.readline() != "up\n":
            self.keeper.wait()
            raise Skip("a network namespace cannot be made here")
        self.prefix = ["nsenter", f"--net=/proc/{self.keeper.pid}/ns/net", "--"]

    def socket(self, *kind):
        """A socket of that network: a thread may enter it, the process stays where it is."""
        made = []

        def enter():
            import ctypes

            libc = ctypes.CDLL(None, use_errno=True)
            with open(f"/proc/{self.keeper.pid}/ns/net") as place:
                if libc.setns(place.fileno(), 0x40000000) == 0:  # CLONE_NEWNET
                    made.append(socket.socket(*kind))

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        check(made, "the test cannot enter its network namespace")
        return made[0]

    def close(self):
        self.keeper.kill()
        self.keeper.wait()


class Capture(threading.Thread):
    """All TCP payload of a network by direction, put together by sequence numbers; and all UDP payload."""

    def __init__(self, network):
        super().__init__(daemon=True)
        self.socket = network.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.streams, self.datagrams, self.frames, self.ending = {}, [], 0, False

    def run(self):
        while not self.ending or select.select([self.socket], [], [], 0)[0]:
            if select.select([self.socket], [], [], 0.05)[0]:
                self.take(self.socket.recv(65600))

    def take(self, frame):
        if frame[0] >> 4 != 4:
            return
        self.frames += 1
        header, protocol = (frame[0] & 15) * 4, frame[9]
        total = struct.unpack_from("!H", frame, 2)[0] or len(frame)
        segment = frame[header:total]
        if protocol == 17:
            self.datagrams.append(segment[8:])
        if protocol == 6:
            source, target, sequence = struct.unpack_from("!HHI", segment)
            data = segment[(segment[12] >> 4) * 4:]
            if data:
                self.streams.setdefault((source, target), {})[sequence] = data

    def stop(self):
        """Bytes of each direction of each connection, by (source port, target port)."""
        self.ending = True
        self.join()
        lost = struct.unpack("II", self.socket.getsockopt(263, 6, 8))[1]  # SOL_PACKET, PACKET_STATISTICS
        check_equal(lost, 0, "frames lost by the capture")
        self.socket.close()
        return {ports: b"".join(data for _, data in sorted(parts.items())) for ports, parts in self.streams.items()}


def client_hello_names(stream):
    """Whether a TLS client's first flight names a server: extension 0 of RFC 6066."""
    check(stream[0] == 22 and stream[5] == 1, f"a connection does not begin with a ClientHello: {stream[:20]!r}")
    at = 9 + 2 + 32
    at += 1 + stream[at]
    at += 2 + struct.unpack_from("!H", stream, at)[0]
    at += 1 + stream[at]
    end = at + 2 + struct.unpack_from("!H", stream, at)[0]
    at += 2
    kinds = []
    while at < end:
        kind, size = struct.unpack_from("!HH", stream, at)
        kinds.append(kind)
        at += 4 + size
    return 0 in kinds


@contextlib.contextmanager
def captured_grid(nodes):
    """Nodes of one grid in a network of their own, all of whose frames are kept; not yet started."""
    network = Network()
    try:
        with Grid(0, name=GRID_NAME, start=False) as grid:
            for name in ("kestrel-a", "kestrel-b", "kestrel-c")[:nodes]:
                grid.nodes.append(Node(grid.folder / name, name, grid.gridfile))
                grid.nodes[-1].prefix = network.prefix
            yield grid, network
    finally:
        network.close()


def find_all(streams, datagrams, secrets):
    return sorted({secret.decode() for secret in secrets for data in [*streams.values(), *datagrams] if secret in data or secret.hex().encode() in data})


def api_call(node, method, path, body=b""):
    """Over the Unix socket: the test itself is not in the nodes' network."""
    done = subprocess.run(["curl", "-sS", "--max-time", "30", "--unix-socket", str(node.socket), "-X", method, "-H", "Content-Type: application/json", "--data-binary", "@-",
                           f"http://localhost{path}"], input=body if isinstance(body, bytes) else json.dumps(body).encode(), capture_output=True)
    check_equal(done.returncode, 0, f"{method} {path}: {done.stderr.decode()}")
    return done.stdout


def api_json(node, method, path, body=b""):
    return json.loads(api_call(node, method, path, body))


def deploy_and_call(grid):
    """A release that goes to all, and calls that every node answers."""
    project = grid.project().js(TASK, f"exports.handler = (event) => ({{node: process.env.GRID_NODE_NAME, said: '{ANSWER}'}});\n")
    answer = api_json(grid[0], "POST", "/tasks/init", {"base_folder": str(project), "task_folder": "tasks"})
    check(TASK in answer, f"init: {answer}")
    answered = set()

    def all_answered():
        called = api_json(grid[0], "POST", "/tasks/lb_trigger_single", {"task_id": TASK, "data": PAYLOAD})
        check(ANSWER in json.dumps(called), f"an answer: {called}")
        answered.add(called["server"]["name"])
        return len(answered) == len(grid.nodes)

    wait_for(all_answered, "every node has answered a call")


def peers_ports(grid):
    return {node.listen[1] for node in grid.nodes}


def secrets_of(grid):
    return [s.encode() for s in [GRID_NAME, PAYLOAD, ANSWER, TASK, "grid.v1", "gridcontrol", "tasks/", *(n.name for n in grid.nodes), *(n.info["id"] for n in grid.nodes)]]


@once
def test_a_listener_learns_nothing_of_a_call():
    with captured_grid(2) as (grid, network):
        capture = Capture(network)
        capture.start()
        grid[0].start()
        grid[1].join = grid[0].listen_text
        grid[1].start()
        wait_for(lambda: len(api_json(grid[1], "GET", "/hosts/list")) == 2, "both see both")
        deploy_and_call(grid)
        streams, ports = capture.stop(), peers_ports(grid)
        between = {pair: data for pair, data in streams.items() if pair[0] in ports or pair[1] in ports}
        check(sum(map(len, between.values())) > 8000, f"what was captured between the nodes: { {k: len(v) for k, v in between.items()} }")
        inside = [data for pair, data in streams.items() if pair not in between]
        check(any(PAYLOAD.encode() in data for data in inside), "the capture does not even show the payload on its way to the task")
        check_equal(find_all(between, capture.datagrams, secrets_of(grid)), [], "what a listener reads between the nodes")
        dialled = [data for pair, data in between.items() if pair[1] in ports and data]
        check(dialled and not any(client_hello_names(data) for data in dialled), "a ClientHello names its server")


@once
def test_a_listener_learns_nothing_of_a_join():
    password = "tangled-otter-8-kestrels"
    with captured_grid(2) as (grid, network):
        (grid.folder / "password").write_text(password + "\n")
        (grid.folder / "password").chmod(0o600)
        for node in grid.nodes:
            node.gridfile, node.options = None, ["--grid", GRID_NAME, "--password-file", str(grid.folder / "password")]
        capture = Capture(network)
        capture.start()
        grid[0].start()
        grid[1].join = grid[0].listen_text
        grid[1].start()
        wait_for(lambda: len(api_json(grid[1], "GET", "/hosts/list")) == 2, "the second has joined")
        deploy_and_call(grid)
        streams, ports = capture.stop(), peers_ports(grid)
        between = {pair: data for pair, data in streams.items() if pair[0] in ports or pair[1] in ports}
        check(any(b"grid-join/1" in data for data in between.values()), "no join was captured")
        check_equal(find_all(between, capture.datagrams, [password.encode(), *secrets_of(grid)]), [], "what a listener reads of a join and a call")
        check(not any(client_hello_names(data) for pair, data in between.items() if pair[1] in ports), "a ClientHello names its server")
