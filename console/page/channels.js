// Channels with who is in them, and connections.
import { el, field, button, facts, moment, tell, Table } from './dom.js'

const most = 500 // rows
const mostApps = 20 // that are asked for at once

// connections is a table of them.
function connections(open, narrow) {
	return new Table('Connections', [
		{ title: 'Socket', cell: c => el('span', { class: 'mono' }, c.socket_id) },
		{ title: 'App', cell: c => c.app_id, wide: true },
		{ title: 'User', cell: c => c.user_id },
		{ title: 'Address', cell: c => c.client_ip, wide: true },
		{ title: 'Channels', cell: c => c.channels.length, n: true },
		{ title: 'Since', cell: c => moment(c.opened_at), wide: true },
	].filter(c => !narrow || !c.wide), { open, key: c => c.socket_id, empty: 'No connections.' })
}

export class Channels {
	name = 'channels'
	title = 'Channels'
	every = true

	constructor(shared) {
		this.shared = shared
		this.prefix = field('Begins with', { placeholder: 'presence-', oninput: () => this.read() })
		this.total = el('span', { class: 'soft' })
		this.table = new Table('Occupied channels', [
			{ title: 'Channel', cell: c => c.name },
			{ title: 'App', cell: c => c.app, wide: true },
			{ title: 'Subscriptions', cell: c => c.subscription_count, n: true },
			{ title: 'Users', cell: c => c.user_count || '', n: true },
		], { open: c => this.open(c), key: c => c.app + ' ' + c.name, empty: 'No channel is occupied.' })
		this.detail = el('aside', { class: 'card', 'aria-label': 'Channel' }, el('p', { class: 'soft' }, 'Choose a channel to see who is in it.'))
		this.node = el('div', {}, el('div', { class: 'bar' }, this.prefix.label, this.total), el('div', { class: 'split' }, this.table.node, this.detail))
	}

	async read() {
		const apps = this.shared.app ? [this.shared.app] : this.shared.apps.map(a => a.app_id).slice(0, mostApps)
		const turn = this.turn = {}
		const pages = await Promise.all(apps.map(app => this.shared.call('/channels', { query: { app, prefix: this.prefix.input.value, limit: most } })))
		if (turn !== this.turn) return // a newer one is under way
		const all = pages.flatMap(p => p.channels.map(c => ({ ...c, app: p.app_id })))
		this.table.fill(all.slice(0, most))
		this.total.textContent = `${pages.reduce((n, p) => n + p.total, 0)} occupied` +
			(apps.length < this.shared.apps.length && !this.shared.app ? ` in the first ${mostApps} apps: choose an app for others` : '')
	}

	changed() { this.detail.replaceChildren() }

	async open(c) {
		try {
			const view = await this.shared.call('/members', { query: { app: c.app, channel: c.name } })
			const inside = connections(conn => this.shared.show('connections', conn), true)
			inside.fill(view.connections)
			this.detail.replaceChildren(el('h2', {}, c.name), facts({
				app: c.app, subscriptions: view.channel.subscription_count, users: view.users.length ? view.users.slice(0, 200).join(', ') : '',
			}), el('p', {}, button('Follow it live', () => this.shared.show('live', { channel: c.name })), ' ',
				this.shared.session.publish ? button('Publish to it', () => this.shared.show('creator', c)) : ''),
			el('h2', {}, 'Connections of this node' + (view.next ? ', the first ones' : '')), inside.node)
		} catch (e) { tell(e.message) }
	}
}

export class Connections {
	name = 'connections'
	title = 'Connections'
	every = true

	constructor(shared) {
		this.shared = shared
		this.find = field('Socket', { placeholder: '123.456' })
		this.find.input.addEventListener('keydown', e => { if (e.key === 'Enter') this.look(this.find.input.value.trim()) })
		this.next = button('Next page', async () => { this.after = this.page.next; await this.read() })
		this.first = button('First page', async () => { this.after = ''; await this.read() })
		this.table = connections(c => this.open(c))
		this.detail = el('aside', { class: 'card', 'aria-label': 'Connection' }, el('p', { class: 'soft' }, 'Choose a connection to see its channels.'))
		this.node = el('div', {}, el('div', { class: 'bar' }, this.find.label, button('Find', () => this.look(this.find.input.value.trim())), this.first, this.next),
			el('div', { class: 'split' }, this.table.node, this.detail))
		this.after = ''
	}

	async read() {
		this.page = await this.shared.call('/connections', { query: { app: this.shared.app, after: this.after, limit: 200 } })
		this.table.fill(this.page.connections)
		this.next.disabled = !this.page.next
		this.first.disabled = !this.after
	}

	changed() { this.after = '' }

	show(c) { if (c) this.look(c.socket_id) }

	async look(id) {
		try { this.open(await this.shared.call('/connections/' + encodeURIComponent(id))) } catch (e) { tell(e.message) }
	}

	open(c) {
		const id = c.socket_id
		this.detail.replaceChildren(el('h2', { class: 'mono' }, id), facts({
			app: c.app_id, user: c.user_id, address: c.client_ip, since: moment(c.opened_at), channels: c.channels.length,
		}), el('p', {}, button('Follow it live', () => this.shared.show('live', { socket: id })), ' ',
			this.shared.session.publish ? button('Close it', () => this.close(id)) : ''),
		el('ul', {}, c.channels.slice(0, most).map(name => el('li', {}, name))))
	}

	async close(id) {
		if (!confirm(`Close connection ${id} with code 4009?`)) return
		await this.shared.call('/connections/' + encodeURIComponent(id), { method: 'DELETE' })
		tell(`${id} is closed.`)
		await this.read()
	}
}
