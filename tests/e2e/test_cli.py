"""`grid`, as people and scripts use it."""

import contextlib
import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import termios
import threading
import time

import zoo
from gridtest import (BIN, Grid, Running, check, check_equal, check_in, clean_environment, free_port, grid_command, node_rpc, once, shared, timeout, wait_for)

VERBS = ["new", "sample", "dev", "deploy", "list", "tasks", "ps", "processing", "invoke", "broadcast", "logs", "releases", "version"]


@shared
def pair():
    grid = Grid(2)
    grid.deploy(zoo.everything(grid.project().folder))
    return grid


def test_version_and_help_need_no_node():
    folder = pair().folder
    check(re.search(r"\d+\.\d+\.\d+", grid_command("version", cwd=folder, check_code=0).out), "a version")
    text = grid_command("--help", cwd=folder, check_code=0).out
    for verb in VERBS:
        check_in(verb, text, "--help")
        own = grid_command(verb, "--help", cwd=folder, check_code=0).out
        check_in(f"grid {verb}", own, f"grid {verb} --help")


@once
@timeout(240)
def test_help_examples_work_as_printed():
    with Grid(2) as grid:
        demo = grid.folder / "demo"
        grid_command("sample", "demo", cwd=grid.folder, check_code=0)
        for _ in range(2):
            grid[0].grid("deploy", demo, check_code=0)
        root = json.loads(grid[0].grid("releases", "--json", check_code=0).out)[0]["root"]
        env = clean_environment(grid.folder, {"GRID_API": grid[0].api_text, "GRID_API_SOCKET": str(grid[0].socket)})
        env["PATH"] = f"{BIN}:{env['PATH']}"
        for verb in re.findall(r"^  ([a-z]+) ", grid_command("--help", cwd=demo, check_code=0).out, re.M):
            example = re.search(r"^Example: (.+)$", grid_command(verb, "--help", cwd=demo, check_code=0).out, re.M)[1]
            if verb in ("dev", "clear", "evict", "rotate", "password", "adopt"):  # the first has its own test, the others would end what is called here
                continue
            command = example.replace("1a2b3c4d", root[:8]).replace(" --watch", "")  # which would go on for ever
            done = subprocess.run(["bash", "-c", command], cwd=demo, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
            check_equal(done.returncode, 0, f"{command}: {done.stdout}{done.stderr}")


def test_the_words_name_what_is_missing():
    with Grid(1) as grid:
        grid.deploy(grid.project().js("quiet", "exports.handler = () => 1;\n"))
        check_in("nothing was written", grid[0].grid("logs", "quiet", check_code=0).err, "logs of a task that wrote nothing")
        check_in("before this one", grid[0].grid("rollback").err, "rollback of the first release")
        check_in("12345678", grid[0].grid("rollback", "12345678").err, "rollback to an unknown release")
        check_in("is not a release", grid[0].grid("rollback", "", check_code=2).err, "rollback to a name that a script has not set")
        grid[0].grid("clear", check_code=0)
        done = grid[0].grid("broadcast", "quiet", "--timeout", "300ms")
        check(done.returncode == 1 and "Deadline Exceeded" not in done.err, f"no bare status: {done.err}")


def test_usage_faults_exit_2():
    for args in ([], ["nosuchverb"], ["list", "--nosuchoption"], ["invoke"], ["sample"], ["new"], ["list", "stray"]):
        done = pair()[0].grid(*args)
        check_equal(done.returncode, 2, f"grid {' '.join(args)} ({done.err})")
        check_equal(done.stdout, b"", f"stdout of grid {' '.join(args)}")
        check(done.err, "a word on stderr")


@once
def test_no_node_exits_3():
    with Grid(1, start=False) as grid:
        for args in (["list"], ["tasks"], ["ps"], ["invoke", "x"], ["releases"], ["processing"], ["logs"]):
            done = grid_command(*args, "--api", f"127.0.0.1:{free_port()}", cwd=grid.folder)
            check_equal(done.returncode, 3, f"grid {args[0]} ({done.out}{done.err})")
            check_equal(len(done.err.strip().splitlines()), 1, f"one sentence: {done.err!r}")


def test_grid_api_in_the_environment_wins_and_nothing_else_is_tried():
    node, absent = pair()[0], f"127.0.0.1:{free_port()}"
    done = node.grid("list", env={"GRID_API": absent})
    check_equal(done.returncode, 3, f"a node at the socket answered for another: {done.out}{done.err}")
    check_in(f"no node reachable at {absent}:", done.err, "what was tried")
    check_in("node1", node.grid("list", env={"GRID_API": ""}, check_code=0).out, "the nodes, by the socket")


def test_list_shows_the_nodes():
    for verb in ("list", "ls"):
        text = pair()[0].grid(verb, check_code=0).out
        check(all(name in text for name in ("node1", "node2")), text)
    nodes = json.loads(pair()[0].grid("list", "--json", check_code=0).out)
    check_equal(sorted(n["name"] for n in nodes), ["node1", "node2"], "names in JSON")


def test_reading_verbs_have_json():
    for verb in ("list", "tasks", "ps", "processing", "releases", "version"):
        json.loads(pair()[0].grid(verb, "--json", check_code=0).out)
    text = pair()[0].grid("tasks", check_code=0).out
    check(all(task in text for task in ("jsecho", "cecho", "pyweb")), text)
    check_in("cecho", pair()[0].grid("ps", check_code=0).out, "ps")
    check(not re.search(r"\x1b", text), "no colour where there is no terminal")


def test_invoke_gives_the_tasks_answer():
    node = pair()[0]
    check_equal(json.loads(node.grid("invoke", "jsecho", "-d", '{"a":1}', check_code=0).out), {"a": 1}, "-d")
    check_equal(node.grid("invoke", "cecho", "-d", '{"a":1e2}', check_code=0).out.strip(), '{"a":1e2}', "byte for byte")
    (pair().folder / "in.json").write_text('{"file":true}')
    check_equal(json.loads(node.grid("invoke", "jsecho", "-d", f"@{pair().folder}/in.json", check_code=0).out), {"file": True}, "@FILE")
    check_equal(json.loads(node.grid("invoke", "jsecho", "-d", "-", input=b'[1]', check_code=0).out), [1], "stdin")
    check_equal(json.loads(node.grid("invoke", "request.getIp", "-d", "5", check_code=0).out), {"ip": "203.0.113.7", "asked": 5}, "TASK.HANDLER")


def test_a_task_whose_name_has_dots_is_the_same_at_every_door():
    with Grid(1) as grid:
        node = grid[0]
        grid.deploy(grid.project().js("report.daily", "exports.run = () => 'run';\nexports.handler = () => 'whole';\n").js("report", "exports.weekly = () => 'weekly';\n"))
        for name, want in (("report.daily", "whole"), ("report.daily.run", "run"), ("report.weekly", "weekly")):
            got = {
                "/invoke": node.invoke(name).json,
                "the original's": node.trigger(name)["data"],
                "Lambda's": node.http("POST", f"/2015-03-31/functions/{name}/invocations", "{}").json,
                "gRPC": json.loads(node_rpc(node).invoke.Call({"task": name, "json": "1"}).json),
                "grid invoke": json.loads(node.grid("invoke", name, "-d", "1", check_code=0).out),
                "grid broadcast": json.loads(node.grid("broadcast", name, "-d", "1", "--json", check_code=0).out)["output"],
            }
            check_equal(got, dict.fromkeys(got, want), name)


def test_invoke_warns_of_data_that_is_almost_json():
    done = pair()[0].grid("invoke", "jsecho", "-d", '{"a": 1', check_code=0)
    check_in("begins like JSON", done.err, "what is said of a forgotten brace")
    check_equal(pair()[0].grid("invoke", "jsecho", "-d", '{"a": 1}', check_code=0).err, "", "what is said of JSON")


def test_invoke_that_fails_exits_1():
    for task in ("nosuchtask", "faults.throws", "pyfaults.raises"):
        done = pair()[0].grid("invoke", task, "-d", "{}")
        check_equal(done.returncode, 1, f"{task} ({done.out}{done.err})")
        check(done.err.strip(), "a word on stderr")
    check_in("thrown on purpose", pair()[0].grid("invoke", "faults.throws", "-d", "{}").err, "what was thrown")
    raised = pair()[0].grid("invoke", "pyfaults.raises", "-d", "{}").err
    check(re.search(r'^    File ".*pyfaults.py", line \d+, in raises\n +raise ValueError', raised, re.M), f"a traceback in lines: {raised}")
    wait_for(lambda: all(re.search(text, pair()[0].grid("logs", task, check_code=0).out + pair()[1].grid("logs", task, check_code=0).out, re.M) for task, text in
                         (("faults", r"call [0-9a-f-]{36}: TypeError: thrown on purpose$"), ("pyfaults", r"ValueError: raised on purpose$"))), "the tasks' logs say it")
    check_equal(pair()[0].grid("invoke", "jsecho", "-d", f"@{pair().folder}/absent").returncode in (1, 2), True, "an absent file")


def test_broadcast_shows_every_node():
    done = pair()[0].grid("broadcast", "jsecho", "-d", '"b"', check_code=0)
    check(all(name in done.out for name in ("node1", "node2")), done.out)


@once
def test_what_nodes_call_themselves_moves_no_terminals_cursor():
    evil, shown = "x\u009b31m\u202e", "x\\x9b31m\\u202e"
    with Grid(nodes=1) as grid:
        first, other = grid[0], grid.add(start=False)
        other.name = evil
        other.start()
        grid.wait_linked()
        project = grid.project()
        project.js("echo", "exports.handler = (event) => event;\n")
        grid.deploy(project, tasks=["echo"])
        said = [first.grid("invoke", "echo", "--verbose", "--node", evil, check_code=0).err]
        check_in(f"node {shown},", said[0], "what invoke --verbose says")
        other.kill()
        said.append(first.grid("rotate", "--overlap", "1h", "--wait", "0s").err)  # it names whom it waits for, until that one counts as dead
        said.append(first.grid("evict", evil, "--yes", check_code=0).err)
        check_in(f"{shown} is evicted", said[-1], "what evict says")
        check(not any(c in text for text in said for c in "\u009b\u202e"), f"nothing that a terminal obeys: {said}")


def test_processing_and_releases_show_what_is():
    node = pair()[0]
    caller = threading.Thread(target=lambda: node.invoke("faults.slow", b'{"ms":2500}', {"Grid-Node": "node1"}))
    caller.start()
    wait_for(lambda: "faults" in node.grid("processing", check_code=0).out, "the call is shown")
    caller.join()
    releases = json.loads(node.grid("releases", "--json", check_code=0).out)
    check_equal(len([r for r in releases if r.get("current")]), 1, f"current releases: {releases}")


def test_logs_show_what_a_task_wrote():
    with Grid(1) as grid:
        grid.deploy(grid.project().js("talks", "console.log('said at load');\nexports.handler = () => { console.error('said in a call'); return 1; };\n"))
        grid[0].invoke("talks")
        wait_for(lambda: all(t in grid[0].grid("logs", "talks", check_code=0).out for t in ("said at load", "said in a call")), "both lines are there")


@once
def test_a_line_that_is_no_utf8_hides_no_log_from_other_programs():
    with Grid(1) as grid:
        grid.deploy(grid.project().js("t", "process.stdout.write(Buffer.from('before\\na\\xff\\x80\\nafter\\n', 'latin1'));\n"
                                           "exports.handler = () => 1;\n"))
        lines = lambda: [line.text for line in node_rpc(grid[0]).control.Logs({"task": "t", "lines": 10}) if line.stream == "stdout"]  # noqa: E731
        wait_for(lambda: "after" in lines(), "the last line is there")
        check_equal(lines(), ["before", "a\ufffd\ufffd", "after"], "the lines as a decoder takes them that insists on UTF-8")


def test_logs_of_other_nodes_are_asked_for_and_put_in_order_of_time():
    with Grid(2) as grid:
        one, two = grid.nodes
        says = "exports.handler = (event) => { console.log('heard', event); return process.env.GRID_NODE; };\n"
        grid.deploy(grid.project().js("a", says).js("b", says))
        for word, node in enumerate((one, two, one, two)):
            check_equal(one.invoke("ab"[word // 2], str(word), {"Grid-Node": node.name}).json, node.name, "who ran it")
        wait_for(lambda: len(one.grid("logs", "--all", check_code=0).out.splitlines()) == 4, "all lines are there")
        lines = one.grid("logs", "--all", check_code=0).out.splitlines()
        check_equal([re.sub(r"^[-0-9]+ [:.0-9]+ ", "", line) for line in lines],
                    ["node1 a.0  heard 0", "node2 a.0  heard 1", "node1 b.0  heard 2", "node2 b.0  heard 3"], "lines of all nodes")
        check_in("heard 3", one.grid("logs", "--all", "-n", "1", check_code=0).out, "the last line of all")
        check_equal([json.loads(line)["text"] for line in one.grid("logs", "--node", "node2", "--json", check_code=0).out.splitlines()], ["heard 1", "heard 3"], "node2's lines")
        check_equal(one.grid("logs", "-n", "1", check_code=0).out.split("  ")[1:], ["heard 2\n"], "the last line of this node")
        check_in("nosuch", one.grid("logs", "--node", "nosuch", check_code=1).err, "a node that is not there")
        check_in("runs no task", one.grid("logs", "nosuch", "--node", two.info["id"][:12], check_code=1).err, "a task that is not there")
        check_in("leave one of the two out", one.grid("logs", "--all", "--node", "node2", check_code=2).err, "all nodes and one of them")
        follower = subprocess.Popen([BIN / "grid", "logs", "a", "--node", "node2", "-f", "-n", "1"], stdout=subprocess.PIPE, text=True,
                                    env=clean_environment(grid.folder, {"GRID_API": one.api_text}))
        try:
            check_in("heard 1", follower.stdout.readline(), "the old line")
            one.invoke("a", "5", {"Grid-Node": "node2"})
            check_in("heard 5", follower.stdout.readline(), "the new line")
            two.stop()
            check_equal(follower.wait(30), 1, "exit code when the node that is followed stops")
        finally:
            follower.kill()
            follower.wait()


@once
def test_logs_of_all_nodes_are_followed_as_nodes_come_and_go():
    with Grid(2) as grid:
        one, two = grid.nodes
        grid.deploy(grid.project().js("a", "exports.handler = (event) => { console.log('heard', event); return 1; };\n"))
        for word, node in (("one", one), ("two", two)):
            one.invoke("a", json.dumps(word), {"Grid-Node": node.name})
        wait_for(lambda: one.grid("logs", "--all", check_code=0).out.count("heard") == 2, "the old lines are there")
        with Running([BIN / "grid", "logs", "a", "--all", "-f", "-n", "1"], env=clean_environment(grid.folder, {"GRID_API": one.api_text})) as all_lines:
            all_lines.wait_for("node2 a.0  heard two")
            for word, node in (("three", one), ("four", two)):
                one.invoke("a", json.dumps(word), {"Grid-Node": node.name})
                all_lines.wait_for(f"{node.name} a.0  heard {word}")
            three = grid.add()
            grid.wait_ready(["a"])
            wait_for(lambda: one.invoke("a", '"five"', {"Grid-Node": "node3"}).status == 200, "the new node runs it")
            all_lines.wait_for("node3 a.0  heard five")
            check_equal(two.stop(), [], "the end of node2")
            all_lines.wait_for("node2 has left the grid")
            two.start()
            grid.wait_linked().wait_ready(["a"])
            wait_for(lambda: one.invoke("a", '"six"', {"Grid-Node": "node2"}).status == 200, "node2 runs it again")
            all_lines.wait_for("node2 a.0  heard six")
            check_equal((all_lines.count("heard one"), all_lines.count("heard four"), all_lines.count("heard five")), (0, 1, 1), f"lines that stand once: {all_lines.output}")
            check_equal(one.stop(), [], "the end of the node that is asked")
            check_equal(all_lines.wait(), 1, "exit code when it stops")
            check(three.alive(), "node3 stays")


@once
def test_who_watches_and_follows_holds_up_no_stop():
    with Grid(1) as grid:
        node, env = grid[0], clean_environment(grid.folder, {"GRID_API": grid[0].api_text})
        grid.deploy(grid.project().js("talks", "console.log('said at load');\nexports.handler = () => 1;\n"))
        watchers = [subprocess.Popen([BIN / "grid", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) for args in (["list", "--watch"], ["logs", "-f"])]
        try:
            check(all(w.stdout.readline() for w in watchers), "both were told something")
            began = time.monotonic()
            check_equal(node.stop(), [], "the node's end")
            check(time.monotonic() - began < 15, f"the stop took {time.monotonic() - began:.1f} s")
            for watcher in watchers:
                check_in("the node stops", watcher.communicate(timeout=30)[1], "what the watcher is told")
        finally:
            for watcher in watchers:
                watcher.kill()
                watcher.wait()


@once
def test_sample_deploy_and_invoke():
    with Grid(2) as grid:
        grid_command("sample", "demo", cwd=grid.folder, check_code=0)
        demo = grid.folder / "demo"
        check((demo / "tasks").is_dir() and (demo / "README.md").is_file(), f"sample wrote {list(demo.rglob('*'))}")
        again = grid_command("sample", "demo", cwd=grid.folder)
        check_equal(again.returncode, 1, f"a folder that exists is left alone ({again.err})")
        if (demo / "Makefile").exists():
            subprocess.run(["make", "-C", demo], check=True, capture_output=True)
        grid[0].grid("deploy", demo, check_code=0)
        tasks = [t["name"] for t in json.loads(grid[0].grid("tasks", "--json", check_code=0).out)]
        grid.wait_ready(tasks)
        check(len(tasks) >= 3, f"tasks of the sample: {tasks}")
        for task in tasks:
            check_equal(grid[1].grid("invoke", task, "-d", '{"name":"you"}').returncode, 0, f"grid invoke {task}")


def test_small_words_are_understood():
    with Grid(1) as grid:
        project = grid.project().js("size", "exports.handler = () => 'called';\n").write("tasks/named.mjs", "export default () => 'named';\n")
        grid.deploy(project, task_folder="./tasks/")
        check_equal(grid[0].grid("invoke", "size", "-d", "", check_code=0).out.strip('"\n'), "called", "a call with an empty body")
        check_equal(grid[0].grid("invoke", "named.default", check_code=0).out.strip('"\n'), "named", "the default export by its name")
        check_in("grid list", grid[0].grid("list", "-h", check_code=0).out, "help by its letter")
        check_in("runs no task nosuch", grid[0].grid("logs", "nosuch", check_code=1).err, "logs of no task")


def test_deploy_warns_of_tasks_that_cannot_run():
    with Grid(1) as grid:
        project = grid.project().js("crashes", "throw new Error('crash at load');\n").js("fine", "exports.handler = () => 1;\n").write("tasks/job.sh", "#!/bin/sh\n")
        done = grid[0].grid("deploy", str(project), check_code=4)
        check_in("the release is live, but without what cannot be started (crashes)", done.err, "what it says in the end")
        check_in("the task crashes cannot be started on node1: it exited", done.err, "warning of a task that crashes")
        check_in("tasks/job.sh is no task: it may not be executed (chmod +x makes it a task)", done.err, "warning of a file without its executable bit")
        check_in("live on 1 of 1 nodes", done.out, "summary")
        check("fine" not in done.err, done.err)
        check_equal(json.loads(grid[0].grid("deploy", str(project), "--json", check_code=4).out)["tasks_failed"], ["crashes"], "tasks_failed")
        grid[0].grid("deploy", str(project), "--no-watch", check_code=0)
        project.js("crashes", "setTimeout(() => { throw new Error('late crash'); }, 3500);\n")
        check_in("late crash", grid[0].grid("deploy", str(project), check_code=4).err, "a task that takes its time to fail")
        project.js("crashes", "exports.handler = () => 1;\n")
        grid[0].grid("deploy", str(project), check_code=0)
        grid[0].grid("rollback", check_code=4)


def test_deploy_is_done_when_every_node_answers_from_the_new_version():
    with Grid(2) as grid:
        def version(number, on_node2=""):
            return grid.project().js("slow", f"if (process.env.GRID_NODE === 'node2') {{ {on_node2} }}\nexports.handler = () => {number};\n")

        def answer():
            return grid[0].invoke("slow", headers={"Grid-Node": "node2"}).json

        grid.deploy(version(1))
        check_in("live on 2 of 2", grid[0].grid("deploy", str(version(2, "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1200);")), check_code=0).out, "a start that takes its time")
        check_equal(answer(), 2, "the other node's answer right after the deploy")
        done = grid[0].grid("deploy", str(version(3, "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600); throw new Error('not on this machine');")), check_code=4)
        check_in("the task slow cannot be started on node2: it exited", done.err, "what cannot be started elsewhere")
        check_in('not on this machine; "grid logs slow --node node2" tells more', done.err, "why, and where to look")
        check_equal((answer(), grid[0].invoke("slow", headers={"Grid-Node": "node1"}).json), (2, 3), "both nodes' answers")
        grid[0].grid("rollback", check_code=0)
        check_equal(grid[0].invoke("slow", headers={"Grid-Node": "node1"}).json, 2, "an answer right after the rollback")


def test_deploy_of_a_bad_folder_exits_1():
    node = pair()[0]
    for folder in ("/no/such/folder", pair().folder / "node1"):
        done = node.grid("deploy", folder)
        check_equal(done.returncode, 1, f"{folder} ({done.err})")
        check_in(str(folder), done.err, "the folder is named")


def test_deploy_defaults_to_this_folder():
    with Grid(1) as grid:
        project = grid.project().js("here", "exports.handler = () => 'here';\n")
        grid[0].grid("deploy", cwd=project.folder, check_code=0)
        wait_for(lambda: grid[0].invoke("here").json == "here", "it answers")


@once
def test_new_mints_a_gridfile_once():
    with Grid(1, start=False) as grid:
        folder = grid.folder / "fresh"
        folder.mkdir()
        grid_command("new", "mygrid", cwd=folder, check_code=0)
        text = (folder / "Gridfile").read_text()
        check_in("mygrid", text, "Gridfile")
        check_equal((folder / "Gridfile").stat().st_mode & 0o077, 0, "others' rights on the Gridfile")
        check_equal(grid_command("new", "mygrid", cwd=folder).returncode, 1, "a Gridfile that exists")
        check_equal((folder / "Gridfile").read_text(), text, "the Gridfile is left alone")


def on_a_terminal(node, *args, typed=None):
    """Runs `grid` with a terminal for its stderr, and where something is typed for its stdin: exit code, stdout, and what the terminal got."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    grid = subprocess.Popen([str(BIN / "grid"), *map(str, args)], stdin=theirs if typed else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs,
                            env=clean_environment(node.folder, {"GRID_API": node.api_text, "GRID_API_SOCKET": str(node.socket)}))
    os.close(theirs)
    if typed:
        os.write(ours, typed.encode())
    shown = b""
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while data := os.read(ours, 65536):
            shown += data
    os.close(ours)
    return grid.wait(), grid.stdout.read().decode(), shown.decode()


@once
def test_deploy_shows_on_a_terminal_how_far_each_node_is():
    with Grid(2) as grid:
        project = grid.project().program("cecho").write("large", "0123456789abcdef" * 65536)
        code, out, shown = on_a_terminal(grid[0], "deploy", project)
        check_equal(code, 0, f"exit code ({shown})")
        check_in("live on 2 of 2 nodes", out, "the summary")
        for words in ("store     [####", "files  1.", "of it already there", "live      [############------------]  1 of 2 nodes", "\nnode2     "):
            check_in(words, shown.replace("\r", ""), "what the terminal showed")
        check(shown.endswith("\x1b[J"), f"nothing is left of it: {shown[-60:]!r}")
        check_in("fetched by 1 node\n", out, "the summary")
        _, out, shown = on_a_terminal(grid[0], "deploy", project.write("large", os.urandom(1 << 20)), "--json")
        check_equal(shown, "", "what a terminal shows with --json")
        fetched = json.loads(out)["fetched_bytes"]
        check(fetched["node1"] == 0 and 1 << 20 <= fetched["node2"] < 5 << 18, f"what each node got from others: {fetched}")
        os.kill(grid[1].process.pid, signal.SIGSTOP)
        try:
            code, out, shown = on_a_terminal(grid[0], "deploy", project.write("more", "x"), "--wait", "1s")
            said = json.loads(grid[0].grid("rollback", "--wait", "1s", "--json", check_code=4).out)
        finally:
            os.kill(grid[1].process.pid, signal.SIGCONT)
        check_equal(code, 4, "exit code while a node does not have the release")
        check_in("not live yet on node2", shown, "what is said of it")
        check_in("\nnode2     fetching", shown.replace("\r", ""), "how it is shown")
        check_equal((said["live"], said["waiting"], said["nodes_live"], said["nodes_total"]), (["node1"], ["node2"], 1, 2), "the object of a rollback that a node lacks")
