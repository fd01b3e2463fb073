"""Replacing the authority: no call fails meanwhile, and a node that was away comes back."""

import http.client
import json
import threading
import time

from gridtest import Grid, check, check_equal, check_in, http_request, shared, wait_for
from test_join import authority_of, said

RATE, SECONDS = 200, 5


@shared
def three():
    made = Grid(3)
    made.deploy(made.project().program("cecho"))
    return made


def states(node):
    return {n["name"]: n["state"] for n in json.loads(node.grid("list", "--all", "--json", check_code=0).stdout)}


class Load:
    """RATE calls a second in all, at every node."""

    def __init__(self, nodes):
        self.nodes, self.failed, self.done, self.over = nodes, [], 0, threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(n, i)) for i, n in enumerate(nodes * 4)]

    def run(self, node, index):
        connection = http.client.HTTPConnection(*node.api, timeout=30)
        due = time.monotonic()
        while not self.over.is_set():
            due += len(self.threads) / RATE
            answer = http_request(node.api, "POST", "/invoke/cecho", b"{}", {"Content-Type": "application/json"}, connection=connection)
            with self.lock:
                self.done += 1
                if answer.status != 200:
                    self.failed.append((node.name, answer.status, answer.text[:200]))
            self.over.wait(max(0, due - time.monotonic()))
        connection.close()

    def __enter__(self):
        [t.start() for t in self.threads]
        return self

    def __exit__(self, *_):
        self.over.set()
        [t.join() for t in self.threads]


def test_no_call_fails_while_the_authority_is_replaced():
    before = authority_of(three()[0])
    with Load(three().nodes) as load:
        wait_for(lambda: load.done > RATE // 2, "calls flow")
        answer = three()[1].grid("rotate", "--wait", "30s", check_code=0)
        end = load.done + RATE * SECONDS  # past the cut of what is left of old connections
        wait_for(lambda: load.done >= end or load.failed, "calls go on")
    check_equal(load.failed, [], f"failed calls of {load.done}")
    check_in("done: authority", answer.stderr.decode(), "what grid rotate says")
    check_equal(len({authority_of(n) for n in three().nodes} | {before}), 2, "authorities, old and new")
    for node in three().nodes:
        wait_for(lambda: len(node.hosts()) == 3, f"{node.name} sees all")


def test_node_that_was_away_comes_back_within_the_overlap():
    with Grid(3) as grid:
        away, before = grid[2], authority_of(grid[0])
        away.kill()
        wait_for(lambda: states(grid[0])["node3"] == "dead", "the others see it gone")
        answer = grid[0].grid("rotate", "--wait", "1s")
        check_equal(answer.returncode, 4, "exit code while one is away")
        check_in("goes on by itself", answer.stderr.decode(), "what is said of the rest")
        wait_for(lambda: b"use: authority" in grid[0].grid("rotate", "--status").stderr, "the phase that needs all")
        check_in("waits for node3", grid[0].grid("rotate", "--status").stderr.decode(), "who is waited for")
        away.start()
        wait_for(lambda: len(away.hosts()) == 3, "it is back")
        wait_for(lambda: b"done" in grid[0].grid("rotate", "--status").stderr, "the rotation ends")
        wait_for(lambda: len({authority_of(n) for n in grid.nodes} | {before}) == 2, "all use the new authority")
        grid[1].stop()
        grid[1].start()
        check(said(grid[1], "the Gridfile is from before the grid's authority was replaced"), "nothing is said of the old Gridfile")
        wait_for(lambda: len(grid[1].hosts()) == 3, "a member comes back with its old Gridfile")


def test_gridfile_of_another_authority_is_refused_until_the_node_adopts_it():
    with Grid(1) as other, Grid(1) as own:
        node = own[0]
        node.stop()
        node.gridfile, node.name = other.gridfile, "turncoat"
        node.launch()
        check_equal(node.process.wait(20), 2, "exit code with another grid's Gridfile")
        check_in("grid adopt", node.tail(), "the remedy")
        answer = other[0].grid("adopt", "--yes", "--state", str(other[0].state))
        check_in("runs: stop it first", answer.stderr.decode(), "about the state of a node that runs")
        node.grid("adopt", "--yes", "--state", str(node.state), check_code=0)
        node.join = other[0].listen_text
        node.start()
        wait_for(lambda: len(other[0].hosts()) == 2, "it has changed sides")
