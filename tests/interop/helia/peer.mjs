// A Helia node on loopback that serves one file by Bitswap, or fetches one. TCP, Noise and Yamux; no routing at all:
// the two sides are told each other's address.
//   peer.mjs serve FILE            prints {"cid", "address", "add_s"}; ends when its standard input closes
//   peer.mjs fetch ADDRESS CID     prints {"bytes", "sha256", "seconds", "first_byte_s", "answer_s", "longest_stall_s"}: the
//                                  stall is the longest wait between two pieces, the first byte aside; the answer is the
//                                  longest wait before that from blocks asked for to the next block
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { withBitswap } from '@helia/bitswap'
import { withLibp2pLight } from '@helia/libp2p'
import { unixfs } from '@helia/unixfs'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { FsBlockstore } from 'blockstore-fs'
import { createHeliaLight } from 'helia'
import { CID } from 'multiformats/cid'

// Helia's own patience with a block ends in an abort; this is for a transfer that stands still.
const PATIENCE_MS = 900_000

const seconds = (since) => (performance.now() - since) / 1000
const print = (value) => console.log(JSON.stringify(value))

async function node (folder) {
  // Blocks on disk: 1 GiB in memory would measure the garbage collector.
  const helia = createHeliaLight({ blockstore: new FsBlockstore(folder) })
  return withBitswap(withLibp2pLight(helia, {
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    // As Helia comes. Without ping its monitor of connections ends those to rust-libp2p, which answers none once its own was
    // refused.
    services: { identify: identify(), ping: ping() }
  })).start()
}

async function serve (helia, file) {
  const start = performance.now()
  const cid = await unixfs(helia).addByteStream(createReadStream(file, { highWaterMark: 1 << 20 }))
  print({ cid: cid.toString(), address: helia.libp2p.getMultiaddrs()[0].toString(), add_s: seconds(start) })
  for await (const _ of process.stdin);
}

async function fetch (helia, address, cid) {
  await helia.libp2p.dial(multiaddr(address))
  const hash = createHash('sha256')
  const start = performance.now()
  let bytes = 0
  let last = start
  let first
  let stall = 0
  // What of the first byte's time is the other side's: from a list of wants sent to the next block that comes.
  let asked
  let answered = 0
  const onProgress = ({ type }) => {
    if (type === 'bitswap:send-wantlist') asked ??= performance.now()
    if (type !== 'bitswap:block' || asked === undefined || first !== undefined) return
    answered = Math.max(answered, seconds(asked))
    asked = undefined
  }
  const options = { onProgress, signal: AbortSignal.timeout(PATIENCE_MS) }
  for await (const chunk of unixfs(helia).cat(CID.parse(cid), options)) {
    if (first === undefined) first = seconds(start)
    else stall = Math.max(stall, seconds(last))
    hash.update(chunk)
    bytes += chunk.length
    last = performance.now()
  }
  print({
    bytes,
    sha256: hash.digest('hex'),
    seconds: seconds(start),
    first_byte_s: first ?? null,
    answer_s: answered,
    longest_stall_s: stall
  })
}

const [verb, ...rest] = process.argv.slice(2)
if (!(verb === 'serve' && rest.length === 1) && !(verb === 'fetch' && rest.length === 2)) {
  console.error('usage: peer.mjs serve FILE | peer.mjs fetch ADDRESS CID')
  process.exit(2)
}
const folder = await mkdtemp(join(tmpdir(), 'helia-'))
process.on('SIGTERM', () => process.stdin.destroy())
let helia
try {
  helia = await node(folder)
  await (verb === 'serve' ? serve(helia, rest[0]) : fetch(helia, ...rest))
} catch (error) {
  console.error(`error: ${error.stack}`)
  process.exitCode = 1
} finally {
  await helia?.stop()
  await rm(folder, { recursive: true, force: true })
}
// Timers of the node may be left.
process.exit()
