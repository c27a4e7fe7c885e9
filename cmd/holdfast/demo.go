package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"holdfast/cmd/holdfast/dataset"
	"holdfast/internal/problem"
)

// demoFlags are what the demo is told.
type demoFlags struct {
	once, asJSON            bool
	stuck                   bool // an order is left to practise on
	seed                    uint64
	orders                  int
	outage                  time.Duration
	data, database, dataSet string
	listen, through         string
	link                    string // rest or amqp
	erp                     string // plain or sap
	keys                    string // local, vault or none
	broker, restart         string // URL of a broker that runs already, and the command that restarts it

	keep bool // the folder was named, and stays
}

func newDemo() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the main job: a plant, an ERP, and an outage between them",
		Long: "Demo runs a mock ERP, a plant and a shop floor in one process, over HTTP on this machine. It cuts the link for a while; the\n" +
			"plant works on, also with orders of its own; when the link is back, what the plant owes is delivered, and the ERP's own journal\n" +
			"says whether anything was lost, doubled or out of order, and with the plant's public keys alone whether each message is signed and\n" +
			"follows its predecessor. Then it leaves everything running, until Ctrl-C.\n\n" +
			"With --link amqp plant and ERP talk through a RabbitMQ that the demo starts, and that is stopped for the outage. --broker names one\n" +
			"that runs already: both sides are cut off from it instead, and --broker-restart restarts it meanwhile.\n\n" +
			"With --erp sap the ERP is a mock of S/4HANA's OData services, which loses answers after the work was done, has orders locked and ends\n" +
			"sessions, and is restarted during the outage.",
		Example: "  holdfast demo\n  holdfast demo --once --json --seed 7\n  holdfast demo --once --link amqp\n  holdfast demo --once --erp sap\n  holdfast demo --data ./demo && holdfast status --config ./demo/holdfast.yaml\n  holdfast demo --data ./demo --stuck",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runDemo(cmd, f) },
	}
	fl := cmd.Flags()
	fl.BoolVar(&f.once, "once", false, "do the scripted run and exit: 0 if nothing was lost, doubled, out of order or badly signed, else 1")
	fl.BoolVar(&f.asJSON, "json", false, "print the result as one JSON object and nothing else")
	fl.BoolVar(&f.stuck, "stuck", false, "leave an order to practise on: at its end the ERP has refused a confirmation, see docs/when-the-erp-is-down.md")
	fl.Uint64Var(&f.seed, "seed", 1, "of everything that is left to chance")
	fl.IntVar(&f.orders, "orders", 24, "how many orders the ERP releases; the plant makes some of its own besides")
	fl.DurationVar(&f.outage, "outage", 6*time.Second, "how long the link is cut at least")
	fl.StringVar(&f.data, "data", "", "folder that keeps the plant's database, the ERP's ledger and a holdfast.yaml for every other command")
	fl.StringVar(&f.database, "database", "", "URL of a database instead of SQLite; it must be empty")
	fl.StringVar(&f.listen, "listen", "", "address of the plant's API; default 127.0.0.1:8420, or a free port with --once")
	fl.StringVar(&f.through, "through", "", "URL at which the shop floor calls the API: a proxy that checks what passes")
	fl.StringVar(&f.link, "link", "rest", "how plant and ERP talk: rest, over HTTP, or amqp, through RabbitMQ")
	fl.StringVar(&f.erp, "erp", "plain", "what the ERP is: plain, by openapi/erp.yaml, or sap, S/4HANA's OData services")
	fl.StringVar(&f.broker, "broker", "", "with --link amqp: URL of a RabbitMQ on this machine, instead of one that the demo starts")
	fl.StringVar(&f.restart, "broker-restart", "", "shell command that restarts the broker of --broker; it is run once, during the outage")
	keysFlag(cmd, &f.keys)
	fl.Lookup("keys").Usage += "; or vault, with a Vault that the demo starts, and that is cut off during the outage too"
	fl.StringVar(&f.dataSet, "data-set", "", "folder with a data set of your own instead of the bottling plant")
	return cmd
}

