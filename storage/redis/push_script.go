package redis

import (
	"strconv"

	"github.com/sockudo/caddy-sockudo/storage"
)

// The apps of a push store are spread over buckets, each of which is one slot: what is
// changed of an app is changed in one step.
//
//	record:…  hash, of each record: the version v, when it is due d, the value x, and the
//	          counters that were ever added to, as 0 to 11
//	list:…    sorted set, of each table of an app, all with one score: listMember of each
//	          record
//	due:…     sorted set, of each table: dueMember of the records of all apps of the
//	          bucket that have a time, by that
//
// applyPush carries out changes, which begin by looking at everything: there is nothing
// written unless all can be. A server whose memory is full refuses the first command that
// needs more, but none after a script has written: so what adds comes before what removes,
// and a script that only removes gets through. Only counters that overflow are found out
// in the middle, and set back.
//
// KEYS are those of the records that are changed, and then list and due of each table.
// ARGV is how many records there are, and of each one the operation, the number of the
// table, the version it must have (empty for any), version, due, value, its member in list
// and in due, how many counters are added to, and the number and what is added of each.
var applyPush = newScript(`
local many, at, changes = tonumber(ARGV[1]), 2, {}
for i = many + 1, #KEYS do redis.call('ZCARD', KEYS[i]) end
for i = 1, many do
	local op, tab, want, version, due, value, member, when, counts = unpack(ARGV, at, at + 8)
	local has = redis.call('HGET', KEYS[i], 'v') or '0'
	if want ~= '' and want ~= has then return {'conflict'} end
	local list = many + 2 * tonumber(tab) - 1
	local there = has ~= '0'
	changes[i] = {
		key = KEYS[i], list = KEYS[list], dues = KEYS[list + 1], there = there, makes = op == 'put' or op == 'add' and not there,
		removes = op == 'delete' and there, version = version, due = due, value = value, member = member, when = when,
		first = at + 9, last = at + 8 + 2 * tonumber(counts),
	}
	at = changes[i].last + 1
end
local undo = {}
for _, c in ipairs(changes) do
	for k = c.first, c.last, 2 do
		local before = redis.call('HGET', c.key, ARGV[k])
		local now = redis.pcall('HINCRBY', c.key, ARGV[k], ARGV[k + 1])
		if type(now) == 'table' and now.err then
			for u = #undo, 1, -1 do
				local key, field, old = unpack(undo[u])
				if old then redis.call('HSET', key, field, old) else redis.call('HDEL', key, field) end
			end
			return now
		end
		undo[#undo + 1] = {c.key, ARGV[k], before}
	end
end
for _, c in ipairs(changes) do
	if c.makes then
		redis.call('HSET', c.key, 'v', c.version, 'd', c.due, 'x', c.value)
		if not c.there then redis.call('ZADD', c.list, 0, c.member) end
		if c.due ~= '0' then redis.call('ZADD', c.dues, c.due, c.when) end
	end
end
for _, c in ipairs(changes) do
	if c.makes and c.there and c.due == '0' then redis.call('ZREM', c.dues, c.when) end
	if c.removes then
		redis.call('UNLINK', c.key)
		redis.call('ZREM', c.list, c.member)
		redis.call('ZREM', c.dues, c.when)
	end
end
return {'ok'}
`)

var pushOps = [...]string{storage.PushPut: "put", storage.PushDelete: "delete", storage.PushAdd: "add", storage.PushCheck: "check"}

// applyWords are the keys and arguments of applyPush, without the changes that do nothing.
func (s *PushStore) applyWords(changes []storage.PushChange) (keys []string, args []any) {
	tables, ends := map[string]int{}, []string(nil)
	args = append(args, 0)
	for i := range changes {
		c := &changes[i]
		if c.Op == storage.PushCheck && c.If == nil {
			continue
		}
		if tables[c.Key.Table] == 0 {
			tables[c.Key.Table] = len(tables) + 1
			ends = append(ends, s.listKey(c.Key.App, c.Key.Table), s.pushDueKey(pushBucket(c.Key.App), c.Key.Table))
		}
		keys = append(keys, s.recordKey(&c.Key))
		want := ""
		if c.If != nil {
			want = strconv.FormatUint(*c.If, 10)
		}
		value, counts := c.Value, []any(nil)
		if value == nil {
			value = []byte{}
		}
		if c.Op == storage.PushPut || c.Op == storage.PushAdd {
			counts = countWords(&c.Counts)
		}
		args = append(args, pushOps[c.Op], tables[c.Key.Table], want, strconv.FormatUint(c.Version, 10), c.Due, value,
			listMember(c.Key.Group, c.Key.Name), dueMember(&c.Key), len(counts)/2)
		args = append(args, counts...)
	}
	args[0] = len(keys)
	return append(keys, ends...), args
}

// countWords are the counters that are added to, and what is added.
func countWords(counts *[storage.PushCounts]int64) (words []any) {
	for i, n := range counts {
		if n != 0 {
			words = append(words, i, n)
		}
	}
	return words
}
