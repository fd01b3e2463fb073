#!/usr/bin/env node
// Runs one JavaScript task: `node run.js FILE`. The file runs as it is, as the main module. If it listens on TASK_PORT by itself it
// is left alone; if it only exports functions, a server is put around them.
'use strict';

const fs = require('fs');
const Module = require('module');
const net = require('net');
const path = require('path');
const { pathToFileURL } = require('url');
const { hasExports } = require('./call');
const { TaskServer } = require('./server');

let ownServer = null; // ours, once it listens

function requestedPort(args) {
  const first = Array.isArray(args[0]) ? args[0][0] : args[0]; // net itself passes normalized arguments on as one array
  return Number(first !== null && typeof first === 'object' ? first.port : first);
}

// Notices who listens on the port. A file that comes to listen later than its top level takes the port over from our server.
function watchListening(port) {
  const watch = { listening: false };
  const listen = net.Server.prototype.listen;
  net.Server.prototype.listen = function (...args) {
    if (requestedPort(args) === port && !(ownServer && this === ownServer.http)) {
      watch.listening = true;
      if (ownServer) {
        ownServer.http.close();
        ownServer.http.closeIdleConnections();
      }
    }
    return listen.apply(this, args);
  };
  return watch;
}

// Whether Node takes a .js file for an ECMAScript module: the nearest package.json decides.
function isModule(file) {
  if (file.endsWith('.mjs'))
    return true;
  if (file.endsWith('.cjs'))
    return false;
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    const description = path.join(folder, 'package.json');
    if (fs.existsSync(description))
      return JSON.parse(fs.readFileSync(description, 'utf8')).type === 'module';
    if (folder === path.dirname(folder))
      return false;
  }
}

async function load(file) {
  if (isModule(file))
    return import(pathToFileURL(file).href);
  return Module._load(file, null, true);
}

function complainWhenIdle(name, watch) {
  process.on('beforeExit', () => {
    if (watch.listening || ownServer)
      return;
    console.error(`${name} neither listens on TASK_PORT nor exports a function: there is nothing to call`);
    process.exit(1);
  });
}

async function main() {
  const port = Number(process.env.TASK_PORT);
  if (process.argv.length < 3 || !(port > 0 && port < 65536)) {
    console.error('usage: TASK_PORT=PORT node run.js FILE');
    process.exit(2);
  }
  const given = path.resolve(process.argv[2]);
  const file = require.resolve(given);
  process.argv.splice(1, 2, file);
  const watch = watchListening(port);
  const exported = await load(file);
  complainWhenIdle(path.basename(given), watch);
  if (watch.listening || !hasExports(exported))
    return;
  ownServer = new TaskServer(exported, path.basename(given));
  ownServer.listen(port);
}

main();
