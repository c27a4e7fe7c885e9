package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/job"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

func newJob() *cobra.Command {
	cmd := &cobra.Command{
		Use: "job", Short: "See replays of many messages, stop one, let it go on",
		Long: "A job sends many messages once more: slowly, in the order of their lanes, the first one alone. It runs in holdfast serve, on whichever\n" +
			"node, and goes on after a crash. It is planned by holdfast msg replay.",
	}
	cmd.AddCommand(jobList(), jobShow(), jobWatch(), jobStart(), jobApprove(), jobPause(), jobResume(), jobCancel(), jobRate())
	return cmd
}

// jobView is a job as --json prints it.
type jobView struct {
	ID         string        `json:"id"`
	State      string        `json:"state"`
	Why        string        `json:"why,omitempty"`
	Messages   job.Counts    `json:"messages"`
	Newer      *int          `json:"newer_not_included,omitempty"` // at most mostNewer
	Choice     outbox.Choice `json:"choice"`
	Force      bool          `json:"force,omitempty"`
	Rate       int           `json:"rate"`
	Canary     int           `json:"canary"`
	Tolerance  int           `json:"tolerance"`
	Reason     string        `json:"reason,omitempty"`
	CreatedBy  string        `json:"created_by"`
	CreatedAt  time.Time     `json:"created_at"`
	StartedBy  string        `json:"started_by,omitempty"`
	StartedAt  *time.Time    `json:"started_at,omitempty"`
	ApprovedBy string        `json:"approved_by,omitempty"`
	ApprovedAt *time.Time    `json:"approved_at,omitempty"`
	EndedAt    *time.Time    `json:"ended_at,omitempty"`
	Items      []job.Item    `json:"items,omitempty"`
}

func jobViewOf(b job.Job) jobView {
	return jobView{
		ID: b.ID, State: string(b.State), Why: b.Why, Messages: b.Counts, Choice: b.Choice, Force: b.Force, Rate: b.Rate, Canary: b.Canary, Tolerance: b.Tolerance,
		Reason: b.Reason, CreatedBy: b.CreatedBy, CreatedAt: b.CreatedAt, StartedBy: b.StartedBy, StartedAt: some(b.StartedAt),
		ApprovedBy: b.ApprovedBy, ApprovedAt: some(b.ApprovedAt), EndedAt: some(b.EndedAt),
	}
}

func jobList() *cobra.Command {
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List replay jobs, the latest first", Example: "  holdfast job list", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				var list []job.Job
				var now time.Time
				err := r.db.View(ctx, func(tx *store.Tx) (err error) {
					now = tx.Now
					list, err = r.jobs.List(ctx, tx, limit)
					return err
				})
				if err != nil {
					return err
				}
				return printJobs(cmd.OutOrStdout(), list, now, asJSON)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().IntVar(&limit, "limit", 50, "the most jobs to list")
	return cmd
}

func printJobs(w io.Writer, list []job.Job, now time.Time, asJSON bool) error {
	views, rows := make([]jobView, 0, len(list)), make([]string, 0, len(list))
	for _, b := range list {
		c := b.Counts
		views = append(views, jobViewOf(b))
		rows = append(rows, fmt.Sprintf("%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s", b.ID, b.State, c.Total, c.Delivered+c.Had, c.Failed, c.Skipped, c.Waiting+c.Released,
			ago(now, b.CreatedAt), b.CreatedBy, orDash(b.Why)))
	}
	switch {
	case asJSON:
		return printJSON(w, views)
	case len(list) == 0:
		return sentence(w, "there is no job; one is planned by: holdfast msg replay --failed --dry-run")
	default:
		return table(w, "JOB\tSTATE\tMESSAGES\tDONE\tFAILED\tSKIPPED\tLEFT\tAGE\tBY\tWHY", rows)
	}
}

func jobShow() *cobra.Command {
	var asJSON bool
	var state string
	var limit int
	cmd := &cobra.Command{
		Use: "show JOB", Short: "Show one replay job with what became of its messages", Example: "  holdfast job show 01937c5e-3a52-7b11-9d2f-6b1c2f3a4d5e --state failed", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				v, b, err := r.jobView(ctx, args[0], state, limit)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), v)
				}
				return printJob(cmd.OutOrStdout(), b, v, r.db.Now())
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringVar(&state, "state", "", "only messages that are waiting, released, delivered, had, failed, skipped or cancelled")
	cmd.Flags().IntVar(&limit, "limit", 50, "the most messages to list")
	return cmd
}

