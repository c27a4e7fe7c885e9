package erpmock_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/adapters/erpmock"
)

// seen is what the journal and the state say after one request, and what the client met.
type seen struct {
	Effects   int
	Documents int
	Status    int
	Delivered erpmock.Delivery
	Client    string // a status, or an error's family
}

func outcome(r reply) string {
	switch {
	case r.err == nil:
		return strconv.Itoa(r.status)
	case r.status != 0:
		return strconv.Itoa(r.status) + " cut"
	}
	return "no answer"
}

func TestEachFaultOnEachSideOfTheEffect(t *testing.T) {
	const full, part, none = erpmock.DeliveredFull, erpmock.DeliveredPart, erpmock.DeliveredNone
	tests := []struct {
		fault  erpmock.Fault
		before seen
		after  seen
	}{
		{erpmock.Fault{Kind: erpmock.Latency, Delay: erpmock.Duration(time.Millisecond)}, seen{1, 1, 201, full, "201"}, seen{1, 1, 201, full, "201"}},
		{erpmock.Fault{Kind: erpmock.Status, Status: 500}, seen{0, 0, 500, none, "500"}, seen{1, 1, 500, none, "500"}},
		{erpmock.Fault{Kind: erpmock.Quota, Rate: 0.001}, seen{0, 0, 429, none, "429"}, seen{1, 1, 429, none, "429"}},
		{erpmock.Fault{Kind: erpmock.Reset}, seen{0, 0, 0, none, "no answer"}, seen{1, 1, 0, none, "no answer"}},
		{erpmock.Fault{Kind: erpmock.Lost}, seen{0, 0, 0, none, "no answer"}, seen{1, 1, 0, none, "no answer"}},
		{erpmock.Fault{Kind: erpmock.Half}, seen{0, 0, 503, part, "503 cut"}, seen{1, 1, 201, part, "201 cut"}},
		{erpmock.Fault{Kind: erpmock.Headers}, seen{0, 0, 503, part, "503 cut"}, seen{1, 1, 201, part, "201 cut"}},
		{erpmock.Fault{Kind: erpmock.Garbage}, seen{0, 0, 503, none, "503"}, seen{1, 1, 201, none, "201"}},
		{erpmock.Fault{Kind: erpmock.Malformed}, seen{0, 0, 0, none, "no answer"}, seen{1, 1, 0, none, "no answer"}},
		{erpmock.Fault{Kind: erpmock.Hang, Delay: erpmock.Duration(time.Millisecond)}, seen{0, 0, 0, none, "no answer"}, seen{1, 1, 0, none, "no answer"}},
	}
	for _, tt := range tests {
		for phase, want := range map[erpmock.Phase]seen{erpmock.Before: tt.before, erpmock.After: tt.after} {
			t.Run(fmt.Sprintf("%s %s", tt.fault.Kind, phase), func(t *testing.T) {
				m, url := start(t, erpmock.Config{})
				c := client(t)
				f := tt.fault
				f.Phase, f.Operation = phase, "createConfirmation"
				if err := m.SetFaults(f); err != nil {
					t.Fatal(err)
				}
				if f.Kind == erpmock.Quota { // the first request has a token
					send(t, c, "POST", url+"/confirmations", strings.ReplaceAll(aConf, "c1", "c0"))
				}
				r := send(t, c, "POST", url+"/confirmations", aConf)

				var mine []erpmock.Entry
				for _, e := range m.Journal() {
					if e.MessageID == "c1" {
						mine = append(mine, e)
					}
				}
				if len(mine) != 1 {
					t.Fatalf("%d attempts in the journal, want 1", len(mine))
				}
				e := mine[0]
				got := seen{len(e.Effects), countOf(m, "c1"), e.Status, e.Delivered, outcome(r)}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if e.Fault != f.Kind || e.Phase != phase || e.Open || e.Bytes != int64(len(aConf)) || e.Body != aConf {
					t.Errorf("entry %+v", e)
				}
			})
		}
	}
}

