package rest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"holdfast/openapi/contract"
)

// operation is an operation of the contract and how it is treated.
type operation struct {
	*contract.Operation
	cfg Operation
}

// operation joins the contract's operation with its configuration; what that leaves open is taken
// from the default, of whose parameters an operation gets those that it has.
func (l *Link) operation(op *contract.Operation) *operation {
	c, d := l.cfg.Operations[op.ID], l.cfg.Default
	out := &operation{Operation: op}
	if c.Ask == nil && !c.Idempotent {
		c.Ask, c.Idempotent = d.Ask, d.Idempotent
	}
	if c.Receipt == "" {
		c.Receipt = d.Receipt
	}
	if c.Kind == "" {
		c.Kind = d.Kind
	}
	params := map[string]string{}
	for name, v := range d.Params {
		if _, ok := out.param(name); ok {
			params[name] = v
		}
	}
	maps.Copy(params, c.Params)
	answers := map[int]Meaning{}
	maps.Copy(answers, d.Answers)
	maps.Copy(answers, c.Answers)
	c.Params, c.Answers = params, answers
	out.cfg = c
	return out
}

// find gives the operation that a document means.
func (l *Link) find(target string) (*operation, error) {
	if err := l.Accepts(target); err != nil {
		return nil, err
	}
	op, _ := l.doc.Operation(target)
	return l.operation(op), nil
}

// param finds a parameter of the contract; headers are compared without case (RFC 9110 section 5.1).
func (o *operation) param(name string) (*contract.Parameter, bool) {
	for _, p := range o.Parameters() {
		if p.Name == name || p.In == "header" && strings.EqualFold(p.Name, name) {
			return p, true
		}
	}
	return nil, false
}

// checkOperations holds what the configuration names against the contract.
func (l *Link) checkOperations() error {
	if err := l.checkOperation("default", l.cfg.Default); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(l.cfg.Operations)) {
		key := "operations." + id
		if _, ok := l.doc.Operation(id); !ok {
			return wrong(key, l.doc.Name()+" has no operation of this ID", "use an operationId of the contract")
		}
		if err := l.checkOperation(key, l.cfg.Operations[id]); err != nil {
			return err
		}
	}
	if l.cfg.Probe != nil {
		return l.checkRead("probe", l.cfg.Probe.Operation, l.cfg.Probe.Params)
	}
	return nil
}

func (l *Link) checkOperation(key string, c Operation) error {
	if c.Ask != nil && c.Idempotent {
		return wrong(key, "it names both ask and idempotent", "an unknown outcome is settled in one way")
	}
	if c.Receipt != "location" && !isPointer(c.Receipt) {
		return wrong(key+".receipt", "it is no JSON pointer", `for example /number, or "location"`)
	}
	for status, m := range c.Answers {
		if status < 100 || status > 599 {
			return wrong(fmt.Sprintf("%s.answers.%d", key, status), "it is no status of HTTP", "three digits")
		}
		if !slices.Contains([]Meaning{MeansDelivered, MeansAgain, MeansRefused, MeansUnknown, MeansDown}, m) {
			return wrong(fmt.Sprintf("%s.answers.%d", key, status), fmt.Sprintf("%q is no meaning", m), "delivered, again, refused, unknown or down")
		}
	}
	if c.Ask == nil {
		return nil
	}
	return l.checkAsk(key+".ask", c.Ask)
}

// checkAsk refuses an Ask that could find a document of another message, or none for a reason of its own.
func (l *Link) checkAsk(key string, a *Ask) error {
	params := maps.Clone(a.Params)
	if params == nil {
		params = map[string]string{}
	}
	params[a.Param] = ""
	if err := l.checkRead(key, a.Operation, params); err != nil {
		return err
	}
	for name, ptr := range map[string]string{"items": a.Items, "match": a.Match, "number": a.Number, "kind": a.Kind} {
		if !isPointer(ptr) {
			return wrong(key+"."+name, "it is no JSON pointer", "for example /number")
		}
	}
	if a.Number == "" {
		return wrong(key+".number", "it is missing", "the JSON pointer to the document's number")
	}
	op, _ := l.doc.Operation(a.Operation)
	p, _ := l.operation(op).param(a.Param)
	if a.Match == "" && p.In != "path" {
		return wrong(key+".match", "it is missing",
			"give the JSON pointer to the message's ID in a document: an ERP that ignores the parameter would seem to have every message")
	}
	return nil
}

// checkRead wants a GET of the contract that has the parameters.
func (l *Link) checkRead(key, id string, params map[string]string) error {
	op, ok := l.doc.Operation(id)
	switch {
	case !ok:
		return wrong(key+".operation", fmt.Sprintf("%s has no operation %q", l.doc.Name(), id), "use an operationId of the contract")
	case op.Method != http.MethodGet:
		return wrong(key+".operation", fmt.Sprintf("%s is a %s", id, op.Method), "use a GET: it may be repeated at will")
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if _, ok := l.operation(op).param(name); !ok {
			return wrong(key, fmt.Sprintf("%s has no parameter %q", id, name), "use a parameter of the contract: "+op.Position())
		}
	}
	return nil
}

// isPointer tells whether s is a JSON pointer (RFC 6901); the empty one is the whole value.
func isPointer(s string) bool { return s == "" || s[0] == '/' }

func unescape(tok string) string {
	return strings.ReplaceAll(strings.ReplaceAll(tok, "~1", "/"), "~0", "~")
}

// text gives the scalar at a JSON pointer as it was written; an object, a list, null and an empty text are none.
func text(v any, ptr string) (string, bool) {
	found, ok := contract.Lookup(v, ptr)
	if !ok {
		return "", false
	}
	switch s := found.(type) {
	case string:
		return s, s != ""
	case json.Number:
		return s.String(), true
	case bool:
		return strconv.FormatBool(s), true
	}
	return "", false
}
