// Serves the routes of a guide as a framework does: a module for each path, whose POST
// takes a Request and gives a Response. Everything else is a file of public/.
import { createServer } from 'node:http'
import { readFile } from 'node:fs/promises'

const { port, routes } = JSON.parse(process.argv[2])
const modules = new Map()
for (const [path, file] of Object.entries(routes)) modules.set(path, await import(`${process.cwd()}/${file}`))

const types = { html: 'text/html', js: 'text/javascript' }

async function answer(req) {
  const route = modules.get(req.url)
  if (!route) {
    const name = req.url === '/' ? '/index.html' : req.url
    const body = await readFile(`public${name}`).catch(() => null)
    return body ? new Response(body, { headers: { 'Content-Type': types[name.split('.').pop()] } }) : new Response('', { status: 404 })
  }
  const chunks = []
  for await (const chunk of req) chunks.push(chunk)
  return await route[req.method](new Request(`http://${req.headers.host}${req.url}`, { method: req.method, headers: req.headers, body: Buffer.concat(chunks) }))
}

createServer(async (req, res) => {
  try {
    const response = await answer(req)
    res.writeHead(response.status, Object.fromEntries(response.headers))
    res.end(Buffer.from(await response.arrayBuffer()))
  } catch (error) {
    console.error(error)
    res.writeHead(500).end(String(error))
  }
}).listen(port, '127.0.0.1', () => console.log('ready'))
