// Checks against stock Yjs what `yjs_codec` writes, one JSON line per history: our merge and our parts of it give the
// document that the updates give; what our decoder accepts Yjs decodes; and our edits make of it what we say.
import * as Y from 'yjs'
import * as readline from 'node:readline'
import { plain } from './plain.mjs'

const bytes = text => Uint8Array.from(Buffer.from(text, 'base64'))
const root = (doc, kind) => kind === 'text' ? doc.getText('text') : kind === 'list' ? doc.getArray('list') : doc.getMap('map')
const built = (kind, updates) => {
  const doc = new Y.Doc()
  root(doc, kind)
  updates.forEach(update => Y.applyUpdate(doc, update))
  return doc
}

// Keys in one order; -0 is 0.
const canonical = value => {
  if (Array.isArray(value)) return value.map(canonical)
  if (value && typeof value === 'object') return Object.fromEntries(Object.keys(value).sort().map(key => [key, canonical(value[key])]))
  return value === 0 ? 0 : value
}
const same = (a, b) => JSON.stringify(canonical(a)) === JSON.stringify(canonical(b))

const count = { histories: 0, parts: 0, mutants: 0, edits: 0 }
const fail = (what, detail) => { console.error(`history ${count.histories}: ${what}`, detail instanceof Error ? detail : JSON.stringify(detail)); process.exit(1) }

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { kind, updates, merged, parts, accepted, edits } = JSON.parse(line)
  count.histories++
  const whole = built(kind, updates.map(bytes))
  const shown = plain(root(whole, kind))
  for (const [what, list] of [['merge', [merged]], ['parts', parts]]) {
    const doc = built(kind, list.map(bytes))
    if (doc.store.pendingStructs || doc.store.pendingDs) fail(`${what}: something waits`)
    if (!same(plain(root(doc, kind)), shown)) fail(`${what} shows`, [plain(root(doc, kind)), shown])
    const vector = doc => [...Y.decodeStateVector(Y.encodeStateVector(doc))].sort(([a], [b]) => a - b)
    if (!same(vector(doc), vector(whole))) fail(`${what}: state vectors differ`)
  }
  if (updates.length > 0) {
    const theirs = built(kind, [Y.mergeUpdates(updates.map(bytes))])
    if (!same(plain(root(theirs, kind)), shown)) fail('mergeUpdates of Yjs differs')
  }
  for (const mutant of accepted) {
    try { Y.decodeUpdate(bytes(mutant)) } catch (error) { fail(`Yjs refuses ${mutant}`, error) }
    count.mutants++
  }
  for (const { update, expected } of edits) {
    Y.applyUpdate(whole, bytes(update))
    if (whole.store.pendingStructs || whole.store.pendingDs) fail('an edit waits')
    if (!same(plain(root(whole, kind)), expected)) fail('an edit shows', [plain(root(whole, kind)), expected])
    count.edits++
  }
  count.parts += parts.length
}
console.log(`${count.histories} histories: merged and cut into ${count.parts} parts, ${count.edits} edits, ${count.mutants} accepted mutants: no difference`)
if (count.histories === 0) process.exit(1)
