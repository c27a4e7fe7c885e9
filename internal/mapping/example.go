package mapping

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/openapi/contract"
)

// Example is one message or document beside a mapping, and what the mapping makes of it.
type Example struct {
	Name    string            `yaml:"name"`
	Kind    string            `yaml:"kind,omitempty"`    // of the message, for a mapping out
	Version int               `yaml:"version,omitempty"` // of the message; without it, the one that the mapping takes
	Refs    map[string]string `yaml:"refs,omitempty"`    // what the other side calls an object
	Body    string            `yaml:"body"`              // JSON
	Waits   string            `yaml:"waits,omitempty"`
	LeftOut bool              `yaml:"leftOut,omitempty"`
	Want    Expected          `yaml:"want,omitempty"`
	Back    *Back             `yaml:"back,omitempty"` // of a mapping out: the way back to the plant

	file string
	node *yaml.Node
	text []byte // of the whole file
	nth  int    // in it
	of   int    // the version that its mapping takes; 0: not known
}

// Expected is what a mapping shall make of an example.
type Expected struct {
	Target string            `yaml:"target,omitempty"`
	Params map[string]string `yaml:"params,omitempty"`
	Kind   string            `yaml:"kind,omitempty"`
	Key    string            `yaml:"key,omitempty"`
	Body   string            `yaml:"body,omitempty"`
}

// digestMark stands in an example for the digest of its message, which changes with each letter.
const digestMark = "DIGEST"

// Place is where the example stands.
func (e Example) Place() string { return fmt.Sprintf("%s:%d:%d", e.file, e.node.Line, e.node.Column) }

// Message is the example as a message: the ID is m-1, the seventh of lane o-1, at 23:30 UTC on 24 November 2026. Its version is the example's, that of
// the mapping that it stands beside (Set.Examples), or 1.
func (e Example) Message() message.Message {
	return message.Message{
		ID: "m-1", Source: "urn:plant:1000", Kind: e.Kind, Version: cmp.Or(e.Version, e.of, 1), Key: "o-1", Time: time.Date(2026, 11, 24, 23, 30, 0, 0, time.UTC),
		Body: []byte(e.Body), Place: message.Place{Link: "erp", Lane: "o-1", Epoch: 1, Number: 7, Role: message.Event},
	}
}

// Resolve is a Resolver that knows what the example names.
func (e Example) Resolve(_ context.Context, object string) (string, bool, error) {
	name, ok := e.Refs[object]
	return name, ok, nil
}

// trusted vouches for an example: whether a message is to be believed is not the mapping's affair.
type trusted struct{}

// Verify implements message.Verifier.
func (trusted) Verify(context.Context, message.Message) error { return nil }

// Examples are those beside a mapping, in a file of its name that ends in .example.yaml; the last folder that has one counts.
func Examples(name string, fsys ...fs.FS) ([]Example, error) {
	file := name + exampleSuffix
	for _, f := range slices.Backward(fsys) {
		text, err := fs.ReadFile(f, file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read examples %s: %w", file, err)
		}
		return ParseExamples(file, text)
	}
	return nil, nil
}

// Examples are those beside one of the set's mappings, each of a message of the version that the mapping takes, unless it names another.
func (s *Set) Examples(name string) ([]Example, error) {
	all, err := Examples(name, s.from...)
	if m := s.byName[name]; m != nil {
		for i := range all {
			all[i].of = m.fromVersion
		}
	}
	return all, err
}

// ParseExamples reads a file of examples.
func ParseExamples(file string, text []byte) ([]Example, error) {
	bad := func(err error) error {
		return &problem.Error{Kind: problem.Invalid, What: "read the examples " + file, Why: err.Error(), Hint: "docs/mapping-guide.md shows their form"}
	}
	var nodes []yaml.Node
	var all []Example
	if err := errors.Join(yaml.Load(text, &nodes), yaml.Load(text, &all, yaml.WithKnownFields())); err != nil {
		return nil, bad(err)
	}
	for i := range all {
		all[i].file, all[i].node, all[i].text, all[i].nth = file, &nodes[i], text, i
		if all[i].Name == "" {
			return nil, bad(fmt.Errorf("line %d: the example has no name", nodes[i].Line))
		}
	}
	return all, nil
}

// Made is what a mapping made of a message or document.
type Made struct {
	Target, Version string
	Params          map[string]string
	Kind, Key       string // of a message in
	Body            []byte
	Waits           string // the object whose number is missing
	LeftOut         bool
	From            []Origin
}

// Origin says which rule made which part of a body.
type Origin struct {
	Start, End int    // bytes of the body
	Rule       string // such as fields.items.material
	Place      string // file:line:column
}

