"""A release on its way between nodes, and who dies, lies or comes late meanwhile. --sync-rate makes the way long enough to be met on it."""

import contextlib
import hashlib
import json
import os
import re
import threading

import grpc

from gridtest import Grid, check, check_equal, check_in, message_class, node_rpc, once, wait_for
from test_gossip import FalseIssuer, message, states

SUM = "exports.handler = () => require('crypto').createHash('sha256').update(require('fs').readFileSync(__dirname + '/../blob')).digest('hex');\n"
SLOW = ("--sync-rate", "512KiB")


def with_blob(grid, megabytes, project=None):
    """A project whose task tells the sum of a file that nobody has: the project and the sum."""
    blob = os.urandom(megabytes << 20)
    return (project or grid.project()).js("sum", SUM).write("blob", blob), hashlib.sha256(blob).hexdigest()


def received(node):
    return int(re.search(r"^grid_release_received_bytes_total (\d+)$", node.get("/metrics").text, re.M)[1])


def sum_at(asked, node):
    answer = asked.invoke("sum", headers={"Grid-Node": node.name})
    return answer.json if answer.status == 200 else answer.status


def wait_sums(grid, expected):
    for node in grid.alive():
        wait_for(lambda: sum_at(grid.alive()[0], node) == expected, f"{node.name} answers from the new release", 40)


def deploy_behind(node, project):
    """A deploy that nobody waits for, until it is announced."""
    def run():
        with contextlib.suppress(grpc.RpcError):
            list(node_rpc(node).control.Deploy({"directory": str(project), "wait_ms": 1000}))

    before = releases(node)
    threading.Thread(target=run, daemon=True).start()
    wait_for(lambda: releases(node) > before, "the release is announced")


def releases(node):
    return len(node_rpc(node).control.ListReleases({}).releases)


@once
def test_a_publisher_that_dies_in_the_middle_leaves_the_old_release_and_goes_on_when_it_is_back():
    with Grid(1, options=SLOW) as grid:
        for _ in range(2):
            grid.add()
        grid.wait_linked()
        project, old = with_blob(grid, 0)
        grid.deploy(project)
        wait_sums(grid, old)
        before = [received(n) for n in grid.nodes]
        _, new = with_blob(grid, 4, project)
        deploy_behind(grid[0], project)
        wait_for(lambda: all(received(n) > b + (64 << 10) for n, b in list(zip(grid.nodes, before))[1:]), "both others have begun")
        grid[0].kill()
        for node in grid.nodes[1:]:
            check_equal({sum_at(node, at) for at in grid.nodes[1:]}, {old}, f"what {node.name} gets when the publisher is dead")
        grid[0].join = grid[1].listen_text
        grid[0].start()
        wait_sums(grid, new)


@once
def test_a_node_that_comes_late_gets_no_calls_until_it_has_all_also_when_one_dies_who_gives_it():
    with Grid(2, options=SLOW) as grid:
        project, expected = with_blob(grid, 4)
        grid.deploy(project, wait=False)
        wait_sums(grid, expected)
        late = grid.add()
        wait_for(lambda: len(grid[0].hosts()) == 3 and received(late) > 256 << 10, "it fetches")
        check_equal(late.get("/readyz").status, 503, "whether it is ready")
        check_in("still being fetched", late.get("/readyz").text, "why it is not")
        check_equal({h["name"]: h["synchronized"] for h in grid[0].hosts()}["node3"], False, "whether the others hold it for synchronized")
        answers = [asked.invoke("sum") for asked in (grid[0], late) for _ in range(4)]
        check_equal({(a.status, a.json) for a in answers}, {(200, expected)}, "calls meanwhile, also at the new node")
        check("node3" not in {a.headers["grid-node"] for a in answers}, "a node has answered that does not have the release")
        check_equal(late.get("/readyz").status, 503, "whether it is ready by now")
        grid[1].kill()
        wait_sums(grid, expected)
        wait_for(lambda: late.get("/readyz").status == 200, "it is ready")


@once
def test_a_rollback_to_what_a_node_lacks_is_done_in_part_until_it_has_fetched_it():
    with Grid(2, options=SLOW) as grid:
        project, old = with_blob(grid, 2)
        grid.deploy(project, wait=False)
        wait_sums(grid, old)
        _, new = with_blob(grid, 0, project)
        grid.deploy(project)
        late = grid.add()
        grid.wait_linked().wait_ready(["sum"])
        had = received(late)
        done = grid[0].grid("rollback", "--wait", "1s", "--json", check_code=4)
        lagging = re.search(r"not live yet on (.*?):", done.err)
        check(lagging and "node3" in lagging[1].split(", "), f"who lags: {done.err}")
        wait_for(lambda: all(node.invoke("sum").json == old for node in grid[:2] for _ in range(3)), "the nodes that have it run it")
        fetched = json.loads(done.out)["fetched_bytes"]
        check(fetched["node1"] == fetched["node2"] == 0 and 0 < fetched["node3"] < 2 << 20, f"how far it is: {fetched}")
        answers = [grid[0].invoke("sum") for _ in range(6)]
        check_equal({(a.status, a.json) for a in answers}, {(200, old)}, "calls meanwhile")
        check("node3" not in {a.headers["grid-node"] for a in answers}, "a node has answered that does not have the release")
        wait_sums(grid, old)
        check(received(late) - had > 2 << 20, f"what it lacked was fetched: {received(late) - had} bytes")
        check(new != old, "two releases")


