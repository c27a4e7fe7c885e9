package mapping

import (
	"bytes"
	"fmt"
	"testing"

	"holdfast/internal/schema"
	"holdfast/openapi"
	"holdfast/openapi/contract"
)

// TestWhatIsCompiledWithoutTypesMapsAsWithThem: a mapping in is compiled before the contract of its link need be known, and its check compiles it
// with the contract's types. What passes the check makes the same of each document either way, since documents are read by those types (Reading).
func TestWhatIsCompiledWithoutTypesMapsAsWithThem(t *testing.T) {
	s, err := Load(Library())
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]Contract{}
	for folder, text := range map[string][]byte{"erp-in/": openapi.ERP(), "b2mml-in/": openapi.B2MML()} {
		doc, err := contract.Load(text, folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range s.Names() {
			if len(name) > len(folder) && name[:len(folder)] == folder {
				of[name] = FromOpenAPI(doc)
			}
		}
	}
	mapped := 0
	for name, c := range of {
		m := s.byName[name]
		document, ok := c.DocumentType(m.document)
		again := s.base.again(c.DocumentType)
		again.fsys = m.folder
		typed := again.compile(m.file, m.text)
		if !ok || typed == nil {
			t.Fatalf("%s: %v", name, again.mistakes)
		}
		typed.name, typed.version = m.name, m.version
		other := &Set{byName: map[string]*mapping{name: typed}}
		ctx := Reading(t.Context(), func(_, _, _ string) *schema.Type { return document })
		examples, err := Examples(name, Library())
		if err != nil {
			t.Fatal(err)
		}
		g := forMapping(1, m, examples)
		for i := range 40 {
			g.tame = i%2 == 0
			in := Example{Body: string(g.document(document))}.Message()
			got, err1 := s.ApplyIn(ctx, name, in, g.refs)
			want, err2 := other.ApplyIn(ctx, name, in, g.refs)
			if fmt.Sprint(err1) != fmt.Sprint(err2) || got.Kind != want.Kind || got.Key != want.Key || !bytes.Equal(got.Body, want.Body) {
				t.Errorf("%s makes %s, %v of %s; with types %s, %v", name, got.Body, err1, in.Body, want.Body, err2)
			}
			if err1 == nil {
				mapped++
			}
		}
	}
	if len(of) < 8 || mapped < 100 {
		t.Errorf("%d documents were mapped by %d mappings", mapped, len(of))
	}
}
