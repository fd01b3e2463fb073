"""POST /invoke: what goes in comes out, and what goes wrong is said."""

import contextlib
import http.client
import json
import re
import select
import selectors
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import zoo
from gridtest import Grid, Response, check, check_equal, check_in, node_rpc, once, rpc_code, shared, wait_for

UUID7 = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
# Numbers and escapes that a JSON library would rewrite.
EXACT_JSON = [b'{"a":0.1}', b'{"a":1e2}', b'12345678901234567890', b'{"a":1.0,"b":-0,"c":1E+2}', rb'"\u00e9\/\n\ud83d\ude00"', '"é😀"'.encode(),
              b' { "spaced" : [ 1 , 2 ] } ', b'{"a":1,"a":2}', b'100000000000000000000000000000.000000000000000000001', b'[]', b'""', b'null']


@shared
def pair():
    grid = Grid(2)
    grid.deploy(zoo.everything(grid.project().folder))
    return grid


def fault(answer, status, code):
    check_equal(answer.status, status, f"status ({answer})")
    check_equal(answer.headers.get("content-type", "").split(";")[0], "application/json", "content type of a fault")
    check_equal(answer.json["error"]["code"], code, "code")
    check(len(answer.json["error"]["message"]) > 8, f"the message says too little: {answer.json}")
    return answer.json["error"]["message"]


def test_answer_names_request_node_release_and_attempts():
    answer = pair()[0].invoke("jsecho", b"{}")
    check(UUID7.match(answer.headers["grid-request-id"]), f"not a UUIDv7: {answer.headers}")
    check_in(answer.headers["grid-node"], ["node1", "node2"], "Grid-Node")
    check(re.match(r"^[0-9a-f]{8,64}$", answer.headers["grid-release"]), f"not a root: {answer.headers}")
    check_equal(answer.headers["grid-attempts"], "1", "Grid-Attempts")


def test_json_passes_byte_for_byte_through_every_node():
    for node in pair().nodes:
        for text in EXACT_JSON:
            for _ in range(2):  # once here, once on the other node
                answer = node.invoke("cecho", text)
                check_equal((answer.status, answer.body), (200, text), f"echo by {answer.headers.get('grid-node')}")
                check_equal(answer.headers["content-type"], "application/json", "content type")


def test_any_bytes_pass_unchanged():
    blob = bytes(range(256)) * 300
    for _ in range(2):
        answer = pair()[0].invoke("cecho", blob, {"Content-Type": "image/x-any; q=1"})
        check_equal((answer.status, answer.body == blob, answer.headers["content-type"]), (200, True, "image/x-any; q=1"), "echo of 75 KiB")


def test_chunked_requests_pass():
    for _ in range(2):
        answer = pair()[0].http("POST", "/invoke/cecho", iter([b"ab", b"c" * 70000, b"d"]), {"Content-Type": "application/octet-stream"})
        check_equal((answer.status, len(answer.body)), (200, 70003), "echo of a chunked body")


def test_http2_serves_the_same_routes():
    for node in pair().nodes:
        done = subprocess.run(["curl", "-sS", "--http2-prior-knowledge", "-D", "-", "-H", "Content-Type: application/json", "--data", '{"a":1e2}',
                               f"http://{node.api_text}/invoke/cecho"], capture_output=True, text=True, timeout=30)
        check_in("HTTP/2 200", done.stdout, f"head ({done.stderr})")
        check(done.stdout.endswith('{"a":1e2}'), done.stdout)


def test_payload_at_the_limit_passes_and_over_it_is_413():
    limit = 6 * 1024 * 1024
    for _ in range(2):
        answer = pair()[0].invoke("cecho", b"x" * limit)
        check_equal((answer.status, len(answer.body)), (200, limit), "6 MiB")
    over = pair()[0].invoke("cecho", b"x" * (limit + 1))
    check_equal(over.status, 413, "6 MiB and one byte")
    check_in("payload", over.json["error"]["message"].lower(), "what a 413 says")
    check_equal(pair()[0].invoke("cecho", b"after").body, b"after", "the next call")


