package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"holdfast/cmd/holdfast/internal/torture"
	"holdfast/internal/problem"
)

// tortureFlags are the command's options.
type tortureFlags struct {
	seed     uint64
	minutes  int
	kills    int
	workers  int
	nodes    int
	database string
	postgres string
	broker   bool
	old      string
	all      bool
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
starved of disk and moved in time, by a schedule that the seed makes. Several nodes share one
PostgreSQL database, and each strike hits one or two of them. Then the mock's own journal says
whether anything was lost, doubled or reordered. The schedule and the work are the same for a seed; how
the machine interleaves the processes is not, so a seed that fails may need some runs to fail again.`,
		Example: "  holdfast torture --seed 7 --minutes 1\n  holdfast torture --seed 7 --minutes 8 --kills 220 --database postgres://localhost/holdfast_torture\n" +
			"  holdfast torture --seed 7 --nodes 3 --postgres own",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runTorture(cmd, f) },
	}
	flags := cmd.Flags()
	flags.Uint64Var(&f.seed, "seed", 1, "makes the schedule")
	flags.IntVar(&f.minutes, "minutes", 1, "how long faults strike; draining comes on top")
	flags.IntVar(&f.kills, "kills", 0, "SIGKILLs in that time; 0 means 20 a minute")
	flags.IntVar(&f.workers, "workers", 6, "shop-floor clients at a time")
	flags.StringVar(&f.database, "database", "", "URL of a PostgreSQL database, in which a schema is made for the run; default a SQLite file")
	flags.IntVar(&f.nodes, "nodes", 1, "processes of the plant on one PostgreSQL database")
	flags.StringVar(&f.postgres, "postgres", "", "own: a PostgreSQL server for the run alone, which may then be restarted under it")
	flags.BoolVar(&f.broker, "broker", false, "plant and ERP talk through a RabbitMQ of the run's own, which is restarted and cut off as well")
	flags.StringVar(&f.old, "old", "", "an older holdfast program, as which the first of several nodes runs: an upgrade that is under way")
	flags.StringSliceVar(&f.faults, "faults", nil, "only these: "+faultNames())
	flags.StringVar(&f.data, "data", "", "folder for the configuration, the plant's log and, with SQLite, the database; kept. Default a temporary one, kept if the run fails")
	flags.BoolVar(&f.all, "all", false, "fail where a fault cannot be made on this machine, instead of leaving it out")
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

// check refuses what does not go together.
func (f tortureFlags) check() error {
	wrong := func(why, hint string) error {
		return &problem.Error{Kind: problem.Invalid, What: "torture", Why: why, Hint: hint}
	}
	switch {
	case f.minutes < 1 || f.workers < 1 || f.kills < 0:
		return wrong("--minutes, --workers or --kills is too small for a run that shows anything", "give a minute and a worker at least, and no fewer than 0 kills")
	case f.nodes < 1 || f.nodes > 9:
		return wrong("--nodes is not between 1 and 9", "leave it out for one")
	case f.postgres != "" && f.postgres != "own":
		return wrong("--postgres "+f.postgres+" is not known", "write --postgres own, or name a database with --database")
	case f.postgres != "" && f.database != "":
		return wrong("--postgres own and --database exclude each other", "a server that is not the run's own is never restarted")
	case f.nodes > 1 && f.postgres == "" && !strings.HasPrefix(f.database, "postgres"):
		return wrong("a SQLite database has one node", "add --postgres own, or --database postgres://user@host/database")
	case f.old != "" && f.nodes < 2:
		return wrong("--old needs another node beside it", "add --nodes 3")
	default:
		_, err := chosenFaults(f.faults)
		return err
	}
}

func runTorture(cmd *cobra.Command, f tortureFlags) (err error) {
	if err := f.check(); err != nil {
		return err
	}
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
	held := err == nil && report.OK()
	err = errors.Join(err, t.close(held))
	if held && err == nil && f.data == "" {
		err = os.RemoveAll(dir)
	}
	if err != nil {
		return fmt.Errorf("torture with seed %d, see %s: %w", f.seed, dir, err)
	}
	if !held {
		fmt.Fprintf(cmd.ErrOrStderr(), "holdfast: seed %d failed; its database and logs are left as they are, see %s\n", f.seed, dir)
	}
	if err := printTorture(cmd.OutOrStdout(), report, f.asJSON); err != nil {
		return err
	}
	return exitUnless(held)
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

func (t *tortured) run(ctx context.Context) (report torture.Report, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	t.background(ctx, g)
	g.Go(func() (err error) {
		defer stop()
		report, err = torture.Run(ctx, t.cfg)
		return err
	})
	return report, errors.Join(g.Wait(), t.mock.Close())
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
	fmt.Fprintf(w, "faults: %s; %s started %d times; drained in %.1f s\n", strings.Join(strikes, ", "), count(r.Nodes, "node", "nodes"), r.Starts, r.DrainSeconds)
	if t := r.Takeovers; r.Nodes > 1 {
		fmt.Fprintf(w, "lanes of %s that were gone came into other hands %.1f s later at most, %.1f s may be; %d too late\n", count(t.Count, "node", "nodes"), t.Longest, t.Bound, t.Late)
	}
	fmt.Fprintf(w, "lost %d, duplicated %d, out of order %d, unpromised %d; %d of %d attempts were repeats, %d may be\n",
		r.Lost, r.Doubled, r.Disordered, r.Unpromised, r.Repeats, r.Attempts, r.Bound)
	fmt.Fprintf(w, "with the plant's public keys alone: verified %d, bad signatures %d\n", r.Verified, r.BadSigned)
	if r.Settled != int64(r.Promised) || r.Unfiled > 0 || r.LostBodies > 0 {
		fmt.Fprintf(w, "the plant counts %d messages as settled; %s not filed; %s lost\n", r.Settled, count(int(r.Unfiled), "receipt", "receipts"),
			count(int(r.LostBodies), "large body", "large bodies"))
	}
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