// jobView reads a job with some of its messages; of one that nobody has started, how many it would choose besides by now.
func (r *records) jobView(ctx context.Context, id, state string, limit int) (v jobView, b job.Job, err error) {
	err = r.db.View(ctx, func(tx *store.Tx) (err error) {
		if b, err = r.jobs.Get(ctx, tx, id); err != nil {
			return err
		}
		v = jobViewOf(b)
		if b.State == job.Planned || b.State == job.Approval {
			newer, err := r.jobs.Newer(ctx, tx, b, mostNewer)
			if err != nil {
				return err
			}
			v.Newer = &newer
		}
		v.Items, err = r.jobs.Items(ctx, tx, id, state, 0, max(0, limit))
		return err
	})
	return v, b, err
}

// mostNewer is how far the messages are counted that came after a job was frozen.
const mostNewer = 10_000

// newerThan is that count in words.
func newerThan(n int) string {
	if n >= mostNewer {
		return strconv.Itoa(mostNewer) + " or more"
	}
	return strconv.Itoa(n)
}

func printJob(w io.Writer, b job.Job, v jobView, now time.Time) error {
	if err := sentence(w, "%s", jobSentence(b)); err != nil {
		return err
	}
	fmt.Fprintf(w, "  planned   %s, %s ago, by %s\n", b.CreatedAt.Format(time.RFC3339), ago(now, b.CreatedAt), b.CreatedBy)
	if b.StartedBy != "" {
		fmt.Fprintf(w, "  started   %s by %s: %s\n", b.StartedAt.Format(time.RFC3339), b.StartedBy, orDash(b.Reason))
	}
	if b.ApprovedBy != "" {
		fmt.Fprintf(w, "  approved  %s by %s\n", b.ApprovedAt.Format(time.RFC3339), b.ApprovedBy)
	}
	fmt.Fprintf(w, "  rate      %d a second, the first %d alone\n", b.Rate, b.Canary)
	if v.Newer != nil && *v.Newer > 0 {
		fmt.Fprintf(w, "  newer     %s newer not included\n", newerThan(*v.Newer))
	}
	rows := make([]string, 0, len(v.Items))
	for _, i := range v.Items {
		rows = append(rows, fmt.Sprintf("%d\t%s\t%s\t%d\t%s\t%s\t%s", i.Seq, i.State, i.Kind, i.Number, i.ID, i.Lane, orDash(i.Why)))
	}
	if len(rows) == 0 {
		return nil
	}
	return table(w, "PLACE\tSTATE\tKIND\tNUMBER\tID\tLANE\tWHY", rows)
}

// jobSentence is where a job stands, and what a person does next.
func jobSentence(b job.Job) string {
	c := b.Counts
	done := fmt.Sprintf("%d of %s delivered", c.Delivered, count(c.Total, "message", "messages"))
	for _, p := range []struct {
		n    int
		what string
	}{{c.Had, "the ERP had"}, {c.Failed, "failed"}, {c.Skipped, "skipped"}, {c.Released, "on their way"}, {c.Waiting, "not touched"}} {
		if p.n > 0 {
			done += fmt.Sprintf(", %d %s", p.n, p.what)
		}
	}
	switch b.State {
	case job.Planned:
		return fmt.Sprintf("job %s is planned: %s. Nothing is sent yet; start it with: holdfast job start %s --yes --expect %d --reason …", b.ID, count(c.Total, "message", "messages"), b.ID, c.Total)
	case job.Approval:
		return fmt.Sprintf("job %s waits: %s need the approval of somebody else than %s: holdfast job approve %s --reason …", b.ID, count(c.Total, "message", "messages"), b.StartedBy, b.ID)
	case job.Paused:
		return fmt.Sprintf("job %s is paused: %s; %s. Let it go on with: holdfast job resume %s --reason …", b.ID, strings.TrimSuffix(b.Why, "."), done, b.ID)
	case job.Done, job.Cancelled:
		if c.Failed > 0 {
			return fmt.Sprintf("job %s is %s: %s; see why: holdfast job show %s --state failed", b.ID, b.State, done, b.ID)
		}
		return fmt.Sprintf("job %s is %s: %s", b.ID, b.State, done)
	default:
		return fmt.Sprintf("job %s is running: %s; look on with: holdfast job watch %s", b.ID, done, b.ID)
	}
}

func jobStart() *cobra.Command {
	var s starting
	cmd := &cobra.Command{
		Use: "start JOB", Short: "Start the replay of a plan", Example: "  holdfast job start 01937c5e-3a52-7b11-9d2f-6b1c2f3a4d5e --yes --expect 100 --reason 'material exists now'",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.sure(cmd); err != nil {
				return err
			}
			return with(cmd, func(ctx context.Context, r *records) error { return r.start(ctx, cmd, args[0], s) })
		},
	}
	s.flags(cmd)
	actFlag(cmd)
	return cmd
}

