package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/job"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// replaying is what msg replay is told.
type replaying struct {
	starting
	which    outbox.Range // of one lane
	request  job.Request
	from, to string
	dryRun   bool
	asJSON   bool
}

func msgReplay() *cobra.Command {
	var p replaying
	cmd := &cobra.Command{
		Use:   "replay [LINK LANE]",
		Short: "Have messages delivered again that the ERP has lost, or has refused before",
		Long: "Replay is for an ERP that has lost what it had taken, or that refused what it would take by now. It is asked for each message first,\n" +
			"and gets, under the same ID and number, only what it does not have. Where the link cannot ask, the lane stands still as unknown at\n" +
			"the first message, for a person to say. With --force nobody asks: an ERP that still has a message, and does not know it by its ID,\n" +
			"then makes a second document of it.\n\n" +
			"Of one LINK and LANE it replays a range of numbers at once, of the newest epoch unless --epoch names another; more than one message only with --yes and --expect N. Without them it is a job: --failed chooses the messages at which lanes\n" +
			"stand still, --id single ones, all else what was delivered. --dry-run keeps what it would send as a plan and shows it; what comes\n" +
			"later is not in it. The first message goes alone, and the job then waits for a look. It runs in holdfast serve.",
		Example: "  holdfast msg replay erp 0198c2f4-7d7f-7c3a-9a59-0f1e2d3c4b5a --from 3 --to 7 --yes --expect 5 --reason 'ERP was restored from last night'\n" +
			"  holdfast msg replay --failed --why 'no such material' --dry-run\n" +
			"  holdfast msg replay --link erp --since 2026-11-26T22:00:00+01:00 --yes --expect 100 --reason 'ERP was restored'",
		Args: cobra.MatchAll(cobra.MaximumNArgs(2), func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				return fmt.Errorf("accepts LINK and LANE, or neither")
			}
			return nil
		}),
		RunE: func(cmd *cobra.Command, args []string) error { return p.run(cmd, args) },
	}
	p.flags(cmd)
	p.chooses(cmd)
	return cmd
}

func (p *replaying) chooses(cmd *cobra.Command) {
	f, c := cmd.Flags(), &p.request.Choice
	f.Int64Var(&p.which.From, "from", 1, "of one lane: number of the first message")
	f.Int64Var(&p.which.To, "to", 0, "of one lane: number of the last message; 0 means the lane's last")
	f.Int64Var(&p.which.Epoch, "epoch", 0, "of one lane: the epoch in which these numbers count, where the plant was restored; default: the lane's newest")
	f.BoolVar(&p.request.Force, "force", false, "send without asking the ERP first; may make second documents")
	f.StringVar(&c.Link, "link", "", "only messages to this link")
	f.StringVar(&c.Lane, "lane", "", "only messages of this lane")
	f.StringVar(&c.Kind, "kind", "", "only messages of this kind, such as operation.confirmed")
	f.BoolVar(&c.Failed, "failed", false, "the messages at which lanes stand still, instead of delivered ones")
	f.StringVar(&c.Why, "why", "", "with --failed: only those whose reason has this text in it")
	f.StringArrayVar(&c.IDs, "id", nil, "this message; may be given again")
	f.StringVar(&p.from, "since", "", "only what was delivered, or stands still, since this time, with its zone")
	f.StringVar(&p.to, "until", "", "only what was delivered, or stands still, before this time, with its zone")
	f.IntVar(&p.request.Rate, "rate", 50, "messages a second")
	f.IntVar(&p.request.Canary, "canary", 1, "so many go first, and the job then waits for a look; -1 for none")
	f.BoolVar(&p.request.GoOn, "go-on", false, "do not wait for a look if the first were delivered")
	f.IntVar(&p.request.Tolerance, "max-failed", 10, "pause when more have failed")
	f.BoolVar(&p.dryRun, "dry-run", false, "keep what it would send as a plan, show it, and send nothing")
	jsonFlag(cmd, &p.asJSON)
}

