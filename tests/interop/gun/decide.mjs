// Random pairs of values at one state, decided by stock GUN: lines {"a":value,"b":value} for `ham_decide` (src/core/examples),
// and what GUN said of each, "a", "b" or "=" when both are the same to it.
//
//   node decide.mjs COUNT SEED PAIRS DECISIONS
import { createRequire } from "node:module";
import { writeSync, openSync } from "node:fs";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(process.cwd() + "/"));
console.log = console.info = () => {}; // GUN greets on standard output.
const Gun = require("gun/src/root");

const pairs = Number(process.argv[2] ?? 100_000);
const seed = Number(process.argv[3] ?? 1);
const [pairsFile, decisionsFile] = [openSync(process.argv[4], "w"), openSync(process.argv[5], "w")];
const PER_NODE = 500;

// mulberry32, so that a seed gives the same pairs everywhere.
let state = seed >>> 0;
function random() {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const below = (n) => Math.floor(random() * n);
const pick = (list) => list[below(list.length)];

// Where the orders of UTF-8 bytes and of UTF-16 code units differ, where JSON escapes, where numbers change their form.
const CHARS = ["a", "b", "A", "Z", "0", "9", " ", '"', "\\", "/", "\n", "\t", "\b", "\f", "\r", "\u0001", "\u001f", "\u007f",
    "é", "ß", "中", "\u2028", "\ud7ff", "\ue000", "\ufffd", "\uffff", "😀", "𐀀", "\u{10ffff}"];
const NUMBERS = [0, -0, 1, -1, 5, 5.5, 1e21, 1e-7, 123456789, 2 ** 53, -(2 ** 53), 2 ** 63, 0.1, 0.1 + 0.2, 1e300, -1e300, 5e-324,
    1.7976931348623157e308, 999999999999999900000, 1e20];

function number() {
    switch (below(5)) {
        case 0: return pick(NUMBERS);
        case 1: return below(2000) - 1000;
        case 2: return (random() - 0.5) * 10 ** (below(50) - 25);
        case 3: return Math.round((random() - 0.5) * 2 ** 53);
        default: {
            const view = new DataView(new ArrayBuffer(8));
            view.setUint32(0, below(2 ** 32));
            view.setUint32(4, below(2 ** 32));
            const any = view.getFloat64(0);
            return Number.isFinite(any) ? any : 7;
        }
    }
}
const text = (least) => Array.from({ length: least + below(6) }, () => pick(CHARS)).join("");
function value() {
    switch (below(7)) {
        case 0: return null;
        case 1: return random() < 0.5;
        case 2: return number();
        case 3: return number();
        case 4: return { "#": text(1) };
        default: return text(0);
    }
}

// A pair that is often close: same type, common beginning, number and its text.
function pair() {
    const a = value();
    switch (below(5)) {
        case 0: if (typeof a === "string") return [a, a + text(0)]; return [a, value()];
        case 1: if (typeof a === "number") return [a, String(a)]; return [a, value()];
        case 2: return [a, a];
        default: return [a, value()];
    }
}

const gun = new Gun({});
// GUN judges a message in turns; it marks the context that a caller gives when the whole of it is judged.
const put = (soul, values, at) => new Promise((resolve, reject) => {
    const states = Object.fromEntries(Object.keys(values).map((key) => [key, at]));
    const context = () => {};
    const message = { _: context, put: { [soul]: { _: { "#": soul, ">": states }, ...values } } };
    gun._.on("in", message);
    const from = Date.now();
    const poll = () => context.stop
        ? context.err ? reject(new Error(context.err)) : resolve()
        : Date.now() - from > 20_000 ? reject(new Error("GUN did not judge a message")) : setImmediate(poll);
    poll();
});
const same = (x, y) => JSON.stringify(x) === JSON.stringify(y);
// An integer that is no i64 is written as the float that it is.
const json = (value) => Number.isInteger(value) && Math.abs(value) >= 2 ** 63 ? value.toExponential() : JSON.stringify(value);

for (let made = 0, batch = 0; made < pairs; batch += 1) {
    const count = Math.min(PER_NODE, pairs - made);
    const soul = `n${batch}`;
    const at = Date.now() - 1000;
    const drawn = Array.from({ length: count }, pair);
    const first = Object.fromEntries(drawn.map(([a], i) => [`k${i}`, a]));
    const second = Object.fromEntries(drawn.map(([, b], i) => [`k${i}`, b]));
    await put(soul, first, at);
    await put(soul, second, at);
    let lines = "", decisions = "";
    drawn.forEach(([a, b], i) => {
        const held = gun._.graph[soul][`k${i}`];
        const wins = same(a, b) ? "=" : same(held, a) ? "a" : same(held, b) ? "b" : "neither";
        lines += `{"a":${json(a)},"b":${json(b)}}\n`;
        decisions += `${wins}\n`;
    });
    delete gun._.graph[soul];
    delete gun._.next?.[soul];
    writeSync(pairsFile, lines);
    writeSync(decisionsFile, decisions);
    made += count;
}
process.exit();
