"""A node that changes sides: what it brings of its old grid, and what it may not bring."""

import shutil

from gridtest import Grid, check, check_equal, check_in, free_port, mint_gridfile, once, wait_for
from test_evict import can_issue, issuers
from test_join import authority_of, password_grid
from test_gossip import Liar, sealed
from test_publishers import newest

OLD, NEW = ("exports.handler = () => '%s';\n" % side for side in ("old", "new"))


def old_grids_node(grid, deploys=3):
    """A node of another grid of the same name, in which there were releases; it knows an address of this one."""
    node = grid.add(start=False)
    node.gridfile = mint_gridfile(grid.folder / f"card-{node.name}", grid.name)
    node.start()
    for turn in range(deploys):
        check_equal(node.init(grid.project().js("t", OLD.replace("old", f"old{turn}"))).status, 200, "a deploy in the old grid")
    return node


def adopt_running(grid, node):
    shutil.copy(grid.gridfile, node.gridfile)
    node.grid("adopt", "--yes", check_code=0)


def adopt_stopped(grid, node):
    node.stop()
    node.gridfile = grid.gridfile
    node.grid("adopt", "--yes", "--state", str(node.state), check_code=0)
    node.start()


def results(nodes):
    return {(n.name, n.invoke("t").text) for n in nodes for _ in range(4)}


@once
def test_an_adopted_nodes_old_releases_give_way_to_its_new_grids():
    with Grid(2) as grid:
        grid.deploy(grid.project().js("t", NEW))
        first = newest(grid[0])
        for adopt in (adopt_running, adopt_stopped):
            node = old_grids_node(grid)
            adopt(grid, node)
            grid.wait_linked()
            wait_for(lambda: newest(node) == first, f"{node.name} has the new grid's release, though its own counted higher")
            grid.wait_ready(["t"])
            check_equal([newest(n) for n in grid.nodes], [first] * len(grid.nodes), "the newest release of each")
            wait_for(lambda: results(grid.nodes) == {(n.name, '"new"') for n in grid.nodes}, "callers get the new grid's")
        answer = grid[3].init(grid.project().js("t", NEW.replace("new", "newer")))
        check_equal(answer.status, 200, "a deploy on the adopted node")
        wait_for(lambda: {newest(n) for n in grid.nodes} == {newest(grid[3])} and newest(grid[3])[0] == first[0] + 1, "its deploy is the grid's next")


@once
def test_an_adopted_node_that_decides_does_not_sign_its_old_release_for_the_new_grid():
    with Grid(3) as grid:
        node = old_grids_node(grid)
        adopt_running(grid, node)
        grid.wait_linked()
        check_equal(newest(node)[0], 3, "its own count of its old releases")
        node.grid("evict", grid[2].name, check_code=0)
        wait_for(lambda: len(grid[0].hosts()) == 3, "the victim is out")
        node.grid("rotate", "--wait", "30s", check_code=0)
        check_equal([newest(n) for n in grid.nodes[:2]], [(0, "")] * 2, "releases that the new grid has")


def settled_grid(nodes):
    """Whose nodes have joined by password and know each other by --join, which is settled by a deploy."""
    grid = password_grid()
    at = [f"127.0.0.1:{free_port()}" for _ in range(nodes)]
    for own in at:
        node = grid.add(start=False, options=["--listen", own])
        node.join = ",".join(other for other in at if other != own)
        node.start()
    grid.wait_linked()
    grid.deploy(grid.project().js("t", NEW))
    return grid


@once
def test_running_nodes_that_had_joined_by_password_join_anew_when_they_adopt():
    """One goes back to the grid it was in; when the first is lost for good the others adopt one after the other."""
    with settled_grid(3) as grid:
        first, second, third = grid.nodes
        check("a provisional one" in third.grid("adopt", "--yes", check_code=0).err, "it founds one of its own")
        grid.wait_linked()
        check_equal(len({authority_of(n) for n in grid.nodes}), 1, "authorities, after one has joined anew")
        wait_for(lambda: issuers(grid) == {n.name for n in grid.nodes}, "each holds the key, so that it outlives the first")
        first.kill()
        for node in (second, third):
            node.grid("adopt", "--yes", check_code=0)
            wait_for(lambda: len(node.hosts()) == 2 and can_issue(node), f"{node.name} has joined the other")
        check_equal(authority_of(second), authority_of(third), "their authority")
        check_equal(len(second.hosts()), 2, "hosts of the other")


@once
def test_the_last_that_holds_the_key_leaves_its_grid_when_another_holds_it_too_or_when_told_to_lose_it():
    with Grid(1) as grid, Liar(grid, grid[0], "mallory") as liar:
        liar.hello(sealed(liar.record(capabilities=["trust=0.0.0.0"]), liar.der, liar.leaf.key))  # a member, that takes no key
        wait_for(lambda: len(grid[0].hosts()) == 2, "it is a member")
        before = authority_of(grid[0])
        shutil.copy(mint_gridfile(grid.folder / "other", grid.name), grid[0].gridfile)
        refused = grid[0].grid("adopt", "--yes", check_code=1)
        check_in("no other member that can be reached holds the authority's key", refused.err, "why not")
        check_in("--lose-key", refused.err, "the way out")
        check_equal((len(grid[0].hosts()), authority_of(grid[0])), (2, before), "nothing has changed")
        grid[0].grid("adopt", "--yes", "--lose-key", check_code=0)
        check(authority_of(grid[0]) != before, "it has changed sides")
    with Grid(1) as grid, Liar(grid, grid[0], "mallory") as liar:
        liar.hello(sealed(liar.record(capabilities=["trust=0.0.0.0"]), liar.der, liar.leaf.key))
        wait_for(lambda: len(grid[0].hosts()) == 2, "it is a member")
        grid.add()  # with the Gridfile that has the key
        grid[0].grid("adopt", "--yes", check_code=0)
