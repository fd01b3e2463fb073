"""The node as a program: options, starts that must fail, ends that must not lose a call."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import zoo
from gridtest import (BIN, Grid, Node, Skip, check, check_equal, check_in, clean_environment, http_request, mint_gridfile, node_rpc, once, shared, timeout, wait_for)
from http2raw import DATA, END_HEADERS, PING, POST, Connection, frame, headers


@shared
def one():
    grid = Grid(1)
    grid.deploy(zoo.everything(grid.project().folder))
    return grid


def run_gridd(folder, *args, env=None, timeout_s=30):
    """Runs gridd where it is expected to end by itself."""
    return subprocess.run([BIN / "gridd", *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=folder, timeout=timeout_s,
                          env=clean_environment(folder, env))


def check_refusal(done, *words):
    """Exit 2 and one sentence that holds the words."""
    check_equal(done.returncode, 2, f"exit code of {' '.join(map(str, done.args))} ({done.stderr.strip()[:500]})")
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    check_equal(len(lines), 1, f"lines on stderr: {done.stderr[:800]!r}")
    for word in words:
        check_in(word, lines[0], "what it says")


@once
def test_help_lists_every_option():
    with Grid(1, start=False) as grid:
        done = run_gridd(grid.folder, "--help")
        check_equal(done.returncode, 0, "exit code")
        for option in ("grid", "password-file", "gridfile", "name", "state", "open", "api", "api-host", "api-token-file", "api-socket", "listen", "advertise", "join", "discover",
                       "task-ports", "task-user", "task-sandbox", "task-env", "workers", "max-payload", "log-level", "log-format", "ready-file", "check", "config", "drain-timeout"):
            check_in(f"--{option}", done.stdout, "--help")


@once
def test_check_validates_and_exits():
    with Grid(1, start=False) as grid:
        done = run_gridd(grid.folder, "--check", "--state", grid.folder / "s", "--api", "127.0.0.1:0", "--workers", "2")
        check_equal(done.returncode, 0, f"exit code ({done.stderr})")
        check(not (grid.folder / "s").exists() or not any((grid.folder / "s").iterdir()), "--check wrote into the state folder")


@once
def test_bad_options_exit_2_with_one_sentence():
    cases = [(["--workers", "0"], "workers"), (["--workers", "many"], "many"), (["--max-payload", "5XB"], "5XB"), (["--log-level", "loud"], "loud"),
             (["--log-format", "xml"], "xml"), (["--wokers", "2"], "wokers"), (["--api", "nonsense"], "nonsense"), (["--api", "127.0.0.1:99999"], "99999"),
             (["--discover", "mdns,magic"], "magic"), (["--task-ports", "70000"], "70000"), (["--api", "0.0.0.0:0"], "api-token-file"), (["--workers"], "workers"),
             (["stray"], "stray"), (["--gridfile", "/no/such/Gridfile"], "/no/such/Gridfile"), (["--config", "/no/such/file"], "/no/such/file"),
             (["--join", "host:port:more"], "join"), (["--name", "a b\n"], "name")]
    with Grid(1, start=False) as grid:
        for args, word in cases:
            for more in (["--check"], []):
                check_refusal(run_gridd(grid.folder, "--state", grid.folder / "s", "--discover", "none", *args, *more), word)
        check_refusal(run_gridd(grid.folder, "--check", env={"GRID_WORKERS": "abc"}), "abc")


@once
def test_options_come_from_environment_and_files_and_flags_win():
    with Grid(1, start=False) as grid:
        (grid.folder / "node.toml").write_text('name = "from-file"\nlog-level = "debug"\n')
        for args, env, want in (([], {}, "from-file"), ([], {"GRID_NAME": "from-env"}, "from-env"), (["--name", "from-flag"], {"GRID_NAME": "from-env"}, "from-flag")):
            node = grid.add(start=False, env=env)
            node.arguments = lambda n=node, a=args: [x for x in Node.arguments(n) if x not in ("--name", n.name)] + ["--config", str(grid.folder / "node.toml")] + a
            node.join = None
            check_equal(node.start().info["name"], want, "name")


@once
def test_garbage_in_a_gridfile_is_said_with_line_and_column():
    with Grid(1, start=False) as grid:
        good = grid.gridfile.read_text()
        lines = good.splitlines()
        bad = grid.folder / "BadGridfile"
        bad.touch(0o600)
        for what, text in (("a broken line", "\n".join(lines[:1] + ["@@@ ]["] + lines[1:])), ("no TOML", "\0\1\2"), ("cut", good[:len(good) // 2]),
                           ("a key twice", good + "\n" + good)):
            bad.write_text(text)
            done = run_gridd(grid.folder, "--gridfile", bad, "--state", grid.folder / "s", "--check")
            check_refusal(done, "BadGridfile")
            if what in ("a broken line", "no TOML"):
                check(re.search(r"line \d+, column \d+", done.stderr), f"{what}: line and column in {done.stderr!r}")
        bad.write_text(good)
        bad.chmod(0o644)
        check_refusal(run_gridd(grid.folder, "--gridfile", bad, "--state", grid.folder / "s", "--check"), "BadGridfile", "chmod")


@once
def test_a_token_that_others_read_or_guess_is_refused():
    with Grid(1, start=False) as grid:
        token = grid.folder / "token"
        for text, mode, words in (("s3cret-token-s3cret\n", 0o644, "chmod 600"), ("short\n", 0o600, "holds no token"), ("", 0o600, "holds no token"),
                                  ("s3cret token s3cret\n", 0o600, "holds no token"), ("s3cret-token-s3cret\nanother-line\n", 0o600, "holds no token"),
                                  ("x" * 300, 0o600, "holds no token")):
            token.write_text(text)
            token.chmod(mode)
            check_refusal(run_gridd(grid.folder, "--state", grid.folder / "s", "--api", "0.0.0.0:0", "--api-token-file", token, "--check"), words, "token")
        check_refusal(run_gridd(grid.folder, "--state", grid.folder / "s", "--api-token-file", grid.folder / "none", "--check"), "none", "cannot be read")


@once
def test_files_of_another_user_are_not_taken_unasked():
    if os.geteuid() != 0:
        raise Skip("giving files to another user needs root")
    with Grid(1, start=False) as grid:
        folder, state = grid.folder / "shared", grid.folder / "state-of-another"
        folder.mkdir()
        state.mkdir(0o700)
        (folder / "Gridfile").write_bytes(grid.gridfile.read_bytes())
        (folder / "Gridfile").chmod(0o600)
        os.chown(folder / "Gridfile", 23456, 23456)
        os.chown(state, 23456, 23456)
        for more in (["--check"], []):
            check_refusal(run_gridd(folder, "--state", grid.folder / "s", *more), "belongs to user 23456", "--gridfile Gridfile")
            check_refusal(run_gridd(grid.folder, "--state", state, *more), "belongs to user 23456", "chown")
        done = run_gridd(folder, "--gridfile", "Gridfile", "--state", grid.folder / "s", "--check")
        check_equal(done.returncode, 0, f"exit code when it is named ({done.stderr})")


def said_of_state(grid, state, *more):
    return run_gridd(grid.folder, "--state", state, "--api", "127.0.0.1:0", "--api-socket", "none", "--listen", "127.0.0.1:0", "--discover", "none", *more)


@once
def test_a_folder_or_file_of_others_is_not_taken_for_the_state():
    with Grid(1, start=False) as grid:
        folder, plain, taken = grid.folder / "theirs", grid.folder / "plain", grid.folder / "taken"
        folder.mkdir()
        folder.chmod(0o755)
        (folder / "letter").write_text("dear")
        plain.write_text("gold")
        plain.chmod(0o644)
        for more in (["--check"], []):
            check_refusal(said_of_state(grid, folder, *more), str(folder), "is not empty", "give an empty folder")
            check_refusal(said_of_state(grid, plain, *more), str(plain), "is not a folder")
        check_equal((folder.stat().st_mode & 0o7777, os.listdir(folder)), (0o755, ["letter"]), "the folder")
        check_equal((plain.stat().st_mode & 0o7777, plain.read_text()), (0o644, "gold"), "the file")
        taken.mkdir()
        (taken / "lock").touch()  # what a crash at the first start leaves
        node = grid.add(start=False)
        node.state = taken
        node.start()
        check_equal(taken.stat().st_mode & 0o7777 & 0o700, 0o700, "an empty folder is taken")
        check_in(f'"path":"{node.gridfile}"', node.text(), "the Gridfile that is used, in the log")


@once
def test_a_gridfile_of_another_grid_is_named_by_its_path():
    with Grid(1, start=False) as grid:
        secret = grid.folder / "password"
        secret.write_text("a long and windy password 4711")
        secret.chmod(0o600)
        asked = ["--grid", "other", "--password-file", secret, "--state", grid.folder / "s"]
        for more in (["--check"], []):
            check_refusal(run_gridd(grid.folder, *asked, *more), f"{grid.folder}/Gridfile: the Gridfile is of grid", 'not of "other"')


@once
def test_a_pipe_in_a_gridfiles_place_hangs_nothing():
    with Grid(1, start=False) as grid:
        os.mkfifo(grid.folder / "pipe", 0o600)
        check_refusal(run_gridd(grid.folder, "--gridfile", grid.folder / "pipe", "--state", grid.folder / "s", "--check"), "pipe")


@once
def test_a_second_node_on_one_state_folder_is_refused():
    with Grid(1) as grid:
        started = time.monotonic()
        done = run_gridd(grid.folder, "--state", grid[0].state, "--api", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--discover", "none", "--api-socket", grid.folder / "x.sock")
        check_refusal(done, str(grid[0].state))
        check(time.monotonic() - started < 10, "the refusal took long")
        check_equal(grid[0].get("/ping").status, 200, "the first goes on")


@once
def test_a_second_node_on_one_port_or_socket_is_refused():
    with Grid(1) as grid:
        free = ["--state", grid.folder / "s2", "--discover", "none"]
        check_refusal(run_gridd(grid.folder, *free, "--api", grid[0].api_text, "--listen", "127.0.0.1:0", "--api-socket", grid.folder / "x.sock"), str(grid[0].api[1]))
        check_refusal(run_gridd(grid.folder, *free, "--api", "127.0.0.1:0", "--listen", grid[0].listen_text, "--api-socket", grid.folder / "x.sock"), str(grid[0].listen[1]))
        check_refusal(run_gridd(grid.folder, *free, "--api", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--api-socket", grid[0].socket), str(grid[0].socket))
        with socket.create_server(("127.0.0.1", 0)) as foreign:
            port = foreign.getsockname()[1]
            check_refusal(run_gridd(grid.folder, *free, "--api", f"127.0.0.1:{port}", "--listen", "127.0.0.1:0", "--api-socket", grid.folder / "x.sock"), str(port))
        check_equal(grid[0].get("/ping").status, 200, "the first goes on")


@once
def test_an_api_socket_never_takes_the_place_of_a_file():
    with Grid(1, start=False) as grid:
        precious, link, folder = grid.folder / "precious", grid.folder / "link", grid.folder / "inner"
        precious.write_text("gold")
        link.symlink_to(precious)
        folder.mkdir()
        for path in (precious, link, folder):
            done = run_gridd(grid.folder, "--state", grid.folder / "s", "--discover", "none", "--api", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--api-socket", path)
            check_refusal(done, "--api-socket", str(path), "no socket", "another path")
        check_equal(precious.read_text(), "gold", "the file")
        check(link.is_symlink() and folder.is_dir(), "link and folder stay")


@once
def test_a_second_node_on_a_wildcard_port_is_refused():
    with Grid(1) as grid:
        port = grid[0].api[1]
        done = run_gridd(grid.folder, "--state", grid.folder / "s2", "--discover", "none", "--api", "127.0.0.1:0", "--listen", f"127.0.0.1:{port}", "--api-socket", grid.folder / "x.sock")
        check_refusal(done, str(port))


@once
def test_task_ports_in_use_are_skipped():
    with Grid(1, start=False) as grid:
        node = grid.add(start=False)
        first = node.ports.first
        with socket.create_server(("127.0.0.1", first)), socket.create_server(("127.0.0.1", first + 1)):
            node.start()
            answer = grid.deploy(grid.project().js("t", "exports.handler = () => +process.env.TASK_PORT;\n"))
            port = node.invoke("t").json
            check(port > first + 1, f"port {port} of the task, {first} and the next being in use")
            check_equal(answer["t"]["port"], port, "port that init said")


@once
def test_the_ready_file_tells_what_was_bound():
    with Grid(1) as grid:
        check({"name", "id", "grid", "api", "listen", "pid"} <= set(grid[0].info), f"keys: {grid[0].info}")
        check_equal((grid[0].info["pid"], grid[0].info["grid"], grid[0].info["name"]), (grid[0].process.pid, "testgrid", "node1"), "values")
        check(grid[0].api[1] > 0 and grid[0].listen[1] > 0, "ports")
        check_equal(Path(grid[0].socket).stat().st_mode & 0o777 in (0o600, 0o660), True, "mode of the API's socket")
        check_equal(os.stat(grid[0].state).st_mode & 0o066, 0, "others' rights to read or change the state folder")


@once
def test_id_and_minted_name_are_kept():
    with Grid(1, start=False) as grid:
        node = grid.add(start=False)
        node.arguments = lambda: [x for x in Node.arguments(node) if x not in ("--name", node.name)]
        first = node.start().info
        check(re.match(r"^[a-z]+-[a-z]+$", first["name"]), f"a moniker: {first['name']}")
        check_equal(node.stop(), [], "the end")
        second = node.start().info
        check_equal((second["id"], second["name"]), (first["id"], first["name"]), "id and name after a restart")


def test_health_and_readiness():
    with Grid(1) as grid:
        check_equal(grid[0].get("/healthz").status, 200, "healthz")
        grid.deploy(grid.project().py("slow", "import time\ntime.sleep(2)\ndef handler(e, c):\n    return 1\n"), wait=False)
        answer = grid[0].get("/readyz")
        check_equal(answer.status, 503, "readyz while a task starts")
        check_in("the task slow is not ready", answer.json["error"]["message"], "readyz while a task starts")
        wait_for(lambda: grid[0].get("/readyz").status == 200, "the node is ready")


@once
def test_a_node_that_has_met_nobody_is_not_ready_for_nothing():
    """Refused for its name, or with no release and no answer from --join: 503 with the reason. What it has it serves."""
    with Grid(1) as grid:
        double, lonely = grid.add(start=False), grid.add(start=False, join="127.0.0.1:1")
        double.name = "node1"
        for node, reason in ((double, "is taken by node"), (lonely, "none of --join has answered")):
            node.start()
            wait_for(lambda: reason in node.get("/readyz").text, f"the reason {reason}")
            check_equal(node.get("/readyz").status, 503, "readyz")
        check_equal(grid[0].get("/readyz").status, 200, "readyz of the node whose name it is")
        lonely.init(grid.project().js("echo", "exports.handler = e => e;\n"))
        wait_for(lambda: lonely.get("/readyz").status == 200, "it has a release now")


def test_metrics_are_prometheus_text():
    node = one()[0]
    for _ in range(5):
        node.invoke("cecho", b"{}")
    answer = node.get("/metrics")
    check_in("text/plain", answer.headers["content-type"], "content type")
    typed, families, last = {}, set(), None
    line_re = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{([a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (NaN|[+-]Inf|[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)( \d+)?$')
    check(answer.text.endswith("\n"), "ends with a newline")
    for line in answer.text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            check(name not in typed, f"{name} is typed twice")
            check_in(kind, ("counter", "gauge", "histogram", "summary", "untyped"), name)
            typed[name] = kind
            continue
        if line.startswith("#") or not line:
            continue
        match = line_re.match(line)
        check(match, f"not a sample: {line!r}")
        family = re.sub(r"_(bucket|sum|count)$", "", match[1]) if re.sub(r"_(bucket|sum|count)$", "", match[1]) in typed else match[1]
        check_in(family, typed, "samples have a TYPE")
        check(family == last or family not in families, f"samples of {family} stand apart")
        families.add(family)
        last = family
        if typed[family] == "counter":
            check(float(match[4]) >= 0, line)
    check(len(families) >= 5, f"families: {families}")
    check(any("cecho" in line for line in answer.text.splitlines()), "calls per task are shown")


def test_a_stop_waits_for_calls_in_flight():
    with Grid(2) as grid:
        grid.deploy(grid.project().js("faults", zoo.FAULTS_JS))
        answers = []
        callers = [threading.Thread(target=lambda n=node, h=name: answers.append(n.invoke("faults.slow", b'{"ms":1500}', {"Grid-Node": h})))
                   for node in grid.nodes for name in ("node1", "node2")]
        [c.start() for c in callers]
        wait_for(lambda: sum(len(n.get("/tasks/processing").json) for n in grid.nodes) >= 4, "four calls are processed")
        grid[1].terminate()
        [c.join() for c in callers]
        check_equal([a.status for a in answers], [200] * 4, f"calls that ran while node2 stopped ({answers})")
        check_equal(grid[1].stop(), [], "the end of node2")
        check_equal({grid[0].invoke("faults.who").status for _ in range(4)}, {200}, "calls afterwards")


def test_a_stop_does_not_wait_for_requests_that_never_arrive():
    head = b"POST /invoke/cecho HTTP/1.1\r\nHost: localhost\r\n"
    body = head + b"Content-Length: 10\r\n\r\nhalf"
    with Grid(1) as grid, contextlib.ExitStack() as open_until_the_end:
        grid.deploy(grid.project().program("cecho"))
        plain = [open_until_the_end.enter_context(socket.create_connection(grid[0].api, timeout=10)) for _ in range(2)]
        for sock, data in zip(plain, (head, body)):
            sock.sendall(data)
        h2 = open_until_the_end.enter_context(Connection(grid[0].api))
        h2.send(headers(1, POST, END_HEADERS) + frame(DATA, 0, 1, b"half") + frame(PING, 0, 0, bytes(8)))
        check(h2.until(lambda c: any(f[0] == PING for f in c.frames)), "the node has not read the half of a request")
        begun = time.monotonic()
        grid[0].terminate()
        for sock in plain:
            answer = b"".join(iter(lambda: sock.recv(4096), b""))
            check_in(b"503", answer.split(b"\r\n")[0], "the answer to the half of a request")
            check_in(b"UNAVAILABLE", answer, "the answer to the half of a request")
        check(h2.until(lambda c: c.reset(1)), f"the stream was not refused: {h2.frames}")
        check_equal(grid[0].stop(), [], "the end")
        check(time.monotonic() - begun < 10, f"the stop took {time.monotonic() - begun:.1f} s")


def test_a_stop_does_not_wait_for_who_watches_its_health():
    with Grid(1) as grid:
        watch = node_rpc(grid[0]).health.Watch({"service": ""}, timeout=20)
        check_equal(next(watch).status, 1, "SERVING")
        begun = time.monotonic()
        grid[0].terminate()
        check_equal(next(watch).status, 2, "NOT_SERVING")
        check_equal(grid[0].stop(), [], "the end")
        check(time.monotonic() - begun < 10, f"the stop took {time.monotonic() - begun:.1f} s")


def test_calls_at_a_stopping_node_lose_nothing():
    """A rolling restart: callers of another node notice nothing."""
    with Grid(3) as grid:
        grid.deploy(grid.project().program("cecho"))
        over, bad, count = threading.Event(), [], [0]

        def caller():
            while not over.is_set():
                answer = grid[0].invoke("cecho", b"x")
                count[0] += 1
                if answer.status != 200:
                    bad.append(answer)

        threads = [threading.Thread(target=caller) for _ in range(3)]
        [t.start() for t in threads]
        try:
            for node in grid.nodes[1:]:
                check_equal(node.stop(), [], "the end")
                node.start()
                wait_for(lambda: len(grid[0].hosts()) == 3, "it is back")
        finally:
            over.set()
            [t.join() for t in threads]
        check_equal((bad, count[0] > 50), ([], True), f"calls that failed of {count[0]}")


def test_sigterm_during_start_ends_cleanly():
    for _ in range(3):
        with Grid(1, start=False) as grid:
            node = grid.add(start=False).launch()
            wait_for(lambda: node.state.exists() or not node.alive(), "it has begun")
            node.terminate()
            node.process.wait(20)
            node.expect_exit = node.process.returncode
            check_in(node.process.returncode, (0, -15), "exit code")


def test_a_crashing_task_is_started_again_with_backoff():
    with Grid(1) as grid:
        grid.deploy(grid.project().js("crashes", "throw new Error('crash at load');\n").js("fine", "exports.handler = () => 1;\n"), wait=False)
        wait_for(lambda: restarts(grid[0], "crashes") >= 2, "it was started again")
        before, begun = restarts(grid[0], "crashes"), time.monotonic()
        seen = set()
        while time.monotonic() - begun < 2:
            seen |= {t["status"] for t in json.loads(grid[0].grid("tasks", "--json", check_code=0).out) if t["name"] == "crashes"}
            seen |= {p["status"] for p in json.loads(grid[0].grid("ps", "--json", check_code=0).out) if p["task"] == "crashes"} or {"not in ps"}
        check_equal(seen, {"errored"}, "what tasks and ps say of it meanwhile")
        wait_for(lambda: re.search(r"^crashes +0 +- +- +errored .*crash at load \(started again in \d+ s\)$", grid[0].grid("ps", check_code=0).out, re.M), "ps says when it is tried again", poll_s=0.1)
        check_equal({p.pid > 0 for p in node_rpc(grid[0]).control.ListProcesses({}).processes}, {True}, "what has no process is not listed unless asked for")
        check(restarts(grid[0], "crashes") - before < 30, "it is started again and again without a pause")
        check_in("crash at load", grid[0].grid("logs", "crashes", check_code=0).out, "the log of the task")
        check_equal(grid[0].invoke("fine").json, 1, "the good task")


def restarts(node, task):
    return next(t.restarts for t in node_rpc(node).control.ListTasks({}).tasks if t.name == task)


def test_a_killed_task_comes_back():
    with Grid(1) as grid:
        grid.deploy(grid.project().js("t", "exports.handler = () => process.pid;\n").program("cecho"))
        for task in ("t", "cecho"):
            pid = next(p.pid for p in node_rpc(grid[0]).control.ListProcesses({}).processes if p.task == task)
            os.kill(pid, 9)
            wait_for(lambda: grid[0].invoke(task, b"1").status == 200, f"{task} answers again")
            check(pid not in grid[0].task_pids(), "the old process is gone")


def test_children_of_a_task_end_with_it():
    with Grid(1) as grid:
        grid.deploy(grid.project().js("parent", "require('child_process').spawn('sleep', ['1000']);\nexports.handler = () => 1;\n"))
        wait_for(lambda: len(grid[0].task_pids()) >= 2, "the child runs")
        grid[0].http("DELETE", "/tasks/clear")
        wait_for(lambda: not grid[0].task_pids(), "neither task nor child is left")


def test_what_a_task_put_into_a_session_of_its_own_ends_with_the_node():
    """setsid -f takes it out of the task's process group and away from the task as its parent."""
    with Grid(1) as grid:
        grid.deploy(grid.project().js("parent", "require('child_process').spawn('setsid', ['-f', 'sleep', '1000']);\nexports.handler = () => 1;\n"))
        wait_for(lambda: len(grid[0].task_pids()) >= 2, "the one that left runs")
        grid[0].kill()
        check(grid[0].task_pids(), "what runs on after the node was killed")
        left = set(grid[0].task_pids())
        grid[0].start()
        wait_for(lambda: not left & set(grid[0].task_pids()), "what the killed node left behind is gone")
        wait_for(lambda: len(grid[0].task_pids()) >= 2, "it has left again")
        check_equal(grid[0].stop(), [], "the end of the node")
        check_equal(grid[0].task_pids(), [], "what is left after the node's end")


