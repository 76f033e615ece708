// The delta decoders of the official JavaScript client, and what it does with them.
// It reads tasks, one JSON object in each line, writes what went wrong, and at the end
// how much was done.
//
//   {algorithm, base, delta, target}   a delta and its two texts, in base64
//   {socket, frame, text}              a frame for a socket, and the text behind it
import { createInterface } from 'node:readline'
import vcdiff from '@ably/vcdiff-decoder'
import { applyDelta } from 'fossil-delta'

const bytes = (base64) => new Uint8Array(Buffer.from(base64 ?? '', 'base64'))
const decode = (algorithm, base, delta) => (algorithm === 'fossil' ? applyDelta(base, delta) : vcdiff.decode(delta, base))

// take is the text that a client makes of a frame. bases are its texts by key.
function take(bases, frame) {
  const { event, data, __delta_seq: seq, __conflation_key: key } = JSON.parse(frame)
  if (event !== 'sockudo:delta') {
    if (seq === undefined) return frame
    const text = frame
      .replace(/,"__delta_seq":\d+/g, '')
      .replace(/"__delta_seq":\d+,/g, '')
      .replace(/,"__conflation_key":"[^"]*"/g, '')
      .replace(/"__conflation_key":"[^"]*",/g, '')
    bases.set(key ?? '', { seq, text })
    return text
  }
  const base = bases.get(data.conflation_key ?? '')
  if (base?.seq !== data.base_index) throw new Error(`base ${data.base_index} is not there`)
  const delta = Uint8Array.from(atob(data.delta), (c) => c.charCodeAt(0))
  const text = new TextDecoder().decode(new Uint8Array(decode(data.algorithm, new TextEncoder().encode(base.text), delta)))
  bases.set(data.conflation_key ?? '', { seq: data.seq, text })
  return text
}

const sockets = new Map()
const done = { decoded: 0, rebuilt: 0, deltas: 0 }
let line = 0
for await (const task of createInterface({ input: process.stdin })) {
  line++
  try {
    const { algorithm, base, delta, target, socket, frame, text } = JSON.parse(task)
    if (algorithm) {
      if (!Buffer.from(decode(algorithm, bytes(base), bytes(delta))).equals(bytes(target))) throw new Error('another text')
      done.decoded++
      continue
    }
    if (!sockets.has(socket)) sockets.set(socket, new Map())
    const got = take(sockets.get(socket), frame)
    if (got !== text) throw new Error(`${got} instead of ${text}`)
    done.rebuilt++
    if (frame.startsWith('{"event":"sockudo:delta"')) done.deltas++
  } catch (e) {
    console.log(JSON.stringify({ line, error: e.message }))
  }
}
console.log(JSON.stringify(done))
