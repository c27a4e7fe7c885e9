package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"holdfast/adapters/erpmock"
	"holdfast/cmd/holdfast/dataset"
	"holdfast/cmd/holdfast/internal/torture"
	"holdfast/internal/httpapi"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/openapi"
)

// tortureFlags are the command's options.
type tortureFlags struct {
	seed     uint64
	minutes  int
	kills    int
	workers  int
	database string
	faults   []string
	data     string
	asJSON   bool
}

func tortureCommand() *cobra.Command {
	var f tortureFlags
	cmd := &cobra.Command{
		Use:   "torture",
		Short: "Try to make Holdfast lose, double or reorder a message",
		Long: `Torture runs the real process against the ERP mock while it is killed, frozen, cut off, lied to,
starved of disk and moved in time, by a schedule that the seed makes. Then the mock's own journal says
whether anything was lost, doubled or reordered. The schedule and the work are the same for a seed; how
the machine interleaves the processes is not, so a seed that fails may need some runs to fail again.`,
		Example: "  holdfast torture --seed 7 --minutes 1\n  holdfast torture --seed 7 --minutes 8 --kills 220 --database postgres://localhost/holdfast_torture",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runTorture(cmd, f) },
	}
	flags := cmd.Flags()
	flags.Uint64Var(&f.seed, "seed", 1, "makes the schedule")
	flags.IntVar(&f.minutes, "minutes", 1, "how long faults strike; draining comes on top")
	flags.IntVar(&f.kills, "kills", 0, "SIGKILLs in that time; 0 means 20 a minute")
	flags.IntVar(&f.workers, "workers", 6, "shop-floor clients at a time")
	flags.StringVar(&f.database, "database", "", "URL of a PostgreSQL database, in which a schema is made for the run; default a SQLite file")
	flags.StringSliceVar(&f.faults, "faults", nil, "only these: "+faultNames())
	flags.StringVar(&f.data, "data", "", "folder for the configuration, the plant's log and, with SQLite, the database; kept. Default a temporary one, kept if the run fails")
	jsonFlag(cmd, &f.asJSON)
	return cmd
}

