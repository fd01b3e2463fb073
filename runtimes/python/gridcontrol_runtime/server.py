"""The HTTP/1.1 server around a file's functions: POST / on 127.0.0.1:TASK_PORT.

The main thread watches the listener and the idle connections; a bounded number of threads each serve one request at a time, so
that idle connections hold no thread and none starves another.
"""
import collections
import json
import os
import queue
import selectors
import signal
import socket
import sys
import threading

from . import call as calls
from .http1 import Connection, RequestError

DEFAULT_MAX_PAYLOAD = 6 * 1024 * 1024
MAX_THREADS = 100
SLOW_CALLER_S = 30
LINGER_S = 0.02  # a busy connection stays with its thread this long before it goes back to the watcher


def max_payload():
    text = os.environ.get("GRID_MAX_PAYLOAD", "")
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else DEFAULT_MAX_PAYLOAD


def decode_event(body, content_type):
    """JSON parsed, text as a string, anything else as bytes; nothing at all is None."""
    kind = content_type.split(";", 1)[0].strip().lower()
    if kind.startswith("text/"):
        return body.decode("utf-8", "replace")
    if kind != "application/json" and not kind.endswith("+json"):
        return body if body or kind else None
    if not body:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, "InvalidRequest", f"the body is not valid JSON: {error}") from None


class Threads:
    """At most MAX_THREADS daemon threads, started when all others have work, that run queued functions."""

    def __init__(self):
        self._queue = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0
        self._pending = 0  # queued and running

    def submit(self, function, argument):
        with self._lock:
            self._pending += 1
            start = self._pending > self._started and self._started < MAX_THREADS
            self._started += start
        self._queue.put((function, argument))
        if start:
            threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            function, argument = self._queue.get()
            try:
                function(argument)
            finally:
                with self._lock:
                    self._pending -= 1

    def starved(self):
        return not self._queue.empty()


class TaskServer:
    def __init__(self, module, file):
        self._module = module
        self._file = file
        self._limit = max_payload()
        self._name = os.environ.get("TASK_NAME", "")
        self._coroutines = calls.Coroutines()
        self._threads = Threads()
        self._selector = selectors.DefaultSelector()
        self._returned = collections.deque()
        self._stopping = False
        self._busy = 0
        self._lock = threading.Lock()

    def serve(self, port):
        """Serves until SIGTERM or SIGINT, then finishes what is in flight and returns. On the main thread."""
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._handle_signals()  # before anybody can know that this serves
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self._listener.setblocking(False)
        self._selector.register(self._wake_reader, selectors.EVENT_READ, None)
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        while not (self._stopping and self._busy == 0):
            for key, _ in self._selector.select():
                self._dispatch(key)

    def _handle_signals(self):
        """The interpreter itself wakes the main thread: a handler of ours runs only when that goes on, and a signal which another
        thread takes, or which comes just before the wait, does not end the wait."""
        signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            previous = signal.getsignal(number)
            signal.signal(number, lambda n, frame, before=previous: self._stop(n, frame, before))

    def _stop(self, number, frame, before):
        if callable(before) and before is not signal.default_int_handler:
            before(number, frame)
        self._stopping = True
        self._wake()

    def _wake(self):
        try:
            self._wake_writer.send(b"w")
        except BlockingIOError:
            pass  # it is awake already

    def _dispatch(self, key):
        if key.fileobj is self._listener:
            self._accept()
        elif key.fileobj is self._wake_reader:
            self._woken()
        else:
            self._selector.unregister(key.fileobj)
            self._start(key.data)

    def _accept(self):
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(sock)
        self._selector.register(sock, selectors.EVENT_READ, connection)

    def _woken(self):
        try:
            self._wake_reader.recv(4096)
        except BlockingIOError:
            pass
        if self._stopping and self._listener.fileno() >= 0:
            self._selector.unregister(self._listener)
            self._listener.close()
        while self._returned:
            connection = self._returned.popleft()
            self._selector.register(connection.sock, selectors.EVENT_READ, connection)

    def _start(self, connection):
        with self._lock:
            self._busy += 1
        self._threads.submit(self._serve_connection, connection)

    def _serve_connection(self, connection):
        keep = False
        try:
            keep = self._serve_requests(connection)
        except OSError:
            pass  # the caller left or is too slow
        finally:
            self._done(connection, keep)

    def _done(self, connection, keep):
        if keep:
            self._returned.append(connection)
        else:
            connection.close()
        with self._lock:
            self._busy -= 1
        if keep or self._stopping:
            self._wake()

    def _serve_requests(self, connection):
        """Serves while requests come. True: idle, to be watched again. False: to be closed."""
        while True:
            connection.sock.settimeout(SLOW_CALLER_S)
            if not self._serve_one(connection) or self._stopping:
                return False
            if not connection.buffer and not self._comes_soon(connection):
                return True

    def _comes_soon(self, connection):
        if self._threads.starved():
            return False
        connection.sock.settimeout(LINGER_S)
        try:
            return bool(connection.sock.recv(1, socket.MSG_PEEK)) or self._gone()
        except TimeoutError:
            return False

    @staticmethod
    def _gone():
        raise ConnectionResetError("the caller closed the connection")

    def _serve_one(self, connection):
        """One request and its answer. False when the connection is to be closed after it."""
        try:
            request = connection.read_request(self._limit)
        except RequestError as error:
            self._answer(connection, calls.failure(error, error.status, error.name), False)
            return False
        answer = self._answer_for(request, connection)
        keep = request.keep_alive and not self._stopping
        self._answer(connection, answer, keep)
        return keep

    def _answer_for(self, request, connection):
        if request.method != "POST":
            error = RequestError(405, "MethodNotAllowed", f"{request.method} is not served, functions are called with POST /")
            return calls.failure(error, 405, error.name)
        if request.target != "/":
            return calls.failure(RequestError(404, "NotFound", "functions are called with POST /"), 404, "NotFound")
        try:
            function = calls.find(self._module, request.headers.get("grid-handler", ""), self._file)
            event = decode_event(request.body, request.headers.get("content-type", ""))
        except calls.HandlerNotFound as error:
            return calls.failure(error, 404)
        except RequestError as error:
            return calls.failure(error, error.status, error.name)
        context = self._context(request.headers, event)
        return calls.call(function, event, context, self._coroutines, lambda: caller_is_there(connection))

    def _context(self, headers, event):
        deadline = headers.get("grid-deadline-ms", "")
        deadline_ms = int(deadline) if deadline.isascii() and deadline.isdigit() else 0
        return calls.Context(headers.get("grid-request-id", ""), self._name, deadline_ms, event)

    @staticmethod
    def _answer(connection, answer, keep):
        headers = [("Content-Type", answer.type)]
        if answer.error:
            headers.append(("Grid-Function-Error", answer.error))
        if answer.status == 405:
            headers.append(("Allow", "POST"))
        if not keep:
            headers.append(("Connection", "close"))
        connection.send(answer.status, headers, answer.body)


def caller_is_there(connection):
    try:
        return connection.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def exit_on_thread_failure():
    """An exception that ends a thread of the file's own ends the task, as it would in its main thread."""
    report = threading.excepthook

    def report_and_exit(arguments):
        report(arguments)
        if arguments.exc_type is not SystemExit:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)

    threading.excepthook = report_and_exit
