'use strict';
// @grpc/grpc-js, grpc-js-reflection-client and grpc-health-check against a node's local API.
const assert = require('assert');
const fs = require('fs');
const path = require('path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const health = require('grpc-health-check');
const { GrpcReflection } = require('grpc-js-reflection-client');
const { promise, run } = require('./cases');

const OPTIONS = { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true };
const insecure = () => grpc.credentials.createInsecure();

function invoke(address, options, credentials = insecure()) {
  const definition = loader.loadSync('grid/v1/invoke.proto', { ...OPTIONS, includeDirs: [path.join(__dirname, '../../api/proto')] });
  return new (grpc.loadPackageDefinition(definition).grid.v1.Invoke)(address, credentials, options);
}

const call = (client, request, options = {}) => promise((cb) => client.Call(request, options, cb));
const collect = (stream) => new Promise((resolve, reject) => {
  const parts = [];
  stream.on('data', (part) => parts.push(part)).on('end', () => resolve(parts)).on('error', reject);
});

async function fails(work, code) {
  await assert.rejects(work, (error) => {
    assert.strictEqual(error.code, code, `${error.code}: ${error.details}`);
    return true;
  });
}

run({
  async unary(address) {
    const client = invoke(address);
    const answer = await call(client, { task: 'echo', json: '{"a":1e2}' });
    assert.strictEqual(answer.status, 200);
    assert.deepStrictEqual(JSON.parse(answer.json), { a: 100 });
    const names = new Set();
    for (let i = 0; i < 6; i++)
      names.add((await call(client, { task: 'echo', json: '1' })).node.name);
    assert.strictEqual(names.size, 3);
  },

  async streaming(address) {
    const parts = await collect(invoke(address).CallStream({ task: 'echo', json: '"stream"' }));
    assert.strictEqual(parts[0].part, 'head');
    assert.strictEqual(parts[parts.length - 1].part, 'end');
    assert.strictEqual(Buffer.concat(parts.filter((p) => p.data).map((p) => p.data)).toString(), '"stream"');
  },

  async broadcast(address) {
    const answers = await collect(invoke(address).Broadcast({ task: 'echo', json: '2' }));
    assert.deepStrictEqual(answers.map((a) => a.node.name).sort(), ['node1', 'node2', 'node3']);
  },

  async faults(address) {
    const client = invoke(address);
    await fails(call(client, { task: 'absent', json: '1' }), grpc.status.NOT_FOUND);
    assert.strictEqual((await call(client, { task: 'faults', handler: 'throws', json: '{}' })).error.type, 'TypeError');
  },

  async deadline(address) {
    await fails(call(invoke(address), { task: 'faults', handler: 'slow', json: '{"ms":20000}' }, { deadline: Date.now() + 300 }), grpc.status.DEADLINE_EXCEEDED);
  },

  async cancellation(address) {
    const client = invoke(address);
    await fails(new Promise((resolve, reject) => {
      const running = client.Call({ task: 'faults', handler: 'slow', json: '{"ms":20000}' }, (error) => (error ? reject(error) : resolve()));
      setTimeout(() => running.cancel(), 200);
    }), grpc.status.CANCELLED);
    assert.strictEqual((await call(client, { task: 'echo', json: '3' })).json, '3');
  },

  async 'gzip compression'(address) {
    const client = invoke(address, { 'grpc.default_compression_algorithm': 2 });
    const text = JSON.stringify('squeeze me '.repeat(20000));
    assert.strictEqual((await call(client, { task: 'echo', json: text })).json, text);
  },

  async 'many streams at once'(address) {
    const client = invoke(address);
    const answers = await Promise.all(Array.from({ length: 300 }, (_, i) => call(client, { task: 'echo', json: String(i) })));
    assert.deepStrictEqual(answers.map((a) => +a.json), Array.from({ length: 300 }, (_, i) => i));
  },

  async 'metadata comes back'(address) {
    const client = invoke(address);
    const status = await new Promise((resolve, reject) => {
      const metadata = new grpc.Metadata();
      metadata.set('x-own', 'value');
      metadata.set('x-own-bin', Buffer.from([0, 255]));
      client.Call({ task: 'echo', json: '1' }, metadata, (error) => error && reject(error)).on('status', resolve);
    });
    assert.strictEqual(status.code, 0);
  },

  async reflection(address) {
    for (const version of ['v1', 'v1alpha']) {
      const client = new GrpcReflection(address, insecure(), {}, version);
      const services = await client.listServices();
      for (const name of ['grid.v1.Invoke', 'grid.v1.Control', 'grpc.health.v1.Health'])
        assert.ok(services.includes(name), `${version}: ${services}`);
      const methods = await client.listMethods('grid.v1.Invoke');
      assert.deepStrictEqual(methods.map((m) => m.name).sort(), ['Broadcast', 'Call', 'CallStream']);
      const found = (await client.getDescriptorBySymbol('grid.v1.Invoke')).getPackageObject(OPTIONS);
      const answer = await call(new found.grid.v1.Invoke(address, insecure()), { task: 'echo', json: '"by reflection"' });
      assert.strictEqual(answer.json, '"by reflection"');
    }
  },

  async 'a client certificate'(address, folder) {
    const read = (name) => fs.readFileSync(path.join(folder, name));
    const credentials = grpc.credentials.createSsl(read('ca.crt'), read('invoke.key'), read('invoke.crt'));
    const client = invoke(address, {}, credentials);
    assert.strictEqual((await call(client, { task: 'echo', json: '"over TLS"' })).json, '"over TLS"');
    const definition = loader.loadSync('grid/v1/control.proto', { ...OPTIONS, includeDirs: [path.join(__dirname, '../../api/proto')] });
    const control = new (grpc.loadPackageDefinition(definition).grid.v1.Control)(address, credentials);
    await fails(promise((cb) => control.Clear({}, cb)), grpc.status.PERMISSION_DENIED);
    await fails(call(invoke(address, { 'grpc.ssl_target_name_override': 'another.example' }, credentials), { task: 'echo' }), grpc.status.UNAVAILABLE);
    await fails(call(invoke(address, {}, grpc.credentials.createSsl(read('ca.crt'))), { task: 'echo' }), grpc.status.UNAVAILABLE);
  },

  async health(address) {
    const Health = grpc.makeGenericClientConstructor(health.service, 'grpc.health.v1.Health');
    const client = new Health(address, insecure());
    const check = (service) => promise((cb) => client.Check({ service }, cb));
    assert.strictEqual((await check('')).status, 'SERVING');
    assert.strictEqual((await check('grid.v1.Invoke')).status, 'SERVING');
    await fails(check('absent'), grpc.status.NOT_FOUND);
    const watch = client.Watch({ service: 'absent' });
    const first = await new Promise((resolve, reject) => watch.on('data', resolve).on('error', reject));
    assert.strictEqual(first.status, 'SERVICE_UNKNOWN');
    watch.on('error', () => {});
    watch.cancel();
  },
});