func faultNames() string {
	var names []string
	for _, f := range torture.Faults() {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}

func runTorture(cmd *cobra.Command, f tortureFlags) (err error) {
	dir := f.data
	if dir == "" {
		if dir, err = os.MkdirTemp("", "holdfast-torture-"); err != nil {
			return fmt.Errorf("make a folder for the run: %w", err)
		}
	}
	t, err := openTorture(cmd.Context(), f, dir, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	report, err := t.run(cmd.Context())
	switch {
	case err == nil && report.OK():
		if err = t.undo(); err == nil && f.data == "" {
			err = os.RemoveAll(dir)
		}
	case err == nil:
		fmt.Fprintf(cmd.ErrOrStderr(), "holdfast: seed %d failed; its database and logs are left as they are, see %s\n", f.seed, dir)
	}
	if err != nil {
		return fmt.Errorf("torture with seed %d, see %s: %w", f.seed, filepath.Join(dir, "serve.log"), err)
	}
	if err := printTorture(cmd.OutOrStdout(), report, f.asJSON); err != nil {
		return err
	}
	return exitUnless(report.OK())
}

// tortured is one run, ready to begin.
type tortured struct {
	cfg  torture.Config
	mock *erpmock.Mock
	erp  net.Listener
	log  *os.File
	undo func() error // takes the small disk or the schema away again
}

func openTorture(ctx context.Context, f tortureFlags, dir string, progress io.Writer) (*tortured, error) {
	faults, err := chosenFaults(f.faults)
	if err != nil {
		return nil, err
	}
	set, err := dataset.Builtin()
	if err != nil {
		return nil, err
	}
	plan, err := newPlanner(set)
	if err != nil {
		return nil, fmt.Errorf("find the zone of the data set: %w", err)
	}
	t := &tortured{undo: func() error { return nil }}
	disk := filepath.Join(dir, "disk")
	if f.database == "" {
		f.database = "sqlite:disk/plant.db"
		if t.undo, err = smallDisk(ctx, disk); err != nil {
			fmt.Fprintf(progress, "holdfast: %v: full-disk is left out\n", err)
			disk = ""
		}
	} else {
		fmt.Fprintln(progress, "holdfast: the disk of that database is not ours to fill: full-disk is left out")
		disk = ""
		var drop func(context.Context) error
		f.database, drop, err = store.NewSchema(ctx, f.database, fmt.Sprintf("torture_%d_%d", f.seed, time.Now().UnixMilli()))
		if err != nil {
			return nil, err
		}
		t.undo = func() error { return drop(context.WithoutCancel(ctx)) }
	}
	if disk == "" {
		faults = slices.DeleteFunc(faults, func(x torture.Fault) bool { return x == torture.FullDisk })
	}
	if err := t.openERP(ctx, f, plan); err != nil {
		return nil, errors.Join(err, t.undo())
	}
	if err := t.configure(ctx, f, dir, progress); err != nil {
		return nil, errors.Join(err, t.undo())
	}
	t.cfg.Disk, t.cfg.Faults, t.cfg.Materials, t.cfg.Known = disk, faults, made(set), known(set)
	return t, nil
}

func chosenFaults(names []string) ([]torture.Fault, error) {
	if len(names) == 0 {
		return torture.Faults(), nil
	}
	var out []torture.Fault
	for _, n := range names {
		if !slices.Contains(torture.Faults(), torture.Fault(n)) {
			return nil, &problem.Error{Kind: problem.Invalid, What: "fault " + n, Why: "there is none of this name", Hint: "choose from: " + faultNames()}
		}
		out = append(out, torture.Fault(n))
	}
	return out, nil
}

// made lists what the plant is ordered to make.
func made(set *dataset.Set) []string {
	var out []string
	for _, o := range set.Orders {
		if !slices.Contains(out, o.Material) {
			out = append(out, o.Material)
		}
	}
	return out
}

// known lists where the API shows the master data of the set.
func known(set *dataset.Set) []string {
	var out []string
	for _, m := range set.Materials {
		out = append(out, "/v1/materials/"+m.Number)
		if len(m.Routing) > 0 {
			out = append(out, "/v1/routings/"+m.Number)
		}
		if len(m.BOM.Items) > 0 {
			out = append(out, "/v1/boms/"+m.Number)
		}
	}
	return out
}

// smallDisk mounts a small file system in memory, so that it can be filled without harm. That takes root on Linux.
func smallDisk(ctx context.Context, dir string) (undo func() error, err error) {
	undo = func() error { return nil }
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return undo, fmt.Errorf("make %s: %w", dir, err)
	}
	out, err := exec.CommandContext(ctx, "mount", "-t", "tmpfs", "-o", "size=512m,mode=0700", "tmpfs", dir).CombinedOutput()
	if err != nil {
		return undo, fmt.Errorf("mount a small disk: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return func() error {
		out, err := exec.CommandContext(context.WithoutCancel(ctx), "umount", "-l", dir).CombinedOutput()
		if err != nil {
			return fmt.Errorf("unmount %s: %w: %s", dir, err, out)
		}
		return nil
	}, nil
}

// openERP makes the mock, with its journal long enough for the whole run, and the release of orders in it.
func (t *tortured) openERP(ctx context.Context, f tortureFlags, plan planner) error {
	var err error
	t.mock, err = erpmock.New(openapi.ERP(), erpmock.Config{
		Name: "erp.yaml", Seed: int64(f.seed), //nolint:gosec // any bits will do
		Journal: erpmock.Limits{Count: 10_000_000, Bytes: 4 << 30}, Store: erpmock.Limits{Count: 10_000_000, Bytes: 4 << 30}, BodyKept: 1,
	})
	if err != nil {
		return err
	}
	master := plan.master()
	for _, kind := range masterTypes() {
		if err := t.mock.Seed(kind, master[kind]...); err != nil {
			return err
		}
	}
	if t.erp, err = httpapi.Listen(ctx, "127.0.0.1:0"); err != nil {
		return err
	}
	var numbers atomic.Int64
	t.cfg.Release = func(material string) (string, error) {
		i := slices.IndexFunc(plan.set.Orders, func(o dataset.Order) bool { return o.Material == material })
		if i < 0 {
			return "", fmt.Errorf("the data set has no order of %s", material)
		}
		d, err := plan.order(plan.set.Orders[i], time.Now(), 8)
		if err != nil {
			return "", err
		}
		number := fmt.Sprintf("%012d", 900_000_000+numbers.Add(1))
		d["number"], d["messageId"], d["version"] = number, "planner-"+number, 1
		return number, t.mock.Seed("productionOrder", d)
	}
	return nil
}

// configure writes the plant's configuration, on ports that are free now, and says how its process is started.
func (t *tortured) configure(ctx context.Context, f tortureFlags, dir string, progress io.Writer) error {
	api, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	ops, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	url := f.database
	if !strings.HasPrefix(url, "sqlite:") {
		url = "env:" + tortureDatabase // it may have a password, which no file of ours holds
	}
	in := initial{
		Plant: "1000", Zone: "Europe/Berlin", Database: url, API: api, Ops: ops, ERP: "http://" + t.erp.Addr().String(),
		Every: "200ms", Rate: 500, Demo: true,
	}
	text, err := in.write()
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "holdfast.yaml")
	if err := save(file, text); err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if t.log, err = os.Create(filepath.Join(dir, "serve.log")); err != nil {
		return fmt.Errorf("open the plant's log: %w", err)
	}
	control := filepath.Join(dir, "control.sock")
	kills := f.kills
	if kills == 0 {
		kills = 20 * f.minutes
	}
	release := t.cfg.Release
	t.cfg = torture.Config{
		Seed: f.seed, Length: time.Duration(f.minutes) * time.Minute, Kills: kills, Workers: f.workers, InHand: 8, Drain: 3 * time.Minute,
		Serve: func() *exec.Cmd {
			c := exec.Command(program, "serve", "--config", file, "--torture-control", control) //nolint:gosec // it is this program
			c.Env = append(os.Environ(), tortureDatabase+"="+f.database)
			return c
		},
		API: "http://" + api, Ready: "http://" + ops + "/readyz", Control: control, Mock: t.mock, Release: release,
		Log: t.log, Progress: progress,
	}
	return nil
}

// tortureDatabase is the variable by which the plant's process learns the URL of its database.
const tortureDatabase = "HOLDFAST_TORTURE_DATABASE"

// freeAddress is a loopback address that nobody listens on just now.
func freeAddress(ctx context.Context) (string, error) {
	l, err := httpapi.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (t *tortured) run(ctx context.Context) (report torture.Report, err error) {
	ctx, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- erpmock.Serve(ctx, t.erp, t.mock) }()
	report, err = torture.Run(ctx, t.cfg)
	stop()
	return report, errors.Join(err, <-served, t.mock.Close(), t.log.Close())
}

func printTorture(w io.Writer, r torture.Report, asJSON bool) error {
	if asJSON {
		return printJSON(w, r)
	}
	fmt.Fprintf(w, "seed %d: %s, %s, %d messages promised, %d effects in the ERP\n", r.Seed, count(r.Orders, "order", "orders"), count(r.Acts, "act", "acts"), r.Promised, r.Effects)
	var strikes []string
	for _, f := range torture.Faults() {
		if n := r.Strikes[f]; n > 0 {
			strikes = append(strikes, fmt.Sprintf("%d %s", n, f))
		}
	}
	fmt.Fprintf(w, "faults: %s; the process was started %d times; drained in %.1f s\n", strings.Join(strikes, ", "), r.Starts, r.DrainSeconds)
	fmt.Fprintf(w, "lost %d, duplicated %d, out of order %d, unpromised %d; %d of %d attempts were repeats, %d may be\n",
		r.Lost, r.Doubled, r.Disordered, r.Unpromised, r.Repeats, r.Attempts, r.Bound)
	if r.Stuck != "" {
		fmt.Fprintln(w, "stuck: "+r.Stuck)
	}
	for _, e := range r.Examples {
		fmt.Fprintln(w, "  "+e)
	}
	word := "held"
	if !r.OK() {
		word = "FAILED"
	}
	_, err := fmt.Fprintln(w, word)
	return err
}
