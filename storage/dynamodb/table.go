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

// shape is what a table has to be.
type shape struct {
	// create is how it is made, without its name.
	create func() *dynamodb.CreateTableInput
	// usable reports whether it can be used now. It is an error if it never can.
	usable func(*types.TableDescription) (bool, error)
}

// appTable is the table of apps.
var appTable = shape{createApps, usable}

// describe asks for the table. There may be none.
func (l *link) describe(ctx context.Context) (*types.TableDescription, error) {
	ctx, cancel := l.bounded(ctx)
	defer cancel()
	out, err := l.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &l.table})
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
func (l *link) prepare(ctx context.Context, s shape) error {
	made, state := false, ""
	for {
		table, err := l.describe(ctx)
		switch {
		case err != nil && ctx.Err() != nil && state != "": // after waiting for long enough
		case err != nil:
			return cause(err)
		case table == nil && !made:
			if err := l.create(ctx, s.create()); err != nil {
				return fmt.Errorf("making the table: %w", cause(err))
			}
			made = true
			continue
		case table == nil: // the answer is from before it was made
			state = string(types.TableStatusCreating)
		default:
			if ready, err := s.usable(table); ready || err != nil {
				return err
			}
			state = string(table.TableStatus)
		}
		if !wait.For(ctx, statusPause) {
			return fmt.Errorf("the table is %s and cannot be used yet: %w", state, ctx.Err())
		}
	}
}

// create makes the table, paid by request. Another node may do so at the same time.
func (l *link) create(ctx context.Context, table *dynamodb.CreateTableInput) error {
	ctx, cancel := l.bounded(ctx)
	defer cancel()
	table.TableName, table.BillingMode = &l.table, types.BillingModePayPerRequest
	_, err := l.client.CreateTable(ctx, table)
	if _, faster := errors.AsType[*types.ResourceInUseException](err); faster {
		return nil
	}
	return err
}

// createApps is the table as Sockudo has it.
func createApps() *dynamodb.CreateTableInput {
	hash := func(name string) []types.KeySchemaElement {
		return []types.KeySchemaElement{{AttributeName: &name, KeyType: types.KeyTypeHash}}
	}
	return &dynamodb.CreateTableInput{
		KeySchema: hash(attributeID),
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String(attributeID), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String(attributeKey), AttributeType: types.ScalarAttributeTypeS},
		},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName: aws.String(keyIndex), KeySchema: hash(attributeKey),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
		}},
	}
}

// usable reports whether a table of apps can be used now. It is an error if it never
// can.
func usable(table *types.TableDescription) (bool, error) {
	if active, err := active(table); !active {
		return false, err
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

// active reports whether a table is there. It is an error if it never is.
func active(table *types.TableDescription) (bool, error) {
	switch table.TableStatus {
	case types.TableStatusActive, types.TableStatusUpdating:
		return true, nil
	case types.TableStatusCreating:
		return false, nil
	default:
		return false, fmt.Errorf("the table is %s", table.TableStatus)
	}
}

func isHash(schema []types.KeySchemaElement, name string) bool {
	for _, e := range schema {
		if e.KeyType == types.KeyTypeHash {
			return text(e.AttributeName) == name
		}
	}
	return false
}
