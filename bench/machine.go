package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// machine is where a run was made.
type machine struct {
	At       time.Time `json:"at"`
	Cores    int       `json:"cores"`
	CPU      string    `json:"cpu"`
	Memory   string    `json:"memory"`
	Kernel   string    `json:"kernel"`
	Go       string    `json:"go"`
	Postgres string    `json:"postgres,omitempty"`
	RabbitMQ string    `json:"rabbitmq,omitempty"`
	Load     string    `json:"load"` // of the last 1, 5 and 15 minutes: others may have been at work
}

func (m machine) String() string {
	return fmt.Sprintf("%s: %d cores (%s), %s, Linux %s, %s, PostgreSQL %s, RabbitMQ %s, load %s", m.At.Format(time.RFC3339), m.Cores, m.CPU,
		m.Memory, m.Kernel, m.Go, m.Postgres, m.RabbitMQ, m.Load)
}

// describeMachine asks what can be asked; what does not answer stays empty.
func describeMachine(ctx context.Context) machine {
	ctx = context.WithoutCancel(ctx) // a run that was broken off has a machine too
	m := machine{
		At: time.Now().UTC().Truncate(time.Second), Cores: runtime.NumCPU(), Go: runtime.Version(),
		CPU: field("/proc/cpuinfo", "model name"), Memory: field("/proc/meminfo", "MemTotal"), Kernel: line("/proc/sys/kernel/osrelease"),
	}
	if l := strings.Fields(line("/proc/loadavg")); len(l) > 2 {
		m.Load = strings.Join(l[:3], " ")
	}
	if conn, err := pgx.Connect(ctx, os.Getenv(postgresEnv)); err == nil {
		_ = conn.QueryRow(ctx, "SHOW server_version").Scan(&m.Postgres) // else it stays empty
		_ = conn.Close(ctx)
	}
	if b, err := openBroker(); err == nil {
		m.RabbitMQ = fmt.Sprint(b.conn.Properties["version"])
		b.close()
	}
	return m
}

func line(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(b), "\n")
	return first
}

// field is what a file of lines "name: value" says under the name.
func field(file, name string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		if key, value, ok := strings.Cut(in.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	return ""
}

// forgetPeak has the kernel count the highest resident memory of this process anew, from what is in use now.
func forgetPeak() error {
	debug.FreeOSMemory()
	return os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

// peak is the highest resident memory since then, in MB.
func peak() (mb float64, err error) {
	var kb float64
	if _, err := fmt.Sscanf(field("/proc/self/status", "VmHWM"), "%f kB", &kb); err != nil {
		return 0, fmt.Errorf("read the highest resident memory: %w", err)
	}
	return kb / 1000, nil
}

// startProfile records the processor until stop, which leaves the heap beside it.
func startProfile(dir string) (stop func() error, err error) {
	if dir == "" {
		return func() error { return nil }, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	cpu, err := os.Create(filepath.Join(dir, "cpu.pprof"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, errors.Join(err, cpu.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		heap, err := os.Create(filepath.Join(dir, "heap.pprof"))
		if err != nil {
			return errors.Join(err, cpu.Close())
		}
		return errors.Join(pprof.Lookup("heap").WriteTo(heap, 0), heap.Close(), cpu.Close())
	}, nil
}
