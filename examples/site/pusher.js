// A client of the Pusher protocol, version 7, in as little as it takes. Use a real
// one, such as pusher-js, in anything that is not a demo.

export class Client extends EventTarget {
	#url; #socket; #id; #timer; #silence = 120; #attempts = 0;
	#channels = new Map(); // what to subscribe to, with what authorizes it

	constructor(host, key) {
		super();
		const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
		this.#url = `${scheme}://${host}/app/${key}?protocol=7&client=demo&version=1.0`;
		this.#connect();
	}

	#emit(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }

	#connect() {
		this.#emit('state', 'connecting');
		const socket = this.#socket = new WebSocket(this.#url);
		socket.onmessage = ({ data }) => this.#receive(data);
		socket.onclose = ({ code, reason }) => this.#closed(code, reason);
	}

	// The range of the code says whether to come back: 4000 to 4099 never, 4100 to
	// 4199 after a while, 4200 to 4299 at once.
	#closed(code, reason) {
		clearTimeout(this.#timer);
		this.#id = undefined;
		if (code >= 4000 && code < 4100) return this.#emit('state', `refused: ${reason || code}`);
		const wait = code >= 4200 && code < 4300 && this.#attempts === 0 ? 0 : Math.min(10_000, 500 * 2 ** this.#attempts);
		this.#attempts++;
		this.#emit('state', 'waiting');
		setTimeout(() => this.#connect(), wait);
	}

	#receive(text) {
		this.#emit('frame', { out: false, text });
		this.#expectLife();
		const { event, channel, data: raw } = JSON.parse(text);
		const data = typeof raw === 'string' ? tryParse(raw) : raw;
		if (event === 'pusher:ping') return this.#transmit({ event: 'pusher:pong', data: {} });
		if (event === 'pusher:error') return this.#emit('problem', data);
		if (event === 'pusher:connection_established') {
			this.#id = data.socket_id;
			this.#silence = data.activity_timeout;
			this.#attempts = 0;
			this.#emit('state', 'connected');
			for (const [name, authorize] of this.#channels) this.#join(name, authorize);
			return;
		}
		this.#emit('event', { event: event.replace('pusher_internal:', 'pusher:'), channel, data });
	}

	// After a while of silence: is anybody there?
	#expectLife() {
		clearTimeout(this.#timer);
		this.#timer = setTimeout(() => {
			this.#transmit({ event: 'pusher:ping', data: {} });
			this.#timer = setTimeout(() => this.#socket.close(), 30_000);
		}, this.#silence * 1000);
	}

	#transmit(frame) {
		if (this.#socket.readyState !== WebSocket.OPEN) return;
		const text = JSON.stringify(frame);
		this.#emit('frame', { out: true, text });
		this.#socket.send(text);
	}

	async #join(channel, authorize) {
		const id = this.#id;
		const proof = authorize ? await authorize(id, channel) : {};
		if (id === this.#id) this.#transmit({ event: 'pusher:subscribe', data: { channel, ...proof } });
	}

	// authorize(socketId, channel) returns what proves the right to subscribe.
	subscribe(channel, authorize) {
		this.#channels.set(channel, authorize);
		if (this.#id) this.#join(channel, authorize);
	}

	unsubscribe(channel) {
		this.#channels.delete(channel);
		this.#transmit({ event: 'pusher:unsubscribe', data: { channel } });
	}

	// A client event goes from socket to socket, without the HTTP API.
	trigger(channel, event, data) { this.#transmit({ event: `client-${event}`, channel, data }); }
}

function tryParse(text) {
	try { return JSON.parse(text); } catch { return text; }
}
