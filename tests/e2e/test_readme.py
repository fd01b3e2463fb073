"""The examples of README.md and docs/tasks.md, extracted and run as they stand there: each page in its order and in one shell."""

import json
import os
import re
import shutil
import subprocess

from gridtest import BIN, PRESET, ROOT, Grid, check, check_equal, check_in, clean_environment, grid_command, once, timeout, wait_for


def shell_script(page):
    return "".join(re.findall(r"^```sh\n(.*?)^```$", (ROOT / page).read_text(), re.M | re.S))


def as_here(script, node):
    """The same commands on this build, and on a node with a port of its own."""
    script = script.replace("$PWD/build/release/bin", str(BIN)).replace("build/release", f"{ROOT}/build/{PRESET}")
    if PRESET == "asan":  # a program with a library of that build needs its runtime
        script = script.replace("cc hello.c", "cc -fsanitize=address,undefined hello.c")
    return script.replace("127.0.0.1:10000", node.api_text)


def run_script(script, node, home):
    """(what it printed, and all that it said); a command that fails is the test's failure."""
    home.mkdir()
    env = clean_environment(home, {"GRID_API": node.api_text, "GRID_API_SOCKET": str(node.socket), "GRID_STATE": f"{home}/state"})
    env["PATH"] = f"{BIN}:{env['PATH']}"
    done = subprocess.run(["bash", "-exuo", "pipefail", "-c", as_here(script, node)], cwd=home, env=env, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    said = f"{done.stdout}\n{done.stderr}"
    check(done.returncode == 0, f"exit code {done.returncode}: {said}")
    return done.stdout, said


def is_json(text):
    try:
        json.loads(text)
        return True
    except ValueError:
        return False


def promised_answers(script):
    """The comments behind commands: what the command prints."""
    return re.findall(r"^(?:grid invoke|grid logs|curl|until) .*?\s# (.+)$", script, re.M)


def check_promises(promised, printed):
    """Each stands in what was printed, behind the one before."""
    at = 0
    for answer in promised:
        found = printed.find(answer, at)
        check(found >= 0, f"the page promises {answer!r}; what was printed from there on: {printed[at:at + 400]!r}")
        at = found + len(answer)


@once
@timeout(300)
def test_readme_examples_work_as_printed():
    script = shell_script("README.md")
    check_in("grid deploy", script, "the README's examples")
    with Grid(3) as grid:
        grid_command("sample", "sample", cwd=grid.folder, check_code=0)
        subprocess.run(["make", "-s", "-C", grid.folder / "sample"], check=True)
        grid[0].grid("deploy", grid.folder / "sample", check_code=0)
        printed, said = run_script(script, grid[0], grid.folder / "home")
        check_promises([answer for answer in promised_answers(script) if is_json(answer)], printed)
        for answer in ("hello, you", "somebody wants hello louder", '"primes":168', "hello, C"):
            check_in(answer, printed, said)
        check(all(node.name in printed for node in grid.nodes), f"every node is shown: {said}")


@once
@timeout(300)
def test_the_examples_for_writers_of_tasks_work_as_printed():
    script = shell_script("docs/tasks.md")
    promised = promised_answers(script)
    check(len(promised) >= 20, f"the page's promises: {promised}")
    with Grid(1) as grid:
        printed, _ = run_script(script, grid[0], grid.folder / "home")
        check_promises(promised, printed)


@once
def test_the_example_of_data_is_true_on_several_nodes():
    page = (ROOT / "docs/tasks.md").read_text()
    script = re.search(r"^## Data\n\n```sh\n(.*?)^```$", page, re.M | re.S)[1]
    with Grid(2) as grid:
        printed, _ = run_script("mkdir tasks\n" + script, grid[0], grid.folder / "home")
        check_equal(printed.splitlines()[-1], "".join(promised_answers(script)), "what it promises")


@once
def test_quickstart_stop_ends_what_a_killed_node_has_left():
    with Grid(1, start=False) as grid:
        state, tree = grid.folder / "xdg/gridcontrol-quickstart", grid.folder / "tree"
        state.mkdir(parents=True)
        (tree / "deploy").mkdir(parents=True)
        (tree / "build/release").mkdir(parents=True)
        (tree / "build/release/bin").symlink_to(BIN)
        shutil.copy(ROOT / "deploy/quickstart", tree / "deploy")
        shutil.copy(grid.gridfile, state / "Gridfile")
        node = grid.add(start=False)
        node.state = state / "node1"
        node.start()
        grid.deploy(grid.project().js("left", "exports.handler = () => 1;\n"))
        (state / "node1.pid").write_text(f"{node.process.pid}\n")
        node.kill()
        check(node.task_pids(), "a killed node leaves its tasks")
        done = subprocess.run([tree / "deploy/quickstart", "stop"], env=clean_environment(grid.folder, {"XDG_STATE_HOME": str(grid.folder / "xdg")}), capture_output=True, text=True, timeout=90)
        check("node1 was killed and has left tasks running" in done.stdout and "the grid is down" in done.stdout and done.returncode == 0, f"what it says: {done}")
        wait_for(lambda: not node.task_pids(), "nothing is left", 3)
        check(not os.path.exists(state / "node1.pid"), "the node that was started to end them is not left either")
