// Calls of the server. The link's token is sent with each of them and is nowhere else: not
// in an address that is kept, not in a cookie.

const place = 'sockudo-console-token'

function read() {
	const given = decodeURIComponent(location.hash.slice(1))
	if (given.includes('.')) {
		sessionStorage.setItem(place, given) // for this tab, so that it can be loaded again
		history.replaceState(null, '', location.pathname)
	}
	return sessionStorage.getItem(place) ?? ''
}

let token = read()

// A link that is opened in a tab that has the console already.
addEventListener('hashchange', () => {
	if (location.hash.includes('.')) {
		token = read()
		location.reload()
	}
})

// Refused is an answer that is none.
export class Refused extends Error {
	constructor(status, text) {
		super(text)
		this.status = status
	}
}

async function ask(path, { method = 'GET', query = {}, body, signal } = {}) {
	const pairs = Object.entries(query).flatMap(([k, v]) => [v].flat().filter(x => x !== '' && x !== undefined).map(x => [k, x]))
	const at = 'api' + path + (pairs.length ? '?' + new URLSearchParams(pairs) : '')
	const headers = { Authorization: 'Bearer ' + token }
	if (body !== undefined) headers['Content-Type'] = 'application/json'
	const answer = await fetch(at, { method, headers, body, signal, credentials: 'omit', cache: 'no-store', redirect: 'error' })
	if (answer.ok) return answer
	let text = `The server answers ${answer.status}.`
	try { text = (await answer.json()).error ?? text } catch { /* it is not JSON */ }
	throw new Refused(answer.status, text)
}

// call returns what the server answers, or throws Refused.
export async function call(path, options) {
	const answer = await ask(path, options)
	const text = await answer.text()
	const value = text ? JSON.parse(text) : null
	if (value?.off) throw new Refused(answer.status, value.off)
	return value
}

const page = crypto.getRandomValues(new Uint32Array(2)).join('-')

// Stream reads what happens, line by line, and begins again when it is lost.
export class Stream {
	// take gets each line, and state what has become of the stream: live, lost or over, with the reason.
	constructor(take, state) {
		Object.assign(this, { take, state, query: {} })
	}

	// start begins anew with a filter.
	start(query = this.query) {
		this.query = query
		this.abort?.abort()
		this.abort = new AbortController()
		this.run(this.abort.signal)
	}

	async run(signal) {
		for (let wait = 500; !signal.aborted; wait = Math.min(wait * 2, 10000)) {
			try {
				const end = await this.once(signal, () => { wait = 250 })
				if (signal.aborted) return
				if (end && end !== 'reload') return this.state('over', end)
			} catch (e) {
				if (signal.aborted) return
				if (e instanceof Refused && e.status < 500 && e.status !== 429) return this.state('over', e.message)
				this.state('lost', e.message)
			}
			this.state('lost', '')
			await new Promise(done => setTimeout(done, wait))
		}
	}

	// once reads one stream to its end, and returns why it has ended if the server says so.
	async once(signal, begun) {
		const answer = await ask('/stream', { query: { ...this.query, page }, signal })
		this.state('live', '')
		begun()
		const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
		for (let rest = ''; ;) {
			const { value, done } = await reader.read()
			if (done) return ''
			const lines = (rest + value).split('\n')
			rest = lines.pop()
			for (const line of lines) {
				const l = JSON.parse(line)
				if (l.end) return l.end
				this.take(l)
			}
		}
	}
}