def unread_bytes(port):
    """What the kernel still holds of the connections to and from this port."""
    rows = [line.split() for line in open("/proc/net/tcp")][1:]
    return sum(int(n, 16) for row in rows if f"{port:04X}" in (row[1][-4:], row[2][-4:]) for n in row[4].split(":"))


@once
def test_requests_held_at_a_time_are_bounded_in_all():
    with Grid(1, options=["--max-payload", "1MiB", "--max-held", "8MiB"], workers=1) as grid:
        node = grid[0]
        grid.deploy(grid.project().program("cecho"))
        half = b"POST /invoke/cecho HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1040000\r\n\r\n" + b"x" * 1000000
        held = [socket.create_connection(node.api, timeout=10) for _ in range(9)]
        for sock in held[:8]:  # all of these fit, and no more
            sock.sendall(half)
        wait_for(lambda: unread_bytes(node.api[1]) == 0, "the node has read what was sent", 10)
        code, _ = rpc_code(lambda: node_rpc(node).invoke.Call({"task": b"cecho", "payload": b"x" * 1000000}))
        check_equal(code, "RESOURCE_EXHAUSTED", "a gRPC call beyond the bound")
        check_equal(select.select(held[:8], [], [], 0)[0], [], "requests that were answered before their end")
        held[8].sendall(half)
        answer = held[8].recv(65536)
        check_in(b" 429 ", answer.split(b"\r\n")[0], "what is beyond the bound")
        check_in(b"retry-after", answer.lower(), "the headers of it")
        for sock in held:
            sock.close()
        wait_for(lambda: node.invoke("cecho", b"x" * 1000000).status == 200, "calls pass again once the halves have gone")


def test_unknown_task_is_404_and_named():
    message = fault(pair()[0].invoke("nosuchtask"), 404, "NOT_FOUND")
    check_in("nosuchtask", message, "message")


def test_unknown_handler_is_named_with_its_file():
    for task, pattern in (("faults.absent", "is not defined in file"), ("faults.nofunction", "is not a function in file"), ("pyfaults.absent", "is not defined in file")):
        answer = pair()[0].invoke(task, b"{}")
        check(answer.status >= 400, f"{task}: {answer}")
        check_in(pattern, answer.text, task)
        check_in(task.split(".")[1], answer.text, task)


def test_names_that_cannot_be_a_task_are_404_or_400():
    for name in ("", ".", "..", "..%2f..%2fetc%2fpasswd", "%00", "x" * 5000, "a/b", "jsecho%20", "%ff%fe", "JSECHO"):
        answer = pair()[0].invoke(name)
        check_in(answer.status, (400, 404, 414, 431), f"status of /invoke/{name[:20]}")
    for name, words in (("cecho%00x", "NUL"), (".hidden", "before the dot"), ("%ff%fe", "UTF-8")):
        check_in(words, fault(pair()[0].invoke(name), 400, "INVALID_ARGUMENT"), f"what /invoke/{name} gets")


def test_a_deadline_that_passes_is_504():
    for _ in range(2):
        started = time.monotonic()
        answer = pair()[0].invoke("faults.slow", b'{"ms":20000}', {"Grid-Timeout-Ms": "300"})
        took = time.monotonic() - started
        fault(answer, 504, "DEADLINE_EXCEEDED")
        check(0.25 < took < 4, f"a deadline of 300 ms took {took:.2f} s")


