package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"holdfast/adapters/rest"
	"holdfast/internal/access"
	"holdfast/internal/body"
	"holdfast/internal/httpapi"
	"holdfast/internal/inbox"
	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/relay"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

const seriesSpec = `{"openapi": "3.0.3", "info": {"title": "series", "version": "1"}, "paths": {"/series": {"post": {
	"operationId": "takeSeries", "parameters": [{"name": "X-Digest", "in": "header", "schema": {"type": "string"}}],
	"requestBody": {"required": true, "content": {"application/json": {"schema": {"type": "object"}}}},
	"responses": {"201": {"description": "taken"}}}}}}`

const seriesMapping = "from: {kind: series.recorded}\nto: {operation: takeSeries}\nparams:\n  X-Digest: event.digest\nbody: event\n"

// series is a JSON text of so many bytes that is nowhere in memory.
func series(size int64) io.Reader {
	const head, tail = `{"curve":"`, `"}`
	return io.MultiReader(bytes.NewReader([]byte(head)), io.LimitReader(ones{}, size-int64(len(head)+len(tail))), bytes.NewReader([]byte(tail)))
}

type ones struct{}

func (ones) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '1'
	}
	return len(p), nil
}

func sumOf(t *testing.T, r io.Reader) string {
	t.Helper()
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// heapPeak runs fn and says by how many bytes the heap was larger at most than before. The collector runs early, so that what is
// counted is in use or was a moment ago.
func heapPeak(t *testing.T, fn func()) int64 {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	heap := func() int64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	runtime.GC()
	before := heap()
	var peak atomic.Int64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			peak.Store(max(peak.Load(), heap()-before))
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	fn()
	close(stop)
	<-done
	return peak.Load()
}

// TestABodyOf64MiBNeedsLittleMemory takes one from its reader to the outbox, through the relay and a rest link to an ERP, one from
// a reader through the inbox to its effect, and one through the API into the plant and out again.
func TestABodyOf64MiBNeedsLittleMemory(t *testing.T) {
	const most = 24 << 20
	want := sumOf(t, series(message.MaxBody))
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		if got := heapPeak(t, func() { outThere(t, db, want) }); got > most {
			t.Errorf("out: the heap grew by %d MiB, want at most %d", got>>20, most>>20)
		}
		if got := heapPeak(t, func() { inHere(t, db, want) }); got > most {
			t.Errorf("in: the heap grew by %d MiB, want at most %d", got>>20, most>>20)
		}
		if db.Dialect() == store.Postgres {
			return // the API makes no difference between them
		}
		if got := heapPeak(t, func() { throughTheAPI(t, db, want) }); got > most {
			t.Errorf("through the API: the heap grew by %d MiB, want at most %d", got>>20, most>>20)
		}
	})
}

// kept is the body in the database.
func kept(t *testing.T, db *store.DB) *message.Large {
	t.Helper()
	l, err := body.Keep(t.Context(), db, series(message.MaxBody), "", message.MaxBody)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func outThere(t *testing.T, db *store.DB, want string) {
	t.Helper()
	type call struct{ sum, digest string }
	calls := make(chan call, 2)
	erp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls <- call{sumOf(t, r.Body), r.Header.Get("X-Digest")}
		w.WriteHeader(http.StatusCreated)
	}))
	defer erp.Close()
	spec := filepath.Join(t.TempDir(), "series.json")
	if err := os.WriteFile(spec, []byte(seriesSpec), 0o600); err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	link, err := rest.Open(rest.Config{BaseURL: erp.URL, Spec: spec, Default: rest.Operation{Idempotent: true}}, nil, quiet)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := mapping.Load(fstest.MapFS{"series.yaml": {Data: []byte(seriesMapping)}})
	if err != nil {
		t.Fatal(err)
	}
	out := outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp", Mapping: "series"}}, "urn:plant:1000", outbox.Config{})
	m := message.Message{ID: "s1", Kind: "series.recorded", Version: 1, Key: "o1", Time: db.Now(), Large: kept(t, db), Place: message.Place{Role: message.Event}}
	if err := db.InTx(t.Context(), func(tx *store.Tx) error { return out.Append(t.Context(), tx, m) }); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	r := relay.New(db, out, rules, seal.Chain, map[string]relay.Link{"erp": {Deliverer: link}}, relay.Config{}, quiet)
	go func() { ended <- r.Run(ctx) }()
	got := <-calls
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	var d outbox.Detail
	err = db.View(t.Context(), func(tx *store.Tx) (err error) {
		d, err = out.Message(t.Context(), tx, outbox.MessageID("erp", "s1"))
		return err
	})
	if err != nil || got != (call{want, d.Digest}) || !d.Settled || len(calls) > 0 {
		t.Errorf("the ERP has %+v, want %s; %v", got, want, err)
	}
}

func inHere(t *testing.T, db *store.DB, want string) {
	t.Helper()
	var read []string
	effect := func(ctx context.Context, _ *store.Tx, m message.Message) error {
		r, err := m.Open(ctx)
		if err != nil {
			return err
		}
		defer r.Close()
		sum := sha256.New()
		_, err = io.Copy(sum, r)
		read = append(read, hex.EncodeToString(sum.Sum(nil)))
		return err
	}
	in := inbox.New(db, nil, effect, inbox.Config{}, slog.New(slog.DiscardHandler))
	for range 2 { // the second one is known
		m := message.Incoming{Message: message.Message{ID: "s1", Source: "erp", Kind: "series", Key: "o1", Time: db.Now(), Large: kept(t, db)}}
		if all, err := in.ReceiveAll(t.Context(), []message.Incoming{m}, "erp"); err != nil || all[0].Rejected > 0 {
			t.Fatal(all, err)
		}
		if _, err := in.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(read) != 1 || read[0] != want {
		t.Errorf("the plant has read %q, want %s once", read, want)
	}
}

func throughTheAPI(t *testing.T, db *store.DB, want string) {
	t.Helper()
	api := httptest.NewServer(httpapi.New(httpapi.Parts{DB: db, Doer: access.New(db)}, httpapi.Config{}, slog.New(slog.DiscardHandler)).Handler())
	defer api.Close()
	res, err := http.Post(api.URL+"/v1/bodies", "application/octet-stream", series(message.MaxBody))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusCreated {
		t.Fatalf("kept with status %d, want 201", res.StatusCode)
	}
	back, err := http.Get(api.URL + res.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	defer back.Body.Close()
	if got := sumOf(t, back.Body); got != want || back.ContentLength != message.MaxBody {
		t.Errorf("the API gives back %d bytes of %s, want %d of %s", back.ContentLength, got, message.MaxBody, want)
	}
}
