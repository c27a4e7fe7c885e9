package odata

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/internal/problem"
)

// parts are the errors in one.
func parts(err error) (out []error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			out = append(out, parts(e)...)
		}
		return out
	}
	if err != nil {
		out = []error{err}
	}
	return out
}

// TestTheDoctorIsToldAllThatIsWrong: one service is not active, one is forbidden, one answers too late, one lacks fields that the configuration names, and
// an optional one is missing. Each is named at once.
func TestTheDoctorIsToldAllThatIsWrong(t *testing.T) {
	metadata := dialects()[0].metadata(t)
	release := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/good/$metadata", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(metadata) })
	mux.HandleFunc("/fields/$metadata", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(metadata) })
	mux.HandleFunc("/forbidden/$metadata", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no authorization", http.StatusForbidden) })
	mux.HandleFunc("/late/$metadata", func(http.ResponseWriter, *http.Request) { <-release })
	s := httptest.NewServer(mux)
	defer s.Close()
	defer close(release)
	poll := PollConfig{Name: "p", Set: "fields/ProdnOrdConf2", Watermark: "ChangedAt", Source: "urn:erp", Kind: "k", Mapping: "in", Key: "Number"}
	l := open(t, Config{
		BaseURL: s.URL, Timeout: 2 * time.Second, Polls: []PollConfig{poll},
		Services: map[string]Service{
			"good": {Path: "/good"}, "fields": {Path: "/fields"}, "forbidden": {Path: "/forbidden"}, "inactive": {Path: "/inactive"}, "late": {Path: "/late"},
			"absent": {Path: "/absent", Optional: true},
		},
		Writes: map[string]Write{"fields/ProdnOrdConf2": {ID: "Mark"}, "fields/NoSuchSet": {ID: "Mark"}, "good/ProdnOrdConf2": {ID: "ExternalSystemConfirmation"}},
	})
	err := l.Check(t.Context())
	want := []string{
		`has no field "ChangedAt"`, `has no field "Number"`, `has no field "Mark"`, "NoSuchSet", "$metadata of forbidden: the ERP answered 403", "$metadata of inactive: the ERP answered 404",
		"$metadata of late: ",
	}
	if got := parts(err); len(got) != len(want) {
		t.Errorf("%d faults, want %d:\n%v", len(got), len(want), err)
	}
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("nothing says %q:\n%v", w, err)
		}
	}
}

// TestAnOptionalServiceIsMissedWhereItIsNeeded: by a poll, or by a mapping that a route names.
func TestAnOptionalServiceIsMissedWhereItIsNeeded(t *testing.T) {
	metadata := dialects()[0].metadata(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/good/$metadata", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(metadata) })
	s := httptest.NewServer(mux)
	defer s.Close()
	cfg := Config{
		BaseURL: s.URL, Timeout: patient,
		Services: map[string]Service{"good": {Path: "/good"}, "routed": {Path: "/routed", Optional: true}, "polled": {Path: "/polled", Optional: true}, "idle": {Path: "/idle", Optional: true}},
	}
	l := open(t, cfg)
	l.Need("good/ProdnOrdConf2")
	if err := l.Check(t.Context()); err != nil {
		t.Errorf("nothing needs what is missing: %v", err)
	}
	cfg.Polls = []PollConfig{{Name: "p", Set: "polled/ProdnOrdConf2", Whole: true, Source: "urn:erp", Kind: "k", Mapping: "in", Key: "OrderID"}}
	l = open(t, cfg)
	l.Need("routed/ProdnOrdConf2")
	err := l.Check(t.Context())
	if got := parts(err); len(got) != 2 || !strings.Contains(err.Error(), "$metadata of routed") || !strings.Contains(err.Error(), "$metadata of polled") {
		t.Errorf("got %v, want what is routed and what is polled", err)
	}
}

// TestAFaultOfTheWholeSystemIsToldOnce: nobody listens, or the credentials are refused, which are not tried at one service after the other.
func TestAFaultOfTheWholeSystemIsToldOnce(t *testing.T) {
	var calls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	cfg := Config{
		BaseURL: s.URL, Timeout: patient, Services: map[string]Service{"a": {Path: "/a", Optional: true}, "b": {Path: "/b"}, "c": {Path: "/c"}},
		Auth: Auth{Basic: &Basic{User: "MES", Password: "env:PASSWORD"}},
	}
	if err := open(t, cfg).Check(t.Context()); len(parts(err)) != 1 || problem.KindOf(err) != problem.Denied || calls.Load() != 1 {
		t.Errorf("with a wrong password: %v; %d calls", err, calls.Load())
	}
	s.Close()
	if err := open(t, cfg).Check(t.Context()); len(parts(err)) != 1 || problem.KindOf(err) != problem.Unavailable {
		t.Errorf("where nobody listens: %v", err)
	}
}
