// The HTTP/1.1 server around a file's functions: POST / on 127.0.0.1:TASK_PORT, one call per request.
'use strict';

const http = require('http');
const calls = require('./call');

const DEFAULT_MAX_PAYLOAD = 6 * 1024 * 1024;

class RequestError extends Error {
  constructor(status, name, message) {
    super(message);
    this.status = status;
    this.name = name;
  }
}

function maxPayload() {
  const limit = Number(process.env.GRID_MAX_PAYLOAD);
  return Number.isSafeInteger(limit) && limit > 0 ? limit : DEFAULT_MAX_PAYLOAD;
}

// Collects the body and gives it to `done(err, buffer)`; beyond `limit` bytes nothing more is kept.
function readBody(req, limit, done) {
  const tooLarge = () => done(new RequestError(413, 'PayloadTooLarge', `the body is larger than ${limit} bytes`));
  if (Number(req.headers['content-length']) > limit) {
    tooLarge();
    return;
  }
  const parts = [];
  let size = 0;
  const onData = (part) => {
    size += part.length;
    if (size <= limit) {
      parts.push(part);
      return;
    }
    req.removeListener('data', onData);
    req.removeListener('end', onEnd);
    tooLarge();
  };
  const onEnd = () => done(null, parts.length === 1 ? parts[0] : Buffer.concat(parts, size));
  req.on('data', onData);
  req.on('end', onEnd);
}

// JSON parsed, text as a string, anything else as bytes; nothing at all is null.
function decodeEvent(body, contentType) {
  const type = (contentType || '').split(';', 1)[0].trim().toLowerCase();
  if (type.startsWith('text/'))
    return body.toString('utf8');
  if (type !== 'application/json' && !type.endsWith('+json'))
    return body.length === 0 && type === '' ? null : body;
  if (body.length === 0)
    return null;
  try {
    return JSON.parse(body.toString('utf8'));
  } catch (err) {
    throw new RequestError(400, 'InvalidRequest', `the body is not valid JSON: ${err.message}`);
  }
}

function callInfo(headers) {
  return {
    requestId: headers['grid-request-id'] || '',
    functionName: process.env.TASK_NAME || '',
    deadlineMs: Number(headers['grid-deadline-ms']) || 0,
  };
}

// One request and its one answer. When the caller leaves, the response is let go, so that a function which never answers, or
// answers late, holds nothing of it.
class Exchange {
  constructor(server, res) {
    this.server = server;
    this.res = res;
    server.inFlight.add(this);
    res.on('close', () => this.closed());
  }

  settle(answer) {
    const res = this.res;
    this.res = null;
    if (res)
      this.server.answer(res, answer);
  }

  closed() {
    this.res = null;
    this.server.inFlight.delete(this);
    this.server.exitWhenIdle();
  }
}

class TaskServer {
  constructor(exported, file) {
    this.exported = exported;
    this.file = file;
    this.limit = maxPayload();
    this.inFlight = new Set();
    this.stopping = false;
    this.http = http.createServer({ noDelay: true, keepAlive: true }, (req, res) => this.onRequest(req, res));
    this.http.keepAliveTimeout = 0; // the node closes idle connections; closing here would race with its next call
  }

  listen(port) {
    this.http.listen(port, '127.0.0.1');
    process.on('SIGTERM', () => this.stop());
    process.on('SIGINT', () => this.stop());
  }

  onRequest(req, res) {
    const exchange = new Exchange(this, res);
    const settle = (answer) => exchange.settle(answer);
    if (req.method !== 'POST' || req.url !== '/') {
      settle(this.refuse(req));
      return;
    }
    readBody(req, this.limit, (err, body) => (err ? settle(this.requestFailed(err)) : this.invoke(req.headers, body, settle)));
  }

  invoke(headers, body, settle) {
    let found, event;
    try {
      found = calls.find(this.exported, headers['grid-handler'] || '', this.file);
      event = decodeEvent(body, headers['content-type']);
    } catch (err) {
      settle(this.requestFailed(err));
      return;
    }
    calls.call(found, event, callInfo(headers), settle);
  }

  requestFailed(err) {
    const known = err instanceof calls.HandlerNotFound || err instanceof RequestError;
    if (known)
      err.stack = '';
    return calls.failure(err, 'Unhandled', known ? err.status || 404 : 500);
  }

  refuse(req) {
    if (req.method !== 'POST')
      return this.requestFailed(new RequestError(405, 'MethodNotAllowed', `${req.method} is not served, functions are called with POST /`));
    return this.requestFailed(new RequestError(404, 'NotFound', 'functions are called with POST /'));
  }

  answer(res, { status, type, body, error }) {
    const headers = { 'Content-Type': type, 'Content-Length': body.length };
    if (error)
      headers['Grid-Function-Error'] = error;
    if (status === 405)
      headers.Allow = 'POST';
    if (this.stopping || status === 413)
      headers.Connection = 'close';
    res.writeHead(status, headers);
    res.end(body);
  }

  stop() {
    this.stopping = true;
    this.http.close();
    this.http.closeIdleConnections();
    this.exitWhenIdle();
  }

  exitWhenIdle() {
    if (this.stopping && this.inFlight.size === 0)
      process.exit(0);
  }
}

module.exports = { TaskServer };
