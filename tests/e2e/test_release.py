"""What a release holds, what it never holds, and what a change of it does."""

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

from gridtest import Grid, Node, Project, Skip, check, check_equal, check_in, mint_gridfile, need_user, node_rpc, once, shared, wait_for


def pids(node):
    return {p.task: p.pid for p in node_rpc(node).control.ListProcesses({}).processes}


@once
def test_secrets_never_reach_any_nodes_release():
    mark = secrets.token_hex(24)
    key = f"-----BEGIN PRIVATE KEY-----\n{mark}\n-----END PRIVATE KEY-----\n"
    with Grid(3) as grid:
        project = grid.project().js("whereami", "exports.handler = () => process.env.TASK_PATH;\n")
        project.write(".git/config", mark).write("sub/.git/HEAD", mark).write("Gridfile", mark).write("Gridfile.old", mark).write("sub/Gridfile", mark)
        project.write("server.key", key).write("keys/tls.pem", key).write("id_rsa", key.replace("PRIVATE", "OPENSSH PRIVATE")).write("notes.txt", key)
        project.write(".gridignore", "secret.txt\n*.log\n/top\n!keep.log\n").write("secret.txt", mark).write("a.log", mark).write("top/x", mark)
        project.write("keep.log", "kept").write("sub/top/y", "kept").write("node_modules/dep/index.js", "exports.x = 1;\n").write("data/file.txt", "kept")
        grid.deploy(project)
        for node in grid.nodes:
            wait_for(lambda: node.invoke("whereami", b"", {"Grid-Node": node.name}).status == 200, "the task answers")
            root = Path(node.invoke("whereami", b"", {"Grid-Node": node.name}).json).parents[1]
            names = {os.path.relpath(os.path.join(folder, name), root) for folder, _, files in os.walk(root) for name in files}
            for kept in ("tasks/whereami.js", "keep.log", "sub/top/y", "node_modules/dep/index.js", "data/file.txt"):
                check_in(kept, names, f"release of {node.name}")
            for secret in (".git/config", "sub/.git/HEAD", "Gridfile", "Gridfile.old", "sub/Gridfile", "secret.txt", "a.log", "top/x", "server.key", "keys/tls.pem",
                           "id_rsa", "notes.txt"):
                check(secret not in names, f"{secret} is in the release of {node.name}")
            held = [p for folder, _, files in os.walk(node.state) for p in (os.path.join(folder, f) for f in files) if mark.encode() in Path(p).read_bytes()]
            check_equal(held, [], f"files of {node.name}'s state that hold a secret")


def test_a_change_restarts_only_what_it_must():
    with Grid(2) as grid:
        project = grid.project().js("a", "exports.handler = () => 'old';\n").js("b", "exports.handler = () => 'b';\n").py("c", "def handler(e, c):\n    return 'c'\n")
        grid.deploy(project)
        before = [pids(node) for node in grid.nodes]
        grid.deploy(project)
        check_equal([pids(node) for node in grid.nodes], before, "pids after a deploy that changes nothing")
        project.js("a", "exports.handler = () => 'new';\n")
        grid.deploy(project)
        for node in grid.nodes:
            wait_for(lambda: {node.invoke("a").json for _ in range(4)} == {"new"}, "the new code answers")
        for old, node in zip(before, grid.nodes):
            new = pids(node)
            check_equal((new["b"], new["c"], new["a"] != old["a"]), (old["b"], old["c"], True), f"which processes of {node.name} are new")
        project.js("d", "exports.handler = () => 'd';\n")
        (project.folder / "tasks/c.py").unlink()
        grid.deploy(project)
        for node in grid.nodes:
            check_equal((node.invoke("d").json, node.invoke("c").status), ("d", 404), "a task that came and one that went")
            wait_for(lambda: set(pids(node)) == {"a", "b", "d"}, "the process of the removed task is gone")
            check_equal(pids(node)["b"], before[grid.nodes.index(node)]["b"], "pid of b")


def runs_in(folder):
    """Whether a process works in the folder, or below it."""
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.readlink(entry / "cwd").startswith(str(folder)):
                return True
        except OSError:
            pass
    return False


def trees_of(node):
    """Inodes of the finished trees, by name."""
    folder = Path(os.path.realpath(node.state)) / "releases"
    return {p.name: p.stat().st_ino for p in folder.iterdir() if not p.is_symlink() and not p.name.startswith(".")}


