"""Tasks that tests deploy: well-behaved ones in three languages, and one of every bad kind."""

from gridtest import Project

# The original documentation's JavaScript example, with the network taken out: exports.NAME = function(data, cb).
REQUEST_JS = """\
exports.getIp = function(data, cb) {
  setImmediate(function() { cb(null, {ip: '203.0.113.7', asked: data}); });
};
"""

# The original documentation's Python example in its Python 3 spelling: a server of its own with only do_GET.
PYTHON_WEB = """\
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Type', 'text/plain')
        self.end_headers()
        self.wfile.write(b'Hello from Python')

    def log_message(self, *args):
        pass

HTTPServer(('', int(os.environ['TASK_PORT'])), Handler).serve_forever()
"""

# A program that answers what the test's body asks for. {"head": raw bytes as latin-1, "close": bool} are written as they stand.
RAW_SERVER = """\
#!/usr/bin/python3
import json, os, socket, threading, time

def serve(sock):
    stream = sock.makefile('rb')
    while True:
        line = stream.readline()
        if not line:
            return
        length = 0
        while True:
            header = stream.readline().decode('latin-1').strip()
            if not header:
                break
            name, _, value = header.partition(':')
            if name.lower() == 'content-length':
                length = int(value)
            if name.lower() == 'expect':
                sock.sendall(b'HTTP/1.1 100 Continue\\r\\n\\r\\n')
        plan = json.loads(stream.read(length) or b'{}')
        time.sleep(plan.get('delay', 0))
        if plan.get('die'):
            os._exit(3)
        answer = plan.get('raw', 'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok').encode('latin-1')
        try:
            sock.sendall(answer)
            for _ in range(plan.get('more_mib', 0)):
                sock.sendall(bytes(1 << 20))
            if plan.get('close'):
                return sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

server = socket.create_server(('127.0.0.1', int(os.environ['TASK_PORT'])))
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""

# Answers with what it was asked, headers included.
HEADERS_SERVER = """\
#!/usr/bin/python3
import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        answer = json.dumps({'method': self.command, 'path': self.path, 'body': body.decode('latin-1'),
                             'headers': {k.lower(): v for k, v in self.headers.items()},
                             'env': {k: v for k, v in os.environ.items()}}).encode()
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass

ThreadingHTTPServer(('127.0.0.1', int(os.environ['TASK_PORT'])), Handler).serve_forever()
"""

# One thread, and connections kept open: a second connection is not looked at while the first is open.
SINGLE_THREADED = """\
import json, os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

HTTPServer(('127.0.0.1', int(os.environ['TASK_PORT'])), Handler).serve_forever()
"""

# Writes what happens to each call into a file, one line each, so that a test can tell what ran where.
HISTORY_JS = """\
const fs = require('fs');
exports.handler = async (event) => {
  const say = (what) => fs.appendFileSync(process.env.GRID_DATA_DIR + '/history', `${what} ${event.n} ${process.env.GRID_NODE_ID}\\n`);
  say('start');
  await new Promise((done) => setTimeout(done, event.ms || 0));
  say('end');
  return {n: event.n};
};
"""

FAULTS_JS = """\
exports.throws = () => { throw new TypeError('thrown on purpose'); };
exports.rejects = async () => { throw new RangeError('rejected on purpose'); };
exports.text = (data, cb) => cb('just a string');
exports.slow = (data, cb) => setTimeout(() => cb(null, {slept: true}), (data && +data.ms) || 1000);
exports.exits = () => { process.exit(7); };
exports.nofunction = 42;
exports.nothing = () => {};
exports.big = () => 'x'.repeat(7 * 1024 * 1024);
exports.who = () => ({pid: process.pid});
"""

FAULTS_PY = """\
import asyncio, os

def raises(event, context):
    raise ValueError('raised on purpose')

async def waits(event, context):
    await asyncio.sleep(0.01)
    return {'waited': event}

def about(event, context):
    return {'name': context.function_name, 'id': context.aws_request_id, 'left': context.get_remaining_time_in_millis()}

def who(event, context):
    return {'pid': os.getpid()}
"""

SHELL = """\
#!/bin/sh
exec /usr/bin/python3 -c '
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
class H(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200); self.end_headers(); self.wfile.write(b"shell:" + body)
    def log_message(self, *a): pass
HTTPServer(("127.0.0.1", int(os.environ["TASK_PORT"])), H).serve_forever()'
"""


def well_behaved(project):
    """Every language, nothing that fails."""
    project.js("jsecho", "exports.handler = (event) => event;\n").js("request", REQUEST_JS)
    project.py("pyecho", "def handler(event, context):\n    return event\n").py("pyweb", PYTHON_WEB)
    project.program("cecho").executable("shell", SHELL).executable("headers", HEADERS_SERVER)
    return project


def faulty(project):
    """Tasks that start, and then do wrong when asked to."""
    return project.js("faults", FAULTS_JS).py("pyfaults", FAULTS_PY).executable("raw", RAW_SERVER)


def broken(project):
    """Tasks that never become ready."""
    project.js("crashes", "throw new Error('crash at load');\n").py("syntax", "def handler(:\n")
    return project.executable("silent", "#!/bin/sh\nexec sleep 1000\n").executable("missing", "#!/no/such/interpreter\n")


def everything(folder):
    return faulty(well_behaved(Project(folder)))
