#!/usr/bin/env python3
"""Runs one Python task: `python3 -u run.py FILE`.

The file runs as it is, as `__main__`. If it listens on TASK_PORT by itself it is left alone (most such files never return from being
run); if it only defines functions, a server is put around them.
"""
import importlib.machinery
import os
import sys
import traceback
import types

from gridcontrol_runtime import call, compiled, server

WRAPPER = sys.modules["__main__"]  # kept alive: its name goes to the task's file


class Watch:
    """Notices a socket bound to the task's port, without touching the socket module."""

    def __init__(self, port):
        self.port = port
        self.bound = False

    def __call__(self, event, arguments):
        if event == "socket.bind" and isinstance(arguments[1], tuple) and arguments[1][1] == self.port:
            self.bound = True


def new_main(file):
    """A fresh `__main__` module, as the interpreter makes it for a file run by hand."""
    module = types.ModuleType("__main__")
    module.__file__ = file
    module.__builtins__ = __builtins__
    module.__loader__ = importlib.machinery.SourceFileLoader("__main__", file)
    sys.modules["__main__"] = module
    sys.argv[:] = [file]
    sys.path[0] = os.path.dirname(os.path.abspath(file))
    return module


def run_file(file, module):
    """Runs it; a failure is shown without the wrapper's own frames and exits 1."""
    try:
        with open(file, "rb") as source:
            code = compile(source.read(), file, "exec", dont_inherit=True)
        exec(code, module.__dict__)
    except Exception as error:
        trace = error.__traceback__.tb_next
        traceback.print_exception(type(error), error, trace)
        sys.exit(1)


def main():
    port = os.environ.get("TASK_PORT", "")
    if len(sys.argv) < 2 or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        print("usage: TASK_PORT=PORT python3 -u run.py FILE", file=sys.stderr)
        sys.exit(2)
    sys.stdout.reconfigure(write_through=True)
    file = sys.argv[1]
    watch = Watch(int(port))
    sys.addaudithook(watch)
    compiled.forget_older(os.environ.get("PYTHONPYCACHEPREFIX"))
    module = new_main(file)
    run_file(file, module)
    if watch.bound:
        return
    name = os.path.basename(file)
    if not call.own_functions(module) and not callable(getattr(module, "handler", None)):
        print(f"{name} neither listens on TASK_PORT nor defines a function: there is nothing to call", file=sys.stderr)
        sys.exit(1)
    server.exit_on_thread_failure()
    server.TaskServer(module, name).serve(int(port))


main()
