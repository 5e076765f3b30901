// Random histories of stock Yjs clients, one JSON line each:
//   {kind, entries: [{update, author, stamp, kills, base}], expected}
// `kills` are indices of earlier entries (a compaction), `expected` is what stock Yjs shows after every update.
// Usage: node histories.mjs KIND COUNT SEED
import * as Y from 'yjs'
import { plain } from './plain.mjs'

const [kind, count, seed] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])]

// mulberry32: a seed repeats a run.
let state = seed >>> 0
const random = () => {
  state = (state + 0x6d2b79f5) >>> 0
  let t = state
  t = Math.imul(t ^ (t >>> 15), t | 1)
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}
const below = n => Math.floor(random() * n)
const chance = p => random() < p
const pick = list => list[below(list.length)]

const words = ['a', 'bc', 'x\u0000y', '\u{1f600}', 'e\u0301', '\u{1f469}\u200d\u{1f4bb}', 'zz top', '\u{10000}\u{10001}', '\uffff', 'ünï']
const keys = ['a', 'b', 'k\u{1f511}', '', 'z']

const scalar = () => pick([
  () => below(100) - 50,
  () => random() * 1000,
  () => 2 ** below(54) * (chance(0.5) ? 1 : -1),
  () => below(1000) / 8,
  () => pick(words),
  () => chance(0.5),
  () => null,
  () => new Uint8Array([below(256), below(256)])
])()

const value = depth => {
  if (depth > 2 || chance(0.6)) return scalar()
  if (chance(0.5)) return Array.from({ length: below(3) }, () => value(depth + 1))
  return Object.fromEntries(Array.from({ length: below(3) }, () => [pick(keys), value(depth + 1)]))
}

// A nested shared type or a plain value.
const content = depth => {
  if (depth > 2 || chance(0.75)) return value(depth)
  return pick([() => new Y.Map(), () => new Y.Array(), () => new Y.Text(pick(words))])()
}

const editText = text => {
  // Any UTF-16 position, also one inside a surrogate pair: stock Yjs allows it.
  if (text.length === 0 || chance(0.65)) text.insert(below(text.length + 1), pick(words))
  else {
    const at = below(text.length)
    text.delete(at, 1 + below(Math.min(4, text.length - at)))
  }
}

const editList = (list, depth) => {
  if (list.length > 0 && chance(0.3)) {
    const at = below(list.length)
    list.delete(at, 1 + below(Math.min(3, list.length - at)))
  } else {
    list.insert(below(list.length + 1), Array.from({ length: 1 + below(2) }, () => content(depth)))
  }
}

const editMap = (map, depth) => {
  const key = pick(keys)
  if (map.has(key) && chance(0.3)) map.delete(key)
  else map.set(key, content(depth))
}

const edit = (type, depth) => {
  const children = type instanceof Y.Array ? type.toArray() : type instanceof Y.Map ? [...type.values()] : []
  const nested = children.filter(child => child instanceof Y.AbstractType)
  if (nested.length > 0 && chance(0.5)) return edit(pick(nested), depth + 1)
  if (type instanceof Y.Text) editText(type)
  else if (type instanceof Y.Array) editList(type, depth)
  else editMap(type, depth)
}

const root = doc => kind === 'text' ? doc.getText('text') : kind === 'list' ? doc.getArray('list') : doc.getMap('map')

const history = () => {
  const clients = Array.from({ length: 3 + below(3) }, (_, at) => {
    const doc = new Y.Doc({ gc: !chance(0.1) })
    doc.clientID = chance(0.1) ? below(300) * 8 + at : Math.floor(random() * 0x1fffffff) * 8 + at
    const client = { doc, at, pending: [], skew: below(40), seen: 0, online: true }
    doc.on('update', (update, origin) => { if (origin !== 'remote') client.pending.push(update) })
    return client
  })
  const entries = []
  let now = 100
  const sign = (client, update, kills = [], base = null) => {
    // Skewed clocks: an author's stamps rise, but stamps of different authors do not follow causality.
    client.last = Math.max((client.last ?? 0) + 1, now + client.skew, ...kills.map(index => entries[index].stamp + 1))
    entries.push({ update, author: client.at, stamp: client.last, kills, base })
  }
  const flush = client => {
    if (client.pending.length === 0) return
    if (chance(0.5)) sign(client, Y.mergeUpdates(client.pending))
    else client.pending.forEach(update => sign(client, update))
    client.pending = []
  }
  const compacting = chance(0.55)
  // Yjs mergeUpdates of some or all of what an author signed and did not replace yet.
  const compact = client => {
    const killed = new Set(entries.flatMap(entry => entry.kills))
    let own = entries.map((entry, index) => index).filter(index => entries[index].author === client.at && !killed.has(index))
    if (chance(0.5)) own = own.filter(() => chance(0.6))
    if (own.length < 2) return
    const base = Math.min(...own.map(index => entries[index].base ?? entries[index].stamp))
    sign(client, Y.mergeUpdates(own.map(index => entries[index].update)), own, base)
  }
  const steps = 5 + below(50)
  for (let step = 0; step < steps; step++) {
    now += below(3)
    const client = pick(clients)
    const dice = random()
    if (dice < 0.6) {
      client.doc.transact(() => { for (let n = 1 + below(3); n > 0; n--) edit(root(client.doc), 0) })
      if (chance(0.7)) flush(client)
    } else if (dice < 0.85) {
      // One side hears what the other has; the other way round some other time.
      const other = pick(clients)
      Y.applyUpdate(other.doc, Y.encodeStateAsUpdate(client.doc, Y.encodeStateVector(other.doc)), 'remote')
    } else if (dice < 0.9) {
      // An editor that reconnects elsewhere: structs of others under its own author, too.
      const other = pick(clients)
      sign(client, Y.encodeStateAsUpdate(client.doc, Y.encodeStateVector(other.doc)))
    } else if (compacting) {
      compact(client)
    }
  }
  clients.forEach(flush)
  if (compacting) clients.forEach(compact)
  const whole = new Y.Doc()
  entries.forEach(entry => Y.applyUpdate(whole, entry.update))
  if (whole.store.pendingStructs !== null || whole.store.pendingDs !== null) throw new Error('a history lacks an update')
  return { entries: entries.map(entry => ({ ...entry, update: Buffer.from(entry.update).toString('base64') })), expected: plain(root(whole)) }
}

let out = ''
for (let made = 0; made < count; made++) {
  out += JSON.stringify({ kind, ...history() }) + '\n'
  if (out.length > 1 << 20) { process.stdout.write(out); out = '' }
}
process.stdout.write(out)
