// Finds a function of a task's file, calls it the way it was written for, and turns what comes out into an answer.
'use strict';

const { EventEmitter } = require('events');
const { report } = require('./report');

const MAX_FRAMES = 32;

class HandlerNotFound extends Error {
  constructor(message) {
    super(message);
    this.name = 'HandlerNotFound';
  }
}

// What a file exports beyond an untouched `module.exports` is what it wants called.
function hasExports(exported) {
  if (typeof exported === 'function')
    return true;
  if (exported === null || typeof exported !== 'object')
    return false;
  const prototype = Object.getPrototypeOf(exported);
  return Object.keys(exported).length > 0 || (prototype !== Object.prototype && prototype !== null);
}

// The named property of `object` itself or of its classes, never of Object or Function.
function member(object, name) {
  for (let o = object; o && o !== Object.prototype && o !== Function.prototype; o = Object.getPrototypeOf(o)) {
    if (Object.prototype.hasOwnProperty.call(o, name))
      return { owner: object, value: object[name] };
  }
  return null;
}

// Module namespaces first, then what `export default` gave.
function scopes(exported) {
  const isNamespace = exported[Symbol.toStringTag] === 'Module';
  const inner = isNamespace ? exported.default : null;
  const isScope = inner !== null && (typeof inner === 'object' || typeof inner === 'function');
  return isScope ? [exported, inner] : [exported];
}

function findNamed(exported, name) {
  for (const scope of scopes(exported)) {
    const found = name !== 'default' || scope !== exported ? member(scope, name) : null;
    if (found)
      return found;
  }
  const whole = name === 'default' ? scopes(exported)[1] : undefined;
  return typeof whole === 'function' ? { owner: undefined, value: whole } : null;
}

// Without a name: what is exported itself, else `handler`, else the only function.
function findDefault(exported) {
  const all = scopes(exported);
  const whole = all.find((scope) => typeof scope === 'function');
  if (whole)
    return { owner: undefined, value: whole };
  const named = findNamed(exported, 'handler');
  if (named)
    return named;
  const functions = all.flatMap((scope) => Object.keys(scope).map((key) => ({ owner: scope, value: scope[key] })))
    .filter((each) => typeof each.value === 'function');
  return functions.length === 1 ? functions[0] : null;
}

// The function to call, bound to the object it stands in. Throws HandlerNotFound with the contract's sentence.
function find(exported, name, file) {
  const found = name === '' ? findDefault(exported) : findNamed(exported, name);
  const shown = name === '' ? 'handler' : name;
  if (!found)
    throw new HandlerNotFound(`${shown} is not defined in file ${file}`);
  if (typeof found.value !== 'function')
    throw new HandlerNotFound(`${shown} is not a function in file ${file}`);
  return found;
}

// The second argument: a callback and the context object in one.
function makeContext(event, info, settle) {
  const context = (err, result) => settle(err ? failure(err, 'Handled') : success(result));
  context.awsRequestId = info.requestId;
  context.functionName = info.functionName;
  context.getRemainingTimeInMillis = () => (info.deadlineMs ? Math.max(0, info.deadlineMs - Date.now()) : 0);
  context.data = event;
  return context;
}

// An arrow function `(data, cb) => setTimeout(...)` returns a handle that nobody meant as the answer.
function isHandle(value) {
  return value instanceof EventEmitter || (value !== null && typeof value === 'object' && typeof value.hasRef === 'function');
}

// Calls it; `settle(answer)` is called once. A promise decides first, then a returned value, then the callback. What is thrown is reported,
// also when nobody waits for it any more.
function call(found, event, info, settle) {
  const context = makeContext(event, info, settle);
  const threw = (err) => {
    report(err, info.requestId);
    settle(failure(err, 'Unhandled'));
  };
  let returned;
  try {
    returned = found.value.call(found.owner, event, context, context);
  } catch (err) {
    threw(err);
    return;
  }
  if (returned !== null && returned !== undefined && typeof returned.then === 'function')
    returned.then((value) => settle(success(value)), threw);
  else if (found.value.length < 2 || (returned !== undefined && !isHandle(returned)))
    settle(success(returned));
}

function success(value) {
  if (value instanceof Uint8Array)
    return { status: 200, type: 'application/octet-stream', body: Buffer.from(value.buffer, value.byteOffset, value.byteLength) };
  if (value instanceof ArrayBuffer)
    return { status: 200, type: 'application/octet-stream', body: Buffer.from(value) };
  try {
    const text = JSON.stringify(value);
    return { status: 200, type: 'application/json', body: Buffer.from(text === undefined ? 'null' : text) };
  } catch (err) {
    return failure(err, 'Unhandled');
  }
}

function failure(err, kind, status = 500) {
  const body = Buffer.from(JSON.stringify(describe(err)));
  return { status, type: 'application/json', body, error: kind };
}

// An Error by name, message, code and frames; anything else as it was given: a string as itself, the rest as JSON.
function describe(err) {
  if (!(err instanceof Error) && Object.prototype.toString.call(err) !== '[object Error]')
    return { errorType: typeof err, errorMessage: typeof err === 'string' ? err : asText(err), stackTrace: [] };
  const described = { errorType: String(err.name), errorMessage: String(err.message), stackTrace: frames(err) };
  if (typeof err.code === 'string' || typeof err.code === 'number')
    described.code = err.code;
  return described;
}

function asText(value) {
  try {
    const text = JSON.stringify(value);
    return text === undefined ? String(value) : text;
  } catch {
    return String(value);
  }
}

function frames(err) {
  const lines = typeof err.stack === 'string' ? err.stack.split('\n') : [];
  return lines.filter((line) => /^\s+at /.test(line)).slice(0, MAX_FRAMES).map((line) => line.trim());
}

module.exports = { HandlerNotFound, call, failure, find, hasExports };
