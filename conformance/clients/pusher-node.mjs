// The official server SDK for Node, with pusher-js as the receiving end.
import { env, run, scenario, until } from './lib/harness.mjs'
import { assert, fence, heard, open } from './lib/pusher.mjs'
import { PusherServer, publish, server } from './lib/server.mjs'

const json = async (promise) => (await promise).json()
const text = async (promise) => (await promise).text()

// Checklist: http-api 37
scenario('trigger to one channel answers exactly {}', async (t) => {
  const room = await (await open(t)).join(t.unique('room'))
  const res = await server().trigger(room.name, 'news', { n: 1 })
  assert.equal(res.status, 200)
  assert.match(res.headers.get('content-type'), /^application\/json/)
  assert.equal(await res.text(), '{}')
  assert.deepEqual(await heard(room, 'news'), { n: 1 })
})

scenario('trigger to many channels', async (t) => {
  const client = await open(t)
  const rooms = []
  for (const base of ['one', 'private-two', 'three']) rooms.push(await client.join(t.unique(base)))
  const many = rooms.map(({ name }) => name)
  while (many.length < 100) many.push(t.unique(`empty-${many.length}`))
  assert.equal(await text(server().trigger(many, 'news', { n: 1 })), '{}')
  for (const room of rooms) assert.deepEqual(await heard(room, 'news'), { n: 1 })
})

// Checklist: http-api 47, 48
scenario('trigger with info answers the counts of each channel', async (t) => {
  const lobby = t.unique('presence-lobby')
  const orders = t.unique('orders')
  const [a, b, c] = await Promise.all(['ada', 'ada', 'bob'].map((id) => open(t, { user: { id } })))
  for (const client of [a, b, c]) await client.join(lobby)
  await a.join(orders)
  const { channels } = await json(server().trigger([lobby, orders], 'news', {}, { info: 'user_count,subscription_count' }))
  const { user_count: users, subscription_count: sockets } = channels[lobby]
  assert.deepEqual({ users, sockets }, { users: 2, sockets: 3 })
  assert.equal(channels[orders].subscription_count, 1)
  assert.ok(!('user_count' in channels[orders]))
}, { needs: 'infoOnTrigger' })

// Checklist: http-api 56
scenario('triggerBatch publishes in order and answers exactly {}', async (t) => {
  const client = await open(t)
  const room = await client.join(t.unique('room'))
  const secret = await client.join(t.unique('private-encrypted-room'))
  const batch = [1, 2, 3].map((n) => ({ channel: room.name, name: 'n', data: { n } }))
  const answer = await text(server().triggerBatch([...batch, { channel: secret.name, name: 's', data: { n: 4 } }]))
  assert.equal(answer, '{}')
  await heard(room, 'n', 3)
  assert.deepEqual(room.all('n'), [{ n: 1 }, { n: 2 }, { n: 3 }])
  assert.deepEqual(await heard(secret, 's'), { n: 4 })
})

// Checklist: http-api 57
scenario('triggerBatch with info answers one object per event', async (t) => {
  const lobby = await (await open(t, { user: { id: 'ada' } })).join(t.unique('presence-lobby'))
  const { batch } = await json(
    server().triggerBatch([
      { channel: lobby.name, name: 'a', data: {}, info: 'user_count' },
      { channel: t.unique('room'), name: 'b', data: {}, info: 'subscription_count' },
      { channel: lobby.name, name: 'c', data: {} },
    ]),
  )
  assert.deepEqual(batch.map(({ user_count: u, subscription_count: s }) => [u, s]), [[1, undefined], [undefined, 0], [undefined, undefined]])
}, { needs: 'infoOnTrigger' })

// Checklist: protocol 118
// Checklist: http-api 44
scenario('socket_id keeps an event from one socket', async (t) => {
  const name = t.unique('room')
  const [one, two] = await Promise.all([open(t), open(t)])
  const [mine, theirs] = [await one.join(name), await two.join(name)]
  await server().trigger(name, 'saved', { n: 1 }, { socket_id: one.id })
  await server().triggerBatch([{ channel: name, name: 'saved', data: { n: 2 }, socket_id: one.id }])
  await heard(theirs, 'saved', 2)
  await fence(server(), mine, theirs)
  assert.deepEqual(mine.all('saved'), [])
})