@once
def test_each_release_of_a_large_project_is_made_of_a_tree_that_stands_free():
    with Grid(1) as grid:
        project, folder = grid.project(), Path(os.path.realpath(grid[0].state)) / "releases"
        for number in range(1100):
            project.write(f"lib/{number % 10}/{number}.txt", f"{number}\n")
        before = {}
        for version in range(4):
            project.js("which", f"exports.handler = () => {version};\n").write(f"lib/{version}/changes", f"{version}\n")
            grid.deploy(project, tasks=["which"])
            wait_for(lambda: grid[0].invoke("which").json == version, "the new version answers")
            root = next(r.root for r in node_rpc(grid[0]).control.ListReleases({}).releases if r.current)
            check(version == 0 or trees_of(grid[0])[root] in before.values(), f"release {version} is a tree of its own: {trees_of(grid[0])[root]}, before {before}")
            wait_for(lambda: any(name != root and not runs_in(folder / name) for name in trees_of(grid[0])), "a tree stands free")
            before = trees_of(grid[0])
            check(version > 0 or set(before) == {root, f"{root}.spare"}, f"after the first release one is made ahead: {before}")
        check(len(before) <= 3, f"trees: {before}")
        diff = subprocess.run(["diff", "-r", str(project.folder), str(folder / root)], capture_output=True, text=True)
        check_equal((diff.stdout, diff.returncode), ("", 0), "the patched tree and the project")


def releases_said(asked, task, at):
    """What each way of calling says of the release that answered, one node asked for another one's answer."""
    rpc, request = node_rpc(asked).invoke, {"task": task, "node": at.name}
    return {asked.invoke(task, headers={"Grid-Node": at.name}).headers["grid-release"], rpc.Call(request).release, list(rpc.CallStream(request))[0].head.release,
            *(a.release for a in rpc.Broadcast({"task": task}) if a.node.name == at.name)}


@once
def test_an_answer_names_the_release_that_gave_it():
    with Grid(2) as grid:
        project = grid.project().js("breaks", "exports.handler = () => 1;\n").js("stays", "exports.handler = () => 1;\n").js("moves", "exports.handler = () => 1;\n")
        grid.deploy(project)
        first = grid[0].invoke("stays").headers["grid-release"]
        project.js("breaks", "throw new Error('cannot start');\n").js("moves", "exports.handler = () => 2;\n")
        grid.deploy(project)
        second = next(r.root for r in node_rpc(grid[0]).control.ListReleases({}).releases if r.current)
        check(first != second, "two releases")
        for asked in grid.nodes:
            for at in grid.nodes:
                wait_for(lambda: asked.invoke("moves", headers={"Grid-Node": at.name}).json == 2, "the new version answers")
                got = {task: releases_said(asked, task, at) for task in ("breaks", "stays", "moves")}
                check_equal(got, {"breaks": {first}, "stays": {second}, "moves": {second}}, f"what {asked.name} says of answers of {at.name}")


def test_a_changed_environment_restarts_the_tasks():
    with Grid(1) as grid:
        project = grid.project().js("env", "exports.handler = () => process.env.WORD;\n")
        grid.deploy(project, env={"WORD": "one"})
        check_equal(grid[0].invoke("env").json, "one", "first")
        grid.deploy(project, env={"WORD": "two"})
        wait_for(lambda: grid[0].invoke("env").json == "two", "the new environment is there")


def test_a_node_counts_as_live_only_with_the_new_environment():
    with Grid(2) as grid:
        project = grid.project().js("env", "exports.handler = () => process.env.WORD;\n")
        grid.deploy(project, env={"WORD": "one"})
        os.kill(grid[1].process.pid, signal.SIGSTOP)
        try:
            config = {"env": [{"key": "WORD", "value": "two"}]}
            came = list(node_rpc(grid[0]).control.Deploy({"directory": str(project), "config": config, "wait_ms": 1000}))
        finally:
            os.kill(grid[1].process.pid, signal.SIGCONT)
        check_equal((came[-1].nodes_live, came[-1].nodes_total), (1, 2), "nodes that run it while one of them stands still")

        def runs():
            return [list(r.nodes) for r in node_rpc(grid[0]).control.ListReleases({}).releases]

        wait_for(lambda: [len(nodes) for nodes in runs()] == [2, 0], "both nodes run the newer of two entries with the same files")


