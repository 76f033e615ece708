// The helper for webhooks of the official SDK for Node. It reads requests, one JSON
// object in each line, and writes what the helper says of each.
import { createInterface } from 'node:readline'
import PusherServer from 'pusher'

const { appId, key, secret } = JSON.parse(process.env.CONFORMANCE)
const server = new PusherServer({ appId, key, secret, host: '127.0.0.1' })

for await (const line of createInterface({ input: process.stdin })) {
  const webhook = server.webhook(JSON.parse(line))
  const valid = webhook.isValid()
  console.log(JSON.stringify(valid ? { valid, time: webhook.getTime().getTime(), events: webhook.getEvents() } : { valid }))
}
