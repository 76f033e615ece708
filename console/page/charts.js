// Rates and connections over the last minutes.
import { el, size, vector } from './dom.js'

const kept = 300 // seconds
const width = 380, height = 130, left = 62, top = 8, bottom = 110

const count = n => n >= 10000 ? `${(n / 1000).toFixed(0)}k` : n >= 100 ? n.toFixed(0) : n.toFixed(n % 1 ? 1 : 0)

const charts = [
	{ title: 'Connections', lines: [['open', 'connections']], unit: count },
	{ title: 'Messages per second', lines: [['to clients', 'messages_out'], ['from clients', 'messages_in']], unit: count },
	{ title: 'Bytes per second', lines: [['to clients', 'bytes_out'], ['from clients', 'bytes_in']], unit: size },
	{ title: 'Opened and closed per second', lines: [['opened', 'opened'], ['closed', 'closed']], unit: count },
	{ title: 'HTTP API calls per second', lines: [['calls', 'calls']], unit: count },
	{ title: 'Refusals per second', lines: [['errors', 'errors'], ['rate limits', 'limited']], unit: count },
]

export class Charts {
	name = 'charts'
	title = 'Charts'

	constructor() {
		this.points = []
		this.charts = charts.map(c => {
			const svg = vector('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img' })
			const now = el('p', { class: 'legend' })
			return { ...c, svg, now, node: el('section', { class: 'card' }, el('h2', {}, c.title), svg, now) }
		})
		this.node = el('div', { class: 'charts' }, this.charts.map(c => c.node))
	}

	changed() { this.points = [] }

	take({ pulse }) {
		if (!pulse) return
		this.points.push(pulse)
		this.points.splice(0, this.points.length - kept)
		if (this.node.isConnected) this.draw()
	}

	show() { this.draw() }

	draw() {
		for (const c of this.charts) this.plot(c)
	}

	plot(c) {
		const series = c.lines.map(([, key]) => this.points.map(p => p[key]))
		const most = Math.max(1, ...series.flat())
		const x = i => left + (width - left - 6) * (kept - this.points.length + i) / (kept - 1)
		const y = v => bottom - (bottom - top) * v / most
		const parts = []
		for (const share of [0, 0.5, 1]) {
			parts.push(vector('line', { class: 'grid', x1: left, x2: width, y1: y(share * most), y2: y(share * most) }))
			parts.push(vector('text', { x: left - 6, y: y(share * most) + 4, 'text-anchor': 'end' }, c.unit(share * most)))
		}
		parts.push(vector('text', { x: left, y: height - 4 }, '5 minutes ago'), vector('text', { x: width - 6, y: height - 4, 'text-anchor': 'end' }, 'now'))
		series.forEach((values, i) => {
			parts.push(vector('polyline', { class: i ? 'two' : 'one', points: values.map((v, n) => `${x(n).toFixed(1)},${y(v).toFixed(1)}`).join(' ') }))
		})
		c.svg.replaceChildren(...parts)
		const said = c.lines.map(([name], i) => `${name} ${c.unit(series[i].at(-1) ?? 0)}`)
		c.svg.setAttribute('aria-label', `${c.title}: ${said.join(', ')}`)
		c.now.replaceChildren(...said.map((text, i) => el('span', { class: i ? 'two' : 'one' }, text)))
	}
}
