// The Node wrapper, as real processes: node --test tests/unit/runtimes/test_node_runtime.mjs
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const RUN = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../runtimes/node/run.js');
const DEADLINE_MS = 20000;
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'grid-node-'));
const children = new Set();

after(() => {
  for (const child of children)
    child.kill('SIGKILL');
  fs.rmSync(folder, { recursive: true });
});

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => resolve(true) || socket.destroy());
    socket.on('error', () => resolve(false));
  });
}

async function until(condition, what) {
  for (const start = Date.now(); Date.now() - start < DEADLINE_MS; await new Promise((r) => setTimeout(r, 10))) {
    if (await condition())
      return;
  }
  assert.fail(`not within the deadline: ${what}`);
}

function write(name, source) {
  const file = path.join(folder, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, source);
  return file;
}

function launch(file, port, env = {}) {
  const child = spawn(process.execPath, [RUN, file],
    { env: { PATH: process.env.PATH, TASK_PORT: String(port), TASK_NAME: 'job', ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  child.output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data) => { child.output += data; });
  child.ended = once(child, 'close').then(([code, signal]) => {
    children.delete(child);
    return { code, signal, output: child.output };
  });
  return child;
}

async function start(name, source, env) {
  const port = await freePort();
  const child = launch(write(name, source), port, env);
  await until(async () => child.exitCode !== null || accepts(port), `${name} listens`);
  assert.equal(child.exitCode, null, child.output);
  return { child, port, agent: new http.Agent({ keepAlive: true }) };
}

function request(task, { method = 'POST', path: target = '/', headers = {}, body = '' } = {}) {
  return new Promise((resolve, reject) => {
    const req = http.request({ port: task.port, host: '127.0.0.1', method, path: target, headers, agent: task.agent }, async (res) => {
      const parts = [];
      for await (const part of res)
        parts.push(part);
      resolve({ status: res.statusCode, headers: res.headers, raw: Buffer.concat(parts), reused: req.reusedSocket });
    });
    req.on('error', reject);
    req.end(body);
  });
}

async function invoke(task, handler, data, headers = {}) {
  const body = data === undefined ? '' : JSON.stringify(data);
  const answer = await request(task, { headers: { 'Grid-Handler': handler, 'Content-Type': 'application/json', ...headers }, body });
  return { ...answer, json: JSON.parse(answer.raw.toString() || 'null') };
}

async function stop(task) {
  task.agent.destroy();
  task.child.kill('SIGTERM');
  const ended = await task.child.ended;
  assert.equal(ended.code, 0, ended.output);
}

test("the original's example: exports.getIp = function(data, cb)", async () => {
  const task = await start('req.js', `
    exports.getIp = function(data, cb) {
      setTimeout(function() { cb(null, { ip: '127.0.0.1', asked: data.name }); }, 1);
    };`);
  assert.deepEqual((await invoke(task, 'getIp', { name: 'yey' })).json, { ip: '127.0.0.1', asked: 'yey' });
  assert.deepEqual((await invoke(task, '', { name: 'only' })).json, { ip: '127.0.0.1', asked: 'only' });
  await stop(task);
});

const SHAPES = `
  exports.callback = (data, cb) => { setImmediate(() => cb(null, data)); };
  exports.callbackNothing = (data, cb) => { cb(); };
  exports.handle = (data, cb) => setTimeout(() => cb(null, 'late'), 5);
  exports.three = (event, context, cb) => { setImmediate(() => cb(null, [event, context.functionName])); };
  exports.sync = (event) => event * 2;
  exports.syncTwo = (event, context) => context.functionName;
  exports.syncNothing = (event) => {};
  exports.asyncOne = async (event) => ({ got: event });
  exports.asyncTwo = async (event, context) => [context.awsRequestId, context.data, context.getRemainingTimeInMillis() > 1000];
  exports.asyncNothing = async (event, cb) => {};
  exports.twice = (data, cb) => { cb(null, 1); cb(null, 2); };
  exports.bytes = () => Buffer.from([0, 255, 10]);
  exports.self = function () { return typeof exports.sync === 'function' && this === exports; };
  exports.notFunction = 5;
  exports.cbString = (d, cb) => cb('nope');
  exports.cbError = (d, cb) => { const e = new TypeError('bad'); e.code = 'E_BAD'; cb(e); };
  exports.cbObject = (d, cb) => cb({ a: 1 });
  exports.thrown = () => { throw new RangeError('far'); };
  exports.thrownString = () => { throw 'plain'; };
  exports.rejected = async () => { throw new Error('later'); };
  exports.circular = () => { const a = {}; a.a = a; return a; };
`;

test('every shape of function answers as it was written', async () => {
  const task = await start('shapes.js', SHAPES);
  const headers = { 'Grid-Request-Id': 'id-1', 'Grid-Deadline-Ms': String(Date.now() + 60000) };
  const cases = [
    ['callback', { a: [1, null, 'é'] }, { a: [1, null, 'é'] }],
    ['callbackNothing', 1, null],
    ['handle', 1, 'late'],
    ['three', 1, [1, 'job']],
    ['sync', 21, 42],
    ['syncTwo', 1, 'job'],
    ['syncNothing', 1, null],
    ['asyncOne', 'x', { got: 'x' }],
    ['asyncTwo', { d: 1 }, ['id-1', { d: 1 }, true]],
    ['asyncNothing', 1, null],
    ['twice', 1, 1],
    ['self', 1, true],
    ['sync', null, 0],
  ];
  for (const [handler, data, expected] of cases) {
    const answer = await invoke(task, handler, data, headers);
    assert.equal(answer.status, 200, handler);
    assert.equal(answer.headers['content-type'], 'application/json', handler);
    assert.deepEqual(answer.json, expected, handler);
  }
  const bytes = await request(task, { headers: { 'Grid-Handler': 'bytes' } });
  assert.equal(bytes.headers['content-type'], 'application/octet-stream');
  assert.deepEqual([...bytes.raw], [0, 255, 10]);
  assert.equal(bytes.reused, true);
  await stop(task);
});

test('failures carry type, message and who is to blame', async () => {
  const task = await start('failing.js', SHAPES);
  const cases = [
    ['cbString', 500, 'Handled', 'string', 'nope'],
    ['cbError', 500, 'Handled', 'TypeError', 'bad'],
    ['cbObject', 500, 'Handled', 'object', '{"a":1}'],
    ['thrown', 500, 'Unhandled', 'RangeError', 'far'],
    ['thrownString', 500, 'Unhandled', 'string', 'plain'],
    ['rejected', 500, 'Unhandled', 'Error', 'later'],
    ['circular', 500, 'Unhandled', 'TypeError', null],
    ['absent', 404, 'Unhandled', 'HandlerNotFound', 'absent is not defined in file failing.js'],
    ['toString', 404, 'Unhandled', 'HandlerNotFound', 'toString is not defined in file failing.js'],
    ['__proto__', 404, 'Unhandled', 'HandlerNotFound', '__proto__ is not defined in file failing.js'],
    ['notFunction', 404, 'Unhandled', 'HandlerNotFound', 'notFunction is not a function in file failing.js'],
    ['', 404, 'Unhandled', 'HandlerNotFound', 'handler is not defined in file failing.js'],
  ];
  for (const [handler, status, kind, type, message] of cases) {
    const answer = await invoke(task, handler, 1);
    assert.equal(answer.status, status, handler);
    assert.equal(answer.headers['grid-function-error'], kind, handler);
    assert.equal(answer.json.errorType, type, handler);
    assert.ok(Array.isArray(answer.json.stackTrace), handler);
    if (message !== null)
      assert.equal(answer.json.errorMessage, message, handler);
  }
  assert.equal((await invoke(task, 'cbError', 1)).json.code, 'E_BAD');
  assert.deepEqual(Object.keys((await invoke(task, 'cbString', 1)).json), ['errorType', 'errorMessage', 'stackTrace']);
  await stop(task);
});

test('what a function throws stands on stderr, under the name of its call', async () => {
  const task = await start('throwing.js', `
    exports.thrown = () => { throw new RangeError('far', { cause: new Error('deeper') }); };
    exports.text = () => { throw 'plain'; };
    exports.odd = () => { throw { get a() { throw 1; }, [Symbol.for('nodejs.util.inspect.custom')]() { throw 2; } }; };
    exports.long = () => { throw new Error('x'.repeat(1 << 20)); };
    exports.late = async (data, cb) => { cb(null, 1); await null; throw new Error('after the answer'); };
    exports.said = (data, cb) => cb(new Error('said so'));
    exports.last = () => { throw new Error('last'); };`);
  for (const handler of ['thrown', 'text', 'odd', 'long', 'late', 'said', 'absent', 'last'])
    await invoke(task, handler, 1, { 'Grid-Request-Id': `id-${handler}` });
  await until(() => task.child.output.includes('Error: last'), 'all is written');
  const { output } = task.child;
  assert.match(output, /^call id-thrown: RangeError: far\n    at exports\.thrown \(.*throwing\.js:2:/m);
  assert.match(output, /cause.*Error: deeper\n/);
  assert.match(output, /^call id-text: 'plain'\n/m);
  assert.match(output, /^call id-odd: /m);
  assert.match(output, /^call id-late: Error: after the answer\n/m);
  assert.ok(output.length < 64 * 1024, `${output.length} bytes`);
  for (const absent of ['runtimes/node', 'said so', 'absent is not defined'])
    assert.ok(!output.includes(absent), absent);
  await stop(task);
});

test('the body is decoded by its content type', async () => {
  const task = await start('bodies.js', `
    exports.see = (event) => Buffer.isBuffer(event) ? ['bytes', event.toString('hex')] : [typeof event, event];`);
  const cases = [
    ['application/json', '{"a":0.1}', ['object', { a: 0.1 }]],
    ['application/json; charset=utf-8', '"é"', ['string', 'é']],
    ['application/cloudevents+json', '[1]', ['object', [1]]],
    ['application/json', '', ['object', null]],
    ['text/plain', 'hello é', ['string', 'hello é']],
    ['text/plain', '', ['string', '']],
    ['application/octet-stream', Buffer.from([0, 1]), ['bytes', '0001']],
    ['application/octet-stream', '', ['bytes', '']],
    ['', '', ['object', null]],
  ];
  for (const [type, body, expected] of cases) {
    const headers = type ? { 'Content-Type': type } : {};
    const answer = await request(task, { headers, body });
    assert.deepEqual(JSON.parse(answer.raw), expected, `${type} ${body}`);
  }
  const malformed = await request(task, { headers: { 'Content-Type': 'application/json' }, body: '{' });
  assert.equal(malformed.status, 400);
  assert.match(JSON.parse(malformed.raw).errorMessage, /^the body is not valid JSON: /);
  await stop(task);
});

test('what is no call is refused', async () => {
  const task = await start('small.js', 'module.exports = (d) => d;', { GRID_MAX_PAYLOAD: '100' });
  const get = await request(task, { method: 'GET' });
  assert.equal(get.status, 405);
  assert.equal(get.headers.allow, 'POST');
  assert.equal((await request(task, { path: '/other' })).status, 404);
  const text = { 'Content-Type': 'text/plain' };
  assert.equal((await request(task, { headers: text, body: 'x'.repeat(100) })).status, 200);
  assert.equal((await request(task, { headers: text, body: 'x'.repeat(101) })).status, 413);
  assert.equal((await request(task, { headers: { ...text, 'Transfer-Encoding': 'chunked' }, body: 'x'.repeat(101) })).status, 413);
  assert.equal((await request(task, { headers: { ...text, 'Transfer-Encoding': 'chunked' }, body: 'abc' })).raw.toString(), '"abc"');
  await stop(task);
});

test('every kind of module exports its functions', async () => {
  write('esm/package.json', '{"type":"module"}');
  write('folder/package.json', '{"main":"lib/start.js"}');
  write('folder/lib/start.js', 'exports.h = () => "folder";');
  const cases = [
    ['whole.js', 'module.exports = () => "whole"; module.exports.h = () => "h";', '', 'whole'],
    ['whole2.js', 'module.exports = () => "whole"; module.exports.h = () => "h";', 'h', 'h'],
    ['named.js', 'exports.a = () => "a"; exports.handler = () => "handler";', '', 'handler'],
    ['only.cjs', 'exports.only = () => "only"; exports.version = 3;', '', 'only'],
    ['object.js', 'class Job { h() { return this.v; } constructor() { this.v = "class"; } } module.exports = new Job();', 'h', 'class'],
    ['named.mjs', 'await Promise.resolve(); export function h() { return "mjs"; }', 'h', 'mjs'],
    ['default.mjs', 'export default () => "default"; export const h = () => "h";', '', 'default'],
    ['defaultobject.mjs', 'export default { h: () => "inner" };', 'h', 'inner'],
    ['esm/plain.js', 'export const handler = async () => "esm";', '', 'esm'],
    ['folder', null, 'h', 'folder'],
  ];
  for (const [name, source, handler, expected] of cases) {
    const port = await freePort();
    const child = launch(source === null ? path.join(folder, name) : write(name, source), port);
    const task = { child, port, agent: new http.Agent({ keepAlive: true }) };
    await until(async () => child.exitCode !== null || accepts(port), name);
    assert.equal((await invoke(task, handler, 1)).json, expected, name);
    await stop(task);
  }
});

test('a file that listens by itself is left alone, at once or later', async () => {
  const sources = {
    'own.js': `require('http').createServer((q, s) => s.end('own')).listen(process.env.TASK_PORT); exports.h = () => 'wrapped';`,
    'own2.js': `require('http').createServer((q, s) => s.end('own')).listen({ port: +process.env.PORT || +process.env.TASK_PORT });`,
    'main.js': `if (require.main === module) require('http').createServer((q, s) => s.end('own')).listen(+process.env.TASK_PORT, '127.0.0.1');`,
    'later.js': `setTimeout(() => require('http').createServer((q, s) => s.end('own')).listen(+process.env.TASK_PORT), 50);`,
    'own.mjs': `import http from 'http'; import { pathToFileURL } from 'url';
      if (import.meta.url !== pathToFileURL(process.argv[1]).href) throw new Error('not main');
      http.createServer((q, s) => s.end('own')).listen(process.env.TASK_PORT); export const h = () => 'wrapped';`,
    'takeover.js': `exports.h = () => 'wrapped';
      setTimeout(() => require('http').createServer((q, s) => s.end('own')).listen(+process.env.TASK_PORT), 200);`,
  };
  for (const [name, source] of Object.entries(sources)) {
    const task = await start(name, source);
    task.agent = new http.Agent();
    await until(async () => (await request(task).catch(() => ({ raw: '' }))).raw.toString() === 'own', name);
    task.child.kill('SIGKILL');
    await task.child.ended;
  }
});

test('a file that cannot be served says why and exits 1', async () => {
  const cases = [
    ['throws.js', 'throw new Error("at load");', /Error: at load/],
    ['throws.mjs', 'throw new Error("at load");', /Error: at load/],
    ['syntax.js', 'exports.h = (;', /SyntaxError/],
    ['empty.js', 'console.log("ran");', /empty\.js neither listens on TASK_PORT nor exports a function/],
    ['reject.js', 'exports.h = () => 1; Promise.reject(new Error("loose"));', /Error: loose/],
    ['timer.js', 'exports.h = () => 1; setTimeout(() => { throw new Error("outside"); }, 20);', /Error: outside/],
  ];
  for (const [name, source, message] of cases) {
    const { code, output } = await launch(write(name, source), await freePort()).ended;
    assert.equal(code, 1, name);
    assert.match(output, message, name);
  }
  const { code, output } = await launch(path.join(folder, 'absent.js'), await freePort()).ended;
  assert.equal(code, 1);
  assert.match(output, /absent\.js/);
});

test('a port in use ends the task with EADDRINUSE', async () => {
  const holder = net.createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  const { code, output } = await launch(write('used.js', 'exports.h = () => 1;'), holder.address().port).ended;
  holder.close();
  assert.equal(code, 1);
  assert.match(output, /EADDRINUSE/);
});

test('the stop signal lets calls in flight finish, then exits 0', async () => {
  for (const signal of ['SIGTERM', 'SIGINT']) {
    const task = await start('slow.js', `
      exports.h = (d, cb) => { console.log('called'); setTimeout(() => cb(null, 'done'), 200); };`);
    const answer = invoke(task, 'h', 1);
    await until(() => task.child.output.includes('called'), 'the call has begun');
    task.child.kill(signal);
    await until(async () => !(await accepts(task.port)), 'no longer accepting');
    assert.equal((await answer).json, 'done');
    assert.equal((await task.child.ended).code, 0);
    task.agent.destroy();
  }
});

test('a function that never answers holds nothing once its caller has gone', async () => {
  const task = await start('never.js', `
    const kept = [];
    exports.never = (data, cb) => { kept.push(cb); };
    exports.late = (data, cb) => { kept.forEach((each) => each(null, 'late')); cb(null, kept.length); };`);
  for (let i = 0; i < 5; i++) {
    const req = http.request({ port: task.port, host: '127.0.0.1', method: 'POST', headers: { 'Grid-Handler': 'never' } });
    req.on('error', () => {});
    req.end();
    await once(req, 'finish');
    await until(async () => { req.destroy(); return true; }, 'left');
  }
  const { json } = await invoke(task, 'late', 1);
  assert.ok(json >= 0);
  await stop(task); // exits although calls were never answered: they are in flight no longer
});

test("the task's own output passes through untouched", async () => {
  const task = await start('output.js', `
    process.stdout.write('to out\\n'); process.stderr.write('to err\\n'); exports.h = () => console.log('from call');`);
  await invoke(task, 'h', 1);
  await stop(task);
  const { output } = await task.child.ended;
  assert.deepEqual(output.split('\n').sort(), ['', 'from call', 'to err', 'to out']);
});
