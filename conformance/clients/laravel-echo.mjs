// laravel-echo with its pusher and reverb broadcasters, on pusher-js in Node.
import Echo from 'laravel-echo'
import { env, run, scenario, until } from './lib/harness.mjs'
import { Client, PusherJS, assert, fence, recorded } from './lib/pusher.mjs'
import { sendToUser, server } from './lib/server.mjs'

/** An Echo on a tapped pusher-js, connected. */
async function open(t, { broadcaster = 'pusher', ...more } = {}) {
  let echo
  const make = (settings) => {
    echo = new Echo({ ...settings, broadcaster, key: env.key, Pusher: PusherJS, withoutInterceptors: true })
    return echo.connector.pusher
  }
  const client = new Client(t, { make, ...more })
  await client.connected()
  return Object.assign(echo, { client })
}

const subscribed = (channel) => new Promise((done, refuse) => channel.subscribed(() => done(channel)).error((e) => refuse(new Error(JSON.stringify(e)))))
const next = (on) => new Promise((done) => on(done))
const shown = (echo, channel) => recorded(echo.connector.pusher.channel(channel.name))

// Checklist: protocol 207
scenario('echo: channel, listen and the namespace of events', async (t) => {
  const echo = await open(t)
  const name = t.unique('orders')
  const channel = echo.channel(name)
  const formatted = next((done) => channel.listen('OrderShipped', done))
  const exact = next((done) => channel.listen('.order.shipped', done))
  await subscribed(channel)
  assert.equal(echo.connectionStatus(), 'connected')
  await server().trigger(name, 'App\\Events\\OrderShipped', { id: 1 })
  await server().trigger(name, 'order.shipped', { id: 2 })
  assert.deepEqual(await formatted, { id: 1 })
  assert.deepEqual(await exact, { id: 2 })
})

scenario('echo: private', async (t) => {
  const echo = await open(t)
  const name = t.unique('orders')
  const channel = await subscribed(echo.private(name))
  const got = next((done) => channel.listen('OrderShipped', done))
  await server().trigger(`private-${name}`, 'App\\Events\\OrderShipped', { id: 1 })
  assert.deepEqual(await got, { id: 1 })
})

// Checklist: protocol 90, 92, 207
scenario('echo: join, here, joining, leaving, with the numeric ids of Laravel', async (t) => {
  const name = t.unique('room')
  const [first, second] = await Promise.all([open(t, { user: { id: 1, info: { id: 1, name: 'Ada' } } }), open(t, { user: { id: 2, info: { id: 2, name: 'Bob' } } })])
  const channel = first.join(name)
  const alone = await next((done) => channel.here(done))
  assert.deepEqual(alone, [{ id: 1, name: 'Ada' }])
  const joining = next((done) => channel.joining(done))
  const leaving = next((done) => channel.leaving(done))
  const both = await next((done) => second.join(name).here(done))
  assert.deepEqual(both.map(({ id }) => id).sort(), [1, 2])
  assert.deepEqual(await joining, { id: 2, name: 'Bob' })
  second.leave(name)
  assert.deepEqual(await leaving, { id: 2, name: 'Bob' })
})

for (const kind of ['private', 'join']) {
  // Checklist: protocol 106, 107, 207
  scenario(`echo: whisper on ${kind} reaches the others and not its sender`, async (t) => {
    const name = t.unique('room')
    const [one, two] = await Promise.all([open(t, { user: { id: 'ada' } }), open(t, { user: { id: 'bob' } })])
    const [mine, theirs] = [await subscribed(one[kind](name)), await subscribed(two[kind](name))]
    const own = []
    mine.listenForWhisper('typing', (data) => own.push(data))
    const got = next((done) => theirs.listenForWhisper('typing', done))
    mine.whisper('typing', { name: 'Ada' })
    assert.deepEqual(await got, { name: 'Ada' })
    await fence(server(), shown(one, mine), shown(two, theirs))
    assert.deepEqual(own, [])
  })
}

