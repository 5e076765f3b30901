// Three stock editors at two joined gateways: offline work, awareness across, pinned users, a gateway that is killed.
import assert from 'node:assert/strict'
import WebSocket from 'ws'
import * as Y from 'yjs'
import { WebsocketProvider } from 'y-websocket'
import { Gateway, sleep, two, until } from './gateway.js'

const SOUL = 'pages/über us'
const closes = []

/** A stock editor. `acknowledged`: what its gateway gave back as durable, by client. */
function editor (gateway, field, { doc = new Y.Doc(), soul = SOUL } = {}) {
  class Socket extends WebSocket {
    constructor (...args) {
      super(...args)
      this.on('close', (code) => closes.push(code))
    }
  }
  const provider = new WebsocketProvider(gateway.url(soul), field, doc, { WebSocketPolyfill: Socket, disableBc: true })
  return { doc, provider, text: doc.getText('text'), list: doc.getArray('list'), map: doc.getMap('map') }
}

const close = ({ provider }) => provider.destroy()
const say = (text) => console.log(`ok: ${text}`)

let [a, b] = await two()
const port = a.port

// --- three editors, one offline for a while ---
const [ada, bob, cem] = [editor(a, 'body'), editor(b, 'body'), editor(b, 'body')]
for (const one of [ada, bob, cem]) await until('they sync', () => one.provider.synced)
ada.text.insert(0, 'Hello 🌍')
await until('both see it', () => bob.text.toString() === 'Hello 🌍' && cem.text.toString() === 'Hello 🌍')
cem.provider.disconnect()
await sleep(200)
cem.text.insert(0, '[cem, offline] ')
ada.text.insert(ada.text.length, ' and on')
bob.text.delete(0, 5)
bob.text.insert(0, 'Bye')
await sleep(300)
assert.notEqual(cem.text.toString(), ada.text.toString())
cem.provider.connect()
const equal = (...editors) => editors.every((one) => one.text.toString() === editors[0].text.toString())
await until('all are equal again', () => equal(ada, bob, cem) && ada.text.toString().startsWith('[cem, offline] Bye'))
const shown = ada.text.toString()
for (const gateway of [a, b]) {
  await until('the nodes show it', async () => (await gateway.field(SOUL, 'body'))?.['@text'] === shown)
}
say('three editors at two gateways, one offline for a while, end equal')

// --- awareness across gateways, with the user set by the gateway ---
ada.provider.awareness.setLocalStateField('cursor', { at: 3 })
ada.provider.awareness.setLocalStateField('user', { name: 'somebody else', color: 'red' })
const seen = () => bob.provider.awareness.getStates().get(ada.doc.clientID)
await until('a cursor is seen across', () => seen()?.cursor?.at === 3)
assert.equal(seen().user.color, 'red')
assert.equal(seen().user.name, 'owner')
assert.ok(seen().user.id, 'the gateway says who it is')
ada.provider.disconnect()
await until('who went is gone', () => seen() === undefined)
ada.provider.connect()
await until('who came back is seen', () => seen()?.cursor?.at === 3)
say('awareness is seen across gateways, and its user is set by the gateway')

// --- lists and maps ---
await a.send('PATCH', '/api/v1/nodes/board', { items: { '@list': ['a'] }, props: { '@map': { x: 1 } } })
const items = editor(a, 'items', { soul: 'board' })
const props = editor(a, 'props', { soul: 'board' })
await until('the list and the map open', () => items.list.length === 1 && props.map.get('x') === 1)
items.list.push(['b', { deep: [1, 2.5, null] }])
props.map.set('y', 'two')
const json = async (field) => JSON.stringify(await b.field('board', field))
await until('the list is shown', async () => (await json('items')) === '{"@list":["a","b",{"deep":[1,2.5,null]}]}')
await until('the map is shown', async () => (await json('props')) === '{"@map":{"x":1,"y":"two"}}')
close(items)
close(props)
say('lists and maps')

// --- kill -9 in the middle: nothing acknowledged is lost, nothing is doubled ---
const one = editor(a, 'log', { soul: 'killed' })
await until('it syncs', () => one.provider.synced)
const acknowledged = []
let line = 0
const count = (text, word) => text.split(word).length - 1
// An update that comes back is durable: that is when the gateway passes it on.
const watcher = editor(a, 'log', { soul: 'killed' })
await until('it syncs', () => watcher.provider.synced)
watcher.text.observe(() => {
  for (const found of watcher.text.toString().matchAll(/<(\d+)>/g)) acknowledged[Number(found[1])] = true
})
for (let kills = 0; kills < 3; kills++) {
  const target = line + 40
  const before = acknowledged.length
  const typing = setInterval(() => { if (line < target) one.text.insert(one.text.length, `<${line++}>`) }, 10)
  await until('some are acknowledged', () => acknowledged.length > before + 5)
  await sleep(Math.random() * 900)
  await a.end('SIGKILL')
  clearInterval(typing)
  // What the editors still have must not help: only what the watcher saw counts, and both leave.
  const was = acknowledged.slice()
  one.provider.disconnect()
  watcher.provider.disconnect()
  a = await Gateway.start('a', { port })
  const fresh = editor(a, 'log', { soul: 'killed' })
  await until('it syncs', () => fresh.provider.synced)
  const text = fresh.text.toString()
  for (const number in was) assert.equal(count(text, `<${number}>`), 1, `<${number}> after kill ${kills}: ${text}`)
  close(fresh)
  one.provider.connect()
  watcher.provider.connect()
  await until('they sync again', () => one.provider.synced && watcher.provider.synced && equal(one, watcher))
}
const all = one.text.toString()
for (let number = 0; number < line; number++) assert.equal(count(all, `<${number}>`), 1)
for (const gateway of [a, b]) {
  await until('the nodes show it', async () => (await gateway.field('killed', 'log'))?.['@text'] === all)
}
say(`${line} keystrokes through three kills: nothing acknowledged was lost, nothing doubled`)

// --- deleted: the editor that still has it cannot bring it back ---
close(watcher)
await a.send('PATCH', '/api/v1/nodes/killed', { log: null })
await until('the open editor is closed', () => closes.includes(4410))
await sleep(1500)
assert.equal(await a.field('killed', 'log'), undefined)
assert.equal(await b.field('killed', 'log'), undefined)
close(one)
say('a deleted document stays deleted, and its editors are told 4410')

// --- another kind is refused before the upgrade ---
await a.send('PATCH', '/api/v1/nodes/plain', { x: 'a register' })
const refused = await new Promise((resolve) => {
  const socket = new WebSocket(`${a.url('plain')}/x`)
  socket.on('unexpected-response', (_, response) => resolve(response.statusCode))
  socket.on('open', () => resolve('open'))
})
assert.equal(refused, 409)
say('another kind is refused with 409')

for (const one of [ada, bob, cem]) close(one)
await a.end('SIGTERM')
await b.end('SIGTERM')
process.exit(0)
