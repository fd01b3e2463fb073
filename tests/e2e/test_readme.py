"""README.md's examples, extracted and run as they stand there, in its order and in one shell."""

import json
import re
import subprocess

from gridtest import BIN, PRESET, ROOT, Grid, check, check_in, clean_environment, grid_command, once, timeout


def shell_blocks():
    return re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)


def promised_answers(script):
    """The comments behind commands that are JSON: what the command prints."""
    for comment in re.findall(r"^grid .*?\s# (.+)$", script, re.M):
        try:
            json.loads(comment)
        except ValueError:
            continue
        yield comment


def as_here(script, node):
    """The same commands on this build, and on a node with a port of its own."""
    script = script.replace("$PWD/build/release/bin", str(BIN)).replace("build/release", f"{ROOT}/build/{PRESET}")
    if PRESET == "asan":  # a program with a library of that build needs its runtime
        script = script.replace("cc hello.c", "cc -fsanitize=address,undefined hello.c")
    return script.replace("127.0.0.1:10000", node.api_text)


@once
@timeout(300)
def test_readme_examples_work_as_printed():
    script = "".join(shell_blocks())
    check_in("grid deploy", script, "the README's examples")
    with Grid(3) as grid:
        grid_command("sample", "sample", cwd=grid.folder, check_code=0)
        subprocess.run(["make", "-s", "-C", grid.folder / "sample"], check=True)
        grid[0].grid("deploy", grid.folder / "sample", check_code=0)
        home = grid.folder / "home"
        home.mkdir()
        env = clean_environment(home, {"GRID_API": grid[0].api_text, "GRID_API_SOCKET": str(grid[0].socket), "GRID_STATE": f"{home}/state"})
        done = subprocess.run(["bash", "-exuo", "pipefail", "-c", as_here(script, grid[0])], cwd=home, env=env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        said = f"{done.stdout}\n{done.stderr}"
        check(done.returncode == 0, f"exit code {done.returncode}: {said}")
        for answer in promised_answers(script):
            check_in(answer, done.stdout, "what the README promises")
        for answer in ("hello, you", '"primes":168', "hello, C"):
            check_in(answer, done.stdout, said)
        check(all(node.name in done.stdout for node in grid.nodes), f"every node is shown: {said}")