func (p *replaying) run(cmd *cobra.Command, args []string) (err error) {
	ranged := cmd.Flags().Changed("from") || cmd.Flags().Changed("to") || cmd.Flags().Changed("epoch")
	if cmd.Flags().Changed("epoch") && p.which.Epoch < 1 {
		return misuse(cmd, "", "--epoch begins at 1", "leave it out for the lane's newest.")
	}
	if len(args) == 0 && ranged {
		return misuse(cmd, "", "--from, --to and --epoch are of one lane, and no LINK and LANE are given", "name them; times are said with --since and --until.")
	}
	if len(args) == 2 && !p.dryRun {
		if err := p.sureOfRange(cmd); err != nil {
			return err
		}
		return with(cmd, func(ctx context.Context, r *records) error {
			if err := r.knowsLink(args[0]); err != nil {
				return err
			}
			p.which.Force = p.request.Force
			return r.replay(ctx, cmd, args[0], args[1], p)
		})
	}
	if len(args) == 2 {
		p.request.Choice.Link, p.request.Choice.Lane = args[0], args[1]
	}
	if p.request.Choice.From, err = instant("since", p.from); err != nil {
		return err
	}
	if p.request.Choice.To, err = instant("until", p.to); err != nil {
		return err
	}
	if !p.dryRun {
		if err := p.sure(cmd); err != nil {
			return err
		}
	}
	return with(cmd, func(ctx context.Context, r *records) error {
		if l := p.request.Choice.Link; l != "" {
			if err := r.knowsLink(l); err != nil {
				return err
			}
		}
		if ranged {
			if err := r.chooseRange(ctx, p); err != nil {
				return err
			}
		}
		return r.replayMany(ctx, cmd, p)
	})
}

// sureOfRange is sure, of numbers of one lane: one message that is named by its number needs no count.
func (p *replaying) sureOfRange(cmd *cobra.Command) error {
	if p.which.To == 0 || p.which.To != p.which.From {
		return p.sure(cmd)
	}
	if strings.TrimSpace(p.reason) == "" {
		return misuse(cmd, "", "--reason is required", "say why, for whoever reads it in three years.")
	}
	return nil
}

// chooseRange has a plan be about the numbers of a lane that were named, and no others.
func (r *records) chooseRange(ctx context.Context, p *replaying) error {
	c, numbers := &p.request.Choice, p.which
	return r.db.View(ctx, func(tx *store.Tx) error {
		l, err := r.out.Lane(ctx, tx, c.Link, c.Lane)
		if err != nil {
			return err
		}
		epoch := cmp.Or(numbers.Epoch, l.Epoch)
		all, err := r.out.Choose(ctx, tx, *c, job.Most)
		if err != nil {
			return err
		}
		for _, m := range all {
			if m.Epoch == epoch && m.Number >= numbers.From && (numbers.To == 0 || m.Number <= numbers.To) {
				c.IDs = append(c.IDs, m.ID)
			}
		}
		if len(c.IDs) == 0 {
			return &problem.Error{
				Kind: problem.NotFound, What: "plan a replay", Why: fmt.Sprintf("lane %s has in epoch %d none of these numbers that was delivered and can be replayed", c.Lane, epoch),
				Hint: "see holdfast msg list --lane " + c.Lane + "; --epoch names another, where the plant was restored",
			}
		}
		return nil
	})
}

// instant is a time that a person has written.
func instant(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, &problem.Error{Kind: problem.Invalid, What: "--" + flag + " " + text, Why: "it is no time with its zone (RFC 3339)", Hint: "for example 2026-12-01T06:00:00+01:00"}
	}
	return at, nil
}

