"""Whose releases run: entries are signed by the node that publishes, and a Gridfile may name the only ones that may."""

import re
import shutil

from gridtest import Grid, Node, check_equal, check_in, node_rpc, once, rpc_code, wait_for


def with_publishers(grid, ids, name):
    """A copy of the grid's Gridfile that names these publishers; None: names nobody."""
    folder = grid.folder / name
    folder.mkdir()
    text = re.sub(r"(?m)^publishers.*\n", "", grid.gridfile.read_text())
    listed = "" if ids is None else "publishers = [" + ", ".join(f'"{i}"' for i in ids) + "]\n"
    shutil.copy(grid.gridfile, folder / "Gridfile")
    (folder / "Gridfile").write_text(listed + text)
    return folder / "Gridfile"


def newest(node):
    return max(((r.sequence, r.root) for r in node_rpc(node).control.ListReleases({}).releases), default=(0, ""))


@once
def test_only_a_named_publishers_releases_run():
    with Grid(2) as grid:
        grid.deploy(grid.project().js("t", "exports.handler = () => 'open';\n"))
        pinned = with_publishers(grid, [grid[0].info["id"]], "pinned")
        for node in grid.nodes:
            check_equal(node.stop(), [], "the end before the change")
            node.gridfile = pinned
        grid[0].start()
        grid[1].join = grid[0].listen_text
        grid[1].start()
        grid.wait_linked()
        answer = grid[1].init(grid.project().js("t", "exports.handler = () => 'stranger';\n"))
        check_equal(answer.status, 500, f"a deploy on a node that is no publisher: {answer}")
        check_in(grid[1].info["id"], answer.text, "what it says")
        check_in("publishers", answer.text, "what it says")
        code, why = rpc_code(lambda: list(node_rpc(grid[1]).control.Rollback({})))
        check_equal(code, "FAILED_PRECONDITION", f"a rollback there: {why}")
        grid.deploy(grid.project().js("t", "exports.handler = () => 'publisher';\n"))
        wait_for(lambda: {grid[1].invoke("t").json for _ in range(4)} == {"publisher"}, "the publisher's release runs on both")


@once
def test_an_entry_of_one_who_may_not_publish_is_dropped_by_the_others():
    """The rogue has changed its own Gridfile, so that nothing on its own side holds it."""
    with Grid(1) as grid:
        grid.deploy(grid.project().js("t", "exports.handler = () => 'good';\n"))
        check_equal(grid[0].stop(), [], "the end before the change")
        grid[0].gridfile = with_publishers(grid, [grid[0].info["id"]], "pinned")
        grid[0].start()
        before = newest(grid[0])
        rogue = Node(grid.folder / "rogue", "rogue", with_publishers(grid, None, "unpinned"), join=grid[0].listen_text)
        grid.nodes.append(rogue)
        rogue.start()
        grid.wait_linked()
        wait_for(lambda: newest(rogue) == before, "the rogue has the good release")
        check_equal(rogue.init(grid.project().js("t", "exports.handler = () => 'rogue';\n")).status, 200, "the rogue runs its own")
        wait_for(lambda: newest(rogue)[0] == before[0] + 1, "the rogue has announced a newer one")
        wait_for(lambda: "a release entry from a peer was dropped" in grid[0].text(), "the member drops it")
        check_in("its publisher is not among those who may publish", grid[0].text(), "the reason in the log")
        check_equal(newest(grid[0]), before, "the member's newest release")
        check_equal({grid[0].invoke("t").json for _ in range(6)}, {"good"}, "what the member's callers get")


@once
def test_what_a_node_ran_alone_gives_way_to_the_grids_release():
    with Grid(1) as grid:
        grid.deploy(grid.project().js("t", "exports.handler = () => 'grid';\n"))
        lone = Node(grid.folder / "lone", "lone")
        grid.nodes.append(lone)
        lone.start()
        for turn in range(2):
            check_equal(lone.init(grid.project().js("t", f"exports.handler = () => 'lone{turn}';\n")).status, 200, "a deploy on a grid of one")
        check_equal(lone.stop(), [], "the end of the grid of one")
        lone.gridfile, lone.join = grid.gridfile, grid[0].listen_text
        lone.start()
        grid.wait_linked()
        wait_for(lambda: newest(lone) == newest(grid[0]), "it has the grid's release, though it counted higher itself")
        grid.wait_ready(["t"])  # the process of before answers until the new one can
        wait_for(lambda: {node.invoke("t").json for node in grid.nodes for _ in range(4)} == {"grid"}, "callers get the grid's release from both")