def test_no_call_fails_while_a_release_changes():
    import threading

    with Grid(2) as grid:
        project = grid.project().js("v", "exports.handler = () => 0;\n")
        grid.deploy(project)
        over, bad = threading.Event(), []

        def caller(node):
            while not over.is_set():
                answer = node.invoke("v")
                if answer.status != 200:
                    bad.append(answer)

        threads = [threading.Thread(target=caller, args=(node,)) for node in grid.nodes]
        [t.start() for t in threads]
        try:
            for version in range(1, 4):
                project.js("v", f"exports.handler = () => {version};\n")
                grid.deploy(project)
                for node in grid.nodes:
                    wait_for(lambda: node.invoke("v").json == version, f"version {version} answers")
        finally:
            over.set()
            [t.join() for t in threads]
        check_equal(bad, [], "calls that failed")


@shared
def single():
    grid = Grid(1)
    grid.deploy(grid.project().js("good", "exports.handler = () => 'good';\n"))
    return grid


def refused(answer, *words):
    check_equal((answer.status, answer.json.get("success")), (500, False), f"answer {answer}")
    for word in words:
        check_in(word, answer.json["msg"], "what it says")
    check("\n" not in answer.json["msg"].strip(), f"one sentence: {answer.json['msg']}")
    check_equal(single()[0].invoke("good").json, "good", "the old release still serves")


@once
def test_a_damaged_store_is_said_and_the_next_deploy_mends_it():
    with Grid(1) as grid:
        node = grid[0]
        project = grid.project().program("cecho")
        grid.deploy(project)
        node.kill()
        for segment in (node.state / "store").glob("*.seg"):
            segment.write_bytes(b"\0" * segment.stat().st_size)
        node.start()
        wait_for(lambda: "no node that can be reached has them" in node.text(), "the log says what is lacking")
        grid.deploy(project)
        check_equal(node.invoke("cecho", b"mended").body, b"mended", "the answer after another deploy")


@once
def test_a_project_around_the_state_folder_leaves_it_out():
    with Grid(1) as grid:
        node = grid[0]
        grid.deploy(Project(grid.folder).program("cecho"))
        released = {path.relative_to(node.state / "releases").parts[1:] for path in (node.state / "releases").rglob("*") if path.is_file()}
        check_in(("tasks", "cecho"), released, "the files of the release")
        check_equal([parts for parts in released if "state" in parts], [], "what of the state folder is in the release")


def test_folders_that_cannot_be_deployed_are_named():
    grid = single()
    node, empty = grid[0], grid.folder / "empty"
    empty.mkdir(exist_ok=True)
    refused(node.init(empty), "tasks", str(empty))
    refused(node.init(grid.folder / "absent"), str(grid.folder / "absent"))
    (grid.folder / "plainfile").write_text("x")
    refused(node.init(grid.folder / "plainfile"), "plainfile")
    (empty / "tasks").mkdir(exist_ok=True)
    refused(node.init(empty), "tasks")
    refused(node.init("relative/path"), "relative/path")
    refused(node.init(node.state), str(node.state))
    refused(node.init(empty, task_folder="../../etc"), "../../etc")
    refused(node.init(empty, task_folder="/etc"), "/etc")


def test_two_tasks_of_one_name_are_refused():
    project = single().project().js("same", "exports.handler = () => 1;\n").py("same", "def handler(e, c):\n    return 1\n")
    refused(single()[0].init(project), "same.js", "same.py")


def deploy_warnings(project):
    """Deploys by gRPC; the sentences it warned with."""
    return [p.message for p in node_rpc(single()[0]).control.Deploy({"directory": str(project), "wait_ms": 20000}) if p.phase == "warning"]


def test_links_out_of_the_project_are_left_out_and_named():
    code = "const fs = require('fs');\nexports.handler = () => fs.readdirSync(__dirname + '/..').sort();\n"
    for target in ("/etc/passwd", "../../outside", "sub/../../../outside"):
        project = single().project().js("good", "exports.handler = () => 'good';\n").js("names", code).write("sub/x", "x")
        (project.folder / "way-out").symlink_to(target)
        warnings = deploy_warnings(project)
        check(len(warnings) == 1 and "way-out" in warnings[0], f"warnings for a link to {target}: {warnings}")
        single().wait_ready(["names"])
        check_equal(single()[0].invoke("names").json, ["sub", "tasks"], "what is in the release")