@once
def test_a_node_that_comes_late_lists_former_releases_and_goes_back_to_the_first():
    """What it lacks of the first release it fetches then, and every node comes to run it."""
    with Grid(3) as grid:
        project, first = with_blob(grid, 1)
        grid.deploy(project)
        wait_sums(grid, first)
        root = node_rpc(grid[0]).control.ListReleases({}).releases[0].root
        for _ in range(2):
            _, last = with_blob(grid, 1, project)
            grid.deploy(project)
        wait_sums(grid, last)
        late = grid.add()
        grid.wait_linked()
        wait_for(lambda: releases(late) == 3, "it has heard of those before")
        check_in(root[:8], late.grid("releases").out, "what it lists")
        late.grid("rollback", root[:16])
        wait_sums(grid, first)
        check_equal({n.name: releases(n) for n in grid.nodes}, {n.name: 4 for n in grid.nodes}, "releases that each node knows")


# ---- peers that lie -------------------------------------------------------------------------------------------------------------------------


def batch(ids, **fields):
    return message("ObjectBatch", objects=[message("ObjectRecord", id=i, **fields) for i in ids]).SerializeToString()


# An lz4 block: one literal, then a match that repeats it, 255 times for every byte there is.
BOMB = b"\x1fA\x01\x00" + b"\xff" * (16 << 10) + b"\x00" + b"\x50AAAAA"
LIES = {
    "other-bytes": lambda ids: batch(ids, raw_size=3, data=b"\x01??"),
    "other-size": lambda ids: batch(ids, raw_size=77, data=b"\x01??"),
    "bomb": lambda ids: batch(ids[:1], raw_size=256 * 1024 + 1, codec=1, data=BOMB),
    "too-much": lambda ids: batch(ids[:1], raw_size=3, data=b"\x01?" + bytes(9 << 20)),
    "size-beyond-all": lambda ids: batch(ids, raw_size=2**32 - 1, codec=1, data=b"\x1fA\x01\x00\xff\xff\xff\xff"),
    "not-asked-for": lambda ids: batch([b"x" * 32], raw_size=3, data=b"\x01??"),
    "no-message": lambda ids: b"\xff\xff\xff",
}


class FalsePeer(FalseIssuer):
    """A member that says it has all of every release, and answers whoever fetches from it with a lie; `asked` are the methods."""

    def service(self, details):
        def answer(request, context):
            self.asked.append(details.method)
            if details.method.endswith("Fetch"):
                yield self.answers(list(message_class("grid.v1.FetchRequest").FromString(request).ids))
            elif details.method.endswith("Have"):
                yield message("HaveState", whole=True).SerializeToString()

        return grpc.unary_stream_rpc_method_handler(answer)


def resident(node):
    return int(re.search(r"^process_resident_memory_bytes (\d+)$", node.get("/metrics").text, re.M)[1])


@once
def test_peers_that_send_something_else_are_noticed_and_left_alone():
    with Grid(1, options=SLOW) as grid, contextlib.ExitStack() as stack:
        victim = grid.add()
        grid.wait_linked()
        project, old = with_blob(grid, 0)
        grid.deploy(project)
        wait_sums(grid, old)
        liars = [stack.enter_context(FalsePeer(grid, victim, name, lie)) for name, lie in LIES.items()]
        for liar in liars:
            liar.hello()
        wait_for(lambda: set(LIES) <= set(states(victim)), "the liars are members")
        memory = resident(victim)
        _, new = with_blob(grid, 3, project)
        deploy_behind(grid[0], project)
        wait_for(lambda: sum_at(grid[0], victim) == new, "the victim runs the release as it was published", 40)
        asked = {liar.name: liar.asked.count("/grid.v1.SyncChunk/Fetch") for liar in liars}
        check(all(1 <= count <= 4 for count in asked.values()), f"each was asked, and then left alone: {asked}")
        told = set(re.findall(r'"a peer sent wrong bytes[^}]*"peer":"(\w+)"', victim.text()))
        ids = {liar.name: message_class("grid.v1.Member").FromString(liar.record().SerializeToString()).id for liar in liars}
        check_equal({name for name, i in ids.items() if i in told}, set(LIES) - {"not-asked-for", "too-much"}, "liars named in the log")
        check(resident(victim) - memory < 64 << 20, f"the victim has grown by {(resident(victim) - memory) >> 20} MiB")
