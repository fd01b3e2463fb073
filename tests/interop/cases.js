'use strict';
// Runs one named case of a script: node SCRIPT CASE HOST:PORT [ARGS...]. A case is an async function that throws when its claim fails.

exports.run = function run(cases) {
  const [name, api, ...args] = process.argv.slice(2);
  if (!cases[name]) {
    console.error(`unknown case ${name}: one of ${Object.keys(cases).join(', ')}`);
    process.exit(2);
  }
  const limit = setTimeout(() => {
    console.error(`${name}: still running after 60 s`);
    process.exit(1);
  }, 60000);
  Promise.resolve()
    .then(() => cases[name](api, ...args))
    .then(() => { clearTimeout(limit); process.exit(0); })
    .catch((error) => { console.error(error); process.exit(1); });
};

// Calls fn(callback) and gives a promise of its result.
exports.promise = (fn) => new Promise((resolve, reject) => fn((error, ...values) => (error ? reject(error) : resolve(values.length > 1 ? values : values[0]))));
