package jmespath

import "errors"

// MaxSteps bounds what one evaluation costs. A step is a part of the expression that
// is evaluated, an element or a member that is looked at or copied, a comparison, or
// a few bytes of a text.
const MaxSteps = 50_000

const (
	// Texts cost a step for so many bytes.
	readPerStep  = 64
	writePerStep = 16
	// fixedCost is that of an object or of a JSON text, beyond what it is made of.
	fixedCost = 4
)

// Errors of Search.
var (
	// ErrCost says that an evaluation would have taken more than MaxSteps.
	ErrCost = errors.New("jmespath: the evaluation costs too much")
	// ErrType says that a function was given an argument that it does not take.
	ErrType = errors.New("jmespath: an argument is of a type that the function does not take")
	// ErrRange says that a number has no JSON text.
	ErrRange = errors.New("jmespath: a number is out of range")
)

// run is one evaluation.
type run struct{ left int }

// Search evaluates the expression on a document of the types of encoding/json. It
// changes nothing of the document, which many searches may use at once; the result
// shares parts with it. Its errors are ErrCost, ErrType and ErrRange.
func (e *Expression) Search(document any) (any, error) {
	r := run{MaxSteps}
	return r.eval(e.root, document)
}

// pay takes steps, and fails when there are too few.
func (r *run) pay(steps int) error {
	if r.left -= steps; r.left < 0 {
		return ErrCost
	}
	return nil
}

// eval evaluates a node on a value.
func (r *run) eval(n *node, on any) (any, error) {
	if err := r.pay(1); err != nil {
		return nil, err
	}
	switch n.op {
	case opCurrent:
		return on, nil
	case opLiteral:
		return n.value, nil
	case opField:
		object, _ := on.(map[string]any)
		return object[n.name], nil
	case opIndex:
		return n.element(on), nil
	case opSlice:
		return r.slice(n.bounds, on)
	case opChain:
		left, err := r.eval(n.left, on)
		if err != nil {
			return nil, err
		}
		return r.eval(n.right, left)
	case opOr, opAnd:
		left, err := r.eval(n.left, on)
		if err != nil || Truth(left) == (n.op == opOr) {
			return left, err
		}
		return r.eval(n.right, on)
	case opNot:
		left, err := r.eval(n.left, on)
		return !Truth(left), err
	case opCondition:
		if left, err := r.eval(n.left, on); err != nil || !Truth(left) {
			return nil, err
		}
		return r.eval(n.right, on)
	case opProjection:
		return r.project(n, on)
	case opValues:
		return r.values(n, on)
	case opFlatten:
		return r.flatten(n, on)
	case opList:
		return r.list(n, on)
	case opHash:
		return r.hash(n, on)
	case opCall:
		return r.call(n, on)
	default:
		return r.compare(n, on)
	}
}

func (n *node) element(on any) any {
	array, _ := on.([]any)
	i := n.number
	if i < 0 {
		i += len(array)
	}
	if i < 0 || i >= len(array) {
		return nil
	}
	return array[i]
}

// slice is the part of an array within bounds, as in Python.
func (r *run) slice(bounds [3]*int, on any) (any, error) {
	array, ok := on.([]any)
	if !ok {
		return nil, nil
	}
	step := 1
	if bounds[2] != nil {
		step = *bounds[2]
	}
	first, end, least, most := 0, len(array), 0, len(array)
	if step < 0 {
		first, end, least, most = len(array)-1, -1, -1, len(array)-1
	}
	for i, bound := range []*int{&first, &end} {
		if bounds[i] == nil {
			continue
		}
		*bound = *bounds[i]
		if *bound < 0 {
			*bound += len(array)
		}
		*bound = min(max(*bound, least), most)
	}
	result := []any{}
	for i := first; step > 0 && i < end || step < 0 && i > end; i += step {
		if err := r.pay(1); err != nil {
			return nil, err
		}
		result = append(result, array[i])
	}
	return result, nil
}

// project keeps what the right side is of each element, unless it is null.
func (r *run) project(n *node, on any) (any, error) {
	left, err := r.eval(n.left, on)
	array, ok := left.([]any)
	if err != nil || !ok {
		return nil, err
	}
	result := []any{}
	for _, element := range array {
		value, err := r.eval(n.right, element)
		if err != nil {
			return nil, err
		}
		if value != nil {
			result = append(result, value)
		}
	}
	return result, nil
}

func (r *run) values(n *node, on any) (any, error) {
	left, err := r.eval(n.left, on)
	object, ok := left.(map[string]any)
	if err != nil || !ok {
		return nil, err
	}
	return r.members(object)
}

func (r *run) flatten(n *node, on any) (any, error) {
	left, err := r.eval(n.left, on)
	array, ok := left.([]any)
	if err != nil || !ok {
		return nil, err
	}
	result := []any{}
	for _, element := range array {
		inner, ok := element.([]any)
		if err := r.pay(1 + len(inner)); err != nil {
			return nil, err
		}
		if ok {
			result = append(result, inner...)
		} else {
			result = append(result, element)
		}
	}
	return result, nil
}

func (r *run) list(n *node, on any) (any, error) {
	if on == nil {
		return nil, nil
	}
	return r.each(n.parts, on)
}

func (r *run) hash(n *node, on any) (any, error) {
	if on == nil {
		return nil, nil
	}
	values, err := r.each(n.parts, on)
	if err != nil {
		return nil, err
	}
	if err := r.pay(fixedCost + 2*len(values)); err != nil {
		return nil, err
	}
	result := make(map[string]any, len(values))
	for i, value := range values {
		result[n.names[i]] = value
	}
	return result, nil
}

// each evaluates all parts on one value. References stay what they are.
func (r *run) each(parts []*node, on any) ([]any, error) {
	result := make([]any, len(parts))
	for i, part := range parts {
		if part.op == opReference {
			result[i] = part.left
			continue
		}
		var err error
		if result[i], err = r.eval(part, on); err != nil {
			return nil, err
		}
	}
	return result, nil
}

func (r *run) call(n *node, on any) (any, error) {
	arguments, err := r.each(n.parts, on)
	if err != nil {
		return nil, err
	}
	for i, argument := range arguments {
		if ok, err := r.is(n.function.kindsOf(i), argument); err != nil {
			return nil, err
		} else if !ok {
			return nil, ErrType
		}
	}
	return n.function.run(r, arguments)
}

func (r *run) compare(n *node, on any) (any, error) {
	left, err := r.eval(n.left, on)
	if err != nil {
		return nil, err
	}
	right, err := r.eval(n.right, on)
	if err != nil {
		return nil, err
	}
	if n.op == opEqual || n.op == opNotEqual {
		equal, err := r.equal(left, right)
		return equal == (n.op == opEqual), err
	}
	a, ok1 := left.(float64)
	b, ok2 := right.(float64)
	if !ok1 || !ok2 {
		return nil, nil // only numbers are in an order
	}
	switch n.op {
	case opLess:
		return a < b, nil
	case opLessOrEqual:
		return a <= b, nil
	case opGreater:
		return a > b, nil
	default:
		return a >= b, nil
	}
}
