// The frame: views, keys, the link, and the stream that all views share.
import { call, Refused, Stream } from './api.js'
import { el, tell } from './dom.js'
import { Live } from './live.js'
import { Channels, Connections } from './channels.js'
import { Creator } from './creator.js'
import { Webhooks, Push } from './outbox.js'
import { Charts } from './charts.js'
import { State } from './state.js'

const $ = id => document.getElementById(id)
const keys = [
	['1 – 8', 'change the view'], ['/', 'go to the filter or the form'], ['↑ ↓ Home End', 'move between rows'], ['Enter', 'open a row'],
	['p', 'pause and go on'], ['c', 'clear the live view'], ['r', 'read the view again'], ['t', 'dark or light'], ['Esc', 'leave a field'], ['?', 'these keys'],
]

// shared is what views know of each other.
const shared = { session: null, app: '', apps: [], show, follow, stream: null, call }
let views = [], current

const themes = { get: () => { try { return localStorage.getItem('sockudo-console-theme') } catch { return null } }, set: v => { try { localStorage.setItem('sockudo-console-theme', v) } catch { /* it is not kept */ } } }
const dark = matchMedia('(prefers-color-scheme: dark)')

function paint() {
	const theme = themes.get() ?? (dark.matches ? 'dark' : 'light')
	document.documentElement.dataset.theme = theme
	$('theme').textContent = theme === 'dark' ? 'Light' : 'Dark'
}

function changeTheme() {
	themes.set(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark')
	paint()
}

// show changes the view.
function show(name, ...what) {
	current?.hide?.()
	current = views.find(v => v.name === name)
	for (const tab of $('tabs').children) {
		const on = tab.id === 'tab-' + name
		tab.setAttribute('aria-selected', on)
		tab.tabIndex = on ? 0 : -1
	}
	$('main').setAttribute('aria-labelledby', 'tab-' + name)
	$('main').replaceChildren(current.node)
	current.show?.(...what)
	refresh()
}

// refresh reads the view again.
async function refresh() {
	const view = current
	if (!view?.read) return
	try { await view.read() } catch (e) {
		if (view === current) view.failed ? view.failed(e) : tell(e.message)
		if (e instanceof Refused && (e.status === 401 || (e.status === 403 && !shared.session))) over(e.message)
	}
}

// follow makes the stream hear what a filter lets through.
function follow(filter = shared.filter) {
	shared.filter = filter
	shared.stream.start({ ...filter, app: shared.app })
}

const reasons = {
	expired: 'The link has expired.', off: 'The console was switched off.', revoked: 'The link is good no more.',
	closed: 'The hub has ended.', replaced: 'Another tab has taken the place of this one.',
}

// over ends the page, and says how to go on.
function over(why) {
	document.body.dataset.over = why
	$('state').textContent = 'ended'
	$('state').className = 'bad'
	const said = reasons[why] ?? why
	$('main').replaceChildren(el('div', { class: 'notice', role: 'alert' }, el('h2', {}, 'This console has ended'), el('p', {}, said),
		el('p', {}, 'Make a new link where the server runs:'), el('pre', {}, 'caddy sockudo console --site ' + location.origin)))
	shared.stream?.abort?.abort()
	current = undefined
	views = []
}

function states(state, why) {
	if (state === 'over') return over(why)
	$('state').textContent = state === 'live' ? 'live' : 'connecting again…'
	$('state').className = state === 'live' ? 'good' : 'warn'
	$('state').title = why
}

function take(line) {
	for (const view of views) view.take?.(line)
}

// countdown shows how long the link is good, by the server's clock.
function countdown() {
	const { session } = shared
	const left = Math.max(0, Math.round((Date.parse(session.expires_at) - Date.now() - shared.skew) / 1000))
	$('left').textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, '0')} left` + (session.publish ? '' : ', looking only')
}

async function readApps() {
	shared.apps = await call('/apps')
	const list = shared.apps.map(a => el('option', { value: a.app_id }, a.app_id))
	if (!shared.session.app_id) list.unshift(el('option', { value: '' }, 'all'))
	$('app').replaceChildren(...list)
	$('app').value = shared.app = shared.session.app_id ?? ''
}

function tabs() {
	$('tabs').replaceChildren(...views.map((view, i) => el('button', {
		type: 'button', role: 'tab', id: 'tab-' + view.name, 'aria-controls': 'main', title: `${view.title} (${i + 1})`, onclick: () => show(view.name),
	}, view.title)))
	$('tabs').addEventListener('keydown', e => {
		const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key]
		if (!step) return
		const next = views[(views.indexOf(current) + step + views.length) % views.length]
		show(next.name)
		$('tab-' + next.name).focus()
	})
}

function press(e) {
	const typing = e.target.matches?.('input, textarea, select')
	if (e.key === 'Escape' && typing) return e.target.blur()
	if (typing || e.ctrlKey || e.altKey || e.metaKey || $('keys').open) return
	const view = views[Number(e.key) - 1]
	const acts = { '?': () => $('keys').showModal(), t: changeTheme, r: refresh, '/': () => current?.node.querySelector('input, select, textarea')?.focus(), p: () => current?.pause?.(), c: () => current?.clear?.() }
	if (view) show(view.name)
	else if (Object.hasOwn(acts, e.key)) acts[e.key]()
	else return
	e.preventDefault()
}

async function begin() {
	paint()
	dark.addEventListener('change', paint)
	$('theme').addEventListener('click', changeTheme)
	$('help').addEventListener('click', () => $('keys').showModal())
	$('keys').querySelector('dl').append(...keys.flatMap(([k, what]) => [el('dt', {}, el('kbd', {}, k)), el('dd', {}, what)]))
	addEventListener('keydown', press)
	try {
		shared.session = await call('/session')
		shared.skew = Date.parse(shared.session.now) - Date.now()
		await readApps()
	} catch (e) {
		return over(e.message)
	}
	$('hub').textContent = shared.session.hub
	views = [new Live(shared), new Channels(shared), new Connections(shared), new Creator(shared), new Webhooks(shared), new Push(shared), new Charts(shared), new State(shared)]
	tabs()
	shared.stream = new Stream(take, states)
	$('app').addEventListener('change', () => {
		shared.app = $('app').value
		follow()
		for (const view of views) view.changed?.()
		refresh()
	})
	follow({})
	show('live')
	countdown()
	setInterval(countdown, 1000)
	setInterval(() => { if (current?.every && !document.hidden) refresh() }, 5000)
}

begin()
