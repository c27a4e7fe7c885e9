package erpmock_test

import (
	"strings"
	"testing"
	"time"

	"holdfast/adapters/erpmock"
)

// sampleJournal is a journal of two lanes: b1 was sent twice and took effect twice.
func sampleJournal() []erpmock.Entry {
	at := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	effect := func(seq int64, id, lane string, n int64) []erpmock.Effect {
		return []erpmock.Effect{{Seq: seq, Type: "confirmation", Number: "1", MessageID: id, Lane: lane, LaneNumber: n}}
	}
	return []erpmock.Entry{
		{Seq: 1, At: at, Operation: "post", MessageID: "a1", Lane: "A", LaneNumber: 1, Attempt: 1, Status: 201, Delivered: "full", Effects: effect(1, "a1", "A", 1), Body: `{"qty":"12.500","items":[{"m":"x"}]}`},
		{Seq: 2, At: at.Add(time.Second), Operation: "post", MessageID: "b1", Lane: "B", LaneNumber: 1, Attempt: 1, Delivered: "none", Effects: effect(2, "b1", "B", 1)},
		{Seq: 3, At: at.Add(3 * time.Second), Operation: "post", MessageID: "b1", Lane: "B", LaneNumber: 1, Attempt: 2, Status: 201, Delivered: "full", Effects: effect(3, "b1", "B", 1)},
		{Seq: 4, At: at.Add(4 * time.Second), Operation: "post", MessageID: "a3", Lane: "A", LaneNumber: 3, Attempt: 1, Status: 201, Delivered: "full", Effects: effect(4, "a3", "A", 3)},
	}
}

func TestExpectations(t *testing.T) {
	tests := []struct {
		name string
		yaml string
		want string // part of a failure; empty where it holds
	}{
		{"attempts", "operation: post, attempts: 4, effects: {min: 3}, delivered: {max: 3}", ""},
		{"too few attempts", "attempts: {min: 5}", "attempts: got 4, want at least 5"},
		{"each message", "attemptsByMessage: 1", "attempts of message b1: got 2, want 1"},
		{"statuses", "statuses: {201: 2}", "answers 201: got 3, want 2"},
		{"a doubled effect", "noDuplicateEffect: true", "message b1 took effect twice"},
		{"no doubled effect in lane A", "lane: A, noDuplicateEffect: true", ""},
		{"a gap in lane A", "laneOrder: true", "lane A: number 3 took effect after 1"},
		{"lane B in order", "lane: B, laneOrder: true", ""},
		{"order", "order: [a1, b1, a3]", ""},
		{"another order", "order: [b1, a1]", `got ["a1" "b1"]`},
		{"body", "body: {qty: '12.500', items: [{m: x}]}", ""},
		{"another body", "body: {qty: '12.5'}", "no request body has"},
		{"a gap between attempts", "minGap: 2s, maxGap: 2s", ""},
		{"too short a gap", "minGap: 3s", "2s between attempts 1 and 2"},
		{"a message", "messageId: zz, attempts: 0", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rep, err := erpmock.CheckExpectations([]byte("expect: [{"+tt.yaml+"}]"), sampleJournal())
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			if err := rep.WriteText(&text); err != nil {
				t.Fatal(err)
			}
			if rep.OK() != (tt.want == "") || !strings.Contains(text.String(), tt.want) {
				t.Errorf("got %s, want %q", text.String(), tt.want)
			}
		})
	}
}

func TestExpectationsAreReadStrictly(t *testing.T) {
	for _, text := range []string{"", "expect: []", "expect: [{atempts: 1}]", "expect: [{attempts: {mni: 1}}]", "expect: [{attempts: -1}]", "expect: [{minGap: 3}]", "expect: [{name: x, operation: post}]", "x: 1"} {
		if _, err := erpmock.CheckExpectations([]byte(text), nil); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestReportAsJUnit(t *testing.T) {
	rep, err := erpmock.CheckExpectations([]byte("expect: [{name: all, attempts: 4}, {name: once, noDuplicateEffect: true}]"), sampleJournal())
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := rep.WriteJUnit(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`<testsuite name="erp mock" tests="2" failures="1">`, `<testcase name="all" classname="erpmock"></testcase>`, `<failure message="message b1 took effect twice`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in\n%s", want, b.String())
		}
	}
	rep.Results, rep.Dropped = rep.Results[:1], 3
	if rep.OK() {
		t.Error("a journal that dropped entries proves nothing, yet the report is OK")
	}
}
