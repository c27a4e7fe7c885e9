package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/store"
)

const (
	recoveredBytes  = 1_000_000_000 // of the database
	recoveredStep   = 50_000        // messages between two looks at its size
	recoveredBody   = 400           // bytes
	recoveryBound   = 15 * time.Minute
	recoveredPlant  = "HOLDFAST_BENCH_PLANT" // where the configuration finds the URL of a PostgreSQL
	recoveredReason = "bench"
)

// recoveryRow has the program, as a person calls it, copy a plant of 1 GB, and make it anew on a machine that has nothing but the copies and
// the recovery key.
func recoveryRow(ctx context.Context, o options) ([]Result, error) {
	tools, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(tools) }()
	program := filepath.Join(tools, "holdfast")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, "./cmd/holdfast")
	build.Dir, build.Stderr = "..", os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build the program: %w", err)
	}
	var results []Result
	for _, dialect := range []store.Dialect{store.SQLite, store.Postgres} {
		got, err := recoverOn(ctx, o, program, dialect)
		results = append(results, got...)
		if err != nil {
			return results, fmt.Errorf("%s: %w", dialect, err)
		}
	}
	return results, nil
}

// lost is a plant whose disk is lost.
type lost struct {
	program, dir string
	dialect      store.Dialect
	name         string // of the database on PostgreSQL
	place        string // URL of the database
	ops          string // where it answers whether it is ready
}

// recoverOn loses one plant and makes it anew.
func recoverOn(ctx context.Context, o options, program string, dialect store.Dialect) (results []Result, err error) {
	dir, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	l := &lost{program: program, dir: dir, dialect: dialect, place: "sqlite:" + filepath.Join(dir, "plant", "holdfast.db")}
	if dialect == store.Postgres {
		l.name = fmt.Sprintf("bench%d", time.Now().UnixNano())
		if l.place, err = inDatabase(l.name); err == nil {
			err = l.server(ctx, "CREATE DATABASE "+l.name)
		}
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, l.drop(context.WithoutCancel(ctx))) }()
	}
	if err := l.begin(ctx); err != nil {
		return nil, err
	}
	messages, size, err := l.fill(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("fill the plant: %w", err)
	}
	return l.measure(ctx, messages, size)
}

// measure copies and proves the plant, loses it, and has it again.
func (l *lost) measure(ctx context.Context, messages int, size int64) ([]Result, error) {
	config := filepath.Join(l.dir, "plant", "holdfast.yaml")
	copied, _, err := l.call(ctx, "backup", "create", "--reason", recoveredReason, "--config", config)
	if err != nil {
		return nil, err
	}
	proven, _, err := l.call(ctx, "backup", "verify", "--config", config)
	if err != nil {
		return nil, err
	}
	_, keys, err := l.call(ctx, "keys", "export", "--config", config)
	if err != nil {
		return nil, err
	}
	trust, safe := filepath.Join(l.dir, "keys.json"), filepath.Join(l.dir, "recovery.key")
	if err := errors.Join(os.WriteFile(trust, keys, 0o600), os.Rename(filepath.Join(l.dir, "plant", "backup-keys", "recovery.key"), safe),
		os.Rename(filepath.Join(l.dir, "plant", "backups"), filepath.Join(l.dir, "backups")), os.RemoveAll(filepath.Join(l.dir, "plant"))); err != nil {
		return nil, err
	}
	args := []string{"backup", "restore", filepath.Join(l.dir, "new"), "--from", filepath.Join(l.dir, "backups"), "--identity", safe, "--trust", trust, "-o", "json"}
	if l.dialect == store.Postgres {
		if err := errors.Join(l.drop(ctx), l.server(ctx, "CREATE DATABASE "+l.name)); err != nil {
			return nil, err
		}
		args = append(args, "--database", "env:"+recoveredPlant)
	}
	restored, told, err := l.call(ctx, args...)
	if err != nil {
		return nil, err
	}
	var got struct {
		Doubtful int `json:"in_doubt"`
	}
	if err := json.Unmarshal(told, &got); err != nil || got.Doubtful != messages {
		return nil, fmt.Errorf("%d messages were restored, want %d: %w", got.Doubtful, messages, err)
	}
	started, err := l.ready(ctx)
	if err != nil {
		return nil, err
	}
	of := fmt.Sprintf("a plant of %.2f GB, %d messages owed, %s", float64(size)/1e9, messages, l.dialect)
	whole := plain("recovery of "+of+": restored and ready", "s", (restored + started).Seconds())
	whole.Bound, whole.OK = "under "+recoveryBound.String(), restored+started < recoveryBound
	return []Result{
		plain("a copy of "+of, "s", copied.Seconds()), plain("the same proven", "s", proven.Seconds()), whole,
		plain("of it until it is ready, after the restore", "s", started.Seconds()),
	}, nil
}

