// pusher-js: the life of a connection.
import { env, pause, scenario, until } from '../lib/harness.mjs'
import { Client, assert, fence, heard, open } from '../lib/pusher.mjs'
import { forceReconnect, server } from '../lib/server.mjs'

// Checklist: protocol 1, 11, 12, 13
scenario('connects and learns its socket id and the activity timeout', async (t) => {
  const client = await open(t)
  assert.match(client.id, /^\d{1,10}\.\d{1,10}$/)
  assert.deepEqual(client.states, ['connected'])
  const [hello] = client.raw.map(JSON.parse)
  assert.deepEqual(Object.keys(hello), ['event', 'data'])
  assert.equal(hello.event, 'pusher:connection_established')
  assert.deepEqual(JSON.parse(hello.data), { socket_id: client.id, activity_timeout: 120 })
  const other = await open(t)
  assert.notEqual(other.id, client.id)
})

// Checklist: protocol 35
scenario('sends pings in silence and gets a pong for each', async (t) => {
  const client = await open(t, { activityTimeout: 40, pongTimeout: 2_000 })
  const pongs = () => client.frames('pusher:pong').length
  await until(() => pongs() >= 5, 'five pongs')
  assert.equal(client.state, 'connected')
  assert.deepEqual(client.states, ['connected'])
  assert.ok(client.raw.includes('{"event":"pusher:pong"}'), 'a pong has no data')
})

// Checklist: protocol 46
scenario('answers nothing to an unknown event and stays connected', async (t) => {
  const client = await open(t)
  client.pusher.send_event('nothing-known', { a: 1 })
  const room = await client.join(t.unique('room'))
  await fence(server(), room)
  assert.deepEqual(client.errors, [])
  assert.equal(client.messages.length, 2, 'the answer to subscribing and the fence')
})

// Checklist: protocol 15, 25
scenario('gives up on an unknown app key: 4001 and no second attempt', async (t) => {
  const client = new Client(t, { key: t.unique('nobody') })
  await until(() => client.state === 'disconnected', 'given up')
  await until(() => client.closes.length > 0, 'closed')
  assert.equal(client.closes[0].code, 4001)
  assert.equal(client.errors[0].data?.code ?? client.errors[0].error?.data?.code, 4001)
  await pause(1_200)
  assert.equal(client.sockets.length, 1, 'attempts')
  const errors = client.raw.map(JSON.parse).filter(({ event }) => event === 'pusher:error')
  assert.deepEqual(errors.map(({ data }) => data.code), [4001], 'one error frame before the close')
})

// Checklist: protocol 131, 206
// Checklist: http-api 85
scenario('reconnects at once after 4200 and has all its channels again', async (t) => {
  const id = t.unique('user')
  const client = await open(t, { user: { id } })
  const room = await client.join(t.unique('room'))
  const secret = await client.join(t.unique('private-room'))
  const lobby = await client.join(t.unique('presence-lobby'))
  await client.signedIn()
  const before = client.id
  const started = Date.now()
  await forceReconnect(id)
  await until(() => client.id !== before && client.state === 'connected', 'connected anew')
  assert.ok(Date.now() - started < 900, 'at once, not after the second of a back-off')
  assert.equal(client.closes[0].code, 4200)
  const again = (channel) => heard(channel, 'pusher:subscription_succeeded', 2)
  await Promise.all([again(room), again(secret), again(lobby)])
  await until(() => client.pusher.user.serverToUserChannel?.subscribed, 'signed in anew')
  await server().trigger([room.name, secret.name, lobby.name], 'after', { n: 1 })
  for (const channel of [room, secret, lobby]) assert.deepEqual(await heard(channel, 'after'), { n: 1 })
  await server().sendToUser(id, 'for-you', { n: 2 })
  await until(() => client.frames('for-you').length === 1, 'the message to the user')
  assert.equal(client.sockets.length, 2, 'attempts')
}, { needs: 'forceReconnect' })

// Checklist: protocol 25, 130
// Checklist: http-api 84
scenario('gives up after its user was terminated: 4009 and no second attempt', async (t) => {
  const id = t.unique('user')
  const [one, two, other] = await Promise.all([open(t, { user: { id } }), open(t, { user: { id } }), open(t, { user: { id: t.unique('other') } })])
  await Promise.all([one, two, other].map((client) => client.signedIn()))
  await server().terminateUserConnections(id)
  await until(() => one.state === 'disconnected' && two.state === 'disconnected', 'both given up')
  await until(() => one.closes.length === 1 && two.closes.length === 1, 'both closed')
  assert.deepEqual([one, two].map((client) => client.closes[0].code), [4009, 4009])
  assert.deepEqual(one.frames('pusher:error').map(({ data }) => data.code), [4009], 'one error frame before the close')
  await pause(1_200)
  assert.deepEqual([one, two, other].map((client) => client.sockets.length), [1, 1, 1], 'attempts')
  assert.equal(other.state, 'connected')
})

scenario('an origin on the list of the app is let in', async (t) => {
  const { key, origin } = env.guarded
  const client = await open(t, { key, headers: { Origin: origin } })
  await client.join(t.unique('room'))
}, { needs: 'guarded' })

for (const [what, headers] of [['another origin', { Origin: 'https://evil.example.com' }], ['no origin', {}]]) {
  // Checklist: protocol 19, 20, 25
  scenario(`${what} is refused by an app with a list: 4009 and no second attempt`, async (t) => {
    const client = new Client(t, { key: env.guarded.key, headers })
    await until(() => client.state === 'disconnected', 'given up')
    await until(() => client.closes.length > 0, 'closed')
    assert.deepEqual(client.closes, [{ code: 4009, reason: 'Origin not allowed' }])
    await pause(1_200)
    assert.equal(client.sockets.length, 1, 'attempts')
  }, { needs: 'guarded' })
}

scenario('may disconnect and connect again', async (t) => {
  const client = await open(t)
  const room = await client.join(t.unique('room'))
  client.pusher.disconnect()
  assert.equal(client.state, 'disconnected')
  client.within(() => client.pusher.connect())
  await client.connected()
  await heard(room, 'pusher:subscription_succeeded', 2)
  await fence(server(), room)
})
