// Sends a file of updates (see trace.mjs) to a y-websocket server, one frame each, as a typist would but without pause, and
// waits until a second client shows the whole text. Then opens the document cold.
//
//   node door.mjs NAME ws://HOST/PREFIX ROOM UPDATES
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(process.cwd() + "/"));
const Y = require("yjs");
const { WebsocketProvider } = require("y-websocket");
const WebSocket = require("ws");
const [, , name, server, room, path] = process.argv;
const updates = readFileSync(path, "utf8").trim().split("\n").map((line) => new Uint8Array(Buffer.from(line, "base64")));
const wanted = new Y.Doc();
updates.forEach((update) => Y.applyUpdate(wanted, update));
const text = wanted.getText("text").toString();
const now = () => Number(process.hrtime.bigint()) / 1e9;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const open = async () => {
    const doc = new Y.Doc();
    const provider = new WebsocketProvider(server, room, doc, { WebSocketPolyfill: WebSocket, disableBc: true });
    while (!provider.synced) await sleep(2);
    return { doc, provider };
};
const writer = await open(), reader = await open();
const until = async (doc) => { while (doc.store.clients.get(1) === undefined || doc.getText("text").length !== text.length || doc.getText("text").toString() !== text) await sleep(20); };

// The updates go out by the provider, as the updates of an editor do, a few hundred KiB ahead of the socket.
const begun = now();
for (let i = 0; i < updates.length; i += 1) {
    Y.applyUpdate(writer.doc, updates[i], "editor");
    if (i % 256 === 0) while (writer.provider.ws.bufferedAmount > 262144) await sleep(1);
    if (i % 4096 === 0) await sleep(0);
}
const sent = now() - begun;
await until(reader.doc);
const seen = now() - begun;
writer.provider.destroy();
reader.provider.destroy();
await sleep(3000);
const opening = now();
const cold = await open();
await until(cold.doc);
const cold_open = now() - opening;
cold.provider.destroy();
console.log(JSON.stringify({ peer: name, workload: "trace through the door", updates: updates.length, sent_s: sent, seen_by_another_s: seen, updates_per_s: Math.round(updates.length / seen), open_s: cold_open }));
process.exit(0);
