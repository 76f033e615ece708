// A page in Chromium with pusher-js on it, driven from here.
import { fileURLToPath } from 'node:url'
import { env, until } from './harness.mjs'
import { checkFrame } from './frames.mjs'

const helper = fileURLToPath(new URL('./page.js', import.meta.url))

export class Tab {
  sockets = []
  raw = []
  console = []

  /** Opens a page in a profile, and closes it with the scenario. */
  static async open(scene, profile, url) {
    const page = await profile.newPage()
    const tab = new Tab(page, new URL(url))
    scene.trace(`page ${url}`, () => [...tab.sockets, ...tab.raw, ...tab.console])
    scene.defer(async () => {
      await page.close()
      tab.raw.forEach(checkFrame)
    })
    tab.response = await page.goto(url)
    await page.addScriptTag({ path: helper })
    return tab
  }

  constructor(page, url) {
    this.page = page
    this.url = url
    page.on('console', (message) => this.console.push(message.text()))
    page.on('pageerror', (error) => this.console.push(String(error)))
    page.on('websocket', (socket) => {
      this.sockets.push(socket.url())
      socket.on('framereceived', ({ payload }) => this.raw.push(payload))
    })
  }

  /** Calls a function of page.js. */
  call(name, ...args) {
    return this.page.evaluate(([name, args]) => window.conformance[name](...args), [name, args])
  }

  /** Makes the pusher-js client of the page, which connects. at is another site's. */
  start({ key = env.key, user, sign, at = this.url } = {}) {
    const site = new URL(at)
    const tls = site.protocol === 'https:'
    return this.call('start', { key, user, sign, tls, host: site.hostname, port: Number(site.port), authority: env.authority })
  }

  async connect(settings) {
    await this.start(settings)
    await until(async () => (await this.state()) === 'connected', 'connected')
  }

  async heard(channel, event, n = 1) {
    await until(async () => (await this.all(channel, event)).length >= n, `${n} × ${event} on ${channel}`)
    return (await this.all(channel, event))[n - 1]
  }

  state = () => this.call('state')
  transport = () => this.call('transport')
  errors = () => this.call('errors')
  join = (channel) => this.call('join', channel)
  refused = (channel) => this.call('refused', channel)
  members = (channel) => this.call('members', channel)
  all = (channel, event) => this.call('all', channel, event)
  listen = (channel, event) => this.call('listen', channel, event)
  trigger = (channel, event, data) => this.call('trigger', channel, event, data)
  notices = () => this.call('notices')
  watched = () => this.call('watched')

  async signIn() {
    await this.call('signIn')
    await until(() => this.call('signedIn'), 'signed in')
  }
}
