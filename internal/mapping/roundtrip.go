package mapping

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"holdfast/openapi/contract"
)

// Back is the way back of an example of a mapping out: what was made is given to a mapping in, as the ERP would give it.
type Back struct {
	By   string `yaml:"by"`             // the mapping in
	Part string `yaml:"part,omitempty"` // the part of the document that the ERP gives back, as a JSON pointer; all of it by default
	With string `yaml:"with,omitempty"` // JSON: members that the ERP adds, such as its number
	Kind string `yaml:"kind,omitempty"` // of the message that comes of it
	Key  string `yaml:"key,omitempty"`
	Body string `yaml:"body,omitempty"`
}

// comeBack maps what was made of an example by the mapping in that the example names. Each difference to what shall come of it is one at back/….
func (s *Set) comeBack(ctx context.Context, e Example, m Made) (Made, []Difference, error) {
	m.Body = e.marked(m.Body)
	doc, err := e.Back.document(m.Body)
	if err != nil {
		return Made{}, nil, fmt.Errorf("the way back: %w", err)
	}
	if _, err := s.find(e.Back.By, ""); err != nil {
		return Made{}, nil, fmt.Errorf("the way back: %w", err)
	}
	came := e.Message()
	came.Kind, came.Body = "", doc
	back, err := s.try(ctx, e.Back.By, came, e.Resolve, &observer{})
	if err != nil {
		return Made{}, nil, fmt.Errorf("the way back: %w", err)
	}
	want := Example{Want: Expected{Kind: e.Back.Kind, Key: e.Back.Key, Body: e.Back.Body}}
	out := want.against(back)
	for i := range out {
		out[i].At = "back/" + out[i].At
	}
	return back, out, nil
}

// document is what the ERP gives back.
func (b Back) document(made []byte) ([]byte, error) {
	v, err := contract.Decode(made)
	if err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(strings.TrimPrefix(b.Part, "/"), "/") {
		if name == "" {
			break
		}
		object, _ := v.(map[string]any)
		part, has := object[name]
		if !has {
			return nil, fmt.Errorf("the document has no part %s", b.Part)
		}
		v = part
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("what comes back is an object")
	}
	if b.With == "" {
		return json.Marshal(object)
	}
	more, err := contract.Decode([]byte(b.With))
	if err != nil {
		return nil, fmt.Errorf("with: %w", err)
	}
	added, ok := more.(map[string]any)
	if !ok {
		return nil, errors.New("with: it is an object of members to add")
	}
	for name, value := range added {
		object[name] = value
	}
	return json.Marshal(object)
}

// updated is the way back with what came of it.
func (b Back) updated(m Made) *Back {
	b.Kind, b.Key, b.Body = m.Kind, m.Key, indented(m.Body)
	return &b
}
