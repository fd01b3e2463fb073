'use strict';
const os = require('os');

// grid invoke hello -d '{"name": "you"}'
exports.handler = async (event, context) => {
  const name = (event && event.name) || 'world';
  return { message: `hello, ${name}`, from: os.hostname(), pid: process.pid, request: context.awsRequestId };
};

// grid invoke hello.where, in the callback style
exports.where = (data, cb) => cb(null, { task: process.env.TASK_NAME, port: Number(process.env.TASK_PORT), pid: process.pid });