scenario('an encrypted event is decrypted by pusher-js', async (t) => {
  const room = await (await open(t)).join(t.unique('private-encrypted-room'))
  await server().trigger(room.name, 'secret', { n: 1, text: 'é' })
  assert.deepEqual(await heard(room, 'secret'), { n: 1, text: 'é' })
})

// Checklist: http-api 76
scenario('the list of channels, with prefix and info', async (t) => {
  const client = await open(t, { user: { id: 'ada' } })
  const prefix = t.unique('presence-list')
  const [one, two, other] = [`${prefix}-one`, `${prefix}-two`, t.unique('list')]
  for (const name of [one, two, other]) await client.join(name)
  const list = (params) => json(server().get({ path: '/channels', params })).then(({ channels }) => channels)
  const all = await list()
  for (const name of [one, two, other]) assert.deepEqual(all[name], {}, name)
  assert.deepEqual(await list({ filter_by_prefix: prefix }), { [one]: {}, [two]: {} })
  const counted = await list({ filter_by_prefix: prefix, info: 'user_count' })
  assert.deepEqual(counted, { [one]: { user_count: 1 }, [two]: { user_count: 1 } })
  client.pusher.disconnect()
  await until(async () => Object.keys(await list({ filter_by_prefix: prefix })).length === 0, 'vacated channels leave the list')
}, { needs: 'infoOnTrigger' })

// Checklist: http-api 77
scenario('the list with user_count of everything is refused', async (t) => {
  const client = await open(t)
  await client.join(t.unique('room'))
  await assert.rejects(server().get({ path: '/channels', params: { info: 'user_count' } }), { status: 400 })
}, { needs: 'infoOnTrigger' })

// Checklist: http-api 79
scenario('one channel, with info', async (t) => {
  const [lobby, room] = [t.unique('presence-lobby'), t.unique('room')]
  const clients = await Promise.all(['ada', 'ada', 'bob'].map((id) => open(t, { user: { id } })))
  for (const client of clients) await client.join(lobby)
  await clients[0].join(room)
  const get = (name, info) => json(server().get({ path: `/channels/${name}`, params: info ? { info } : {} }))
  assert.deepEqual(await get(lobby), { occupied: true })
  assert.deepEqual(await get(lobby, 'user_count,subscription_count'), { occupied: true, user_count: 2, subscription_count: 3 })
  assert.deepEqual(await get(room, 'subscription_count'), { occupied: true, subscription_count: 1 })
  assert.deepEqual(await get(t.unique('empty'), 'subscription_count'), { occupied: false, subscription_count: 0 })
}, { needs: 'infoOnTrigger' })

// Checklist: http-api 82, 83
scenario('the users of a presence channel', async (t) => {
  const lobby = t.unique('presence-lobby')
  const clients = await Promise.all(['ada', 'ada', 'bob'].map((id) => open(t, { user: { id } })))
  for (const client of clients) await client.join(lobby)
  const { users } = await json(server().get({ path: `/channels/${lobby}/users` }))
  assert.deepEqual(users.map(({ id }) => id).sort(), ['ada', 'bob'])
  assert.deepEqual(await json(server().get({ path: `/channels/${t.unique('presence-empty')}/users` })), { users: [] })
  await assert.rejects(server().get({ path: `/channels/${t.unique('room')}/users` }), { status: 400 })
})

scenario('sendToUser reaches the signed-in user', async (t) => {
  const id = t.unique('user')
  const client = await (await open(t, { user: { id } })).signedIn()
  const got = new Promise((done) => client.pusher.user.bind('notice', done))
  assert.equal(await text(server().sendToUser(id, 'notice', { n: 1 })), '{}')
  assert.deepEqual(await got, { n: 1 })
})

