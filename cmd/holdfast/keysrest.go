package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/body"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/prove"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/token"
)

func keysReseal() *cobra.Command {
	var reason string
	var every bool
	cmd := &cobra.Command{
		Use:   "reseal",
		Short: "Seal what was kept before the plant sealed its bodies",
		Long: "Seal every body that is kept as it was given: what is owed, delivered and came in, histories, answers and large bodies. The plant may run;\n" +
			"what was sealed stays so if the command is stopped, and it goes on where it is called again. Free pages of the database and old copies of\n" +
			"it keep what they had: vacuum the one, and let the others expire.\n\n" +
			"On PostgreSQL a plant with messages begins to seal by this command alone, and only with --every-node: a node of a release before\n" +
			"cannot read what is sealed. End those first. With it every entry of the audit record has a MAC from then on.",
		Example: "  holdfast keys reseal --reason 'every node is upgraded' --every-node",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				if err := r.beginSealing(ctx, reason, every); err != nil {
					return err
				}
				n, unsaid, err := r.reseal(ctx, cmd.ErrOrStderr())
				fmt.Fprintf(cmd.OutOrStdout(), "sealed %s\n", count(n, "value that was not", "values that were not"))
				if unsaid > 0 {
					fmt.Fprintf(cmd.OutOrStdout(), "of %s the plant has no signature: sealed as well, and not sent again\n", count(unsaid, "delivery", "deliveries"))
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&every, "every-node", false, "every node of the plant runs this release: the plant may begin")
	reasonFlag(cmd, &reason)
	return cmd
}

// beginSealing has this command seal, and the plant from now on.
func (r *records) beginSealing(ctx context.Context, reason string, every bool) error {
	if r.cfg.Keys.Kind == "" || r.cfg.Keys.AtRest == atRestOff {
		return &problem.Error{
			Kind: problem.Conflict, What: "seal what is kept", Why: "the configuration has no keyring, or keys.at_rest is off", Hint: "write keys: as docs/keys.md says",
		}
	}
	var s seal.RestState
	err := r.db.View(ctx, func(tx *store.Tx) (err error) {
		if s, err = seal.ReadRestState(ctx, tx); err != nil || !s.Began.IsZero() {
			return err
		}
		return neverSealed(ctx, tx, r.out, r.in) // before the act, whose entry has a MAC that needs an epoch
	})
	if err != nil {
		return err
	}
	if s.Began.IsZero() && r.db.Dialect() == store.Postgres && !every {
		return &problem.Error{
			Kind: problem.Conflict, What: "seal what is kept", Why: "the plant does not seal yet, and a node of an earlier release could not read what is sealed",
			Hint: "once every node runs this release, say so: --every-node",
		}
	}
	if err := r.act(ctx, access.KeysReseal, "plant/"+r.cfg.Plant.Number, reason, func(context.Context, *store.Tx) error { return nil }); err != nil {
		return err
	}
	rest, err := seal.OpenRest(ctx, r.db, lazyKeys{r.cfg}, seal.RestConfig{Now: r.db.Now, Begin: func(ctx context.Context, tx *store.Tx) (may, whole bool, err error) {
		err = neverSealed(ctx, tx, r.out, r.in)
		return err == nil, false, err
	}}, slog.New(slog.DiscardHandler))
	if err == nil && !rest.Seals() {
		err = &problem.Error{Kind: problem.Unavailable, What: "seal what is kept", Why: "the keyring gives no seeds", Hint: "see holdfast doctor"}
	}
	if err != nil {
		return err
	}
	r.db.SealWith(rest)
	if r.db.Dialect() == store.Postgres && !every {
		return nil // a node of an earlier release, which gives no entry of the audit record a MAC, may still be at work
	}
	unbegun := false
	err = r.db.View(ctx, func(tx *store.Tx) (err error) { unbegun, err = audit.ReceiptsUnbegun(ctx, tx); return err })
	if err == nil && unbegun {
		err = r.out.VouchPurged(ctx, r.db)
	}
	if err != nil {
		return err
	}
	return r.db.InTx(ctx, func(tx *store.Tx) error {
		if err := audit.BeginMACs(ctx, tx, r.cfg.localActor().Name, r.out.BeginMACs); err != nil || !unbegun {
			return err
		}
		return audit.BeginReceipts(ctx, tx, r.cfg.localActor().Name, r.out.BeginMACs)
	})
}

// reseal seals all that is not, and says how far it has come.
func (r *records) reseal(ctx context.Context, progress io.Writer) (total, unsaid int, err error) {
	b, _, err := r.bundle(ctx)
	if err != nil {
		return 0, 0, err
	}
	trust := b.Trust()
	genuine := func(m message.Message) error { _, err := trust.Genuine(m); return err }
	kept, place, seq := outbox.Kept{}, body.Place{}, int64(0)
	steps := []struct {
		what string
		some func() (n int, more bool, err error)
	}{
		{"messages that are owed", func() (n int, more bool, err error) {
			n, err = r.out.SealOwed(ctx, r.db)
			return n, n > 0, err
		}},
		{"inbound messages", func() (n int, more bool, err error) {
			n, seq, err = r.in.SealKept(ctx, seq)
			return n, n > 0, err
		}},
		{"deliveries and histories", func() (n int, more bool, err error) {
			n, kept, err = r.out.SealKept(ctx, r.db, kept, genuine)
			return n, !kept.End, err
		}},
		{"chunks of large bodies", func() (n int, more bool, err error) {
			n, place, err = body.SealKept(ctx, r.db, place)
			return n, n > 0, err
		}},
	}
	for _, s := range steps {
		here, said := 0, 0
		for more := true; more; {
			var n int
			if n, more, err = s.some(); err != nil {
				return total, kept.Unsaid, fmt.Errorf("seal %s: %w", s.what, err)
			}
			if here, total = here+n, total+n; here-said >= 10_000 {
				said = here
				fmt.Fprintf(progress, "%d %s\n", here, s.what)
			}
		}
	}
	return total, kept.Unsaid, nil
}

func keysRewrap() *cobra.Command {
	var reason string
	var fresh bool
	cmd := &cobra.Command{
		Use:   "rewrap",
		Short: "Wrap the keys of what is sealed anew, after the wrapping key was rotated",
		Long: "Wrap the seed of every epoch under the latest version of the keyring's wrapping key. What is sealed stays as it is. serve does the same\n" +
			"every ten minutes. With --new-key the plant's own keyring makes a new wrapping key first: copy ca.age to the other nodes then. At Vault:\n" +
			"vault write -f holdfast-transit/keys/rest/rotate; after the rewrap min_decryption_version may be raised, which makes the wrapped seeds of\n" +
			"every earlier copy of the database useless.",
		Example: "  holdfast keys rewrap --new-key --reason 'an administrator has left'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				all, changed, err := r.rewrap(ctx, reason, fresh)
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "of %s %d wrapped anew\n", count(all, "epoch", "epochs"), changed)
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&fresh, "new-key", false, "have the plant's own keyring make a new wrapping key first")
	reasonFlag(cmd, &reason)
	return cmd
}

