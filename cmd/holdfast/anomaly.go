package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/anomaly"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

func newAnomaly() *cobra.Command {
	cmd := &cobra.Command{
		Use: "anomaly", Short: "See what is doubtful about the plant's reports, let it go, and what counts as usual",
		Long: "Where the configuration has anomaly, each report is held against what was usual of its material and operation before the ERP is told. What is\n" +
			"held waits for a person, and with it what follows in its lane, its order; other lanes go on. To accept it sends it and teaches it. To correct\n" +
			"it, amend the message and then accept it; to give it up, discard the message.",
	}
	cmd.AddCommand(anomalyList(), anomalyShow(), anomalyAccept(), anomalyReset(), anomalyExport())
	return cmd
}

// findingView is a finding as JSON has it.
type findingView struct {
	Event     string          `json:"event"`
	Kind      string          `json:"kind"`
	Order     string          `json:"order"`
	Material  string          `json:"material"`
	Operation string          `json:"operation"`
	FoundAt   time.Time       `json:"found_at"`
	State     string          `json:"state"`
	Why       string          `json:"why"`
	Behind    int64           `json:"waiting_behind"` // messages of its lane that wait for it
	Doubts    []anomaly.Doubt `json:"doubts"`
	DecidedAt *time.Time      `json:"decided_at,omitempty"`
	DecidedBy string          `json:"decided_by,omitempty"`
	Reason    string          `json:"reason,omitempty"`
}

// seen is a finding with what has become of its messages since.
func (r *records) seen(ctx context.Context, tx *store.Tx, f anomaly.Finding) (findingView, error) {
	v := findingView{
		Event: f.Event, Kind: f.Kind, Order: f.Order, Material: f.Material, Operation: f.Operation, FoundAt: f.FoundAt, State: "flagged",
		Why: f.Verdict.Words(), Doubts: f.Verdict.Doubts, DecidedAt: some(f.DecidedAt), DecidedBy: f.DecidedBy, Reason: f.Reason,
	}
	all, err := r.out.Of(ctx, tx, f.Event)
	if err != nil {
		return findingView{}, err
	}
	if f.Held {
		v.State = "let go"
	}
	for _, d := range all {
		if !d.Settled && outbox.Held(d.NotBefore) {
			v.State = "held"
			v.Behind = max(v.Behind, d.LaneState.Next-d.Number-1)
		}
	}
	if !f.DecidedAt.IsZero() {
		v.State = "accepted"
	}
	return v, nil
}

// watching refuses where nothing is judged.
func (r *records) watching() (*anomaly.Watch, error) {
	if w := r.cfg.watch(); w != nil {
		return w, nil
	}
	return nil, &problem.Error{
		Kind: problem.Invalid, What: "look for doubtful reports", Why: "the configuration has no anomaly, so that none is judged", Hint: "write anomaly: {policy: flag}, see docs/anomaly.md",
	}
}

// watched has fn work with the watch of a command's configuration.
func watched(cmd *cobra.Command, fn func(ctx context.Context, r *records, w *anomaly.Watch) error) error {
	return with(cmd, func(ctx context.Context, r *records) error {
		w, err := r.watching()
		if err != nil {
			return err
		}
		return fn(ctx, r, w)
	})
}

func anomalyList() *cobra.Command {
	var all, asJSON bool
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List the reports that are doubtful, the latest first", Example: "  holdfast anomaly list", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return watched(cmd, func(ctx context.Context, r *records, w *anomaly.Watch) error {
				views := []findingView{}
				var now time.Time
				err := r.db.View(ctx, func(tx *store.Tx) error {
					now = tx.Now
					found, err := w.Findings(ctx, tx, all, limit)
					for _, f := range found {
						v, err := r.seen(ctx, tx, f)
						if err != nil {
							return err
						}
						views = append(views, v)
					}
					return err
				})
				if err != nil || asJSON {
					return orJSON(cmd.OutOrStdout(), err, views)
				}
				return printDoubtful(cmd.OutOrStdout(), views, now)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVar(&all, "all", false, "those too that somebody has accepted")
	cmd.Flags().IntVar(&limit, "limit", 50, "list at most so many")
	return cmd
}

