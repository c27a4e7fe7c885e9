package rest

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"holdfast/adapters/wire"
)

// FuzzPollPage reads whatever an ERP gives as a page of a poll: either each item of it is a message under an ID of its own kind, or the poll stays
// where it is.
func FuzzPollPage(f *testing.F) {
	c := patient("http://127.0.0.1:1", specFile(f, pollDocument))
	c.Polls = []PollConfig{thingsPoll()}
	l, err := Open(c, noSecret, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(l.Close)
	p := l.Polls()[0]
	f.Add([]byte(`{"things":[{"id":"a","v":1,"at":"2026-11-24T06:00:00Z","digest":"ab","lane":"l","n":7},{"name":5}],"token":"2"}`))
	f.Add([]byte(`{"things":{},"token":1}`))
	f.Add([]byte(`{"things":[{"n":-1}],"things":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		from := place{since: "1", seen: sights{}}
		batch, next, err := p.take("poll", wire.Answer{Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: body}, from)
		if err != nil && (next.String() != from.String() || len(batch) > 0) {
			t.Errorf("%q is refused (%v), and the poll goes on at %s with %d messages", body, err, next, len(batch))
		}
		for _, in := range batch {
			if !strings.HasPrefix(in.ID, "thing/") || in.Source != "urn:erp" || in.Number < unreadable || len(in.Body) == 0 {
				t.Errorf("%q gives %+v", body, in)
			}
		}
	})
}
