"""Finds a function of a task's file, calls it, and turns what comes out into an answer."""
import asyncio
import concurrent.futures
import inspect
import json
import sys
import threading
import time
import traceback

MAX_FRAMES = 32
MAX_REPORT = 16 * 1024
CALLER_CHECK_S = 0.5


class HandlerNotFound(Exception):
    """The file has no such function. The message is the contract's sentence."""


class CallerGone(ConnectionAbortedError):
    """Nobody waits for what an async function does."""


class Context:
    """The second argument of a handler."""

    def __init__(self, request_id, function_name, deadline_ms, data):
        self.aws_request_id = request_id
        self.function_name = function_name
        self.data = data
        self._deadline_ms = deadline_ms

    def get_remaining_time_in_millis(self):
        """Milliseconds until the caller stops waiting; 0 when it did not say."""
        return max(0, self._deadline_ms - int(time.time() * 1000)) if self._deadline_ms else 0


class Answer:
    """What goes back: status, content type, body, and "Handled" or "Unhandled" when it is a failure."""

    __slots__ = ("status", "type", "body", "error")

    def __init__(self, status, content_type, body, error=None):
        self.status = status
        self.type = content_type
        self.body = body
        self.error = error


def own_functions(module):
    """The public functions that the file itself defines, by name."""
    return {name: value for name, value in vars(module).items()
            if not name.startswith("_") and inspect.isfunction(value) and value.__module__ == module.__name__}


def find(module, name, file):
    """The callable of that name; without a name `handler`, else the only function. Raises HandlerNotFound."""
    scope = vars(module)
    if not name and "handler" not in scope:
        functions = own_functions(module)
        if len(functions) == 1:
            return next(iter(functions.values()))
    shown = name or "handler"
    if shown not in scope or shown.startswith("__"):
        raise HandlerNotFound(f"{shown} is not defined in file {file}")
    if not callable(scope[shown]):
        raise HandlerNotFound(f"{shown} is not a function in file {file}")
    return scope[shown]


def accepted_arguments(function):
    """How many of (event, context) the function takes."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 2
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 2
    return min(2, sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters))


class Coroutines:
    """One event loop in a thread of its own, started by the first async handler, on which all of them run."""

    def __init__(self):
        self._lock = threading.Lock()
        self._loop = None

    def _started(self):
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="coroutines", daemon=True).start()
            return self._loop

    def run(self, awaitable, caller_is_there):
        """Waits for the result; cancels what runs for a caller who has gone."""
        future = asyncio.run_coroutine_threadsafe(_await(awaitable), self._started())
        while True:
            try:
                return future.result(CALLER_CHECK_S)
            except concurrent.futures.TimeoutError:
                if future.done():
                    return future.result()
                if not caller_is_there():
                    future.cancel()
                    raise CallerGone("the caller has gone") from None


async def _await(awaitable):
    return await awaitable


def call(function, event, context, coroutines, caller_is_there):
    """Calls it with as many of (event, context) as it takes. Never raises: every outcome is an Answer."""
    try:
        returned = function(*(event, context)[:accepted_arguments(function)])
        if inspect.isawaitable(returned):
            returned = coroutines.run(returned, caller_is_there)
        return success(returned)
    except CallerGone as error:
        return failure(error)
    except BaseException as error:  # even sys.exit() in a handler ends the call, not the thread
        report(error, context.aws_request_id)
        return failure(error)


def success(value):
    if isinstance(value, (bytes, bytearray, memoryview)):
        return Answer(200, "application/octet-stream", bytes(value))
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Answer(200, "application/json", text.encode("utf-8", "surrogatepass"))


def failure(error, status=500, name=None):
    described = {"errorType": name or type(error).__name__, "errorMessage": text_of(error), "stackTrace": frames(error)}
    body = json.dumps(described).encode()
    return Answer(status, "application/json", body, "Unhandled")


def text_of(error):
    try:
        return str(error)
    except Exception:
        return "its text cannot be made"


def report(error, request_id):
    """Writes the traceback to stderr, for the task's log, without this wrapper's frames and in one piece."""
    try:
        shown = traceback.TracebackException(type(error), error, error.__traceback__)
        _without_ours(shown)
        text = "".join(shown.format())[:MAX_REPORT].rstrip("\n") + "\n"
        sys.stderr.write(f"call {request_id}: {text}" if request_id else text)
        sys.stderr.flush()
    except Exception:
        pass  # the answer tells it too


def _without_ours(shown):
    while shown:
        shown.stack = traceback.StackSummary.from_list(_own_frames(shown.stack))
        shown = shown.__cause__ or shown.__context__


def frames(error):
    """The handler's own frames, innermost last, without those of this wrapper."""
    return [line.strip() for line in traceback.format_list(_own_frames(traceback.extract_tb(error.__traceback__)))]


def _own_frames(stack):
    """What follows the wrapper's last frame, the innermost MAX_FRAMES of it."""
    ours = [i for i, frame in enumerate(stack) if _is_ours(frame.filename)]
    return stack[max(ours, default=-1) + 1:][-MAX_FRAMES:]


def _is_ours(filename):
    return filename.startswith(__file__.rsplit("/", 1)[0] + "/")
