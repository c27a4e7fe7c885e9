package erpmock

import (
	"fmt"
	"reflect"

	"holdfast/openapi/contract"
)

// checkRules holds the request against the operation's rules, in their order; the first that is
// broken answers.
func (t *transaction) checkRules(own *record) (answer, bool) {
	for i := range t.b.rules {
		r := &t.b.rules[i]
		if r.When != "" && t.s.set[r.When] != true {
			continue
		}
		if why, broken := t.broken(r, own); broken {
			return problemWith(r.Refuse.Status, r.Refuse.Code, r.Refuse.Title, why, r.Refuse.Hint, nil), true
		}
	}
	return answer{}, false
}

// broken says why a rule does not hold. A field that is not there breaks no rule.
func (t *transaction) broken(r *rule, own *record) (string, bool) {
	switch {
	case r.Field != "":
		return t.tooEarly(r)
	case r.Refer == "":
		if own == nil {
			return "", false
		}
		return t.wrongState(r, own)
	}
	for _, number := range fieldValues(t.body, r.Refer) {
		rec, ok := t.s.store.find(r.To, number)
		switch {
		case !ok && r.Property == "":
			return fmt.Sprintf("there is no %s %s", r.To, number), true
		case ok && r.Property != "":
			if why, broken := t.wrongState(r, rec); broken {
				return why, true
			}
		}
	}
	return "", false
}

// tooEarly compares texts: dates and times of ISO 8601 sort as they should.
func (t *transaction) tooEarly(r *rule) (string, bool) {
	limit := scalarText(t.s.set[r.After])
	for _, v := range fieldValues(t.body, r.Field) {
		if limit != "" && v <= limit {
			return fmt.Sprintf("%s is %s; it must be after %s", r.Field, v, limit), true
		}
	}
	return "", false
}

func (t *transaction) wrongState(r *rule, rec *record) (string, bool) {
	v, err := contract.Decode(rec.body)
	doc, _ := v.(map[string]any)
	if err != nil || doc == nil {
		return "", false
	}
	got := doc[r.Property]
	if contains(r.Not, got) || r.In != nil && !contains(r.In, got) {
		return fmt.Sprintf("%s of %s %s is %v", r.Property, rec.in.spec.Type, rec.number, got), true
	}
	return "", false
}

func contains(list []any, v any) bool {
	for _, l := range list {
		if reflect.DeepEqual(l, v) {
			return true
		}
	}
	return false
}
