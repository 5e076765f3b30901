// An editing trace (https://github.com/josephg/editing-traces, a .json.gz of its format) as the updates that stock yjs makes
// of it: one line of base64 an update. Prints what yjs itself takes, with one transaction an edit, with all in one, and to
// load the result.
//
//   node trace.mjs TRACE.json.gz UPDATES
import { createRequire } from "node:module";
import { gunzipSync } from "node:zlib";
import { createWriteStream, readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const Y = createRequire(pathToFileURL(process.cwd() + "/"))("yjs");
const [, , path, out] = process.argv;
const trace = JSON.parse(gunzipSync(readFileSync(path)));
const edits = trace.txns.flatMap((txn) => txn.patches);
const now = () => Number(process.hrtime.bigint()) / 1e9;

const play = (doc, each) => {
    const text = doc.getText("text");
    const edit = ([at, gone, inserted]) => {
        if (gone > 0) text.delete(at, gone);
        if (inserted !== "") text.insert(at, inserted);
    };
    const begun = now();
    if (each) edits.forEach(edit);
    else doc.transact(() => edits.forEach(edit));
    if (text.toString() !== trace.endContent) throw new Error("the trace does not end as it says");
    return now() - begun;
};

const doc = new Y.Doc();
doc.clientID = 1;
const updates = [];
doc.on("update", (update) => updates.push(update));
const perEdit = play(doc, true);
const single = new Y.Doc();
single.clientID = 1;
const oneTransaction = play(single, false);
const state = Y.encodeStateAsUpdate(doc);
const loading = now();
Y.applyUpdate(new Y.Doc(), state);
const load = now() - loading;
const again = new Y.Doc();
const applying = now();
updates.forEach((update) => Y.applyUpdate(again, update));
const apply = now() - applying;
if (again.getText("text").toString() !== trace.endContent) throw new Error("the updates do not give the text");

const file = createWriteStream(out);
for (const update of updates) file.write(`${Buffer.from(update).toString("base64")}\n`);
file.end();
console.log(JSON.stringify({
    peer: "yjs", workload: "trace", edits: edits.length, updates: updates.length, update_bytes: updates.reduce((sum, update) => sum + update.length, 0),
    stored_bytes: state.length, characters: trace.endContent.length,
    transaction_an_edit_s: perEdit, one_transaction_s: oneTransaction, apply_updates_s: apply, load_s: load,
}));