def test_a_single_threaded_keep_alive_task_is_served_by_many_workers():
    """Each worker keeps connections of its own; none of them may starve the others at a task that serves one connection at a time."""
    with Grid(2) as grid:
        grid.deploy(grid.project().py("single", zoo.SINGLE_THREADED))
        statuses, lock = [], threading.Lock()

        def caller(index):
            for i in range(25):
                started = time.monotonic()
                answer = grid[index % 2].invoke("single", b"%d" % i, {"Grid-Timeout-Ms": "15000"})
                with lock:
                    statuses.append((answer.status, answer.body == b"%d" % i, time.monotonic() - started))

        threads = [threading.Thread(target=caller, args=(i,)) for i in range(8)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        check_equal({s[:2] for s in statuses}, {(200, True)}, "answers")
        check(max(s[2] for s in statuses) < 8, f"the slowest call took {max(s[2] for s in statuses):.1f} s")


def test_the_api_listens_on_a_unix_socket_too():
    node = one()[0]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(node.socket))
        sock.sendall(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        got = b""
        while part := sock.recv(4096):
            got += part
    check(got.startswith(b"HTTP/1.1 200") and b"pong" in got, got)


@once
@timeout(180)
def test_a_node_that_stops_while_others_dial_it_ends_cleanly():
    """A link may be on its way from a worker to the control loop just then; where it is caught is a matter of luck, hence the turns."""
    for turn in range(12):
        with Grid(2, workers=2) as grid:
            grid[1].kill()
            grid[1].launch()
            descriptors = Path("/proc", str(grid[1].process.pid), "fd")
            wait_for(lambda: len(os.listdir(descriptors)) >= 8 + 2 * turn or (grid[1].folder / "ready").exists(), "the other one is so far", poll_s=0.001)
            check_equal(grid[0].stop(), [], "the end of a node that is being dialled")
            grid[1].wait_ready()


@once
def node_beyond_loopback(grid, *more):
    """A node whose API is on all addresses, and where it is reached."""
    (grid.folder / "token").write_text("s3cret-token-s3cret\n")
    (grid.folder / "token").chmod(0o600)
    node = grid.add(start=False)
    node.arguments = lambda: [("0.0.0.0:0" if x == "127.0.0.1:0" and a == "--api" else x) for a, x in zip([""] + Node.arguments(node), Node.arguments(node))] + [
        *more, "--api-token-file", str(grid.folder / "token")]
    node.start()
    address = ("127.0.0.1", node.api[1])
    node.api = address
    return address


def status_as(address, host, token=None):
    return http_request(address, "GET", "/hosts/list", None, {"Host": host} | ({"Authorization": f"Bearer {token}"} if token else {})).status


def test_a_token_is_asked_for_when_the_api_is_not_loopback():
    with Grid(0, start=False) as grid:
        address = node_beyond_loopback(grid, "--api-host", "grid.example")
        check_equal(status_as(address, "grid.example"), 401, "without a token")
        check_equal(status_as(address, "grid.example", "wrong"), 401, "with a wrong one")
        check_equal(status_as(address, "grid.example", "s3cret-token-s3cret"), 200, "with the token")
        check_equal(status_as(address, "evil.example", "s3cret-token-s3cret"), 403, "another Host")
    with Grid(0, start=False) as grid:
        address = node_beyond_loopback(grid)
        check_equal(status_as(address, "10.9.9.9:12000"), 401, "without a token, where no names are listed")
        check_equal(status_as(address, "10.9.9.9:12000", "s3cret-token-s3cret"), 200, "with it")


def test_log_lines_are_json_and_carry_the_invocations_id():
    with Grid(2, options=["--log-level", "debug"]) as grid:
        grid.deploy(grid.project().js("t", "exports.handler = () => 1;\n"))
        ids = {grid[0].invoke("t").headers["grid-request-id"] for _ in range(2)}
        wait_for(lambda: all(any(i in n.text() for n in grid.nodes) for i in ids), "the ids stand in the log")
        for node in grid.nodes:
            for line in node.text().splitlines():
                entry = json.loads(line)
                check(isinstance(entry, dict) and len(entry) >= 3, f"a line: {line}")


@once
def test_a_grid_of_one_needs_no_gridfile():
    with Grid(1, start=False) as grid:
        node = Node(grid.folder / "alone", "alone")
        grid.nodes.append(node)
        node.start()
        project = grid.project().js("t", "exports.handler = () => 'alone';\n")
        check_equal(node.init(project).status, 200, "init")
        wait_for(lambda: node.invoke("t").json == "alone", "it answers")
        check_in("does not listen for others", node.text(), "what is said of a --listen that comes to nothing")


@once
def test_who_gives_a_password_is_told_of_a_gridfile_that_is_used():
    with Grid(1, start=False) as grid:
        node = Node(grid.folder / "found", "found", options=["--grid", "demo", "--password-file", str(grid.folder / "password")])
        grid.nodes.append(node)
        (grid.folder / "password").write_text("eleven-copper-lanterns\n")
        (grid.folder / "password").chmod(0o600)
        mint_gridfile(node.folder, "demo")
        node.start()
        check_in("whatever password it was given", node.text(), "what is said of the Gridfile that lies there")


@once
def test_fuzzed_tls_at_the_peer_port_harms_nobody():
    with Grid(2) as grid:
        for blob in (b"", b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", bytes(4000), b"\x16\x03\x01\xff\xff" + b"a" * 20000, os.urandom(3000)):
            with socket.create_connection(grid[0].listen, timeout=5) as sock:
                try:
                    sock.sendall(blob)
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(4096):
                        pass
                except OSError:
                    pass
        done = subprocess.run(["openssl", "s_client", "-connect", grid[0].listen_text, "-alpn", "h2", "-tls1_2"], input=b"", capture_output=True, timeout=30)
        check(done.returncode != 0, "TLS 1.2 was accepted")
        check_equal(len(grid[0].hosts()), 2, "hosts")


class Copied(Node):
    """A node whose programs were copied alone, without the runtimes."""

    def arguments(self):
        program = self.folder / "copy/bin/gridd"
        program.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(BIN / "gridd", program)
        shutil.copy(BIN / "grid-task-exec", program.parent)
        return [str(program)] + super().arguments()[1:]


@once
def test_an_incomplete_installation_is_said_at_start_and_to_callers():
    with Grid(0) as grid:
        node = Copied(grid.folder / "copied", "copied", grid.gridfile)
        grid.nodes.append(node)
        node.start()
        warnings = [line for line in node.text().splitlines() if "installation is incomplete" in line]
        looked_at = f"{node.folder}/copy/libexec/gridcontrol/runtimes/"
        check_equal([looked_at + name in line and "--runtimes" in line for name, line in zip(("node/run.js", "python/run.py"), warnings)], [True, True], "warnings")
        node.init(grid.project().js("script", "exports.handler = () => 1;\n").program("cecho"))
        wait_for(lambda: node.invoke("cecho", b"x").body == b"x", "a compiled task answers all the same")
        answer = node.invoke("script")
        check_equal(answer.status, 503, "a JavaScript task")
        for words in ("Cannot request script: ", looked_at + "node/run.js", "--runtimes"):
            check_in(words, answer.json["error"]["message"], "what the caller is told")
