package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestAKeyThatBeginsWithAHyphenIsNoFlag: one ID in 64 does.
func TestAKeyThatBeginsWithAHyphenIsNoFlag(t *testing.T) {
	const key = "-ZAHJKWq28TizBEWb4ocUj0NwLkHETJU0Y9LM7KqXIE"
	for _, tt := range []struct{ args, want []string }{
		{[]string{"keys", "revoke", key, "--reason", "stolen"}, []string{"keys", "revoke", "--reason", "stolen", "--", key}},
		{[]string{"keys", "rotate", "--reason", "a drill", key}, []string{"keys", "rotate", "--reason", "a drill", "--", key}},
		{[]string{"keys", "rotate", "--reason", key}, []string{"keys", "rotate", "--reason", key}},
		{[]string{"keys", "revoke", "--reason", "stolen", "--", key}, []string{"keys", "revoke", "--reason", "stolen", "--", key}},
		{[]string{"msg", "show", key}, []string{"msg", "show", key}},
	} {
		if got := keysLast(tt.args); !slices.Equal(got, tt.want) {
			t.Errorf("%q is read as %q, want %q", tt.args, got, tt.want)
		}
	}
	config := madePlant(t)
	p, _ := started(t, config, time.Now)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if status := run(t.Context(), []string{"keys", "revoke", key, "--reason", "stolen", "--config", config}, &out, &out); status != 3 || !strings.Contains(out.String(), "find key "+key) {
		t.Errorf("keys revoke ends with %d: %s", status, &out)
	}
}

// TestALostCAIsNotMadeAnew: a plant that has keys or has sealed needs its own.
func TestALostCAIsNotMadeAnew(t *testing.T) {
	config := madePlant(t)
	ca := filepath.Join(filepath.Dir(config), "keys", "ca.age")
	if err := os.Rename(ca, ca+".aside"); err != nil {
		t.Fatal(err)
	}
	if status, told := typed(t, config, "", "keys", "init"); status != 0 {
		t.Fatalf("without a database: %s", told)
	}
	p, _ := started(t, config, time.Now)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(ca); err != nil {
		t.Fatal(err)
	}
	status, told := typed(t, config, "", "keys", "init")
	if _, err := os.Stat(ca); status != 1 || !strings.Contains(told, "put a copy of ca.age back") || err == nil {
		t.Errorf("with one ends with %d: %s", status, told)
	}
}

// TestAKeyThatIsToBeReplacedStillHasItsTime: its node signs with it until the keyring gives another.
func TestAKeyThatIsToBeReplacedStillHasItsTime(t *testing.T) {
	config := madePlant(t)
	p, _ := started(t, config, time.Now)
	key := string(p.ring.State().Key)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if status := run(t.Context(), []string{"keys", "rotate", key, "--reason", "a drill", "--config", config}, &out, &out); status != 0 {
		t.Fatal(out.String())
	}
	for _, args := range [][]string{{"doctor"}, {"status"}} {
		if _, told := typed(t, config, "", args...); !strings.Contains(told, "can sign without its keyring for another 6d23h") || strings.Contains(told, "no node has a key yet") {
			t.Errorf("%s says %s", args, told)
		}
	}
	if _, told := typed(t, config, "", "keys", "status"); !strings.Contains(told, "167h") && !strings.Contains(told, "168h") {
		t.Errorf("keys status says %s", told)
	}
}
