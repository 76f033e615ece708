package jmespath

import (
	"cmp"
	"errors"
	"fmt"
	"math"
)

// function is one of JMESPath's own.
type function struct {
	takes []kinds
	// more says that the last kinds stand for any number of further arguments.
	more bool
	run  func(*run, []any) (any, error)
}

// kindsOf are those that the argument number i may have.
func (f *function) kindsOf(i int) kinds { return f.takes[min(i, len(f.takes)-1)] }

// check says what is wrong with the arguments as they are written.
func (f *function) check(arguments []*node) error {
	switch n := len(f.takes); {
	case f.more && len(arguments) < n:
		return fmt.Errorf("takes at least %d arguments, not %d", n, len(arguments))
	case !f.more && len(arguments) != n:
		return fmt.Errorf("takes %d arguments, not %d", n, len(arguments))
	}
	for i, argument := range arguments {
		switch wanted := f.kindsOf(i) == reference; {
		case wanted && argument.op != opReference:
			return fmt.Errorf("takes an expression with & before it as argument %d", i+1)
		case !wanted && argument.op == opReference:
			return errors.New("takes no expression with & before it there")
		}
	}
	return nil
}

var functions = map[string]*function{
	"abs":         {takes: []kinds{number}, run: numeric(math.Abs)},
	"avg":         {takes: []kinds{numbers}, run: average},
	"ceil":        {takes: []kinds{number}, run: numeric(math.Ceil)},
	"contains":    {takes: []kinds{array | text, anything}, run: contains},
	"ends_with":   {takes: []kinds{text, text}, run: endsWith},
	"floor":       {takes: []kinds{number}, run: numeric(math.Floor)},
	"join":        {takes: []kinds{text, texts}, run: join},
	"keys":        {takes: []kinds{object}, run: keys},
	"length":      {takes: []kinds{text | array | object}, run: length},
	"map":         {takes: []kinds{reference, array}, run: mapElements},
	"max":         {takes: []kinds{numbers | texts}, run: extreme(1)},
	"max_by":      {takes: []kinds{array, reference}, run: extremeBy(1)},
	"merge":       {takes: []kinds{object}, more: true, run: merge},
	"min":         {takes: []kinds{numbers | texts}, run: extreme(-1)},
	"min_by":      {takes: []kinds{array, reference}, run: extremeBy(-1)},
	"not_null":    {takes: []kinds{anything}, more: true, run: notNull},
	"reverse":     {takes: []kinds{array | text}, run: reverse},
	"sort":        {takes: []kinds{numbers | texts}, run: sortElements},
	"sort_by":     {takes: []kinds{array, reference}, run: sortElementsBy},
	"starts_with": {takes: []kinds{text, text}, run: startsWith},
	"sum":         {takes: []kinds{numbers}, run: sum},
	"to_array":    {takes: []kinds{anything}, run: toArray},
	"to_number":   {takes: []kinds{anything}, run: toNumber},
	"to_string":   {takes: []kinds{anything}, run: toString},
	"type":        {takes: []kinds{anything}, run: typeOf},
	"values":      {takes: []kinds{object}, run: values},
}

func numeric(f func(float64) float64) func(*run, []any) (any, error) {
	return func(_ *run, arguments []any) (any, error) { return f(arguments[0].(float64)), nil }
}

func sum(_ *run, arguments []any) (any, error) {
	total := 0.0
	for _, n := range arguments[0].([]any) {
		total += n.(float64)
	}
	return total, nil
}

func average(r *run, arguments []any) (any, error) {
	count := len(arguments[0].([]any))
	if count == 0 {
		return nil, nil
	}
	total, err := sum(r, arguments)
	if err != nil {
		return nil, err
	}
	return total.(float64) / float64(count), nil
}

// ranked is an element with the number or the string that says where it belongs.
type ranked struct {
	element any
	number  float64
	text    string
	at      int // in the array
}

func (r *run) compareRanked(a, b ranked) int {
	if c := cmp.Compare(a.number, b.number); c != 0 {
		return c
	}
	return r.compareTexts(a.text, b.text)
}

// order is that of compareRanked, and of equal ranks that of the array.
func (r *run) order(a, b ranked) int {
	if c := r.compareRanked(a, b); c != 0 {
		return c
	}
	return cmp.Compare(a.at, b.at)
}

// rank are the elements of an array with their ranks, which are what by is of each:
// numbers only, or strings only. Without by they are the elements themselves.
func (r *run) rank(elements []any, by *node) ([]ranked, error) {
	var found kinds
	var list []ranked
	for i, element := range elements {
		if err := r.pay(1); err != nil {
			return nil, err
		}
		rank := element
		if by != nil {
			var err error
			if rank, err = r.eval(by, element); err != nil {
				return nil, err
			}
		}
		found |= kindOf(rank)
		if found != number && found != text {
			return nil, ErrType
		}
		next := ranked{element: element, at: i}
		next.number, _ = rank.(float64)
		next.text, _ = rank.(string)
		list = append(list, next)
	}
	return list, nil
}

// first is the element with the highest rank, or with the lowest if sign is -1, and
// null of an empty array.
func (r *run) first(elements []any, by *node, sign int) (any, error) {
	list, err := r.rank(elements, by)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	found := list[0]
	for _, next := range list[1:] {
		if r.compareRanked(next, found)*sign > 0 {
			found = next
		}
	}
	return found.element, r.pay(0)
}

func (r *run) sorted(elements []any, by *node) (any, error) {
	list, err := r.rank(elements, by)
	if err != nil {
		return nil, err
	}
	if err := sort(r, list, r.order); err != nil {
		return nil, err
	}
	result := make([]any, len(list))
	for i, ranked := range list {
		result[i] = ranked.element
	}
	return result, nil
}

func extreme(sign int) func(*run, []any) (any, error) {
	return func(r *run, arguments []any) (any, error) { return r.first(arguments[0].([]any), nil, sign) }
}

func extremeBy(sign int) func(*run, []any) (any, error) {
	return func(r *run, arguments []any) (any, error) {
		return r.first(arguments[0].([]any), arguments[1].(*node), sign)
	}
}

func sortElements(r *run, arguments []any) (any, error) {
	return r.sorted(arguments[0].([]any), nil)
}

func sortElementsBy(r *run, arguments []any) (any, error) {
	return r.sorted(arguments[0].([]any), arguments[1].(*node))
}

func mapElements(r *run, arguments []any) (any, error) {
	elements, result := arguments[1].([]any), []any{}
	for _, element := range elements {
		value, err := r.eval(arguments[0].(*node), element)
		if err != nil {
			return nil, err
		}
		result = append(result, value)
	}
	return result, nil
}
