"""Clients nobody here wrote, against a grid of three nodes. Run by tests/interop/run."""

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import zoo
from gridtest import BIN, ROOT, Failure, Grid, check, check_equal, check_in, grid_command, shared, wait_for

HERE = ROOT / "tests" / "interop"
ECHO = "exports.handler = (event) => event;\nexports.env = () => process.env.WORD;\n"


def make_project(grid):
    return grid.project().js("echo", ECHO).js("faults", zoo.FAULTS_JS).py("pyecho", "def handler(event, context):\n    return event\n")


@shared
def three():
    grid = Grid(3)
    grid.deploy(make_project(grid))
    return grid


def run_command(command, what, timeout_s=90, **options):
    done = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, **options)
    if done.returncode != 0:
        raise Failure(f"{what} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def node_script(script, case, api, *args):
    # Debian's Node.js resolves localhost to ::1 first; the test's node listens on 127.0.0.1 alone.
    env = dict(os.environ, NODE_OPTIONS="--dns-result-order=ipv4first", NODE_NO_WARNINGS="1", AWS_EC2_METADATA_DISABLED="true")
    return run_command(["node", HERE / script, case, api, *args], f"{script} {case}", env=env)


# ---- npm's grid-api ---------------------------------------------------------------------------------------------------------------


@shared
def driven():
    """Three nodes whose release npm's grid-api deploys."""
    grid = Grid(3)
    node_script("grid_api.js", "init", grid[0].api_text, make_project(grid))
    grid.wait_ready(["echo", "faults", "pyecho"])
    return grid


def test_grid_api_init_deploys_to_every_node():
    for node in driven().nodes:
        check_equal(len(node.get("/tasks/list").json), 3, f"tasks of {node.name}")


def test_grid_api_sees_answers_of_all_three_nodes():
    node_script("grid_api.js", "three nodes answer", driven()[0].api_text)
    node_script("grid_api.js", "three nodes answer", driven()[2].api_text)


def test_grid_api_calls_python():
    node_script("grid_api.js", "python tasks answer", driven()[0].api_text)


def test_grid_api_sends_strings_and_nothing():
    node_script("grid_api.js", "strings and nothing pass", driven()[0].api_text)


def test_grid_api_sets_the_environment():
    node_script("grid_api.js", "env is set", driven()[1].api_text)


def test_grid_api_gets_errors():
    node_script("grid_api.js", "errors come as errors", driven()[0].api_text)


def test_grid_api_broadcast_ends():
    node_script("grid_api.js", "broadcast", driven()[0].api_text)


def test_grid_api_lists():
    node_script("grid_api.js", "lists", driven()[0].api_text)


def test_grid_api_stop_tasks_clears():
    node_script("grid_api.js", "stop", driven()[0].api_text)
    wait_for(lambda: not driven()[0].task_pids(), "no process is left")


# ---- @grpc/grpc-js and its companions --------------------------------------------------------------------------------------------------


def grpc_js(case):
    node_script("grpc_js.js", case, three()[0].api_text)


def test_grpc_js_unary():
    grpc_js("unary")


def test_grpc_js_streaming():
    grpc_js("streaming")


def test_grpc_js_broadcast():
    grpc_js("broadcast")


def test_grpc_js_faults():
    grpc_js("faults")


def test_grpc_js_deadline():
    grpc_js("deadline")


def test_grpc_js_cancellation():
    grpc_js("cancellation")


def test_grpc_js_gzip():
    grpc_js("gzip compression")


def test_grpc_js_many_streams():
    grpc_js("many streams at once")


def test_grpc_js_metadata():
    grpc_js("metadata comes back")


def test_grpc_js_reflection_client():
    grpc_js("reflection")


def test_grpc_health_check():
    grpc_js("health")


# ---- buf ---------------------------------------------------------------------------------------------------------------------------


def buf():
    return next((HERE / "node_modules/@bufbuild").glob("buf-linux-*/bin/buf"))


def buf_curl(method, data, *more):
    # An empty cache folder of the test's own; the schema comes from the node's reflection.
    env = dict(os.environ, BUF_CACHE_DIR=str(three().folder / "buf"), HOME=str(three().folder))
    url = f"http://{three()[0].api_text}/{method}"
    return run_command([buf(), "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--data", json.dumps(data), *more, url],
                       "buf curl", env=env, cwd=three().folder)


def test_buf_curl_calls_by_reflection():
    for protocol in ("grpc-v1", "grpc-v1alpha"):
        answer = json.loads(buf_curl("grid.v1.Invoke/Call", {"task": "echo", "json": '{"a":1}'}, "--reflect-protocol", protocol))
        check_equal((json.loads(answer["json"]), answer["status"]), ({"a": 1}, 200), f"answer with {protocol}")


def test_buf_curl_streams():
    text = buf_curl("grid.v1.Invoke/Broadcast", {"task": "echo", "json": "1"})
    check_equal(text.count('"requestId"'), 3, f"answers: {text}")


def tls_files():
    """The folder with the files of a client of the role invoke."""
    folder = three().folder / "certs"
    if not folder.exists():
        grid_command("cert", "issue", "invoke", "--out", "certs", cwd=three().folder, check_code=0)
    return folder


def test_buf_curl_calls_with_a_client_certificate():
    folder, port = tls_files(), three()[1].listen[1]
    env = dict(os.environ, BUF_CACHE_DIR=str(three().folder / "buf"), HOME=str(three().folder))
    text = run_command([buf(), "curl", "--protocol", "grpc", "--cacert", folder / "ca.crt", "--cert", folder / "invoke.crt", "--key", folder / "invoke.key",
                        "--data", '{"task":"echo","json":"7"}', f"https://127.0.0.1:{port}/grid.v1.Invoke/Call"], "buf curl", env=env, cwd=three().folder)
    check_equal(json.loads(text)["json"], "7", "answer")


def test_grpc_js_calls_with_a_client_certificate():
    node_script("grpc_js.js", "a client certificate", f"localhost:{three()[2].listen[1]}", tls_files())


def test_buf_curl_shows_faults():
    try:
        buf_curl("grid.v1.Invoke/Call", {"task": "absent", "json": "1"})
    except Failure as failure:
        check_in("not_found", str(failure), "what buf says")
        return
    raise Failure("an unknown task gave an answer")


def test_buf_lists_services_and_methods():
    text = run_command([buf(), "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--list-methods", f"http://{three()[0].api_text}"], "buf curl",
                       env=dict(os.environ, HOME=str(three().folder)), cwd=three().folder)
    check_in("grid.v1.Invoke/Call", text, "methods")


# ---- @aws-sdk/client-lambda ----------------------------------------------------------------------------------------------------------


def test_aws_sdk_request_response():
    node_script("lambda.js", "request and response", three()[0].api_text)


def test_aws_sdk_function_error():
    node_script("lambda.js", "function error", three()[0].api_text)


def test_aws_sdk_calls_with_a_client_certificate():
    node_script("lambda.js", "a client certificate", f"localhost:{three()[0].listen[1]}", tls_files())


def test_aws_sdk_dry_run():
    node_script("lambda.js", "dry run", three()[0].api_text)


def test_aws_sdk_service_errors():
    node_script("lambda.js", "service errors", three()[0].api_text)


def test_aws_sdk_arns():
    node_script("lambda.js", "names as ARNs", three()[0].api_text)


# ---- the standard gRPC interoperability client, as Debian's ruby-grpc carries it ------------------------------------------------------------

CASES = ["empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream", "cancel_after_begin", "cancel_after_first_response",
         "timeout_on_sleeping_server", "status_code_and_message", "custom_metadata", "unimplemented_method", "unimplemented_service", "client_compressed_unary",
         "client_compressed_streaming"]


class InteropServer:
    """The test build of the project's gRPC server that serves grpc.testing.TestService."""

    def __init__(self, folder):
        self.log = Path(folder) / "interop_server.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([BIN / "grpc_interop_server", "--port", "0"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.port = wait_for(self.find_port, f"the interop server says its port ({self.log})")

    def find_port(self):
        check(self.process.poll() is None, f"the interop server ended with {self.process.poll()}: {self.log.read_text()}")
        found = re.search(r"(?:port |:)(\d{4,5})\b", self.log.read_text())
        return found and int(found[1])

    def close(self):
        self.process.terminate()
        code = self.process.wait(20)
        text = self.log.read_text(errors="replace")
        check(code in (0, -15) and "Sanitizer" not in text, f"the interop server ended with {code}: {text[-3000:]}")


def ruby_client():
    listed = run_command(["dpkg", "-L", "ruby-grpc"], "dpkg").splitlines()
    return next(path for path in listed if path.endswith("src/ruby/pb/test/client.rb"))


def run_ruby(case):
    check((BIN / "grpc_interop_server").exists(), f"{BIN}/grpc_interop_server is missing: build it first")
    command = ["ruby", "-W0", ruby_client(), "--server_host=127.0.0.1", f"--test_case={case}", "--use_tls=false"]
    with tempfile.TemporaryDirectory(prefix="gridtest-") as folder:
        server = InteropServer(folder)
        try:
            check_in(f"OK: {case}", run_command([*command, f"--server_port={server.port}"], f"ruby {case}"), "what the client says")
        finally:
            server.close()


def ruby_test(case):
    def test():
        run_ruby(case)

    return test


for _case in CASES:
    globals()[f"test_ruby_interop_{_case}"] = ruby_test(_case)
