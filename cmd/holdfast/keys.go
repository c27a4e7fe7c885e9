package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

func newKeys() *cobra.Command {
	cmd := &cobra.Command{
		Use: "keys", Short: "Make, show, replace and revoke the keys that the nodes sign with",
		Long: "Each node makes its own key and replaces it every day; the keyring - a file of the plant's own, or Vault - certifies it. Public\n" +
			"keys are kept for good, so that what was signed can be checked after any number of rotations.",
	}
	cmd.AddCommand(keysInit(), keysStatus(), keysRotate(), keysRevoke(), keysExport(), keysDrill(), keysReseal(), keysRewrap(), keysShred())
	return cmd
}

func keysInit() *cobra.Command {
	return &cobra.Command{
		Use:   "init",
		Short: "Make the plant's own CA, once",
		Long: "Make the plant's own CA (keys.kind: local), sealed by the passphrase. Nodes of one plant share its file, ca.age in keys.folder: copy\n" +
			"it to each of them. At Vault the CA is made by deploy/vault/setup instead.",
		Example: "  holdfast keys init",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := configOf(cmd)
			if err != nil {
				return err
			}
			if cfg.Keys.Kind != keysLocal {
				return &problem.Error{
					Kind: problem.Conflict, What: "make a CA", Why: "keys.kind is not local", Hint: "write keys: with kind: local, or set up Vault with deploy/vault/setup",
				}
			}
			safe, err := cfg.safe(cmd.Context())
			if err != nil {
				return err
			}
			if err := cfg.refuseLeftCA(); err != nil {
				return err
			}
			if err := cfg.refuseSecondCA(cmd.Context()); err != nil {
				return err
			}
			if err := seal.InitLocal(safe, cfg.Plant.Number, time.Now()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "the CA of plant %s is made, in %s; keep a copy of that folder and of the passphrase\n", cfg.Plant.Number, cfg.Keys.Folder)
			return nil
		},
	}
}

// keyStatus is one key as the status lists it.
type keyStatus struct {
	Key   seal.KeyID `json:"key"`
	Node  string     `json:"node"`
	State string     `json:"state"`
	Made  time.Time  `json:"made"`
	Until time.Time  `json:"until"`
	Left  string     `json:"left,omitempty"` // of signing without the keyring
	Why   string     `json:"why,omitempty"`
}

// statusOf says what a key is good for at the time now; newest tells that its node has no later one.
func statusOf(a seal.Archived, now time.Time, newest bool) keyStatus {
	s := keyStatus{Key: a.Key, Node: a.Node, State: "replaced", Made: a.Made, Until: a.Chain[0].NotAfter, Why: a.Reason}
	switch {
	case !a.Revoked.IsZero():
		s.State = "revoked"
	case now.After(s.Until):
		s.State = "ended"
	case !a.Retired.IsZero():
		s.State = "retired"
	case newest:
		s.State = "signs"
	}
	if newest && (s.State == "signs" || s.State == "retired") { // with one that is to be replaced its node signs until it has another
		s.Left = s.Until.Sub(now).Round(time.Minute).String()
	}
	return s
}

