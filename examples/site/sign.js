// Signatures, in the browser. This page may know the secret because it is a demo
// on one machine; elsewhere this is the work of a backend and its Pusher SDK.

const app = { id: 'app-id', key: 'app-key', secret: 'app-secret' };
const bytes = (text) => new TextEncoder().encode(text);
const hex = (list) => Array.from(list, (b) => b.toString(16).padStart(2, '0')).join('');

async function hmac(text) {
	const key = await crypto.subtle.importKey('raw', bytes(app.secret), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
	return hex(new Uint8Array(await crypto.subtle.sign('HMAC', key, bytes(text))));
}

export const appKey = app.key;

// presence proves that this socket may join a presence channel as the member.
export const presence = (member) => async (socketId, channel) => {
	const data = JSON.stringify(member);
	return { auth: `${app.key}:${await hmac(`${socketId}:${channel}:${data}`)}`, channel_data: data };
};

// publish sends an event to a channel through the HTTP API.
export async function publish(channel, name, data) {
	const path = `/apps/${app.id}/events`;
	const body = JSON.stringify({ name, channel, data: JSON.stringify(data) });
	const query = [
		`auth_key=${app.key}`,
		`auth_timestamp=${Math.floor(Date.now() / 1000)}`,
		'auth_version=1.0',
		`body_md5=${md5(bytes(body))}`,
	].join('&');
	const signature = await hmac(`POST\n${path}\n${query}`);
	const answer = await fetch(`${path}?${query}&auth_signature=${signature}`, {
		method: 'POST', headers: { 'Content-Type': 'application/json' }, body,
	});
	if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
}

// md5 is in no browser, and signatures of the Pusher protocol want it (RFC 1321).
function md5(message) {
	const turns = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
	const sines = Array.from({ length: 64 }, (_, i) => Math.floor(Math.abs(Math.sin(i + 1)) * 2 ** 32));
	const padded = new Uint8Array(((message.length + 8 >> 6) + 1) * 64);
	padded.set(message);
	padded[message.length] = 0x80;
	const view = new DataView(padded.buffer);
	view.setUint32(padded.length - 8, message.length * 8, true);
	view.setUint32(padded.length - 4, Math.floor(message.length / 2 ** 29), true);

	let state = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];
	for (let block = 0; block < padded.length; block += 64) {
		let [a, b, c, d] = state;
		for (let i = 0; i < 64; i++) {
			const round = i >> 4;
			const [mix, word] = [
				[(b & c) | (~b & d), i],
				[(d & b) | (~d & c), (5 * i + 1) % 16],
				[b ^ c ^ d, (3 * i + 5) % 16],
				[c ^ (b | ~d), (7 * i) % 16],
			][round];
			const sum = (a + mix + sines[i] + view.getUint32(block + 4 * word, true)) | 0;
			const turn = turns[round][i % 4];
			[a, d, c, b] = [d, c, b, (b + ((sum << turn) | (sum >>> (32 - turn)))) | 0];
		}
		state = [state[0] + a, state[1] + b, state[2] + c, state[3] + d].map((word) => word | 0);
	}
	const digest = new DataView(new ArrayBuffer(16));
	state.forEach((word, i) => digest.setInt32(4 * i, word, true));
	return hex(new Uint8Array(digest.buffer));
}
