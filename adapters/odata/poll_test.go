package odata

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/erpmock/edmx"
	"holdfast/adapters/odata/edm"
	"holdfast/adapters/wire"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// orders is a service with n orders and a link that polls them.
func orders(t *testing.T, n int, cfg edmx.Config, poll PollConfig) *world {
	t.Helper()
	d := dialect{"V2", "order-v2.xml", "A_ProductionOrder_2", "/sap/opu/odata/sap/ORDERS", 1, ""}
	now := time.Date(2026, 11, 26, 6, 0, 0, 0, time.UTC)
	if cfg.Now == nil {
		cfg.Now = func() time.Time { now = now.Add(time.Second); return now }
	}
	w := d.start(t, cfg, func(c *Config) {
		poll.Name, poll.Set, poll.Key = "orders", "conf/"+d.set, "ManufacturingOrder"
		poll.Source, poll.Kind, poll.Mapping = "urn:erp", "erp.order", "in"
		c.Polls, c.Writes = []PollConfig{poll}, nil
	})
	for i := range n {
		if err := w.mock.Seed(d.set, map[string]any{"ManufacturingOrder": fmt.Sprintf("%d", i), "Material": "M1"}); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// unversioned is one whose objects have no ETag, and the change time that they are given.
func unversioned(t *testing.T, n int, cfg edmx.Config, poll PollConfig) *world {
	t.Helper()
	d := dialect{"V2", "order-v2.xml", "A_ProductionOrder_2", "/sap/opu/odata/sap/ORDERS", 1, ""}
	cfg.Root = d.root
	m, s := edmx.Start(t, bytes.ReplaceAll(d.metadata(t), []byte(`ConcurrencyMode="Fixed"`), nil), cfg)
	c := d.config(s.URL)
	poll.Name, poll.Set, poll.Key, poll.Source, poll.Kind, poll.Mapping = "orders", "conf/"+d.set, "ManufacturingOrder", "urn:erp", "erp.order", "in"
	c.Polls, c.Writes = []PollConfig{poll}, nil
	w := &world{d, m, s, open(t, c)}
	for i := range n {
		w.make(t, fmt.Sprint(i), fmt.Sprintf("202611260600%02d", i))
	}
	return w
}

func (w *world) make(t *testing.T, number, changed string) {
	t.Helper()
	if err := w.mock.Seed(w.set, map[string]any{"ManufacturingOrder": number, "Material": "M1", "LastChangeDateTime": changed}); err != nil {
		t.Fatal(err)
	}
}

// inbox takes what is polled as the inbox does: each ID once, and the cursor with it.
type inbox struct {
	cursor string
	seen   map[string]message.Incoming
}

// round polls until nothing more comes, and gives the new ones.
func (b *inbox) round(t *testing.T, p *Poll) []message.Incoming {
	t.Helper()
	var fresh []message.Incoming
	for range 100 {
		batch, next, err := p.Poll(t.Context(), b.cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range batch {
			if _, known := b.seen[in.ID]; !known {
				b.seen[in.ID] = in
				fresh = append(fresh, in)
			}
		}
		more := next != b.cursor && len(batch) > 0 && !p.Ended(next)
		if b.cursor = next; !more {
			return fresh
		}
	}
	t.Fatal("the poll does not come to an end")
	return nil
}

func TestAPollBringsEachChangeOnce(t *testing.T) {
	for name, poll := range map[string]PollConfig{
		"by a watermark": {Watermark: "LastChangeDateTime", Overlap: 5 * time.Second}, "by delta links": {Delta: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := orders(t, 120, edmx.Config{Delta: true}, poll)
			b := &inbox{seen: map[string]message.Incoming{}}
			if got := b.round(t, w.link.Polls()[0]); len(got) != 120 {
				t.Fatalf("the first round brought %d", len(got))
			}
			for i := range 5 {
				w.mock.Change(w.set, "ManufacturingOrder", fmt.Sprintf("%d", 10*i), map[string]any{"Material": "M2"})
			}
			cfg := w.link.cfg
			cfg.AskAfter = 0
			w.link = open(t, cfg) // a restart between two polls
			got := b.round(t, w.link.Polls()[0])
			if len(got) != 5 || got[0].Key != "0" || got[0].Mapping != "in" {
				t.Errorf("the second round brought %d: %v", len(got), got)
			}
			if name == "by a watermark" && (got[0].ObjectVersion == "" || !later(got[1].ObjectVersion, got[0].ObjectVersion)) {
				t.Errorf("versions %q and %q", got[0].ObjectVersion, got[1].ObjectVersion)
			}
			if again := b.round(t, w.link.Polls()[0]); len(again) != 0 {
				t.Errorf("a round without changes brought %d", len(again))
			}
		})
	}
}

// TestWhatChangesWithoutItsChangeTimeIsAMessageOfItsOwn: quantities move without it, and two saves within a second have one. The newest
// content is the newest version, also when it is one that was there before; a crash between two polls reads the same once more.
func TestWhatChangesWithoutItsChangeTimeIsAMessageOfItsOwn(t *testing.T) {
	now := time.Date(2026, 11, 26, 6, 0, 0, 0, time.UTC)
	w := orders(t, 3, edmx.Config{Coarse: true, Now: func() time.Time { return now }}, PollConfig{Watermark: "LastChangeDateTime"})
	b := &inbox{seen: map[string]message.Incoming{}}
	if got := b.round(t, w.link.Polls()[0]); len(got) != 3 {
		t.Fatalf("the first round brought %d", len(got))
	}
	last := ""
	for i, material := range []string{"M2", "M1", "M2", "M1"} {
		w.mock.Change(w.set, "ManufacturingOrder", "1", map[string]any{"Material": material})
		crashed, _, err := w.link.Polls()[0].Poll(t.Context(), b.cursor)
		if err != nil || len(crashed) != 1 {
			t.Fatalf("change %d: %d, %v", i, len(crashed), err)
		}
		cfg := w.link.cfg
		cfg.AskAfter = 0
		w.link = open(t, cfg)
		got := b.round(t, w.link.Polls()[0])
		if len(got) != 1 || got[0].ID != crashed[0].ID || !strings.Contains(string(got[0].Body), material) {
			t.Fatalf("change %d to %s brought %v; before the crash it was %s", i, material, got, crashed[0].ID)
		}
		if !later(got[0].ObjectVersion, last) {
			t.Errorf("change %d: version %q does not come after %q", i, got[0].ObjectVersion, last)
		}
		last = got[0].ObjectVersion
		if again := b.round(t, w.link.Polls()[0]); len(again) != 0 {
			t.Errorf("a round without a change brought %d", len(again))
		}
	}
	now = now.Add(time.Hour)
	w.mock.Change(w.set, "ManufacturingOrder", "2", map[string]any{"Material": "M2"})
	if got := b.round(t, w.link.Polls()[0]); len(got) != 1 || got[0].Key != "2" {
		t.Errorf("an hour later: %d", len(got))
	}
	if at, err := readStand(b.cursor); err != nil || len(at.seen) != 1 {
		t.Errorf("the cursor keeps %d objects, %v; want the one that is read again", len(at.seen), err)
	}
}

// TestAStateIsTheSameInWhateverOrderItsPartsCome: a database gives operations and components as it likes.
func TestAStateIsTheSameInWhateverOrderItsPartsCome(t *testing.T) {
	one, err := wire.ContentOf([]byte(`{"a":[{"n":"1","q":1.50},{"n":"2"}],"b":"x"}`))
	other, err2 := wire.ContentOf([]byte(`{"b":"x","a":[{"n":"2"},{"q":1.50,"n":"1"}]}`))
	third, err3 := wire.ContentOf([]byte(`{"b":"x","a":[{"n":"2"},{"q":1.51,"n":"1"}]}`))
	if one != other || one == third || err != nil || err2 != nil || err3 != nil {
		t.Errorf("%s, %s, %s; %v, %v, %v", one, other, third, err, err2, err3)
	}
}

func TestAPollWhosePageIsGoneBeginsAnew(t *testing.T) {
	w := orders(t, 120, edmx.Config{Delta: true}, PollConfig{Delta: true})
	b := &inbox{seen: map[string]message.Incoming{}}
	w.mock.SetFaults(erpmock.Fault{Kind: erpmock.Status, Status: 410, Method: "GET", Skip: 2, Count: 1}) // $metadata and a page pass
	batch, next, err := w.link.Polls()[0].Poll(t.Context(), "")
	at, bad := readStand(next)
	if len(batch) != 0 || at.link != "" || errors.Join(err, bad) != nil {
		t.Fatalf("after a page that is gone: %d, %q, %v", len(batch), next, errors.Join(err, bad))
	}
	b.cursor = next
	if got := b.round(t, w.link.Polls()[0]); len(got) != 120 {
		t.Errorf("the reading from its beginning brought %d", len(got))
	}
}

// otherwise has the service's answers changed on their way.
func (w *world) otherwise(t *testing.T, change func(body string) string) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		a := httptest.NewRecorder()
		r.Header.Del("Accept-Encoding")
		w.mock.Handler().ServeHTTP(a, r)
		body := change(a.Body.String())
		maps.Copy(out.Header(), a.Header())
		out.Header().Del("Content-Length")
		out.WriteHeader(a.Code)
		_, _ = io.WriteString(out, body) // the client has left if this fails
	}))
	t.Cleanup(srv.Close)
	cfg := w.link.cfg
	cfg.BaseURL, cfg.AskAfter = srv.URL, 0
	w.link = open(t, cfg)
}

