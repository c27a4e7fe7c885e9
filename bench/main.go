// Command bench measures what Holdfast promises of its speed, and prints one table from one run:
//
//	go run . [flags] [row …]
//
// Without names it runs every row but the errands. Who competes takes turns with who sets the measure, round by round on the same
// machine, so that a machine which slows down meanwhile slows both; a figure is the median of the rounds, and what counts is its
// ratio to the measure of the same run. The table and the machine go into results.json too.
//
// A row is a file of this package that adds one line to the table in rows.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"holdfast/internal/heap"
	"holdfast/internal/store"
)

// Result is one figure.
type Result struct {
	Name      string    `json:"name"`
	Unit      string    `json:"unit"`
	Value     float64   `json:"value"`
	Reference float64   `json:"ceiling,omitempty"` // what it is compared with, in the same unit and from the same run
	Ratio     float64   `json:"ratio,omitempty"`   // Value to Reference
	Wanted    float64   `json:"wanted,omitempty"`  // the ratio that the issue asks for
	Bound     string    `json:"bound,omitempty"`   // what must hold, in words
	OK        bool      `json:"holds"`
	At        time.Time `json:"at"`
}

// atLeast is a figure that must reach a part of its measure.
func atLeast(name, unit string, value, reference, wanted float64) Result {
	return Result{
		Name: name, Unit: unit, Value: value, Reference: reference, Ratio: value / reference, Wanted: wanted,
		Bound: fmt.Sprintf("at least %g ×", wanted), OK: value >= wanted*reference, At: time.Now().UTC(),
	}
}

// plain is a figure that others are compared with, or that is only told.
func plain(name, unit string, value float64) Result {
	return Result{Name: name, Unit: unit, Value: value, OK: true, At: time.Now().UTC()}
}

// options says how much is measured.
type options struct {
	rounds  int
	quick   bool
	strict  bool
	profile string // folder for pprof files
}

// of is how much of n a run does: a quick one a tenth.
func (o options) of(n int) int {
	if o.quick {
		return max(1, n/10)
	}
	return n
}

// row measures one thing. It stops at the end of ctx.
type row struct {
	name string
	what string
	run  func(ctx context.Context, o options) ([]Result, error)
}

// rows is the table of what can be measured, in the order of running.
func rows() []row {
	fixed := func(run func(context.Context) ([]Result, error)) func(context.Context, options) ([]Result, error) {
		return func(ctx context.Context, _ options) ([]Result, error) { return run(ctx) }
	}
	return []row{
		{"outbox", "outbox to RabbitMQ, against amqp091-go alone, Watermill and River", outboxRow},
		{"depth", "the same with 1,000,000 waiting, against 10,000 waiting", depthRow},
		{"inbox", "RabbitMQ to inbox to committed effect, against a consumer that acknowledges in batches", inboxRow},
		{"append", "a business row and its message, committed, against plain transactions of two inserts", appendRow},
		{"sign", "signatures of messages against Ed25519 alone, and appends with and without them", signRow},
		{"sealed", "outbox to RabbitMQ signed and sealed at rest, against neither; a signature and a seal against the primitives alone", sealedRow},
		{"latency", "commit to the ERP's answer over the rest link, against net/http", latencyRow},
		{"mock", "validated POSTs of the ERP mock against Prism", fixed(mockRow)},
		{"claim-explain", "plan of the claim behind a million delivered messages", fixed(explainRow)},
		{"drain", "10,000 messages behind a million delivered ones", fixed(drainRow)},
		{"mapping", "a confirmation of 15 fields decoded, mapped and encoded, against Bloblang and gojq; 1,000 mappings loaded", mappingRow},
		{"page", "a letter typed into the console's rules of a mapping, until its result is there", pageRow},
		{"pages", "every list of the console while 200,000 messages stand still, on 2 cores", pagesRow},
		{"metadata", "a $metadata of 5 MB read, V2 and V4, against encoding/xml that walks through its tokens", metadataRow},
		{"recovery", "a plant of 1 GB lost, and made anew of its backup by the key from the safe, until it is ready", recoveryRow},
		{"exact", "verdicts of the ERP mock against Prism", fixed(exactRow)},
	}
}

// errands are rows that run only where they are named: parts of others, for a profile of nothing else.
func errands() []row {
	return []row{
		{"relay-postgres", "outbox to RabbitMQ from PostgreSQL alone", relayRow(store.Postgres)},
		{"relay-sqlite", "outbox to RabbitMQ from SQLite alone", relayRow(store.SQLite)},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	heap.Keep() // as serve does; whoever competes here has it too
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures the rows named, or does a hidden errand of a row: a server in a process of its own.
func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "serve-mock" {
		return serveMock(ctx, args[1:])
	}
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&o.rounds, "rounds", 5, "rounds of which a median is taken")
	flags.BoolVar(&o.quick, "quick", false, "a tenth of the work in one round: does it run, not how fast")
	flags.BoolVar(&o.strict, "strict", false, "end with status 1 if a figure is not reached")
	flags.StringVar(&o.profile, "profile", "", "folder to leave cpu.pprof and heap.pprof in")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.quick {
		o.rounds = 1
	}
	if err := known(flags.Args()); err != nil {
		return err
	}
	if err := flushing(ctx); err != nil {
		return err
	}
	stop, err := startProfile(o.profile)
	if err != nil {
		return err
	}
	results, err := measure(ctx, o, flags.Args())
	err = errors.Join(err, stop())
	m := describeMachine(ctx)
	fmt.Println(m)
	printTable(results)
	err = errors.Join(err, writeResults("results.json", m, results))
	if missed := missed(results); missed != nil && o.strict {
		err = errors.Join(err, missed)
	}
	return err
}

func known(names []string) error {
	for _, n := range names {
		if !slices.ContainsFunc(append(rows(), errands()...), func(r row) bool { return r.name == n }) {
			return fmt.Errorf("there is no row %q", n)
		}
	}
	return nil
}

// measure runs rows. One that breaks down does not keep the others from running.
func measure(ctx context.Context, o options, names []string) (results []Result, err error) {
	all := rows()
	if len(names) > 0 {
		all = slices.DeleteFunc(append(all, errands()...), func(r row) bool { return !slices.Contains(names, r.name) })
	}
	for _, r := range all {
		fmt.Fprintf(os.Stderr, "bench: %s: %s\n", r.name, r.what)
		got, rerr := r.run(ctx, o)
		results = append(results, got...)
		if rerr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", r.name, rerr))
		}
	}
	return results, err
}

func missed(results []Result) (err error) {
	for _, r := range results {
		if !r.OK {
			err = errors.Join(err, fmt.Errorf("%s: %.4g %s does not hold: %s", r.Name, r.Value, r.Unit, r.Bound))
		}
	}
	return err
}

func printTable(results []Result) {
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "figure\tvalue\tunit\tceiling\tratio\tbound\tholds")
	for _, r := range results {
		reference, ratio := "", ""
		if r.Reference > 0 {
			reference, ratio = fmt.Sprintf("%.4g", r.Reference), fmt.Sprintf("%.2f", r.Ratio)
		}
		fmt.Fprintf(w, "%s\t%.4g\t%s\t%s\t%s\t%s\t%v\n", r.Name, r.Value, r.Unit, reference, ratio, r.Bound, r.OK)
	}
	_ = w.Flush() // stdout
}

// writeResults keeps what this run has found.
func writeResults(path string, m machine, results []Result) error {
	b, err := json.MarshalIndent(struct {
		Machine machine  `json:"machine"`
		Results []Result `json:"results"`
	}{m, results}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