func (f demoFlags) check() error {
	switch {
	case f.orders < 1 || f.orders > 5000:
		return &problem.Error{Kind: problem.Invalid, What: "demo", Why: "--orders is not between 1 and 5000", Hint: "leave it out for 24"}
	case f.outage < 0 || f.outage > time.Hour:
		return &problem.Error{Kind: problem.Invalid, What: "demo", Why: "--outage is not between 0 and 1h", Hint: "leave it out for 6s"}
	case f.link != "rest" && f.link != "amqp":
		return &problem.Error{Kind: problem.Invalid, What: "demo", Why: "--link is neither rest nor amqp", Hint: "leave it out for rest"}
	case f.erp != "plain" && f.erp != "sap" || f.erp == "sap" && f.link != "rest":
		return &problem.Error{Kind: problem.Invalid, What: "demo", Why: "--erp is neither plain nor sap, or sap with a broker", Hint: "leave one of them out"}
	case f.broker != "" && f.link != "amqp" || f.restart != "" && f.broker == "":
		return &problem.Error{
			Kind: problem.Invalid, What: "demo", Why: "--broker is for --link amqp, and --broker-restart for --broker", Hint: "give all that belong together",
		}
	case f.stuck && (f.once || f.link != "rest" || f.erp != "plain"):
		return &problem.Error{Kind: problem.Invalid, What: "demo", Why: "--stuck is for a demo that goes on running, over HTTP, with the plain ERP", Hint: "leave out --once, --link and --erp"}
	default:
		if f.keys == keysVault {
			return nil
		}
		return checkKeysFlag(f.keys)
	}
}

func runDemo(cmd *cobra.Command, f demoFlags) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	set, err := dataset.Builtin()
	if f.dataSet != "" {
		set, err = dataset.LoadDir(f.dataSet)
	}
	if err != nil {
		return err
	}
	f.keep = f.data != ""
	if !f.keep {
		if f.data, err = os.MkdirTemp("", "holdfast-demo-"); err != nil {
			return fmt.Errorf("make a folder for the demo: %w", err)
		}
	}
	report, err := stageDemo(cmd, f, set)
	if cmd.Context().Err() != nil && !report.done { // whatever could not go on, did not for that
		return stoppedDemo(cmd, f)
	}
	failed := err != nil && !errors.Is(err, context.Canceled) || err == nil && !report.ok()
	if !f.keep && !failed {
		err = errors.Join(err, os.RemoveAll(f.data))
	} else if failed {
		fmt.Fprintf(cmd.ErrOrStderr(), "holdfast: what is left of the demo is in %s\n", f.data)
	}
	if err != nil {
		return err
	}
	return exitUnless(report.ok())
}

// stopped is the status of a program that Ctrl-C has ended before it was done.
const stopped = 130

// stoppedDemo tells that the script was not played to its end.
func stoppedDemo(cmd *cobra.Command, f demoFlags) error {
	kept := ""
	if f.keep {
		kept = "; another demo on " + f.data + " goes on from there"
	} else if err := os.RemoveAll(f.data); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "holdfast: the demo was stopped before its end%s\n", kept)
	return exitError(stopped)
}

// stageDemo opens everything, plays the script and, unless it is to be done once, leaves everything running until ctx ends.
func stageDemo(cmd *cobra.Command, f demoFlags, set *dataset.Set) (report demoReport, err error) {
	ctx, stop := context.WithCancel(cmd.Context())
	defer stop()
	s, err := openStage(ctx, f, set)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	out := cmd.OutOrStdout()
	say := &teller{w: out, live: !f.asJSON && isTerminal(out)}
	if f.asJSON {
		say.w = io.Discard
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.serveERP(gctx) })
	if s.mq != nil {
		g.Go(func() error { return s.mq.run(gctx) })
	}
	g.Go(func() error { return s.plant.Run(gctx) })
	g.Go(func() error {
		defer stop()
		var err error
		if report, err = s.play(gctx, say); err != nil {
			return err
		}
		if f.asJSON {
			err = printJSON(out, report)
		} else {
			report.print(out)
		}
		if err == nil && f.stuck {
			err = s.stick(gctx, out)
		}
		if err == nil && !f.once {
			s.stay(gctx, out, f)
		}
		return err
	})
	err = g.Wait()
	if report.done && errors.Is(err, context.Canceled) {
		err = nil // Ctrl-C after the script
	}
	return report, err
}

// teller tells the state of the run: in one line that is written over on a terminal, else in a line for each change of scene.
type teller struct {
	w    io.Writer
	live bool

	mu    sync.Mutex
	width int // of the line that is there; guarded by mu
}

// scene begins a new line.
func (t *teller) scene(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over("")
	fmt.Fprintf(t.w, format+"\n", args...)
}

// status writes over the present line; nothing where nobody watches.
func (t *teller) status(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over(line)
}

// over needs mu.
func (t *teller) over(line string) {
	if t.live {
		fmt.Fprintf(t.w, "\r%-*s\r%s", t.width, "", line)
		t.width = len(line)
	}
}

// isTerminal tells whether a person watches.
func isTerminal(w io.Writer) bool {
	if there, ok := w.(interface{ terminal() bool }); ok {
		return there.terminal()
	}
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