// orJSON prints v unless something went wrong.
func orJSON(w io.Writer, err error, v any) error {
	if err != nil {
		return err
	}
	return printJSON(w, v)
}

func printDoubtful(w io.Writer, views []findingView, now time.Time) error {
	if len(views) == 0 {
		return sentence(w, "nothing is doubtful that nobody has decided")
	}
	rows := make([]string, 0, len(views))
	for _, v := range views {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%d\t%s", v.State, ago(now, v.FoundAt), v.Material, v.Operation, v.Event, v.Behind, v.Why))
	}
	return table(w, "STATE\tAGE\tMATERIAL\tOPERATION\tEVENT\tBEHIND\tWHY", rows)
}

func anomalyShow() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show EVENT", Short: "Show what is doubtful about one report, by what it was judged, and what waits behind it", Args: cobra.ExactArgs(1),
		Example: "  holdfast anomaly show 0198c2f4-7d7f-7c3a-9a59-0f1e2d3c4b5a",
		RunE: func(cmd *cobra.Command, args []string) error {
			return watched(cmd, func(ctx context.Context, r *records, w *anomaly.Watch) error {
				var v findingView
				err := r.db.View(ctx, func(tx *store.Tx) error {
					f, err := w.Finding(ctx, tx, args[0])
					if err != nil {
						return err
					}
					v, err = r.seen(ctx, tx, f)
					return err
				})
				if err != nil || asJSON {
					return orJSON(cmd.OutOrStdout(), err, v)
				}
				return printFinding(cmd.OutOrStdout(), v)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func printFinding(w io.Writer, v findingView) error {
	fmt.Fprintf(w, "%s of %s in %s, event %s, is %s\n", v.Kind, v.Material, orDash(v.Operation), v.Event, v.State)
	for _, d := range v.Doubts {
		fmt.Fprintf(w, "  %s (%s): %s\n", d.Field, d.Action, d.Words)
		if p := d.Profile; p != nil {
			fmt.Fprintf(w, "    judged by the %s: median %.4g of %d, robust deviation %.3g\n", p.Level, p.Median, p.Count, p.Spread)
		}
	}
	switch v.State {
	case "held":
		return sentence(w, "its lane, order %s, waits: %s. Other orders go on. If it is right: holdfast anomaly accept %s --reason …", v.Order,
			count(v.Behind, "message stands behind it", "messages stand behind it"), v.Event)
	case "accepted":
		return sentence(w, "%s accepted it at %s: %s", v.DecidedBy, v.DecidedAt.Format(time.RFC3339), v.Reason)
	default:
		return nil
	}
}

func anomalyAccept() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "accept EVENT", Short: "Say that a doubtful report is right: send it if it is held, and learn it",
		Long:    "The like of it is not doubted again. To send it without learning it: holdfast msg retry.",
		Example: "  holdfast anomaly accept 0198c2f4-7d7f-7c3a-9a59-0f1e2d3c4b5a --reason 'new supplier, weighed twice'", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return watched(cmd, func(ctx context.Context, r *records, w *anomaly.Watch) error {
				var released int
				object, err := r.doubtfulObject(ctx, args[0])
				if err != nil {
					return err
				}
				act := access.Act{Action: access.AnomalyAccept, Actor: r.cfg.localActor(), Object: object, Reason: reason}
				_, err = r.do(ctx, act, func(ctx context.Context, tx *store.Tx) (res access.Result, err error) {
					if released, err = acceptDoubtful(ctx, tx, w, r.out, args[0], r.cfg.localActor().Name, reason); err == nil {
						res.About, err = r.out.ObjectsOf(ctx, tx, args[0])
					}
					return res, err
				})
				if err != nil {
					return err
				}
				return sentence(cmd.OutOrStdout(), "event %s is accepted and learned; %s", args[0], count(released, "message of it is let go", "messages of it are let go"))
			})
		},
	}
	reasonFlag(cmd, &reason)
	return cmd
}

