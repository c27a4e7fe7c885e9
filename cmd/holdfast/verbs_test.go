package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// runnable are the commands that do something, by their names.
func runnable(cmd *cobra.Command, into map[string]*cobra.Command) map[string]*cobra.Command {
	for _, c := range cmd.Commands() {
		runnable(c, into)
		if !holds(c) && verb(c) != "help" {
			into[verb(c)] = c
		}
	}
	return into
}

// TestEveryCommandIsDocumentedWithItsAction compares the table of verbs with the commands, both ways.
func TestEveryCommandIsDocumentedWithItsAction(t *testing.T) {
	all := runnable(rootCommand(), map[string]*cobra.Command{})
	for name := range all {
		if _, ok := verbs()[name]; !ok {
			t.Errorf("holdfast %s has no action: give it a line in verbs.go", name)
		}
	}
	for name, action := range verbs() {
		if all[name] == nil {
			t.Errorf("there is no command holdfast %s any more: take its line out of verbs.go", name)
		}
		if _, ok := access.Lookup(action); !ok && action != free {
			t.Errorf("holdfast %s has the action %q, which is not in the registry", name, action)
		}
	}
}

// shellConfig is a plant whose only account has some roles; none if there is none.
func shellConfig(t *testing.T, roles string) string {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "holdfast.yaml")
	text := fmt.Sprintf("plant: {number: \"1000\"}\naccess:\n  roles:\n    one: [{may: [link.pause, msg.read], links: [erp]}]\n  shell: {%q: [%s]}\n", me.Username, roles)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestAPersonHasOneNameInConsoleAndShell: the record, and whatever asks for two people, sees who works both ways as one.
func TestAPersonHasOneNameInConsoleAndShell(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for people, want := range map[string]string{
		"people: {" + me.Username + ": anna.berg}": "user:anna.berg", "people: {" + me.Username + ": \"oidc:anna.berg\"}": "oidc:anna.berg",
		"people: {" + me.Username + ": \"ad:anna.berg\"}": "ad:anna.berg",
		"people: {somebody: anna.berg}":                   "local:" + me.Username, "": "local:" + me.Username,
	} {
		file := filepath.Join(t.TempDir(), "holdfast.yaml")
		text := "plant: {number: \"1000\"}\naccess:\n  shell: {" + me.Username + ": [erp-team]}\n  " + people + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := loadConfig(file)
		if err != nil {
			t.Fatal(err)
		}
		if by := cfg.localActor(); by.Name != want || !slices.Equal(by.Rights.Roles, []string{"erp-team"}) {
			t.Errorf("%q: got %+v, want %s with the role of the account", people, by, want)
		}
	}
}

// TestEveryCommandIsPermittedToWhomTheTableSays begins every command with every role and with none. What the command does is left out.
func TestEveryCommandIsPermittedToWhomTheTableSays(t *testing.T) {
	p, err := access.NewPolicy("1000", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range append(p.Roles(), "") {
		config := shellConfig(t, role)
		for name, action := range verbs() {
			want := action == free || p.May(access.Rights{Roles: []string{role}}, action, "")
			if err := tryVerb(t, config, name); (problem.KindOf(err) != problem.Denied) != want {
				t.Errorf("holdfast %s as %q: %v, and it is permitted: %t", name, role, err, want)
			}
		}
	}
}

// TestARefusedCommandIsOnRecord, of an account of the machine that access.shell gives no role.
func TestARefusedCommandIsOnRecord(t *testing.T) {
	config := shellConfig(t, "")
	file := filepath.Join(t.TempDir(), "holdfast.db")
	text, err := os.ReadFile(config)
	if err == nil {
		err = os.WriteFile(config, append(text, "database: {url: \"sqlite:"+file+"\"}\n"...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), "sqlite:"+file, store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if got := problem.KindOf(tryVerb(t, config, "keys shred")); got != problem.Denied {
		t.Errorf("kind %q, want it denied", got)
	}
	err = db.View(t.Context(), func(tx *store.Tx) error {
		got, err := audit.List(t.Context(), tx, audit.Filter{Action: access.Refusal})
		if len(got) != 1 || !strings.HasPrefix(got[0].Actor, "local:") || got[0].Object != "command keys shred" {
			t.Errorf("got %+v, want the refusal", got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// tryVerb runs a command as far as its own work.
func tryVerb(t *testing.T, config, name string) error {
	t.Helper()
	return tryVerbIn(t.Context(), t, config, name)
}

func tryVerbIn(ctx context.Context, t *testing.T, config, name string) error {
	t.Helper()
	root := rootCommand()
	cmd := runnable(root, map[string]*cobra.Command{})[name]
	if cmd == nil {
		return nil // told by the other test
	}
	cmd.Args = cobra.ArbitraryArgs
	cmd.Run, cmd.RunE = nil, func(*cobra.Command, []string) error { return nil }
	cmd.ResetFlags()
	root.SetArgs(append(strings.Fields(name), "--config", config))
	root.SetOut(io.Discard)
	root.SetErr(io.Discard)
	return root.ExecuteContext(ctx)
}

func TestACommandOfOneLinkReachesNoOther(t *testing.T) {
	config := shellConfig(t, "one")
	for name, want := range map[string]problem.Kind{"link pause": "", "lane pause": problem.Denied, "msg list": problem.Denied, "link list": problem.Denied} {
		if got := problem.KindOf(tryVerb(t, config, name)); got != want {
			t.Errorf("holdfast %s: kind %q, want %q", name, got, want)
		}
	}
	cfg, err := loadConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := cfg.policy()
	if err != nil {
		t.Fatal(err)
	}
	for object, want := range map[string]bool{"link/erp": true, "link/other": false, "lane/erp/1": true, "lane/other/erp": false, "message/erp": false} {
		if got := policy.May(cfg.localActor().Rights, access.LinkPause, linkOf(object)); got != want {
			t.Errorf("link.pause on %s: %t, want %t", object, got, want)
		}
	}
}