func keysStatus() *cobra.Command {
	var asJSON bool
	var limit int
	cmd := &cobra.Command{
		Use:   "status",
		Short: "List the keys of every node, the newest first, and for how long each node can sign without its keyring",
		Long: "List the keys of every node, the newest first. A key signs, was replaced or retired (what it signed stays good), has ended with its\n" +
			"certificate (the same), or is revoked (what it signed counts for nothing).",
		Example: "  holdfast keys status",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := with(cmd, func(ctx context.Context, r *records) error {
				return r.keysStatus(ctx, cmd.OutOrStdout(), limit, asJSON)
			})
			if cfg, cerr := configOf(cmd); cerr == nil && problem.KindOf(err) == problem.NotFound { // there is no database yet
				return printKeys(cmd.OutOrStdout(), cfg, []keyStatus{}, seal.RestState{}, asJSON)
			}
			return err
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().IntVar(&limit, "limit", 20, "the most keys to list")
	return cmd
}

func (r *records) keysStatus(ctx context.Context, w io.Writer, limit int, asJSON bool) error {
	var all []seal.Archived
	var now time.Time
	var rest seal.RestState
	err := r.db.View(ctx, func(tx *store.Tx) (err error) {
		now = tx.Now
		if all, err = archive(ctx, tx); err == nil {
			rest, err = seal.ReadRestState(ctx, tx)
		}
		return err
	})
	if err != nil {
		return err
	}
	seen, list := map[string]bool{}, []keyStatus{}
	for _, a := range all[:min(len(all), limit)] {
		list = append(list, statusOf(a, now, !seen[a.Node]))
		seen[a.Node] = true
	}
	return printKeys(w, r.cfg, list, rest, asJSON)
}

// keysNext is what to do where no node has a key yet.
func (c Config) keysNext() string {
	if c.Keys.Kind == keysLocal && !seal.NewSafe(c.Keys.Folder, "", seal.Work).HasAuthority() { // it opens nothing
		return "there is no CA in " + c.Keys.Folder + ": put a copy of the plant's ca.age there, or, if it never had one: holdfast keys init"
	}
	return "no node has a key yet: each makes its own at its first start, holdfast serve --config " + c.file
}

func printKeys(w io.Writer, cfg Config, list []keyStatus, rest seal.RestState, asJSON bool) error {
	if asJSON {
		return printJSON(w, map[string]any{"node": cfg.nodeURI(), "keyring": cfg.Keys.Kind, "keys": list, "rest": rest})
	}
	kind := cfg.Keys.Kind
	if kind == "" {
		kind = "none: this node signs nothing"
	}
	fmt.Fprintf(w, "this node: %s\nkeyring: %s\n", cfg.nodeURI(), kind)
	if rest.Epochs > 0 {
		fmt.Fprintf(w, "at rest: %s, %d of them wrapped by an earlier version of the key than others\n", count(rest.Epochs, "epoch", "epochs"), rest.Earlier)
	}
	if len(list) == 0 && cfg.Keys.Kind != "" {
		fmt.Fprintln(w, cfg.keysNext())
	}
	if len(list) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KEY\tNODE\tSTATE\tUNTIL\tLEFT\tWHY")
	for _, k := range list {
		last := k.Left
		if k.Why != "" {
			last += "\t" + k.Why
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", k.Key, k.Node, k.State, k.Until.UTC().Format(time.RFC3339), last)
	}
	return t.Flush()
}

func keysRotate() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "rotate KEY",
		Short: "Have a key replaced by its node",
		Long: "Have a key replaced: its node makes another one at once if it runs, else when it starts. What the key has signed stays good. Nodes\n" +
			"replace their keys every day by themselves.",
		Example: "  holdfast keys rotate AopctHaq28TizBEWb4ocUj0NwLkHETJU0Y9LM7KqXIE --reason 'drill of the quarter'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				var a seal.Archived
				err := r.act(ctx, access.KeysRotate, "key/"+args[0], reason, func(ctx context.Context, tx *store.Tx) (err error) {
					a, err = seal.Retire(ctx, tx, seal.KeyID(args[0]))
					return err
				})
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s makes another key, now or when it starts\n", a.Node)
				}
				return err
			})
		},
	}
	reasonFlag(cmd, &reason)
	return cmd
}

