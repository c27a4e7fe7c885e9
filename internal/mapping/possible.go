package mapping

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"holdfast/internal/schema"
	"holdfast/openapi/contract"
)

// Impossible says where the messages and documents of a mapping's examples are none that its source sends: such an example proves nothing.
// document is the type of what a mapping in takes; nil where that is not known. Errors: examples that cannot be read.
func (s *Set) Impossible(name string, document *schema.Type) (wrong []Mistake, err error) {
	m := s.byName[name]
	if m == nil {
		return nil, nil
	}
	examples, err := s.Examples(name)
	for _, e := range examples {
		wrong = append(wrong, m.impossible(e, document)...)
	}
	return wrong, err
}

// impossible holds an example against the type of the source. An ERP sends the fields that it is asked for, so that none must be there.
func (m *mapping) impossible(e Example, document *schema.Type) (out []Mistake) {
	t, hint := m.source, "write it as the plant sends it; the example that holdfast mapping new writes is such a one"
	if m.inbound {
		t, hint = document, "write it as the contract of the ERP has it"
	}
	v, err := contract.Decode([]byte(e.Body))
	if t == nil || err != nil { // what is no JSON is told where it is mapped
		return nil
	}
	holding{Type: t, partly: m.inbound}.value(v, "", 0, func(at, why string) {
		p := e.within(at)
		out = append(out, Mistake{
			File: p.file, Line: p.line, Col: p.col, What: fmt.Sprintf("example %q", e.Name), Why: strings.TrimPrefix(at+": ", ": ") + why, Hint: hint,
		})
	})
	return out
}

// within is the place of a part of the example's message, or of the nearest part around it that is there.
func (e Example) within(pointer string) place {
	at := place{e.file, e.node.Line, e.node.Column}
	n := memberNode(e.node, "body")
	if n == nil {
		return at
	}
	offset := offsetOf([]byte(e.Body), strings.Split(pointer, "/")[1:])
	before := e.Body[:offset]
	line, begin := 1+strings.Count(before, "\n"), 1+strings.LastIndex(before, "\n")
	src := source{e.file, strings.Split(string(e.text), "\n")}
	return src.within(n, line, 1+len([]rune(before[begin:])))
}

// offsetOf is where a part of a JSON document begins: of a member at its name.
func offsetOf(doc []byte, path []string) int {
	d := json.NewDecoder(bytes.NewReader(doc))
	found := skipSpace(doc, 0)
	for _, step := range path {
		if t, err := d.Token(); err != nil || t != json.Delim('{') && t != json.Delim('[') {
			return found
		} else if at, ok := enter(d, doc, step, t == json.Delim('[')); ok {
			found = at
		} else {
			return found
		}
	}
	return found
}

// enter reads to the value of a member or an element, and tells where that begins.
func enter(d *json.Decoder, doc []byte, step string, list bool) (at int, ok bool) {
	for i := 0; d.More(); i++ {
		at = skipSpace(doc, int(d.InputOffset()))
		name := strconv.Itoa(i)
		if !list {
			t, err := d.Token()
			if err != nil {
				return 0, false
			}
			name, _ = t.(string)
		}
		if name == step {
			return at, true
		}
		var passed json.RawMessage
		if d.Decode(&passed) != nil {
			return 0, false
		}
	}
	return 0, false
}

// skipSpace goes on to what stands behind blanks and commas.
func skipSpace(doc []byte, at int) int {
	for at < len(doc) && bytes.IndexByte([]byte(" \t\r\n,"), doc[at]) >= 0 {
		at++
	}
	return at
}
