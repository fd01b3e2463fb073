"""`grid dev`: a grid for whoever writes tasks."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from gridtest import (BIN, Grid, Running, Skip, check, check_equal, check_in, clean_environment, http_request, need_isolation, once, processes_with_env, wait_for)


def invoke(output, task):
    """A call at the first node that `grid dev` has printed."""
    port = re.search(r"127\.0\.0\.1:(\d+)", output)
    check(port, f"no address was printed: {output}")
    return http_request(("127.0.0.1", int(port[1])), "POST", f"/invoke/{task}", b"{}", {"Content-Type": "application/json"})


@once
def test_dev_runs_a_local_grid_and_leaves_nothing_behind():
    need_isolation()
    with Grid(1, start=False) as grid:
        project = grid.project().js("live", "exports.handler = () => ({v: 1, node: process.env.GRID_NODE_ID, mark: process.env.HOME});\n")
        env = clean_environment(project.folder, {"GRIDTEST_MARK": str(grid.folder), "GRID_TASK_ENV": "GRIDTEST_MARK"})
        with Running([BIN / "grid", "dev", "--nodes", "2"], cwd=project.folder, env=env) as dev:
            def call(task="live"):
                check(dev.process.poll() is None, f"grid dev ended with {dev.process.returncode}: {dev.output[-800:]}")
                return invoke(dev.output, task)

            wait_for(lambda: call().status == 200, "the task answers")
            wait_for(lambda: len({call().json["node"] for _ in range(4)}) == 2, "both nodes answer")
            hints = [line for line in dev.output.splitlines() if line.startswith(("  grid ", "  curl "))]
            check_equal(len(hints), 2, f"the commands that it prints to try: {hints}")
            for hint in hints:
                tried = subprocess.run(["bash", "-c", hint], env={**env, "PATH": f"{BIN}:{env['PATH']}"}, capture_output=True, text=True)
                check_in('"v":1', tried.stdout, f"{hint} ({tried.stderr})")
            project.js("live", "exports.handler = () => ({v: 2});\n")
            wait_for(lambda: call().json["v"] == 2, "what was saved is deployed")

            def told(text):
                return len(re.findall(rf"^node. +\| .*{text}", dev.output, re.M))

            project.js("typo", "exports.handler = (;\n")
            wait_for(lambda: told(r"typo\.0  it has failed 4 times in the same way") > 0, "a failure is counted")
            check(told("SyntaxError") <= 4, f"a failure that is told again and again: {dev.output[-3000:]}")
            wait_for(lambda: re.search(r'"grid --api 127\.0\.0\.1:\d+ logs typo"', dev.output), "the deploy's hint reaches this grid")
            check(not re.search(r'grid (logs|rollback|list)\b', dev.output), f"a hint without --api: {dev.output[-3000:]}")
            before = told("SyntaxError")
            project.js("typo", "exports.handler = (;\n\n")
            wait_for(lambda: told("SyntaxError") > before, "the next version's failure is told")
            project.js("typo", "exports.handler = () => 1;\n")
            wait_for(lambda: call("typo").status == 200, "the mended task answers")
            dev.process.send_signal(signal.SIGINT)
            check_in(dev.wait(), (0, 130), f"exit code ({dev.output[-800:]})")
        left = processes_with_env(f"GRIDTEST_MARK={grid.folder}")
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        check_equal(left, [], "processes left behind")


@once
def test_dev_is_taken_down_whole_when_a_node_dies():
    need_isolation()
    with Grid(1, start=False) as grid:
        project = grid.project().js("live", "exports.handler = () => 1;\n")
        env = clean_environment(project.folder, {"GRIDTEST_MARK": str(grid.folder), "GRID_TASK_ENV": "GRIDTEST_MARK", "TMPDIR": str(grid.folder)})
        with Running([BIN / "grid", "dev", "--nodes", "2"], cwd=project.folder, env=env) as dev:
            def second_node():
                named = [pid for pid in processes_with_env(f"GRIDTEST_MARK={grid.folder}") if b"node2" in open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0")]
                return named and named[0]

            os.kill(wait_for(second_node, "the second node runs"), signal.SIGKILL)
            check_equal(dev.wait(), 1, "exit code")
        check_in("node2 ended by itself (signal 9)", dev.output, "what grid dev says")
        check_equal(processes_with_env(f"GRIDTEST_MARK={grid.folder}"), [], "processes left behind")
        check_equal(list(grid.folder.glob("grid-dev-*")), [], "folders left behind")


def answer(dev, task):
    """What the task answers; None when it does not."""
    response = invoke(dev.output, task)
    return response.json if response.status == 200 else None


@once
def test_dev_without_isolation_says_what_to_do_and_does_what_it_is_told():
    need_isolation()
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        raise Skip("needs root that can give up the right to mount")
    less = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]  # as root is in most containers
    with tempfile.TemporaryDirectory(dir="/var/tmp") as closed, Grid(1, start=False) as grid:
        project = grid.project().js("who", "exports.handler = () => process.getuid();\n")
        command = [*less, BIN / "grid", "dev"]
        how = {"cwd": project.folder, "env": clean_environment(project.folder, {"TMPDIR": closed})}
        os.chmod(closed, 0o700)
        with Running(command, **how) as dev:
            check_equal(dev.wait(), 1, f"exit code where the tasks' user cannot reach them: {dev.output}")
            check_in(f"who cannot pass {closed}", dev.output, "what the node says")
            check_in("grid dev takes --task-user and --task-sandbox too", dev.output, "what grid dev says")
            check_equal(list(Path(closed).iterdir()), [], "folders left behind")
        with Running([*command, "--task-user", "root"], **how) as dev:
            wait_for(lambda: answer(dev, "who") is not None, "a task of root's answers")
            check_equal(answer(dev, "who"), 0, "whose task it is")
        os.chmod(closed, 0o755)
        with Running(command, **how) as dev:
            check(wait_for(lambda: answer(dev, "who"), "a task of another user's answers"), "whose task it is")
