"""Who is in the grid: what watchers are told, names that are taken, clocks that jump."""

import json
import os
import signal
import subprocess
import threading
import time

from gridtest import BIN, Grid, check, check_equal, clean_environment, once, wait_for


class Watch:
    """`grid list --watch --json` at a node, its lines as they come."""

    def __init__(self, node, *options):
        environment = clean_environment(node.folder, {"GRID_API": node.api_text, "GRID_API_SOCKET": str(node.socket)})
        self.process = subprocess.Popen([str(BIN / "grid"), "list", "--watch", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True)
        self.lines = []
        self.reader = threading.Thread(target=lambda: self.lines.extend(iter(self.process.stdout.readline, "")))
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()
        self.process.stderr.close()

    def events(self):
        return [(e["kind"], e["node"]["name"]) for e in map(json.loads, list(self.lines))]

    def wait(self, kind, name, after=0):
        wait_for(lambda: (kind, name) in self.events()[after:], f"the event {kind} of {name} among {self.events()[after:]}")
        return len(self.events())


@once
def test_watchers_are_told_who_joins_fails_returns_changes_and_leaves():
    with Grid(2) as grid:
        with Watch(grid[0], "--json") as watch, Watch(grid[0]) as plain:
            for name in ("node1", "node2"):
                watch.wait("joined", name)
            seen = len(watch.events())
            grid[1].kill()
            seen = watch.wait("failed", "node2", seen)
            grid[1].start()
            seen = watch.wait("joined", "node2", seen)
            grid.wait_linked()
            grid.deploy(grid.project().js("t", "exports.handler = () => 1;\n"))
            for name in ("node1", "node2"):
                watch.wait("updated", name, seen)
            seen = len(watch.events())
            check_equal(grid[1].stop(), [], "the end of node2")
            watch.wait("left", "node2", seen)
            wait_for(lambda: any("left" in line and "node2" in line for line in plain.lines), "a line for people")
            check("failed" in "".join(plain.lines) and "joined" in "".join(plain.lines), f"lines: {plain.lines}")
            told = {}
            for event in map(json.loads, list(watch.lines)):
                name = event["node"]["name"]
                check(event["kind"] != "updated" or event["node"] != told.get(name), f"an update that changes nothing: {event}")
                told[name] = event["node"]
        with Watch(grid[0], "--json", "--all") as watch:
            watch.wait("left", "node2")


@once
def test_watchers_are_told_of_a_new_name_a_new_port_and_of_silence():
    with Grid(2) as grid:
        seen_of = lambda watch, kind, name: [e for e in map(json.loads, list(watch.lines)) if (e["kind"], e["node"]["name"]) == (kind, name)]  # noqa: E731
        state_of = lambda watch, name: [e["node"]["state"] for e in seen_of(watch, "updated", name)]  # noqa: E731
        with Watch(grid[0], "--json") as watch:
            seen = watch.wait("joined", "node2")
            before = seen_of(watch, "joined", "node2")[-1]["node"]
            check_equal(grid[1].stop(), [], "the end of node2")
            seen = watch.wait("left", "node2", seen)
            grid[1].name = "renamed"
            grid[1].start()
            seen = watch.wait("joined", "renamed", seen)
            after = seen_of(watch, "joined", "renamed")[-1]["node"]
            check_equal(after["id"], before["id"], "it is the same node by its key")
            check_equal((after["listen_port"], after["api_port"]), (grid[1].listen[1], grid[1].api[1]), "its ports as they are now")
            check(after["listen_port"] != before["listen_port"], f"another port than before: {after}")
            os.kill(grid[1].process.pid, signal.SIGSTOP)
            try:
                wait_for(lambda: "stalled" in state_of(watch, "renamed"), "that it is silent is told")
            finally:
                os.kill(grid[1].process.pid, signal.SIGCONT)
            wait_for(lambda: state_of(watch, "renamed")[-1] == "alive", "that it is heard again is told")
            check_equal([e for e in watch.events()[seen:] if e[0] != "updated"], [], "nobody has gone")
        check_equal({n["name"] for n in json.loads(grid[0].grid("list", "--json", check_code=0).out)}, {"node1", "renamed"}, "who is listed")


@once
def test_of_two_nodes_that_start_with_one_name_at_once_one_is_refused_with_a_sentence():
    with Grid(1) as grid:
        twins = [grid.add(start=False), grid.add(start=False)]
        for twin in twins:
            twin.name = "twin"
            twin.launch()
        for twin in twins:
            twin.wait_ready()

        def refused():
            return [t for t in twins if 'the name \\"twin\\" is taken' in t.text() and "is taken by node" in t.get("/readyz").text]

        wait_for(lambda: len(refused()) == 1, "one of the two is refused")
        incumbent = next(t for t in twins if t not in refused())
        wait_for(lambda: any(h["name"] == "twin" for h in grid[0].hosts()), "the other is a member")
        check_equal([h["name"] for h in grid[0].hosts()].count("twin"), 1, "members of that name")
        # A third one that comes later does not put the incumbent out.
        late = grid.add(start=False)
        late.name = "twin"
        late.launch().wait_ready()
        wait_for(lambda: "is taken by node" in late.get("/readyz").text, "the newcomer is refused")
        check_equal(incumbent.get("/readyz").status, 200, "the incumbent")


SHIM = r"""
/* Realtime clocks that are off by as many seconds as a file says. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *offset;
static int64_t none;

__attribute__((constructor)) static void open_offset(void)
{
    int fd = open(getenv("CLOCK_OFFSET"), O_RDONLY);
    void *at = fd >= 0 ? mmap(0, 8, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    offset = at == MAP_FAILED ? &none : at;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
    int err = real(clock, out);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
        out->tv_sec += offset ? *offset : 0;
    return err;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;
    (void) zone;
    clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}
"""

DAY = 86400


class Clock:
    """A node's realtime clock."""

    def __init__(self, node):
        self.file = node.folder / "clock"
        self.set(0)
        source, library = node.folder / "shim.c", node.folder / "shim.so"
        source.write_text(SHIM)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        sanitizer = clean_environment(node.folder)["ASAN_OPTIONS"] + ":verify_asan_link_order=0"
        node.env.update(LD_PRELOAD=str(library), CLOCK_OFFSET=str(self.file), ASAN_OPTIONS=sanitizer)

    def set(self, seconds):
        with open(self.file, "r+b" if self.file.exists() else "w+b") as out:
            out.write(int(seconds).to_bytes(8, "little", signed=True))


@once
def test_clocks_that_jump_by_a_day_change_nothing():
    with Grid(1) as grid:
        clock = Clock(grid.add(start=False))
        grid[1].start()
        grid.add()
        grid.wait_linked()
        grid.deploy(grid.project().js("t", "exports.handler = () => 1;\n"))
        with Watch(grid[0], "--json") as watch:
            watch.wait("joined", "node3")
            for offset in (DAY, 0, -DAY, 0):
                clock.set(offset)
                until = time.monotonic() + 1.5
                while time.monotonic() < until:
                    check_equal({n.invoke("t").status for n in grid.nodes}, {200}, f"calls with a clock that is {offset} s off")
            check_equal([e for e in watch.events() if e[0] in ("failed", "left")], [], "who was lost")
            # It restarts with a clock that has gone back: its old incarnation, a day ahead of the new one, is beaten.
            clock.set(-DAY + 3600)
            grid[1].kill()
            seen = watch.wait("failed", "node2")
            grid[1].start()
            watch.wait("joined", "node2", seen)
        grid.wait_linked()
        started = {n["name"]: n["started_at_ms"] for n in json.loads(grid[0].grid("list", "--json", check_code=0).out)}
        check(started["node2"] < started["node1"] - 80000 * 1000, f"the clock of node2 was a day behind at its start: {started}")
        grid.wait_ready(["t"])
        check_equal({grid[0].invoke("t", headers={"Grid-Node": "node2"}).status}, {200}, "a call to the node whose clock went back")
