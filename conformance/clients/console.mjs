// The debug console in Chromium, on the site that serves it.
import { createServer, request } from 'node:http'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { env, run, scenario, until } from './lib/harness.mjs'
import { assert, Client } from './lib/pusher.mjs'
import { PusherServer, server } from './lib/server.mjs'

const flags = '--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync'
const browser = await chromium.launch({ executablePath: env.chromium, args: flags.split(' ') })
const site = `http://${env.host}:${env.port}`
const views = ['live', 'channels', 'connections', 'creator', 'webhooks', 'push', 'charts', 'state']

/** A call of the admin API, which takes nothing that looks like a browser's: no fetch. */
const ask = (method, path, { headers = {}, body } = {}) =>
  new Promise((done, fail) => {
    const call = request(`http://${env.host}:${env.adminPort}${path}`, { method, headers }, async (answer) => {
      const parts = []
      for await (const part of answer) parts.push(part)
      done({ status: answer.statusCode, text: Buffer.concat(parts).toString() })
    })
    call.on('error', fail)
    call.end(body)
  })

/** A link of the admin API. */
async function link(query = 'publish=on') {
  const answer = await ask('POST', `/sockudo/hubs/default/console?${query}`)
  assert.equal(answer.status, 201, answer.text)
  return JSON.parse(answer.text)
}

/** A console that is open. Whatever it should not do fails the scenario at its end. */
class Console {
  faults = []

  static async open(t, { at, query, width = 1200, height = 800, scheme = 'light', expected = [] } = {}) {
    const profile = await browser.newContext({ viewport: { width, height }, colorScheme: scheme })
    const page = await profile.newPage()
    const me = new Console(page)
    me.requests = []
    await page.addInitScript(() => {
      addEventListener('securitypolicyviolation', (e) => console.error(`policy: ${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}`))
    })
    page.on('console', (m) => {
      if (['error', 'warning'].includes(m.type()) && !expected.some((x) => m.text().includes(x))) me.faults.push(m.text())
    })
    page.on('pageerror', (e) => me.faults.push(String(e)))
    page.on('dialog', (d) => d.accept())
    page.on('request', (r) => {
      me.requests.push(r.url())
      if (!r.url().startsWith(site + '/') && !r.url().startsWith('data:')) me.faults.push(`a request to ${r.url()}`)
    })
    t.trace('console', () => [...me.faults, ...me.requests])
    t.defer(async () => {
      await profile.close()
      assert.deepEqual(me.faults, [])
    })
    me.response = await page.goto(at ?? site + (await link(query)).path)
    return me
  }

  constructor(page) {
    this.page = page
  }

  text = (selector = 'main') => this.page.locator(selector).innerText()
  live = () => until(async () => (await this.text('#state')) === 'live', 'the console is live')
  press = (...keys) => keys.reduce((p, key) => p.then(() => this.page.keyboard.press(key)), Promise.resolve())
  see = (part, selector) => until(async () => (await this.text(selector)).includes(part), `to see ${part}`)
  rows = (label) => this.page.locator(`table[aria-label="${label}"] tbody tr`)
}

async function client(t, options) {
  const c = new Client(t, options)
  await until(() => c.id, 'a connection')
  return c
}

async function join_(c, name) {
  const channel = c.pusher.subscribe(name)
  await until(() => channel.subscribed, `to be in ${name}`)
  return channel
}

scenario('a link opens it, and an event is seen that a backend publishes', async (t) => {
  const c = await Console.open(t)
  await c.live()
  assert.equal(new URL(c.page.url()).hash, '')
  assert.match(c.response.headers()['content-security-policy'], /default-src 'none'/)
  assert.ok(c.requests.every((url) => !url.includes('eyJ') || url.includes('#')), 'the token is in an address')
  const name = t.unique('room')
  await server().trigger(name, 'greeting', { n: 1, text: 'é😀' })
  await c.see(name)
  await c.rows('What happens').filter({ hasText: name }).click()
  await c.see('"text": "é😀"', 'aside')
  await c.page.reload()
  await c.live()
})

