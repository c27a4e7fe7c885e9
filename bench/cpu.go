package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"holdfast/internal/store"
)

// tick is what /proc counts processor time in, µs (USER_HZ is 100 on every Linux that Go runs on).
const tick = 10_000

// spent is the processor time, in µs, that this process, the broker and a yard's connections to PostgreSQL have used so far.
type spent struct{ self, broker, database float64 }

// spentSoFar reads the clocks of the kernel. The broker's time is that of every Erlang machine here: what others have it do counts too.
func (y *yard) spentSoFar(ctx context.Context) spent {
	var s spent
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err == nil {
		s.self = float64((own.Utime.Sec+own.Stime.Sec)*1e6 + own.Utime.Usec + own.Stime.Usec)
	}
	all, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is good
	for _, f := range all {
		if strings.Contains(line(f), "(beam.smp)") {
			s.broker += processorTime(f)
		}
	}
	if y == nil || y.db.Dialect() != store.Postgres {
		return s
	}
	var pids []int
	_ = y.db.View(ctx, func(tx *store.Tx) error { // else they count as nothing
		return tx.Select(ctx, &pids, `SELECT pid FROM pg_stat_activity WHERE application_name = current_setting('application_name')`)
	})
	for _, pid := range pids {
		s.database += processorTime(fmt.Sprintf("/proc/%d/stat", pid))
	}
	return s
}

// processorTime is utime and stime of proc_pid_stat(5), which follow the name in brackets.
func processorTime(file string) float64 {
	_, rest, _ := strings.Cut(line(file), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) * tick
}

// tell prints what n messages have cost since s.
func (s spent) tell(now spent, n int) {
	per := func(a, b float64) float64 { return (b - a) / float64(n) }
	fmt.Fprintf(os.Stderr, "bench:           µs of processor a message: Go %.0f, RabbitMQ %.0f, PostgreSQL %.0f\n",
		per(s.self, now.self), per(s.broker, now.broker), per(s.database, now.database))
}
