// Opens a page in Chromium and writes what happens there, one JSON value to a line:
// what its sockets receive, and the lines of its list as they come.
import { createInterface } from 'node:readline'
import { readFile } from 'node:fs/promises'
import { chromium } from 'playwright-core'

const { url, cookies, library, executablePath } = JSON.parse(process.argv[2])
const say = (what) => console.log(JSON.stringify(what))

const flags = '--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync'
const browser = await chromium.launch({ executablePath, args: flags.split(' ') })
const context = await browser.newContext()
await context.addCookies(cookies.map(([name, value]) => ({ name, value, url })))
const page = await context.newPage()
// The one thing that the page fetches from elsewhere is installed here.
await page.route('https://cdn.jsdelivr.net/npm/pusher-js@8.6.0/dist/web/pusher.min.js', async (route) => {
  await route.fulfill({ contentType: 'text/javascript', body: await readFile(library) })
})
await page.exposeFunction('sayLine', (text) => say({ line: text }))
await page.addInitScript(() => {
  new MutationObserver((changes) => {
    for (const change of changes) {
      for (const node of change.addedNodes) if (node.nodeName === 'LI') window.sayLine(node.textContent)
    }
  }).observe(document, { childList: true, subtree: true })
})
page.on('pageerror', (error) => say({ error: String(error) }))
page.on('console', (message) => message.type() === 'error' && !message.location().url.endsWith('/favicon.ico') && say({ error: message.text() }))
page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => {
  const { event, channel } = JSON.parse(payload)
  say({ event, channel })
}))
const response = await page.goto(url)
say({ status: response.status() })

// It stays until nobody writes to it any more.
for await (const line of createInterface({ input: process.stdin })) say({ heard: line })
await browser.close()