func keysRevoke() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "revoke KEY",
		Short: "Have a key count for nothing any more, also for what it signed",
		Long: "Revoke a key that somebody else may have. Nothing that it signed counts any more, at whatever time that was: a thief can write any time.\n" +
			"Its node makes another one. The certificate is put on the keyring's list as well; at Vault that takes a token of your own, in\n" +
			"VAULT_TOKEN, since no node may revoke another. Receivers need the list: holdfast keys export.",
		Example: "  holdfast keys revoke AopctHaq28TizBEWb4ocUj0NwLkHETJU0Y9LM7KqXIE --reason 'laptop stolen'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				a, err := r.revoke(ctx, cmd.OutOrStdout(), seal.KeyID(args[0]), reason)
				if err != nil {
					return err
				}
				if err := r.listRevoked(ctx, a); err != nil {
					return fmt.Errorf("put it on the keyring's list: %w", err)
				}
				fmt.Fprintln(cmd.OutOrStdout(), "it is on the keyring's list: give it to the receivers with holdfast keys export")
				return nil
			})
		},
	}
	reasonFlag(cmd, &reason)
	return cmd
}

// revoke has the plant believe nothing more of a key. Of one that is revoked already nothing is changed, and nothing recorded.
func (r *records) revoke(ctx context.Context, say io.Writer, id seal.KeyID, reason string) (a seal.Archived, err error) {
	if err = r.db.View(ctx, func(tx *store.Tx) (err error) { a, err = seal.Find(ctx, tx, id); return err }); err != nil {
		return a, err
	}
	if !a.Revoked.IsZero() {
		fmt.Fprintf(say, "key %s of %s is revoked since %s: %s\n", a.Key, a.Node, a.Revoked.UTC().Format(time.RFC3339), a.Reason)
		return a, nil
	}
	err = r.act(ctx, access.KeysRevoke, "key/"+string(id), reason, func(ctx context.Context, tx *store.Tx) (err error) {
		a, err = seal.Revoke(ctx, tx, id, reason)
		return err
	})
	if err == nil {
		fmt.Fprintf(say, "key %s of %s counts for nothing any more at this plant\n", a.Key, a.Node)
	}
	return a, err
}

// listRevoked has the keyring put the key on its list. At Vault it is the operator who does so, with a token of their own.
func (r *records) listRevoked(ctx context.Context, a seal.Archived) error {
	k, err := r.cfg.openKeyring(ctx, r.db.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if v, ok := k.Keyring.(*seal.Vault); ok && os.Getenv("VAULT_TOKEN") != "" {
		return v.As(os.Getenv("VAULT_TOKEN")).Revoke(ctx, a.Chain[0])
	}
	return k.Revoke(ctx, a.Chain[0])
}

// bundle is what a receiver needs to check every signature of the plant, with the keyring that it is of.
func (r *records) bundle(ctx context.Context) (seal.Bundle, keyring, error) {
	k, err := r.cfg.openKeyring(ctx, r.db.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		return seal.Bundle{}, k, err
	}
	b, err := seal.ReadBundle(ctx, r.db, k)
	if err == nil {
		err = r.db.View(ctx, func(tx *store.Tx) error { _, err := seal.Decided(decided).Heed(ctx, tx, b.Keys); return err })
	}
	return b, k, err
}

func keysExport() *cobra.Command {
	var last time.Duration
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Print every public key with its certificates, and what was revoked, for those who check signatures",
		Long: "Print what a receiver needs to check every signature of the plant without asking anybody. It holds no secret, but it must come to the\n" +
			"receiver by a way that both trust: whoever can alter it can have anything believed.\n\n" +
			"Of messages that are still owed and were signed by keys that count no more it has what vouches for them: the proofs of the audit record\n" +
			"that it held them in time. Without them a receiver refuses such messages.",
		Example: "  holdfast keys export > plant-1000.keys.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				b, _, err := r.bundle(ctx)
				if err != nil {
					return err
				}
				if b.Vouched, err = r.vouched(ctx, last); err != nil {
					return err
				}
				text, err := json.MarshalIndent(b, "", "  ")
				if err != nil {
					return err
				}
				_, err = cmd.OutOrStdout().Write(append(text, '\n'))
				return err
			})
		},
	}
	cmd.Flags().DurationVar(&last, "vouch", 0, "vouch for what was signed in the last while, such as 720h, also if it was delivered: it may wait in a broker")
	return cmd
}
