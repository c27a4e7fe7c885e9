package main

import (
	"strings"
	"testing"
)

// TestStatusNamesACommandForWhatItCounts: what a person may have to act on is not a figure alone.
func TestStatusNamesACommandForWhatItCounts(t *testing.T) {
	s := status{Served: true, Inbox: inboxStatus{Rejected: 1, Gaps: 2}}
	var got strings.Builder
	if err := s.print(&got); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\n1 message was not believed: holdfast quarantine list --rejected\n",
		"\n2 inbound lanes wait for a number that has not come: holdfast quarantine lanes\n",
	} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("got %s\nwant it to say %q", got.String(), want)
		}
	}
}
