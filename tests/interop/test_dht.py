"""The node in a private DHT of 50 nodes of npm's bittorrent-dht, all on loopback. Run by tests/interop/run."""

import contextlib
import hashlib
import json
import os
import re
import selectors
import socket
import struct
import subprocess
import threading
import time

from gridtest import ROOT, Failure, check, check_equal, check_in, wait_for
from test_join import password_grid, run_gridd, said

HERE = ROOT / "tests" / "interop"
NODES = 50


class Swarm:
    """Foreign nodes that know one another."""

    def __init__(self):
        self.process = subprocess.Popen(["node", HERE / "dht_nodes.js", str(NODES)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise Failure("the foreign nodes of the DHT did not start")
        self.ports = json.loads(line)["ports"]

    def bootstrap(self):
        return ",".join(f"127.0.0.1:{port}" for port in self.ports[:2])

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)


NOBODY = "127.0.0.1:9"


@contextlib.contextmanager
def nodes_in_the_dht(count, bootstrap=NOBODY):
    with password_grid(options=("--discover", "dht", "--dht-bootstrap", bootstrap)) as grid:
        for _ in range(count):
            grid.add(join=None)
        yield grid


def wait_in_the_dht(node):
    wait_for(lambda: said(node, "looked for in the mainline DHT"), "it says that it is in the DHT")


def wait_found(grid, node, what):
    """How long after its start was this node linked?"""
    began = time.monotonic()
    wait_for(lambda: len(node.hosts()) == len(grid.alive()), what)
    return time.monotonic() - began


def test_nodes_with_a_password_find_each_other_in_the_dht():
    with contextlib.closing(Swarm()) as swarm, nodes_in_the_dht(1, swarm.bootstrap()) as grid:
        wait_in_the_dht(grid[0])
        second = grid.add(join=None)
        print(f"cold: linked {wait_found(grid, second, 'a new node is linked'):.1f} s after its start")
        grid.wait_linked()
        second.stop()
        check((second.state / "dht").read_bytes().startswith(b"GDHT"), "the table is kept")
        (second.state / "peers").unlink()  # it is to be found in the DHT
        second.options[second.options.index("--dht-bootstrap") + 1] = "none"
        second.start()
        print(f"warm: linked {wait_found(grid, second, 'a node that knows the DHT is linked'):.1f} s after its start")


class Liars:
    """Nodes of the DHT whose ids were chosen next to a grid's tags, on threads of this process. Each tells of the others, and of peers that are not there, others each time: at
    their addresses connections are taken, and nothing is ever said."""

    def __init__(self, grid, honest_ports, count=12):
        self.told = 0
        self.pit = socket.create_server(("0.0.0.0", 0), backlog=1)
        day = int(time.time() // 86400)
        self.tags = [hashlib.sha256(f"gridcontrol dht 1\n{grid}\n{d}".encode()).digest()[:20] for d in (day - 1, day, day + 1)]
        self.sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
        for s in self.sockets:
            s.bind(("127.0.0.1", 0))
        self.selector = selectors.DefaultSelector()
        self.stop_read, self.stop_write = os.pipe()
        self.selector.register(self.stop_read, selectors.EVENT_READ)
        for number, s in enumerate(self.sockets):
            self.selector.register(s, selectors.EVENT_READ, number)
        for number, s in enumerate(self.sockets):
            for port in honest_ports:  # who asks is known from then on
                s.sendto(b"d1:ad2:id20:" + self._id(number) + b"e1:q4:ping1:t2:aa1:y1:qe", ("127.0.0.1", port))
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def port(self):
        return self.sockets[0].getsockname()[1]

    def _id(self, number):
        tag = self.tags[number % len(self.tags)]
        return tag[:19] + bytes([tag[19] ^ (number + 1)])

    def _fake(self):
        self.told += 1
        return struct.pack(">BBBBH", 127, 1 + self.told // 65536 % 250, self.told // 256 % 256, self.told % 256, self.pit.getsockname()[1])

    def _answer(self, number, query):
        transaction = re.search(rb"1:t(\d+):(.{1,4}?)(?=1:v|1:y)", query, re.DOTALL)
        if not transaction:
            return None
        nodes = b"".join(self._id(i) + struct.pack(">BBBBH", 127, 0, 0, 1, s.getsockname()[1]) for i, s in enumerate(self.sockets))
        values = b"".join(b"6:" + self._fake() for _ in range(60)) if b"9:get_peers" in query else b""
        return (b"d1:rd2:id20:" + self._id(number) + b"5:nodes%d:" % len(nodes) + nodes + b"5:token1:t" + (b"6:valuesl" + values + b"e" if values else b"") + b"e1:t%d:" % len(transaction[2])
                + transaction[2] + b"1:y1:re")

    def _serve(self):
        while True:
            for key, _ in self.selector.select():
                if key.data is None:
                    return
                query, sender = key.fileobj.recvfrom(4096)
                answer = self._answer(key.data, query)
                if answer:
                    key.fileobj.sendto(answer, sender)

    def close(self):
        os.write(self.stop_write, b"x")
        self.thread.join()
        for s in (*self.sockets, self.pit):
            s.close()
        os.close(self.stop_read)
        os.close(self.stop_write)


def test_a_true_node_is_found_among_thousands_of_fakes():
    with contextlib.closing(Swarm()) as swarm, contextlib.closing(Liars("demo", swarm.ports)) as liars, nodes_in_the_dht(1, f"{swarm.bootstrap()},127.0.0.1:{liars.port()}") as grid:
        wait_in_the_dht(grid[0])
        wait_for(lambda: liars.told > 500, "the liars are asked")
        second = grid.add(join=None)
        began = time.monotonic()
        wait_for(lambda: len(second.hosts()) == 2, "the true one is linked", 30)
        print(f"linked after {time.monotonic() - began:.1f} s and {liars.told} fakes")


def udp_answers(port, message):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.sendto(message, ("127.0.0.1", port))
        return s.recv(4096)


def test_a_node_answers_in_the_dht_and_bears_garbage():
    with nodes_in_the_dht(1) as grid:
        node = grid[0]
        wait_in_the_dht(node)
        port = node.listen[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for garbage in (b"", b"d", b"l" * 1400, b"d" * 60000, b"d1:ad2:id20:" + b"x" * 20 + b"e1:q4:ping1:t2:aa1:y1:q", b"i" + b"9" * 500 + b"e", bytes(range(256)) * 4):
                s.sendto(garbage, ("127.0.0.1", port))
        answer = udp_answers(port, b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:zz1:y1:qe")
        check_in(b"1:t2:zz", answer, "the answer to a ping")
        answer = udp_answers(port, b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:zz1:y1:qe")
        check_in(b"5:nodes", answer, "the answer to find_node")


def test_a_node_without_a_password_is_not_in_the_dht():
    with nodes_in_the_dht(0) as grid:
        in_the_dht = grid.options[grid.options.index("--discover") :]
        grid.options[:] = in_the_dht
        check(not said(grid.add(join=None), "mainline DHT"), "it looks for others without a password")
        done = run_gridd("--check", "--state", grid.folder / "s", "--grid", "demo", "--open", *in_the_dht)
        check_equal(done.returncode, 2, "exit of --open with the DHT")
        check_in("everybody on the internet", done.stderr, "its sentence")
