// The state of the hub: drivers, limits, nodes, health.
import { el, facts, Table } from './dom.js'

export class State {
	name = 'state'
	title = 'State'
	every = true

	constructor(shared) {
		this.shared = shared
		this.node = el('div')
		this.apps = new Table('Apps', [
			{ title: 'App', cell: a => a.app_id }, { title: 'Enabled', cell: a => a.enabled ? 'yes' : 'no' }, { title: 'Connections', cell: a => a.connections, n: true },
			{ title: 'Users', cell: a => a.users, n: true }, { title: 'Channels', cell: a => a.occupancy.channels, n: true }, { title: 'Subscriptions', cell: a => a.occupancy.subscriptions, n: true },
		])
	}

	async read() {
		const { call, session } = this.shared
		this.apps.fill(await call('/apps'))
		if (session.app_id) return this.node.replaceChildren(this.apps.node)
		const [hub, nodes, health] = await Promise.all([call('/state'), call('/nodes'), call('/health').catch(e => ({ status: e.message }))])
		const card = (title, content) => el('section', { class: 'card' }, el('h2', {}, title), content)
		const limits = Object.fromEntries(Object.entries(hub.limits).map(([k, v]) => [k.replaceAll('_', ' '), v === 0 ? 'unlimited' : v.max !== undefined ? (v.max ? `${v.max} in ${v.window_seconds} s` : 'unlimited') : v]))
		this.node.replaceChildren(
			card('Hub', facts({ name: hub.name, node: hub.node_id, sockets: hub.sockets, generation: hub.generation, configurations: hub.configurations, draining: hub.draining ? 'yes' : 'no' })),
			card('Health', el('pre', { tabindex: '0' }, JSON.stringify(health, null, 2))),
			card('Drivers', facts(hub.drivers)), card('Limits in force', facts(limits)),
			card('Other nodes', nodes?.length ? el('pre', { tabindex: '0' }, JSON.stringify(nodes, null, 2)) : el('p', { class: 'soft' }, 'None.')),
			card('Apps', this.apps.node))
	}
}
