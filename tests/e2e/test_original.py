"""The original's routes, in the shapes that its clients rely on."""

import json
import threading
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import zoo
from gridtest import Grid, check, check_equal, check_in, node_rpc, once, shared, wait_for

HOST_FIELDS = {"public_ip", "private_ip", "api_port", "name", "hostname", "platform", "ns", "user", "grid_version", "uptime", "synchronized"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
EXACT = [b'{"a":0.1}', b'{"a":1e2}', b'{"a":12345678901234567890}', rb'{"a":"\u00e9\/\n"}', b'[1.0,-0,1E+2]']


@shared
def three():
    grid = Grid(3)
    grid.deploy(zoo.everything(grid.project().folder))
    return grid


def trigger_form(node, text):
    answer = node.http("POST", "/tasks/lb_trigger_single", text, FORM)
    check_equal(answer.status, 200, f"status for {text}")
    return answer.json


def json_objects(text):
    """Objects that stand one after the other."""
    decoder, found = json.JSONDecoder(), []
    while text.strip():
        value, end = decoder.raw_decode(text.lstrip())
        found.append(value)
        text = text.lstrip()[end:]
    return found


def test_ping_is_pong():
    for node in three().nodes:
        answer = node.get("/ping")
        check_equal((answer.status, answer.text.strip()), (200, "pong"), "ping")


def test_hosts_have_the_original_fields():
    for host in three()[0].hosts():
        check(HOST_FIELDS <= set(host), f"fields missing of a host: {HOST_FIELDS - set(host)}")
        check(host["synchronized"] is True, "synchronized")
        check(isinstance(host["api_port"], int), "api_port is a number")
    own = [h for h in three()[0].hosts() if h.get("local") is True]
    check_equal([h["api_port"] for h in own], [three()[0].api[1]], "api_port of the local host")


def test_init_answers_an_object_by_task_name():
    with Grid(1) as grid:
        project = grid.project().js("one", "exports.handler = () => 1;\n").py("two", "def handler(e, c):\n    return 2\n")
        answer = grid.deploy(project)
        check_equal(sorted(answer), ["one", "two"], "tasks")
        for name, task in answer.items():
            check(set(task) >= {"port", "task_id", "pm2_name", "path"}, f"fields of {name}: {task}")
            check_equal(task["pm2_name"], f"task:{name}", "pm2_name")
            check(isinstance(task["port"], int), "port is a number")
        form = urllib.parse.urlencode({"base_folder": str(project), "task_folder": "tasks", "instances": "1", "env[A]": "b"})
        answer = grid[0].http("POST", "/tasks/init", form, FORM)
        check_equal((answer.status, sorted(answer.json)), (200, ["one", "two"]), "init by form")


def test_instances_zero_starts_one():
    with Grid(1) as grid:
        grid.deploy(grid.project().js("t", "exports.handler = () => process.env.A;\n"), instances=0, env={"A": "b"})
        check_equal(len(grid[0].task_pids()), 1, "processes")
        check_equal(grid[0].invoke("t").json, "b", "the project's environment")


def test_instances_out_of_range_are_refused_in_words():
    import grpc

    with Grid(1) as grid:
        node, project = grid[0], grid.project().program("t")
        for value in (1025, -1, 2.5, True, "many", "1025", 4294967297):
            answer = node.init(project, instances=value)
            check_equal((answer.status, answer.json["success"]), (500, False), f"init with instances {value!r}")
            for words in ("instances is", str(value).lower(), "0 to 1024"):
                check_in(words, answer.json["msg"], "what it says")
        check_equal(node.get("/tasks/list").json, [], "tasks after refusals")
        try:
            list(node_rpc(node).control.Deploy({"directory": str(project), "config": {"instances": 1025}}))
            check(False, "Deploy took 1025 instances")
        except grpc.RpcError as error:
            check_equal((error.code().name, "1025" in error.details(), "0 to 1024" in error.details()), ("INVALID_ARGUMENT", True, True), error.details())
        for value in ("1025", "-1", "many"):
            done = node.grid("deploy", str(project), "--instances", value)
            check_equal(done.returncode, 2, f"exit code of grid deploy --instances {value}")
            for words in ("--instances", value, "1024"):
                check_in(words, done.stderr.decode(), "what it says")
        for value in (None, "", 0, "0"):
            check_equal(node.init(project, instances=value).status, 200, f"init with instances {value!r}")


def test_list_stats_and_conf():
    node = three()[0]
    listed = node.get("/tasks/list").json
    check(isinstance(listed, list) and len(listed) == 10, f"/tasks/list: {listed}")
    check_equal(node.get("/tasks/processing").json, [], "processing")
    check_equal(sorted(node.get("/tasks/stats").json["cecho"]), ["errors", "invokations", "remote_invok", "success"], "fields of stats")
    conf = node.get("/conf").json
    check_equal((conf["name"], conf["grid"]), ("node1", "testgrid"), "name and grid in /conf")
    check_equal((conf["workers"].isdigit(), conf["task-ports"].isdigit()), (True, True), "numbers in /conf that nobody gave")
    check("PRIVATE KEY" not in node.get("/conf").text, "/conf shows a secret")


def test_single_trigger_visits_every_node_and_names_the_server():
    names = [three()[0].trigger("cecho", {"i": i})["server"]["name"] for i in range(9)]
    check_equal(sorted(names), sorted(["node1", "node2", "node3"] * 3), "servers")


def test_single_trigger_merges_an_object_into_its_answer():
    answer = three()[0].trigger("cecho", {"x": 1, "server": "mine"})
    check_equal((answer["err"], answer["data"], answer["x"]), (None, {"x": 1, "server": "mine"}, 1), "answer")
    check_in("name", answer["server"], "server is ours")
    answer = three()[0].trigger("cecho", {"err": "e", "other": 1})
    check("other" not in answer, f"an object that has `err` is not merged: {answer}")
    check_equal(answer["data"], {"err": "e", "other": 1}, "data")
    check_equal(set(three()[0].trigger("cecho", [1, 2])), {"err", "data", "server"}, "keys for an array")


def test_single_trigger_passes_json_byte_for_byte():
    for text in EXACT:
        for _ in range(3):
            body = b'{"task_id":"cecho","data":' + text + b"}"
            answer = three()[0].http("POST", "/tasks/lb_trigger_single", body, JSON)
            check(b'"data":' + text in answer.body or b'"data": ' + text in answer.body, f"{text} came back as {answer.body[:200]}")


def test_forms_use_nested_brackets():
    text = "task_id=jsecho&data%5Bname%5D=yey&data%5Bnested%5D%5Ba%5D%5B0%5D=1&data%5Bnul%5D=&opts%5Btimeout%5D=5000"
    check_equal(trigger_form(three()[0], text)["data"], {"name": "yey", "nested": {"a": ["1"]}, "nul": ""}, "nested form")
    check_equal(trigger_form(three()[0], "task_id=jsecho&data=plain%20str")["data"], "plain str", "a string")
    check_equal(trigger_form(three()[0], "task_id=jsecho&data=")["err"], None, "no data")
    check_equal(trigger_form(three()[0], "task_id=jsecho.handler&data=x%2By+z")["data"], "x+y z", "escapes")


def test_malformed_forms_never_crash():
    for text in ("", "&&&", "=", "task_id", "task_id=%", "task_id=%zz", "task_id=jsecho&data[", "task_id=jsecho&data]=1", "task_id=jsecho&data[a]=1&data=2",
                 "task_id=jsecho&data[__proto__][x]=1", "task_id=jsecho&" + "data" + "[a]" * 5000 + "=1", "task_id=jsecho&data[99999999999]=1",
                 "&".join(f"data[{i}]=1" for i in range(20000)), "task_id=jsecho&data[a][]=1&data[a][]=2"):
        answer = three()[0].http("POST", "/tasks/lb_trigger_single", text, FORM)
        check_in(answer.status, (200, 400, 413), f"status for {text[:60]}")
    check_equal(three()[0].get("/ping").status, 200, "afterwards")


def test_malformed_json_is_said_to_be_so():
    for text in ("", "{", "[]", "nul", '{"task_id": 5}', '{"task_id":"jsecho","data":}', '{"task_id":"jsecho"} x', "\0", "[" * 100000, '{"task_id":"\\ud800"}', b"\xff\xfe"):
        answer = three()[0].http("POST", "/tasks/lb_trigger_single", text, JSON)
        check_in(answer.status, (200, 400), f"status for {text[:40]}")
        if answer.status == 200:
            check(answer.json["err"], f"an error for {text[:40]}: {answer.json}")
        answer = three()[0].http("POST", "/tasks/init", text, JSON)
        check_in(answer.status, (400, 500), f"status of init for {text[:40]}")


def test_options_that_make_no_sense_are_refused_in_words():
    node = three()[0]
    for value in (0, None, "", "5000", 5000):
        check_equal(node.trigger("cecho", 1, {"timeout": value})["err"], None, f"opts.timeout {value!r}")
    for value, shown in ((-5, "-5"), (1.5, "1.5"), ("abc", '"abc"'), ("-1", '"-1"'), (True, "true"), (10**12, "1000000000000"), ([1], "[1]")):
        error = node.trigger("cecho", 1, {"timeout": value})["err"]
        check_equal(error["code"], "INVALID_ARGUMENT", f"opts.timeout {value!r}")
        check_in("opts.timeout is " + shown, error["message"], "what it says")
    spoilt = node.http("POST", "/tasks/lb_trigger_single", ('{"task_id":"cecho","opts":{"timeout":"' + "é" * 60 + '"}}').encode(), JSON)
    check_in('opts.timeout is "éé', spoilt.json["err"]["message"], "what is cut inside a character")
    check_in("opts is no object", node.trigger("cecho", 1, "soon")["err"]["message"], "opts that are none")
    check_in("opts.timeout", trigger_form(node, "task_id=cecho&opts%5Btimeout%5D=abc")["err"]["message"], "the same as a form")
    for body, words in ((b'{"task_id":5}', "task_id is 5"), (b'{"task_id":"a\\u0000b"}', "NUL"), (b'{"task_id":".hidden"}', "before the dot"), (b'{"task_id":null}', "task_id is missing")):
        check_in(words, node.http("POST", "/tasks/lb_trigger_single", body, JSON).json["err"]["message"], f"what {body} gets")
    for env, words in (([1], "env is no object"), ("A=b", "env is no object"), ({f"V{i}": "" for i in range(513)}, "512 variables")):
        refused = node.http("POST", "/tasks/init", json.dumps({"base_folder": "/nowhere", "env": env}), JSON)
        check_equal((refused.status, refused.json["success"]), (500, False), f"init with env {str(env)[:40]}")
        check_in(words, refused.json["msg"], "what it says")


def test_errors_have_the_original_words():
    node = three()[0]
    answer = node.trigger("nosuchtask")
    check_equal(answer["err"]["message"], "Task file nosuchtask does not exists", "unknown task")
    check_in("is not defined in file", json.dumps(node.trigger("faults.absent")["err"]), "handler that the file lacks")
    check_in("is not a function in file", json.dumps(node.trigger("faults.nofunction")["err"]), "handler that is no function")
    check_equal(node.trigger("faults.text")["err"], "just a string", "a string stays a string")
    error = node.trigger("faults.throws")["err"]
    check_equal((error["name"], error["message"]), ("TypeError", "thrown on purpose"), "an Error")
    check_in("stack", error, "fields of err")
    answer = node.trigger("faults.slow", {"ms": 20000}, {"timeout": 300})
    check_equal(answer["err"]["code"], "ETIMEDOUT", "a timeout")
    late = [node.trigger("faults.slow", {"ms": 20000}, {"timeout": 200}) for _ in range(3)]
    check_equal([o["err"]["message"] for o in late], ["the task faults did not answer within 200 ms"] * 3, "what timeouts say, near and far")
    check_equal(sorted(o["server"]["name"] for o in late), ["node1", "node2", "node3"], "the server of a call that came to nothing")
    for task in ("faults.exits", "raw"):
        check(node.trigger(task, {"die": True})["err"], f"{task}: an error for a task that dies")


def test_a_task_that_cannot_start_is_said_within_five_seconds():
    with Grid(1) as grid:
        grid.deploy(zoo.broken(grid.project()), wait=False)
        started = time.monotonic()
        message = grid[0].trigger("crashes")["err"]["message"]
        check(message.startswith("Cannot request crashes"), message)
        check(time.monotonic() - started < 7, "it took longer than 5 s")


def test_a_task_that_cannot_start_is_said_of_every_node_in_time():
    """Calls aimed at one node, from wherever they come: the remote one's fault comes with its record."""
    with Grid(2) as grid:
        grid.deploy(zoo.broken(grid.project()), wait=False)
        wait_for(lambda: all([bool(h.release) and h.synchronized for h in node_rpc(n).control.ListNodes({}).nodes] == [True, True] for n in grid.nodes),
                 "both nodes run the release")
        started = time.monotonic()
        with ThreadPoolExecutor() as pool:
            every = pool.submit(lambda: [m.error.message for m in node_rpc(grid[1]).invoke.Broadcast({"task": "crashes"}, timeout=30)])
            remote = pool.submit(grid[0].http, "POST", "/tasks/lb_trigger_all", json.dumps({"task_id": "crashes"}), JSON)
            pinned = pool.submit(grid[0].invoke, "crashes", b"{}", {"Grid-Node": "node2", "Grid-Timeout-Ms": "30000"}).result()
        answers = json_objects(remote.result().text)
        check_equal([o["server"]["name"] for o in answers], ["node2"], "who answers lb_trigger_all")
        check_equal(pinned.status, 503, "a call pinned to node2")
        told = every.result() + [answers[0]["err"]["message"], pinned.json["error"]["message"]]
        check_equal(len(told), 4, "answers, two of them to Broadcast")
        check(all(m.startswith("Cannot request crashes") for m in told), told)
        check(time.monotonic() - started < 7, "it took longer than 5 s")


def test_trigger_all_asks_the_remote_nodes():
    for body, headers in ((json.dumps({"task_id": "jsecho", "data": {"a": 1}}), JSON), ("task_id=jsecho&data%5Ba%5D=1", FORM)):
        answer = three()[0].http("POST", "/tasks/lb_trigger_all", body, headers)
        found = json_objects(answer.text)
        check_equal(sorted(o["server"]["name"] for o in found), ["node2", "node3"], "servers")
        check(all(str(o["data"]["a"]) == "1" and o["err"] is None for o in found), f"answers: {found}")
        check_equal(answer.headers.get("transfer-encoding"), "chunked", "Transfer-Encoding")


def test_trigger_all_without_a_task_says_so():
    for body, headers in (("", {}), ("", FORM), ("{}", JSON)):
        answer = three()[0].http("POST", "/tasks/lb_trigger_all", body, headers)
        found = json_objects(answer.text)
        check_equal((answer.status, len(found)), (200, 1), "one object")
        check_in("task_id", json.dumps(found[0]["err"]), "what it says")


def test_processing_lists_a_call_while_it_runs():
    node = three()[0]
    caller = threading.Thread(target=lambda: [node.trigger("faults.slow", {"ms": 3000}, {"timeout": 20000}) for _ in range(1)])
    caller.start()
    listed = wait_for(lambda: [c for n in three().nodes for c in n.get("/tasks/processing").json], "the call is listed")
    check_equal(set(listed[0]) >= {"started_at", "peer_info", "task_id"}, True, f"fields of {listed[0]}")
    check_in("faults", listed[0]["task_id"], "task_id")
    caller.join()
    wait_for(lambda: not any(n.get("/tasks/processing").json for n in three().nodes), "the list is empty again")


def test_clear_ends_the_tasks():
    with Grid(1) as grid:
        grid.deploy(grid.project().js("t", "exports.handler = () => 1;\n"))
        answer = grid[0].http("DELETE", "/tasks/clear")
        check_equal((answer.status, answer.json["success"]), (200, True), "clear")
        check_equal(len(answer.json["processes_deleted"]), 1, f"processes deleted: {answer.json}")
        wait_for(lambda: not grid[0].task_pids(), "no process is left")
        check_equal(grid[0].get("/tasks/list").json, [], "the list afterwards")
        grid.deploy(grid.project().js("u", "exports.handler = () => 2;\n"))
        check_equal(grid[0].invoke("u").json, 2, "a deploy afterwards")


def test_foreign_pages_are_refused():
    node = three()[0]
    body = json.dumps({"task_id": "jsecho", "data": 1})
    for path in ("/tasks/lb_trigger_single", "/tasks/init", "/invoke/jsecho", "/hosts/list", "/conf", "/tasks/clear", "/ping"):
        method = {"/hosts/list": "GET", "/conf": "GET", "/tasks/clear": "DELETE", "/ping": "GET"}.get(path, "POST")
        for headers in ({"Host": "evil.example"}, {"Host": "evil.example:10000"}, {"Host": "127.0.0.1.evil.example"}, {"Origin": "http://evil.example"},
                        {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = node.http(method, path, None if method != "POST" else body, {**(JSON if method == "POST" else {}), **headers})
            check_equal(answer.status, 403, f"{method} {path} with {headers}")
    for headers in ({"Host": "localhost"}, {"Host": f"localhost:{node.api[1]}"}, {"Host": "127.0.0.1"}, {"Host": "[::1]:80"}, {"Sec-Fetch-Site": "same-origin"}):
        check_equal(node.http("GET", "/ping", None, headers).status, 200, f"GET /ping with {headers}")
    for path in ("/healthz", "/readyz", "/metrics"):
        check_equal(node.http("GET", path, None, {"Host": "scraper.example"}).status, 200, f"{path} is exempt from Host")


def test_forms_are_taken_on_the_original_routes_alone():
    for path in ("/2015-03-31/functions/jsecho/invocations",):
        answer = three()[0].http("POST", path, "a=1", FORM)
        check(answer.status >= 400, f"{path} took a form: {answer}")


def test_unknown_routes_are_404():
    for method, path in (("GET", "/"), ("GET", "/nothing"), ("POST", "/tasks"), ("GET", "/tasks/list/x"), ("GET", "/%2e%2e/etc/passwd")):
        check_in(three()[0].http(method, path).status, (404, 405), f"{method} {path}")
    check_in(three()[0].http("GET", "/tasks/init").status, (404, 405), "GET /tasks/init")
