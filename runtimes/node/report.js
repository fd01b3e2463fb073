// What a function threw, for the task's log: the name of its call, then the error as Node itself shows one, without this wrapper's frames.
'use strict';

const { inspect } = require('util');

const MAX_CHARACTERS = 16 * 1024;

function show(err) {
  try {
    return inspect(err);
  } catch {
    return 'something that cannot be shown';
  }
}

function isOurs(line) {
  return /^\s+at /.test(line) && line.includes(__dirname);
}

// In one write, so that the lines stay together. A task that has closed its stderr goes without.
function report(err, requestId) {
  const text = show(err).slice(0, MAX_CHARACTERS).split('\n').filter((line) => !isOurs(line)).join('\n');
  try {
    process.stderr.write(requestId ? `call ${requestId}: ${text}\n` : `${text}\n`);
  } catch {
    // the answer tells it too
  }
}

module.exports = { report };
