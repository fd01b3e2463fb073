"""The unit that is installed, and the commands of docs/service.md: as they stand there, with a folder of the test's own for /etc/gridcontrol."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from gridtest import BIN, PRESET, ROOT, Grid, Node, Project, Skip, check, check_equal, clean_environment, once, wait_for, why_no_isolation

UNIT = ROOT / "deploy" / "systemd" / "gridd.service"


def setting(name, unit=None):
    """A setting's value; of one given twice the last."""
    return re.findall(rf"^{name}=(.*)$", (unit or UNIT).read_text(), re.M)[-1]


def commands_of(heading):
    """The commands below a heading of docs/service.md."""
    page = (ROOT / "docs" / "service.md").read_text()
    section = re.search(rf"^## [^\n]*{heading}[^\n]*\n(.*?)(?=^## |\Z)", page, re.M | re.S).group(1)
    return "".join(re.findall(r"^```sh\n(.*?)^```$", section, re.M | re.S))


def run_commands(script, folder):
    """Runs them with `folder` for /etc/gridcontrol; fails with what they said."""
    env = clean_environment(folder, {"PATH": f"{BIN}:{os.environ['PATH']}", "GRID_STATE": f"{folder}/state"})
    done = subprocess.run(["bash", "-exuc", script.replace("/etc/gridcontrol", str(folder))], cwd=folder, env=env, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    check_equal(done.returncode, 0, f"{script}\n{done.stdout}{done.stderr}")
    return done.stdout


class Manager:
    """What systemd is to the node: a socket that hears how it is, its folder, its options and the rights that the unit leaves it."""

    def __init__(self, node):
        self.node, self.heard = node, []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(node.folder / "notify"))
        self.socket.settimeout(0.1)
        node.env["NOTIFY_SOCKET"] = str(node.folder / "notify")
        node.env.update(line.split("=", 1) for line in (node.folder / "gridd.env").read_text().splitlines())
        node.arguments = lambda: [setting("ExecStart").replace("/usr/local/bin", str(BIN))]
        if os.geteuid() == 0:
            kept = ",".join("+" + name.lower().removeprefix("cap_") for name in setting("CapabilityBoundingSet").split())
            node.prefix = ["setpriv", "--bounding-set", "-all," + kept]

    def hears(self, text):
        try:
            self.heard.append(self.socket.recv(4096).decode())
        except TimeoutError:
            pass
        return text in self.heard

    def reload(self):
        command = setting("ExecReload").replace("$MAINPID", str(self.node.process.pid))
        subprocess.run(command.split(), check=True)


def set_up(folder):
    """Steps 2 and 3 of the document, with ports of the kernel's choice."""
    folder.mkdir(mode=0o700)
    run_commands(commands_of("2. Who belongs") + commands_of("3. Options"), folder)
    node = Node(folder, "server1")
    with open(folder / "gridd.env", "a") as options:
        options.write(f"GRID_STATE={node.state}\nGRID_API=127.0.0.1:0\nGRID_LISTEN=127.0.0.1:0\nGRID_API_SOCKET={node.socket}\n"
                      f"GRID_TASK_PORTS={node.ports.first}\nGRID_READY_FILE={folder}/ready\nGRID_LOG_FORMAT=json\nGRID_CONFIG={folder}/more.toml\n")
    (folder / "more.toml").write_text('log-level = "info"\n')
    return node


@once
def test_the_units_command_starts_a_node_that_runs_tasks_and_tells_the_service_manager():
    with Grid(0) as grid:
        node = set_up(grid.folder / "server1")
        grid.nodes.append(node)
        manager = Manager(node)
        node.start()
        wait_for(lambda: manager.hears("READY=1"), "the service manager hears that the node is ready")
        check_equal(node.info["grid"], "shop", "the Gridfile in the unit's working folder is read")
        project = Project(grid.folder / "project").js("who", "exports.handler = () => ({uid: process.getuid()});\n")
        project.py("data", "import os\ndef handler(event, context):\n    open(os.environ['GRID_DATA_DIR'] + '/x', 'w').close()\n    return 'written'\n")
        node.grid("deploy", project, check_code=0)
        uid = node.invoke("who").json["uid"]
        check(uid != 0 or os.geteuid() != 0 or why_no_isolation(), "the task runs as root")
        check_equal(node.invoke("data").json, "written", "what a task that writes answers")
        (node.folder / "more.toml").write_text('log-level = "debug"\n')
        manager.reload()
        wait_for(lambda: '"reloaded"' in node.text(), "the node reads its options again")
        check_equal(node.stop(), [], "how the node ends")
        wait_for(lambda: manager.hears("STOPPING=1"), "the service manager hears that the node stops")


@once
def test_the_unit_is_installed_with_its_prefix_and_systemd_takes_it():
    if not shutil.which("systemd-analyze"):
        raise Skip("there is no systemd-analyze")
    with tempfile.TemporaryDirectory() as prefix:
        subprocess.run(["cmake", "--install", ROOT / "build" / PRESET, "--prefix", prefix], check=True, stdout=subprocess.DEVNULL)
        unit = Path(prefix, "lib/systemd/system/gridd.service")
        program = setting("ExecStart", unit)
        check_equal(program, f"{prefix}/bin/gridd", "the program that the unit starts")
        check(os.access(program, os.X_OK), f"{program} is not installed")
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
        faults = [line for line in done.stderr.splitlines() if "gridd.service" in line]
        check_equal((done.returncode, faults), (0, []), "what systemd finds at fault")


def libraries_of(program):
    linked = subprocess.run(["readelf", "-d", program], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"\(NEEDED\).*\[(.*)\]", linked))


@once
def test_the_packages_for_servers_are_those_of_the_libraries_that_the_programs_are_linked_with():
    if not shutil.which("dpkg"):
        raise Skip("this is no Debian")
    listed = set(re.search(r"^run=\((.*?)\)", (ROOT / "deploy" / "install-deps").read_text(), re.M | re.S).group(1).split()) | {"libc6"}
    needed = set().union(*map(libraries_of, (BIN / "gridd", BIN / "grid", BIN.parent / "lib" / "libgridcontrol.so", BIN / "grid-task-exec")))
    needed = {name for name in needed if not re.match(r"lib(asan|ubsan|tsan|gridcontrol|gcc_s)\.", name)}
    found = subprocess.run(["dpkg", "-S", *(f"*/{name}" for name in needed)], capture_output=True, text=True).stdout
    owners = {(path.rsplit("/", 1)[-1], package) for package, path in re.findall(r"^([^:\s]+):[^/\n]*(/.*)$", found, re.M)}
    for name in sorted(needed):
        check(any((name, package) in owners for package in listed), f"{name} is linked with, and no package of install-deps --run has it")
