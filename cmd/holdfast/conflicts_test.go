package main

import (
	"bytes"
	"strings"
	"testing"

	"holdfast/internal/mes"
)

// TestStatusNamesNumbersThatDoNotFit: a person finds the order, and where its notes are.
func TestStatusNamesNumbersThatDoNotFit(t *testing.T) {
	s := status{Plant: plantStatus{Conflicts: []numberConflict{{
		Conflicted: mes.Conflicted{Sort: "order", ID: "o-1", Number: "PL1000-000007"}, URL: "http://127.0.0.1:8420/v1/orders/o-1",
	}}}}
	var out bytes.Buffer
	if err := s.print(&out); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(strings.Fields(out.String()), " ") // wherever the lines are broken
	want := "order PL1000-000007: the ERP has sent a number that does not fit: its notes say why and what to do: curl http://127.0.0.1:8420/v1/orders/o-1 – then: holdfast conflict dismiss order o-1 --reason …"
	if !strings.Contains(got, want) {
		t.Errorf("got %q, want %q in it", got, want)
	}
}
