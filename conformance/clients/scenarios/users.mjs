// pusher-js: signing in, messages to a user, watchlists.
import { env, pause, scenario, until } from '../lib/harness.mjs'
import { assert, fence, open } from '../lib/pusher.mjs'
import { sendToUser, server } from '../lib/server.mjs'

/** Keeps what user.bind_global hears. */
const inbox = (client) => {
  const seen = []
  client.pusher.user.bind_global((event, data) => seen.push([event, data]))
  return seen
}

// Checklist: protocol 119, 124
scenario('signing in is confirmed with the user data that was signed', async (t) => {
  const id = t.unique('user')
  const client = await open(t, { user: { id, info: { name: 'Ada' } } })
  await client.signedIn()
  assert.deepEqual(client.pusher.user.user_data, { id, user_info: { name: 'Ada' } })
  const [answer] = client.frames('pusher:signin_success')
  assert.deepEqual(Object.keys(answer.data), ['user_data'])
})

// Checklist: protocol 125, 127
// Checklist: http-api 36
scenario('a message to a user reaches every connection of that user and nobody else', async (t) => {
  const id = t.unique('user')
  const clients = await Promise.all([{ id }, { id }, { id: t.unique('other') }].map((user) => open(t, { user })))
  const boxes = clients.map(inbox)
  await Promise.all(clients.map((client) => client.signedIn()))
  const namesake = await open(t, { user: { id } })
  await namesake.join(t.unique('presence-lobby')) // the same user_id in a channel, but not signed in
  await sendToUser(id, 'notice', { text: 'hi' })
  await until(() => boxes[0].length > 0 && boxes[1].length > 0, 'both had the message')
  await sendToUser(clients[2].pusher.user.user_data.id, 'end', {})
  await until(() => boxes[2].length > 0, 'the other had its own')
  const room = await namesake.join(t.unique('room'))
  await fence(server(), room)
  assert.deepEqual(boxes, [[['notice', { text: 'hi' }]], [['notice', { text: 'hi' }]], [['end', {}]]])
  assert.deepEqual(namesake.frames('notice'), [])
})

for (const sign of ['wrong', 'foreign']) {
  // Checklist: protocol 120, 121
  scenario(`signing in with a ${sign} signature is refused with 4009, the connection stays`, async (t) => {
    const client = await open(t, { user: { id: t.unique('user') }, sign })
    client.pusher.signin()
    await until(() => client.frames('pusher:error').length === 1, 'the error frame')
    assert.equal(client.frames('pusher:error')[0].data.code, 4009)
    assert.deepEqual(client.frames('pusher:signin_success'), [])
    await client.join(t.unique('room'))
  })
}

// Checklist: protocol 126
scenario('the user channel of somebody else is refused', async (t) => {
  const [id, other] = [t.unique('user'), t.unique('other')]
  const client = await open(t, { user: { id } })
  await client.signedIn()
  client.pusher.send_event('pusher:subscribe', { auth: '', channel: `#server-to-user-${other}` })
  await until(() => client.frames('pusher:error').length === 1, 'the error frame')
  assert.equal(client.frames('pusher:error')[0].data.code, 4009)
  await sendToUser(other, 'notice', {})
  await fence(server(), await client.join(t.unique('room')))
  assert.deepEqual(client.frames('notice'), [])
})

const watch = (client) => {
  const seen = []
  for (const name of ['online', 'offline']) client.pusher.user.watchlist.bind(name, ({ user_ids: ids }) => seen.push([name, [...ids].sort()]))
  return seen
}

// Checklist: protocol 128
scenario('a watchlist tells at signing in who is online and who is not', async (t) => {
  const [here, gone] = [t.unique('here'), t.unique('gone')]
  await (await open(t, { user: { id: here } })).signedIn()
  const client = await open(t, { user: { id: t.unique('watcher'), watchlist: [here, gone] } })
  const seen = watch(client)
  await client.signedIn()
  await until(() => seen.length === 2, 'online and offline')
  assert.deepEqual(seen, [['online', [here]], ['offline', [gone]]])
  const order = client.messages.map(({ event }) => event)
  assert.ok(order.indexOf('pusher:signin_success') < order.indexOf('pusher_internal:watchlist_events'), 'after signin_success')
}, { needs: 'watchlist' })

// Checklist: protocol 129
scenario('a watchlist follows the first and the last connection of a user', async (t) => {
  const friend = t.unique('friend')
  const client = await open(t, { user: { id: t.unique('watcher'), watchlist: [friend] } })
  const seen = watch(client)
  await client.signedIn()
  await until(() => seen.length === 1, 'the state at signing in')
  const one = await (await open(t, { user: { id: friend } })).signedIn()
  await until(() => seen.length === 2, 'online')
  const two = await (await open(t, { user: { id: friend } })).signedIn()
  one.pusher.disconnect()
  await pause(150)
  assert.equal(seen.length, 2, `one connection more, one less: ${JSON.stringify(seen)}`)
  two.pusher.disconnect()
  await until(() => seen.length === 3, 'offline')
  assert.deepEqual(seen, [['offline', [friend]], ['online', [friend]], ['offline', [friend]]])
}, { needs: 'watchlist' })

// Checklist: protocol 122
scenario('an app without user authentication refuses to sign anybody in', async (t) => {
  const { key, secret, appId, origin } = env.guarded
  const client = await open(t, { key, headers: { Origin: origin } })
  const guarded = server({ key, secret, appId })
  client.pusher.config.userAuthenticator = ({ socketId }, done) => done(null, guarded.authenticateUser(socketId, { id: 'u1' }))
  client.pusher.signin()
  await until(() => client.frames('pusher:error').length === 1, 'the error frame')
  assert.equal(client.frames('pusher:error')[0].data.code, 4009)
}, { needs: 'guarded' })
