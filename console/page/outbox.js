// What goes out besides: webhooks and push notifications.
import { el, field, button, facts, moment, pretty, size, tell, time, Table } from './dom.js'

const ms = seconds => seconds ? `${Math.round(seconds * 1000)} ms` : ''
const tone = { up: 'good', delivered: 'good', failing: 'warn', refused: 'bad', failed: 'bad', down: 'bad', gone: 'bad' }
const word = text => el('span', { class: tone[text] }, text)

export class Webhooks {
	name = 'webhooks'
	title = 'Webhooks'
	every = true

	constructor(shared) {
		this.shared = shared
		this.summary = el('div', { class: 'card' })
		this.endpoints = new Table('Endpoints', [
			{ title: 'Endpoint', cell: e => e.endpoint }, { title: 'App', cell: e => e.app_id, wide: true }, { title: 'Place', cell: e => e.place }, { title: 'State', cell: e => word(e.state) },
			{ title: 'Delivered', cell: e => e.delivered, n: true }, { title: 'Failed', cell: e => e.failed, n: true }, { title: 'Dead', cell: e => e.dead, n: true },
			{ title: 'Takes', cell: e => ms(e.latency_seconds), n: true, wide: true }, { title: 'Last failure', cell: e => e.last_failure ? `${e.last_failure}, ${time(e.last_failure_at)}` : '', wide: true },
		], { empty: 'This node has sent nothing yet.' })
		this.attempts = new Table('Attempts', [
			{ title: 'Time', cell: a => time(a.at) }, { title: 'App', cell: a => a.app_id, wide: true }, { title: 'Place', cell: a => a.place },
			{ title: 'Outcome', cell: a => word(a.outcome) }, { title: 'Took', cell: a => ms(a.seconds), n: true }, { title: 'Reason', cell: a => a.reason, wide: true },
		], { empty: 'No attempts yet.' })
		this.dead = new Table('Dead letters', [
			{ title: 'Failed', cell: l => moment(l.failed_at) }, { title: 'App', cell: l => l.app_id, wide: true }, { title: 'Place', cell: l => l.place ?? l.endpoint },
			{ title: 'Events', cell: l => l.count, n: true }, { title: 'Attempts', cell: l => l.attempts, n: true }, { title: 'Reason', cell: l => l.reason },
		], { open: l => this.open(l), key: l => l.key, empty: 'No dead letters.' })
		this.detail = el('div')
		this.sections = el('div', {}, this.summary, el('h2', {}, 'Endpoints'), this.endpoints.node, el('h2', {}, 'Newest attempts'), this.attempts.node,
			el('h2', {}, 'Dead letters'), this.dead.node, this.detail)
		this.node = el('div', {}, this.sections)
	}

	async read() {
		const { report, attempts } = await this.shared.call('/webhooks')
		this.node.replaceChildren(this.sections)
		const wanted = x => !this.shared.app || x.app_id === this.shared.app
		this.summary.replaceChildren(facts(this.shared.session.app_id ? { endpoints: report.endpoints.length } : {
			'to send': report.ready, later: report.delayed, 'under way': report.active, dead: report.dead, size: size(report.bytes),
			'oldest': report.oldest_seconds ? `${report.oldest_seconds.toFixed(1)} s` : '',
		}))
		this.endpoints.fill(report.endpoints.filter(wanted))
		this.attempts.fill(attempts.filter(wanted))
		this.dead.fill((await this.shared.call('/webhooks/dead', { query: { limit: 200 } })).filter(wanted))
	}

	failed(e) { this.node.replaceChildren(el('p', { class: 'notice' }, e.message)) }

	async open(l) {
		try {
			const whole = await this.shared.call('/webhooks/dead/' + encodeURIComponent(l.key))
			this.detail.replaceChildren(el('div', { class: 'card' }, facts({ key: whole.key, id: whole.id, endpoint: whole.endpoint, reason: whole.reason }),
				this.shared.session.publish ? el('p', {}, button('Send it again', () => this.replay(l))) : '', el('pre', { tabindex: '0' }, pretty(JSON.stringify(whole.events)))))
		} catch (e) { tell(e.message) }
	}

