package redis

// The logs of a history are spread over buckets, each of which is one slot: what is
// said of a log, and when it is due, is said in one step with what is in it.
//
//	server    hash: which server wrote last, see historyServer
//	due       sorted set: the names of logs, by when their oldest entry is due
//
//	head      hash: stream, gen, serial, row, at, total, first, oldest, keep, and the
//	          state as name, reason, node, since
//	meta      hash, by serial: "row isrow at total size subjectsize subject once"
//	data      hash, by serial: the payload
//	subjects  sorted set, all with one score: the size of the subject in three digits,
//	          the subject, and the serial in sixteen
//	once      hash, by once: the serial
//
// gen is that of the server key when the log was begun. A log whose gen is another was
// written by a server that may have lost some of it: it is read, but takes nothing.
//
// A server whose memory is full refuses what needs more, but not in the middle of a
// script that has already written: those that add begin with what it refuses, those
// that make room with what it does not.
const historyCommon = `
local server, due, head, meta, data, subjects, once = unpack(KEYS)
local info = redis.pcall('INFO', 'replication')
local replid = type(info) == 'string' and string.match(info, 'master_replid:(%w+)')
if not replid then return redis.error_reply('ERR the server does not tell its replication id: a history needs the command INFO') end
local known = redis.call('HMGET', server, 'replid', 'gen', 'since')
if known[1] ~= replid then return {'moved'} end

local kept = redis.call('HMGET', head, 'stream', 'gen', 'serial', 'row', 'at', 'total', 'first', 'oldest', 'keep')
local stream, lost = kept[1], kept[1] and kept[2] ~= known[2]
local serial, row, at, total, first = tonumber(kept[3] or 0), tonumber(kept[4] or 0), tonumber(kept[5] or 0), tonumber(kept[6] or 0), tonumber(kept[7] or 1)
local oldest, keep = tonumber(kept[8] or 0), tonumber(kept[9] or 0)

local function text(n) return string.format('%.0f', n) end
local function digits(n) return string.format('%016.0f', n) end
local function about(subject) return string.format('%03d', #subject) .. subject end
local function parse(m)
	local row, isrow, at, total, size, length, rest = string.match(m or '', '^(%d+) ([01]) (%d+) (%d+) (%d+) (%d+) ()')
	if not row then error('the history has lost an entry that it should have: somebody else has written there, or the server drops keys') end
	return tonumber(row), isrow == '1', tonumber(at), tonumber(total), tonumber(length), rest
end
local function newest(subject)
	local which = '[' .. about(subject)
	local last = redis.call('ZREVRANGEBYLEX', subjects, which .. '9999999999999999', which .. '0000000000000000', 'LIMIT', 0, 1)[1]
	return last and tonumber(string.sub(last, -16)) or 0
end
local function schedule(name)
	if keep > 0 and first <= serial then redis.call('ZADD', due, text(oldest + keep), name) else redis.call('ZREM', due, name) end
end
`

var (
	// appendLog adds entries. ARGV is the name of the log, and then for each entry the
	// fresh id, when, whether it is a row, subject, once, after, payload, and how long
	// it is kept. It answers with the id of the log, and for each entry with what became
	// of it: added, exists, conflict or lost; then a serial, and what is kept of it.
	appendLog = newScript(historyCommon + `
local answer, added = {'ok', ''}, 0
local function begin(fresh)
	stream = fresh
	redis.call('HSET', head, 'stream', stream, 'gen', known[2])
	redis.call('UNLINK', meta, data, subjects, once)
end
local function add(fresh, when, isrow, subject, one, payload, length)
	if not stream then begin(fresh) end
	serial, at, keep = serial + 1, math.max(at, when), length
	if isrow == '1' then row, total = row + 1, total + #payload end
	local m = text(row) .. ' ' .. isrow .. ' ' .. text(at) .. ' ' .. text(total) .. ' ' .. #payload .. ' ' .. #subject .. ' ' .. subject .. one
	redis.call('HSET', meta, text(serial), m)
	redis.call('HSET', data, text(serial), payload)
	if subject ~= '' then redis.call('ZADD', subjects, 0, about(subject) .. digits(serial)) end
	if one ~= '' then redis.call('HSET', once, one, text(serial)) end
	if first == serial then oldest = at end
	added = added + 1
	return m
end
local function answers(what, number, m)
	answer[#answer + 1] = what
	answer[#answer + 1] = number
	answer[#answer + 1] = m
end
for i = 2, #ARGV, 8 do
	local fresh, when, isrow, subject, one, after, payload, length = unpack(ARGV, i, i + 7)
	local there = stream and one ~= '' and redis.call('HGET', once, one)
	local last = stream and after ~= '' and subject ~= '' and newest(subject) or 0
	if lost then
		answers('lost', text(serial), '')
	elseif there then
		answers('exists', there, redis.call('HGET', meta, there) or '')
	elseif after ~= '' and text(last) ~= after then
		answers('conflict', text(last), '')
	else
		local m = add(fresh, tonumber(when), isrow, subject, one, payload, tonumber(length))
		answers('added', text(serial), m)
	end
end
if added > 0 then
	redis.call('HSET', head, 'serial', text(serial), 'row', text(row), 'at', text(at), 'total', text(total),
		'first', text(first), 'oldest', text(oldest), 'keep', text(keep))
	schedule(ARGV[1])
end
answer[2] = stream or ''
return answer
`)
	// trimLog removes the oldest entries, and answers whether there are more to remove.
	// ARGV is the name of the log, its id, the serial up to which, how many entries are
	// removed in one step, and of what size.
	trimLog = newScript(historyCommon + `
local before, most, room = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
if stream ~= ARGV[2] or first >= before or first > serial then return {'ok', 0} end
while first < before and first <= serial and most > 0 and room > 0 do
	local field = text(first)
	local m = redis.call('HGET', meta, field)
	most, room = most - 1, room - redis.call('HSTRLEN', data, field)
	redis.call('HDEL', data, field)
	redis.call('HDEL', meta, field)
	if m then
		local _, _, _, _, length, rest = parse(m)
		local subject, one = string.sub(m, rest, rest + length - 1), string.sub(m, rest + length)
		if subject ~= '' then redis.call('ZREM', subjects, about(subject) .. digits(first)) end
		if one ~= '' and redis.call('HGET', once, one) == field then redis.call('HDEL', once, one) end
	end
	first = first + 1
end
if first <= serial then
	local m = redis.call('HGET', meta, text(first))
	if m then oldest = (select(3, parse(m))) end
end
redis.call('HSET', head, 'first', text(first), 'oldest', text(oldest))
schedule(ARGV[1])
return {'ok', first < before and first <= serial and 1 or 0}
`)
	// resetLog begins a log. ARGV is its name, and its id.
	resetLog = newScript(historyCommon + `
redis.call('UNLINK', head, meta, data, subjects, once)
redis.call('ZREM', due, ARGV[1])
redis.call('HSET', head, 'stream', ARGV[2], 'gen', known[2])
return {'ok'}
`)
	// markLog notes a state. ARGV is the id of the log, and name, reason, node and since.
	markLog = newScript(historyCommon + `
if stream == ARGV[1] and tonumber(ARGV[5]) > tonumber(redis.call('HGET', head, 'since') or 0) then
	redis.call('HDEL', head, 'name', 'reason', 'node')
	redis.call('HSET', head, 'name', ARGV[2], 'reason', ARGV[3], 'node', ARGV[4], 'since', ARGV[5])
end
return {'ok'}
`)
)