// starting is what a person says who starts a bulk act.
type starting struct {
	yes    bool
	expect int
	reason string
	detach bool
}

func (s *starting) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&s.yes, "yes", false, "do it")
	cmd.Flags().IntVar(&s.expect, "expect", 0, "how many messages it is about: another number changes nothing, and ends with status 5")
	cmd.Flags().BoolVar(&s.detach, "detach", false, "do not wait for its end")
	cmd.Flags().StringVar(&s.reason, "reason", "", "why; kept in the audit record")
}

// sure refuses a bulk act that was not said in so many words: with nothing to ask a person by, there is no other way to be sure.
func (s *starting) sure(cmd *cobra.Command) error {
	missing := []string{}
	for name, is := range map[string]bool{"--yes": s.yes, "--expect N": s.expect > 0, "--reason …": strings.TrimSpace(s.reason) != ""} {
		if !is {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return misuse(cmd, "", "it is about many messages, and changes nothing without --yes, --expect N and --reason", "look first with --dry-run.")
}

// start starts a planned job and, unless it is told not to, waits for what becomes of it.
func (r *records) start(ctx context.Context, cmd *cobra.Command, id string, s starting) error {
	b, err := r.changeJob(ctx, access.JobStart, id, s.reason, func(ctx context.Context, r *records, tx *store.Tx, id, reason string) (job.Job, error) {
		return r.jobs.Start(ctx, tx, id, r.me(), reason, s.expect)
	})
	if err != nil {
		return err
	}
	served, err := r.db.Served(ctx, r.cfg.node())
	if err != nil {
		return err
	}
	if s.detach || b.State != job.Running || !served && strings.HasPrefix(r.cfg.Database.URL, "sqlite:") {
		if err := printChanged(cmd, b); err != nil {
			return err
		}
		if !served && b.State == job.Running {
			err = sentence(cmd.ErrOrStderr(), "%s; start it with: holdfast serve", r.cfg.nobody())
		}
		return endOf(b, err)
	}
	return r.watchJob(ctx, cmd, id)
}

// The statuses of what was done in part, and of what waits for a second person.
const (
	partly   = exitError(6)
	approval = exitError(8)
)

// endOf is the status that a job as it stands ends a command with.
func endOf(b job.Job, err error) error {
	switch {
	case err != nil:
		return err
	case b.State == job.Approval:
		return approval
	case b.State != job.Running && (b.Counts.Failed > 0 || b.State == job.Done && b.Counts.Skipped > 0):
		return partly
	default:
		return nil
	}
}

func jobWatch() *cobra.Command {
	cmd := &cobra.Command{
		Use: "watch JOB", Short: "Look on until a replay ends or stops", Example: "  holdfast job watch 01937c5e-3a52-7b11-9d2f-6b1c2f3a4d5e", Args: cobra.ExactArgs(1),
		Long: "Look on until a replay ends or stops: a bar on a terminal. It ends with status 6 if messages have failed or were skipped. Ctrl-C ends\n" +
			"the look, not the replay.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error { return r.watchJob(ctx, cmd, args[0]) })
		},
	}
	actFlag(cmd)
	return cmd
}

// watchJob waits until a job neither runs nor has anything on its way.
func (r *records) watchJob(ctx context.Context, cmd *cobra.Command, id string) error {
	const lookAgain = 250 * time.Millisecond // what another process does wakes nobody here
	var bar interface{ Set(done int) error }
	for {
		var b job.Job
		err := r.db.View(ctx, func(tx *store.Tx) (err error) {
			b, err = r.jobs.Get(ctx, tx, id)
			return err
		})
		if err != nil {
			return err
		}
		c := b.Counts
		if bar == nil {
			bar = newProgress(cmd.ErrOrStderr(), c.Total, "replay")
		}
		if err := bar.Set(c.Total - c.Waiting - c.Released); err != nil {
			return fmt.Errorf("draw the progress: %w", err)
		}
		if b.State != job.Running && c.Released == 0 {
			return endOf(b, printChanged(cmd, b))
		}
		select {
		case <-ctx.Done():
			return &problem.Error{Kind: problem.Unavailable, What: "look on at job " + id, Why: "the look was ended; the job goes on", Hint: "stop it with: holdfast job pause " + id + " --reason …"}
		case <-time.After(lookAgain):
		}
	}
}

// actor is whoever calls the program.
func (r *records) actor() access.Actor { return r.cfg.localActor() }

func (r *records) me() string { return r.actor().Name }
