package redis

// The keys of a queue are those of its hub and then, for each named queue that a
// script is about, those of that queue. All are in one slot.
//
//	seq       the number of the last job
//	jobs      hash, by number: what is known of a job, in MessagePack
//	payloads  hash, by number
//	ids       hash, by queue and id: the sum of the payload, and the number of the job
//	          while that waits or runs
//	forget    sorted set of the ids of finished jobs, by when they are forgotten
//	counts    hash, by queue: jobs in all states. The field without a name is the sum
//	bytes     hash, by queue: the size of their payloads
//
//	wait      sorted set of numbers, by when the job may run
//	active    the same of jobs that run, by the end of the lease
//	dead      the same of jobs that have failed, by when that was
//	age       the same of jobs that wait or run, by when they were pushed
//
// Times are Unix milliseconds of the server. A number has 16 digits, so that jobs of
// the same millisecond stay in order. A job that runs has a token, which is new with
// each run: nobody ends a run whose token is not his.
//
// A server whose memory is full refuses what needs more, but not in the middle of a
// script that has already written. So Push begins with what it refuses, and those
// that run jobs, which makes room, with drain.
const (
	queueKeys = 7
	laneKeys  = 4
)

const queueCommon = `
local seqs, jobs, payloads, ids, forget, counts, bytes = unpack(KEYS, 1, 7)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local at = 0
local function arg()
	at = at + 1
	return ARGV[at]
end
local function number() return tonumber(arg()) end

local function lane(i)
	local first = 7 + (i - 1) * 4
	return {wait = KEYS[first + 1], active = KEYS[first + 2], dead = KEYS[first + 3], age = KEYS[first + 4]}
end
local function drain() redis.call('ZREM', forget, '') end

local function read(seq)
	local packed = redis.call('HGET', jobs, seq)
	return packed and cmsgpack.unpack(packed)
end
local function keep(seq, job) redis.call('HSET', jobs, seq, cmsgpack.pack(job)) end

local function count(queue, n, size)
	for _, field in ipairs({queue, ''}) do
		if redis.call('HINCRBY', counts, field, n) <= 0 then
			redis.call('HDEL', counts, field)
			redis.call('HDEL', bytes, field)
		else
			redis.call('HINCRBY', bytes, field, size)
		end
	end
end

local function drop(seq, job)
	redis.call('HDEL', jobs, seq)
	redis.call('HDEL', payloads, seq)
	count(job.queue, -1, -job.size)
end

local function named(queue, id) return #queue .. ':' .. queue .. id end

-- own says whether the id of a job is known as that of this job.
local function own(seq, job)
	local known = job.id ~= '' and redis.call('HGET', ids, named(job.queue, job.id))
	return known and string.sub(known, 33) == seq and string.sub(known, 1, 32)
end

-- retire lets go of the id of a job that is done or dead, when its time is over.
local function retire(seq, job, ttl)
	local sum, name = own(seq, job), named(job.queue, job.id)
	if not sum then return end
	if job.pushed + ttl <= now then
		redis.call('HDEL', ids, name)
	else
		redis.call('HSET', ids, name, sum)
		redis.call('ZADD', forget, job.pushed + ttl, name)
	end
end

local function trim(l, most)
	for _, seq in ipairs(redis.call('ZRANGE', l.dead, 0, -1 - most)) do
		redis.call('ZREM', l.dead, seq)
		local job = read(seq)
		if job then drop(seq, job) end
	end
end

local function bury(l, seq, job, reason, ttl, most)
	job.token, job.reason = nil, reason
	redis.call('ZREM', l.age, seq)
	retire(seq, job, ttl)
	keep(seq, job)
	redis.call('ZADD', l.dead, now, seq)
	trim(l, most)
end

-- reclaim ends runs whose lease is over. Such a run counts: a job that ends its
-- process must not do so for ever. One that was on its way to another queue did not
-- run.
local function reclaim(l, reason, ttl, most)
	for _, seq in ipairs(redis.call('ZRANGEBYSCORE', l.active, '-inf', now, 'LIMIT', 0, 100)) do
		local job = read(seq)
		redis.call('ZREM', l.active, seq)
		if job and not job.due and job.attempt >= job.most then
			bury(l, seq, job, reason, ttl, most)
		elseif job then
			redis.call('ZADD', l.wait, job.due or now, seq)
			job.token, job.due = nil, nil
			keep(seq, job)
		end
	end
end

local function oblivion(most)
	for _, name in ipairs(redis.call('ZRANGEBYSCORE', forget, '-inf', now, 'LIMIT', 0, most)) do
		redis.call('ZREM', forget, name)
		redis.call('HDEL', ids, name)
	end
end
`

