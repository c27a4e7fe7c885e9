package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/problem"
)

// FuzzRemoteAnswer: a command that a server runs has ended only where the server has said with which status; an answer that broke off is told as that.
func FuzzRemoteAnswer(f *testing.F) {
	f.Add("{}\n{\"out\":\"YQ==\"}\n{\"exit\":0}\n")
	f.Add("{\"exit\":1}{\"exit\":0}")
	f.Add("{\"out\":1}\n{\"exit\":0}\n")
	f.Add("{\"err\":\"YQ==\"}\n")
	f.Add("\n")
	f.Fuzz(func(t *testing.T, answer string) {
		var out, told bytes.Buffer
		h := hearer{stdout: &out, stderr: &told, exit: -1}
		if err := h.hear(strings.NewReader(answer)); err != nil {
			if problem.KindOf(err) != problem.Unavailable {
				t.Errorf("got %v, want a problem of kind %s", err, problem.Unavailable)
			}
			return
		}
		if !slices.ContainsFunc(strings.Split(answer, "\n"), func(line string) bool {
			var said remoteSaid
			return json.Unmarshal([]byte(line), &said) == nil && said.Exit != nil && *said.Exit == h.exit
		}) {
			t.Errorf("%q is said to have ended with status %d", answer, h.exit)
		}
	})
}