// TestAnEntityThatCannotBeReadHoldsUpNoOther: it is handed on once as it is, and once more when it has changed.
func TestAnEntityThatCannotBeReadHoldsUpNoOther(t *testing.T) {
	for name, poll := range map[string]PollConfig{
		"by a watermark": {Watermark: "LastChangeDateTime"}, "by delta links": {Delta: true}, "as a whole": {Whole: true},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Date(2026, 11, 26, 6, 0, 0, 0, time.UTC)
			w := orders(t, 120, edmx.Config{Delta: true, Now: func() time.Time { now = now.Add(10 * time.Second); return now }}, poll)
			w.mock.Change(w.set, "ManufacturingOrder", "7", map[string]any{"TotalQuantity": "1000.5"})
			w.otherwise(t, func(body string) string {
				return strings.ReplaceAll(body, `"TotalQuantity":"1000.5"`, `"TotalQuantity":"1.000,5"`)
			})
			b := &inbox{seen: map[string]message.Incoming{}}
			var odd []message.Incoming
			for _, in := range b.round(t, w.link.Polls()[0]) {
				if in.Unread != nil {
					odd = append(odd, in)
				}
			}
			if len(b.seen) != 120 || len(odd) != 1 || !strings.Contains(string(odd[0].Body), "1.000,5") || problem.KindOf(odd[0].Unread) != problem.Invalid {
				t.Errorf("%d came, of them unread: %v", len(b.seen), odd)
			}
			w.mock.Change(w.set, "ManufacturingOrder", "9", map[string]any{"Material": "M2"})
			if got := b.round(t, w.link.Polls()[0]); len(got) != 1 || got[0].Key != "9" {
				t.Errorf("afterwards came %v", got)
			}
			w.mock.Change(w.set, "ManufacturingOrder", "7", map[string]any{"TotalQuantity": "7"})
			if got := b.round(t, w.link.Polls()[0]); len(got) != 1 || got[0].Key != "7" || got[0].Unread != nil {
				t.Errorf("once it was corrected came %v", got)
			}
		})
	}
}

