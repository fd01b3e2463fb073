"""Replacing the authority: no call fails meanwhile, and a node that was away comes back."""

import http.client
import json
import re
import socket
import time

from certs import greet, refusal, tls_client
from crew import Crew
from gridtest import Grid, check, check_equal, check_in, grid_command, http_request, node_rpc, once, shared, wait_for
from test_evict import can_issue
from test_join import PASSWORD, authority_of, password_grid, said, secret_file
from test_publishers import with_publishers

RATE, SECONDS = 200, 5


@shared
def three():
    made = Grid(3)
    made.deploy(made.project().program("cecho"))
    return made


def states(node):
    return {n["name"]: n["state"] for n in json.loads(node.grid("list", "--all", "--json", check_code=0).stdout)}


class Load(Crew):
    """RATE calls a second in all, at every node."""

    def __init__(self, nodes):
        self.failed, self.done = [], 0
        super().__init__(self.run, [(n, i) for i, n in enumerate(nodes * 4)])

    def run(self, node, index):
        connection = http.client.HTTPConnection(*node.api, timeout=30)
        due = time.monotonic()
        while not self.over.is_set():
            due += len(self.threads) / RATE
            fault = self.call(node, connection)
            with self.lock:
                self.done += 1
                if fault:
                    self.failed.append((node.name, *fault))
            self.over.wait(max(0, due - time.monotonic()))
        connection.close()

    def call(self, node, connection):
        """None when the answer is the call's own."""
        payload = b'{"number":%d}' % self.done
        try:
            answer = http_request(node.api, "POST", "/invoke/cecho", payload, {"Content-Type": "application/json"}, connection=connection)
        except (OSError, http.client.HTTPException) as error:
            return "no answer", repr(error)
        return None if (answer.status, answer.body) == (200, payload) else (answer.status, answer.text[:200])

    def rate(self):
        return self.done / self.passed()


