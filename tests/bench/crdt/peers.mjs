// What stock yjs, automerge and GUN take for the workloads of `merge_bench` (src/graph/examples), in one process each.
//
//   node peers.mjs yjs|automerge|gun registers|set COUNT
//
// registers: COUNT fields over nodes of 100, written on two replicas at once; then the writes of one are merged into the
// other, one message a write. set: COUNT elements, half added on each of two replicas, merged both ways, shown.
// Prints one line of JSON: seconds, operations a second, bytes of what travelled and of what a replica stores.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(process.cwd() + "/"));
const [, , peer, workload, countText] = process.argv;
const count = Number(countText);
const FIELDS = 100;
const now = () => Number(process.hrtime.bigint()) / 1e9;
const log = console.log.bind(console);
const say = (answer) => log(JSON.stringify({ peer, workload, count, ...answer, rss_mib: Math.round(process.memoryUsage().rss / 1048576) }));
const keys = (i) => [`node${Math.floor(i / FIELDS)}`, `field${i % FIELDS}`];
const bytes = (list) => list.reduce((sum, part) => sum + part.length, 0);

async function yjs() {
    const Y = require("yjs");
    if (workload === "registers") {
        const replica = (client) => {
            const doc = new Y.Doc();
            doc.clientID = client;
            const updates = [];
            doc.on("update", (update) => updates.push(update));
            for (let i = 0; i < count; i += 1) {
                const [node, field] = keys(i);
                doc.getMap(node).set(field, `value ${client} ${i}`);
            }
            return { doc, updates };
        };
        const begun = now();
        const a = replica(1);
        const written = now() - begun;
        const b = replica(2);
        const merging = now();
        b.updates.forEach((update) => Y.applyUpdate(a.doc, update));
        const took = now() - merging;
        const sizes = { wire_bytes: bytes(b.updates), stored_bytes: Y.encodeStateAsUpdate(a.doc).length };
        return say({ written_per_s: Math.round(count / written), merge_s: took, merged_per_s: Math.round(count / took), ...sizes });
    }
    const half = (client, from, to) => {
        const doc = new Y.Doc();
        doc.clientID = client;
        const set = doc.getMap("set");
        for (let i = from; i < to; i += 1) set.set(`element ${i}`, true);
        return doc;
    };
    const begun = now();
    const a = half(1, 0, count / 2);
    const b = half(2, count / 2, count);
    const built = now() - begun;
    const merging = now();
    const fromA = Y.encodeStateAsUpdate(a), fromB = Y.encodeStateAsUpdate(b);
    Y.applyUpdate(a, fromB);
    Y.applyUpdate(b, fromA);
    const merged = now() - merging;
    const showing = now();
    const size = [...a.getMap("set").keys()].length;
    if (size !== count) throw new Error(`${size} elements`);
    say({ build_s: built, merge_s: merged, show_s: now() - showing, wire_bytes: fromA.length + fromB.length, stored_bytes: Y.encodeStateAsUpdate(a).length });
}

async function automerge() {
    const A = require("@automerge/automerge");
    if (workload === "registers") {
        // One change a write, as a peer that tells others of every write at once.
        const base = A.from({}, "00");
        const replica = (actor, name) => {
            let doc = A.clone(base, actor);
            for (let i = 0; i < count; i += 1) {
                const [node, field] = keys(i);
                doc = A.change(doc, (d) => {
                    d[node] ??= {};
                    d[node][field] = `value ${name} ${i}`;
                });
            }
            return doc;
        };
        const begun = now();
        let a = replica("01", 1);
        const written = now() - begun;
        const b = replica("02", 2);
        const changes = A.getChanges(base, b);
        const merging = now();
        [a] = A.applyChanges(a, changes);
        const took = now() - merging;
        return say({ written_per_s: Math.round(count / written), merge_s: took, merged_per_s: Math.round(count / took), wire_bytes: bytes(changes), stored_bytes: A.save(a).length });
    }
    const base = A.from({ set: {} }, "00");
    const half = (actor, from, to) => A.change(A.clone(base, actor), (d) => {
        for (let i = from; i < to; i += 1) d.set[`element ${i}`] = true;
    });
    const begun = now();
    let a = half("01", 0, count / 2);
    let b = half("02", count / 2, count);
    const built = now() - begun;
    const fromA = A.getChanges(base, a), fromB = A.getChanges(base, b);
    const merging = now();
    [a] = A.applyChanges(a, fromB);
    [b] = A.applyChanges(b, fromA);
    const merged = now() - merging;
    const showing = now();
    const size = Object.keys(a.set).length;
    if (size !== count) throw new Error(`${size} elements`);
    say({ build_s: built, merge_s: merged, show_s: now() - showing, wire_bytes: bytes(fromA) + bytes(fromB), stored_bytes: A.save(a).length });
}

async function gun() {
    console.log = console.info = () => {}; // GUN greets on standard output.
    const Gun = require("gun/src/root");
    const instance = new Gun({});
    // GUN judges a message in turns; it marks the context that a caller gives when the whole of it is judged.
    const put = (message) => new Promise((resolve, reject) => {
        const context = () => {};
        message._ = context;
        instance._.on("in", message);
        const poll = () => context.stop ? (context.err ? reject(new Error(context.err)) : resolve()) : setImmediate(poll);
        poll();
    });
    const messages = (name, at) => {
        const made = [];
        for (let i = 0; i < count; i += 1) {
            const [soul, key] = workload === "registers" ? keys(i) : ["set", `element ${i}`];
            made.push({ put: { [soul]: { _: { "#": soul, ">": { [key]: at + i / 1000 } }, [key]: `value ${name} ${i}` } } });
        }
        return made;
    };
    const at = Date.now() - 10_000_000;
    const first = messages(1, at), second = messages(2, at + 0.5);
    const wire = second.reduce((sum, message) => sum + JSON.stringify(message).length, 0);
    const WINDOW = 1000;
    const all = async (list) => {
        const begun = now();
        for (let i = 0; i < list.length; i += WINDOW) await Promise.all(list.slice(i, i + WINDOW).map(put));
        return now() - begun;
    };
    if (workload === "registers") {
        const written = await all(first), took = await all(second);
        say({ written_per_s: Math.round(count / written), merge_s: took, merged_per_s: Math.round(count / took), wire_bytes: wire, stored_bytes: JSON.stringify(instance._.graph).length });
    } else {
        const took = await all(first);
        const showing = now();
        const size = Object.keys(instance._.graph.set).length - 1;
        if (size !== count) throw new Error(`${size} elements`);
        say({ build_s: took, merge_s: took, show_s: now() - showing, wire_bytes: wire, stored_bytes: JSON.stringify(instance._.graph).length });
    }
    setImmediate(() => process.exit());
}

await { yjs, automerge, gun }[peer]();
