// pusher-js: events that clients send to each other.
import { env, scenario, until } from '../lib/harness.mjs'
import { assert, fence, heard, open } from '../lib/pusher.mjs'
import { publish, server } from '../lib/server.mjs'

const pair = async (t, name, ...users) => {
  const clients = await Promise.all([0, 1].map((i) => open(t, { user: users[i] })))
  const rooms = []
  for (const client of clients) rooms.push(await client.join(name))
  return { clients, rooms }
}

for (const kind of ['private', 'private-cache']) {
  // Checklist: protocol 106, 107
  scenario(`${kind}: a client event reaches the others unchanged and not its sender`, async (t) => {
    const { clients, rooms: [mine, theirs] } = await pair(t, t.unique(`${kind}-room`))
    const data = { z: 1, a: [null, 'é'] }
    mine.trigger('client-object', data)
    mine.trigger('client-text', 'plain')
    assert.deepEqual(await heard(theirs, 'client-object'), data)
    assert.equal(await heard(theirs, 'client-text'), 'plain')
    const frames = clients[1].raw.map(JSON.parse).filter(({ event }) => event.startsWith('client-'))
    assert.deepEqual(frames, [
      { event: 'client-object', channel: mine.name, data },
      { event: 'client-text', channel: mine.name, data: 'plain' },
    ])
    await fence(server(), mine, theirs)
    assert.deepEqual(mine.seen.filter(([event]) => event.startsWith('client-')), [], 'no echo')
  })
}

for (const kind of ['presence', 'presence-cache']) {
  // Checklist: protocol 107, 113
  scenario(`${kind}: handlers get the user_id of the sender`, async (t) => {
    const { rooms: [mine, theirs] } = await pair(t, t.unique(`${kind}-room`), { id: 'ada' }, { id: 'bob' })
    const got = new Promise((done) => theirs.bind('client-typing', (data, metadata) => done({ data, metadata })))
    mine.trigger('client-typing', { on: true })
    assert.deepEqual(await got, { data: { on: true }, metadata: { user_id: 'ada' } })
    await fence(server(), mine, theirs)
    assert.deepEqual(mine.all('client-typing'), [], 'no echo')
  })
}

// Checklist: protocol 114
scenario('a user_id that a client makes up is not passed on', async (t) => {
  const { clients, rooms: [, theirs] } = await pair(t, t.unique('presence-room'), { id: 'ada' }, { id: 'bob' })
  const forged = { event: 'client-x', channel: theirs.name, data: {}, user_id: 'root', extras: { headers: {} }, tags: { a: 'b' } }
  clients[0].pusher.connection.send(JSON.stringify(forged))
  await heard(theirs, 'client-x')
  const frame = clients[1].raw.map(JSON.parse).find(({ event }) => event === 'client-x')
  assert.deepEqual(frame, { event: 'client-x', channel: theirs.name, data: {}, user_id: 'ada' })
})

const refusals = [
  ['on a public channel', 'room', true],
  ['on an encrypted channel', 'private-encrypted-room', true],
  ['on a channel that is not joined', 'private-room', false],
]
for (const [what, base, joined] of refusals) {
  // Checklist: protocol 110, 111, 116
  scenario(`${what} a client event is refused with 4301`, async (t) => {
    const name = t.unique(base)
    const listener = await open(t)
    await listener.join(name)
    const client = await open(t)
    if (joined) await client.join(name)
    client.pusher.send_event('client-x', { n: 1 }, name)
    await until(() => client.frames('pusher:error').length === 1, 'the error frame')
    assert.equal(client.frames('pusher:error')[0].data.code, 4301)
    await publish({ name: 'after', channel: name, data: '{"nonce":"","ciphertext":""}' })
    await until(() => listener.frames('after').length === 1, 'what was published afterwards')
    assert.deepEqual(listener.frames('client-x'), [])
  })
}

// Checklist: protocol 109
scenario('with client events off a client event is refused with 4301', async (t) => {
  const { key, secret, appId, origin } = env.guarded
  const client = await open(t, { key, headers: { Origin: origin } })
  const name = t.unique('private-room')
  const guarded = server({ key, secret, appId })
  client.pusher.config.channelAuthorizer = ({ socketId, channelName }, done) => done(null, guarded.authorizeChannel(socketId, channelName))
  const room = await client.join(name)
  room.trigger('client-x', {})
  await until(() => client.frames('pusher:error').length === 1, 'the error frame')
  assert.equal(client.frames('pusher:error')[0].data.code, 4301)
}, { needs: 'guarded' })