// Checklist: http-api 84
scenario('terminateUserConnections ends the connections of the user', async (t) => {
  const id = t.unique('user')
  const client = await (await open(t, { user: { id } })).signedIn()
  assert.equal((await server().terminateUserConnections(id)).status, 200)
  await until(() => client.closes.length === 1, 'closed')
  assert.equal(client.closes[0].code, 4009)
  assert.equal((await server().terminateUserConnections(t.unique('nobody'))).status, 200)
})

scenario('authorizeChannel and authenticateUser are accepted', async (t) => {
  const id = t.unique('user')
  const client = await open(t, {
    channelAuthorization: {
      customHandler: ({ socketId, channelName }, done) => {
        const data = channelName.startsWith('presence-') ? { user_id: id, user_info: { name: 'Ada' } } : undefined
        done(null, server().authorizeChannel(socketId, channelName, data))
      },
    },
    userAuthentication: { customHandler: ({ socketId }, done) => done(null, server().authenticateUser(socketId, { id, user_info: { name: 'Ada' } })) },
  })
  await client.signedIn()
  assert.equal(client.pusher.user.user_data.id, id)
  await client.join(t.unique('private-room'))
  const lobby = await client.join(t.unique('presence-lobby'))
  assert.deepEqual(lobby.members.me, { id, info: { name: 'Ada' } })
  const secret = await client.join(t.unique('private-encrypted-room'))
  await server().trigger(secret.name, 'secret', { n: 1 })
  assert.deepEqual(await heard(secret, 'secret'), { n: 1 })
})

const strangers = {
  'a wrong secret': { secret: 'not-it' },
  'an unknown key': { key: 'nobody' },
  'the id of another app': { appId: 'guarded' },
}
for (const [what, credentials] of Object.entries(strangers)) {
  // Checklist: http-api 17, 18, 23
  scenario(`${what} is refused with 401`, async (t) => {
    const room = await (await open(t)).join(t.unique('room'))
    const stranger = server(credentials)
    await assert.rejects(stranger.trigger(room.name, 'news', {}), (error) => error instanceof PusherServer.RequestError && error.status === 401)
    await assert.rejects(stranger.get({ path: '/channels' }), { status: 401 })
    await fence(server(), room)
    assert.deepEqual(room.all('news'), [])
  }, { needs: 'strict' })
}

// Checklist: http-api 4, 39, 40
scenario('what the server refuses is an error with its text', async (t) => {
  const refused = (body, status) => assert.rejects(publish(body), (error) => error.status === status && typeof JSON.parse(error.body).error === 'string')
  await refused({ channel: t.unique('room'), data: '{}' }, 400)
  await refused({ name: 'news', data: '{}' }, 400)
  await refused({ name: 'news', channel: 'a room', data: '{}' }, 400)
  await refused({ name: 'n'.repeat(201), channel: t.unique('room'), data: '{}' }, 400)
}, { needs: 'strict' })

// Checklist: http-api 61
scenario('the same idempotency_key publishes once', async (t) => {
  const room = await (await open(t)).join(t.unique('room'))
  const body = { name: 'once', channel: room.name, data: '{"n":1}', idempotency_key: t.unique('key') }
  const answers = [await publish(body), await publish(body)]
  assert.deepEqual(answers, ['{}', '{}'])
  await fence(server(), room)
  assert.deepEqual(room.all('once'), [{ n: 1 }])
}, { needs: 'strict' })

scenario('over TLS', async (t) => {
  const room = await (await open(t)).join(t.unique('room'))
  const { Agent } = await import('node:https')
  const secure = server({ host: 'localhost', port: env.tlsPort, useTLS: true, agent: new Agent({ rejectUnauthorized: false }) })
  assert.equal(await text(secure.trigger(room.name, 'news', { n: 1 })), '{}')
  assert.deepEqual(await heard(room, 'news'), { n: 1 })
}, { needs: 'tlsPort' })

await run()
