package rest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"holdfast/adapters/erpmock"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

func materialsPoll() PollConfig {
	return PollConfig{
		Name: "materials", Operation: "listMaterials", Params: map[string]string{"limit": "2"},
		Since: "changedAfter", Token: "/changeToken", Page: "cursor", NextPage: "/nextCursor", Items: "/items",
		Source: "urn:erp:plain", Kind: "erp.material", Mapping: "material-in", Key: "/number", Version: "/version", Time: "/changedAt",
	}
}

func material(n int) map[string]any {
	return map[string]any{"number": fmt.Sprintf("M-%d", n), "description": "x", "baseUnit": "PCE"}
}

// drain polls until nothing new comes and gives the IDs.
func drain(t *testing.T, p *Poll, cursor string) (ids []string, next string) {
	t.Helper()
	for range 20 {
		batch, next, err := p.Poll(t.Context(), cursor)
		if err != nil {
			t.Fatalf("Poll: %v", err)
		}
		for _, in := range batch {
			ids = append(ids, in.ID)
		}
		if len(batch) == 0 || next == cursor {
			return ids, next
		}
		cursor = next
	}
	t.Fatal("the poll does not come to an end")
	return nil, ""
}

func TestPollGivesEachStateOnce(t *testing.T) {
	m, address := erpmock.Start(t, nil, erpmock.Config{})
	if err := m.Seed("material", material(1), material(2), material(3), material(4), material(5)); err != nil {
		t.Fatal(err)
	}
	c := plainERP(address)
	c.Timeout, c.Polls = 10*time.Second, []PollConfig{materialsPoll()}
	p := open(t, c).Polls()[0]

	got, cursor := drain(t, p, "")
	if len(got) != 5 || !strings.HasPrefix(got[0], "erp.material/M-1@") {
		t.Fatalf("first round: %q", got)
	}
	if again, _ := drain(t, p, cursor); len(again) != 0 {
		t.Errorf("nothing has changed, but got %q", again)
	}
	if err := m.Seed("material", material(3)); err != nil {
		t.Fatal(err)
	}
	changed, _ := drain(t, p, cursor)
	if len(changed) != 1 || !strings.HasPrefix(changed[0], "erp.material/M-3@") || changed[0] == got[2] {
		t.Errorf("after a change: %q, before it was %q", changed, got[2])
	}
	if twice, _ := drain(t, p, cursor); !cmp.Equal(twice, changed) {
		t.Errorf("read twice: %q and %q", changed, twice)
	}
}

const pollDocument = `openapi: 3.1.0
info: {title: ERP, version: "1"}
paths:
  /things:
    get:
      operationId: things
      parameters: [{name: since, in: query, schema: {type: string}}, {name: page, in: query, schema: {type: string}}]
      responses:
        "200":
          description: things
          content:
            application/json:
              schema:
                type: object
                required: [things]
                properties:
                  things: {type: array, items: {type: object, required: [id], properties: {id: {type: [integer, string]}, name: {type: string}}}}
                  token: {type: string}
`

func thingsPoll() PollConfig {
	return PollConfig{
		Name: "things", Operation: "things", Since: "since", Token: "/token", Items: "/things", Source: "urn:erp", Kind: "thing",
		Mapping: "thing-in", Key: "/id", Version: "/v", Time: "/at", Digest: "/digest", Lane: "/lane", LaneNumber: "/n",
	}
}