def test_pipes_and_sockets_are_left_out_and_named():
    project = single().project().js("good", "exports.handler = () => 'good';\n")
    os.mkfifo(project.folder / "pipe")
    warnings = deploy_warnings(project)
    check(len(warnings) == 1 and "pipe" in warnings[0], f"warnings: {warnings}")


def test_links_inside_the_project_are_kept():
    with Grid(2) as grid:
        project = grid.project().write("lib/real.js", "module.exports = 'linked';\n").js("link", "exports.handler = () => require('../lib/alias.js');\n")
        (project.folder / "lib/alias.js").symlink_to("real.js")
        grid.deploy(project)
        check_equal({grid[0].invoke("link").json for _ in range(2)}, {"linked"}, "answers")


def test_odd_files_do_no_harm():
    with Grid(2) as grid:
        project = grid.project().js("t", "exports.handler = () => require('fs').readdirSync(__dirname + '/../odd').sort();\n")
        names = ["with space", "ümlaut", "new\nline", "quote'\"", "-dash", "x" * 200]
        for name in names:
            project.write(f"odd/{name}", name)
        project.write("odd/empty", "").write("odd/deep/" + "/".join("d" * 20 for _ in range(30)) + "/f", "deep")
        grid.deploy(project)
        for _ in range(2):
            check_equal(grid[0].invoke("t").json, sorted(names + ["deep", "empty"], key=lambda n: n.encode("utf-16-be")), "names")


def test_large_files_arrive_whole():
    with Grid(3) as grid:
        blob = secrets.token_bytes(20 * 1024 * 1024)
        project = grid.project().write("data.bin", blob).js("sum", """
            const crypto = require('crypto'), fs = require('fs');
            exports.handler = () => crypto.createHash('sha256').update(fs.readFileSync(__dirname + '/../data.bin')).digest('hex');""")
        grid.deploy(project)
        import hashlib

        check_equal({grid[0].invoke("sum").json for _ in range(3)}, {hashlib.sha256(blob).hexdigest()}, "sums on three nodes")


def test_a_node_keeps_its_release_over_a_restart():
    with Grid(1) as grid:
        grid.deploy(grid.project().js("kept", "exports.handler = () => 'kept';\n"))
        check_equal(grid[0].stop(), [], "the first end")
        grid[0].start()
        wait_for(lambda: grid[0].invoke("kept").status == 200, "the task answers after the restart")
        grid[0].kill()
        grid[0].start()
        wait_for(lambda: grid[0].invoke("kept").json == "kept", "the task answers after a crash")


def deploy_stream(node, project, out):
    """Runs Deploy to its end; out gets the status' name, its text, and what came."""
    import grpc

    came = []
    try:
        for progress in node_rpc(node).control.Deploy({"directory": str(project), "wait_ms": 20000}):
            came.append(progress)
        out.append(("OK", "", came))
    except grpc.RpcError as error:
        out.append((error.code().name, error.details(), came))


def text_of(value):
    return value.decode() if isinstance(value, bytes) else value


