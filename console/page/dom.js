// Elements are made here, and nowhere of text that is read as HTML.

// el makes an element. Properties that begin with "on" are listeners.
export function el(name, properties = {}, ...children) {
	const node = document.createElement(name)
	for (const [key, value] of Object.entries(properties)) {
		if (value === undefined || value === false) continue
		if (key.startsWith('on')) node.addEventListener(key.slice(2), value)
		else node.setAttribute(key, value === true ? '' : value)
	}
	node.append(...children.flat().filter(c => c !== undefined && c !== null && c !== ''))
	return node
}

// vector makes an SVG element.
export function vector(name, attributes, text = '') {
	const node = document.createElementNS('http://www.w3.org/2000/svg', name)
	for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value)
	node.textContent = text
	return node
}

let quiet
// tell shows a message for a while, and has it read out.
export function tell(text) {
	const place = document.getElementById('told')
	place.textContent = text
	clearTimeout(quiet)
	quiet = setTimeout(() => { place.textContent = '' }, 6000)
}

// field is an input with its label.
export function field(label, properties = {}, name = 'input') {
	const input = el(name, { autocomplete: 'off', spellcheck: 'false', ...properties })
	return { input, label: el('label', {}, label, input) }
}

// button makes a button that cannot be pressed again while it works.
export function button(text, press, properties = {}) {
	const node = el('button', { type: 'button', ...properties }, text)
	node.addEventListener('click', async () => {
		node.disabled = true
		try { await press() } catch (e) { tell(e.message) } finally { node.disabled = false }
	})
	return node
}

export const time = at => at ? new Date(at).toLocaleTimeString('en-GB', { hour12: false }) : ''
export const moment = at => at ? new Date(at).toLocaleString('en-GB', { hour12: false }) : ''

export function size(bytes) {
	if (!(bytes >= 1024)) return `${Math.round(bytes || 0)} B`
	return bytes < 1048576 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 1048576).toFixed(1)} MiB`
}

// pretty writes JSON over several lines, also that which is a string in JSON.
export function pretty(text, indent = 2) {
	let value = text
	for (let i = 0; i < 2 && typeof value === 'string'; i++) {
		try { value = JSON.parse(value) } catch { break }
	}
	return typeof value === 'string' ? value : JSON.stringify(value, null, indent)
}

// brief is the beginning of a payload, in one line.
export const brief = text => pretty(text.slice(0, 20000), 0).slice(0, 120)

// facts is a list of names and values; empty ones are left out.
export function facts(pairs) {
	const list = el('dl')
	for (const [name, value] of Object.entries(pairs)) {
		if (value !== undefined && value !== null && value !== '') list.append(el('dt', {}, name), el('dd', {}, value instanceof Node ? value : String(value)))
	}
	return list
}

// Table is one whose rows are reached with the arrow keys.
export class Table {
	// columns are {title, cell(row), n, wide, wider}; open gets a row that is chosen, and key names it.
	constructor(label, columns, { open, key, empty = 'Nothing.' } = {}) {
		Object.assign(this, { columns, open, key, empty })
		this.body = el('tbody')
		this.rows = new WeakMap()
		this.note = el('caption', { class: 'soft' })
		const head = columns.map(c => el('th', { scope: 'col', class: this.classes(c) }, c.title))
		this.node = el('div', { class: 'scroll' }, el('table', { 'aria-label': label, role: open ? 'grid' : undefined }, this.note, el('thead', {}, el('tr', {}, head)), this.body))
		this.body.addEventListener('click', e => this.choose(e.target.closest('tr')))
		this.body.addEventListener('keydown', e => this.press(e))
		this.body.addEventListener('focusin', e => this.rove(e.target.closest('tr')))
		this.say()
	}

	classes(c) { return [c.n && 'n', c.wide && 'wide', c.wider && 'wider'].filter(Boolean).join(' ') || undefined }

	row(value) {
		const tr = el('tr', this.open ? { tabindex: '-1', 'aria-selected': 'false' } : {})
		for (const c of this.columns) {
			const cell = c.cell(value)
			tr.append(el('td', { class: this.classes(c) }, cell instanceof Node ? cell : String(cell ?? '')))
		}
		this.rows.set(tr, value)
		return tr
	}

	say() { this.note.textContent = this.body.rows.length ? '' : this.empty }

	// fill replaces all rows. The one that was chosen or has the focus keeps it.
	fill(values) {
		const name = tr => tr && this.key && this.key(this.rows.get(tr))
		const focused = this.body.contains(document.activeElement) && name(document.activeElement.closest('tr'))
		const chosen = name(this.body.querySelector('[aria-selected="true"]'))
		this.body.replaceChildren(...values.map(v => this.row(v)))
		for (const tr of this.body.rows) {
			if (chosen && name(tr) === chosen) tr.setAttribute('aria-selected', 'true')
			if (focused && name(tr) === focused) tr.focus()
		}
		this.rove()
		this.say()
	}

	// push puts rows on top, newest first, and lets go of those below most.
	push(values, most) {
		this.body.prepend(...values.map(v => this.row(v)))
		while (this.body.rows.length > most) {
			const last = this.body.lastElementChild
			if (last === document.activeElement) last.previousElementSibling.focus()
			last.remove()
		}
		if (!this.body.querySelector('[tabindex="0"]')) this.rove()
		this.say()
	}

	// rove makes one row that which the tab key reaches.
	rove(to) {
		if (!this.open) return
		to ??= this.body.querySelector('[aria-selected="true"]') ?? this.body.rows[0]
		for (const tr of this.body.querySelectorAll('[tabindex="0"]')) tr.tabIndex = -1
		if (to) to.tabIndex = 0
	}

	choose(tr) {
		if (!tr || !this.open) return
		for (const other of this.body.querySelectorAll('[aria-selected="true"]')) other.setAttribute('aria-selected', 'false')
		tr.setAttribute('aria-selected', 'true')
		this.rove(tr)
		this.open(this.rows.get(tr))
	}

	press(e) {
		const tr = e.target.closest('tr')
		if (e.target !== tr || e.ctrlKey || e.altKey || e.metaKey) return
		const to = {
			ArrowDown: tr.nextElementSibling, ArrowUp: tr.previousElementSibling,
			Home: this.body.firstElementChild, End: this.body.lastElementChild,
		}
		if (e.key in to) to[e.key]?.focus()
		else if (e.key === 'Enter' || e.key === ' ') this.choose(tr)
		else return
		e.preventDefault()
	}
}
