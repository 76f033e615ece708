package dynamodb

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// update is a change of one item, and what must be so for it to be made. Its names and
// values stand for themselves, since many names are words of the service's language.
type update struct {
	sets, removes, must []string
	names               map[string]string
	values              item
	further             string // clauses beside SET and REMOVE
}

func newUpdate() *update { return &update{names: map[string]string{}, values: item{}} }

// name makes an attribute known.
func (u *update) name(attribute string) string {
	u.names["#"+attribute] = attribute
	return "#" + attribute
}

func (u *update) set(attribute string, value types.AttributeValue) {
	u.sets = append(u.sets, u.name(attribute)+" = :"+attribute)
	u.values[":"+attribute] = value
}

func (u *update) remove(attributes ...string) {
	for _, a := range attributes {
		u.removes = append(u.removes, u.name(a))
	}
}

// was demands that an attribute has a value.
func (u *update) was(attribute string, value types.AttributeValue) {
	u.must = append(u.must, u.name(attribute)+" = :was_"+attribute)
	u.values[":was_"+attribute] = value
}

// new demands that there is no such item.
func (u *update) new() {
	u.must = append(u.must, "attribute_not_exists("+u.name(attributeItem)+")")
}

func (u *update) expression() *string {
	var clauses []string
	if len(u.sets) > 0 {
		clauses = append(clauses, "SET "+strings.Join(u.sets, ", "))
	}
	if len(u.removes) > 0 {
		clauses = append(clauses, "REMOVE "+strings.Join(u.removes, ", "))
	}
	if u.further != "" {
		clauses = append(clauses, u.further)
	}
	text := strings.Join(clauses, " ")
	return &text
}

func (u *update) condition() *string {
	text := strings.Join(u.must, " AND ")
	return &text
}

// input is the update by itself.
func (u *update) input(table string, key item) *dynamodb.UpdateItemInput {
	return &dynamodb.UpdateItemInput{
		TableName: &table, Key: key, UpdateExpression: u.expression(), ConditionExpression: u.condition(),
		ExpressionAttributeNames: u.names, ExpressionAttributeValues: u.values,
	}
}

// write is the update as a part of a transaction.
func (u *update) write(table string, key item) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{
		TableName: &table, Key: key, UpdateExpression: u.expression(), ConditionExpression: u.condition(),
		ExpressionAttributeNames: u.names, ExpressionAttributeValues: u.values,
	}}
}

// setDue says when the log is due, or that it never is. The index has only the logs
// that are some time.
func (u *update) setDue(log []byte, h *logHead) {
	if due, ever := h.due(); ever {
		u.set(attributeBucket, num(bucketOf(log)))
		u.set(attributeDue, num(due))
	} else {
		u.remove(attributeBucket, attributeDue)
	}
}

// unmoved demands that the log is where it was: its id, its last and its first serial.
func (u *update) unmoved(was *logHead) {
	if was.Stream == "" {
		u.new()
		return
	}
	u.was(attributeStream, bin([]byte(was.Stream)))
	u.was(attributeSerial, num(was.Serial))
	u.was(attributeFirst, num(was.First))
}

// projection names attributes, and is what asks for them alone.
func projection(attributes ...string) (expression *string, names map[string]string) {
	names = map[string]string{}
	list := slices.Clone(attributes)
	for n, a := range list {
		list[n] = "#" + a
		names["#"+a] = a
	}
	text := strings.Join(list, ", ")
	return &text, names
}
