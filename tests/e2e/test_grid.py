"""Nodes find one another, carry the same release, and share the calls."""

import asyncio
import http.client
import json
import threading
import time
from collections import Counter

import zoo
from gridtest import (Failure, Grid, check, check_equal, check_in, http_request, node_rpc, shared, timeout, wait_for)

THREE = ["node1", "node2", "node3"]


@shared
def three():
    grid = Grid(3)
    grid.deploy(zoo.well_behaved(grid.project()))
    return grid


def test_three_nodes_link_and_each_sees_all():
    for node in three().nodes:
        hosts = node.hosts()
        check_equal(sorted(h["name"] for h in hosts), THREE, f"hosts as {node.name} sees them")
        check_equal([h["name"] for h in hosts if h.get("local")], [node.name], "the host marked local")


def test_deploy_on_one_node_makes_every_node_run_it():
    for node in three().nodes:
        listed = {t.name: t for t in node_rpc(node).control.ListTasks({}).tasks}
        check_equal(sorted(listed), ["cecho", "headers", "jsecho", "pyecho", "pyweb", "request", "shell"], f"tasks of {node.name}")
        check(all(t.ready == t.instances == 1 for t in listed.values()), f"an instance of {node.name} is not ready")
        pids = {p.task: p.pid for p in node_rpc(node).control.ListProcesses({}).processes}
        check_equal(len(set(pids.values())), 7, f"processes of {node.name}")


def visits(connection, address, task, count):
    got = [http_request(address, "POST", f"/invoke/{task}", b"{}", {"Content-Type": "application/json"}, connection=connection)
           for _ in range(count)]
    check_equal({r.status for r in got}, {200}, "statuses")
    return [r.headers["grid-node"] for r in got]


def check_rotation(names, what):
    for first in range(len(names) - 2):
        check_equal(sorted(names[first:first + 3]), THREE, f"{what}: three consecutive calls ({names})")


def test_round_robin_visits_every_node_over_one_connection():
    for task in ("jsecho", "pyecho", "cecho"):
        for node in three().nodes:
            connection = http.client.HTTPConnection(*node.api, timeout=30)
            check_rotation(visits(connection, node.api, task, 12), f"{task} by {node.name}")
            connection.close()


def test_round_robin_visits_every_node_over_many_connections():
    for node in three().nodes:
        check_rotation(visits(None, node.api, "cecho", 12), node.name)


def test_round_robin_visits_every_node_over_grpc():
    for node in three().nodes:
        invoke = node_rpc(node).invoke
        check_rotation([invoke.Call({"task": "cecho", "payload": b"x"}).node.name for _ in range(12)], node.name)


