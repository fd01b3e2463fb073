'use strict';
// npm's own grid-api, unmodified, against a grid of three nodes.
const assert = require('assert');
const api = require('grid-api');
const { promise, run } = require('./cases');

// Points the client at the node without a deploy.
const attach = (address) => promise((cb) => api.init({ port: +address.split(':')[1], skip_grid: true, task_folder: 'tasks' }, cb));
const call = (method, ...args) => new Promise((resolve) => api[method](...args, (err, data, server) => resolve({ err, data, server })));

run({
  async init(address, project) {
    const tasks = await promise((cb) => api.init({ port: +address.split(':')[1], base_folder: project, task_folder: 'tasks', instances: 1, env: { WORD: 'set' } }, cb));
    assert.deepStrictEqual(Object.keys(tasks).sort(), ['echo', 'faults', 'pyecho']);
    assert.strictEqual(tasks.echo.pm2_name, 'task:echo');
  },

  async 'three nodes answer'(address) {
    await attach(address);
    for (const method of ['exec', 'invoke', 'dispatch']) {
      const names = new Set();
      for (let i = 0; i < 6; i++) {
        const { err, data, server } = await call(method, 'echo', { name: 'yey', nested: { a: [1] } });
        assert.strictEqual(err, null);
        assert.deepStrictEqual(data, { name: 'yey', nested: { a: ['1'] } });
        names.add(server.name);
      }
      assert.deepStrictEqual([...names].sort(), ['node1', 'node2', 'node3'], method);
    }
  },

  async 'python tasks answer'(address) {
    await attach(address);
    assert.deepStrictEqual((await call('exec', 'pyecho', { a: 'b' })).data, { a: 'b' });
  },

  async 'strings and nothing pass'(address) {
    await attach(address);
    assert.strictEqual((await call('exec', 'echo', 'plain str')).data, 'plain str');
    assert.strictEqual((await call('exec', 'echo')).err, null);
  },

  async 'env is set'(address) {
    await attach(address);
    assert.strictEqual((await call('exec', 'echo.env')).data, 'set');
  },

  async 'errors come as errors'(address) {
    await attach(address);
    assert.strictEqual((await call('exec', 'absent', {})).err.message, 'Task file absent does not exists');
    assert.match((await call('exec', 'faults.throws', {})).err.message, /thrown on purpose/);
    assert.strictEqual((await call('exec', 'faults.text', {})).err, 'just a string');
    assert.strictEqual((await call('exec', 'faults.slow', { ms: 20000 }, { timeout: 300 })).err.code, 'ETIMEDOUT');
  },

  async broadcast(address) {
    await attach(address);
    // The npm version sends an empty body: the grid says so in one object, and the stream ends.
    const pieces = [];
    await new Promise((resolve, reject) => {
      const events = api.broadcast('echo', { a: 1 });
      events.on('task:progress', (piece) => pieces.push(piece.toString()));
      events.on('end', resolve);
      events.on('error', reject);
    });
    assert.match(JSON.stringify(JSON.parse(pieces.join('')).err), /task_id/);
  },

  async lists(address) {
    await attach(address);
    const hosts = await promise((cb) => api.listHosts(cb));
    assert.deepStrictEqual(hosts.map((h) => h.name).sort(), ['node1', 'node2', 'node3']);
    const tasks = await promise((cb) => api.listTasks(cb));
    assert.strictEqual(tasks.length, 3);
    const stats = await promise((cb) => api.listTasksStats(cb));
    assert.ok(stats.echo.invokations > 0);
    assert.deepStrictEqual(await promise((cb) => api.listProcessingTasks(cb)), []);
    assert.strictEqual(typeof await promise((cb) => api.getConf(cb)), 'object');
  },

  async stop(address) {
    await attach(address);
    const answer = await promise((cb) => api.stopTasks(cb));
    assert.strictEqual(answer.success, true);
    assert.strictEqual(answer.processes_deleted.length, 3);
  },
});