def test_a_fault_says_which_call_it_was():
    seen = set()
    for _ in range(4):
        answer = pair()[0].invoke("faults.slow", b'{"ms":20000}', {"Grid-Timeout-Ms": "200"})
        check_equal(fault(answer, 504, "DEADLINE_EXCEEDED"), "the task faults did not answer within 200 ms", "message")
        check(UUID7.match(answer.headers.get("grid-request-id", "")), f"not a UUIDv7: {answer.headers}")
        check_equal(answer.headers.get("grid-attempts"), "1", "Grid-Attempts")
        seen.add(answer.headers.get("grid-node"))
    check_equal(seen, {"node1", "node2"}, "Grid-Node of calls that a node had begun")
    for name, headers, status in (("nosuchtask", {}, 404), ("cecho", {"Grid-Timeout-Ms": "soon"}, 400), ("cecho", {"Grid-Node": "nobody"}, 404)):
        answer = pair()[0].invoke(name, b"1", headers)
        check_equal(answer.status, status, name)
        check(UUID7.match(answer.headers.get("grid-request-id", "")), f"not a UUIDv7: {answer.headers}")
        check("grid-attempts" not in answer.headers and "grid-node" not in answer.headers, f"nobody tried it: {answer.headers}")


def test_bad_timeout_header_is_refused():
    for value in ("soon", "-1", "1.5", "99999999999999999999", ""):
        answer = pair()[0].invoke("cecho", b"1", {"Grid-Timeout-Ms": value})
        check_equal(answer.status, 400, f"Grid-Timeout-Ms: {value!r}")


def test_a_task_that_throws_says_what_it_threw():
    for task, kind, text in (("faults.throws", "TypeError", "thrown on purpose"), ("faults.rejects", "RangeError", "rejected on purpose"),
                             ("pyfaults.raises", "ValueError", "raised on purpose")):
        answer = pair()[0].invoke(task, b"{}")
        check(answer.status >= 500, f"{task}: {answer}")
        check_equal((answer.json["errorType"], answer.json["errorMessage"]), (kind, text), task)
        check(isinstance(answer.json["stackTrace"], list), "stackTrace is an array")


def test_status_of_the_task_passes_through():
    for status in (201, 204, 301, 404, 418, 500, 503):
        body = "" if status == 204 else "body"
        head = f"HTTP/1.1 {status} Word\r\nX-Own: yes\r\n" + ("" if status == 204 else "Content-Length: 4\r\n") + "\r\n"
        for _ in range(2):
            answer = pair()[0].invoke("raw", json.dumps({"raw": head + body}))
            check_equal((answer.status, answer.text), (status, body), f"status {status}")


def broken_off(plan, task="raw"):
    """Calls a task. None when the answer broke off, which is how HTTP tells it once a success has begun."""
    try:
        return pair()[0].invoke(task, json.dumps(plan))
    except (http.client.HTTPException, OSError):
        return None


def test_garbage_from_a_task_is_502():
    cases = {
        "no HTTP": "this is not HTTP\r\n\r\n",
        "bad status": "HTTP/1.1 abc OK\r\n\r\n",
        "two lengths": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        "length and chunks": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "bad chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "endless head": "HTTP/1.1 200 OK\r\n" + "X-Pad: " + "p" * 300000 + "\r\n\r\n",
    }
    for what, raw in cases.items():
        for _ in range(2):
            answer = broken_off({"raw": raw, "close": True})
            if answer is None and what == "bad chunk":
                continue
            check(answer is not None and answer.status == 502, f"{what} ({answer})")
            check_in("raw", answer.json["error"]["message"], f"{what}: the task is named")
    check_equal(pair()[0].invoke("raw", b"{}").body, b"ok", "the next call")


def test_an_answer_cut_short_is_no_success():
    for raw in ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"):
        for _ in range(2):
            answer = broken_off({"raw": raw, "close": True})
            check(answer is None or answer.status in (502, 503), f"answer {answer}")


def test_an_answer_over_the_limit_is_502():
    for _ in range(2):
        answer = pair()[0].invoke("raw", json.dumps({"raw": "HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n", "more_mib": 8, "close": True}))
        check_equal(answer.status, 502, f"8 MiB ({answer})")
        answer = broken_off({"raw": "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", "more_mib": 8, "close": True})
        check(answer is None or answer.status == 502, f"8 MiB whose length is not announced ({answer})")
    answer = broken_off({}, "faults.big")
    check(answer is None or answer.status == 502, f"7 MiB from a function ({answer})")


