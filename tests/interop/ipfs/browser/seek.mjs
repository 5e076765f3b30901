// Chromium plays a video that a gateway serves, and seeks in it. Prints a line of JSON; ends with 1 and the reason when the
// time does not go on behind a seek, or when the file was not read by ranges. How much is read is printed and not judged: how
// far a browser reads ahead is up to it and to how fast the machine plays.
//   node seek.mjs CHROMIUM PAGE VIDEO SIZE
// PAGE is opened and shows VIDEO, or is one of VIDEO's origin into which it is put. SIZE is that of the file in bytes.
import { chromium } from 'playwright-core'

const [executablePath, page_, video_, size_] = process.argv.slice(2)
const SIZE = Number(size_)
// Where to go, in parts of the length: forwards, backwards, over what was read, near the end.
const SEEKS = [0.5, 0.9, 0.1, 0.7]
const PATIENCE_MS = 20_000
// How far from its part of the file a browser may begin to read: the bytes do not follow the time evenly.
const NEAR = 0.1

function check (holds, what) {
  if (!holds) throw new Error(what)
}

const args = ['--autoplay-policy=no-user-gesture-required', '--no-proxy-server', '--mute-audio']
// As root, as in a container, Chromium does not start with its own sandbox.
const browser = await chromium.launch({ executablePath, headless: true, chromiumSandbox: false, args })
try {
  const page = await browser.newPage()
  page.setDefaultTimeout(PATIENCE_MS)
  const wire = await page.context().newCDPSession(page)
  const requests = new Map()
  await wire.send('Network.enable')
  wire.on('Network.requestWillBeSent', ({ requestId, request }) => {
    if (request.url === video_) requests.set(requestId, { status: null, content: null, bytes: 0 })
  })
  const header = (headers, name) => Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1] ?? null
  wire.on('Network.responseReceived', ({ requestId, response }) => {
    const known = requests.get(requestId)
    if (known) Object.assign(known, { status: response.status, content: header(response.headers, 'content-range') })
  })
  wire.on('Network.dataReceived', ({ requestId, dataLength }) => {
    const known = requests.get(requestId)
    if (known) known.bytes += dataLength
  })
  await page.goto(page_)
  await page.evaluate(url => {
    let video = document.querySelector('video')
    if (!video) {
      video = document.createElement('video')
      video.src = url
      video.preload = 'metadata'
      document.body.append(video)
    }
    video.muted = true
  }, video_)
  await page.waitForFunction(() => document.querySelector('video').readyState >= 1 || document.querySelector('video').error)
  const duration = await page.evaluate(() => document.querySelector('video').duration)
  check(duration > 10, `the video has no length: ${duration}`)
  const seeks = []
  for (const part of SEEKS) {
    const seen = await page.evaluate(async ([target, patience]) => {
      const video = document.querySelector('video')
      const frames = () => video.getVideoPlaybackQuality().totalVideoFrames
      const within = (what, promise) => Promise.race([
        promise, new Promise((_, reject) => setTimeout(() => reject(new Error(`${what} took more than ${patience} ms`)), patience))
      ])
      video.pause()
      const before = performance.now()
      await within(`the seek to ${target} s`, new Promise(resolve => {
        video.addEventListener('seeked', resolve, { once: true })
        video.currentTime = target
      }))
      const ms = performance.now() - before
      const shown = frames()
      await video.play()
      await within(`playing on from ${target} s`, new Promise(resolve => {
        const look = () => (video.currentTime > target + 0.5 ? resolve() : setTimeout(look, 20))
        look()
      }))
      video.pause()
      return { to: target, ms: Math.round(ms), time: video.currentTime, frames: frames() - shown, error: video.error?.message ?? null }
    }, [duration * part, PATIENCE_MS])
    check(seen.error === null && seen.frames > 0, `nothing is shown behind the seek: ${JSON.stringify(seen)}`)
    seeks.push(seen)
  }
  const all = [...requests.values()]
  const read = all.reduce((sum, { bytes }) => sum + bytes, 0)
  // A whole answer is 200; one that was called off before it began has no status.
  for (const request of all) {
    check(request.status === null || request.status === 206, `not a range: ${JSON.stringify(request)}`)
    check(request.status !== null || request.bytes === 0, `bytes without an answer: ${JSON.stringify(request)}`)
    check(request.status === null || request.content.endsWith(`/${SIZE}`), `of another size: ${JSON.stringify(request)}`)
  }
  const ranges = all.filter(({ status }) => status !== null).map(({ content }) => content)
  const starts = ranges.map(range => Number(/^bytes (\d+)-/.exec(range)[1]) / SIZE)
  check(read > 0 && starts.some(at => Math.abs(at - SEEKS[0]) < NEAR), `nothing was read from the first seek on: ${ranges}`)
  console.log(JSON.stringify({ duration, seeks, ranges, read_mib: Math.round(read / 2 ** 20), of_mib: Math.round(SIZE / 2 ** 20) }))
} catch (error) {
  console.error(`FAILED: ${error.message}`)
  process.exitCode = 1
} finally {
  await browser.close()
}