// TestPagesThatLeadInACircleAreAnError, and do not end a reading before its end.
func TestPagesThatLeadInACircleAreAnError(t *testing.T) {
	for name, poll := range map[string]PollConfig{"delta": {Delta: true}, "whole": {Whole: true}} {
		for _, length := range []int{1, 2, 3, 5} {
			t.Run(fmt.Sprintf("%s, of %d pages", name, length), func(t *testing.T) {
				w := orders(t, 1200, edmx.Config{Delta: true}, poll)
				var links []string
				link := regexp.MustCompile(`"__next":"([^"]+)"`)
				w.otherwise(t, func(body string) string {
					found := link.FindStringSubmatch(body)
					if found == nil {
						return body
					}
					if links = append(links, found[1]); len(links) <= length {
						return body
					}
					return strings.ReplaceAll(body, found[1], links[(len(links)-1)%length])
				})
				p, cursor := w.link.Polls()[0], ""
				for range 20 {
					_, next, err := p.Poll(t.Context(), cursor)
					if err != nil {
						if !strings.Contains(err.Error(), "circle") {
							t.Error(err)
						}
						return
					}
					cursor = next
				}
				t.Error("20 calls found no circle")
			})
		}
	}
}

// TestAStateThatComesBackByDeltaIsNews, also one that was there at the beginning, and what is read anew after a link that was forgotten.
func TestAStateThatComesBackByDeltaIsNews(t *testing.T) {
	w := orders(t, 3, edmx.Config{Delta: true}, PollConfig{Delta: true})
	w.otherwise(t, func(body string) string {
		return regexp.MustCompile(`"etag":"(\\.|[^"\\])*"`).ReplaceAllString(body, `"tag":""`)
	})
	p, b := w.link.Polls()[0], &inbox{seen: map[string]message.Incoming{}}
	if got := b.round(t, p); len(got) != 3 {
		t.Fatalf("%d at first", len(got))
	}
	to := func(material string) {
		w.mock.Change(w.set, "ManufacturingOrder", "1", map[string]any{"Material": material, "LastChangeDateTime": "2026-11-26T06:00:00Z"})
	}
	to("M0")
	b.round(t, p)
	for _, material := range []string{"M2", "M0", "M2"} {
		to(material)
		crashed, _, err := p.Poll(t.Context(), b.cursor)
		if err != nil || len(crashed) != 1 {
			t.Fatalf("%s: %d, %v", material, len(crashed), err)
		}
		if got := b.round(t, p); len(got) != 1 || got[0].ID != crashed[0].ID || !strings.Contains(string(got[0].Body), material) {
			t.Errorf("%s came back as %v", material, got)
		}
	}
	to("M0")
	w.mock.SetFaults(erpmock.Fault{Kind: erpmock.Status, Status: 410, Method: "GET", Count: 1})
	var got []message.Incoming
	for range 2 {
		got = append(got, b.round(t, p)...)
	}
	if len(got) != 3 {
		t.Errorf("after a link that was forgotten came %d", len(got))
	}
}

