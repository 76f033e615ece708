package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sockudo/caddy-sockudo/internal/wait"
)

const (
	// keyIndex is the index that finds an app by its key.
	keyIndex = "KeyIndex"
	// OpenTimeout is how long a table may take to become usable when it is new.
	OpenTimeout = time.Minute
	// statusPause is the time between two questions whether it is.
	statusPause = 250 * time.Millisecond
)

// describe asks for the table. There may be none.
func (m *AppManager) describe(ctx context.Context) (*types.TableDescription, error) {
	ctx, cancel := m.bounded(ctx)
	defer cancel()
	out, err := m.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &m.table})
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return out.Table, nil
}

// prepare makes the table if there is none, and waits until it can be used. One
// that is there is not touched, so that reading rights are enough for it.
func (m *AppManager) prepare(ctx context.Context) error {
	made, state := false, ""
	for {
		table, err := m.describe(ctx)
		switch {
		case err != nil && ctx.Err() != nil && state != "": // after waiting for long enough
		case err != nil:
			return cause(err)
		case table == nil && !made:
			if err := m.create(ctx); err != nil {
				return fmt.Errorf("making the table: %w", cause(err))
			}
			made = true
			continue
		case table == nil: // the answer is from before it was made
			state = string(types.TableStatusCreating)
		default:
			if ready, err := usable(table); ready || err != nil {
				return err
			}
			state = string(table.TableStatus)
		}
		if !wait.For(ctx, statusPause) {
			return fmt.Errorf("the table is %s and cannot be used yet: %w", state, ctx.Err())
		}
	}
}

// create makes the table as Sockudo has it, paid by request. Another node may do
// so at the same time.
func (m *AppManager) create(ctx context.Context) error {
	ctx, cancel := m.bounded(ctx)
	defer cancel()
	hash := func(name string) []types.KeySchemaElement {
		return []types.KeySchemaElement{{AttributeName: &name, KeyType: types.KeyTypeHash}}
	}
	_, err := m.client.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: &m.table, BillingMode: types.BillingModePayPerRequest, KeySchema: hash(attributeID),
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String(attributeID), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String(attributeKey), AttributeType: types.ScalarAttributeTypeS},
		},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName: aws.String(keyIndex), KeySchema: hash(attributeKey),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
		}},
	})
	if _, faster := errors.AsType[*types.ResourceInUseException](err); faster {
		return nil
	}
	return err
}

// usable reports whether the table can be used now. It is an error if it never
// can.
func usable(table *types.TableDescription) (bool, error) {
	switch table.TableStatus {
	case types.TableStatusActive, types.TableStatusUpdating:
	case types.TableStatusCreating:
		return false, nil
	default:
		return false, fmt.Errorf("the table is %s", table.TableStatus)
	}
	if !isHash(table.KeySchema, attributeID) || len(table.KeySchema) != 1 {
		return false, fmt.Errorf("the table is another one: its key is not %s alone", attributeID)
	}
	for _, index := range table.GlobalSecondaryIndexes {
		if text(index.IndexName) != keyIndex {
			continue
		}
		if !isHash(index.KeySchema, attributeKey) {
			return false, fmt.Errorf("the table is another one: its index %s is not of %s", keyIndex, attributeKey)
		}
		return index.IndexStatus == types.IndexStatusActive || index.IndexStatus == types.IndexStatusUpdating, nil
	}
	return false, fmt.Errorf("the table has no index %s of the attribute %s; make it, with at least %s in it", keyIndex, attributeKey, attributeID)
}

func isHash(schema []types.KeySchemaElement, name string) bool {
	for _, e := range schema {
		if e.KeyType == types.KeyTypeHash {
			return text(e.AttributeName) == name
		}
	}
	return false
}