def test_a_task_that_exits_mid_call_is_a_fault_and_comes_back():
    for task, body in (("faults.exits", b"{}"), ("raw", b'{"die":true}')):
        for _ in range(2):
            answer = wait_for(lambda: (lambda a: a if a.status != 504 else None)(pair()[0].invoke(task, body)), "the call is answered")
            check_in(answer.status, (502, 503), f"{task} ({answer})")
            check(answer.json["error"]["message"], "a message")
    for task in ("faults.who", "raw"):
        check_equal(wait_for(lambda: pair()[0].invoke(task, b"{}").status == 200, f"{task} is back"), True, task)


def test_idempotency_key_and_trace_reach_the_task():
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for _ in range(2):
        seen = pair()[0].invoke("headers", b"x", {"Idempotency-Key": "k-1", "traceparent": trace, "Grid-Timeout-Ms": "5000"}).json["headers"]
        check_equal(seen.get("idempotency-key"), "k-1", "Idempotency-Key")
        check_equal(seen.get("traceparent", "")[:36], trace[:36], "trace id of traceparent")
        left = int(seen["grid-deadline-ms"]) - time.time() * 1000
        check(0 < left <= 5100, f"Grid-Deadline-Ms lies {left:.0f} ms ahead")


def test_a_trace_is_begun_where_the_caller_brings_none():
    spoilt = ["garbage", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
              "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
              "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"]
    for headers in ({}, *({"traceparent": text} for text in spoilt)):
        for _ in range(2):
            answer = pair()[0].invoke("headers", b"x", headers)
            digits = answer.headers["grid-request-id"].replace("-", "")
            check_equal(answer.json["headers"].get("traceparent"), f"00-{digits}-{digits[16:]}-01", f"the trace of a call with {headers}")
    later = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"
    check_equal(pair()[0].invoke("headers", b"x", {"traceparent": later}).json["headers"].get("traceparent"), later, "a later version's")


def test_handler_reaches_a_program_as_a_header():
    seen = pair()[0].invoke("headers.some_handler", b"x").json
    check_equal(seen["headers"]["grid-handler"], "some_handler", "Grid-Handler")
    check_equal((seen["method"], seen["path"]), ("POST", "/"), "request line")


def test_environment_of_a_task_is_complete():
    env = pair()[0].invoke("headers", b"x").json["env"]
    check_equal(env["TASK_PORT"], env["PORT"], "PORT")
    check_equal(env["TASK_NAME"], "headers", "TASK_NAME")
    check(env["TASK_PATH"].endswith("tasks/headers"), f"TASK_PATH: {env['TASK_PATH']}")
    check_equal(len(env["GRID_NODE_ID"]), 64, "digits of GRID_NODE_ID")


def test_grid_node_header_chooses_the_node():
    for name in ("node1", "node2"):
        got = {pair()[0].invoke("cecho", b"1", {"Grid-Node": name}).headers["grid-node"] for _ in range(4)}
        check_equal(got, {name}, "nodes that ran it")
    check_in(pair()[0].invoke("cecho", b"1", {"Grid-Node": "nobody"}).status, (404, 503), "a node that does not exist")


def test_strategy_local_stays_here():
    for node in pair().nodes:
        got = {node.invoke("cecho", b"1", {"Grid-Strategy": "local"}).headers["grid-node"] for _ in range(4)}
        check_equal(got, {node.name}, "nodes that ran it")
    check_equal(pair()[0].invoke("cecho", b"1", {"Grid-Strategy": "by-moonlight"}).status, 400, "an unknown strategy")


