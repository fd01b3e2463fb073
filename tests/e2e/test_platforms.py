"""Tasks for some platforms: a node runs what fits it, sends calls for the rest to nodes that run it, and says why it does not. Another platform is played by a node
that is told another machine type by its kernel (setarch)."""

import json
import platform

from gridtest import Grid, Skip, check_equal, check_in, node_rpc, once, wait_for

OTHER = "linux-ia32"  # what a kernel of PER_LINUX32 says on x86_64


def need_two_platforms():
    if platform.machine() != "x86_64":
        raise Skip("only an x86_64 kernel plays another platform here")


def deployed(grid, project):
    """The last words of a deploy that waits for the tasks, and its warnings."""
    told = list(node_rpc(grid[0]).control.Deploy({"directory": str(project), "watch_tasks": True, "wait_ms": 30000}))
    check_equal((told[-1].phase, told[-1].nodes_live), ("done", len(grid.nodes)), "the end of the deploy")
    return [t.message for t in told if t.phase == "warning"]


def statuses(node):
    return {t.name: t.status for t in node_rpc(node).control.ListTasks({}).tasks}


def answer(node, task, at=None):
    return node.invoke(task, headers={"Grid-Node": at.name} if at else {})


@once
def test_a_node_runs_what_fits_its_platform_and_says_why_it_does_not_run_the_rest():
    need_two_platforms()
    says = "exports.handler = () => {!r};\n"
    with Grid(1) as grid:
        grid.add(start=False).prefix = ["setarch", "i686"]
        grid[1].start()
        grid.wait_linked()
        project = grid.project().js("both", says.format("any")).js(f"both@{OTHER}", says.format("other"))
        project.js(f"there@{OTHER}", says.format("there")).js("here@linux-x64", says.format("here")).js("none@linux-riscv64", says.format("none"))
        project.js("listed", says.format("listed")).write("tasks/tasks.toml", f'[listed]\nplatforms = ["linux-riscv64", "{OTHER}"]\n')
        why = "it is for linux-riscv64, and this node is linux-x64"
        check_equal(deployed(grid, project), [f"the task none runs nowhere: {why}, as no other node is of that platform either"], "warnings")
        check_equal([statuses(n) for n in grid.nodes], [{"both": "online", "here": "online", "listed": "elsewhere", "none": "elsewhere", "there": "elsewhere"},
                                                        {"both": "online", "here": "elsewhere", "listed": "online", "none": "elsewhere", "there": "online"}], "what the nodes say of the tasks")
        check_equal([answer(grid[0], "both", n).json for n in grid.nodes], ["any", "other"], "each node's own file of a task")
        check_equal([answer(n, t).json for n in grid.nodes for t in ("here", "there", "listed")], ["here", "there", "listed"] * 2, "either task from either node")
        refused = answer(grid[0], "there", grid[0])
        check_equal((refused.status, refused.json["error"]["code"]), (404, "NOT_FOUND"), "asked for where it does not run")
        check_in(why, answer(grid[0], "none").text, "a call of what runs nowhere")
        check_in(why, grid[0].grid("tasks", check_code=0).out, "grid tasks")
        check_in(f"it is for linux-riscv64 and {OTHER}, and this node is linux-x64", grid[0].grid("tasks", check_code=0).out, "grid tasks of what tasks.toml says")
        shown = {p["task"]: p for p in json.loads(grid[0].grid("ps", "--json", check_code=0).out)}
        check_equal((shown["none"]["status"], shown["none"]["reason"]), ("elsewhere", why), "grid ps")
        check_equal(sorted(t["task_id"] for t in grid[0].get("/tasks/list").json), ["both", "here"], "the original's list, of this node's tasks")


@once
def test_a_file_for_another_platform_restarts_nothing_here():
    need_two_platforms()
    with Grid(1) as grid:
        project = grid.project().js("a", "exports.handler = () => process.pid;\n").js(f"a@{OTHER}", "exports.handler = () => 1;\n")
        deployed(grid, project)
        before = answer(grid[0], "a").json
        deployed(grid, project.js(f"a@{OTHER}", "exports.handler = () => 2;\n"))
        check_equal(answer(grid[0], "a").json, before, "the process after another platform's file has changed")
        deployed(grid, project.write("tasks/tasks.toml", '[a]\nplatforms = ["linux-x64", "linux-arm64"]\n'))
        check_equal(answer(grid[0], "a").json, before, "the process after tasks.toml says that it runs here")
        refused = grid[0].grid("deploy", project.write("tasks/tasks.toml", '[a]\nplatform = ["linux-x64"]\n'), check_code=1)
        check_in('tasks.toml, line 2: "platform" is nothing that can be said of a task', refused.err, "what a mistyped key gets")
        (project.folder / "tasks/tasks.toml").unlink()
        deployed(grid, project.js("a@linux-x64", "exports.handler = () => 'own';\n"))
        wait_for(lambda: answer(grid[0], "a").json == "own", "the platform's own file is run once there is one")