func (r *records) rewrap(ctx context.Context, reason string, fresh bool) (all, changed int, err error) {
	k, err := r.cfg.openKeyring(ctx, r.db.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, 0, err
	}
	local, ok := k.Keyring.(*seal.Local)
	if fresh && !ok {
		return 0, 0, &problem.Error{
			Kind: problem.Conflict, What: "make a wrapping key", Why: "it is Vault's", Hint: "vault write -f holdfast-transit/keys/rest/rotate",
		}
	}
	if err := r.act(ctx, access.KeysRewrap, "plant/"+r.cfg.Plant.Number, reason, func(context.Context, *store.Tx) error { return nil }); err != nil {
		return 0, 0, err
	}
	if fresh {
		if _, err := local.RotateWrapping(); err != nil {
			return 0, 0, err
		}
	}
	return seal.LazyRest(r.db, lazyKeys{r.cfg}, seal.RestConfig{Now: r.db.Now}, slog.New(slog.DiscardHandler)).Rewrap(ctx)
}

func keysShred() *cobra.Command {
	var reason, link, lane, person string
	var yes bool
	cmd := &cobra.Command{
		Use:   "shred",
		Short: "Destroy the bodies of a lane, or what a person's token stands for, for ever",
		Long: "Destroy the bodies of a lane that owes nothing, and the secret that its keys are made with. Numbers, digests, signatures and the ERP's\n" +
			"document numbers stay: the lane still proves whole. Or destroy the value that a token stands for: every message that has it is anonymous from\n" +
			"then on, what is still owed goes out with the token, and the same number gets another one. Copies of the database from before keep all of it until\n" +
			"they expire, or until the wrapping key is rotated and its earlier versions are refused (holdfast keys rewrap). Nothing brings it back.",
		Example: "  holdfast keys shred --link erp --lane 6f1d2b1e --reason 'request of the works council' --yes\n" +
			"  holdfast keys shred --person tok_mfrggzdfmztwq2lknnwg23tpoa --reason 'request 17 under GDPR article 17' --yes",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ofLane := link != "" && lane != ""; ofLane == (person != "") || !ofLane && link+lane != "" {
				return &problem.Error{
					Kind: problem.Invalid, What: "shred", Why: "it is not said whether a lane or a person is meant", Hint: "give --link and --lane, or --person alone",
				}
			}
			if person != "" && !token.Is(person) { // it may be the number itself, which no message repeats
				return &problem.Error{
					Kind: problem.Invalid, What: "shred a person", Why: "that is no token", Hint: "find it with holdfast token find, and copy it whole, with " + token.Prefix,
				}
			}
			what, act := "lane "+lane+" of link "+link, shredLane(link, lane)
			if person != "" {
				what, act = person, shredPerson(person)
			}
			if !yes {
				return &problem.Error{Kind: problem.Invalid, What: "shred " + what, Why: "nothing brings it back", Hint: "say that you mean it: --yes"}
			}
			return with(cmd, func(ctx context.Context, r *records) error {
				said, err := act(ctx, r, reason)
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", what, said)
				}
				return err
			})
		},
	}
	cmd.Flags().StringVar(&link, "link", "", "the link of the lane")
	cmd.Flags().StringVar(&lane, "lane", "", "the lane whose bodies are destroyed")
	cmd.Flags().StringVar(&person, "person", "", "the token whose value is destroyed")
	cmd.Flags().BoolVar(&yes, "yes", false, "destroy them")
	reasonFlag(cmd, &reason)
	return cmd
}

// shred destroys something, and says what.
type shred func(ctx context.Context, r *records, reason string) (said string, err error)

func shredLane(link, lane string) shred {
	return func(ctx context.Context, r *records, reason string) (string, error) {
		var n int64
		err := r.act(ctx, access.KeysShred, prove.LaneObject(link, lane), reason, func(ctx context.Context, tx *store.Tx) (err error) {
			n, err = r.out.Shred(ctx, tx, link, lane)
			return err
		})
		return count(int(n), "body", "bodies") + " shredded", err
	}
}

func shredPerson(of string) shred {
	return func(ctx context.Context, r *records, reason string) (string, error) {
		err := r.act(ctx, access.KeysShred, "token/"+of, reason, func(ctx context.Context, tx *store.Tx) error { return r.tokens.Forget(ctx, tx, of) })
		return "what it stood for is destroyed", err
	}
}
