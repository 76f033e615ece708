package redis

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/sockudo/caddy-sockudo/storage"
)

// pushBuckets is how many slots the apps of a prefix are in.
const pushBuckets = 64

// sized are texts that stay apart when others follow, whatever is in them.
func sized(texts ...string) string {
	var b strings.Builder
	for _, text := range texts {
		b.WriteString(strconv.Itoa(len(text)))
		b.WriteByte(':')
		b.WriteString(text)
	}
	return b.String()
}

// cutSized reads the first of such texts.
func cutSized(all string) (text, rest string, ok bool) {
	size, rest, ok := strings.Cut(all, ":")
	n, err := strconv.Atoi(size)
	if !ok || err != nil || n < 0 || n > len(rest) || strconv.Itoa(n) != size {
		return "", "", false
	}
	return rest[:n], rest[n:], true
}

// pushBase begins the keys of a bucket, which are in one slot.
func (s *PushStore) pushBase(bucket int) string {
	return s.prefix + "{p" + strconv.Itoa(bucket) + "}:"
}

// pushBucket is where an app is.
func pushBucket(app string) int {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(app))
	return int(sum.Sum32() % pushBuckets)
}

func (s *PushStore) baseOf(app string) string { return s.pushBase(pushBucket(app)) }

func (s *PushStore) recordKey(k *storage.PushKey) string {
	return s.baseOf(k.App) + "record:" + sized(k.App, k.Table, k.Group) + k.Name
}

func (s *PushStore) listKey(app, table string) string {
	return s.baseOf(app) + "list:" + sized(app) + table
}

func (s *PushStore) pushDueKey(bucket int, table string) string {
	return s.pushBase(bucket) + "due:" + table
}

// The group of a record stands in front of its name so that both are in order: what ends a
// group is lower than any byte in it.
const (
	groupEnd   = "\x00\x01"
	afterGroup = "\x00\x02"
	groupZero  = "\x00\xff"
)

func groupText(group string) string { return strings.ReplaceAll(group, "\x00", groupZero) }

// listMember is a record in the list of its table.
func listMember(group, name string) string { return groupText(group) + groupEnd + name }

// readListMember is what listMember has made.
func readListMember(member string) (group, name string, err error) {
	text, name, ok := strings.Cut(member, groupEnd)
	if group = strings.ReplaceAll(text, groupZero, "\x00"); !ok || name == "" || groupText(group) != text {
		return "", "", fmt.Errorf("%.100q is no record of push notifications: somebody else has written there", member)
	}
	return group, name, nil
}

// dueMember is a record in the list of what is due of a table.
func dueMember(k *storage.PushKey) string { return sized(k.App, k.Group) + k.Name }

// readDueMember is what dueMember has made.
func readDueMember(table, member string) (k storage.PushKey, err error) {
	app, rest, ok := cutSized(member)
	group, name, okToo := cutSized(rest)
	k = storage.PushKey{App: app, Table: table, Group: group, Name: name}
	if !ok || !okToo || k.Check() != nil {
		return storage.PushKey{}, fmt.Errorf("%.100q is no record of push notifications: somebody else has written there", member)
	}
	return k, nil
}