// Try maps a message or document by one mapping, and says which rule made what. Nothing comes of it.
func (s *Set) Try(ctx context.Context, name string, m message.Message, refs Resolver) (Made, error) {
	return s.try(ctx, name, m, refs, &observer{})
}

func (s *Set) try(ctx context.Context, name string, m message.Message, refs Resolver, o *observer) (Made, error) {
	ctx = observed(ctx, o)
	rules, err := s.find(name, m.Kind)
	if err != nil {
		return Made{}, err
	}
	if rules.inbound {
		out, err := s.ApplyIn(ctx, rules.name, m, refs)
		return made(Made{Version: rules.version, Kind: out.Kind, Key: out.Key, Body: out.Body, From: o.from}, err)
	}
	v, err := message.Verify(ctx, trusted{}, m)
	if err != nil {
		return Made{}, err
	}
	doc, err := s.Apply(ctx, rules.name, v, refs)
	return made(Made{Version: rules.version, Target: doc.Target, Params: doc.Params, Body: doc.Body, From: o.from}, err)
}

func made(m Made, err error) (Made, error) {
	if w, ok := errors.AsType[*Waiting](err); ok {
		return Made{Version: m.Version, Waits: w.Object}, nil
	}
	if errors.Is(err, ErrLeftOut) {
		return Made{Version: m.Version, LeftOut: true}, nil
	}
	return m, err
}

// Difference is one place where what was made is not what was expected.
type Difference struct {
	At        string `json:"at"` // "body/items/0/material"
	Want, Got string
}

// String is one line.
func (d Difference) String() string {
	return fmt.Sprintf("%s: want %s, got %s", d.At, cmp.Or(d.Want, "nothing"), cmp.Or(d.Got, "nothing"))
}

// against compares what was made with what an example expects.
func (e Example) against(m Made) []Difference {
	var out []Difference
	say := func(at, want, got string) {
		if want != got {
			out = append(out, Difference{at, want, got})
		}
	}
	say("waits", e.Waits, m.Waits)
	say("leftOut", fmt.Sprint(e.LeftOut), fmt.Sprint(m.LeftOut))
	if e.Waits != "" || e.LeftOut || m.Waits != "" || m.LeftOut {
		return out
	}
	say("target", e.Want.Target, m.Target)
	say("kind", e.Want.Kind, m.Kind)
	say("key", e.Want.Key, m.Key)
	for _, name := range slices.Sorted(slices.Values(append(sortedKeys(e.Want.Params), sortedKeys(m.Params)...))) {
		if len(out) == 0 || out[len(out)-1].At != "params/"+name {
			say("params/"+name, e.Want.Params[name], m.Params[name])
		}
	}
	return append(out, Differences([]byte(e.Want.Body), e.marked(m.Body))...)
}

// marked hides the digest of the example's message.
func (e Example) marked(body []byte) []byte {
	return bytes.ReplaceAll(body, []byte(e.Message().Digest()), []byte(digestMark))
}

// Differences compares two JSON documents, digit for digit, and names each place where they differ.
func Differences(want, got []byte) []Difference {
	decode := func(b []byte) (any, error) {
		if len(bytes.TrimSpace(b)) == 0 {
			return absent{}, nil
		}
		return contract.Decode(b)
	}
	w, err := decode(want)
	if err != nil {
		return []Difference{{"body", "JSON", "what is expected is none: " + err.Error()}}
	}
	g, err := decode(got)
	if err != nil {
		return []Difference{{"body", "JSON", "none: " + err.Error()}}
	}
	return differ("body", w, g)
}

func differ(at string, want, got any) (out []Difference) {
	switch w := want.(type) {
	case map[string]any:
		if g, ok := got.(map[string]any); ok {
			names := slices.Compact(slices.Sorted(slices.Values(append(sortedKeys(w), sortedKeys(g)...))))
			for _, n := range names {
				out = append(out, differ(at+"/"+n, member(w, n), member(g, n))...)
			}
			return out
		}
	case []any:
		if g, ok := got.([]any); ok {
			for i := range max(len(w), len(g)) {
				out = append(out, differ(fmt.Sprintf("%s/%d", at, i), element(w, i), element(g, i))...)
			}
			return out
		}
	}
	if a, b := asText(want), asText(got); a != b {
		return []Difference{{at, a, b}}
	}
	return nil
}

// absent is a member that is not there, which is not null.
type absent struct{}

func member(m map[string]any, name string) any {
	if v, ok := m[name]; ok {
		return v
	}
	return absent{}
}

func element(l []any, i int) any {
	if i < len(l) {
		return l[i]
	}
	return absent{}
}

func asText(v any) string {
	if v == (absent{}) {
		return ""
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSpace(b.String())
}
