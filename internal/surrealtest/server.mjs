// Serves the SurrealDB engine inside @surrealdb/node as a SurrealDB server does, as far
// as tests need that: CBOR over WebSockets at /rpc, sessions that belong to their
// connection, and nothing without signing in.
//
//	node server.mjs MODULES PORT rocksdb://DIR|surrealkv://DIR|mem://
//
// MODULES is the folder that holds node_modules, PORT is 0 for any free port. The first
// root user is that of SURREAL_USER and SURREAL_PASS. A line "ready PORT" says that the
// server listens.
import http from 'node:http'
import path from 'node:path'
import { randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'

const [, , modules, port, storage] = process.argv
const require = createRequire(path.join(path.resolve(modules), 'package.json'))
const { CborCodec, Uuid } = require('surrealdb')
const { WebSocketServer } = require('ws')
const { SurrealNodeEngine } = require(binary())

// binary is the engine for this system. The package's own entry wraps it into a client.
function binary() {
	const dist = path.join(path.resolve(modules), 'node_modules/@surrealdb/node/dist')
	const musl = process.report.getReport().header.glibcVersionRuntime ? 'gnu' : 'musl'
	const system = process.platform === 'linux' ? `linux-${process.arch}-${musl}` : `${process.platform}-${process.arch}`
	return path.join(dist, `surrealdb-node.${system}.node`)
}

const codec = new CborCodec({})
const encode = value => Buffer.from(codec.encode(value))
const decode = bytes => codec.decode(bytes)

// What the engine answers is a bare result, or a map with nothing but an error in it.
const errorHead = Buffer.concat([Buffer.from([0xa1]), encode('error')])
const isError = raw => raw.length > errorHead.length && raw.subarray(0, errorHead.length).equals(errorHead)

// answer is what a client gets: the same with the id of its request.
function answer(id, raw) {
	const rest = isError(raw) ? raw.subarray(1) : Buffer.concat([encode('result'), raw])
	return Buffer.concat([Buffer.from([0xa2]), encode('id'), encode(id), rest])
}

const refusal = (code, message) => encode({ error: { code, message } })

const engine = await SurrealNodeEngine.connect(storage, {})

async function run(request) {
	return Buffer.from(await engine.execute(request))
}

// own runs something of the server's own.
async function own(method, params, session) {
	const result = decode(await run(encode({ id: 0, method, params, ...(session && { session }) })))
	if (result?.error) throw new Error(`${method}: ${JSON.stringify(result.error)}`)
	return result
}

const name = process.env.SURREAL_USER ?? 'root'
const password = JSON.stringify(process.env.SURREAL_PASS ?? 'root')
await own('query', [`DEFINE USER IF NOT EXISTS ${name} ON ROOT PASSWORD ${password} ROLES OWNER`])

// The methods that make a session known, and those that need none that is. The engine
// itself takes everybody for its owner.
const entering = new Set(['signin', 'signup', 'authenticate'])
const free = new Set([...entering, 'use', 'version', 'info', 'reset', 'invalidate'])

// Connection is one client with a session of its own.
class Connection {
	constructor(socket) {
		this.id = new Uuid(randomUUID())
		this.known = false
		this.opened = own('attach', undefined, this.id)
		socket.on('message', message => this.serve(message).then(
			text => socket.send(text),
			error => { console.error(error); socket.terminate() },
		))
		socket.on('error', () => socket.terminate())
		socket.on('close', () => this.opened.then(() => own('detach', undefined, this.id)).catch(() => {}))
	}

	async serve(message) {
		await this.opened
		const request = decode(message)
		if (request.method === 'ping') return answer(request.id, encode(null))
		if (!this.known && !free.has(request.method)) {
			return answer(request.id, refusal(-32002, 'IAM error: Not enough permissions to perform this action'))
		}
		const raw = await run(this.mine(message))
		if (entering.has(request.method)) this.known = !isError(raw)
		if (request.method === 'reset' || request.method === 'invalidate') this.known = false
		return answer(request.id, raw)
	}

	// mine adds the session to a request, and leaves every other byte of it as it is.
	mine(message) {
		if (message[0] >> 5 !== 5 || (message[0] & 0x1f) > 22) throw new Error('the request is no small map')
		return Buffer.concat([Buffer.from([message[0] + 1]), encode('session'), encode(this.id), message.subarray(1)])
	}
}

const server = http.createServer((_, response) => response.writeHead(404).end())
const sockets = new WebSocketServer({ server, path: '/rpc', handleProtocols: offered => offered.has('cbor') && 'cbor' })
sockets.on('connection', socket => new Connection(socket))
server.listen(Number(port), '127.0.0.1', () => console.log('ready', server.address().port))

process.on('SIGTERM', () => {
	engine.free()
	process.exit(0)
})