def test_forms_and_text_are_refused():
    """A web page may send them anywhere without being asked; the original's routes alone take them."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        check_equal(pair()[0].invoke("cecho", b"a=1", {"Content-Type": kind}).status, 415, kind)


def test_only_post_is_taken():
    for method in ("GET", "PUT", "DELETE"):
        check_in(pair()[0].http(method, "/invoke/cecho").status, (404, 405), method)


def test_a_caller_that_goes_away_cancels_its_call():
    connection = http.client.HTTPConnection(*pair()[0].api, timeout=10)
    connection.request("POST", "/invoke/faults.slow", b'{"ms":30000}', {"Content-Type": "application/json"})
    wait_for(lambda: any(node.get("/tasks/processing").json for node in pair().nodes), "the call is in the list of what is processed")
    connection.close()
    wait_for(lambda: not any(node.get("/tasks/processing").json for node in pair().nodes), "it is gone from the list", 10)


def test_calls_wait_while_a_task_starts():
    with Grid(1) as grid:
        project = grid.project().py("slowstart", "import time\ntime.sleep(1.5)\ndef handler(event, context):\n    return 'ready'\n")
        results = []
        grid.deploy(project, wait=False)
        threads = [threading.Thread(target=lambda: results.append(grid[0].invoke("slowstart", b"{}"))) for _ in range(5)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        check_equal([(r.status, r.json) for r in results], [(200, "ready")] * 5, "calls made before the task was ready")


def test_a_waiting_call_ends_at_its_own_deadline():
    with Grid(1) as grid:
        grid.deploy(grid.project().py("slowstart", "import time\ntime.sleep(4)\ndef handler(event, context):\n    return 1\n"), wait=False)
        started = time.monotonic()
        answer = grid[0].invoke("slowstart", b"{}", {"Grid-Timeout-Ms": "400"})
        fault(answer, 504, "DEADLINE_EXCEEDED")
        check(time.monotonic() - started < 3, "a call of 400 ms waited longer")


def test_tasks_that_never_start_are_said_to_be_unavailable():
    with Grid(1) as grid:
        grid.deploy(zoo.broken(grid.project()).js("fine", "exports.handler = () => 1;\n"), wait=False)

        def call(task):
            started = time.monotonic()
            return grid[0].invoke(task, b"{}"), time.monotonic() - started

        tasks = ("crashes", "syntax", "missing")
        with ThreadPoolExecutor(len(tasks)) as at_once:
            for task, (answer, took_s) in zip(tasks, at_once.map(call, tasks)):
                check_in(task, fault(answer, 503, "UNAVAILABLE"), "message")
                check(took_s < 7, f"{task}: it took {took_s:.1f} s to say so")
        check_in(grid[0].invoke("silent", b"{}", {"Grid-Timeout-Ms": "2000"}).status, (503, 504), "a task that never listens")
        check_equal(grid[0].invoke("fine").json, 1, "a good task beside them")


def open_call(node, task):
    """A connection of its own with a call of 20 s on it: 100 of them may run at an instance, 1,000 may wait."""
    body = b'{"ms":20000}'
    sock = socket.create_connection(node.api, timeout=10)
    sock.sendall(b"POST /invoke/%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (task.encode(), len(body)) + body)
    return sock


@once
def test_too_many_calls_are_429_with_retry_after():
    with Grid(1) as grid:
        node = grid[0]
        grid.deploy(grid.project().js("slow", "exports.handler = (data) => new Promise((done) => setTimeout(() => done(1), +data.ms));\n"))
        with contextlib.ExitStack() as open_calls:
            answered = open_calls.enter_context(selectors.DefaultSelector())
            for _ in range(1300):
                answered.register(open_calls.enter_context(open_call(node, "slow")), selectors.EVENT_READ)
            busy = http.client.HTTPResponse(wait_for(lambda: answered.select(0), "a call is refused for load")[0][0].fileobj)
            busy.begin()
            busy = Response(busy.status, busy.getheaders(), busy.read())
        fault(busy, 429, "RESOURCE_EXHAUSTED")
        check(int(busy.headers["retry-after"]) >= 0, "Retry-After in seconds")
        wait_for(lambda: node.invoke("slow", b'{"ms":0}').status == 200, "calls are taken again")
