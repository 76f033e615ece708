import { Client } from './pusher.js';
import { appKey, presence, publish } from './sign.js';

const at = (id) => document.getElementById(id);
const names = ['Ada', 'Alan', 'Barbara', 'Claude', 'Dennis', 'Edsger', 'Frances', 'Grace', 'Ken', 'Margaret', 'Niklaus', 'Radia'];
const me = {
	user_id: crypto.randomUUID(),
	user_info: { name: `${names[Math.floor(Math.random() * names.length)]} ${Math.floor(Math.random() * 90 + 10)}` },
};
at('me').textContent = me.user_info.name;

const client = new Client(location.host, appKey);
const members = new Map();
let channel;

function join(room) {
	if (channel) client.unsubscribe(channel);
	channel = `presence-${room}`;
	members.clear();
	showMembers();
	at('feed').replaceChildren();
	client.subscribe(channel, presence(me));
}

function showMembers() {
	at('count').textContent = members.size;
	at('members').replaceChildren(...[...members].sort((a, b) => a[1].name.localeCompare(b[1].name)).map(([id, info]) => {
		const item = document.createElement('li');
		item.textContent = info.name;
		if (id === me.user_id) item.className = 'me';
		return item;
	}));
}

// append adds a line to a list that stays at its end, and drops old ones.
function append(list, line, most) {
	const follows = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
	list.append(line);
	while (list.children.length > most) list.firstChild.remove();
	if (follows) list.scrollTop = list.scrollHeight;
}

function element(tag, className, text) {
	const made = document.createElement(tag);
	made.className = className;
	made.textContent = text;
	return made;
}

function showMessage({ from, name, text }) {
	const line = element('li', from === me.user_id ? 'message mine' : 'message', '');
	const time = element('time', '', new Date().toLocaleTimeString());
	line.append(element('span', 'from', String(name)), element('span', 'text', String(text)), time);
	append(at('feed'), line, 200);
}

const showNote = (text) => append(at('feed'), element('li', 'hint', text), 200);

let quiet;
function showTyping(name) {
	at('typing').textContent = name ? `${name} is typing…` : '';
	clearTimeout(quiet);
	if (name) quiet = setTimeout(showTyping, 2000);
}

const handlers = {
	'pusher:subscription_succeeded': (data) => {
		members.clear();
		for (const [id, info] of Object.entries(data.presence.hash)) members.set(id, info);
		showMembers();
		showNote(`You are in ${channel}. Open this page in another tab, and send something.`);
	},
	'pusher:member_added': ({ user_id: id, user_info: info }) => {
		members.set(id, info);
		showMembers();
		showNote(`${info.name} has come.`);
	},
	'pusher:member_removed': ({ user_id: id }) => {
		showNote(`${members.get(id)?.name ?? id} has gone.`);
		members.delete(id);
		showMembers();
	},
	'client-typing': ({ name }) => showTyping(name),
	message: (data) => {
		showTyping();
		showMessage(data);
	},
};

client.addEventListener('event', ({ detail: { event, channel: from, data } }) => {
	if (from === channel) handlers[event]?.(data);
});

client.addEventListener('state', ({ detail }) => {
	at('state').textContent = detail;
	at('state').dataset.state = detail.split(':')[0];
	at('send').querySelector('button').disabled = detail !== 'connected';
});

client.addEventListener('frame', ({ detail: { out, text } }) => {
	append(at('frames'), element('li', out ? 'out' : 'in', text), 300);
});

function showProblem(text) {
	at('problem').textContent = text ?? '';
	at('problem').hidden = !text;
}
client.addEventListener('problem', ({ detail }) => showProblem(`${detail.code ?? ''} ${detail.message ?? detail}`));

at('join').addEventListener('submit', (submit) => {
	submit.preventDefault();
	join(at('room').value.trim());
	at('text').focus();
});

at('send').addEventListener('submit', async (submit) => {
	submit.preventDefault();
	const text = at('text').value.trim();
	if (!text) return;
	showProblem();
	try {
		await publish(channel, 'message', { from: me.user_id, name: me.user_info.name, text });
		at('send').reset();
	} catch (problem) {
		showProblem(problem.message);
	}
});

let told = 0;
at('text').addEventListener('input', () => {
	if (Date.now() - told < 1000) return;
	told = Date.now();
	client.trigger(channel, 'typing', { name: me.user_info.name });
});

join(at('room').value);