// doubtfulObject is the message of an event by its name in the audit record, as the console has it, so that who has amended it is seen to accept it
// both ways; the event itself where no message of it is left.
func (r *records) doubtfulObject(ctx context.Context, event string) (object string, err error) {
	object = "event/" + event
	err = r.db.View(ctx, func(tx *store.Tx) error {
		all, err := r.out.Of(ctx, tx, event)
		if len(all) > 0 {
			object = access.MessageObject(all[0].ID)
		}
		return err
	})
	return object, err
}

// acceptDoubtful learns an event as its message stands now, which somebody may have amended, and lets it go at each link.
func acceptDoubtful(ctx context.Context, tx *store.Tx, w *anomaly.Watch, out *outbox.Outbox, event, by, reason string) (released int, err error) {
	all, err := out.Of(ctx, tx, event)
	if err != nil {
		return 0, err
	}
	m, err := w.Event(ctx, tx, event)
	if err != nil {
		return 0, err
	}
	if len(all) > 0 {
		m.Body = all[0].Body
	}
	if err := w.Accept(ctx, tx, m, by, reason); err != nil {
		return 0, err
	}
	return out.Release(ctx, tx, event, reason)
}

func anomalyReset() *cobra.Command {
	var material, operation, reason string
	var all bool
	cmd := &cobra.Command{
		Use: "reset", Short: "Forget what was learned of a material", Args: cobra.NoArgs,
		Long:    "After a change of process or unit, what was usual is usual no more. The plant learns anew; until it has, it judges by what is above: the material, the plant.",
		Example: "  holdfast anomaly reset --material FG-1001 --operation 0010 --reason 'new tool since Monday'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (material == "") == !all {
				return &problem.Error{Kind: problem.Invalid, What: "forget what was learned", Why: "name a material, or all of them, and not both", Hint: "--material FG-1001, or --all"}
			}
			return watched(cmd, func(ctx context.Context, r *records, w *anomaly.Watch) error {
				var n int64
				err := r.act(ctx, access.AnomalyReset, "material/"+material, reason, func(ctx context.Context, tx *store.Tx) (err error) {
					n, err = w.Reset(ctx, tx, material, operation)
					return err
				})
				if err != nil {
					return err
				}
				return sentence(cmd.OutOrStdout(), "%s forgotten", count(n, "sample is", "samples are"))
			})
		},
	}
	cmd.Flags().StringVar(&material, "material", "", "the material")
	cmd.Flags().StringVar(&operation, "operation", "", "in this operation alone")
	cmd.Flags().BoolVar(&all, "all", false, "of every material")
	reasonFlag(cmd, &reason)
	return cmd
}

func anomalyExport() *cobra.Command {
	var material string
	cmd := &cobra.Command{
		Use: "export", Short: "Print what counts as usual, as JSON", Example: "  holdfast anomaly export --material FG-1001", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return watched(cmd, func(ctx context.Context, r *records, w *anomaly.Watch) error {
				var all []anomaly.Usual
				err := r.db.View(ctx, func(tx *store.Tx) (err error) {
					all, err = w.Export(ctx, tx, material)
					return err
				})
				if err != nil {
					return err
				}
				if err := r.taken(ctx, cmd.ErrOrStderr(), access.AnomalyExport, "anomalies", "profiles", int64(len(all)), cmd.Flags()); err != nil {
					return err
				}
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(all)
			})
		},
	}
	cmd.Flags().StringVar(&material, "material", "", "of this material alone")
	filters(cmd.Flags(), "material")
	return cmd
}