// pushJobs accepts jobs and dead letters, all or none. It answers ok and the numbers
// of the jobs that were known, or conflict and
// the number of the job, or full and what there is and what came.
var pushJobs = newScript(queueCommon + `
local maxJobs, maxBytes, ttl, mostDead, channel = number(), number(), number(), number(), arg()
local names = {}
for i = 1, number() do names[i] = arg() end
local fresh, letters, size, seen, answer = {}, {}, 0, {}, {'ok'}
for i = 1, number() do
	local job = {lane = number(), id = arg(), sum = arg(), payload = arg(), delay = number(), attempt = number(), most = number()}
	local known = false
	if job.id ~= '' then
		local name = named(names[job.lane], job.id)
		known = seen[name]
		local stored = not known and redis.call('HGET', ids, name)
		if stored and (#stored > 32 or tonumber(redis.call('ZSCORE', forget, name) or 0) > now) then
			known = string.sub(stored, 1, 32)
		end
		if known and known ~= job.sum then return {'conflict', i} end
		seen[name] = job.sum
	end
	if known then
		answer[#answer + 1] = i
	else
		fresh[#fresh + 1] = job
		size = size + #job.payload
	end
end
for i = 1, number() do
	letters[i] = {lane = number(), id = arg(), payload = arg(), attempt = number(), most = number(), reason = arg(), failed = arg()}
	size = size + #letters[i].payload
end
local n = #fresh + #letters
if n == 0 then return answer end
local heldJobs, heldBytes = tonumber(redis.call('HGET', counts, '') or 0), tonumber(redis.call('HGET', bytes, '') or 0)
if heldJobs + n > maxJobs or heldBytes + size > maxBytes then return {'full', heldJobs, heldBytes, n, size} end

local told = {}
for _, job in ipairs(fresh) do
	if not told[job.lane] then redis.call('PUBLISH', channel, names[job.lane]) end
	told[job.lane] = true
end
local last = redis.call('INCRBY', seqs, n) - n
local function add(job)
	last = last + 1
	local seq, queue = string.format('%016.0f', last), names[job.lane]
	redis.call('HSET', payloads, seq, job.payload)
	keep(seq, {queue = queue, id = job.id, attempt = job.attempt, most = job.most, size = #job.payload, pushed = now, reason = job.reason})
	count(queue, 1, #job.payload)
	return seq, lane(job.lane)
end
for _, job in ipairs(fresh) do
	local seq, l = add(job)
	redis.call('ZADD', l.wait, now + job.delay, seq)
	redis.call('ZADD', l.age, now, seq)
	if job.id ~= '' then
		local name = named(names[job.lane], job.id)
		redis.call('HSET', ids, name, job.sum .. seq)
		redis.call('ZREM', forget, name)
	end
end
for _, letter in ipairs(letters) do
	local seq, l = add(letter)
	redis.call('ZADD', l.dead, letter.failed, seq)
	trim(l, mostDead)
end
oblivion(100 + n)
return answer
`)