func TestWhatAPollMakesOfAnItem(t *testing.T) {
	const good = `{"id":9007199254740993,"v":12.500,"at":"2026-11-24T06:00:00+01:00","digest":"ab","lane":"l1","n":7}`
	tests := []struct {
		name   string
		item   string
		want   message.Incoming
		warned bool
	}{
		{"a whole one, byte for byte", good, message.Incoming{
			Message: message.Message{
				ID: "thing/9007199254740993@12.500", Source: "urn:erp", Kind: "thing", Version: 1, Key: "9007199254740993",
				Time: time.Date(2026, 11, 24, 6, 0, 0, 0, time.FixedZone("", 3600)), Body: []byte(good),
				Place: message.Place{Lane: "l1", Number: 7, Role: message.Event},
			},
			Claimed: "ab", ObjectVersion: "12.500", Mapping: "thing-in",
		}, false},
		{"without a version the content tells", `{"id":"a"}`, message.Incoming{
			Message: message.Message{
				ID: "thing/a@CONTENT", Source: "urn:erp", Kind: "thing", Version: 1, Key: "a", Time: time.Unix(0, 0), Body: []byte(`{"id":"a"}`),
				Place: message.Place{Role: message.Event},
			}, Mapping: "thing-in", Undated: true,
		}, false},
		{"one that breaks the contract holds up nobody", `{"name":5}`, message.Incoming{
			Message: message.Message{
				ID: "thing/CONTENT@CONTENT", Source: "urn:erp", Kind: "thing", Version: 1, Key: "CONTENT", Time: time.Unix(0, 0),
				Body: []byte(`{"name":5}`), Place: message.Place{Role: message.Event},
			}, Mapping: "thing-in", Undated: true,
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			c := patient(asked(t, 200, "application/json", `{"things":[ `+tt.item+` ],"token":"1"}`), specFile(t, pollDocument))
			c.Polls = []PollConfig{thingsPoll()}
			l := open(t, c)
			l.log, l.now = slog.New(slog.NewTextHandler(&log, nil)), func() time.Time { return time.Unix(0, 0) }
			batch, next, err := l.Polls()[0].Poll(t.Context(), "")
			if next, _, _ = strings.Cut(next, "#"); err != nil || len(batch) != 1 || next != "since=1" {
				t.Fatalf("got %v, %q, %v", batch, next, err)
			}
			got := batch[0]
			sum := fmt.Sprintf("sha256:%x", sha256.Sum256(got.Body))
			got.ID, got.Key = strings.ReplaceAll(got.ID, sum, "CONTENT"), strings.ReplaceAll(got.Key, sum, "CONTENT")
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreUnexported(got.Message), cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); diff != "" {
				t.Errorf("incoming (-want +got):\n%s", diff)
			}
			if warned := log.Len() > 0; warned != tt.warned {
				t.Errorf("warned: %t, want %t", warned, tt.warned)
			}
		})
	}
}

func TestALaneNumberIsReadOrRejected(t *testing.T) {
	tests := []struct {
		name string
		item string
		want int64
	}{
		{"a number", `{"id":"a","lane":"l1","n":7}`, 7},
		{"a number as text", `{"id":"a","lane":"l1","n":"7"}`, 7},
		{"none", `{"id":"a","lane":"l1"}`, 0},
		{"null", `{"id":"a","lane":"l1","n":null}`, 0},
		{"no number", `{"id":"a","lane":"l1","n":"seven"}`, unreadable},
		{"a part of one", `{"id":"a","lane":"l1","n":7.5}`, unreadable},
		{"below one", `{"id":"a","lane":"l1","n":0}`, unreadable},
		{"too large", `{"id":"a","lane":"l1","n":9223372036854775808}`, unreadable},
		{"an object", `{"id":"a","lane":"l1","n":{}}`, unreadable},
		{"an empty text", `{"id":"a","lane":"l1","n":""}`, unreadable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := patient(asked(t, 200, "application/json", `{"things":[`+tt.item+`],"token":"1"}`), specFile(t, pollDocument))
			c.Polls = []PollConfig{thingsPoll()}
			batch, _, err := open(t, c).Polls()[0].Poll(t.Context(), "")
			if err != nil || len(batch) != 1 {
				t.Fatalf("got %v, %v", batch, err)
			}
			if got := batch[0].Number; got != tt.want || (batch[0].Lane != "") != (tt.want != 0) {
				t.Errorf("number %d of lane %q, want %d", got, batch[0].Lane, tt.want)
			}
		})
	}
}

func TestAPollThatCannotGoOnStaysWhereItIs(t *testing.T) {
	tests := []struct {
		name   string
		status int
		media  string
		body   string
	}{
		{"no list", 200, "application/json", `{"token":"1"}`},
		{"no token", 200, "application/json", `{"things":[]}`},
		{"a token of another type", 200, "application/json", `{"things":[],"token":1}`},
		{"a page to sign in", 200, "text/html", `<html>`},
		{"text that breaks off", 200, "application/json", `{"things":[`},
		{"a member twice", 200, "application/json", `{"things":[],"things":[],"token":"1"}`},
		{"an error", 500, "text/plain", `no`},
		{"not signed in", 401, "text/plain", `no`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := patient(asked(t, tt.status, tt.media, tt.body), specFile(t, pollDocument))
			c.Polls = []PollConfig{thingsPoll()}
			batch, next, err := open(t, c).Polls()[0].Poll(t.Context(), "since=7")
			if err == nil || len(batch) != 0 || next != "since=7" {
				t.Errorf("got %v, %q, %v; want an error and the old place", batch, next, err)
			}
			if problem.KindOf(err) == problem.Internal {
				t.Errorf("a person cannot read this: %v", err)
			}
		})
	}
}
