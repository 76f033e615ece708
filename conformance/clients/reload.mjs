// A pusher-js client that listens while configurations are loaded. It says when it
// is ready, and at the end what it saw; the Go test decides what that is worth.
import readline from 'node:readline'
import { env } from './lib/harness.mjs'
import { PusherJS, options } from './lib/pusher.mjs'

const { channels } = JSON.parse(process.env.CONFORMANCE_RELOAD)
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')

const pusher = new PusherJS(env.key, options({ user: { id: 'listener' } }))
const seen = { states: [], ids: [], errors: [], http: [], client: [], members: [], joined: [] }

pusher.connection.bind('state_change', ({ current }) => seen.states.push(current))
pusher.connection.bind('error', (error) => seen.errors.push(error))
pusher.connection.bind('connected', () => seen.ids.push(pusher.connection.socket_id))

function join(name, events) {
  const channel = pusher.subscribe(name)
  channel.bind('pusher:subscription_succeeded', () => {
    seen.joined.push(name)
    if (seen.joined.length === 3) say({ ready: true })
  })
  for (const [event, take] of Object.entries(events)) channel.bind(event, take)
}

join(channels.http, { n: ({ n }) => seen.http.push(n) })
join(channels.client, { 'client-n': ({ n }) => seen.client.push(n) })
join(channels.presence, {
  'pusher:member_added': ({ id }) => seen.members.push(`+${id}`),
  'pusher:member_removed': ({ id }) => seen.members.push(`-${id}`),
})

// Each line of input asks for a report.
readline.createInterface({ input: process.stdin }).on('line', () => say(seen)).on('close', () => process.exit(0))