// TestAnEntityThatMovesTakesNoOtherOutOfTheReading: while the pages are read, one of the first page changes and moves to the end.
func TestAnEntityThatMovesTakesNoOtherOutOfTheReading(t *testing.T) {
	w := orders(t, 1200, edmx.Config{Page: 500}, PollConfig{Watermark: "LastChangeDateTime", Overlap: time.Second})
	b := &inbox{seen: map[string]message.Incoming{}}
	batch, next, err := w.link.Polls()[0].Poll(t.Context(), "")
	if err != nil || len(batch) != 500 {
		t.Fatalf("the first page brought %d, %v", len(batch), err)
	}
	for _, in := range batch {
		b.seen[in.ID] = in
	}
	b.cursor = next
	w.mock.Change(w.set, "ManufacturingOrder", "10", map[string]any{"Material": "M2"})
	b.round(t, w.link.Polls()[0])
	keys := map[string]bool{}
	for _, in := range b.seen {
		keys[in.Key] = true
	}
	if len(keys) != 1200 || len(b.seen) != 1201 {
		t.Errorf("read %d orders in %d states, want 1200 in 1201", len(keys), len(b.seen))
	}
}

// TestManyOfOneWatermarkAreReadByTheServicesPages.
func TestManyOfOneWatermarkAreReadByTheServicesPages(t *testing.T) {
	w := orders(t, 120, edmx.Config{}, PollConfig{Watermark: "Material"})
	b := &inbox{seen: map[string]message.Incoming{}}
	if b.round(t, w.link.Polls()[0]); len(b.seen) != 120 {
		t.Errorf("read %d of 120", len(b.seen))
	}
}

func TestAPollThatCannotWorkIsRefusedAtOpen(t *testing.T) {
	good := PollConfig{Name: "o", Set: "conf/X", Watermark: "W", Source: "s", Kind: "k", Mapping: "m", Key: "K"}
	for name, change := range map[string]func(*PollConfig){
		"no name": func(p *PollConfig) { p.Name = "" }, "no set": func(p *PollConfig) { p.Set = "X" }, "no key": func(p *PollConfig) { p.Key = "" },
		"neither way": func(p *PollConfig) { p.Watermark = "" }, "both ways": func(p *PollConfig) { p.Delta = true },
	} {
		c := dialects()[0].config("http://127.0.0.1:1")
		c.Polls = []PollConfig{good}
		change(&c.Polls[0])
		if _, err := Open(c, secret, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: it was opened", name)
		}
	}
}

