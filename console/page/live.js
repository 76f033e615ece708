// What happens, while it happens.
import { el, field, button, facts, brief, pretty, size, time, Table } from './dom.js'

const most = 500 // rows
const kinds = [
	'published', 'client_event', 'received', 'refused', 'connected', 'disconnected', 'subscribed', 'unsubscribed',
	'channel_occupied', 'channel_vacated', 'member_added', 'member_removed', 'drain_started', 'drain_ended',
]

export class Live {
	name = 'live'
	title = 'Live'

	constructor(shared) {
		this.shared = shared
		Object.assign(this, { kept: [], waiting: [], missed: 0, paused: false })
		const change = { oninput: () => this.narrow() }
		this.channel = field('Channel', { placeholder: 'room or presence-*', ...change })
		this.socket = field('Socket', { placeholder: '123.456', ...change })
		this.user = field('User', change)
		this.text = field('Text', { type: 'search', oninput: () => this.redraw() })
		this.kinds = kinds.map(kind => el('input', { type: 'checkbox', value: kind, onchange: () => this.narrow() }))
		const choices = el('details', {}, el('summary', {}, 'Kinds'), el('div', { class: 'many' }, this.kinds.map(box => el('div', {}, el('label', {}, box, ' ' + box.value)))))
		this.hold = button('Pause', () => this.pause(), { title: 'Pause (p)' })
		this.counts = el('span', { class: 'soft', role: 'status' })
		this.table = new Table('What happens', [
			{ title: 'Time', cell: h => el('span', { class: 'tight' }, time(h.at)) },
			{ title: 'Kind', cell: h => el('span', { class: h.kind === 'refused' ? 'bad' : undefined }, h.kind) },
			{ title: 'App', cell: h => h.app_id, wider: true },
			{ title: 'Channel', cell: h => h.channel },
			{ title: 'Event', cell: h => h.event ?? (h.code ? `${h.code} ${h.reason ?? ''}` : '') },
			{ title: 'Who', cell: h => h.user_id ?? h.socket_id, wider: true },
			{ title: 'Data', cell: h => el('span', { class: 'cut mono' }, h.data ? brief(h.data) : ''), wide: true },
		], { open: h => this.open(h), empty: 'Nothing has happened yet.' })
		this.detail = el('aside', { class: 'card', 'aria-label': 'Details' }, el('p', { class: 'soft' }, 'Choose a row to see all of it.'))
		this.node = el('div', {},
			el('div', { class: 'bar' }, this.channel.label, this.socket.label, this.user.label, this.text.label, this.hold, button('Clear', () => this.clear(), { title: 'Clear (c)' }), this.counts),
			el('div', { class: 'bar' }, choices),
			el('div', { class: 'split' }, this.table.node, this.detail))
	}

	// narrow asks the server for less or more, when the typing has paused.
	narrow() {
		clearTimeout(this.later)
		this.later = setTimeout(() => {
			this.shared.follow({
				channel: this.channel.input.value.trim(), socket: this.socket.input.value.trim(), user: this.user.input.value.trim(),
				kind: this.kinds.filter(box => box.checked).map(box => box.value),
			})
		}, 300)
	}

	// follow filters by a channel or a connection, as other views ask.
	show(filter) {
		if (!filter) return
		for (const name of ['channel', 'socket', 'user']) this[name].input.value = filter[name] ?? ''
		this.narrow()
	}

	changed() { this.clear() }

	matches(h) {
		const text = this.text.input.value.toLowerCase()
		return !text || Object.values(h).some(v => String(v).toLowerCase().includes(text))
	}

	take({ happened, missed }) {
		if (missed) this.missed += missed
		if (happened) {
			this.waiting.push(...happened.slice(-most))
			this.waiting.splice(0, this.waiting.length - most)
			if (!this.paused) this.drawn ??= requestAnimationFrame(() => this.draw())
		}
		this.count()
	}

	draw() {
		this.drawn = undefined
		const fresh = this.waiting.splice(0).reverse()
		this.kept = [...fresh, ...this.kept].slice(0, most)
		this.table.push(fresh.filter(h => this.matches(h)), most)
		this.count()
	}

	redraw() { this.table.fill(this.kept.filter(h => this.matches(h))) }

	count() {
		const parts = []
		if (this.paused && this.waiting.length) parts.push(`${this.waiting.length} waiting`)
		if (this.missed) parts.push(`${this.missed} missed`)
		const text = parts.join(', ')
		if (this.counts.textContent !== text) this.counts.textContent = text
	}

	pause() {
		this.paused = !this.paused
		this.hold.textContent = this.paused ? 'Go on' : 'Pause'
		if (!this.paused) this.draw()
	}

	clear() {
		this.kept = []
		this.waiting = []
		this.missed = 0
		this.redraw()
		this.count()
	}

	open(h) {
		const of = (text, filter) => text && button(text, () => this.show(filter), { title: 'Follow only this' })
		this.detail.replaceChildren(el('h2', {}, h.event ?? h.kind), facts({
			kind: h.kind, at: h.at, app: h.app_id, channel: of(h.channel, { channel: h.channel }), socket: of(h.socket_id, { socket: h.socket_id }), user: h.user_id,
			address: h.client_ip, node: h.here ? 'this one' : 'another one', code: h.code, reason: h.reason, size: h.size && size(h.size),
		}), ...(h.data ? [el('pre', { tabindex: '0', 'aria-label': 'Data' }, pretty(h.data))] : []))
	}
}