scenario('echo: notification', async (t) => {
  const echo = await open(t)
  const name = t.unique('App.Models.User.1')
  const channel = await subscribed(echo.private(name))
  const got = next((done) => channel.notification(done))
  const event = 'Illuminate\\Notifications\\Events\\BroadcastNotificationCreated'
  await server().trigger(`private-${name}`, event, { id: 'n1', type: 'App\\Notifications\\Paid' })
  assert.deepEqual(await got, { id: 'n1', type: 'App\\Notifications\\Paid' })
})

scenario('echo: encryptedPrivate', async (t) => {
  const echo = await open(t)
  const name = t.unique('orders')
  const channel = await subscribed(echo.encryptedPrivate(name))
  const got = next((done) => channel.listen('OrderShipped', done))
  await server().trigger(`private-encrypted-${name}`, 'App\\Events\\OrderShipped', { id: 1 })
  assert.deepEqual(await got, { id: 1 })
})

scenario('echo: listenToAll and stopListening', async (t) => {
  const echo = await open(t)
  const name = t.unique('orders')
  const all = []
  const once = []
  const listener = (data) => once.push(data)
  const channel = await subscribed(echo.channel(name))
  channel.listen('A', listener).listenToAll((event, data) => all.push([event, data]))
  await server().trigger(name, 'App\\Events\\A', { n: 1 })
  await until(() => all.length === 1, 'the first event')
  channel.stopListening('A', listener)
  await server().trigger(name, 'App\\Events\\A', { n: 2 })
  await server().trigger(name, 'other', { n: 3 })
  await until(() => all.length === 3, 'all events')
  assert.deepEqual(all, [['A', { n: 1 }], ['A', { n: 2 }], ['.other', { n: 3 }]])
  assert.deepEqual(once, [{ n: 1 }])
})

scenario('echo: leave ends all four kinds of a name', async (t) => {
  const echo = await open(t, { user: { id: 'ada' } })
  const name = t.unique('room')
  const kinds = [echo.channel(name), echo.private(name), echo.encryptedPrivate(name), echo.join(name)]
  await Promise.all(kinds.map(subscribed))
  echo.leave(name)
  await subscribed(echo.channel(t.unique('later'))) // the unsubscribes were read before this was answered
  const occupied = await server().get({ path: `/channels` }).then((res) => res.json())
  for (const { name: channel } of kinds) assert.ok(!(channel in occupied.channels), `${channel} is still occupied`)
})

scenario('echo: error is called when a signature is refused', async (t) => {
  const echo = await open(t, { sign: 'wrong' })
  const error = await next((done) => echo.private(t.unique('orders')).error(done))
  assert.equal(error.status, 401)
})

// Checklist: protocol 118
// Checklist: http-api 44
scenario('echo: socketId excludes its own socket (toOthers)', async (t) => {
  const name = t.unique('orders')
  const [one, two] = await Promise.all([open(t), open(t)])
  const [mine, theirs] = [await subscribed(one.channel(name)), await subscribed(two.channel(name))]
  const own = []
  mine.listen('.saved', (data) => own.push(data))
  const got = next((done) => theirs.listen('.saved', done))
  await server().trigger(name, 'saved', { n: 1 }, { socket_id: one.socketId() })
  assert.deepEqual(await got, { n: 1 })
  await fence(server(), shown(one, mine), shown(two, theirs))
  assert.deepEqual(own, [])
})

scenario('echo: signin and a message to the user', async (t) => {
  const id = t.unique('user')
  const echo = await open(t, { user: { id } })
  const got = next((done) => echo.connector.pusher.user.bind('notice', done))
  echo.connector.signin()
  await until(() => echo.connector.pusher.user.serverToUserChannel?.subscribed, 'signed in')
  await sendToUser(id, 'notice', { n: 1 })
  assert.deepEqual(await got, { n: 1 })
})

scenario('echo: the reverb broadcaster speaks the same protocol', async (t) => {
  const echo = await open(t, { broadcaster: 'reverb', user: { id: 3, info: { name: 'Eve' } } })
  const name = t.unique('room')
  const here = await next((done) => echo.join(name).here(done))
  assert.deepEqual(here, [{ name: 'Eve' }])
})


await run()
