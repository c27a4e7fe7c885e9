package main

import (
	"context"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/job"
	"holdfast/internal/store"
)

// jobOperation changes one job.
type jobOperation func(ctx context.Context, r *records, tx *store.Tx, id, reason string) (job.Job, error)

// jobAct is a command that changes one job, and says where it then stands.
func jobAct(use, summary, example, action string, do jobOperation) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: use, Short: summary, Example: example, Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				b, err := r.changeJob(ctx, action, args[0], reason, do)
				if err != nil {
					return err
				}
				return printChanged(cmd, b)
			})
		},
	}
	reasonFlag(cmd, &reason)
	actFlag(cmd)
	return cmd
}

// printChanged says where a job stands after it was changed.
func printChanged(cmd *cobra.Command, b job.Job) error {
	if wantsJSON(cmd) {
		return printJSON(cmd.OutOrStdout(), jobViewOf(b))
	}
	return sentence(cmd.OutOrStdout(), "%s", jobSentence(b))
}

func (r *records) changeJob(ctx context.Context, action, id, reason string, do jobOperation) (b job.Job, err error) {
	err = r.act(ctx, action, access.JobObject(id), reason, func(ctx context.Context, tx *store.Tx) (err error) {
		b, err = do(ctx, r, tx, id, reason)
		return err
	})
	return b, err
}

func jobApprove() *cobra.Command {
	return jobAct("approve JOB", "Approve a replay that somebody else has asked for", "  holdfast job approve 01937c5e --reason 'the ERP was restored, seen with anna'", access.JobApprove,
		func(ctx context.Context, r *records, tx *store.Tx, id, _ string) (job.Job, error) {
			return r.jobs.Approve(ctx, tx, id, r.me())
		})
}

func jobPause() *cobra.Command {
	return jobAct("pause JOB", "Stop a replay for a while; what is on its way arrives", "  holdfast job pause 01937c5e --reason 'the ERP is slow'", access.JobPause,
		func(ctx context.Context, r *records, tx *store.Tx, id, reason string) (job.Job, error) {
			return r.jobs.Pause(ctx, tx, id, r.me(), reason)
		})
}

func jobResume() *cobra.Command {
	return jobAct("resume JOB", "Let a replay go on, after its first messages were looked at too", "  holdfast job resume 01937c5e --reason 'the first one is right'", access.JobResume,
		func(ctx context.Context, r *records, tx *store.Tx, id, _ string) (job.Job, error) {
			return r.jobs.Resume(ctx, tx, id)
		})
}

func jobCancel() *cobra.Command {
	return jobAct("cancel JOB", "Give up what a replay has not sent; what is on its way arrives", "  holdfast job cancel 01937c5e --reason 'it was the wrong link'", access.JobCancel,
		func(ctx context.Context, r *records, tx *store.Tx, id, _ string) (job.Job, error) {
			return r.jobs.Cancel(ctx, tx, id)
		})
}

func jobRate() *cobra.Command {
	var rate int
	cmd := jobAct("rate JOB", "Change how many messages a second a replay sends", "  holdfast job rate 01937c5e --rate 200 --reason 'the ERP keeps up'", access.JobRate,
		func(ctx context.Context, r *records, tx *store.Tx, id, _ string) (job.Job, error) {
			return r.jobs.SetRate(ctx, tx, id, rate)
		})
	cmd.Flags().IntVar(&rate, "rate", 0, "messages a second (required)")
	if err := cmd.MarkFlagRequired("rate"); err != nil {
		panic(err) // the flag is defined one line above
	}
	return cmd
}
