'use strict';
// @aws-sdk/client-lambda against the Lambda door of a node.
const assert = require('assert');
const fs = require('fs');
const https = require('https');
const path = require('path');
const { InvokeCommand, LambdaClient } = require('@aws-sdk/client-lambda');
const { run } = require('./cases');

const client = (address) => new LambdaClient({
  endpoint: `http://${address}`, region: 'us-east-1', maxAttempts: 1, credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
});
const invoke = (address, input) => client(address).send(new InvokeCommand(input));
const text = (answer) => Buffer.from(answer.Payload).toString();

run({
  async 'a client certificate'(address, folder) {
    const read = (name) => fs.readFileSync(path.join(folder, name));
    const agent = new https.Agent({ ca: read('ca.crt'), cert: read('invoke.crt'), key: read('invoke.key') });
    const remote = new LambdaClient({
      endpoint: `https://${address}`, region: 'us-east-1', maxAttempts: 1, credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
      requestHandler: { httpsAgent: agent },
    });
    const answer = await remote.send(new InvokeCommand({ FunctionName: 'echo', Payload: Buffer.from('{"over":"TLS"}') }));
    assert.deepStrictEqual(JSON.parse(text(answer)), { over: 'TLS' });
  },

  async 'request and response'(address) {
    for (let i = 0; i < 3; i++) {
      const answer = await invoke(address, { FunctionName: 'echo', Payload: Buffer.from('{"key":"value"}') });
      assert.strictEqual(answer.StatusCode, 200);
      assert.deepStrictEqual(JSON.parse(text(answer)), { key: 'value' });
      assert.ok(answer.ExecutedVersion);
      assert.strictEqual(answer.FunctionError, undefined);
      assert.strictEqual(answer.$metadata.requestId.length, 36);
    }
  },

  async 'function error'(address) {
    const answer = await invoke(address, { FunctionName: 'faults.throws', Payload: Buffer.from('{}') });
    assert.strictEqual(answer.StatusCode, 200);
    assert.strictEqual(answer.FunctionError, 'Unhandled');
    assert.strictEqual(JSON.parse(text(answer)).errorMessage, 'thrown on purpose');
  },

  async 'dry run'(address) {
    assert.strictEqual((await invoke(address, { FunctionName: 'echo', InvocationType: 'DryRun' })).StatusCode, 204);
  },

  async 'service errors'(address) {
    await assert.rejects(invoke(address, { FunctionName: 'absent' }), { name: 'ResourceNotFoundException', Type: 'User' });
    await assert.rejects(invoke(address, { FunctionName: 'echo', Payload: Buffer.from('{bad') }), { name: 'InvalidRequestContentException' });
    await assert.rejects(invoke(address, { FunctionName: 'echo', Payload: Buffer.from('"' + 'x'.repeat(6291456) + '"') }),
      (error) => /^RequestTooLarge|^RequestEntityTooLarge/.test(error.name));
  },

  async 'names as ARNs'(address) {
    const answer = await invoke(address, { FunctionName: 'arn:aws:lambda:us-east-1:123456789012:function:echo', Qualifier: '$LATEST', Payload: Buffer.from('1') });
    assert.strictEqual(text(answer), '1');
  },
});
