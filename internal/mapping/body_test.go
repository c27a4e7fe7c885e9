package mapping_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

func TestABodyGoesThroughAsItIs(t *testing.T) {
	set, err := mapping.Load(fstest.MapFS{
		"out.yaml": {Data: []byte("from: {kind: series.recorded}\nto: {operation: takeSeries}\nparams: {X-Key: event.key}\nbody: event\n")},
		"in.yaml":  {Data: []byte("from: {document: series}\nto: {kind: '\"series.came\"', key: event.key}\nbody: event\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[string]message.Message{
		"in memory": {Kind: "series.recorded", Version: 1, Key: "o1", Body: []byte(` {"a": 1.50} `)},
		"large":     {Kind: "series.recorded", Version: 1, Key: "o1", Large: &message.Large{Size: 64 << 20}},
	}
	for name, m := range bodies {
		v := verified(t, m)
		doc, err := set.Apply(t.Context(), "out", v, nil)
		if err != nil || !bytes.Equal(doc.Body, m.Body) || doc.Large != m.Large || !doc.Whole || doc.Params["X-Key"] != "o1" {
			t.Errorf("%s, out: got %+v, %v", name, doc, err)
		}
		in, err := set.ApplyIn(t.Context(), "in", m, nil)
		if err != nil || !bytes.Equal(in.Body, m.Body) || in.Large != m.Large || in.Kind != "series.came" {
			t.Errorf("%s, in: got %+v, %v", name, in, err)
		}
	}
}

func TestALargeBodyIsReadForExpressionsUpToALimit(t *testing.T) {
	set, err := mapping.Load(fstest.MapFS{"out.yaml": {Data: []byte("from: {kind: k}\nto: {operation: o}\nfields: {a: src.a}\n")}})
	if err != nil {
		t.Fatal(err)
	}
	v := verified(t, message.Message{Kind: "k", Version: 1, Large: &message.Large{Size: 9 << 20}})
	_, err = set.Apply(t.Context(), "out", v, nil)
	if p, ok := errors.AsType[*problem.Error](err); !ok || p.Kind != problem.TooLarge || !strings.Contains(p.Hint, "body: event") {
		t.Errorf("got %v, want a problem of kind %s that says what to do", err, problem.TooLarge)
	}
}
