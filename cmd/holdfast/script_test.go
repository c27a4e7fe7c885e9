package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rogpeppe/go-internal/testscript"

	"holdfast/adapters/amqp/amqptest"
	"holdfast/internal/access"
	"holdfast/internal/decimal"
	"holdfast/internal/mes"
	"holdfast/internal/store"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"holdfast": main})
}

// TestScripts runs the program as a person would: each file in testdata is one script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			metadata, err := filepath.Abs("../../adapters/odata/testdata")
			env.Setenv("EDMX", metadata)
			if me, err := user.LookupId(strconv.Itoa(os.Getuid())); err == nil {
				env.Setenv("LOGIN", me.Username) // the account that commands act for
			}
			env.Setenv("MORE", "16") // orders beside that of the demo, and after how many messages a job's process is killed
			env.Setenv("KILLED", "6")
			if os.Getenv("HOLDFAST_TEST_LONG") != "" {
				env.Setenv("MORE", "9999")
				env.Setenv("KILLED", "4000")
			}
			return err
		},
		Cmds: scriptCommands(),
	})
}

// TestScriptsOverRabbitMQ runs those that need a broker, each with two queues of its own.
func TestScriptsOverRabbitMQ(t *testing.T) {
	b := amqptest.Shared(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/rabbitmq",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("BROKER", b.Address)
			env.Setenv("BROKER_AS_USER", strings.Replace(b.Address, "://", "://"+b.User+"@", 1))
			env.Setenv("MQ_USER", b.User)
			env.Setenv("MQ_PASSWORD", b.Password)
			env.Setenv("TO_SAP", b.Name(t))
			env.Setenv("FROM_SAP", b.Name(t))
			return nil
		},
		Cmds: scriptCommands(),
	})
}

// scriptCommands are what the scripts can say besides.
func scriptCommands() map[string]func(ts *testscript.TestScript, neg bool, args []string) {
	return map[string]func(ts *testscript.TestScript, neg bool, args []string){"owe": owe, "freeport": freePort, "ids": ids, "first": first, "field": field, "sql": tamperWith, "await": await, "bodyof": bodyOf, "retry": retry, "sub": sub, "fetch": fetch, "tell": tell, "says": says, "save": saveAnswer, "send": send, "capture": capture, "pushdocs": pushDocs}
}

// owe makes orders of the plant's own in the database of a configuration, so that its ERP is owed a message for each: owe FILE MATERIAL [HOWMANY].
func owe(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(append(args, "1")[2])
	ts.Check(err)
	ts.Check(oweOrders(context.Background(), ts.MkAbs(args[0]), args[1], n))
}

