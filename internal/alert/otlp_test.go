package alert_test

import (
	"cmp"
	"compress/gzip"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	logs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	record1 "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"holdfast/internal/alert"
	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// receiver is a collector of OpenTelemetry logs by OTLP over HTTPS. It keeps what it takes beyond its end, as its disk would.
type receiver struct {
	t       *testing.T
	id      identity
	address string
	srv     *httptest.Server
	rejects func(place int64) bool // records that it does not take, of those that it understands
	status  int                    // instead of 200
	places  []int64
	last    *record1.LogRecord
	about   string // the last one's resource
	headers http.Header
}

func (r *receiver) start() {
	r.t.Helper()
	l, err := net.Listen("tcp", cmp.Or(r.address, "127.0.0.1:0"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.address = l.Addr().String()
	r.srv = &httptest.Server{Listener: l, Config: &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}, TLS: &tls.Config{Certificates: []tls.Certificate{r.id.pair}, MinVersion: tls.VersionTLS12}}
	r.srv.StartTLS()
}

// ServeHTTP implements http.Handler. One request comes at a time.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if r.status != 0 {
		w.Header().Set("Location", "https://"+r.address+"/v1/logs")
		w.WriteHeader(r.status)
		return
	}
	unzipped, err := gzip.NewReader(req.Body)
	if err != nil {
		r.t.Errorf("not packed: %v", err)
		return
	}
	body, err := io.ReadAll(unzipped)
	var in logs.ExportLogsServiceRequest
	if err != nil || proto.Unmarshal(body, &in) != nil || req.URL.Path != "/v1/logs" {
		r.t.Errorf("%s is no request for logs: %v", req.URL, err)
		return
	}
	out := logs.ExportLogsServiceResponse{PartialSuccess: &logs.ExportLogsPartialSuccess{ErrorMessage: "mind your clock"}} // a warning: all was taken
	r.headers = req.Header
	for _, of := range in.ResourceLogs {
		r.about = of.Resource.String()
		for _, rec := range of.ScopeLogs[0].LogRecords {
			if place := number(rec, "holdfast.audit.place"); r.rejects != nil && r.rejects(place) {
				out.PartialSuccess.RejectedLogRecords++
			} else {
				r.places, r.last = append(r.places, place), rec
			}
		}
	}
	b, err := proto.Marshal(&out)
	if err != nil {
		r.t.Error(err)
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(b)
}

func number(rec *record1.LogRecord, name string) int64 {
	for _, a := range rec.Attributes {
		if a.Key == name {
			return a.Value.GetIntValue()
		}
	}
	return -1
}

func (r *record) logs(to *receiver, id identity) *alert.Forwarder {
	return alert.NewForwarder(r.db, r.tree.Place, "n1", alert.Collector{
		Name: "soc", Address: to.address, TLS: &tls.Config{RootCAs: id.pool, MinVersion: tls.VersionTLS12}, Form: alert.Form{Name: alert.OTLP, Plant: "1000", Host: "n1", Version: "1"},
		Headers: func(context.Context) (map[string]string, error) {
			return map[string]string{"Authorization": "Bearer soc"}, nil
		},
	}, alert.ForwarderConfig{Timeout: 10 * time.Second, Batch: 100}, slog.New(slog.DiscardHandler))
}

// TestOpenTelemetryLogsLoseNothingThroughTenMinutes: as by syslog, the backlog of an outage is the record, whatever becomes of the plant's process.
func TestOpenTelemetryLogsLoseNothingThroughTenMinutes(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer of-the-traces")
	now := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		c, r := &receiver{t: t, id: newIdentity(t)}, newRecord(t, db)
		c.start()
		f := r.logs(c, c.id)
		r.append(20)
		if n := drain(t, f); n != 20 {
			t.Fatalf("handed on %d, want 20", n)
		}
		c.srv.Close()
		for range 10 {
			r.append(25)
			now = now.Add(time.Minute)
			if _, err := f.Forward(t.Context()); problem.KindOf(err) != problem.Unavailable {
				t.Fatalf("without a collector: %v, want unavailable", err)
			}
		}
		if b := r.backlog(); b.Waiting != 250 || b.Place != 20 || b.Trouble == "" {
			t.Errorf("backlog %+v, want 250 after place 20 with its trouble", b)
		}
		c.start()
		defer func() { c.srv.Close() }()
		if n := drain(t, r.logs(c, c.id)); n != 250 {
			t.Errorf("handed on %d, want 250", n)
		}
		for i, n := range c.places {
			if n != int64(i) {
				t.Fatalf("record %d is of place %d: lost, doubled or out of order", i, n)
			}
		}
		if got := c.headers.Get("Authorization"); len(c.places) != 270 || got != "Bearer soc" {
			t.Errorf("the collector has %d of 270, from %q", len(c.places), got)
		}
	}, storetest.WithClock(func() time.Time { return now }))
}

