// A gateway of its own folder and port, that can be killed and started again.
import { execFileSync, spawn } from 'node:child_process'
import { openSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const binary = process.env.RUSTDHT

const freePort = () => new Promise((resolve, reject) => {
  const server = createServer()
  server.once('error', reject)
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address()
    server.close(() => resolve(port))
  })
})

export class Gateway {
  constructor (folder, port) {
    this.folder = folder
    this.port = port
    this.api = `http://127.0.0.1:${port}`
    this.log = join(folder, '..', 'gateway.log')
  }

  static async start (folder) {
    const gateway = new Gateway(folder, await freePort())
    await gateway.start()
    return gateway
  }

  async start () {
    writeFileSync(this.log, '')
    const log = openSync(this.log, 'a')
    const args = ['serve', '--data-dir', this.folder, '--listen', `127.0.0.1:${this.port}`, '--port', '0', '--ws-port', '0']
    this.child = spawn(binary, args, { stdio: ['ignore', 'ignore', log], env: { ...process.env, RUSTDHT__NET__MDNS: 'false' } })
    this.ended = new Promise(resolve => this.child.once('exit', (code, signal) => resolve(signal ?? code)))
    for (let tries = 0; tries < 200; tries++) {
      if (readFileSync(this.log, 'utf8').includes('"message":"ready"')) return
      await sleep(100)
    }
    throw new Error(`the gateway does not start: ${readFileSync(this.log, 'utf8')}`)
  }

  // kill -9: at once, without a chance to write anything.
  kill () {
    this.child.kill('SIGKILL')
  }

  async stop () {
    this.child.kill('SIGTERM')
    return await this.ended
  }

  // The root that `rustdht add` answers, by the usual way of uploading.
  add (file) {
    const out = execFileSync(binary, ['add', file, '--api', this.api], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    return out.trim().split('\n').at(-1)
  }

  async json (path) {
    const response = await fetch(this.api + path)
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
    return await response.json()
  }
}