scenario('filters', async (t) => {
  const c = await Console.open(t)
  await c.live()
  const [one, two] = [t.unique('presence-one'), t.unique('two')]
  await c.page.getByLabel('Channel', { exact: true }).fill(one.slice(0, 11) + '*')
  await until(() => c.requests.some((url) => url.includes('stream?channel=presence-on')), 'a new stream')
  await c.live()
  const ada = await client(t, { user: { id: 'ada' } })
  await join_(ada, one)
  await server().trigger(two, 'other', {})
  await server().trigger(one, 'wanted', { word: 'needle' })
  await c.see('wanted')
  await c.see('member_added')
  assert.ok(!(await c.text()).includes(two))
  await c.page.getByLabel('Text', { exact: true }).fill('needle')
  await until(async () => (await c.rows('What happens').count()) === 1, 'one row')
  await c.page.getByLabel('Text', { exact: true }).fill('')
  await c.page.getByText('Kinds').click()
  await c.page.getByLabel('published', { exact: true }).check()
  await until(() => c.requests.some((url) => url.includes('kind=published')), 'a new stream')
  await c.page.getByRole('button', { name: 'Clear' }).click()
  await until(async () => (await c.rows('What happens').count()) === 0, 'no rows')
  await c.live()
  await join_(ada, one + '2')
  await server().trigger(one, 'again', {})
  await c.see('again')
  assert.ok(!(await c.text()).includes(one + '2'))
})

scenario('what happens while it is paused waits', async (t) => {
  const c = await Console.open(t)
  await c.live()
  const name = t.unique('room')
  await c.press('p')
  await server().trigger(name, 'later', {})
  await c.see('waiting')
  assert.ok(!(await c.text()).includes(name))
  await c.press('p')
  await c.see(name)
})

scenario('the creator publishes what a client gets', async (t) => {
  const c = await Console.open(t)
  await c.live()
  const name = t.unique('room')
  const [ada, ben] = [await client(t), await client(t)]
  const heard = { ada: [], ben: [] }
  ;(await join_(ada, name)).bind('made', (data) => heard.ada.push(data))
  ;(await join_(ben, name)).bind_global((event, data) => heard.ben.push(event, data))
  await c.page.getByRole('tab', { name: 'Publish' }).click()
  await c.page.locator('main').getByLabel('App').selectOption(env.appId)
  await c.page.getByLabel('Channel', { exact: true }).fill(name)
  await c.page.getByLabel('Event', { exact: true }).fill('made')
  await c.page.getByLabel('Socket that').fill(ben.id)
  await c.page.getByLabel('Data').fill('{"n": 1')
  await c.see('not JSON')
  await c.page.getByLabel('Data').fill('{"n": 1}')
  await c.page.locator('main').getByRole('button', { name: 'Publish' }).click()
  await c.see('Published at')
  await until(() => heard.ada.length === 1, 'the event')
  assert.deepEqual(heard.ada, [{ n: 1 }])
  await server().trigger(name, 'after', {})
  await until(() => heard.ben.includes('after'), 'the next event')
  assert.ok(!heard.ben.includes('made'), 'the socket that is left out has got it')
})

scenario('refusals of the HTTP API are shown', async (t) => {
  const c = await Console.open(t, { expected: ['the server responded with a status of 400'] })
  await c.live()
  await c.press('4')
  await c.page.getByLabel('Channel', { exact: true }).fill('no such channel')
  await c.page.getByLabel('Event', { exact: true }).fill('made')
  await c.page.locator('main').getByRole('button', { name: 'Publish' }).click()
  await c.see('Channel')
  await until(async () => (await c.page.locator('pre.bad').count()) === 1, 'the refusal')
})

scenario('without a mouse', async (t) => {
  const c = await Console.open(t)
  await c.live()
  const name = t.unique('presence-keys')
  const ada = await client(t, { user: { id: 'ada' } })
  const heard = []
  ;(await join_(ada, name)).bind('typed', (data) => heard.push(data))
  await c.press('?')
  assert.equal(await c.page.evaluate(() => document.getElementById('keys').open), true)
  await c.press('Escape', '2', '/')
  await c.page.keyboard.type(name)
  await until(async () => (await c.rows('Occupied channels').count()) === 1, 'one channel')
  const focused = () => c.page.evaluate(() => document.activeElement?.closest('tr')?.cells[0].textContent ?? document.activeElement.tagName)
  for (let i = 0; i < 5 && (await focused()) !== name; i++) await c.press('Tab')
  assert.equal(await focused(), name)
  await c.press('Enter')
  await c.see('ada', 'aside')
  await c.press('4', '/', 'Tab')
  await c.page.keyboard.type(name)
  await c.press('Tab')
  await c.page.keyboard.type('typed')
  await c.press('Tab', 'Tab', 'Control+a')
  await c.page.keyboard.type('"by keys"')
  await c.press('Control+Enter')
  await until(() => heard.length === 1, 'the event')
  assert.deepEqual(heard, ['by keys'])
  await c.press('Escape', '1')
  await c.see(name)
  const outline = await c.page.evaluate(() => {
    document.querySelector('#tab-live').focus()
    return getComputedStyle(document.activeElement).outlineStyle
  })
  assert.equal(outline, 'solid')
  await c.press('ArrowRight')
  assert.equal(await c.page.evaluate(() => document.activeElement.id), 'tab-channels')
  for (const role of ['tablist', 'tab', 'grid']) assert.ok(await c.page.locator(`[role=${role}]`).count() || role === 'grid')
})

