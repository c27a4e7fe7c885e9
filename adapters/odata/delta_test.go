package odata

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/adapters/erpmock/edmx"
	"holdfast/internal/message"
)

// byDelta polls the set of a dialect by delta links.
func (d dialect) byDelta(c *Config) {
	c.Polls = []PollConfig{{Name: "p", Set: "conf/" + d.set, Delta: true, Source: "urn:erp", Kind: "k", Mapping: "in", Key: "OrderID"}}
}

// TestAPollByDeltaLinksOfAServiceThatHasNone: the doctor is told, and meanwhile everything is read, at first and then once an hour, whoever goes on with it. Once
// the service gives a link it is followed.
func TestAPollByDeltaLinksOfAServiceThatHasNone(t *testing.T) {
	for _, d := range dialects()[:2] {
		t.Run(d.name, func(t *testing.T) {
			gives, reads := false, 0
			m, err := edmx.New(d.metadata(t), edmx.Config{Root: d.root, Delta: true})
			if err != nil {
				t.Fatal(err)
			}
			w := d.behind(t, func(_ *edmx.Mock, rw http.ResponseWriter, r *http.Request) bool {
				if strings.HasSuffix(r.URL.Path, d.set) {
					reads++
				}
				if gives {
					m.Handler().ServeHTTP(rw, r)
				}
				return gives
			}, d.byDelta)
			change := func(text string) {
				t.Helper()
				for _, mock := range []*edmx.Mock{w.mock, m} {
					mock.Change(d.set, "OrderID", "7", map[string]any{"ConfirmationText": text})
				}
			}
			for _, mock := range []*edmx.Mock{w.mock, m} {
				if err := mock.Seed(d.set, map[string]any{"ConfirmationGroup": "1", "ConfirmationCount": "2", "OrderID": "7"}); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.link.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "polls[0].delta: the service gives no delta links for "+d.set) {
				t.Errorf("the doctor is told %v", err)
			}
			b, at := &inbox{seen: map[string]message.Incoming{}}, time.Now()
			round := func(after time.Duration, wantNew, wantReads int) {
				t.Helper()
				at, reads = at.Add(after), 0
				c := w.link.cfg
				c.AskAfter = 0
				w.link = open(t, c) // as after a restart, or by another node
				w.link.now = func() time.Time { return at }
				if got := b.round(t, w.link.Polls()[0]); len(got) != wantNew || reads != wantReads {
					t.Errorf("after %s more: %d are new and %d were read, want %d and %d", after, len(got), reads, wantNew, wantReads)
				}
			}
			round(0, 1, 1)
			change("changed")
			round(time.Minute, 0, 0)
			round(time.Hour, 1, 1)
			gives = true
			if err := w.link.Check(t.Context()); err != nil {
				t.Errorf("now that it gives links, the doctor is told %v", err)
			}
			change("again")
			round(time.Hour, 1, 2) // the second by the link
			change("once more")
			round(time.Second, 1, 2) // by the link, and by the next one
		})
	}
}

// TestADeltaLinkIsAskedForOnce: V4 gives one to who prefers it, with the first request of a reading and with no other.
func TestADeltaLinkIsAskedForOnce(t *testing.T) {
	d := dialects()[1]
	m, err := edmx.New(d.metadata(t), edmx.Config{Root: d.root, Delta: true, Page: 2})
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	w := d.behind(t, func(_ *edmx.Mock, rw http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, d.set) {
			what := slices.Sorted(maps.Keys(r.URL.Query()))
			what = slices.DeleteFunc(what, func(name string) bool { return strings.HasPrefix(name, "sap-") })
			asked = append(asked, strings.TrimSpace(strings.Join(what, ",")+" "+r.Header.Get("Prefer")))
		}
		m.Handler().ServeHTTP(rw, r)
		return true
	}, d.byDelta)
	for _, group := range []string{"1", "2", "3"} {
		if err := m.Seed(d.set, map[string]any{"ConfirmationGroup": group, "ConfirmationCount": "1", "OrderID": group}); err != nil {
			t.Fatal(err)
		}
	}
	b := &inbox{seen: map[string]message.Incoming{}}
	if got := b.round(t, w.link.Polls()[0]); len(got) != 3 {
		t.Errorf("%d are new, want 3", len(got))
	}
	if want := []string{"odata.track-changes", "$skiptoken,tracked", "$deltatoken"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

// TestAServiceThatSaysItHasNoDeltaLinksIsNotRead to find that out.
func TestAServiceThatSaysItHasNoDeltaLinksIsNotRead(t *testing.T) {
	d := dialects()[1]
	says := []byte(`<Annotation Term="Org.OData.Capabilities.V1.ChangeTracking"><Record><PropertyValue Property="Supported" Bool="false"/></Record></Annotation></EntitySet>`)
	text := bytes.Replace(d.metadata(t), []byte(`</EntitySet>`), says, 1)
	reads := 0
	w := d.behind(t, func(_ *edmx.Mock, rw http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "$metadata") {
			_, _ = rw.Write(text) // the client has left if it fails
			return true
		}
		reads++
		return false
	}, d.byDelta)
	if err := w.link.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "no delta links") || reads != 0 {
		t.Errorf("got %v after %d reads", err, reads)
	}
}