def test_two_publishers_at_once_have_one_winner_and_both_are_told():
    import threading

    with Grid(3) as grid:
        for attempt in range(3):
            projects = [grid.project().js("who", f"exports.handler = () => '{i} {attempt}';\n") for i in range(2)]
            results = [[], []]
            threads = [threading.Thread(target=deploy_stream, args=(grid[i], projects[i].folder, results[i])) for i in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            outcomes = [r[0] for r in results]
            check("OK" in [o[0] for o in outcomes], f"nobody won: {outcomes}")
            wait_for(lambda: len({node.invoke("who").json for node in grid.nodes for _ in range(3)}) == 1, "one release answers on all nodes")
            runs = text_of(node_rpc(grid[0]).control.ListReleases({}).releases[0].root)
            for status, text, came in outcomes:
                if status != "OK":
                    check_equal(status, "ABORTED", f"how a deploy that lost ended ({text})")
                    check_in(runs[:8], text, "the winner is named")


def test_a_rollback_goes_back_on_every_node():
    with Grid(2) as grid:
        project = grid.project().js("v", "exports.handler = () => 'one';\n")
        grid.deploy(project)
        project.js("v", "exports.handler = () => 'two';\n")
        grid.deploy(project)
        wait_for(lambda: {node.invoke("v").json for node in grid.nodes for _ in range(3)} == {"two"}, "the second release answers")
        check_equal(list(node_rpc(grid[1]).control.Rollback({"wait_ms": 20000}))[-1].nodes_live, 2, "nodes that run the old one")
        wait_for(lambda: {node.invoke("v").json for node in grid.nodes for _ in range(3)} == {"one"}, "the first release answers again")


def test_more_instances_run_when_asked_for():
    with Grid(1) as grid:
        project = grid.project().js("n", "exports.handler = () => process.pid;\n")
        grid.deploy(project, instances=3)
        wait_for(lambda: len({p.pid for p in node_rpc(grid[0]).control.ListProcesses({}).processes}) == 3, "three processes")
        before = {p.pid for p in node_rpc(grid[0]).control.ListProcesses({}).processes}
        grid.deploy(project, instances=2)
        wait_for(lambda: len({p.pid for p in node_rpc(grid[0]).control.ListProcesses({}).processes}) == 2, "two processes")
        check({p.pid for p in node_rpc(grid[0]).control.ListProcesses({}).processes} <= before, "those that stay were not restarted")


def give_away(folder, uid):
    for place, _, names in os.walk(folder):
        for path in [place] + [os.path.join(place, name) for name in names]:
            os.lchown(path, uid, uid)


@once
def test_unreadable_files_are_named():
    """Root reads everything, so that root runs the node as another user."""
    with Grid(1, start=False) as grid:
        node = grid.add(start=False)
        project = grid.project().js("good", "exports.handler = () => 'good';\n").write("locked", "x", 0)
        if os.geteuid() == 0:
            need_user(65534)
            node.user = 65534
            give_away(grid.folder, node.user)
            os.chown(project.folder / "locked", 0, 0)
        node.start()
        answer = node.init(project)
        check_in(answer.status, (403, 500), f"answer {answer}")
        check_in("locked", answer.json["msg"], "what it says")


@contextlib.contextmanager
def small_disk(node, size):
    """The state folder of a node that does not run yet on a file system of its own."""
    if os.geteuid() != 0:
        raise Skip("needs root, to mount a small file system")
    node.state.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", node.state], capture_output=True, text=True)
    if mounted.returncode != 0:
        raise Skip(f"cannot mount a tmpfs here: {mounted.stderr.strip()}")
    try:
        yield
        check_equal(node.stop(), [], "the end")
    finally:
        if node.alive():
            node.stop()
        subprocess.run(["umount", "-l", node.state], capture_output=True)


def fault_of(node):
    return " ".join(text_of(f) for f in node_rpc(node).control.GetNode({}).faults)


@once
def test_a_full_disk_is_said_and_the_old_release_serves():
    with Grid(1, start=False) as grid:
        node = grid.add(start=False)
        with small_disk(node, "12m"):
            node.start()
            grid.deploy(grid.project().js("good", "exports.handler = () => 'good';\n"))
            answer = node.init(grid.project().js("good", "exports.handler = () => 'big';\n").write("big.bin", secrets.token_bytes(30 << 20)))
            check_equal(answer.status, 500, f"answer {answer}")
            check("space" in answer.json["msg"] or "full" in answer.json["msg"], f"what it says: {answer.json['msg']}")
            check_equal(node.invoke("good").json, "good", "the old release")
            grid.deploy(grid.project().js("good", "exports.handler = () => 'small';\n"))
            wait_for(lambda: node.invoke("good").json == "small", "a small release fits afterwards")


@once
def test_a_node_whose_disk_is_full_goes_on_with_the_old_release_and_says_so():
    with Grid(1) as grid:
        roomy, full = grid[0], grid.add(start=False)
        with small_disk(full, "12m"):
            full.start()
            grid.deploy(grid.project().js("good", "exports.handler = () => 'good';\n"))
            project = grid.project().js("good", "exports.handler = () => 'big';\n").write("big.bin", secrets.token_bytes(30 << 20))
            check_equal(roomy.init(project).status, 200, "a deploy where there is room")
            wait_for(lambda: "the disk of the state folder is full" in fault_of(full), "the node without room says so")
            check_equal(full.invoke("good", b"", {"Grid-Node": full.name}).json, "good", "what it goes on with")
            wait_for(lambda: roomy.invoke("good", b"", {"Grid-Node": roomy.name}).json == "big", "the new release where there is room")
            check_equal(roomy.init(grid.project().js("good", "exports.handler = () => 'small';\n")).status, 200, "a small one")
            wait_for(lambda: full.invoke("good", b"", {"Grid-Node": full.name}).json == "small", "the small one where there was no room")
            check_equal(fault_of(full), "", "faults afterwards")
            grid.nodes.remove(full)


def flip_bits(folder):
    """In every record: none is shorter than that."""
    for segment in folder.glob("*.seg"):
        data = bytearray(segment.read_bytes())
        for at in range(40, len(data), 40):
            data[at] ^= 4
        segment.write_bytes(data)


@once
def test_flipped_bits_are_noticed_and_what_they_hit_is_fetched_again():
    with Grid(2) as grid:
        project = grid.project().js("good", "exports.handler = () => 'good';\n").write("big.bin", secrets.token_bytes(4 << 20))
        grid.deploy(project)
        damaged = grid[0]  # whom the third one meets first
        flip_bits(damaged.state / "store")
        grid.add()
        wait_for(lambda: grid[2].invoke("good", b"", {"Grid-Node": grid[2].name}).json == "good", "a third node has the release")
        wait_for(lambda: "what was damaged in the store is whole again" in damaged.text(), "the damaged one has mended its store")
        wait_for(lambda: int(re.search(r"^grid_store_damaged_total (\d+)$", damaged.get("/metrics").text, re.M)[1]) > 0, "it counts what was damaged")
        doctor = damaged.grid("doctor", check_code=1)
        check_in("the disk has damaged", doctor.out + doctor.err, "what the doctor says of it")
        for node in grid.nodes:
            check_equal(node.stop(), [], "the end")
        shutil.rmtree(damaged.state / "releases")
        damaged.start()
        wait_for(lambda: damaged.invoke("good").status == 200, "alone it makes the tree anew from its store")


@once
def test_a_store_keeps_to_its_budget_and_a_node_without_room_says_so():
    with Grid(1, options=["--keep-releases", "2"]) as grid:
        roomy = grid[0]
        small = grid.add(options=["--store-max", "2560KiB", "--keep-releases", "1"])
        project = grid.project().js("good", "exports.handler = () => 'one';\n").write("big.bin", secrets.token_bytes(1 << 20))
        grid.deploy(project)
        project.js("good", "exports.handler = () => 'two';\n").write("big.bin", secrets.token_bytes(3 << 20))
        answer = small.init(project)
        check_equal(answer.status, 500, f"answer {answer}")
        for words in ("of releases already and --store-max allows 2.5 MiB", "--keep-releases"):
            check_in(words, answer.json["msg"], "what it says")
        check_equal(roomy.init(project).status, 200, "a deploy where there is room")
        wait_for(lambda: roomy.invoke("good", b"", {"Grid-Node": roomy.name}).json == "two", "the new release where there is room")
        wait_for(lambda: "--store-max allows" in fault_of(small), "the node without room says so")
        check_equal(small.invoke("good", b"", {"Grid-Node": small.name}).json, "one", "what it goes on with")
        project.js("good", "exports.handler = () => 'three';\n").write("big.bin", secrets.token_bytes(1 << 20))
        check_equal(roomy.init(project).status, 200, "a smaller one")
        for node in grid.nodes:
            wait_for(lambda: node.invoke("good", b"", {"Grid-Node": node.name}).json == "three", "the smaller one on both")
        wait_for(lambda: [len(node_rpc(node).control.ListReleases({}).releases) for node in grid.nodes] == [2, 1], "kept releases")
        check_equal(fault_of(small), "", "faults afterwards")


@once
def test_a_gridfile_of_another_grid_is_refused():
    with Grid(1) as grid:
        other = mint_gridfile(grid.folder / "other", "othergrid")
        same_name = mint_gridfile(grid.folder / "same", grid.name)
        for index, gridfile in enumerate((other, same_name)):
            stranger = Node(grid.folder / f"stranger{index}", f"stranger{index}", gridfile, join=grid[0].listen_text).start()
            try:
                wait_for(lambda: "grid" in stranger.text() and ("authority" in stranger.text() or "certificate" in stranger.text()), "the stranger says why it is not let in")
                check_equal((len(stranger.hosts()), len(grid[0].hosts())), (1, 1), "hosts each of them sees")
                check(stranger.alive() and grid[0].alive(), "both go on")
            finally:
                check_equal(stranger.close(), [], "the stranger's end")
