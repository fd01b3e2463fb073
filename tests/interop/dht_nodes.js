// A private DHT of npm's bittorrent-dht: node dht_nodes.js COUNT writes {"ports": [...]} once all of them have joined; its end of input ends it.
"use strict";

async function main() {
  const { Client } = await import("bittorrent-dht");
  const count = Number(process.argv[2]);
  const nodes = [];
  const listen = (node) => new Promise((done) => node.listen(0, "127.0.0.1", done));
  for (let i = 0; i < count; i++) {
    const bootstrap = nodes.slice(0, 3).map((n) => `127.0.0.1:${n.address().port}`);
    const node = new Client({ bootstrap: bootstrap.length ? bootstrap : false, host: false });
    node.on("error", (error) => console.error(String(error)));
    await listen(node);
    nodes.push(node);
    if (i > 0) await new Promise((done) => (node.ready ? done() : node.once("ready", done)));
  }
  console.log(JSON.stringify({ ports: nodes.map((n) => n.address().port) }));
  process.stdin.resume();
  process.stdin.on("end", () => process.exit(0));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
