package redis

var (
	// headOfLog answers where a log stands, with its state, whether it may have lost
	// entries, and since when that is known.
	headOfLog = newScript(historyCommon + `
if not stream then return {'none'} end
local state = redis.call('HMGET', head, 'name', 'reason', 'node', 'since')
return {'ok', stream, text(serial), text(row), text(at), text(total), text(first),
	state[1] or '', state[2] or '', state[3] or '', state[4] or '0', lost and 1 or 0, known[3] or '0'}
`)
	// readLog answers with the serial to go on at, zero for the end, and with entries:
	// the serial, what is kept of it, and the payload. ARGV is the id of the log, the
	// bounds from, to, from row, to row, from at, to at and from total, whether it is
	// rows only, backwards and without payloads, the subject, how many entries are
	// wanted, how many are looked at in one step, and the size of the payloads of one.
	// Bounds of zero are none.
	readLog = newScript(historyCommon + `
local n = {}
for i = 2, 8 do n[i] = tonumber(ARGV[i]) end
local rows, back, bare, subject = ARGV[9] == '1', ARGV[10] == '1', ARGV[11] == '1', ARGV[12]
local limit, looks, room = tonumber(ARGV[13]), tonumber(ARGV[14]), tonumber(ARGV[15])
if stream ~= ARGV[1] then return {'ok', '0'} end

local function entry(at) return redis.call('HGET', meta, text(at)) end
local function search(low, high, is)
	while low <= high do
		local middle = math.floor((low + high) / 2)
		if is(parse(entry(middle))) then high = middle - 1 else low = middle + 1 end
	end
	return low
end
local from, to = math.max(n[2], first), serial
if n[3] > 0 then to = math.min(n[3], to) end
if n[4] > 0 or n[6] > 0 or n[8] > 0 then
	from = search(from, to, function(row, _, at, total) return row >= n[4] and at >= n[6] and total >= n[8] end)
end
if n[5] > 0 or n[7] > 0 then
	to = search(from, to, function(row, _, at) return n[5] > 0 and row > n[5] or n[7] > 0 and at > n[7] end) - 1
end

local answer, found = {'ok', '0'}, 0
local function take(serial, m)
	looks = looks - 1
	local _, isrow = parse(m)
	if rows and not isrow then return end
	local payload = not bare and redis.call('HGET', data, text(serial)) or ''
	room, found = room - #payload, found + 1
	answer[#answer + 1] = text(serial)
	answer[#answer + 1] = m
	answer[#answer + 1] = payload
end
local step = back and -1 or 1
local function enough() return found >= limit or looks <= 0 or room <= 0 end
local function go(last)
	if found < limit and last + step >= from and last + step <= to then answer[2] = text(last + step) end
	return answer
end
if subject == '' then
	for serial = back and to or from, back and from or to, step do
		take(serial, entry(serial))
		if enough() then return go(serial) end
	end
	return answer
end
if from > to then return answer end
local low, high = '[' .. about(subject) .. digits(from), '[' .. about(subject) .. digits(to)
local list = back and redis.call('ZREVRANGEBYLEX', subjects, high, low, 'LIMIT', 0, looks) or redis.call('ZRANGEBYLEX', subjects, low, high, 'LIMIT', 0, looks)
for _, member in ipairs(list) do
	local serial = tonumber(string.sub(member, -16))
	take(serial, entry(serial))
	if enough() then return go(serial) end
end
return answer
`)
	// latestOfLog answers with how many of the subjects it has looked at, and with the
	// newest entry of each, as readLog does. ARGV is the id of the log, the size of the
	// payloads of one step, and the subjects.
	latestOfLog = newScript(historyCommon + `
local answer, room = {'ok', #ARGV - 2}, tonumber(ARGV[2])
if stream ~= ARGV[1] then return answer end
for i = 3, #ARGV do
	local last = newest(ARGV[i])
	if last > 0 then
		local payload = redis.call('HGET', data, text(last)) or ''
		answer[#answer + 1] = text(last)
		answer[#answer + 1] = redis.call('HGET', meta, text(last)) or ''
		answer[#answer + 1] = payload
		room = room - #payload
		if room <= 0 then
			answer[2] = i - 2
			break
		end
	end
end
return answer
`)
)
