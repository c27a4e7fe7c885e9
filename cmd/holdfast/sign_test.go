package main

import (
	"bytes"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
)

// signingPlant is a plant whose only account of the machine belongs to people, and where links are paused by who signs it.
func signingPlant(t *testing.T, people string) (config string) {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config = filepath.Join(dir, "holdfast.yaml")
	var out bytes.Buffer
	if status := run(t.Context(), []string{"init", dir, "--keys", "none"}, &out, &out); status != 0 {
		t.Fatal(out.String())
	}
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	text = fmt.Appendf(text, "\naccess:\n  roles:\n    all: [{may: [\"*\"]}]\n  shell: {%q: [all]}\n  sign: [link.pause]\n%s", me.Username, strings.ReplaceAll(people, "ME", me.Username))
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if status, told := typed(t, config, "", "migrate", "up"); status != 0 {
		t.Fatal(told)
	}
	return config
}

// typed runs a command, with what is typed on standard input.
func typed(t *testing.T, config, in string, args ...string) (status int, told string) {
	t.Helper()
	var out bytes.Buffer
	root := rootCommand()
	root.SetArgs(append(args, "--config", config))
	root.SetIn(strings.NewReader(in))
	root.SetOut(&out)
	root.SetErr(&out)
	if err := root.ExecuteContext(t.Context()); err != nil {
		printError(&out, err)
		status = exitStatus(err)
	}
	return status, out.String()
}

// TestACommandIsSignedByWhoGivesIt: what must be signed is done by a command only with the password and a new code of the account's person, one
// act each, and the entry has the signature.
func TestACommandIsSignedByWhoGivesIt(t *testing.T) {
	config := signingPlant(t, "  people: {ME: anna}\n")
	status, told := typed(t, config, "", "access", "user", "add", "anna", "--role", "all", "--reason", "she signs")
	if status != 0 {
		t.Fatal(told)
	}
	password, codes := toldOf(t, told, "password: "), strings.Fields(toldOf(t, told, "recovery codes, each good once: "))
	pause := []string{"link", "pause", "erp", "--reason", "the ERP is maintained"}
	signed := append(slices.Clone(pause), "--meaning", "approval")
	for _, tt := range []struct {
		name, in string
		args     []string
		status   int
		says     string
	}{
		{"without a meaning", password + "\n" + codes[0] + "\n", pause, 2, "--meaning"},
		{"nothing typed", "", signed, 4, "there is no password"},
		{"a wrong password", "not it\n" + codes[0] + "\n", signed, 4, "password or code is not right"},
		{"a wrong code", password + "\n000000\n", signed, 4, "password or code is not right"},
		{"signed", password + "\n" + codes[0] + "\n", signed, 0, "user:anna signs link.pause link/erp as approval: the ERP is maintained"},
		{"the same code once more", password + "\n" + codes[0] + "\n", signed, 4, "password or code is not right"},
		{"what need not be signed", "", []string{"link", "resume", "erp", "--reason", "it is done"}, 0, ""},
	} {
		status, told := typed(t, config, tt.in, tt.args...)
		if status != tt.status || !strings.Contains(told, tt.says) || strings.Contains(told, password) || tt.in != "" && strings.Contains(told, codes[0]) {
			t.Errorf("%s: status %d, want %d with %q: %s", tt.name, status, tt.status, tt.says, told)
		}
	}
	_, told = typed(t, config, "", "audit", "search", "--action", "link.pause", "-o", "csv")
	if strings.Count(told, ",done,") != 1 || strings.Count(told, `""meaning"":""approval""`) != 1 || !strings.Contains(told, "user:anna") {
		t.Errorf("the record: %s", told)
	}
	for range 3 {
		typed(t, config, "not it\n1\n", signed...)
	}
	if status, told := typed(t, config, password+"\n"+codes[1]+"\n", signed...); status != 4 || !strings.Contains(told, "failed too often") {
		t.Errorf("after many wrong ones: status %d: %s", status, told)
	}
}

// TestWhoCannotSignACommandIsSentToWhereItCanBeDone: an account of the machine without a person, and one whose person signs in at a provider.
func TestWhoCannotSignACommandIsSentToWhereItCanBeDone(t *testing.T) {
	for people, want := range map[string]string{"": "access.people", "  people: {ME: \"oidc:anna\"}\n": "do it in the console"} {
		config := signingPlant(t, people)
		status, told := typed(t, config, "a password\n123456\n", "link", "pause", "erp", "--reason", "the ERP is maintained", "--meaning", "approval")
		if status != 4 || !strings.Contains(told, want) {
			t.Errorf("%q: status %d, want 4 with %q: %s", people, status, want, told)
		}
	}
}

// TestEachCommandWhoseActCanBeSignedAsksWhatItMeans, and no other does. What no command does is done in the console alone.
func TestEachCommandWhoseActCanBeSignedAsksWhatItMeans(t *testing.T) {
	done := map[string]bool{access.MappingPropose: true, access.MappingTry: true} // both by mapping publish
	for name, cmd := range runnable(rootCommand(), map[string]*cobra.Command{}) {
		can := slices.Contains(access.Signable(), verbs()[name])
		if asks := cmd.Flags().Lookup("meaning") != nil; asks != can {
			t.Errorf("holdfast %s: --meaning %v, and its act can be signed: %v", name, asks, can)
		}
		done[verbs()[name]] = true
	}
	for _, action := range access.Signable() {
		if !done[action] && action != access.QuarantineAmend {
			t.Errorf("%s can be signed, and no command does it", action)
		}
	}
}

// TestMappingsThatMustBeSignedAreNotTakenFromTheirFolder: a file that somebody changes is used by nobody's signature.
func TestMappingsThatMustBeSignedAreNotTakenFromTheirFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "holdfast.yaml")
	for more, refused := range map[string]bool{"": true, "mappings_policy: four_eyes\n": false} {
		if err := os.WriteFile(file, []byte("plant: {number: \"1000\"}\n"+more+"access: {sign: [\"mapping.*\"]}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := loadConfig(file); (err != nil && strings.Contains(err.Error(), "access.sign")) != refused {
			t.Errorf("%q: %v, want it refused: %v", more, err, refused)
		}
	}
}
