// pusher-js in Node, with a tap on its sockets: raw frames, close codes, attempts.
import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import PusherJS from 'pusher-js'
import { env, until } from './harness.mjs'
import { checkFrame } from './frames.mjs'

export { PusherJS }

const owner = new AsyncLocalStorage()

// pusher-js asks its runtime for each socket, so the tap needs no change in it.
PusherJS.Runtime.createWebSocket = function (url) {
  const client = owner.getStore()
  const Socket = this.getWebSocketAPI()
  const socket = new Socket(url, [], { headers: client?.headers ?? {} })
  client?.tap(socket, url)
  return socket
}

/** The user a client says it is, to the authority; see authority_test.go. */
const who = (user) =>
  user === undefined ? {} : Object.fromEntries(Object.entries(user).map(([k, v]) => [k, isText(v) ? v : JSON.stringify(v)]))
const isText = (v) => typeof v === 'string'

/** Options of pusher-js for the server under test. */
export function options({ user, sign, ...more } = {}) {
  const query = sign ? `?sign=${sign}` : ''
  const auth = (path) => ({ endpoint: `${env.authority}${path}${query}`, transport: 'ajax', params: who(user) })
  return {
    cluster: 'mt1',
    wsHost: env.host,
    wsPort: env.port,
    forceTLS: false,
    enabledTransports: ['ws'],
    enableStats: false,
    channelAuthorization: auth('/channels'),
    userAuthentication: auth('/users'),
    ...more,
  }
}

/** A pusher-js client and all that happened to it. */
export class Client {
  raw = []
  sockets = []
  closes = []
  states = []
  errors = []
  messages = []

  constructor(scene, { key = env.key, headers, make, ...more } = {}) {
    this.headers = headers
    const create = make ?? ((o) => new PusherJS(key, o))
    this.pusher = owner.run(this, () => create(options(more)))
    const { connection } = this.pusher
    connection.bind('state_change', ({ current }) => this.states.push(current))
    connection.bind('error', (error) => this.errors.push(error))
    connection.bind('message', (message) => this.messages.push(message))
    scene.trace('pusher-js', () => [`states: ${this.states}`, ...this.raw, ...this.closes.map((c) => JSON.stringify(c))])
    scene.defer(() => {
      this.pusher.disconnect()
      if (env.strict) this.raw.forEach(checkFrame)
    })
  }

  tap(socket, url) {
    this.sockets.push(url)
    socket.addEventListener('message', ({ data }) => this.raw.push(data))
    socket.addEventListener('close', ({ code, reason }) => this.closes.push({ code, reason }))
  }

  /** Runs fn so that sockets it opens are tapped too. */
  within(fn) {
    return owner.run(this, fn)
  }

  get id() {
    return this.pusher.connection.socket_id
  }

  get state() {
    return this.pusher.connection.state
  }

  async connected() {
    await until(() => this.state === 'connected', 'connected')
    return this
  }

  /** Subscribes and waits for the answer, which it returns beside the channel. */
  async join(name) {
    const channel = recorded(this.within(() => this.pusher.subscribe(name)))
    const joined = await Promise.race([
      once(channel, 'pusher:subscription_succeeded'),
      once(channel, 'pusher:subscription_error').then((e) => Promise.reject(new Error(`${name}: ${JSON.stringify(e)}`))),
    ])
    return Object.assign(channel, { joined })
  }

  /** Subscribes to what must be refused, and returns the refusal. */
  async refused(name) {
    const channel = this.within(() => this.pusher.subscribe(name))
    return Promise.race([
      once(channel, 'pusher:subscription_error'),
      once(channel, 'pusher:subscription_succeeded').then(() => Promise.reject(new Error(`${name} was not refused`))),
    ])
  }

  /** Signs in and waits until it is done. */
  async signedIn() {
    this.within(() => this.pusher.signin())
    const done = () => this.pusher.user.serverToUserChannel?.subscribed
    await until(done, 'signed in and subscribed to the own user channel')
    return this
  }

  /** Frames of one event, decoded the way pusher-js does. */
  frames(event, channel) {
    return this.messages.filter((m) => m.event === event && (channel === undefined || m.channel === channel))
  }
}

/** Opens a client and waits for its connection. */
export const open = (scene, more) => new Client(scene, more).connected()

/** The next event of a dispatcher, within some time. */
export function once(target, event, ms = 5_000) {
  return new Promise((done, refuse) => {
    const timer = setTimeout(() => refuse(new Error(`no ${event} on ${target.name ?? 'the connection'} within ${ms} ms`)), ms)
    const take = (data) => {
      clearTimeout(timer)
      target.unbind(event, take)
      done(data)
    }
    target.bind(event, take)
  })
}

/** Keeps all events of a channel: channel.seen is a list of [event, data, metadata]. */
export function recorded(channel) {
  if (channel.seen) return channel
  channel.seen = []
  channel.bind_global((event, data) => channel.seen.push([event, data]))
  channel.all = (event) => channel.seen.filter(([name]) => name === event).map(([, data]) => data)
  return channel
}

/** Waits for the nth event of a name on a recorded channel, and returns its data. */
export async function heard(channel, event, n = 1) {
  await until(() => channel.all(event).length >= n, `${n} × ${event} on ${channel.name}`)
  return channel.all(event)[n - 1]
}

/**
 * Publishes an event and waits until all channels had it. What was sent before on
 * that channel must have come by then, so nothing has to be waited for in vain.
 */
export async function fence(server, ...channels) {
  const event = `fence-${Math.random().toString(36).slice(2)}`
  await server.trigger(channels[0].name, event, {})
  await Promise.all(channels.map((channel) => heard(channel, event)))
}

export { assert }
