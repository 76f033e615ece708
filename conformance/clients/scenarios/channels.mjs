// pusher-js: public, private and encrypted channels.
import { scenario, until } from '../lib/harness.mjs'
import { assert, fence, heard, open } from '../lib/pusher.mjs'
import { publish, server } from '../lib/server.mjs'

const payloads = {
  object: { b: 1, a: [1, 2, { c: null }], 'é': 'ü😀 "\\' },
  array: [1, 'two', null],
  'plain text': 'no JSON here',
  number: 12.5,
  boolean: false,
  null: null,
  'empty text': '',
}

scenario('a public channel brings every kind of payload unchanged', async (t) => {
  const client = await open(t)
  const room = await client.join(t.unique('room'))
  assert.deepEqual(room.joined, {})
  for (const [event, data] of Object.entries(payloads)) await server().trigger(room.name, event, data)
  for (const [event, data] of Object.entries(payloads)) assert.deepEqual(await heard(room, event), data, event)
})

scenario('payloads keep their bytes: order of members, forms of numbers', async (t) => {
  const client = await open(t)
  const room = await client.join(t.unique('room'))
  const data = '{"z":1.0,"a":1e3,"big":12345678901234567890,"u":"\\u00e9/\\/","d":{"z":1,"a":2}}'
  await publish({ name: 'exact', channel: room.name, data })
  await heard(room, 'exact')
  const frame = client.raw.map(JSON.parse).find(({ event }) => event === 'exact')
  assert.equal(frame.data, data)
})

scenario('a payload of 90 kB arrives whole', async (t) => {
  const client = await open(t)
  const room = await client.join(t.unique('room'))
  const data = { text: 'ab cé'.repeat(15_000) }
  await server().trigger(room.name, 'large', data)
  assert.deepEqual(await heard(room, 'large'), data)
})

scenario('a burst keeps its order', async (t) => {
  const client = await open(t)
  const room = await client.join(t.unique('room'))
  for (let n = 0; n < 300; n += 10) {
    await server().triggerBatch(Array.from({ length: 10 }, (_, i) => ({ channel: room.name, name: 'n', data: { n: n + i } })))
  }
  await fence(server(), room)
  assert.deepEqual(room.all('n').map(({ n }) => n), Array.from({ length: 300 }, (_, i) => i))
})

scenario('two clients on a channel get the same, one on another gets nothing', async (t) => {
  const [one, two, three] = await Promise.all([open(t), open(t), open(t)])
  const name = t.unique('room')
  const [a, b, c] = await Promise.all([one.join(name), two.join(name), three.join(t.unique('elsewhere'))])
  await server().trigger(name, 'news', { n: 1 })
  await Promise.all([heard(a, 'news'), heard(b, 'news')])
  await fence(server(), c)
  assert.deepEqual(c.all('news'), [])
})

// Checklist: protocol 73
scenario('after unsubscribe nothing more comes, after subscribing again it does', async (t) => {
  const client = await open(t)
  const room = await client.join(t.unique('room'))
  const other = await client.join(t.unique('other'))
  client.pusher.unsubscribe(room.name)
  await client.join(t.unique('later')) // the unsubscribe was read before this was answered
  await server().trigger([room.name, other.name], 'news', { n: 1 })
  await heard(other, 'news')
  assert.deepEqual(client.frames('news', room.name), [])
  const again = await client.join(room.name)
  await server().trigger(room.name, 'news', { n: 2 })
  assert.deepEqual(await heard(again, 'news'), { n: 2 })
})

scenario('a private channel is joined with the signature of the auth endpoint', async (t) => {
  const client = await open(t)
  const room = await client.join(t.unique('private-room'))
  assert.deepEqual(room.joined, {})
  await server().trigger(room.name, 'news', { n: 1 })
  assert.deepEqual(await heard(room, 'news'), { n: 1 })
})

for (const kind of ['private', 'presence', 'private-encrypted', 'private-cache', 'presence-cache']) {
  // Checklist: protocol 62, 66, 68
  scenario(`a wrong signature on a ${kind} channel is a subscription_error with status 401`, async (t) => {
    const client = await open(t, { user: { id: 'u1' }, sign: 'wrong' })
    const error = await client.refused(t.unique(`${kind}-room`))
    assert.equal(error.type, 'AuthError')
    assert.equal(error.status, 401)
    await until(() => client.frames('pusher:error').length === 1, 'the error frame')
    assert.equal(client.frames('pusher:error')[0].data.code, 4009)
    await fence(server(), await client.join(t.unique('room')))
    assert.equal(client.state, 'connected')
  })
}

// Checklist: protocol 63
scenario('a signature with another key in front is refused', async (t) => {
  const client = await open(t, { sign: 'foreign' })
  assert.equal((await client.refused(t.unique('private-room'))).status, 401)
})

scenario('an auth endpoint that says no is reported with its status', async (t) => {
  const client = await open(t, { sign: 'forbid' })
  assert.equal((await client.refused(t.unique('private-room'))).status, 403)
})

// Checklist: protocol 67
scenario('an encrypted channel is decrypted with the shared secret', async (t) => {
  const client = await open(t)
  const room = await client.join(t.unique('private-encrypted-room'))
  await server().trigger(room.name, 'secret', payloads.object)
  assert.deepEqual(await heard(room, 'secret'), payloads.object)
  const frame = client.raw.map(JSON.parse).find(({ event }) => event === 'secret')
  assert.deepEqual(Object.keys(JSON.parse(frame.data)).sort(), ['ciphertext', 'nonce'], 'the server passes on what it cannot read')
})

scenario('an encrypted channel stays shut to another master key', async (t) => {
  const client = await open(t)
  const room = await client.join(t.unique('private-encrypted-room'))
  const stranger = server({ encryptionMasterKeyBase64: Buffer.alloc(32, 7).toString('base64') })
  await stranger.trigger(room.name, 'secret', { n: 1 })
  await server().trigger(room.name, 'secret', { n: 2 })
  assert.deepEqual(await heard(room, 'secret'), { n: 2 })
})

scenario('names that Pusher allows are accepted', async (t) => {
  const client = await open(t)
  for (const name of ['A-z_0=@,.;9', 'x'.repeat(200 - 7), '-']) {
    const room = await client.join(name.length > 100 ? t.unique(name).slice(0, 200) : t.unique(name))
    await fence(server(), room)
  }
})

for (const [what, name] of [['a space', 'a room'], ['a slash', 'a/room'], ['201 bytes', 'x'.repeat(201)], ['a pattern', 'orders.*'], ['a meta channel', '[meta]orders']]) {
  scenario(`a name with ${what} is refused with 4300`, async (t) => {
    const client = await open(t)
    client.within(() => client.pusher.subscribe(name))
    await until(() => client.frames('pusher:error').length === 1, 'the error frame')
    assert.equal(client.frames('pusher:error')[0].data.code, 4300)
    assert.equal(client.pusher.channel(name).subscribed, false)
    await client.join(t.unique('room'))
  })
}

// Checklist: protocol 54
// Checklist: http-api 51
scenario('what only newer clients know stays out of sight', async (t) => {
  const client = await open(t)
  const room = await client.join(t.unique('room'))
  await publish({
    name: 'rich',
    channel: room.name,
    data: '{"n":1}',
    tags: { region: 'eu' },
    message_id: t.unique('message'),
    extras: { headers: { priority: 'high' }, ephemeral: true },
  })
  assert.deepEqual(await heard(room, 'rich'), { n: 1 })
  assert.deepEqual(Object.keys(client.raw.map(JSON.parse).find(({ event }) => event === 'rich')).sort(), ['channel', 'data', 'event'])
})