func countOf(m *erpmock.Mock, message string) int {
	n := 0
	for _, d := range m.Documents("confirmation") {
		if strings.Contains(string(d), `"messageId":"`+message+`"`) {
			n++
		}
	}
	return n
}

func TestTransportThatSendsAgainByItselfShowsAsTwoAttempts(t *testing.T) {
	m, url := start(t, erpmock.Config{})
	c := client(t)
	send(t, c, "GET", url+"/production-orders", "") // so that the connection is a used one
	if _, err := m.AddFault(erpmock.Fault{Kind: erpmock.Lost, Operation: "createConfirmation", Count: 1}); err != nil {
		t.Fatal(err)
	}
	r := send(t, c, "POST", url+"/confirmations", aConf, "Idempotency-Key", "k1")
	if r.status != 201 {
		t.Fatalf("the client did not send again: %v", r.err)
	}
	effects := 0
	attempts := []int{}
	for _, e := range m.Journal() {
		if e.Operation == "createConfirmation" {
			attempts = append(attempts, e.Attempt)
			effects += len(e.Effects)
		}
	}
	if diff := cmp.Diff([]int{1, 2}, attempts); diff != "" || effects != 2 {
		t.Errorf("one Do: %d effects, want 2; attempts (-want +got):\n%s", effects, diff)
	}
	rep, err := erpmock.CheckExpectations([]byte("expect: [{noDuplicateEffect: true}]"), m.Journal())
	if err != nil || rep.OK() {
		t.Errorf("the doubled effect is not reported: %+v %v", rep, err)
	}
}