// turnJobs ends the run of a job, if it is to, ends those whose lease is over, and
// takes others. It answers whether the run was ours, how many more are ready, in how
// many milliseconds there is something to do again, and the jobs. Asked again, it
// answers with what it has taken for the same token.
var turnJobs = newScript(queueCommon + `
local queue, ttl, mostDead, channel, late = arg(), number(), number(), arg(), arg()
local ending, seq, token, attempt, delay, reason = arg(), arg(), arg(), number(), number(), arg()
local n, fresh, lease, bound, again = number(), arg(), number(), number(), arg() == '1'
local l, ours = lane(1), 0
drain()
local job = ending ~= '' and read(seq)
if job and job.token == token then
	ours = 1
	redis.call('ZREM', l.active, seq)
	job.attempt = attempt
	if ending == 'done' or ending == 'moved' then
		redis.call('ZREM', l.age, seq)
		if ending == 'done' then
			retire(seq, job, ttl)
		elseif own(seq, job) then
			redis.call('HDEL', ids, named(queue, job.id))
		end
		drop(seq, job)
	elseif ending == 'dead' then
		bury(l, seq, job, reason, ttl, mostDead)
	else
		job.token = nil
		keep(seq, job)
		redis.call('ZADD', l.wait, now + delay, seq)
		redis.call('PUBLISH', channel, queue)
	end
end
reclaim(l, late, ttl, mostDead)

local reply, taken, size = {ours, 0, -1}, 0, 0
local function give(seq, job)
	taken, size = taken + 1, size + job.size
	for _, value in ipairs({seq, job.id, redis.call('HGET', payloads, seq) or '', job.attempt, job.most}) do
		reply[#reply + 1] = value
	end
end
if again then
	for _, seq in ipairs(redis.call('ZRANGE', l.active, 0, -1)) do
		local job = read(seq)
		if job and job.token == fresh then give(seq, job) end
	end
end
if taken == 0 and n > 0 then
	for _, seq in ipairs(redis.call('ZRANGEBYSCORE', l.wait, '-inf', now, 'LIMIT', 0, n)) do
		local job = read(seq)
		if job and taken > 0 and size + job.size > bound then break end
		redis.call('ZREM', l.wait, seq)
		if job then
			job.attempt, job.token = job.attempt + 1, fresh
			keep(seq, job)
			redis.call('ZADD', l.active, now + lease, seq)
			give(seq, job)
		end
	end
end
reply[2] = redis.call('ZCOUNT', l.wait, '-inf', now)
local next
for _, key in ipairs({l.wait, l.active}) do
	local first = tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
	if first and (not next or first < next) then next = first end
end
if next then reply[3] = math.max(0, next - now) end
return reply
`)

// renewJobs renews leases, and answers with the numbers of those that are lost. ARGV
// is the lease, and then the lane, number and token of each job.
var renewJobs = newScript(queueCommon + `
local lease, lost = number(), {}
drain()
while at < #ARGV do
	local l, seq, token = lane(number()), arg(), arg()
	local job = read(seq)
	if job and job.token == token then
		redis.call('ZADD', l.active, now + lease, seq)
	else
		lost[#lost + 1] = seq .. token
	end
end
return lost
`)

// countJobs answers with the jobs that are ready, that wait at all, that run, that
// are dead, and with their size.
var countJobs = newScript(queueCommon + `
local queue, l = arg(), lane(1)
return {
	redis.call('ZCOUNT', l.wait, '-inf', now), redis.call('ZCARD', l.wait), redis.call('ZCARD', l.active),
	redis.call('ZCARD', l.dead), tonumber(redis.call('HGET', bytes, queue) or 0)
}
`)

// tryQueue does all that the others do, to no effect, so that a missing right is
// known when the queue is opened, and forgets ids. ARGV is the channel.
var tryQueue = newScript(queueCommon + `
drain()
redis.call('PUBLISH', arg(), '')
redis.call('INCRBY', seqs, 0)
redis.call('HSET', jobs, '', '')
redis.call('HINCRBY', jobs, 'n', 0)
redis.call('HDEL', jobs, '', 'n')
redis.call('HGET', jobs, '')
redis.call('ZADD', forget, 'XX', 0, '')
redis.call('ZSCORE', forget, '')
redis.call('ZCOUNT', forget, 0, 0)
redis.call('ZCARD', forget)
redis.call('ZRANGE', forget, 0, 0)
oblivion(1000)
return 1
`)