class Client:
    """A remote client with a certificate of the authority that there is now, and a connection that stays."""

    def __init__(self, made):
        folder = made.folder / f"client-{len(list(made.folder.iterdir()))}"
        state = next(n for n in made.nodes if can_issue(n)).state
        grid_command("cert", "issue", "ci", "--state", state, "--out", folder, cwd=folder.parent, env={"GRID_GRIDFILE": ""}, check_code=0)
        self.context, self.node = tls_client(folder / "ci.key", folder / "ci.crt", ("http/1.1",)), made[0]
        self.standing = self.context.wrap_socket(socket.create_connection(self.node.listen, 10))

    def greet(self):
        return greet(self.node.listen, self.context, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")

    def is_served(self):
        return self.greet()[1].startswith(b"HTTP/1.1 200")

    def is_cut(self):
        """Whether the connection of before is closed."""
        self.standing.settimeout(0.05)
        try:
            return self.standing.recv(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True


def test_no_call_fails_while_the_authority_is_replaced():
    before, client = authority_of(three()[0]), Client(three())
    check(client.is_served(), "a client's certificate counts before")
    with Load(three().nodes) as load:
        wait_for(lambda: load.done > RATE // 2, "calls flow")
        answer = three()[1].grid("rotate", "--wait", "30s", check_code=0)
        end = load.done + RATE * SECONDS  # past the cut of what is left of old connections
        wait_for(lambda: load.done >= end or load.failed, "calls go on")
        rate = load.rate()
    check_equal(load.failed, [], f"failed calls of {load.done}")
    check(rate > 0.7 * RATE, f"only {rate:.0f} calls a second were made")
    wait_for(client.is_cut, "the client's connection of before is closed", 5)
    check_in("its authority has been replaced, and it was no member then", refusal(client.node, client.greet()[0]), "why its certificate of before is refused")
    check(Client(three()).is_served(), "one that is issued anew counts")
    check_in("done: authority", answer.stderr.decode(), "what grid rotate says")
    check_equal(len({authority_of(n) for n in three().nodes} | {before}), 2, "authorities, old and new")
    check(not any(said(n, "statements that do not hold") for n in three().nodes), "who was a step behind was taken for a liar")
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
        wait_for(lambda: re.search(rb"use: authority .*waits for node3$", grid[0].grid("rotate", "--status").stderr, re.M), "node3 alone is waited for")
        away.start()
        wait_for(lambda: len(away.hosts()) == 3, "it is back")
        wait_for(lambda: b"done" in grid[0].grid("rotate", "--status").stderr, "the rotation ends")
        wait_for(lambda: len({authority_of(n) for n in grid.nodes} | {before}) == 2, "all use the new authority")
        grid[1].stop()
        grid[1].start()
        check(said(grid[1], "the Gridfile is from before the grid's authority was replaced"), "nothing is said of the old Gridfile")
        wait_for(lambda: len(grid[1].hosts()) == 3, "a member comes back with its old Gridfile")


@once
def test_an_issuer_evicted_while_the_new_authority_comes_into_use_takes_nobody_with_it():
    """Members have certificates of the authority to come already, which the eviction puts an end to; one that is away has one of the authority before."""
    with Grid(4) as grid:
        first, second, issuer, away = grid.nodes
        away.kill()
        wait_for(lambda: states(first)["node4"] == "dead", "the others see it gone")
        check_equal(first.grid("rotate", "--wait", "1s").returncode, 4, "exit code while one is away")
        wait_for(lambda: re.search(rb"use: authority .*waits for node4$", first.grid("rotate", "--status").stderr, re.M), "node4 alone is waited for")
        coming = authority_of(first)
        first.grid("evict", issuer.name, check_code=0)
        wait_for(lambda: authority_of(first) == authority_of(second) != coming, "both that are left have certificates of one new authority")
        away.start()
        for node in (first, second, away):
            wait_for(lambda: len(node.hosts()) == 3, f"{node.name} sees the others")


def newest(node):
    """(sequence, root, publisher) of its newest release."""
    return max((r.sequence, r.root, r.publisher) for r in node_rpc(node).control.ListReleases({}).releases)


def rotate(made, by):
    before = authority_of(made[0])
    by.grid("rotate", "--wait", "60s", check_code=0)
    wait_for(lambda: {authority_of(n) for n in made.nodes} == {authority_of(made[0])} != {before}, "all use the new authority")


@once
def test_a_rotation_leaves_a_pinned_publishers_release_the_grids_and_newcomers_follow_the_next():
    with Grid(0, start=False, name="demo") as grid:
        grid.gridfile.write_text(f'grid_password = "{PASSWORD}"\n' + grid.gridfile.read_text())
        for _ in range(3):
            grid.add()
        publisher = grid[1].info["id"]
        pinned = with_publishers(grid, [publisher], "pinned")
        for node in grid.nodes:
            check_equal(node.stop(), [], "the end before the change")
            node.gridfile, node.join = pinned, None if node is grid[0] else grid[0].listen_text
            node.options += ["--listen", node.listen_text]
            node.start()
        grid.wait_linked()
        grid.deploy(grid.project().program("cecho"), node=1)
        before, pids = newest(grid[0]), [n.task_pids() for n in grid.nodes]
        check_equal(before[2], grid[1].name, "who published")
        rotate(grid, grid[2])
        wait_for(lambda: {newest(n) for n in grid.nodes} == {(before[0] + 1, *before[1:])}, "it is signed anew, once, by its publisher")
        check(not any(said(n, "a release entry from a peer was dropped") for n in grid.nodes), "an entry was dropped")
        check_equal([n.task_pids() for n in grid.nodes], pids, "the tasks' processes")
        grid.gridfile = None
        fresh = grid.add(options=["--grid", "demo", "--password-file", str(secret_file(grid))])
        grid.wait_linked().wait_ready(["cecho"])
        check_equal(newest(fresh), newest(grid[0]), "the newest release of one that knows the new authority alone")
        rotate(grid, grid[0])
        grid.wait_linked()
        wait_for(lambda: {newest(n) for n in grid.nodes} == {(before[0] + 2, *before[1:])}, "the newcomer follows")
        left = [grid[0], grid[1], fresh]
        grid[0].grid("evict", grid[2].name, check_code=0)  # an issuer: the authority is replaced at once
        wait_for(lambda: {newest(n) for n in left} == {(before[0] + 3, *before[1:])}, "its publisher signs it by the authority that came at once")
        grid[0].grid("evict", grid[1].name, check_code=0)
        wait_for(lambda: said(grid[0], "does not name this node among its publishers"), "who may not publish signs nothing in the publisher's place")
        check_equal({newest(n)[0] for n in (grid[0], fresh)}, {before[0] + 3}, "the newest release")
        check(not any(said(n, "a release entry from a peer was dropped") for n in left), "an entry was dropped")


@once
def test_a_node_joins_by_password_while_the_new_authority_comes_into_use():
    with password_grid(3) as grid:
        grid.wait_linked()
        grid.deploy(grid.project().program("cecho"))  # settles the grid
        issuer = next(n for n in grid.nodes if said(n, "a node has joined by password"))
        away = next(n for n in reversed(grid.nodes) if n is not issuer)
        away.kill()
        wait_for(lambda: states(issuer)[away.name] == "dead", "the others see it gone")
        before = authority_of(issuer)
        issuer.grid("rotate", "--wait", "1ms")
        wait_for(lambda: "use: authority" in issuer.grid("rotate", "--status").err, "the phase in which both count", 20, 0.2)
        newcomer = grid.add(join=issuer.listen_text)
        grid.wait_linked()
        check_equal(issuer.invoke("cecho", b"1", {"Grid-Node": newcomer.name}).status if grid.wait_ready(["cecho"]) else None, 200, "a call to it")
        away.start()
        wait_for(lambda: "done: authority" in issuer.grid("rotate", "--status").err, "the rotation ends when who was away is back", None, 0.2)
        wait_for(lambda: {authority_of(n) for n in grid.nodes} == {authority_of(issuer)} != {before}, "all use the new authority")
        grid.wait_linked()


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
