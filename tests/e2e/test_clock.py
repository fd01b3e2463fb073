"""A node whose clock is a day off, by libfaketime: it joins, publishes, calls and is called. Certificates alone: test_certificates.py."""

import datetime
import glob
import json

from gridtest import BIN, ROOT, Grid, Skip, check, check_equal, once, wait_for
from test_join import password_grid, said

LIBRARY = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")


def need_faketime():
    """The gridd that can run with it: the sanitizers' own libraries do not let another one come first."""
    found = BIN if BIN.parent.name != "asan" else ROOT / "build/release/bin"
    if not LIBRARY:
        raise Skip("needs libfaketime (Debian: faketime)")
    if not (found / "gridd").exists():
        raise Skip("needs a build without sanitizers, such as build/release")
    return found / "gridd"


def add_off(grid, offset, **more):
    """One more node, whose clock is off by so much; the time that passes is right."""
    program = str(need_faketime())
    node = grid.add(start=False, env={"LD_PRELOAD": LIBRARY[0], "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}, **more)
    right = node.arguments
    node.arguments = lambda: [program, *right()[1:]]
    return node.start()


def works(grid, node):
    """A release that it publishes runs everywhere, and calls go both ways."""
    grid.wait_linked()
    grid.deploy(grid.project().program("cecho"), node=grid.nodes.index(node))
    for caller in grid.nodes:
        for callee in grid.nodes:
            answer = caller.invoke("cecho", b'"x"', {"Grid-Node": callee.name})
            check_equal((answer.status, answer.headers["grid-node"]), (200, callee.name), f"a call from {caller.name} to {callee.name}")


def lines_off(node, days):
    """Whether its log's clock is off by so many days from the file's."""
    stamp = json.loads([line for line in node.text().splitlines() if line.startswith("{")][-1])["ts"]
    told = datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()
    return abs(told - node.log.stat().st_mtime - days * 86400) < 3600


@once
def test_a_node_whose_clock_is_a_day_ahead_is_a_member_like_any_other():
    with Grid(2) as grid:
        node = add_off(grid, "+24h")
        check(lines_off(node, 1), "its clock is not off")
        works(grid, node)


@once
def test_a_node_whose_clock_is_a_day_behind_is_a_member_like_any_other():
    with Grid(2) as grid:
        node = add_off(grid, "-24h")
        check(lines_off(node, -1), "its clock is not off")
        works(grid, node)


@once
def test_a_node_whose_clock_is_a_day_off_joins_by_password_and_follows_a_rotation():
    with password_grid(1) as grid:
        node = add_off(grid, "+23h")
        works(grid, node)
        grid[0].grid("rotate", "--wait", "60s", check_code=0)
        wait_for(lambda: said(node, "the grid's authority has been replaced"), "it follows the rotation")
        works(grid, node)


@once
def test_the_doctor_of_a_node_whose_clock_is_days_behind_sends_people_to_its_clock():
    """Whether it comes with a password or a Gridfile. A member's doctor has nothing to say: it is not the one that is outside."""
    for make in (password_grid, Grid):
        with make(1) as grid:
            grid.deploy(grid.project().js("t", "exports.handler = () => 1;\n"))  # so that it is settled, and yields to nobody
            node = add_off(grid, "-120h", join=grid[0].listen_text)
            told = wait_for(lambda: [f["text"] for f in json.loads(node.grid("doctor", "--json").out) if f["level"] == "fault" and "is a clock wrong?" in f["text"]], "the doctor says what is wrong")
            check(len(told) == 1 and grid[0].listen_text in told[0] and "machines' clocks are right" in told[0], f"what it says: {told}")


@once
def test_a_release_is_let_go_when_another_took_its_place_longer_ago_than_keep_age():
    def kept(offset):
        check_equal(node.stop(), [], "the end")
        node.env["FAKETIME"] = offset
        node.start()
        wait_for(lambda: node.get("/readyz").status == 200, "it runs its release again")
        return listed()

    def listed():
        return [r["root"] for r in json.loads(node.grid("releases", "--json", check_code=0).out)]

    with Grid(0) as grid:
        node = add_off(grid, "+1m", options=["--keep-age", "30d"])
        project = grid.project().program("cecho")
        grid.deploy(project)
        grid.deploy(project.write("more", "x"))
        both = kept("+29d")
        check_equal(len(both), 2, "releases a day before the older one's time is over")
        check_equal(kept("+31d"), both[:1], "releases afterwards; what runs stays, however old")
        check_equal(node.grid("rollback", both[1]).returncode, 1, "a rollback to the one that was let go")
        check_equal(kept("-2d"), both[:1], "releases after the clock has gone back by a month")
        grid.deploy(project.write("more", "y"))
        check_equal(len(listed()), 2, "releases after another one, which is older by the clock")


@once
def test_a_clock_that_is_most_of_a_day_ahead_ends_no_rotation_before_its_time():
    with Grid(2) as grid:
        ahead = add_off(grid, "+23h")
        grid.wait_linked()
        away = grid[1]
        away.kill()
        wait_for(lambda: any(h["name"] == away.name and h["state"] == "dead" for h in json.loads(ahead.grid("list", "--all", "--json").out)), "it is seen to be gone")
        grid[0].grid("rotate", "--overlap", "1h", "--wait", "1ms")
        for _ in range(8):  # each look of an issuer that goes by another's clock would end it
            wait_for(lambda: "use: authority" in ahead.grid("rotate", "--status").err, "the phase in which both count", 20, 0.2)
        away.start()
        grid.wait_linked()
        wait_for(lambda: "done" in grid[0].grid("rotate", "--status").err, "the rotation ends when who was away is back", None, 0.2)
