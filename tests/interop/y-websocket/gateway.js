// Gateways as processes, for the scripts beside this one.
import { execFileSync, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { once } from 'node:events'

const binary = process.env.RUSTDHT
const folder = mkdtempSync(join(tmpdir(), 'rustdht-editors-'))
const running = new Set()

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** Waits until `ready()` holds. */
export async function until (what, ready, patience = 60_000) {
  const end = Date.now() + patience
  while (!(await ready())) {
    if (Date.now() > end) throw new Error(`this did not happen within ${patience} ms: ${what}`)
    await sleep(10)
  }
}

export class Gateway {
  /** Starts a gateway in a folder of that name; one that ran there before goes on. */
  static async start (name, { invite = null, port = 0 } = {}) {
    const dir = join(folder, name)
    const args = ['serve', '--data-dir', dir, '--listen', `127.0.0.1:${port}`, '--port', '0', '--ws-port', '0']
    if (invite) args.push('--join', invite)
    const env = { ...process.env, RUSTDHT__NET__MDNS: 'false' }
    const child = spawn(binary, args, { env, stdio: ['ignore', 'ignore', 'pipe'] })
    running.add(child)
    child.on('exit', () => running.delete(child))
    const log = []
    const api = await new Promise((resolve, reject) => {
      child.on('exit', () => reject(new Error(`${name} ended:\n${log.join('\n')}`)))
      createInterface({ input: child.stderr }).on('line', (line) => {
        log.push(line)
        if (log.length > 200) log.shift()
        const found = /"message":"ready".*"api":"([^"]*)"/.exec(line)
        if (found) resolve(found[1])
      })
    })
    return Object.assign(new Gateway(), { name, child, api, log })
  }

  get port () {
    return Number(new URL(this.api).port)
  }

  invite () {
    return execFileSync(binary, ['invite', '--api', this.api], { encoding: 'utf8' }).trim().split(/\s+/).pop()
  }

  /** The y-websocket server URL of a soul; the room is the field. */
  url (soul) {
    return `${this.api.replace('http', 'ws')}/api/v1/yjs/${encodeURIComponent(soul)}`
  }

  async get (path) {
    const response = await fetch(this.api + path)
    return response.ok ? await response.json() : null
  }

  async field (soul, field) {
    return (await this.get(`/api/v1/nodes/${encodeURIComponent(soul)}?at=local`))?.data[field]
  }

  async send (method, path, body) {
    const response = await fetch(this.api + path, {
      method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body)
    })
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
    return await response.json()
  }

  async end (signal) {
    const ended = once(this.child, 'exit')
    this.child.kill(signal)
    await ended
  }
}

/** A founder and a gateway that joined it, once they are connected and both are members. */
export async function two () {
  const a = await Gateway.start('a')
  const b = await Gateway.start('b', { invite: a.invite() })
  for (const gateway of [a, b]) {
    await until(`${gateway.name} is connected`, async () =>
      (await gateway.get('/api/v1/peers'))?.peers?.some((peer) => peer.connected))
  }
  // A write that the other one has shows that both vouch for what they take.
  for (const [from, to] of [[a, b], [b, a]]) {
    await from.send('PATCH', `/api/v1/nodes/hello-${from.name}`, { x: 1 })
    await until('a write is on both', async () => (await to.field(`hello-${from.name}`, 'x')) === 1)
  }
  return [a, b]
}