// replayMany plans a job, and starts it unless it is only a look. A set of another size than was said leaves no plan behind.
func (r *records) replayMany(ctx context.Context, cmd *cobra.Command, p *replaying) error {
	var b job.Job
	act := access.Act{Action: access.JobPlan, Actor: r.cfg.localActor(), Object: "job/new", Reason: p.reason}
	_, err := r.do(ctx, act, func(ctx context.Context, tx *store.Tx) (_ access.Result, err error) {
		if b, err = r.jobs.Plan(ctx, tx, p.request, r.me()); err == nil && !p.dryRun && b.Counts.Total != p.expect {
			err = job.Expected(b.Counts.Total, p.expect)
		}
		return access.Result{Object: access.JobObject(b.ID)}, err
	})
	if b.Why != "" {
		err = errors.Join(err, sentence(cmd.ErrOrStderr(), "%s", b.Why))
	}
	if err != nil {
		return err
	}
	if !p.dryRun {
		return r.start(ctx, cmd, b.ID, p.starting)
	}
	v, b, err := r.jobView(ctx, b.ID, "", 20)
	if err != nil {
		return err
	}
	if p.asJSON {
		return printJSON(cmd.OutOrStdout(), v)
	}
	return r.printPlan(ctx, cmd.OutOrStdout(), b, v)
}

// printPlan says exactly what a job would do.
func (r *records) printPlan(ctx context.Context, w io.Writer, b job.Job, v jobView) error {
	if err := printJob(w, b, v, r.db.Now()); err != nil {
		return err
	}
	if rest := b.Counts.Total - len(v.Items); rest > 0 {
		if err := sentence(w, "… and %d more: holdfast job show %s --limit %d", rest, b.ID, b.Counts.Total); err != nil {
			return err
		}
	}
	least := time.Duration(b.Counts.Total) * time.Second / time.Duration(b.Rate)
	how := "each is sent if the ERP, asked first, does not have it"
	if b.Force {
		how = "each is sent without asking the ERP"
	}
	if err := sentence(w, "%s; in the order of their lanes, for at least %s", how, short(least.Round(time.Second))); err != nil {
		return err
	}
	var asks bool
	if err := r.db.View(ctx, func(tx *store.Tx) (err error) {
		asks, err = r.jobs.NeedsApproval(ctx, tx, r.me(), b.Counts.Total)
		return err
	}); err != nil || !asks {
		return err
	}
	return sentence(w, "somebody else than you has to approve it once you start it: more than %d of one person's in 24 hours need that (policy.replay_over)", r.cfg.Policy.ReplayOver)
}

func (r *records) replay(ctx context.Context, cmd *cobra.Command, link, name string, p *replaying) error {
	which, reason := p.which, p.reason
	var n int64
	var lane string
	act := access.Act{Action: access.MsgReplay, Actor: r.cfg.localActor(), Object: "lane/" + link + "/" + name, Link: link, Reason: reason}
	_, err := r.do(ctx, act, func(ctx context.Context, tx *store.Tx) (_ access.Result, err error) {
		if n, err = r.jobs.Replay(ctx, tx, r.me(), link, name, which, reason); err == nil && p.expect > 0 {
			err = job.Expected(int(n), p.expect)
		}
		if err == nil {
			lane, err = r.goesOn(ctx, tx, link, name)
		}
		return access.Result{After: fmt.Appendf(nil, `{"messages":%d}`, n)}, err
	})
	if err != nil {
		return err
	}
	how := "each is sent if the ERP, asked first, does not have it any more"
	if which.Force {
		how = "each is sent once without asking the ERP"
	}
	if wantsJSON(cmd) {
		return outcome(cmd, link+" "+name, map[string]int64{"messages": n}, "%s replayed in lane %s: %s; %s", count(n, "message is", "messages are"), name, how, lane)
	}
	if err := sentence(cmd.OutOrStdout(), "%s replayed in lane %s: %s; %s", count(n, "message is", "messages are"), name, how, lane); err != nil {
		return err
	}
	if !which.Force {
		if err := sentence(cmd.OutOrStdout(), "where the ERP cannot be asked, the lane stands still as unknown: holdfast msg mark-delivered, or holdfast msg send-again"); err != nil {
			return err
		}
	}
	return sentence(cmd.OutOrStdout(), "what becomes of each: holdfast msg list --link %s --lane %s", link, name)
}