// TestAWatermarkIsComparedExactly: of what some service has that cannot be put in order without a loss, nothing is polled.
func TestAWatermarkIsComparedExactly(t *testing.T) {
	for a, b := range map[string]string{
		"2026-11-24T06:00:00.5": "2026-11-24T06:00:00", "20261124060000.2": "20261124060000.1234567", "20261124060001": "20261124060000.9",
	} {
		if !later(a, b) || later(b, a) {
			t.Errorf("%s is not later than %s", a, b)
		}
	}
	for from, want := range map[string]string{"20261124060000.1234567": "20261124055800", "2026-11-24T06:00:00.5": "2026-11-24T05:58:00.5", "00000000000000.x": "00000000000000.x"} {
		if got := (&Poll{}).earlier(from, 2*time.Minute); got != want {
			t.Errorf("two minutes before %s is %s, want %s", from, got, want)
		}
	}
	_, s := edmx.Start(t, typesMetadata(edm.V2), edmx.Config{Root: "/srv"})
	for i, typ := range map[int]string{0: "String", 6: "Int64", 7: "Decimal", 10: "!Edm.Double", 11: "!Edm.Single", 13: "!Edm.Binary", 14: "DateTimeOffset", 16: "DateTime"} {
		l := open(t, Config{BaseURL: s.URL, Services: map[string]Service{"conf": {Path: "/srv"}}, Timeout: patient, Polls: []PollConfig{{
			Name: "p", Set: "conf/Values", Watermark: fmt.Sprintf("F%d", i), Source: "urn:erp", Kind: "k", Mapping: "in", Key: "ID",
		}}})
		err := l.Check(t.Context())
		if refused, bad := strings.CutPrefix(typ, "!"); bad != (err != nil) || bad && !strings.Contains(err.Error(), refused) {
			t.Errorf("a watermark of type %s: %v", typ, err)
		}
	}
}

// TestAWholeSetTellsWhatHasChanged: each reading reads all; what is as it was has the same ID, within a day.
func TestAWholeSetTellsWhatHasChanged(t *testing.T) {
	w := orders(t, 1200, edmx.Config{}, PollConfig{Whole: true})
	p, b := w.link.Polls()[0], &inbox{seen: map[string]message.Incoming{}}
	if p.Every() != time.Hour {
		t.Errorf("every %s", p.Every())
	}
	if fresh := b.round(t, p); len(fresh) != 1200 {
		t.Fatalf("%d, want 1200", len(fresh))
	}
	if fresh := b.round(t, p); len(fresh) != 0 {
		t.Errorf("%d again", len(fresh))
	}
	w.mock.Change(w.set, "ManufacturingOrder", "7", map[string]any{"Material": "M2"})
	if fresh := b.round(t, p); len(fresh) != 1 || fresh[0].Key != "7" {
		t.Errorf("after a change: %d", len(fresh))
	}
}

// TestAWholeSetTellsWhatIsAsItWasBefore: an object without a version is changed, and changed back. That is news, once, also where nobody took it at first.
func TestAWholeSetTellsWhatIsAsItWasBefore(t *testing.T) {
	w := unversioned(t, 3, edmx.Config{}, PollConfig{Whole: true})
	p, b := w.link.Polls()[0], &inbox{seen: map[string]message.Incoming{}}
	if fresh := b.round(t, p); len(fresh) != 3 {
		t.Fatalf("%d, want 3", len(fresh))
	}
	for _, material := range []string{"M2", "M1", "M2", "M1"} {
		w.mock.Change(w.set, "ManufacturingOrder", "1", map[string]any{"Material": material})
		if _, _, err := p.Poll(t.Context(), b.cursor); err != nil { // and its node dies before it is taken
			t.Fatal(err)
		}
		fresh := b.round(t, p)
		if len(fresh) != 1 || fresh[0].Key != "1" || !strings.Contains(string(fresh[0].Body), `"`+material+`"`) {
			t.Fatalf("changed to %s: %d are new", material, len(fresh))
		}
		if again := b.round(t, p); len(again) != 0 {
			t.Errorf("%d again", len(again))
		}
	}
}

