package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// meaningFlags gives --meaning to each command whose act may have to be signed.
func meaningFlags(root *cobra.Command) {
	for _, c := range root.Commands() {
		meaningFlags(c)
		if slices.Contains(access.Signable(), verbs()[verb(c)]) && !c.DisableFlagsInUseLine {
			c.Flags().String("meaning", "", "where access.sign has the act signed, what your signature means: "+strings.Join(access.Meanings(), ", "))
			_ = c.RegisterFlagCompletionFunc("meaning", cobra.FixedCompletions(access.Meanings(), cobra.ShellCompDirectiveNoFileComp)) // the flag is defined one line above
		}
	}
}

// pen is what a command is signed with: whoever gives it is asked for their password and a new code, each act anew.
type pen struct {
	meaning string
	from    io.Reader
	lines   *bufio.Reader
	say     io.Writer
}

func penOf(cmd *cobra.Command) *pen {
	f := cmd.Flags().Lookup("meaning")
	if f == nil {
		return nil
	}
	in := cmd.InOrStdin()
	return &pen{f.Value.String(), in, bufio.NewReader(io.LimitReader(in, 64<<10)), cmd.ErrOrStderr()}
}

// do does one act, which whoever gives the command signs if it must be signed.
func (r *records) do(ctx context.Context, act access.Act, fn func(ctx context.Context, tx *store.Tx) (access.Result, error)) (access.Result, error) {
	if err := r.db.View(ctx, func(tx *store.Tx) error { return audit.Ready(ctx, tx) }); err != nil { // the keyring is not opened while the act locks what it changes
		return access.Result{}, err
	}
	if r.pen != nil && r.doer.Signs(act.Action) {
		var err error
		if act.Signature, err = r.sign(ctx, act); err != nil {
			return access.Result{}, err
		}
	}
	return r.doer.Do(ctx, act, fn)
}

// sign asks for a signature. It is judged with the act.
func (r *records) sign(ctx context.Context, act access.Act) (*access.Signature, error) {
	policy, err := r.cfg.policy()
	if err != nil {
		return nil, err
	}
	s := r.cfg.sessions(r.db, policy)
	if _, err := r.cfg.members(s, slog.New(slog.DiscardHandler)); err != nil {
		return nil, err
	}
	if err := s.CanSignHere(act.Actor); err != nil {
		return nil, err
	}
	if !slices.Contains(access.Meanings(), r.pen.meaning) {
		return nil, &problem.Error{
			Kind: problem.Invalid, What: "sign " + act.Action + " " + act.Object, Why: "it must be signed, and nothing says what the signature means",
			Hint: "say it with --meaning: " + strings.Join(access.Meanings(), ", "),
		}
	}
	fmt.Fprintf(r.pen.say, "%s signs %s %s as %s: %s\n", act.Actor.Name, act.Action, act.Object, r.pen.meaning, act.Reason)
	password, err := r.pen.ask(ctx, "password")
	if err != nil {
		return nil, err
	}
	code, err := r.pen.ask(ctx, "code")
	if err != nil {
		return nil, err
	}
	return s.SignHere(act.Actor, r.pen.meaning, password, code)
}

// ask reads one line without showing it: of the terminal, or of standard input where that is none.
func (p *pen) ask(ctx context.Context, what string) (string, error) {
	fmt.Fprint(p.say, what+": ")
	defer fmt.Fprintln(p.say)
	f, ok := p.from.(*os.File)
	var line string
	var err error
	if ok && term.IsTerminal(int(f.Fd())) {
		line, err = hidden(ctx, int(f.Fd()))
	} else {
		line, err = p.lines.ReadString('\n')
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", &problem.Error{
			Kind: problem.Denied, What: "sign", Why: "there is no " + what, Hint: "type it, or have it on standard input: password and code, a line each, for each act", Cause: err,
		}
	}
	return line, nil
}

// hidden reads a line of a terminal, which shows what is typed again even if the program is ended meanwhile.
func hidden(ctx context.Context, fd int) (string, error) {
	was, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, func() { _ = term.Restore(fd, was) }) // the program is about to end
	defer stop()
	line, err := term.ReadPassword(fd)
	return string(line), err
}
