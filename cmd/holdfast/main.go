// Command holdfast is store-and-forward middleware between a plant's MES and its ERP.
//
// It is the one program: serve runs a plant, demo shows one, the rest looks and repairs. Results go to stdout, all else to stderr
// as "holdfast: …". The exit status is the same everywhere: 0 done, 1 an error, 2 wrong input or a missing --yes, 3 not found, 4 not allowed,
// 5 the set is another than was said, 6 done in part, 7 something needed does not answer, 8 a second person has to approve it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"holdfast/internal/problem"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run runs one command line and returns its exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(keysLast(args))
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[exitError](err); ok {
		return int(e)
	}
	printError(stderr, err)
	return exitStatus(err)
}

// rootCommand is the command table.
func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "holdfast",
		Short: "Store-and-forward middleware between a plant's MES and its ERP",
		Long: `Holdfast takes what the ERP orders, runs the plant from its own database, and owes the
ERP a report of everything that happened. While the ERP is away the plant works on; when it
is back every report arrives once and in order.`,
		SilenceErrors: true, SilenceUsage: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentPreRunE = permitted
	root.PersistentFlags().StringP("config", "c", "holdfast.yaml", "the plant's configuration")
	root.AddCommand(commands()...)
	root.SetHelpCommand(helpCommand())
	root.InitDefaultCompletionCmd()
	explainMistakes(root)
	printFormats(root)
	meaningFlags(root)
	remotely(root)
	completeNames(root)
	return root
}

// exitError ends the program with a status after everything has been said.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// leaves takes joined errors apart.
func leaves(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, leaves(e)...)
	}
	return out
}

// printError says what went wrong and what to do about it. A joined error is told part by part.
func printError(w io.Writer, err error) {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			printError(w, e)
		}
		return
	}
	p, ok := errors.AsType[*problem.Error](err)
	if !ok {
		fmt.Fprintf(w, "holdfast: %v\n", err)
		return
	}
	fmt.Fprintf(w, "holdfast: %s\n", p.Error())
	if len(p.Fields) > 1 { // one is told by Why already
		for _, f := range p.Fields {
			fmt.Fprintf(w, "  %s: %s\n", f.Pointer, f.Why)
		}
	}
	if p.Hint != "" {
		fmt.Fprintf(w, "hint: %s\n", p.Hint)
	}
}

// exitStatus is the status that an error ends the program with.
func exitStatus(err error) int {
	if p, ok := errors.AsType[*problem.Error](err); ok {
		return p.Kind.ExitStatus()
	}
	return problem.Internal.ExitStatus()
}
