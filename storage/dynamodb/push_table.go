package dynamodb

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

const (
	// queueIndex is the index that finds the records that are due. It has those only that
	// are some time.
	queueIndex = "QueueIndex"
	// pushQueues is the number of its hash keys for each table. Each is good for a
	// thousand changes a second, and whoever looks what is due asks all of them.
	pushQueues = 4
)

// pushTable is the table of records of push notifications.
var pushTable = shape{createPush, usableForPush}

func createPush() *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		KeySchema: keys(attributeTable, attributeRecord),
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String(attributeTable), AttributeType: types.ScalarAttributeTypeB},
			{AttributeName: aws.String(attributeRecord), AttributeType: types.ScalarAttributeTypeB},
			{AttributeName: aws.String(attributeQueue), AttributeType: types.ScalarAttributeTypeB},
			{AttributeName: aws.String(attributeDue), AttributeType: types.ScalarAttributeTypeN},
		},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName: aws.String(queueIndex), KeySchema: keys(attributeQueue, attributeDue),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
		}},
	}
}

// usableForPush reports whether a table of records can be used now. It is an error if it
// never can.
func usableForPush(table *types.TableDescription) (bool, error) {
	if active, err := active(table); !active {
		return false, err
	}
	if !isKey(table.KeySchema, attributeTable, attributeRecord) || !isBinary(table, attributeTable, attributeRecord) {
		return false, fmt.Errorf("the table is another one: its key is not %s and %s, both binary", attributeTable, attributeRecord)
	}
	for _, index := range table.GlobalSecondaryIndexes {
		if text(index.IndexName) != queueIndex {
			continue
		}
		if !isKey(index.KeySchema, attributeQueue, attributeDue) || !isBinary(table, attributeQueue) {
			return false, fmt.Errorf("the table is another one: its index %s is not of %s, which is binary, and %s", queueIndex, attributeQueue, attributeDue)
		}
		return index.IndexStatus == types.IndexStatusActive || index.IndexStatus == types.IndexStatusUpdating, nil
	}
	return false, fmt.Errorf("the table has no index %s of %s, which is binary, and %s, a number; make it", queueIndex, attributeQueue, attributeDue)
}
