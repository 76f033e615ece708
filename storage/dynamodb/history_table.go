package dynamodb

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

const (
	// dueIndex is the index that finds the logs that are due. It has those only whose
	// entries do not stay for ever.
	dueIndex = "DueIndex"
	// dueBuckets is the number of its hash keys. Each is good for a thousand changes a
	// second, and a log changes there when its oldest entry does.
	dueBuckets = 16
)

// logTable is the table of logs.
var logTable = shape{createLogs, usableForLogs}

func keys(hash, sort string) []types.KeySchemaElement {
	return []types.KeySchemaElement{{AttributeName: &hash, KeyType: types.KeyTypeHash}, {AttributeName: &sort, KeyType: types.KeyTypeRange}}
}

func createLogs() *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		KeySchema: keys(attributeLog, attributeItem),
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String(attributeLog), AttributeType: types.ScalarAttributeTypeB},
			{AttributeName: aws.String(attributeItem), AttributeType: types.ScalarAttributeTypeB},
			{AttributeName: aws.String(attributeBucket), AttributeType: types.ScalarAttributeTypeN},
			{AttributeName: aws.String(attributeDue), AttributeType: types.ScalarAttributeTypeN},
		},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName: aws.String(dueIndex), KeySchema: keys(attributeBucket, attributeDue),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
		}},
	}
}

// usableForLogs reports whether a table of logs can be used now. It is an error if it
// never can.
func usableForLogs(table *types.TableDescription) (bool, error) {
	if active, err := active(table); !active {
		return false, err
	}
	if !isKey(table.KeySchema, attributeLog, attributeItem) || !isBinary(table, attributeLog, attributeItem) {
		return false, fmt.Errorf("the table is another one: its key is not %s and %s, both binary", attributeLog, attributeItem)
	}
	for _, index := range table.GlobalSecondaryIndexes {
		if text(index.IndexName) != dueIndex {
			continue
		}
		if !isKey(index.KeySchema, attributeBucket, attributeDue) {
			return false, fmt.Errorf("the table is another one: its index %s is not of %s and %s", dueIndex, attributeBucket, attributeDue)
		}
		return index.IndexStatus == types.IndexStatusActive || index.IndexStatus == types.IndexStatusUpdating, nil
	}
	return false, fmt.Errorf("the table has no index %s of %s and %s, both numbers; make it", dueIndex, attributeBucket, attributeDue)
}

func isKey(schema []types.KeySchemaElement, hash, sort string) bool {
	for _, e := range schema {
		if e.KeyType == types.KeyTypeRange && text(e.AttributeName) == sort {
			return isHash(schema, hash)
		}
	}
	return false
}

func isBinary(table *types.TableDescription, attributes ...string) bool {
	found := 0
	for _, d := range table.AttributeDefinitions {
		for _, a := range attributes {
			if text(d.AttributeName) == a && d.AttributeType == types.ScalarAttributeTypeB {
				found++
			}
		}
	}
	return found == len(attributes)
}