// TestWhatACollectorRejectsWaits: a collector that takes all but one of a batch is sent the others twice and not for ever, and all of it in the end.
func TestWhatACollectorRejectsWaits(t *testing.T) {
	r, c := newRecord(t, storetest.SQLite(t)), &receiver{t: t, id: newIdentity(t)}
	c.start()
	defer func() { c.srv.Close() }()
	f := r.logs(c, c.id)
	r.append(30)
	c.rejects = func(place int64) bool { return place == 7 }
	for range 20 {
		if _, err := f.Forward(t.Context()); err != nil && (problem.KindOf(err) != problem.Unavailable || !strings.Contains(err.Error(), "it rejected 1 of them: mind your clock")) {
			t.Fatalf("got %v", err)
		}
	}
	if b := r.backlog(); b.Place != 7 || len(c.places) != 29+7 {
		t.Errorf("it has %d, and the next is %+v; want what was taken with 7 repeated, and place 7", len(c.places), b)
	}
	c.rejects = nil
	drain(t, f)
	slices.Sort(c.places)
	if got := slices.Compact(c.places); len(got) != 30 || got[29] != 29 {
		t.Errorf("it has %v", got)
	}
}

// TestOnlyACollectorsYesCounts: every other answer keeps the backlog, and a redirection leads nowhere.
func TestOnlyACollectorsYesCounts(t *testing.T) {
	r, c := newRecord(t, storetest.SQLite(t)), &receiver{t: t, id: newIdentity(t)}
	c.start()
	defer func() { c.srv.Close() }()
	f := r.logs(c, c.id)
	r.append(3)
	for _, c.status = range []int{307, 400, 401, 404, 413, 429, 500, 503} {
		if n, err := f.Forward(t.Context()); problem.KindOf(err) != problem.Unavailable || n != 0 {
			t.Errorf("%d: handed on %d, %v", c.status, n, err)
		}
	}
	c.status = 0
	if _, err := r.logs(c, newIdentity(t)).Forward(t.Context()); problem.KindOf(err) != problem.Unavailable || len(c.places) != 0 {
		t.Errorf("a collector that nobody vouches for: %v", err)
	}
	if n := drain(t, f); n != 3 || len(c.places) != 3 {
		t.Errorf("handed on %d, the collector has %v", n, c.places)
	}
}

// TestAnEntryAsALog: each field where docs/siem.md says.
func TestAnEntryAsALog(t *testing.T) {
	r, c := newRecord(t, storetest.SQLite(t)), &receiver{t: t, id: newIdentity(t)}
	c.start()
	defer func() { c.srv.Close() }()
	e := audit.Entry{Actor: "user:anna", From: "10.1.2.3", Action: "link.pause", Object: "link/erp", Outcome: audit.Refused, Reason: "a\r\nb"}
	if err := r.db.InTx(t.Context(), func(tx *store.Tx) error { return audit.Append(t.Context(), tx, e) }); err != nil {
		t.Fatal(err)
	}
	drain(t, r.logs(c, c.id))
	got := map[string]string{}
	for _, a := range c.last.Attributes {
		got[a.Key] = a.Value.GetStringValue()
	}
	for name, want := range map[string]string{
		"holdfast.plant": "1000", "user.name": "user:anna", "client.address": "10.1.2.3", "holdfast.audit.action": "link.pause", "holdfast.audit.object": "link/erp",
		"holdfast.audit.outcome": "refused", "holdfast.audit.reason": "a  b",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if c.last.SeverityNumber != record1.SeverityNumber_SEVERITY_NUMBER_WARN || c.last.EventName != "link.pause" || !strings.HasPrefix(c.last.Body.GetStringValue(), "refused: link.pause of link/erp by user:anna") {
		t.Errorf("got %v", c.last)
	}
	for _, want := range []string{"holdfast", "service.instance.id", "n1"} {
		if !strings.Contains(c.about, want) {
			t.Errorf("the resource %s has no %s", c.about, want)
		}
	}
}