func TestFaultsChooseTheirRequests(t *testing.T) {
	tests := []struct {
		name  string
		fault erpmock.Fault
		want  string // of five confirmations: F struck, . passed
	}{
		{"skip and count", erpmock.Fault{Skip: 1, Count: 2}, ".FF.."},
		{"a message", erpmock.Fault{MessageID: "c3"}, "...F."},
		{"a lane", erpmock.Fault{Lane: "odd"}, ".F.F."},
		{"another operation", erpmock.Fault{Operation: "createBatch"}, "....."},
		{"a key", erpmock.Fault{Key: "k4"}, "....F"},
		{"a time window", erpmock.Fault{From: erpmock.Duration(2 * time.Second), For: erpmock.Duration(2 * time.Second)}, "..FF."},
		{"a probability with its seed", erpmock.Fault{Probability: 0.5}, "FF.FF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			frozen := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
			m, url := start(t, erpmock.Config{Seed: 4, Now: func() time.Time { return frozen }})
			f := tt.fault
			f.Kind, f.Status = erpmock.Status, 503
			if err := m.SetFaults(f); err != nil {
				t.Fatal(err)
			}
			c, got := client(t), ""
			for i := range 5 {
				lane := []string{"even", "odd"}[i%2]
				body := strings.NewReplacer("c1", "c"+strconv.Itoa(i), "L1", lane).Replace(aConf)
				r := send(t, c, "POST", url+"/confirmations", body, "Idempotency-Key", "k"+strconv.Itoa(i))
				got += map[int]string{201: ".", 503: "F"}[r.status]
				m.Advance(time.Second)
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestQuotaIsARealOne(t *testing.T) {
	frozen := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	m, url := start(t, erpmock.Config{Now: func() time.Time { return frozen }, Faults: []erpmock.Fault{{Kind: erpmock.Quota, Phase: erpmock.Before, Rate: 0.5, Burst: 2}}})
	c := client(t)
	got := []string{}
	for range 3 {
		r := send(t, c, "GET", url+"/materials", "")
		got = append(got, fmt.Sprint(r.status, " ", r.header.Get("Retry-After")))
	}
	m.Advance(2 * time.Second)
	for range 2 {
		r := send(t, c, "GET", url+"/materials", "")
		got = append(got, fmt.Sprint(r.status, " ", r.header.Get("Retry-After")))
	}
	if diff := cmp.Diff([]string{"200 ", "200 ", "429 2", "200 ", "429 2"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDownRefusesConnectionsAndComesBackOnTheSameAddress(t *testing.T) {
	m, url := start(t, erpmock.Config{})
	c := client(t)
	send(t, c, "GET", url+"/materials", "")
	m.Down(0)
	until(t, "a refused connection", func() bool {
		r := send(t, c, "GET", url+"/materials", "")
		return r.err != nil && strings.Contains(r.err.Error(), "refused")
	})
	before := len(m.Journal())
	send(t, c, "POST", url+"/confirmations", aConf)
	if got := len(m.Journal()); got != before {
		t.Errorf("a machine that is off kept a journal: %d entries, want %d", got, before)
	}
	m.Up()
	until(t, "an answer again", func() bool { return send(t, c, "GET", url+"/materials", "").status == http.StatusOK })
}

// until repeats what depends on a listener that is being closed or opened.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
		if ok() {
			return
		}
	}
	t.Fatalf("no %s within two minutes", what)
}

func TestScheduledOutage(t *testing.T) {
	frozen := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	s, err := erpmock.ParseSchedule([]byte("seed: 7\nfaults:\n  - {kind: down, from: 10s, for: 5s}\n  - {kind: lost, operation: createConfirmation, count: 1}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Seed != 7 || s.Faults[1].Phase != erpmock.After {
		t.Errorf("schedule %+v", s)
	}
	m, _ := start(t, erpmock.Config{Now: func() time.Time { return frozen }, Faults: s.Faults})
	got := []bool{m.IsDown()}
	m.Advance(10 * time.Second)
	got = append(got, m.IsDown())
	m.Advance(5 * time.Second)
	got = append(got, m.IsDown())
	if diff := cmp.Diff([]bool{false, true, false}, got); diff != "" {
		t.Errorf("down (-want +got):\n%s", diff)
	}
}

func TestHeaderFault(t *testing.T) {
	m, url := start(t, erpmock.Config{})
	c := client(t)
	r := send(t, c, "POST", url+"/confirmations", aConf, "X-Mock-Fault", "status; status=502; phase=after; retryAfter=1500ms")
	if r.status != 502 || r.header.Get("Retry-After") != "2" || countOf(m, "c1") != 1 {
		t.Errorf("got %d, Retry-After %q, %d documents", r.status, r.header.Get("Retry-After"), countOf(m, "c1"))
	}
	if r := send(t, c, "GET", url+"/materials", "", "X-Mock-Fault", "tea; pot=1"); r.status != 400 {
		t.Errorf("an unknown fault: %d", r.status)
	}
}

func TestScheduleThatMakesNoSenseIsRefused(t *testing.T) {
	for _, text := range []string{
		"faults: [{kind: tea}]", "faults: [{kind: reset, phase: during}]", "faults: [{kind: status, status: 99}]",
		"faults: [{kind: quota}]", "faults: [{kind: latency}]", "faults: [{kind: down}]", "faults: [{kind: reset, cuont: 1}]",
		"faults: [{kind: lost, probability: 1.5}]", "faults: [{kind: lost, delay: -1s}]", "faults: [{kind: hang, delay: soon}]",
	} {
		if _, err := erpmock.ParseSchedule([]byte(text)); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
}

func TestHangEndsWithTheClient(t *testing.T) {
	m, url := start(t, erpmock.Config{})
	if err := m.SetFaults(erpmock.Fault{Kind: erpmock.Hang, Phase: erpmock.After}); err != nil {
		t.Fatal(err)
	}
	c := client(t)
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	ended := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, "POST", url+"/confirmations", strings.NewReader(aConf))
		if err == nil {
			req.Header.Set("Content-Type", "application/json")
			_, err = c.Do(req) //nolint:bodyclose // there is no answer
		}
		ended <- err
	}()
	until(t, "request that hangs after its effect", func() bool {
		j := m.Journal()
		return len(j) == 1 && j[0].Open && len(j[0].Effects) == 1
	})
	giveUp()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want that the client gave up", err)
	}
	until(t, "end of the hanging request", func() bool { return !m.Journal()[0].Open })
	if e := m.Journal()[0]; e.Delivered != erpmock.DeliveredNone || len(e.Effects) != 1 {
		t.Errorf("entry %+v", e)
	}
}
