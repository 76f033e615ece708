// web-push sends what it is told to, and http_ece reads what others have sent. One JSON
// object is read from the standard input and one is written.
import { createPublicKey, createECDH, verify } from 'node:crypto'
import ece from 'http_ece'
import webpush from 'web-push'

let input = ''
for await (const part of process.stdin) input += part
const { sends, messages } = JSON.parse(input)
const generated = webpush.generateVAPIDKeys()

const sent = []
for (const { subscription, vapid, payload, options } of sends) {
  const { subject, ...keys } = vapid
  const vapidDetails = { subject, ...(keys.publicKey ? keys : generated) }
  const { statusCode, headers } = await webpush.sendNotification(subscription, payload, { ...options, vapidDetails })
  sent.push({ statusCode, location: headers.location })
}

// signed reports whether a token is signed with a key, given as its point.
const signed = (token, point) => {
  const raw = Buffer.from(point, 'base64url')
  const jwk = { kty: 'EC', crv: 'P-256', x: raw.subarray(1, 33).toString('base64url'), y: raw.subarray(33).toString('base64url') }
  const [header, claims, signature] = token.split('.')
  const key = { key: createPublicKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' }
  return verify('sha256', Buffer.from(`${header}.${claims}`), key, Buffer.from(signature, 'base64url'))
}

const read = messages.map(({ body, key, auth, token, publicKey }) => {
  const privateKey = createECDH('prime256v1')
  privateKey.setPrivateKey(Buffer.from(key, 'base64url'))
  const plaintext = ece.decrypt(Buffer.from(body, 'base64'), { version: 'aes128gcm', privateKey, authSecret: auth })
  return { plaintext: plaintext.toString(), signed: signed(token, publicKey) }
})

console.log(JSON.stringify({ generated, sent, read }))