// begin makes a plant as a person does.
func (l *lost) begin(ctx context.Context) error {
	plant, database := filepath.Join(l.dir, "plant"), "sqlite:holdfast.db"
	if l.dialect == store.Postgres {
		database = "env:" + recoveredPlant
	}
	if _, _, err := l.call(ctx, "init", plant, "--database", database, "--erp", "http://127.0.0.1:1"); err != nil {
		return err
	}
	config := filepath.Join(plant, "holdfast.yaml")
	text, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	api, err := freeAddr()
	if err != nil {
		return err
	}
	if l.ops, err = freeAddr(); err != nil {
		return err
	}
	text = []byte(strings.NewReplacer("127.0.0.1:8420", api, "127.0.0.1:8421", l.ops).Replace(string(text)))
	if err := os.WriteFile(config, text, 0o600); err != nil {
		return err
	}
	_, _, err = l.call(ctx, "migrate", "up", "--config", config)
	return err
}

// fill has the plant owe messages, no two of them alike, until its database has the size that is to be recovered.
func (l *lost) fill(ctx context.Context, o options) (messages int, size int64, err error) {
	db, err := store.Open(ctx, l.place, store.Config{})
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	y := &yard{place: l.place, db: db, out: newOutbox("")}
	r := rand.New(rand.NewPCG(1, 2))
	for size < int64(o.of(recoveredBytes)) {
		if err := y.stockOf(ctx, recoveredStep, recoveredStep/perLane, func() []byte { return textOf(recoveredBody, r) }); err != nil {
			return 0, 0, err
		}
		messages += recoveredStep
		if err := db.View(ctx, func(tx *store.Tx) error {
			ask := "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
			if l.dialect == store.Postgres {
				ask = "SELECT pg_database_size(current_database())"
			}
			return tx.Get(ctx, &size, ask)
		}); err != nil {
			return 0, 0, err
		}
	}
	return messages, size, nil
}

// call runs the program and says how long that took, and what it has told.
func (l *lost) call(ctx context.Context, args ...string) (time.Duration, []byte, error) {
	cmd := l.command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, nil, fmt.Errorf("holdfast %s: %w\n%s%s", strings.Join(args, " "), err, &out, &errs)
	}
	return time.Since(began), out.Bytes(), nil
}

func (l *lost) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, l.program, args...)
	cmd.Env = append(os.Environ(), recoveredPlant+"="+l.place)
	return cmd
}

// ready starts what was restored, and ends it once it says that it is ready.
func (l *lost) ready(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, recoveryBound)
	defer cancel()
	cmd := l.command(ctx, "serve", "--config", filepath.Join(l.dir, "new", "holdfast.yaml"))
	var errs bytes.Buffer
	cmd.Stderr = &errs
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	is := false
	for !is && ctx.Err() == nil {
		if answer, err := http.Get("http://" + l.ops + "/readyz"); err == nil {
			is = answer.StatusCode == http.StatusOK
			_ = answer.Body.Close()
		}
		if !is {
			time.Sleep(20 * time.Millisecond)
		}
	}
	took := time.Since(began)
	err := errors.Join(ctx.Err(), cmd.Process.Signal(syscall.SIGTERM), cmd.Wait())
	if err != nil || !is {
		return 0, fmt.Errorf("start what was restored: %w\n%s", err, &errs)
	}
	return took, nil
}

// server has the PostgreSQL of the tests do something beside the plant's own database.
func (l *lost) server(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, os.Getenv(postgresEnv))
	if err != nil {
		return fmt.Errorf("%s does not name a PostgreSQL (deploy/dev/services up prints one): %w", postgresEnv, err)
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

func (l *lost) drop(ctx context.Context) error {
	return l.server(ctx, "DROP DATABASE IF EXISTS "+l.name+" WITH (FORCE)")
}

// inDatabase is the URL of another database of the same server.
func inDatabase(name string) (string, error) {
	u, err := url.Parse(os.Getenv(postgresEnv))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", postgresEnv, err)
	}
	u.Path = "/" + name
	return u.String(), nil
}
