// pusher-js in Chromium, on a page that the same Caddy site serves, with plain and
// with TLS sockets.
import { chromium } from 'playwright-core'
import { env, run, scenario, until } from './lib/harness.mjs'
import { Tab } from './lib/tab.mjs'
import { assert } from './lib/pusher.mjs'
import { forceReconnect, sendToUser, server } from './lib/server.mjs'

const flags = '--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync'
const browser = await chromium.launch({ executablePath: env.chromium, args: flags.split(' ') })
const profile = await browser.newContext({ ignoreHTTPSErrors: true })

const sites = { ws: `http://${env.host}:${env.port}`, wss: `https://localhost:${env.tlsPort}` }
const kinds = ['', 'private-', 'presence-', 'private-encrypted-', 'cache-', 'private-cache-', 'presence-cache-', 'private-encrypted-cache-']

/** The page for a kind of channel: only one build of pusher-js can decrypt. */
const pageFor = (kind) => (kind.includes('encrypted') ? '/encrypted.html' : '/')

for (const [scheme, site] of Object.entries(sites)) {
  const open = (t, path) => Tab.open(t, profile, site + path)
  const check = (name, body) => scenario(`${scheme}: ${name}`, body)

  check('the site serves the page and its socket', async (t) => {
    const tab = await open(t, '/')
    assert.equal(tab.response.status(), 200)
    assert.match(tab.response.headers().server, /Caddy/)
    await tab.connect()
    assert.deepEqual(await tab.transport(), { name: 'ws', tls: scheme === 'wss' })
    assert.ok(tab.sockets[0].startsWith(`${scheme}://${new URL(site).host}/app/${env.key}?`), tab.sockets[0])
  })

  for (const kind of kinds) {
    check(`${kind || 'public '}channel`, async (t) => {
      const name = t.unique(`${kind}room`)
      if (kind.includes('cache')) await server().trigger(name, 'cached', { n: 0 })
      const tab = await open(t, pageFor(kind))
      await tab.connect({ user: { id: 'ada', info: { name: 'Ada' } } })
      await tab.join(name)
      if (kind.includes('cache')) assert.deepEqual(await tab.heard(name, 'cached'), { n: 0 })
      if (kind.includes('presence')) assert.deepEqual(await tab.members(name), { ada: { name: 'Ada' } })
      await server().trigger(name, 'news', { n: 1, text: 'é😀' })
      assert.deepEqual(await tab.heard(name, 'news'), { n: 1, text: 'é😀' })
    })
  }

  check('a cache miss', async (t) => {
    const name = t.unique('cache-room')
    const tab = await open(t, '/')
    await tab.connect()
    await tab.join(name)
    await tab.heard(name, 'pusher:cache_miss')
  })

  check('a wrong signature is a subscription_error with status 401', async (t) => {
    const tab = await open(t, '/')
    await tab.connect({ sign: 'wrong' })
    assert.equal((await tab.refused(t.unique('private-room'))).status, 401)
    assert.equal(await tab.state(), 'connected')
  })

  check('members come and go, client events carry their user_id', async (t) => {
    const name = t.unique('presence-room')
    const [one, two] = [await open(t, '/'), await open(t, '/')]
    await one.connect({ user: { id: 'ada' } })
    await two.connect({ user: { id: 'bob' } })
    await one.join(name)
    await two.join(name)
    assert.equal((await one.heard(name, 'pusher:member_added')).id, 'bob')
    const got = two.listen(name, 'client-typing')
    await one.trigger(name, 'client-typing', { on: true })
    assert.deepEqual(await got, { data: { on: true }, metadata: { user_id: 'ada' } })
    await two.page.close()
    assert.equal((await one.heard(name, 'pusher:member_removed')).id, 'bob')
    assert.deepEqual(await one.all(name, 'client-typing'), [], 'no echo')
  })

  check('signing in, a message to the user, a watchlist', async (t) => {
    const [id, friend] = [t.unique('user'), t.unique('friend')]
    const tab = await open(t, '/')
    await tab.connect({ user: { id, watchlist: [friend] } })
    await tab.signIn()
    await sendToUser(id, 'notice', { text: 'hi' })
    await until(async () => (await tab.notices()).length > 0, 'the message')
    assert.deepEqual(await tab.notices(), [['notice', { text: 'hi' }]])
    await until(async () => (await tab.watched()).length > 0, 'the watchlist')
    assert.deepEqual(await tab.watched(), [['offline', [friend]]])
  })

  check('reconnects at once after 4200', async (t) => {
    const [id, name] = [t.unique('user'), t.unique('room')]
    const tab = await open(t, '/')
    await tab.connect({ user: { id } })
    await tab.join(name)
    await tab.signIn()
    await forceReconnect(id)
    await until(() => tab.sockets.length === 2, 'a second socket', 900)
    await until(async () => (await tab.all(name, 'pusher:subscription_succeeded')).length === 2, 'subscribed again')
    await server().trigger(name, 'after', { n: 1 })
    assert.deepEqual(await tab.heard(name, 'after'), { n: 1 })
  })

  check('a page of another origin is refused by an app with a list', async (t) => {
    const tab = await open(t, '/')
    await tab.start({ key: env.guarded.key })
    await until(async () => (await tab.state()) === 'disconnected', 'given up')
    assert.deepEqual(await tab.errors(), [4009])
    assert.equal(tab.sockets.length, 1, 'attempts')
  })
}

// A page of the origin on the list: its files come from our site, but Chromium
// takes it for the other one and writes the Origin header accordingly. A page from
// the outside may open sockets to loopback only with this permission.
scenario('wss: a page of an allowed origin is let in', async (t) => {
  const outside = await browser.newContext({ ignoreHTTPSErrors: true, permissions: ['local-network-access'] })
  t.defer(() => outside.close())
  await outside.route(`${env.guarded.origin}/**`, async (route) => {
    const { pathname } = new URL(route.request().url())
    await route.fulfill({ response: await route.fetch({ url: sites.wss + pathname }) })
  })
  const tab = await Tab.open(t, outside, `${env.guarded.origin}/`)
  await tab.connect({ key: env.guarded.key, at: sites.wss })
  const name = t.unique('room')
  await tab.join(name)
  const { key, secret, appId } = env.guarded
  await server({ key, secret, appId }).trigger(name, 'news', { n: 1 })
  assert.deepEqual(await tab.heard(name, 'news'), { n: 1 })
})

await run(() => browser.close())
