"""`grid deploy --watch`: what is saved is served without a further command."""

import json
import os
import shutil
import signal
import subprocess
from contextlib import contextmanager

from gridtest import BIN, Grid, Running, Skip, check, check_equal, check_in, clean_environment, once, wait_for

FOLDERS_WATCHED = 3


@contextmanager
def watched(grid, project, wrapper=()):
    """`grid deploy --watch` of a project."""
    node = grid[0]
    environment = clean_environment(node.folder, {"GRID_API": node.api_text, "GRID_API_SOCKET": str(node.socket)})
    with Running([*wrapper, BIN / "grid", "deploy", "--watch", "--json", str(project)], env=environment) as running:
        running.wait_for("is deployed again when you save")
        yield running


def releases(running):
    return [json.loads(line) for line in list(running.lines) if line.startswith("{")]


def served(node, task, value):
    wait_for(lambda: node.invoke(task).json == value, f"{task} answers {value}")


def handler(value):
    return f"exports.handler = () => {json.dumps(value)};\n"


@once
def test_what_is_saved_is_served_without_a_command():
    with Grid(1) as grid:
        node, project = grid[0], grid.project().js("v", handler("one"))
        project.write(".gridignore", "*.swp\n")
        with watched(grid, project) as running:
            served(node, "v", "one")
            project.js("v", handler("two"))
            served(node, "v", "two")

            # As editors save: written beside it, then put in its place.
            project.write(".v.js.swp", handler("three"))
            os.rename(project.folder / ".v.js.swp", project.folder / "tasks" / "v.js")
            served(node, "v", "three")

            # A folder that is there with all it holds before anybody could watch it, and one that is filled after it was made.
            outside = grid.folder / "outside"
            outside.mkdir()
            for number in range(1000):
                (outside / f"{number}.txt").write_text(str(number))
            newest = json.loads(node.grid("releases", "--json", check_code=0).out)[0]
            before = wait_for(lambda: releases(running)[-1]["root"] == newest["root"] and releases(running)[-1], "the third release is told of")
            os.rename(outside, project.folder / "many")
            wait_for(lambda: releases(running)[-1]["files"] == before["files"] + 1000, "all thousand files are in one release")
            check_equal(releases(running)[-1]["sequence"], before["sequence"] + 1, "the release of a thousand files")
            deep = project.folder / "made" / "deep"
            deep.mkdir(parents=True)
            for number in range(100):
                (deep / f"{number}.txt").write_text(str(number))
            wait_for(lambda: releases(running)[-1]["files"] == before["files"] + 1100, "no file of the new folder is missed")

            project.js("v", handler("four"))
            served(node, "v", "four")
            running.process.send_signal(signal.SIGTERM)
            check_equal(running.wait(), 0, "exit code")


@once
def test_where_watches_run_out_the_folder_is_looked_through():
    """The limit is that of a user namespace, which the others on this machine do not share."""
    limit = f"echo {FOLDERS_WATCHED} > /proc/sys/user/max_inotify_watches"
    wrapper = ["unshare", "--user", "--map-root-user", "sh", "-c", f'{limit} && exec "$@"', "sh"]
    if not shutil.which("unshare") or subprocess.run([*wrapper, "true"], capture_output=True).returncode != 0:
        raise Skip("user namespaces with limits of their own are not to be had here")
    with Grid(1) as grid:
        node, project = grid[0], grid.project().js("v", handler("one"))
        for number in range(FOLDERS_WATCHED):
            project.write(f"lib/{number}/value.js", "module.exports = 'one';\n")
        project.js("v", f"exports.handler = () => require('../lib/{FOLDERS_WATCHED - 1}/value.js') + require('../lib/0/value.js');\n")
        with watched(grid, project, wrapper) as running:
            check_in("fs.inotify.max_user_watches lets be watched: it is looked through", running.output, "what is said")
            served(node, "v", "oneone")
            for number in range(FOLDERS_WATCHED):
                project.write(f"lib/{number}/value.js", "module.exports = 'two';\n")
            served(node, "v", "twotwo")
            check_equal(running.count("it is looked through"), 1, "how often it is said")


@once
def test_without_a_node_there_is_nothing_to_watch_for():
    with Grid(1, start=False) as grid:
        environment = clean_environment(grid.folder, {"GRID_API": "127.0.0.1:1", "GRID_API_SOCKET": str(grid.folder / "none")})
        done = subprocess.run([BIN / "grid", "deploy", "--watch", str(grid.project())], env=environment, capture_output=True, text=True, timeout=60)
        check_equal(done.returncode, 3, f"exit code ({done.stderr})")
        check("save" not in done.stderr, f"what is said: {done.stderr}")
