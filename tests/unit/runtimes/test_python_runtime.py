"""The Python wrapper, as real processes: python3 tests/unit/runtimes/test_python_runtime.py"""
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

RUN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../runtimes/python/run.py")
DEADLINE_S = 20


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def until(condition, what):
    end = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within the deadline: {what}")
        time.sleep(0.01)


def waits_for_events(pid):
    """Whether its main thread is in epoll_wait(2); where the kernel hides that, whether it sleeps."""
    with open(f"/proc/{pid}/task/{pid}/wchan", encoding="ascii") as wchan, open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        function, state = wchan.read(), stat.read().rsplit(")", 1)[1].split()[0]
    return "poll" in function or (function == "0" and state == "S")


class Task:
    """One running task and a kept-open connection to it."""

    def __init__(self, file, port=None, env=None):
        self.port = port or free_port()
        environment = {"PATH": os.environ["PATH"], "TASK_PORT": str(self.port), "TASK_NAME": "job", "PYTHONDONTWRITEBYTECODE": "1"}
        environment.update(env or {})
        self.output = b""
        self.process = subprocess.Popen([sys.executable, "-u", RUN, file], env=environment, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)

    def _read(self):
        while data := self.process.stdout.read1(65536):
            self.output += data

    def ended(self):
        code = self.process.wait(DEADLINE_S)
        self._reader.join()
        self.process.stdout.close()
        self.connection.close()
        return code

    def listening(self):
        until(lambda: self.process.poll() is not None or accepts(self.port), "the task listens")
        if self.process.poll() is not None:
            raise AssertionError(self.output.decode())
        return self

    def request(self, method="POST", path="/", headers=None, body=b""):
        self.connection.request(method, path, body, headers or {})
        response = self.connection.getresponse()
        return response, response.read()

    def invoke(self, handler, data=None, headers=None):
        body = b"" if data is None else json.dumps(data).encode()
        response, answer = self.request(headers={"Grid-Handler": handler, "Content-Type": "application/json", **(headers or {})},
                                        body=body)
        return response, json.loads(answer)


FUNCTIONS = '''
import asyncio, sys, time
from json import dumps
VALUE = 5
def both(event, context):
    return {"event": event, "id": context.aws_request_id, "name": context.function_name, "data": context.data,
            "left": context.get_remaining_time_in_millis() > 1000}
def one(event): return [event]
def none(): return "none"
def rest(*arguments): return len(arguments)
def nothing(event, context): pass
def raw(event, context): return b"\\x00\\xff"
async def later(event, context):
    await asyncio.sleep(0.001)
    return "later"
def fails(event, context): raise ValueError("bad value")
async def fails_later(event, context): raise KeyError("k")
async def times_out(event, context): raise TimeoutError("own")
def exits(event, context): sys.exit(3)
def unserializable(event, context): return object()
def not_a_number(event, context): return float("nan")
def sleeps(event, context):
    print("called")
    time.sleep(0.3)
    return "done"
'''


