// pusher-js: presence channels.
import { scenario, until } from '../lib/harness.mjs'
import { assert, fence, heard, open } from '../lib/pusher.mjs'
import { server } from '../lib/server.mjs'

const ada = { id: 'ada', info: { name: 'Ada', roles: ['admin'] } }
const bob = { id: 'bob', info: { name: 'Bob' } }

const members = (channel) => {
  const all = {}
  channel.members.each(({ id, info }) => (all[id] = info))
  return all
}

// Checklist: protocol 89
scenario('the answer to joining has all members, me among them', async (t) => {
  const name = t.unique('presence-lobby')
  const first = await (await open(t, { user: ada })).join(name)
  assert.deepEqual(first.joined.me, ada)
  assert.equal(first.joined.count, 1)
  const second = await (await open(t, { user: bob })).join(name)
  assert.equal(second.joined.count, 2)
  assert.deepEqual(members(second), { ada: ada.info, bob: bob.info })
})

// Checklist: protocol 90, 91, 92
scenario('members come and go once per user, however many connections they have', async (t) => {
  const name = t.unique('presence-lobby')
  const watcher = await (await open(t, { user: ada })).join(name)
  const [bob1, bob2] = await Promise.all([open(t, { user: bob }), open(t, { user: bob })])
  const room1 = await bob1.join(name)
  assert.deepEqual(await heard(watcher, 'pusher:member_added'), bob)
  const room2 = await bob2.join(name)
  await fence(server(), watcher, room1, room2)
  assert.equal(watcher.members.count, 2)
  assert.equal(room2.members.count, 2)
  bob1.pusher.disconnect()
  const gone = (n) => async () => JSON.parse(await (await server().get({ path: `/channels/${name}`, params: { info: 'subscription_count' } })).text()).subscription_count === n
  await until(gone(2), 'one connection of bob is gone')
  await fence(server(), watcher)
  assert.deepEqual(watcher.all('pusher:member_removed'), [], 'bob is still there')
  bob2.pusher.disconnect()
  assert.deepEqual(await heard(watcher, 'pusher:member_removed'), bob)
  await fence(server(), watcher)
  assert.equal(watcher.all('pusher:member_added').length, 1)
  assert.equal(watcher.all('pusher:member_removed').length, 1)
  assert.deepEqual(members(watcher), { ada: ada.info })
  assert.deepEqual([...room1.all('pusher:member_added'), ...room2.all('pusher:member_added')], [], 'nobody is told of itself')
}, { needs: 'subscriptionCount' })

scenario('unsubscribing takes a member out at once', async (t) => {
  const name = t.unique('presence-lobby')
  const watcher = await (await open(t, { user: ada })).join(name)
  const leaver = await open(t, { user: bob })
  await leaver.join(name)
  await heard(watcher, 'pusher:member_added')
  leaver.pusher.unsubscribe(name)
  assert.equal((await heard(watcher, 'pusher:member_removed')).id, 'bob')
  assert.equal(leaver.state, 'connected')
})

// Checklist: protocol 90
scenario('a user without user_info and one with a numeric id', async (t) => {
  const name = t.unique('presence-lobby')
  const watcher = await (await open(t, { user: { id: 'plain' } })).join(name)
  assert.equal(watcher.members.me.id, 'plain')
  const seven = await (await open(t, { user: { id: 7, info: { name: 'Seven' } } })).join(name)
  assert.deepEqual(await heard(watcher, 'pusher:member_added'), { id: '7', info: { name: 'Seven' } })
  assert.deepEqual(seven.members.me, { id: 7, info: { name: 'Seven' } })
  assert.equal(seven.members.count, 2)
})

// Checklist: protocol 97
scenario('one socket under two names in two channels leaves each under the right one', async (t) => {
  const [lobby, hall] = [t.unique('presence-lobby'), t.unique('presence-hall')]
  const watcher = await open(t, { user: ada })
  const [inLobby, inHall] = [await watcher.join(lobby), await watcher.join(hall)]
  const user = { id: 'first' }
  const guest = await open(t, { user })
  await guest.join(lobby)
  guest.pusher.config.channelAuthorizer = renamed(guest, 'second')
  await guest.join(hall)
  assert.equal((await heard(inLobby, 'pusher:member_added')).id, 'first')
  assert.equal((await heard(inHall, 'pusher:member_added')).id, 'second')
  guest.pusher.disconnect()
  assert.equal((await heard(inLobby, 'pusher:member_removed')).id, 'first')
  assert.equal((await heard(inHall, 'pusher:member_removed')).id, 'second')
})

const renamed = (client, id) => ({ socketId, channelName }, done) =>
  done(null, server().authorizeChannel(socketId, channelName, { user_id: id }))

// Checklist: protocol 94
scenario('without channel_data and without signing in the channel is not joined', async (t) => {
  const client = await open(t)
  const name = t.unique('presence-lobby')
  const { auth } = server().authorizeChannel(client.id, name)
  client.pusher.send_event('pusher:subscribe', { auth, channel: name })
  await until(() => client.frames('pusher:error').length === 1, 'the error frame')
  await fence(server(), await client.join(t.unique('room')))
})

// Checklist: protocol 95
scenario('who has signed in joins without channel_data', async (t) => {
  const name = t.unique('presence-lobby')
  const id = t.unique('user')
  const watcher = await (await open(t, { user: ada })).join(name)
  const client = await open(t, { user: { id, info: { name: 'Eve' } } })
  await client.signedIn()
  client.pusher.config.channelAuthorizer = ({ socketId, channelName }, done) =>
    done(null, server().authorizeChannel(socketId, channelName))
  const room = await client.join(name)
  assert.equal(room.members.me.id, id)
  assert.deepEqual(await heard(watcher, 'pusher:member_added'), { id, info: { name: 'Eve' } })
})

// Checklist: protocol 72
scenario('joining twice is answered with the members and announced once', async (t) => {
  const name = t.unique('presence-lobby')
  const watcher = await (await open(t, { user: ada })).join(name)
  const client = await open(t, { user: bob })
  const room = await client.join(name)
  const auth = server().authorizeChannel(client.id, name, { user_id: 'bob', user_info: bob.info })
  client.pusher.send_event('pusher:subscribe', { ...auth, channel: name })
  await heard(room, 'pusher:subscription_succeeded', 2)
  assert.equal(room.members.count, 2)
  await fence(server(), watcher)
  assert.equal(watcher.all('pusher:member_added').length, 1)
})
