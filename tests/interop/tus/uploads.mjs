// node uploads.mjs FOLDER MEBIBYTES
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import * as tus from 'tus-js-client'
import { Gateway } from './gateway.mjs'

const [folder, mebibytes] = [process.argv[2], Number(process.argv[3])]
const MIB = 1 << 20
mkdirSync(folder, { recursive: true })
const gateway = await Gateway.start(join(folder, 'data'))
const endpoint = `${gateway.api}/api/v1/uploads`
// Whatever happens here, no gateway is left behind.
let restarting = Promise.resolve()
process.on('exit', () => gateway.kill())

let failures = 0
const check = (what, is, expected = true) => {
  const same = is === expected
  if (!same) failures++
  console.log(`${same ? 'ok' : 'FAILED'}: ${what}${same ? '' : `: ${is} instead of ${expected}`}`)
}

// Bytes that repeat nowhere, so that no block is there already.
let files = 0
const make = bytes => {
  const path = join(folder, `file-${files++}`)
  const whole = Buffer.alloc(bytes)
  for (let at = 0; at < bytes; at += 1 << 24) randomBytes(Math.min(1 << 24, bytes - at)).copy(whole, at)
  writeFileSync(path, whole)
  return path
}
const sha256 = bytes => createHash('sha256').update(bytes).digest('hex')

// An upload with tus-js-client; resolves with the headers of the last answer.
const upload = (source, options = {}, began = () => {}) => new Promise((resolve, reject) => {
  let cid = null
  const one = new tus.Upload(source, {
    endpoint,
    retryDelays: [100, 300, 1000, 2000, 3000],
    metadata: { filename: 'a file.bin', filetype: 'application/x-of-the-test' },
    onAfterResponse: (_, response) => { cid = response.getHeader('Upload-Cid') ?? cid },
    onSuccess: () => resolve({ cid, url: one.url }),
    onError: reject,
    ...options
  })
  began(one)
})

const start = one => one.start()

const offsetOf = async url => {
  const response = await fetch(url, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } })
  return Number(response.headers.get('Upload-Offset'))
}

const comesBack = async (what, path, cid) => {
  check(`${what}: the root is that of rustdht add`, cid, gateway.add(path))
  const response = await fetch(`${gateway.api}/ipfs/${cid}`)
  check(`${what}: the bytes come back`, sha256(Buffer.from(await response.arrayBuffer())), sha256(readFileSync(path)))
}

// Aborted by the client, then taken up by a new one that remembers the URL, killed with the gateway, and taken up again.
const interrupted = async (what, chunkSize, mebibytes) => {
  const size = mebibytes * MIB + 12345
  const path = make(size)
  const urlStorage = new tus.FileUrlStorage(join(folder, `urls-${files}.json`))
  const options = { chunkSize, urlStorage, removeFingerprintOnSuccess: true }
  await new Promise((resolve, reject) => {
    const one = new tus.Upload(createReadStream(path), {
      endpoint,
      ...options,
      metadata: { filename: 'a file.bin', filetype: 'application/x-of-the-test' },
      retryDelays: null,
      onError: reject,
      onSuccess: () => reject(new Error('it was over before it was aborted')),
      onProgress: sent => { if (sent > size / 4) one.abort().then(resolve, reject) }
    })
    one.start()
  })
  let acknowledged = 0
  let before = null
  let killed = null
  const { cid, url } = await upload(createReadStream(path), {
    ...options,
    onChunkComplete: (_, accepted) => { acknowledged = accepted },
    onProgress: sent => {
      if (before === null) before = sent
      // In the middle of what is left.
      if (sent > before + (size - before) / 3 && killed === null) {
        killed = { sent, acknowledged }
        gateway.kill()
        killed.restarted = restarting = gateway.ended.then(() => gateway.start())
      }
    },
    onShouldRetry: () => true,
    onBeforeRequest: async request => {
      await killed?.restarted
      if (killed && killed.resumed === undefined) killed.resumed = await offsetOf(request.getURL())
    }
  }, async one => {
    const previous = await one.findPreviousUploads()
    check(`${what}: the aborted upload is remembered`, previous.length, 1)
    one.resumeFromPreviousUpload(previous[0])
    one.start()
  })
  const durable = killed.resumed
  console.log(`${what}: aborted at ${before}, killed at ${killed.sent} sent and ${killed.acknowledged} acknowledged, resumed at ${durable} of ${size}`)
  check(`${what}: the abort lost nothing much`, before > 0)
  check(`${what}: what was acknowledged before kill -9 is there`, durable >= killed.acknowledged)
  check(`${what}: there was something left to send`, durable < size)
  await comesBack(what, path, cid)
  check(`${what}: the upload stays at its end`, await offsetOf(url), size)
  const { results } = await gateway.json(`/api/v1/pins?cid=${cid}`)
  check(`${what}: it is pinned under its name`, results[0]?.pin.name, 'a file.bin')
  const blob = await gateway.json(`/api/v1/blobs/${cid}`)
  check(`${what}: its type is what the client said`, blob.mime, 'application/x-of-the-test')
  check(`${what}: its SHA-256 is known`, blob.sha256, sha256(readFileSync(path)))
}

try {
  await interrupted('requests of 1.5 MB', 1_500_000, mebibytes)
  // Less than that lies in buffers on its way, and nothing is left to be interrupted.
  await interrupted('one request', Infinity, Math.max(mebibytes, 96))

  // The other ways in which the client can be told to upload.
  const size = 5 * MIB + 77
  const path = make(size)
  const bytes = readFileSync(path)
  for (const [what, source, options] of [
    ['parts at the same time', bytes, { parallelUploads: 3 }],
    ['bytes with the beginning', bytes, { uploadDataDuringCreation: true }],
    ['a length that is told last', Readable.from(bytes), { uploadLengthDeferred: true, chunkSize: 700_001, uploadSize: null }],
    ['POST instead of PATCH', bytes, { overridePatchMethod: true, chunkSize: 2_000_000 }],
    ['an empty file', Buffer.alloc(0), {}],
    ['small chunks as Kubo cuts them', bytes, { endpoint: `${endpoint}?profile=legacy&hash=blake3`, chunkSize: 999_999 }]
  ]) {
    const { cid } = await upload(source, options, start)
    if (what.startsWith('small')) {
      const back = Buffer.from(await (await fetch(`${gateway.api}/ipfs/${cid}`)).arrayBuffer())
      check(`${what}: the bytes come back`, sha256(back), sha256(bytes))
    } else {
      let same = path
      if (source.length === 0) writeFileSync(same = join(folder, 'empty'), '')
      await comesBack(what, same, cid)
    }
  }

  // Ended by the client.
  const gone = await new Promise((resolve, reject) => {
    const one = new tus.Upload(bytes, {
      endpoint,
      chunkSize: MIB,
      retryDelays: null,
      onError: reject,
      onChunkComplete: () => one.abort(true).then(() => resolve(one.url), reject)
    })
    one.start()
  })
  const response = await fetch(gone, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } })
  check('an upload that was ended is gone', response.status, 404)
} catch (error) {
  failures++
  console.log(`FAILED: ${error.stack}`)
  console.log(readFileSync(gateway.log, 'utf8').split('\n').slice(-20).join('\n'))
} finally {
  await restarting
  await gateway.stop()
}
console.log(`${failures} failures`)
process.exitCode = failures ? 1 : 0
