// The event creator: it publishes as a backend does.
import { el, field, button, tell } from './dom.js'

export class Creator {
	name = 'creator'
	title = 'Publish'

	constructor(shared) {
		this.shared = shared
		if (!shared.session.publish) {
			this.node = el('p', { class: 'notice' }, 'This link is for looking only. One that may publish is made with: caddy sockudo console --publish')
			return
		}
		this.app = field('App', {}, 'select')
		this.channel = field('Channel', { required: true, maxlength: 1000 })
		this.event = field('Event', { required: true, maxlength: 1000 })
		this.except = field('Socket that does not get it (optional)', { placeholder: '123.456' })
		this.data = field('Data, JSON or text', { oninput: () => this.check() }, 'textarea')
		this.verdict = el('span', { class: 'soft', role: 'status' })
		this.result = el('pre', { role: 'status', 'aria-label': 'Answer' })
		this.send = el('button', { class: 'main' }, 'Publish')
		const tidy = button('Tidy', () => { const v = this.parse(); if (v.json) this.data.input.value = JSON.stringify(v.value, null, 2) })
		this.node = el('form', { class: 'card' }, this.app.label, this.channel.label, this.event.label, this.except.label, this.data.label,
			el('div', { class: 'bar' }, this.send, tidy, this.verdict), this.result)
		this.node.addEventListener('submit', e => { e.preventDefault(); this.publish() })
		this.node.addEventListener('keydown', e => { if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) { e.preventDefault(); this.node.requestSubmit() } })
		this.data.input.value = '{}'
		this.check()
	}

	show(channel) {
		if (!this.app) return
		const options = this.shared.apps.map(a => el('option', { value: a.app_id }, a.app_id))
		const chosen = channel?.app || this.app.input.value || this.shared.app || this.shared.apps[0]?.app_id || ''
		this.app.input.replaceChildren(...options)
		this.app.input.value = chosen
		if (channel) this.channel.input.value = channel.name
	}

	parse() {
		try { return { json: true, value: JSON.parse(this.data.input.value) } } catch (e) { return { json: false, error: e.message } }
	}

	check() {
		const v = this.parse()
		const bytes = new TextEncoder().encode(this.data.input.value).length
		this.verdict.textContent = (v.json ? 'JSON' : `text, not JSON: ${v.error}`) + `, ${bytes} bytes`
		this.verdict.className = v.json ? 'good' : 'warn'
	}

	async publish() {
		this.send.disabled = true
		try {
			const body = { name: this.event.input.value, channel: this.channel.input.value, data: this.data.input.value }
			if (this.except.input.value.trim()) body.socket_id = this.except.input.value.trim()
			const answer = await this.shared.call('/events', { method: 'POST', query: { app: this.app.input.value }, body: JSON.stringify(body) })
			this.result.textContent = `Published at ${new Date().toLocaleTimeString('en-GB')}. The HTTP API answers ${JSON.stringify(answer)}.`
			this.result.className = 'good'
		} catch (e) {
			this.result.textContent = e.message
			this.result.className = 'bad'
			tell('The event was refused.')
		} finally { this.send.disabled = false }
	}
}
