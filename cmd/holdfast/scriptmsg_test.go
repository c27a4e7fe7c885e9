package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"holdfast/internal/store"
)

// await runs the program again until it prints a text: await TEXT ARG….
func await(ts *testscript.TestScript, _ bool, args []string) {
	is := func() bool {
		ts.Check(ts.Exec("holdfast", args[1:]...))
		return strings.Contains(ts.ReadFile("stdout"), args[0])
	}
	if !eventually(is) {
		ts.Fatalf("holdfast %v prints no %q", args[1:], args[0])
	}
}

// bodyOf writes the body of a message that msg show --json has printed into a file: bodyof FILE BODY.
func bodyOf(ts *testscript.TestScript, _ bool, args []string) {
	var m messageView
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &m))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), m.Body, 0o600))
}

// first sets variables to the ID and the lane of the first message of a list that msg list --json has printed: first FILE ID LANE.
func first(ts *testscript.TestScript, _ bool, args []string) {
	var list []messageView
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &list))
	if len(list) == 0 {
		ts.Fatalf("%s has no message", args[0])
	}
	ts.Setenv(args[1], list[0].ID)
	ts.Setenv(args[2], list[0].Lane)
}

// field sets a variable to a value in a JSON file, named by the members and places that lead to it: field FILE PATH NAME.
func field(ts *testscript.TestScript, _ bool, args []string) {
	var v any
	d := json.NewDecoder(strings.NewReader(ts.ReadFile(args[0])))
	d.UseNumber()
	ts.Check(d.Decode(&v))
	for _, step := range strings.Split(args[1], ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[step]
		case []any:
			i, err := strconv.Atoi(step)
			ts.Check(err)
			v = at[i]
		}
	}
	ts.Setenv(args[2], fmt.Sprint(v))
}

// tamperWith runs a statement on the database of a configuration, as somebody does who has its file: sql FILE STATEMENT.
func tamperWith(ts *testscript.TestScript, _ bool, args []string) {
	cfg, err := loadConfig(ts.MkAbs(args[0]))
	ts.Check(err)
	ctx := context.Background()
	db, err := openDatabase(ctx, cfg, store.Config{NoMigrate: true})
	ts.Check(err)
	err = db.InTx(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(ctx, args[1])
		if err == nil && n == 0 {
			err = errors.New("it changed no row")
		}
		return err
	})
	ts.Check(errors.Join(err, db.Close()))
}