class PythonRuntime(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="grid-python-")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def write(self, name, source):
        file = os.path.join(self.folder.name, name)
        with open(file, "w", encoding="utf-8") as out:
            out.write(source)
        return file

    def launch(self, name, source, **options):
        task = Task(self.write(name, source), **options)
        self.addCleanup(lambda: task.process.poll() is None and (task.process.kill(), task.ended()))
        return task

    def start(self, name, source, **options):
        return self.launch(name, source, **options).listening()

    def stop(self, task):
        task.process.terminate()
        self.assertEqual(task.ended(), 0, task.output)

    def test_the_originals_example_is_left_alone(self):
        task = self.start("web.py", '''
from http.server import BaseHTTPRequestHandler, HTTPServer
import os
TASK_PORT = int(os.environ["TASK_PORT"])
class MyHandler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"Hello World !")
HTTPServer(("", TASK_PORT), MyHandler).serve_forever()
''')
        response, body = task.request("GET")
        self.assertEqual((response.status, body), (200, b"Hello World !"))
        task.connection.close()
        response, _ = task.request("POST")
        self.assertEqual(response.status, 501)

    def test_a_file_runs_as_the_main_module(self):
        source = '''
import http.server, os, sys, threading
def main():
    assert sys.argv == [__file__] and sys.modules["__main__"].main is main
    class Own(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(200); self.send_header("Content-Length", "3"); self.end_headers(); self.wfile.write(b"own")
    server = http.server.HTTPServer(("127.0.0.1", int(os.environ["TASK_PORT"])), Own)
    %s
def handler(event, context): return "wrapped"
if __name__ == "__main__":
    main()
'''
        for name, last in (("guard.py", "server.serve_forever()"), ("thread.py", "threading.Thread(target=server.serve_forever).start()")):
            with self.subTest(name):
                self.assertEqual(self.start(name, source % last).request()[1], b"own")

    def test_every_shape_of_function_answers(self):
        task = self.start("shapes.py", FUNCTIONS)
        deadline = str(int(time.time() * 1000) + 60000)
        cases = [
            ("both", {"a": 1e2}, {"event": {"a": 100.0}, "id": "id-1", "name": "job", "data": {"a": 100.0}, "left": True}),
            ("one", "é", ["é"]),
            ("none", 1, "none"),
            ("rest", 1, 2),
            ("nothing", 1, None),
            ("later", None, "later"),
        ]
        for handler, data, expected in cases:
            with self.subTest(handler):
                response, answer = task.invoke(handler, data, {"Grid-Request-Id": "id-1", "Grid-Deadline-Ms": deadline})
                self.assertEqual((response.status, response.getheader("Content-Type")), (200, "application/json"))
                self.assertEqual(answer, expected)
        response, answer = task.request(headers={"Grid-Handler": "raw"})
        self.assertEqual((response.getheader("Content-Type"), answer), ("application/octet-stream", b"\x00\xff"))
        self.stop(task)

    def test_failures_carry_type_and_message(self):
        task = self.start("failing.py", FUNCTIONS)
        cases = [
            ("fails", 500, "ValueError", "bad value"),
            ("fails_later", 500, "KeyError", "'k'"),
            ("times_out", 500, "TimeoutError", "own"),
            ("exits", 500, "SystemExit", "3"),
            ("unserializable", 500, "TypeError", None),
            ("not_a_number", 500, "ValueError", None),
            ("absent", 404, "HandlerNotFound", "absent is not defined in file failing.py"),
            ("__name__", 404, "HandlerNotFound", "__name__ is not defined in file failing.py"),
            ("VALUE", 404, "HandlerNotFound", "VALUE is not a function in file failing.py"),
            ("", 404, "HandlerNotFound", "handler is not defined in file failing.py"),
        ]
        for handler, status, kind, message in cases:
            with self.subTest(handler):
                response, answer = task.invoke(handler, 1)
                self.assertEqual((response.status, response.getheader("Grid-Function-Error")), (status, "Unhandled"))
                self.assertEqual(answer["errorType"], kind)
                self.assertEqual(set(answer), {"errorType", "errorMessage", "stackTrace"})
                self.assertEqual(answer["errorMessage"], message or answer["errorMessage"])
        self.assertIn("failing.py", task.invoke("fails", 1)[1]["stackTrace"][0])
        self.assertEqual(len(task.invoke("fails", 1)[1]["stackTrace"]), 1)
        self.stop(task)

    def test_what_a_function_raises_stands_on_stderr_under_the_name_of_its_call(self):
        task = self.start("raising.py", FUNCTIONS + '''
class Odd(Exception):
    def __str__(self): raise ValueError("no text")
def odd(event, context): raise Odd()
def chained(event, context):
    try:
        fails(event, context)
    except ValueError as error:
        raise KeyError("outer") from error
def long(event, context): raise ValueError("x" * (1 << 20))
''')
        for handler in ("fails", "fails_later", "chained", "odd", "long", "exits", "absent"):
            task.invoke(handler, 1, {"Grid-Request-Id": f"id-{handler}"})
        self.stop(task)
        output = task.output.decode()
        self.assertRegex(output, r'(?m)^call id-fails: Traceback \(most recent call last\):\n  File ".*raising\.py", line \d+, in fails\n( .*\n)+ValueError: bad value\n')
        self.assertRegex(output, r"(?m)^call id-fails_later: Traceback")
        self.assertRegex(output, r"(?m)^KeyError: 'k'$")
        self.assertRegex(output, r"(?ms)^call id-chained: Traceback.*^ValueError: bad value$.*direct cause.*^KeyError: 'outer'$")
        self.assertRegex(output, r"(?m)^SystemExit: 3$")
        self.assertIn("call id-odd: ", output)
        self.assertLess(len(output), 64 * 1024)
        for absent in ("gridcontrol_runtime", "concurrent/futures", "absent is not defined"):
            self.assertNotIn(absent, output)

    def test_the_default_handler(self):
        for name, source, expected in (
                ("only.py", "import os\nfrom json import loads\ndef _private(): pass\ndef only(e): return 'only'\n", "only"),
                ("handler.py", "def a(e): return 'a'\ndef handler(e): return 'handler'\n", "handler"),
                ("imported.py", "from helper import handler\n", "imported")):
            with self.subTest(name):
                self.write("helper.py", "def handler(event, context): return 'imported'\n")
                task = self.start(name, source)
                self.assertEqual(task.invoke("", 1)[1], expected)
                self.stop(task)

    def test_the_body_is_decoded_by_its_content_type(self):
        task = self.start("bodies.py", "def see(event): return [type(event).__name__, event.hex() if isinstance(event, bytes) else event]")
        cases = [
            ("application/json", b'{"a":12345678901234567890}', ["dict", {"a": 12345678901234567890}]),
            ("application/json; charset=utf-8", '"é"'.encode(), ["str", "é"]),
            ("application/cloudevents+json", b"[1]", ["list", [1]]),
            ("application/json", b"", ["NoneType", None]),
            ("text/plain", "é".encode(), ["str", "é"]),
            ("application/octet-stream", b"\x00\x01", ["bytes", "0001"]),
            ("application/octet-stream", b"", ["bytes", ""]),
            ("", b"", ["NoneType", None]),
        ]
        for kind, body, expected in cases:
            with self.subTest((kind, body)):
                _, answer = task.request(headers={"Content-Type": kind} if kind else {}, body=body)
                self.assertEqual(json.loads(answer), expected)
        response, answer = task.request(headers={"Content-Type": "application/json"}, body=b"{")
        self.assertEqual(response.status, 400)
        self.assertTrue(json.loads(answer)["errorMessage"].startswith("the body is not valid JSON: "))
        self.stop(task)

    def test_what_is_no_call_is_refused(self):
        task = self.start("small.py", "def h(event): return event", env={"GRID_MAX_PAYLOAD": "100"})
        response, _ = task.request("GET")
        self.assertEqual((response.status, response.getheader("Allow")), (405, "POST"))
        self.assertEqual(task.request(path="/other")[0].status, 404)
        text = {"Content-Type": "text/plain"}
        self.assertEqual(task.request(headers=text, body=b"x" * 100)[0].status, 200)
        self.assertEqual(task.request(headers=text, body=b"x" * 101)[0].status, 413)
        self.assertEqual(task.request(headers=text, body=iter([b"ab", b"c"]))[1], b'"abc"')
        self.assertEqual(task.request(headers=text, body=iter([b"x" * 60, b"x" * 60]))[0].status, 413)
        self.stop(task)

    def test_malformed_http_gets_an_answer_and_is_closed(self):
        task = self.start("malformed.py", "def h(event): return event")
        for raw, status in ((b"POST / HTTP/2.0\r\n\r\n", b"400"), (b"nonsense\r\n\r\n", b"400"),
                            (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
                            (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
                            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", b"400"),
                            (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", b"501"),
                            (b"POST / HTTP/1.1\r\nbad header\r\n\r\n", b"400"),
                            (b"POST / HTTP/1.1\r\nA: " + b"a" * 70000, b"431")):
            with self.subTest(raw[:60]), socket.create_connection(("127.0.0.1", task.port), DEADLINE_S) as caller:
                caller.sendall(raw)
                self.assertEqual(caller.recv(65536).split(b" ")[1], status)
        self.assertEqual(task.invoke("h", 1)[1], 1)
        self.stop(task)

    def test_expect_continue_is_answered_before_the_body(self):
        task = self.start("expect.py", "def h(event): return event")
        with socket.create_connection(("127.0.0.1", task.port), DEADLINE_S) as caller:
            caller.sendall(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n")
            self.assertEqual(caller.recv(100), b"HTTP/1.1 100 Continue\r\n\r\n")
            caller.sendall(b"ok")
            self.assertTrue(caller.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n"))
        self.stop(task)

    def test_idle_connections_do_not_starve_others(self):
        task = self.start("idle.py", "def h(event): return event")
        callers = [http.client.HTTPConnection("127.0.0.1", task.port, timeout=DEADLINE_S) for _ in range(150)]
        for _ in range(2):
            for number, caller in enumerate(callers):
                caller.request("POST", "/", json.dumps(number), {"Content-Type": "application/json"})
                self.assertEqual(json.loads(caller.getresponse().read()), number)
        for caller in callers:
            caller.close()
        self.stop(task)

    def test_calls_run_side_by_side(self):
        task = self.start("side.py", '''
import threading, asyncio
meeting = threading.Barrier(8, timeout=15)
def meet(event, context): return meeting.wait() >= 0
waiting = []
async def gather(event, context):
    waiting.append(asyncio.get_running_loop().create_future())
    if len(waiting) == 8:
        [each.set_result(True) for each in waiting]
    return await waiting[len(waiting) - 1]
''')
        for handler in ("meet", "gather"):
            answers = []
            callers = [threading.Thread(target=lambda h=handler: answers.append(call_once(task.port, h))) for _ in range(8)]
            for caller in callers:
                caller.start()
            for caller in callers:
                caller.join()
            self.assertEqual(answers, [True] * 8)
        self.stop(task)

    def test_a_coroutine_is_cancelled_when_its_caller_goes(self):
        task = self.start("cancel.py", '''
import asyncio
async def never(event, context):
    try:
        print("waits"); await asyncio.sleep(1000)
    except asyncio.CancelledError:
        print("cancelled"); raise
''')
        with socket.create_connection(("127.0.0.1", task.port), DEADLINE_S) as caller:
            caller.sendall(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
            until(lambda: b"waits" in task.output, "the call has begun")
        until(lambda: b"cancelled" in task.output, "the call is cancelled")
        self.stop(task)

    def test_a_file_that_cannot_be_served_says_why_and_exits_1(self):
        cases = [
            ("throws.py", "raise ValueError('at load')", b"ValueError: at load"),
            ("syntax.py", "def h(:", b"SyntaxError"),
            ("empty.py", "print('ran')", b"empty.py neither listens on TASK_PORT nor defines a function"),
            ("loose.py", "import threading\ndef h(e): pass\nthreading.Timer(0.1, lambda: 1 / 0).start()", b"ZeroDivisionError"),
        ]
        for name, source, message in cases:
            with self.subTest(name):
                task = self.launch(name, source)
                self.assertEqual(task.ended(), 1)
                self.assertIn(message, task.output)
                self.assertNotIn(b"run.py", task.output)
        task = Task(os.path.join(self.folder.name, "missing.py"))
        self.assertEqual(task.ended(), 1)
        self.assertIn(b"missing.py", task.output)

    def test_a_port_in_use_ends_the_task(self):
        with socket.create_server(("127.0.0.1", 0)) as holder:
            task = self.launch("used.py", "def h(e): pass", port=holder.getsockname()[1])
            self.assertEqual(task.ended(), 1)
            self.assertIn(b"Address already in use", task.output)

    def test_a_stop_signal_that_interrupts_no_wait_ends_the_task(self):
        """As one does that another thread takes, or that comes just before the main thread begins to wait."""
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                task = self.start("elsewhere.py", '''
import signal, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
def h(event): return event
''')
                task.request(headers={"Connection": "close"})
                until(lambda: waits_for_events(task.process.pid), "the task waits for connections")
                task.process.send_signal(number)
                self.assertEqual(task.ended(), 0, task.output)

    def test_the_stop_signal_lets_calls_in_flight_finish(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            task = self.start("slow.py", FUNCTIONS)
            answers = []
            caller = threading.Thread(target=lambda: answers.append(call_once(task.port, "sleeps")))
            caller.start()
            until(lambda: b"called" in task.output, "the call has begun")
            task.process.send_signal(number)
            until(lambda: not accepts(task.port), "no longer accepting")
            caller.join()
            self.assertEqual(answers, ["done"])
            self.assertEqual(task.ended(), 0, task.output)

    def test_compiled_modules_of_old_releases_are_taken_away(self):
        caches = os.path.join(self.folder.name, "pycache")
        self.write("imported_once.py", "x = 1\n")
        for release in ("one", "two", "three", "four"):
            task = self.start("imports.py", "import imported_once\ndef h(e): return imported_once.x\n",
                              env={"PYTHONPYCACHEPREFIX": os.path.join(caches, release), "PYTHONDONTWRITEBYTECODE": ""})
            self.assertEqual(task.invoke("h")[1], 1)
            self.stop(task)
        self.assertEqual(sorted(os.listdir(caches)), ["four", "three", "two"])
        self.assertTrue(any(name.startswith("imported_once.") for _, _, names in os.walk(os.path.join(caches, "four")) for name in names))
        self.assertFalse(os.path.exists(os.path.join(self.folder.name, "__pycache__")))

    def test_output_passes_through_unbuffered(self):
        task = self.start("output.py", "print('out')\ndef h(e): print('from call', end='')")
        until(lambda: task.output == b"out\n", "the first line is here")
        task.invoke("h", 1)
        until(lambda: task.output == b"out\nfrom call", "the output is here before the end")
        self.stop(task)


def call_once(port, handler):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    connection.request("POST", "/", b"", {"Grid-Handler": handler})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


if __name__ == "__main__":
    unittest.main()