// TestWhatWasNeverChangedIsPolledToo: SAP gives an order that was made and never changed no change time, and no reading from a watermark on finds it. It is
// asked for by itself, at most a minute later, page after page, and again after its first change. A service that refuses to be asked so is polled as ever.
func TestWhatWasNeverChangedIsPolledToo(t *testing.T) {
	w := unversioned(t, 3, edmx.Config{Page: 4}, PollConfig{Watermark: "LastChangeDateTime"})
	p, b, at := w.link.Polls()[0], &inbox{seen: map[string]message.Incoming{}}, time.Now()
	w.link.now = func() time.Time { return at }
	if got := b.round(t, p); len(got) != 3 {
		t.Fatalf("%d at first", len(got))
	}
	before := w.mock.Calls()["GET"]
	if got := b.round(t, p); len(got) != 0 || w.mock.Calls()["GET"] != before+1 {
		t.Errorf("%d, in %d requests, at once", len(got), w.mock.Calls()["GET"]-before)
	}
	for i := range 9 {
		w.make(t, fmt.Sprintf("new%d", i), []string{"", "00000000000000"}[i%2])
	}
	if got := b.round(t, p); len(got) != 0 {
		t.Errorf("%d before it is time", len(got))
	}
	at = at.Add(neverEvery)
	if got := b.round(t, p); len(got) != 9 {
		t.Fatalf("%d after a minute, want 9", len(got))
	}
	w.mock.Change(w.set, "ManufacturingOrder", "new4", map[string]any{"Material": "M2", "LastChangeDateTime": "20261126070000"})
	if got := b.round(t, p); len(got) != 1 || got[0].Key != "new4" {
		t.Errorf("%d after a change, want that of new4", len(got))
	}
	at = at.Add(2 * neverEvery)
	if got := b.round(t, p); len(got) != 0 {
		t.Errorf("%d are new though nothing has changed", len(got))
	}
	at = at.Add(2 * neverEvery)
	w.mock.SetFaults(erpmock.Fault{Kind: erpmock.Status, Status: 400, Method: "GET", Count: 1})
	w.mock.Change(w.set, "ManufacturingOrder", "1", map[string]any{"Material": "M3", "LastChangeDateTime": "20261126080000"})
	if got := b.round(t, p); len(got) != 1 || got[0].Key != "1" {
		t.Errorf("%d where it cannot be asked, want the change", len(got))
	}
	w.mock.SetFaults(erpmock.Fault{Kind: erpmock.Status, Status: 503, Method: "GET", Count: 2}) // of the $metadata, too
	at = at.Add(2 * time.Hour)
	if batch, next, err := p.Poll(t.Context(), b.cursor); err == nil || next != b.cursor || len(batch) != 0 {
		t.Errorf("while the ERP is away: %d, %v", len(batch), err)
	}
}

// TestAChangeThatIsCommittedLateIsReadWithinTheOverlap: its change time lies before what was read already, for it was written when its transaction
// began. One that is later than the overlap is not seen, whose length the configuration says.
func TestAChangeThatIsCommittedLateIsReadWithinTheOverlap(t *testing.T) {
	for overlap, want := range map[time.Duration][]string{0: {"late"}, 5 * time.Minute: {"late", "later"}, time.Second: nil} {
		w := unversioned(t, 0, edmx.Config{}, PollConfig{Watermark: "LastChangeDateTime", Overlap: overlap})
		w.make(t, "1", "20261126060000")
		p, b := w.link.Polls()[0], &inbox{seen: map[string]message.Incoming{}}
		if got := b.round(t, p); len(got) != 1 {
			t.Fatalf("%d at first", len(got))
		}
		w.make(t, "late", "20261126055830")  // 90 s, within the 2 m that are usual
		w.make(t, "later", "20261126055600") // 4 m
		var got []string
		for _, in := range append(b.round(t, p), b.round(t, p)...) {
			got = append(got, in.Key)
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("with an overlap of %s: got %q, want %q", overlap, got, want)
		}
	}
}
