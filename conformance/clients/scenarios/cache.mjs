// pusher-js: channels that remember their last event.
import { scenario } from '../lib/harness.mjs'
import { assert, fence, heard, open } from '../lib/pusher.mjs'
import { server } from '../lib/server.mjs'

const kinds = ['cache', 'private-cache', 'presence-cache', 'private-encrypted-cache']

for (const kind of kinds) {
  // Checklist: protocol 76
  scenario(`${kind}: a miss when nothing was published`, async (t) => {
    const client = await open(t, { user: { id: 'u1' } })
    const room = await client.join(t.unique(`${kind}-room`))
    await heard(room, 'pusher:cache_miss')
    assert.deepEqual(room.seen.map(([event]) => event), ['pusher:subscription_succeeded', 'pusher:cache_miss'])
  })

  // Checklist: protocol 77
  // Checklist: http-api 60
  scenario(`${kind}: the last event for whoever comes later`, async (t) => {
    const name = t.unique(`${kind}-room`)
    await server().trigger(name, 'first', { n: 1 })
    await server().trigger(name, 'price.updated', { n: 2 })
    const client = await open(t, { user: { id: 'u1' } })
    const room = await client.join(name)
    assert.deepEqual(await heard(room, 'price.updated'), { n: 2 })
    await fence(server(), room)
    const events = room.seen.map(([event]) => event)
    assert.deepEqual(events.slice(0, 2), ['pusher:subscription_succeeded', 'price.updated'])
    assert.ok(!events.includes('first') && !events.includes('pusher:cache_miss'), events)
  })
}

// Checklist: protocol 70
scenario('presence-cache: members as on any presence channel', async (t) => {
  const name = t.unique('presence-cache-room')
  const ada = await open(t, { user: { id: 'ada', info: { name: 'Ada' } } })
  const room = await ada.join(name)
  const bob = await open(t, { user: { id: 'bob' } })
  const theirs = await bob.join(name)
  assert.equal((await heard(room, 'pusher:member_added')).id, 'bob')
  assert.deepEqual(theirs.members.get('ada'), { id: 'ada', info: { name: 'Ada' } })
  assert.equal(theirs.members.count, 2)
})

// Checklist: protocol 79
scenario('a client event does not become the cached event', async (t) => {
  const name = t.unique('private-cache-room')
  const [one, two] = await Promise.all([open(t), open(t)])
  const [a, b] = [await one.join(name), await two.join(name)]
  await server().trigger(name, 'published', { n: 1 })
  await heard(a, 'published')
  a.trigger('client-typing', { on: true })
  await heard(b, 'client-typing')
  const late = await (await open(t)).join(name)
  assert.deepEqual(await heard(late, 'published'), { n: 1 })
})

// Checklist: protocol 69
scenario('a name with cache- in the middle is an ordinary channel', async (t) => {
  const name = t.unique('my-cache-room')
  await server().trigger(name, 'first', { n: 1 })
  const room = await (await open(t)).join(name)
  await fence(server(), room)
  assert.equal(room.seen.length, 2, JSON.stringify(room.seen))
})