func oweOrders(ctx context.Context, file, material string, n int) (err error) {
	cfg, err := loadConfig(file)
	if err != nil {
		return err
	}
	f, err := openFloors(ctx, cfg, store.Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	act := access.Act{Action: access.OrderCreate, Actor: access.Actor{Name: "local:test"}}
	for range n {
		_, err := f.doer.Do(ctx, act, func(ctx context.Context, tx *store.Tx) (access.Result, error) {
			o, err := f.plant.CreateOrder(ctx, tx, mes.NewOrder{Material: material, Quantity: decimal.FromInt(12)})
			return access.Result{Object: "order/" + o.ID}, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ports hands out each port once, and none of those that the system gives to whoever connects or asks for any: a port of that range
// can be somebody else's by the time that the program listens on it.
var ports atomic.Int64

// freePort sets a variable to a loopback address that nobody listens on: freeport NAME.
func freePort(ts *testscript.TestScript, _ bool, args []string) {
	const first, span = 10_000, 20_000 // the systems that the tests run on give away 32768 and more
	begin := int64(os.Getpid()) * 37
	for range span {
		address := fmt.Sprintf("127.0.0.1:%d", first+(begin+ports.Add(1))%span)
		if l, err := net.Listen("tcp", address); err == nil {
			ts.Check(l.Close())
			ts.Setenv(args[0], address)
			return
		}
	}
	ts.Fatalf("no port is free")
}

// eventually tries something again until it is so, for what a program in the background has yet to do. How long that takes decides nothing:
// the end is far beyond what a loaded machine needs.
func eventually(is func() bool) bool {
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if is() {
			return true
		}
	}
	return false
}

func TestAFileThatIsThereIsNotWrittenOver(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "holdfast.yaml")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := run(t.Context(), []string{"init", dir}, io.Discard, io.Discard), 1; got != want {
		t.Errorf("status %d, want %d", got, want)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "mine" {
		t.Errorf("the file is now %q, %v", got, err)
	}
}

// ids reads the two messages of a list that msg list --json has printed: ids FILE FIRST SECOND LANE1 LANE2.
func ids(ts *testscript.TestScript, _ bool, args []string) {
	var list []messageView
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &list))
	if len(list) != 2 {
		ts.Fatalf("%d messages are owed, want 2", len(list))
	}
	for i, v := range []string{list[0].ID, list[1].ID, list[0].Lane, list[1].Lane} {
		ts.Setenv(args[i+1], v)
	}
}

// retry runs a command again until it succeeds, for what a program in the background needs to begin: retry COMMAND ARG….
func retry(ts *testscript.TestScript, _ bool, args []string) {
	var err error
	if !eventually(func() bool { err = ts.Exec(args[0], args[1:]...); return err == nil }) {
		ts.Fatalf("%v: %v", args, err)
	}
}

// sub writes a file anew with a text in the place of what a regular expression matches: sub FILE OLD NEW.
func sub(ts *testscript.TestScript, _ bool, args []string) {
	text, old := ts.ReadFile(args[0]), regexp.MustCompile(args[1])
	if !old.MatchString(text) {
		ts.Fatalf("%s has no %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(old.ReplaceAllLiteralString(text, args[2])), 0o600))
}

// fetch reads a URL until it answers with a status and a text in its body: fetch URL STATUS TEXT.
func fetch(ts *testscript.TestScript, _ bool, args []string) {
	var got string
	is := func() bool {
		res, err := http.Get(args[0])
		if err != nil {
			got = err.Error()
			return false
		}
		body, err := io.ReadAll(res.Body)
		got = fmt.Sprintf("%d: %s", res.StatusCode, body)
		return errors.Join(err, res.Body.Close()) == nil && strings.HasPrefix(got, args[1]) && strings.Contains(got, args[2])
	}
	if !eventually(is) {
		ts.Fatalf("%s answers %s, want %s with %q", args[0], got, args[1], args[2])
	}
}

// saveAnswer writes what a URL answers into a file: save URL FILE.
func saveAnswer(ts *testscript.TestScript, _ bool, args []string) {
	_, body := request(ts, http.MethodGet, args[0], "")
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), body, 0o600))
}

// send sends a JSON body and wants a status, and a text in the answer if one is given: send METHOD URL BODY STATUS [TEXT].
func send(ts *testscript.TestScript, _ bool, args []string) {
	status, body := request(ts, args[0], args[1], args[2])
	if fmt.Sprint(status) != args[3] || len(args) > 4 && !strings.Contains(string(body), args[4]) {
		ts.Fatalf("%s %s answers %d: %s, want %s", args[0], args[1], status, body, args[3:])
	}
}

// request sends one request under a key of its own, and waits for the ERP as the script's WAIT says, a minute if it says nothing.
func request(ts *testscript.TestScript, method, url, body string) (int, []byte) {
	req, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	ts.Check(err)
	media := "application/json"
	if method == http.MethodPatch {
		media = "application/merge-patch+json"
	}
	req.Header.Set("Content-Type", media)
	req.Header.Set("Idempotency-Key", "script-"+uuid.NewString())
	req.Header.Set("Prefer", "wait="+cmp.Or(ts.Getenv("WAIT"), "60"))
	res, err := http.DefaultClient.Do(req)
	ts.Check(err)
	answer, err := io.ReadAll(res.Body)
	ts.Check(errors.Join(err, res.Body.Close()))
	return res.StatusCode, answer
}

// says runs a command and wants an exit status: says STATUS COMMAND ARG….
func says(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		got, err = e.ExitCode(), nil
	}
	ts.Check(err)
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("%v ends with %d, want %s", args[1:], got, args[0])
	}
}

// tell sends a line to a unix socket and wants a text in the answer: tell SOCKET LINE TEXT.
func tell(ts *testscript.TestScript, _ bool, args []string) {
	c, err := net.Dial("unix", ts.MkAbs(args[0]))
	ts.Check(err)
	defer c.Close()
	_, err = fmt.Fprintln(c, args[1])
	ts.Check(err)
	answer, err := io.ReadAll(c)
	ts.Check(err)
	if !strings.Contains(string(answer), args[2]) {
		ts.Fatalf("%q is answered with %q, want %q", args[1], answer, args[2])
	}
}