/** The contrast of two colours, as WCAG counts it. */
const contrast = (page, pairs) =>
  page.evaluate((pairs) => {
    const style = getComputedStyle(document.documentElement)
    const light = (name) => {
      const hex = style.getPropertyValue(name).trim()
      const [r, g, b] = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
      return 0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    return pairs.map(([a, b]) => {
      const [x, y] = [light(a), light(b)].sort((p, q) => q - p)
      return [`${a} on ${b}`, (x + 0.05) / (y + 0.05)]
    })
  }, pairs)

const inks = ['--text', '--soft', '--main', '--good', '--bad', '--warn']
const pairs = [...inks.flatMap((ink) => [[ink, '--card'], [ink, '--back']]), ['--on-main', '--main'], ['--text', '--mark'], ['--main', '--mark']]

for (const scheme of ['light', 'dark']) {
  scenario(`${scheme}, as the system is, readable and switched`, async (t) => {
    const c = await Console.open(t, { scheme })
    await c.live()
    const theme = () => c.page.evaluate(() => document.documentElement.dataset.theme)
    assert.equal(await theme(), scheme)
    for (const [what, ratio] of await contrast(c.page, pairs)) assert.ok(ratio >= 4.5, `${what}: ${ratio}`)
    await c.press('t')
    assert.notEqual(await theme(), scheme)
    await c.page.reload()
    assert.notEqual(await theme(), scheme)
  })
}

scenario('hostile names and payloads are text', async (t) => {
  const c = await Console.open(t)
  await c.live()
  const evil = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>"\'`${window.hurt=1}'
  const name = t.unique('presence-evil')
  const eve = await client(t, { user: { id: evil } })
  await join_(eve, name)
  await server().trigger(name, evil, { [evil]: evil })
  await c.see(evil.slice(0, 40))
  const row = c.rows('What happens').filter({ hasText: evil.slice(0, 40) })
  await row.first().click()
  await c.see('onerror', 'aside')
  await c.press('2')
  await c.rows('Occupied channels').filter({ hasText: name }).click()
  await c.see('onerror', 'aside')
  assert.equal(await c.page.evaluate(() => window.hurt), undefined)
  assert.equal(await c.page.locator('img').count(), 0)
})

scenario('links that are forged, expired or missing', async (t) => {
  const expected = ['status of 403', 'status of 401']
  const { path } = await link('ttl=4s')
  const soon = await Console.open(t, { at: site + path, expected })
  await until(async () => /link has expired/.test(await soon.text()), 'the end of the link', 10_000)
  await soon.see('caddy sockudo console')
  const late = await Console.open(t, { at: site + path, expected })
  await late.see('This link has expired')
  const forged = await Console.open(t, { at: `${site}${(await link()).path}x`, expected })
  await forged.see('no link of this console')
  const none = await Console.open(t, { at: `${site}/_sockudo/`, expected })
  await none.see('A link is needed')
}, { timeout: 45_000 })

scenario('a link for looking', async (t) => {
  const c = await Console.open(t, { query: 'app=' + env.appId })
  await c.live()
  await c.see('looking only', '#left')
  assert.deepEqual(await c.page.locator('#app option').allInnerTexts(), [env.appId])
  await c.press('4')
  await c.see('--publish')
  await c.press('8')
  await c.see('Subscriptions')
})

scenario('connections are closed', async (t) => {
  const c = await Console.open(t)
  await c.live()
  const ada = await client(t)
  await c.press('3')
  await c.page.getByLabel('Socket', { exact: true }).fill(ada.id)
  await c.press('Enter')
  await c.see(ada.id, 'aside')
  await c.page.getByRole('button', { name: 'Close it' }).click()
  await until(() => ada.closes.some(({ code }) => code === 4009), 'to be closed')
})

scenario('attempts of webhooks', async (t) => {
  const c = await Console.open(t)
  await c.live()
  const receiver = createServer((_, answer) => answer.end('ok')).listen(env.hooksPort, env.host)
  t.defer(() => receiver.close())
  const app = { appId: env.hooked.appId, key: env.hooked.key, secret: env.hooked.secret }
  const ada = await client(t, { key: app.key })
  await join_(ada, t.unique('hooked'))
  await new PusherServer({ ...app, host: env.host, port: env.port }).trigger('x', 'y', {})
  await c.press('5')
  await c.see('delivered')
  await until(async () => (await c.rows('Attempts').count()) > 0, 'an attempt')
  await c.press('6')
  await c.see('push')
}, { timeout: 30_000 })

scenario('charts move', async (t) => {
  const c = await Console.open(t)
  await c.live()
  await client(t)
  await c.press('7')
  const points = () => c.page.locator('svg polyline').first().getAttribute('points')
  const before = await points()
  await until(async () => (await points()) !== before, 'a new point')
  assert.match(await c.page.locator('svg').first().getAttribute('aria-label'), /^Connections: open [1-9]/)
})

scenario('it goes on after a reload of the configuration', async (t) => {
  const c = await Console.open(t)
  await c.live()
  const { text: body } = await ask('GET', '/config/')
  const answer = await ask('POST', '/load', { headers: { 'Content-Type': 'application/json', 'Cache-Control': 'must-revalidate' }, body })
  assert.equal(answer.status, 200)
  await until(() => c.requests.filter((url) => url.includes('/stream')).length > 1, 'a new stream')
  await c.live()
  const name = t.unique('room')
  await server().trigger(name, 'after', {})
  await c.see(name)
})

scenario('360 pixels are enough', async (t) => {
  const c = await Console.open(t, { width: 360, height: 640 })
  await c.live()
  await server().trigger(t.unique('a-channel-with-quite-a-long-name-that-goes-on'), 'greeting', { text: 'x'.repeat(2000) })
  await c.see('greeting')
  for (const [i, view] of views.entries()) {
    await c.press(String(i + 1))
    await until(() => c.page.locator(`#tab-${view}[aria-selected=true]`).count(), view)
    const [wide, room] = await c.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth])
    assert.ok(wide <= room, `${view} is ${wide} pixels wide`)
  }
})

