package redis

var (
	// readLetters answers with dead letters, by number, until they are larger than a
	// bound, and with how many of the numbers it has looked at. ARGV is the bound and
	// the numbers.
	readLetters = newScript(queueCommon + `
local bound, l, size, reply = number(), lane(1), 0, {0}
while at < #ARGV do
	local seq = arg()
	local failed, job = redis.call('ZSCORE', l.dead, seq), read(seq)
	if failed and job then
		if #reply > 1 and size + job.size > bound then break end
		size = size + job.size
		for _, value in ipairs({seq, job.id, redis.call('HGET', payloads, seq) or '', job.attempt, job.most, job.reason or '', failed}) do
			reply[#reply + 1] = value
		end
	end
	reply[1] = reply[1] + 1
end
return reply
`)

	// replayLetter makes a dead letter a job as if it had never run, and answers whether
	// there is one. ARGV is the queue, the number and the channel.
	replayLetter = newScript(queueCommon + `
local queue, seq, channel, l = arg(), arg(), arg(), lane(1)
local job = redis.call('ZSCORE', l.dead, seq) and read(seq)
if not job then return 0 end
redis.call('PUBLISH', channel, queue)
redis.call('ZREM', l.dead, seq)
job.attempt, job.pushed, job.reason = 0, now, nil
keep(seq, job)
redis.call('ZADD', l.wait, now, seq)
redis.call('ZADD', l.age, now, seq)
-- The id is the job's again, unless another one has it by now.
local name = named(queue, job.id)
local known = job.id ~= '' and redis.call('HGET', ids, name)
if known and #known == 32 then
	redis.call('HSET', ids, name, known .. seq)
	redis.call('ZREM', forget, name)
end
return 1
`)

	// dropLetters removes dead letters: those with the numbers in ARGV, or up to 1000
	// where there are none. It answers how many there were.
	dropLetters = newScript(queueCommon + `
local l, list, n = lane(1), ARGV, 0
if #list == 0 then list = redis.call('ZRANGE', l.dead, 0, 999) end
for _, seq in ipairs(list) do
	if redis.call('ZREM', l.dead, seq) == 1 then
		local job = read(seq)
		if job then drop(seq, job) end
		n = n + 1
	end
end
return n
`)

	// takeToMove makes jobs active that wait, whatever their time, without a run, so
	// that nobody runs what is on its way to another queue. Asked again, it answers with
	// what it has taken for the same token.
	takeToMove = newScript(queueCommon + `
local n, token, lease, bound, again = number(), arg(), number(), number(), arg() == '1'
local ttl, mostDead, late = number(), number(), arg()
local l, reply, taken, size = lane(1), {}, 0, 0
drain()
reclaim(l, late, ttl, mostDead)
local function give(seq, job)
	taken, size = taken + 1, size + job.size
	for _, value in ipairs({seq, job.id, redis.call('HGET', payloads, seq) or '', math.max(0, job.due - now), job.attempt, job.most}) do
		reply[#reply + 1] = value
	end
end
if again then
	for _, seq in ipairs(redis.call('ZRANGE', l.active, 0, -1)) do
		local job = read(seq)
		if job and job.token == token then give(seq, job) end
	end
end
if taken == 0 then
	local list = redis.call('ZRANGE', l.wait, 0, n - 1, 'WITHSCORES')
	for i = 1, #list, 2 do
		local seq, job = list[i], read(list[i])
		if job and taken > 0 and size + job.size > bound then break end
		redis.call('ZREM', l.wait, seq)
		if job then
			job.token, job.due = token, tonumber(list[i + 1])
			redis.call('ZADD', l.active, now + lease, seq)
			give(seq, job)
			keep(seq, job)
		end
	end
end
return reply
`)

	// endMove removes jobs that another queue has, or puts those back that are here
	// still. ARGV is whether they have moved, and the number and token of each job.
	endMove = newScript(queueCommon + `
local moved, l = arg() == '1', lane(1)
drain()
while at < #ARGV do
	local seq, token = arg(), arg()
	local job = read(seq)
	if job and job.token == token then
		redis.call('ZREM', l.active, seq)
		if moved then
			redis.call('ZREM', l.age, seq)
			if own(seq, job) then redis.call('HDEL', ids, named(job.queue, job.id)) end
			drop(seq, job)
		else
			redis.call('ZADD', l.wait, job.due, seq)
			job.token, job.due = nil, nil
			keep(seq, job)
		end
	end
end
return 1
`)
)
