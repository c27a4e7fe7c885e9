package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

func keysDrill() *cobra.Command {
	var reason string
	var least time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "drill",
		Short: "Rehearse that the keyring is away for as long as it may be",
		Long: "Rehearse that the keyring is away. It certifies a key, as it does for the node, and is then taken away from it, while the clock of the\n" +
			"rehearsal runs to the end of the certificate: each hour something is signed and checked with public keys alone, and a new key is asked\n" +
			"for in vain. So it shows how long the certificates last that the keyring really gives, and that the node signs until then and not\n" +
			"longer. The node's own key is not touched, and a plant that runs does not notice. It takes seconds, and is kept in the audit record.",
		Example: "  holdfast keys drill --reason 'drill of the quarter' --least 144h",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				k, err := r.cfg.openKeyring(ctx, r.db.Now, slog.New(slog.DiscardHandler))
				if err != nil {
					return err
				}
				var d seal.DrillReport
				err = r.act(ctx, access.KeysDrill, "node/"+r.cfg.node(), reason, func(context.Context, *store.Tx) error { return nil })
				if err == nil {
					d, err = seal.Drill(ctx, k, r.cfg.nodeURI(), r.cfg.Keys.Renew)
				}
				if err == nil && d.Budget < least {
					err = &problem.Error{
						Kind: problem.Conflict, What: "rehearse that the keyring is away", Why: fmt.Sprintf("it may be away for %s, less than %s", d.Budget, least),
						Hint: "have the keyring give longer certificates: keys.life, or KEY_LIFE of deploy/vault/setup node",
					}
				}
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), map[string]any{
						"life_seconds": seconds(d.Life), "budget_seconds": seconds(d.Budget), "signed": d.Signed, "asked_in_vain": d.Asked, "returned_ms": d.Returned.Milliseconds(),
					})
				}
				fmt.Fprintf(cmd.OutOrStdout(), "the keyring may be away for %s: without it %s made and checked until the certificate ended, none after\n",
					short(d.Budget), count(int64(d.Signed), "signature was", "signatures were"))
				fmt.Fprintf(cmd.OutOrStdout(), "a new key was asked for %d times in vain; with the keyring back it came in %s\n", d.Asked, short(d.Returned))
				return nil
			})
		},
	}
	reasonFlag(cmd, &reason)
	jsonFlag(cmd, &asJSON)
	cmd.Flags().DurationVar(&least, "least", 0, "fail if the keyring may be away for less than this")
	return cmd
}

// keysLeft is for how long a node can sign without its keyring.
type keysLeft struct {
	Node   string     `json:"node"`
	Key    seal.KeyID `json:"key"`
	Until  time.Time  `json:"until"`
	Left   seconds    `json:"left_seconds"`
	Budget seconds    `json:"budget_seconds"`
	Half   bool       `json:"half"` // more than half of the budget is gone
}

// keysLeftOf tells it of each node's newest key that counts, by the archive alone: the keyring may be away.
func keysLeftOf(ctx context.Context, tx *store.Tx, cfg Config) ([]keysLeft, error) {
	if cfg.Keys.Kind == "" {
		return nil, nil
	}
	all, err := seal.Archive(ctx, tx)
	if err != nil {
		return nil, err
	}
	var out []keysLeft
	seen := map[string]bool{}
	for _, a := range all {
		if seen[a.Node] || !a.Revoked.IsZero() { // with one that is to be replaced its node signs until it has another
			continue
		}
		seen[a.Node] = true
		budget, left, half := a.Budget(cfg.Keys.Renew, tx.Now)
		if left == 0 && a.Node != cfg.nodeURI() {
			continue // a node that is not there any more
		}
		out = append(out, keysLeft{a.Node, a.Key, a.Chain[0].NotAfter, seconds(left), seconds(budget), half})
	}
	return out, nil
}

func (k keysLeft) says() string {
	if k.Left == 0 {
		return k.Node + " cannot sign: its certificate ended at " + k.Until.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("%s can sign without its keyring for another %s", k.Node, short(time.Duration(k.Left)))
}

func (k keysLeft) do() string {
	if k.Left == 0 {
		return "messages are kept and leave once they can be signed; start the node, and see what its log says of the keyring"
	}
	return fmt.Sprintf("more than half of the %s is gone for which the keyring may be away; bring it back, and see what the log says of it", short(time.Duration(k.Budget)))
}

// examineKeys tells how long the node signs on, and what its keyring says, without asking it for anything.
func examineKeys(ctx context.Context, cfg Config) []finding {
	const subject = "keys"
	if cfg.Keys.Kind == "" {
		return nil
	}
	k, err := cfg.openKeyring(ctx, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		return bad(subject, err)
	}
	out := examineReadable(cfg)
	var away error
	if v, ok := k.Keyring.(*seal.Vault); ok {
		if away = v.Health(ctx); away == nil { // which takes no login
			out = append(out, finding{Subject: "Vault", State: isOK, Says: "it answers and is unsealed"})
		}
	} else if _, _, err := k.Roots(ctx); err != nil {
		return append(out, bad(subject, err)...)
	}
	if refused := examineStart(ctx, cfg, k, away); len(refused) > 0 {
		return append(out, refused...)
	}
	if away != nil {
		f := bad("Vault", away)[0]
		f.State = look // the node starts and signs without it
		out = append(out, f)
	}
	left, err := cfg.keysLeft(ctx)
	if err != nil {
		return out // the database is told by itself
	}
	if len(left) == 0 {
		return append(out, finding{Subject: subject, State: isOK, Says: "no node has a key yet; it is made at the first start"})
	}
	for _, l := range left {
		f := finding{Subject: subject, State: isOK, Says: l.says()}
		if l.Half {
			f.State, f.Do = look, l.do()
		}
		out = append(out, f)
	}
	return append(out, cfg.examineRest(ctx)...)
}

func (c Config) keysLeft(ctx context.Context) (left []keysLeft, err error) {
	r, err := openRecords(ctx, c) // it makes no database where there is none
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.db.Close() }()
	err = r.db.View(ctx, func(tx *store.Tx) (err error) {
		left, err = keysLeftOf(ctx, tx, c)
		return err
	})
	return left, err
}
