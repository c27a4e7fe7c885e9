package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/alert"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

func newAlert() *cobra.Command {
	cmd := &cobra.Command{
		Use: "alert", Short: "See which alerts there are, try who is told of them, silence one for a time",
		Long: "What must not pass unseen is an entry of the audit record, a line of the log and a figure; alerts in holdfast.yaml says who is told besides\n(docs/siem.md). " +
			"These commands print every sort with its severity, tell the channels of a test, and keep an alert from them for a time, with a reason.",
	}
	cmd.AddCommand(alertList(), alertTest(), alertSilence())
	return cmd
}

// alertView is one sort of alert as --json prints it.
type alertView struct {
	Alert    string          `json:"alert"`
	Severity string          `json:"severity"`
	Says     string          `json:"says"`
	Silences []alert.Silence `json:"silences,omitempty"`
}

func alertList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List every sort of alert with its severity, and what is silent", Example: "  holdfast alert list", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				var silences []alert.Silence
				err := r.db.View(ctx, func(tx *store.Tx) (err error) {
					silences, err = alert.Silences(ctx, tx)
					return err
				})
				if err != nil {
					return err
				}
				return printAlerts(cmd, silences, asJSON)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func printAlerts(cmd *cobra.Command, silences []alert.Silence, asJSON bool) error {
	var views []alertView
	var rows []string
	for _, k := range alert.Kinds() {
		v, state := alertView{Alert: k.Name, Severity: k.Severity, Says: k.Says}, ""
		for _, s := range silences {
			if s.Name == k.Name {
				v.Silences = append(v.Silences, s)
				state += fmt.Sprintf("%s until %s: %s ", s.Object, s.Until.UTC().Format(time.RFC3339), s.Reason)
			}
		}
		views = append(views, v)
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s", k.Name, k.Severity, k.Says, state))
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), views)
	}
	return table(cmd.OutOrStdout(), "ALERT\tSEVERITY\tWHAT HAS HAPPENED\tSILENT", rows)
}

func alertTest() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "test", Short: "Tell every channel of a test alert, and say which took it", Example: "  holdfast alert test --reason 'new on-call number'", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				channels, err := r.cfg.channels()
				if err != nil {
					return err
				}
				if len(channels) == 0 {
					return &problem.Error{Kind: problem.Conflict, What: "tell of a test alert", Why: "there is no channel", Hint: "write alerts: {webhooks: […]} or alerts: {mail: {…}} in " + r.cfg.file}
				}
				if err := r.act(ctx, access.AlertTest, "alert/"+alert.Test, reason, func(context.Context, *store.Tx) error { return nil }); err != nil {
					return err
				}
				n := alert.Notice{
					ID: uuid.NewString(), Alert: alert.Test, Severity: alert.SeverityOf(alert.Test), Object: "plant/" + r.cfg.Plant.Number, Why: "a test by " + r.cfg.localActor().Name + ": " + reason,
					At: r.db.Now().UTC(), Plant: r.cfg.Plant.Number, Place: -1,
				}
				var failed error
				for _, c := range channels {
					if err := c.To.Tell(ctx, n); err != nil {
						failed = errors.Join(failed, err)
						continue
					}
					fmt.Fprintf(cmd.OutOrStdout(), "%s took it\n", c.Name)
				}
				return failed
			})
		},
	}
	reasonFlag(cmd, &reason)
	return cmd
}

func alertSilence() *cobra.Command {
	var reason, object string
	var length time.Duration
	cmd := &cobra.Command{
		Use: "silence ALERT", Short: "Keep an alert from the channels for a time; the record and the collectors have it all the while", Args: cobra.ExactArgs(1),
		Example: "  holdfast alert silence threat.traffic --object link/erp --for 4h --reason 'inventory count'",
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				err := r.act(ctx, access.AlertSilence, "alert/"+args[0], reason, func(ctx context.Context, tx *store.Tx) error {
					return alert.Hush(ctx, tx, alert.Silence{Name: args[0], Object: object, Until: tx.Now.Add(length), By: r.cfg.localActor().Name, Reason: reason})
				})
				if err != nil {
					return err
				}
				return sentence(cmd.OutOrStdout(), "%s is silent for %s", args[0], short(length))
			})
		},
	}
	cmd.Flags().StringVar(&object, "object", "", "only about this, such as link/erp")
	cmd.Flags().DurationVar(&length, "for", 4*time.Hour, "how long, 720h at most; 0 ends a silence")
	reasonFlag(cmd, &reason)
	return cmd
}