/** Pictures for the documents, where CONSOLE_IMAGES names their directory. */
async function pictures(t, scheme) {
  mkdirSync(process.env.CONSOLE_IMAGES, { recursive: true })
  const c = await Console.open(t, { scheme, width: 1100, height: 640 })
  await c.live()
  const people = []
  for (const id of ['ada', 'ben', 'cleo']) {
    const one = await client(t, { user: { id: id } })
    await join_(one, 'presence-lobby')
    people.push(one)
  }
  for (let n = 1; n <= 12; n++) await server().trigger(n % 3 ? 'orders' : 'presence-lobby', n % 3 ? 'order.created' : 'greeting', { id: 1000 + n, total: n * 19.5 })
  await c.see('1012')
  await c.rows('What happens').filter({ hasText: 'order.created' }).first().click()
  const shoot = (name) => c.page.screenshot({ path: join(process.env.CONSOLE_IMAGES, `console-${name}-${scheme}.png`) })
  await shoot('live')
  await c.press('2')
  await c.rows('Occupied channels').filter({ hasText: 'presence-lobby' }).click()
  await c.see('ada', 'aside')
  if (scheme === 'light') await shoot('channels')
  await c.press('7')
  const points = async () => (await c.page.locator('svg polyline').first().getAttribute('points')).split(' ').length
  for (let n = 0; (await points()) < 20; n++) {
    await server().triggerBatch(Array.from({ length: 1 + (n % 8) }, (_, i) => ({ channel: 'presence-lobby', name: 'tick', data: { n, i } })))
  }
  if (scheme === 'dark') await shoot('charts')
}

if (process.env.CONSOLE_IMAGES) for (const scheme of ['light', 'dark']) scenario(`pictures, ${scheme}`, (t) => pictures(t, scheme), { timeout: 120_000 })

await run(() => browser.close())
