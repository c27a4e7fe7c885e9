package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/inbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

func quarantineReplay() *cobra.Command {
	var reason string
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "replay NUMBER", Short: "Try a message in quarantine again, and say what came of it",
		Long: "The process that serves the plant tries the message again, and this command waits for what comes of it. It ends with status 1 if\n" +
			"the message is in quarantine again. --wait 0s does not wait.",
		Example: "  holdfast quarantine replay 17 --reason 'material was added'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			seq, err := rowNumber(args[0])
			if err != nil {
				return err
			}
			return with(cmd, func(ctx context.Context, r *records) error {
				err := r.act(ctx, access.QuarantineReplay, access.InboundObject(seq), reason,
					func(ctx context.Context, tx *store.Tx) error { return r.in.Replay(ctx, tx, seq) })
				if err != nil {
					return err
				}
				said, err := r.cameOf(ctx, seq, wait)
				if err != nil {
					return err
				}
				return r.outcomeOf(ctx, cmd, seq, "message %d is tried again; %s", seq, said)
			})
		},
	}
	reasonFlag(cmd, &reason)
	actFlag(cmd)
	cmd.Flags().DurationVar(&wait, "wait", 10*time.Second, "how long to wait for what comes of it")
	return cmd
}

// cameOf waits for a message to be tried again, and says what came of it: an error of kind Conflict if it is in quarantine again. Where
// nobody is there to try it, that is said at once; with PostgreSQL another node may be.
func (r *records) cameOf(ctx context.Context, seq int64, wait time.Duration) (string, error) {
	served, err := r.db.Served(ctx, r.cfg.node())
	if err != nil {
		return "", err
	}
	if !served && strings.HasPrefix(r.cfg.Database.URL, "sqlite:") {
		return r.cfg.nobody() + "; start it with: holdfast serve", nil
	}
	m, err := r.tried(ctx, seq, wait)
	if err != nil {
		return "", err
	}
	switch m.State {
	case inbox.Quarantined:
		return "", &problem.Error{
			Kind: problem.Conflict, What: fmt.Sprintf("replay message %d", seq), Why: "it was tried, and is in quarantine again: " + m.Reason, Hint: m.Hint,
		}
	case inbox.Ready:
		return fmt.Sprintf("its turn has not come yet, see holdfast quarantine lanes and: holdfast quarantine show %d", seq), nil
	case inbox.Superseded:
		return "it has no effect: the plant has something newer", nil
	case inbox.LeftOut:
		return "it has no effect: its mapping leaves it out", nil
	case inbox.Discarded:
		return "somebody else has discarded it meanwhile", nil
	default:
		return "the plant has acted on it", nil
	}
}

// tried reads a message until its turn has come, for as long as wait.
func (r *records) tried(ctx context.Context, seq int64, wait time.Duration) (m inbox.Message, err error) {
	const lookAgain = 100 * time.Millisecond // what another process does wakes nobody here
	end := time.NewTimer(wait)
	defer end.Stop()
	for {
		err = r.db.View(ctx, func(tx *store.Tx) (err error) {
			m, err = r.in.Message(ctx, tx, seq)
			return err
		})
		if err != nil || m.State != inbox.Ready || wait == 0 {
			return m, err
		}
		select {
		case <-time.After(lookAgain):
		case <-end.C:
			wait = 0
		case <-ctx.Done():
			return m, ctx.Err()
		}
	}
}