	async replay(l) {
		await this.shared.call(`/webhooks/dead/${encodeURIComponent(l.key)}/replay`, { method: 'POST' })
		tell('It is queued again.')
		this.detail.replaceChildren()
		await this.read()
	}
}

export class Push {
	name = 'push'
	title = 'Push'
	every = true

	constructor(shared) {
		this.shared = shared
		this.stages = new Table('Queues', [
			{ title: 'Queue', cell: s => s.stage }, { title: 'To do', cell: s => s.ready, n: true }, { title: 'Later', cell: s => s.delayed, n: true },
			{ title: 'Under way', cell: s => s.active, n: true }, { title: 'Size', cell: s => size(s.bytes), n: true },
		])
		this.lanes = new Table('Providers', [
			{ title: 'Provider', cell: l => l.provider }, { title: 'App', cell: l => l.app_id }, { title: 'Breaker', cell: l => el('span', { class: l.breaker === 'closed' ? 'good' : 'bad' }, l.breaker) },
			{ title: 'Until', cell: l => time(l.open_until), wide: true }, { title: 'Failures in a row', cell: l => l.failures, n: true },
		], { empty: 'This node has sent nothing yet.' })
		this.dead = new Table('Dead letters', [
			{ title: 'Failed', cell: l => moment(l.occurredAtMs) }, { title: 'Provider', cell: l => l.provider }, { title: 'Stage', cell: l => l.stage, wide: true }, { title: 'Reason', cell: l => l.reason },
		], { open: l => this.open(l), key: l => l.deadLetterId, empty: 'No dead letters, or no app is chosen.' })
		this.publish = field('Publish', { placeholder: 'id of a publish' })
		this.publish.input.addEventListener('keydown', e => { if (e.key === 'Enter') this.look() })
		this.status = el('pre', { tabindex: '0', 'aria-label': 'Status of the publish' })
		this.detail = el('div')
		this.sections = el('div', {}, el('h2', {}, 'Queues'), this.stages.node, el('h2', {}, 'Providers'), this.lanes.node,
			el('div', { class: 'bar' }, this.publish.label, button('Look', () => this.look())), this.status, el('h2', {}, 'Dead letters of an app'), this.dead.node, this.detail)
		this.node = el('div', {}, this.sections)
	}

	async read() {
		if (!this.shared.session.app_id) {
			const report = await this.shared.call('/push')
			this.stages.fill(report.stages)
		}
		this.lanes.fill((await this.shared.call('/push/providers')).filter(l => !this.shared.app || l.app_id === this.shared.app))
		this.node.replaceChildren(this.sections)
		this.dead.fill(this.shared.app ? (await this.shared.call('/push/dead', { query: { app: this.shared.app, limit: 100 } })).letters : [])
	}

	failed(e) { this.node.replaceChildren(el('p', { class: 'notice' }, e.message)) }

	async look() {
		const id = this.publish.input.value.trim()
		if (!this.shared.app) return tell('Choose an app first.')
		try { this.status.textContent = JSON.stringify(await this.shared.call('/push/publishes/' + encodeURIComponent(id), { query: { app: this.shared.app } }), null, 2) } catch (e) { tell(e.message) }
	}

	open(l) {
		this.detail.replaceChildren(el('div', { class: 'card' }, this.shared.session.publish && l.replayable ? el('p', {}, button('Send it again', () => this.replay(l))) : '', el('pre', { tabindex: '0' }, JSON.stringify(l, null, 2))))
	}

	async replay(l) {
		await this.shared.call(`/push/dead/${encodeURIComponent(l.deadLetterId)}/replay`, { method: 'POST', query: { app: this.shared.app } })
		tell('It is queued again.')
		this.detail.replaceChildren()
		await this.read()
	}
}