def test_round_robin_is_even_under_concurrency():
    node, seen, lock = three()[0], Counter(), threading.Lock()

    def caller():
        connection = http.client.HTTPConnection(*node.api, timeout=30)
        names = visits(connection, node.api, "cecho", 60)
        connection.close()
        with lock:
            seen.update(names)

    threads = [threading.Thread(target=caller) for _ in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    check_equal(sum(seen.values()), 480, f"answers ({seen})")
    check(all(110 <= seen[name] <= 210 for name in THREE), f"480 calls were spread as {dict(seen)}")


def test_javascript_example_of_the_original_runs():
    answer = three()[1].trigger("request.getIp", {"a": 1})
    check_equal(answer["err"], None, "err")
    check_equal(answer["data"], {"ip": "203.0.113.7", "asked": {"a": 1}}, "data")


def test_python_example_of_the_original_runs_though_it_only_answers_get():
    for node in three().nodes:
        for _ in range(4):
            answer = node.invoke("pyweb", b"")
            check_equal((answer.status, answer.body), (200, b"Hello from Python"), f"answer by {node.name}")


def test_tasks_in_every_language_answer():
    node = three()[0]
    for task in ("jsecho", "pyecho", "cecho"):
        for _ in range(3):
            answer = node.invoke(task, b'{"n": [1, "zwei"]}')
            check_equal((answer.status, answer.json), (200, {"n": [1, "zwei"]}), task)
    check_equal(node.invoke("shell", b"x").body, b"shell:x", "a shell script that starts a server")


def test_a_broadcast_waits_for_no_node_that_was_cleared():
    with Grid(2) as grid:
        grid.deploy(grid.project().program("cecho"))
        node_rpc(grid[1]).control.Clear({})
        wait_for(lambda: [t.ready_in_grid for t in node_rpc(grid[0]).control.ListTasks({}).tasks] == [1], "the other node knows")
        took = []

        def both_answer(asked):
            began = time.monotonic()
            answers = {a.node.name: a for a in node_rpc(asked).invoke.Broadcast({"task": "cecho", "payload": b"x"}, timeout=30)}
            took.append(time.monotonic() - began)
            check_equal(sorted(answers), ["node1", "node2"], "who answered")
            check_equal((answers["node1"].payload, "does not exists" in answers["node2"].error.message), (b"x", True), f"answers {answers}")
            return True

        for asked in grid.nodes:  # one that a busy machine has not let run for a second is not asked
            wait_for(lambda: both_answer(asked), f"both answer a broadcast of {asked.name}")
        check(max(took) < 10, f"a broadcast took as long as it was allowed to: {took} s")


def test_broadcast_asks_every_node():
    answers = list(node_rpc(three()[0]).invoke.Broadcast({"task": "jsecho", "json": '{"a":1}'}))
    check_equal(sorted(a.node.name for a in answers), THREE, "nodes that answered")
    check_equal({a.json for a in answers}, {'{"a":1}'}, "answers")


def test_statistics_count_calls_here_and_elsewhere():
    node = three()[2]
    before = node.get("/tasks/stats").json["cecho"]
    for _ in range(9):
        node.invoke("cecho", b"{}")
    after = node.get("/tasks/stats").json["cecho"]
    check_equal(sorted(after), ["errors", "invokations", "remote_invok", "success"], "fields")
    check_equal(after["invokations"] - before["invokations"], 9, "invokations")
    check_equal(after["success"] - before["success"], 9, "success")
    check_equal(after["remote_invok"] - before["remote_invok"], 6, "remote_invok")


def test_a_hop_carries_the_request_id():
    node = three()[0]
    for _ in range(3):
        answer = node.invoke("headers", b"{}")
        check_equal(answer.json["headers"]["grid-request-id"], answer.headers["grid-request-id"], "the id that the task saw")


def test_a_node_that_joins_later_gets_the_release():
    with Grid(2) as grid:
        grid.deploy(grid.project().js("late", "exports.handler = () => 'here';\n"))
        grid.add()
        grid.wait_linked().wait_ready(["late"])
        names = {grid[0].invoke("late").headers["grid-node"] for _ in range(3)}
        check_equal(sorted(names), THREE, "nodes that answer")
        check_equal(grid[2].invoke("late").json, "here", "the late node's answer")


def test_a_node_that_left_is_forgotten_and_its_return_is_seen():
    with Grid(3) as grid:
        grid.deploy(grid.project().js("t", "exports.handler = () => 1;\n"))
        check_equal(grid[2].stop(), [], "the end of node3")
        wait_for(lambda: len(grid[0].hosts()) == 2 and len(grid[1].hosts()) == 2, "node3 is gone from the others' lists")
        check_equal({grid[0].invoke("t").status for _ in range(6)}, {200}, "statuses without node3")
        grid[2].start()
        grid.wait_linked().wait_ready(["t"])
        check_equal(sorted({grid[1].invoke("t").headers["grid-node"] for _ in range(3)}), THREE, "nodes after its return")


class Crowd:
    """So many calls in flight at a node at any time, each of them for this node, from one thread."""

    def __init__(self, node, count, task, ms):
        body = json.dumps({"ms": ms}).encode()
        self.request = (f"POST /invoke/{task} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nGrid-Node: {node.name}\r\n"
                        f"Content-Length: {len(body)}\r\n\r\n").encode() + body
        self.node, self.count, self.statuses, self.over = node, count, Counter(), False
        self.thread = threading.Thread(target=lambda: asyncio.run(self.gather()))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join()

    async def gather(self):
        await asyncio.gather(*(self.call_again() for _ in range(self.count)))

    async def call_again(self):
        reader, writer = await asyncio.open_connection(*self.node.api)
        while not self.over:
            writer.write(self.request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            await reader.readuntil(b"\r\n0\r\n\r\n")  # an answer in pieces, as a task's is
            self.statuses[int(head.split()[1])] += 1
        writer.close()


def test_a_busy_node_is_passed_over_without_a_refused_attempt():
    with Grid(2) as grid:
        grid.deploy(grid.project().js("t", "exports.handler = (data, cb) => setTimeout(() => cb(null, 1), data.ms);\n"))

        def flow(seconds):
            """Calls one after another through the other node: how many each node answered, and in how many attempts."""
            until, nodes, attempts = time.monotonic() + seconds, Counter(), Counter()
            while time.monotonic() < until:
                answer = grid[0].invoke("t", b'{"ms":0}')
                check_equal(answer.status, 200, "status")
                nodes[answer.headers["grid-node"]] += 1
                attempts[answer.headers["grid-attempts"]] += 1
            return nodes, attempts

        calm, _ = flow(0.5)
        check(abs(calm["node1"] - calm["node2"]) <= 1, f"without load the nodes take turns: {calm}")
        def a_busy_second():
            nodes, attempts = flow(1)
            return sum(nodes.values()) > 5 * (10 + 4) and (nodes, attempts)

        # One instance takes 100 calls; 160 are there at any time. One that waits behind them takes a tenth of a second.
        with Crowd(grid[1], 160, "t", 200) as crowd:
            wait_for(lambda: crowd.statuses[200] > 200, "node2 has its hands full")
            nodes, attempts = wait_for(a_busy_second, "the machine makes enough calls in a second to tell")
        check_equal(set(crowd.statuses), {200}, "what node2 told the crowd")
        check_equal(set(attempts), {"1"}, "Grid-Attempts")
        check(nodes["node2"] <= 10 + 4, f"no more than what goes there to see, ten times a second: {nodes}")
        check(nodes["node1"] > 4 * nodes["node2"], f"the node with room has taken the calls: {nodes}")

        def in_turn_again():
            nodes, _ = flow(0.2)
            return abs(nodes["node1"] - nodes["node2"]) <= 1

        wait_for(in_turn_again, "the nodes take turns again")


class Callers:
    """Calls at a steady rate through some nodes, each call's history kept."""

    def __init__(self, nodes, rate, task, ms):
        self.nodes, self.rate, self.task, self.ms = nodes, rate, task, ms
        self.calls, self.lock, self.over = [], threading.Lock(), threading.Event()
        self.numbers = iter(range(10**9))
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(16)]
        self.begin = time.monotonic()
        [t.start() for t in self.threads]

    def run(self, index):
        node = self.nodes[index % len(self.nodes)]
        while not self.over.is_set():
            with self.lock:
                n = next(self.numbers)
            # Each call has its moment; a thread that is late calls at once.
            self.over.wait(max(0, self.begin + n / self.rate - time.monotonic()))
            started = time.monotonic()
            try:
                answer = node.invoke(self.task, json.dumps({"n": n, "ms": self.ms}))
                result = (answer.status, answer.body[:200])
            except (OSError, http.client.HTTPException) as error:
                result = (0, repr(error))
            with self.lock:
                self.calls.append((n, started, time.monotonic(), *result))

    def stop(self):
        self.over.set()
        [t.join() for t in self.threads]
        return self.calls


def read_history(grid):
    """What zoo.HISTORY_JS wrote on every node, the killed one too."""
    started, ended = {}, set()
    files = [path for node in grid.nodes for path in node.state.glob("data/**/history")]
    for line in [line for path in files for line in path.read_text().splitlines()]:
        what, n, node = line.split()
        if what == "start":
            if int(n) in started:
                raise Failure(f"call {n} ran twice: on {started[int(n)][:8]} and on {node[:8]}")
            started[int(n)] = node
        else:
            ended.add(int(n))
    return started, ended


@timeout(180)
def test_killing_a_node_loses_only_the_calls_in_flight_on_it():
    with Grid(3) as grid:
        grid.deploy(grid.project().js("work", zoo.HISTORY_JS))
        callers = Callers(grid.nodes[:2], 200, "work", 15)
        victim = grid[2].info["id"]
        try:
            wait_for(lambda: len(callers.calls) > 300, "300 calls were made")
            killed = time.monotonic()
            grid[2].kill()
            gone = time.monotonic()  # the kernel closes a process's sockets last, for a sanitized one long after its end began
            count = len(callers.calls)
            wait_for(lambda: len(callers.calls) > count + 500 and len(grid[0].hosts()) == 2, "500 calls more, and the death is noticed")
        finally:
            calls = callers.stop()
        check_in("the node node3 is dead", grid[0].grid("invoke", "work", "--node", "node3", check_code=1).err, "what who asks for it is told")
        started, ended = read_history(grid)
        check(victim in started.values(), "node3 ran none of the calls before it was killed")
        for n, begun, over, status, text in calls:
            if status == 200:
                check_in(n, ended, "calls that were answered and ended")
                continue
            check(begun <= gone and over >= killed, f"call {n} ({status} {text}) failed though it was not in flight at the kill: "
                  f"{begun - killed:+.3f} s to {over - killed:+.3f} s")
            check(started.get(n) in (victim, None), f"call {n} ({status} {text}) failed though another node ran it")
        lost = [c for c in calls if c[3] != 200]
        check(len(lost) <= 40, f"{len(lost)} of {len(calls)} calls were lost")
