package redis

// A stream has two keys in one slot.
//
//	head     text: the replication id of the server, the serial of the newest entry, the
//	         size of the entries, and the id of the stream
//	entries  list: the serial in 16 digits, and the entry
//
// The entries of a list follow one another up to the serial in the head, so that their
// number says which is the first: they may expire or be evicted before the head, and
// then the list begins anew. A head that is gone takes them with it.
//
// A server that was restarted or promoted may have lost what it had acknowledged, and
// would give a serial twice. It has another replication id then than that under which
// the stream began, in the sight of everybody at once, and the stream is over. The id
// also changes, to no harm, with the first replica, and when the last one has been
// away for repl-backlog-ttl.
//
// A script that a full server refuses, or that finds a key of another type, has changed
// nothing: that comes first, and what follows does not fail for such a reason.
const streamCommon = `
local head, entries = KEYS[1], KEYS[2]
local info = redis.pcall('INFO', 'replication')
local server = type(info) == 'string' and string.match(info, 'master_replid:(%w+)')
if not server then return redis.error_reply('ERR the server does not tell its replication id: a stream needs the command INFO') end
local stream, last, bytes
local kept = redis.call('GET', head)
if kept then
	local under, serial, size, id = string.match(kept, '^(%w+) (%d+) (%d+) (.+)$')
	if under == server then stream, last, bytes = id, tonumber(serial), tonumber(size) end
end
local function keep(ttl) redis.call('SET', head, string.format('%s %.0f %.0f ', server, last, bytes) .. stream, 'PX', ttl) end
local function begin(id, ttl)
	stream, last, bytes = id, 0, 0
	keep(ttl)
	redis.call('DEL', entries)
end
`

// serialDigits is the size of the serial before each entry.
const serialDigits = 16

var (
	// appendEntry adds an entry, and answers with the id of the stream and the serial.
	// ARGV is the id of a fresh stream, its time to live, the entry, how many entries and
	// bytes are kept, and for how long.
	appendEntry = newScript(streamCommon + `
local most, room = tonumber(ARGV[4]), tonumber(ARGV[5])
if not stream then begin(ARGV[1], ARGV[2]) end
local n = redis.call('RPUSH', entries, string.format('%016.0f', last + 1) .. ARGV[3])
if n == 1 then bytes = 0 end
last, bytes = last + 1, bytes + #ARGV[3]
while n > 1 and (n > most or bytes > room) do
	n, bytes = n - 1, bytes - #redis.call('LPOP', entries) + 16
end
redis.call('PEXPIRE', entries, ARGV[6])
keep(ARGV[2])
return {stream, last}
`)
	// streamHead answers with the id of the stream and the serial of the newest entry.
	// ARGV is the id of a fresh stream, and its time to live.
	streamHead = newScript(streamCommon + `
if stream then redis.call('PEXPIRE', head, ARGV[2]) else begin(ARGV[1], ARGV[2]) end
return {stream, last}
`)
	// entriesAfter answers with the id of the stream, the serial of the newest entry, how
	// many there are, and those above a serial, or with nothing. ARGV is the serial, and
	// how many entries are wanted.
	entriesAfter = newScript(streamCommon + `
if not stream then return false end
local n, list = redis.call('LLEN', entries), {}
local skip, want = math.max(tonumber(ARGV[1]) + n - last, 0), tonumber(ARGV[2])
if skip < n and want > 0 then list = redis.call('LRANGE', entries, skip, math.min(skip + want, n) - 1) end
return {stream, last, n, list}
`)
	// endStream ends the stream whose id is ARGV.
	endStream = newScript(streamCommon + `
if stream == ARGV[1] then return redis.call('DEL', head, entries) end
return 0
`)
)
