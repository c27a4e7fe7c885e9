package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhatIsRepairedBesideAServerIsProven: of two messages that a running plant owes, one is corrected over and over, the other discarded and taken
// back, by commands on the server (--server) and on the database beside it (--config) in turn. The lanes are whole for both.
func TestWhatIsRepairedBesideAServerIsProven(t *testing.T) {
	p := openFarWith(t, "local")
	p.ca.pair(filepath.Join(p.dir, "ops.crt"), filepath.Join(p.dir, "ops.key"), "spiffe://company/ops")
	way := []string{"--cert", filepath.Join(p.dir, "ops.crt"), "--key", filepath.Join(p.dir, "ops.key")}
	there := func(args ...string) string { out, _ := p.there(0, way, args...); return out }
	here := func(args ...string) string { return p.command(0, args...) }

	type shown struct{ ID, Lane, Digest, Order string }
	var list []shown
	out := there("msg", "list", "--owed", "--oldest-first", "--kind", "order.created", "--json")
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 2 || list[0].Order == "" {
		t.Fatalf("owed are %s, %v; want two orders by their numbers", out, err)
	}
	there("link", "pause", "erp", "--reason", "so that nothing is being sent at the moment of a correction")
	body := filepath.Join(t.TempDir(), "body.json")
	there("msg", "show", list[0].ID, "--body", body)
	text, err := os.ReadFile(body)
	if err != nil {
		t.Fatal(err)
	}
	was := list[0].Digest
	for i, by := range []func(...string) string{there, here, there} {
		next := strings.Replace(string(text), `"12"`, []string{`"24"`, `"36"`, `"48"`}[i], 1)
		if err := os.WriteFile(body, []byte(next), 0o600); err != nil {
			t.Fatal(err)
		}
		by("msg", "amend", list[0].ID, "--if", was, "--body", body, "--reason", "counted again")
		var now shown
		if err := json.Unmarshal([]byte(here("msg", "show", list[0].ID, "--json")), &now); err != nil || now.Digest == was {
			t.Fatalf("correction %d: its digest is %q, %v; want another one than before", i+1, now.Digest, err)
		}
		was = now.Digest
	}
	there("msg", "discard", list[1].ID, "--cause", "test", "--reason", "a trial")
	here("msg", "undiscard", list[1].ID, "--reason", "it was none")

	for name, by := range map[string]func(...string) string{"there": there, "here": here} {
		for _, m := range list {
			contains(t, by("msg", "prove", "--link", "erp", "--lane", m.Lane, "-o", "json"), `"state": "whole"`)
		}
		if all := by("msg", "prove", "--all", "-o", "json"); strings.Contains(all, `"broken"`) {
			t.Errorf("%s: %s", name, all)
		}
	}
	contains(t, there("msg", "show", list[0].ID), `"48"`)
	contains(t, here("status"), "erp", "paused")
}
