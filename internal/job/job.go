// Package job sends many messages once more, as a person has asked: slowly, in order, and so that it can be stopped.
//
// # Guarantees
//
//   - Frozen: which messages a job is about is kept when it is planned. What comes later is not in it; what was changed since is skipped.
//   - Nothing doubled: handing a message back to the outbox and noting that are one transaction, and the outbox asks the ERP for a
//     message before it sends it again, unless a person says otherwise.
//   - Order: messages of one lane go in the order of their numbers, and none goes past one that has failed.
//   - It survives: a job belongs to no process. Whichever node steps next goes on where the last one stopped.
//   - Four eyes: a job over Config.ReplayOver runs once somebody else than its author has approved it; so does a smaller one by whom has
//     replayed the rest of that alone in Window, in jobs and at once.
//
// The package owns the tables replay_jobs, replay_items, replay_alone and replay_turn; nothing else reads or writes them.
package job

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/google/uuid"

	"holdfast/internal/audit"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Most is how many messages one job has at most.
const Most = 200_000

// State is where a job stands.
type State string

// The states of a job.
const (
	Planned   State = "planned"   // frozen, and not started
	Approval  State = "approval"  // started, and waits for another person to approve it
	Running   State = "running"   // messages go
	Paused    State = "paused"    // a person, the canary or too many failures have stopped it
	Done      State = "done"      // each of its messages has its outcome
	Cancelled State = "cancelled" // a person has given up the rest
)

// Ended tells whether nothing more happens to a job in this state.
func (s State) Ended() bool { return s == Done || s == Cancelled }

// Config is what a plant may set; zero fields mean the default.
type Config struct {
	ReplayOver int           // more messages of one person's in Window need the approval of a second; 0: none do
	Rate       int           // messages a second of a job that says nothing; default 50
	Poll       time.Duration // the net under the wakes; default 1 s
	KeepPlans  time.Duration // how long a plan is kept that nobody starts; default 24 h
	Keep       time.Duration // how long a job is kept after its end; default 90 days
}

// Jobs keeps replay jobs, and runs them.
type Jobs struct {
	db  *store.DB
	out *outbox.Outbox
	cfg Config
	log *slog.Logger
}

// New returns Jobs. It touches nothing; Run does the work.
func New(db *store.DB, out *outbox.Outbox, cfg Config, log *slog.Logger) *Jobs {
	cfg.Rate = cmp.Or(cfg.Rate, 50)
	cfg.Poll = cmp.Or(cfg.Poll, time.Second)
	cfg.KeepPlans = cmp.Or(cfg.KeepPlans, 24*time.Hour)
	cfg.Keep = cmp.Or(cfg.Keep, 90*24*time.Hour)
	return &Jobs{db, out, cfg, log}
}

// Request is what a person asks for.
type Request struct {
	Choice    outbox.Choice
	Force     bool // without asking the ERP first; of delivered messages it makes second documents where the ERP still has them
	Rate      int  // messages a second; 0 means Config.Rate
	Canary    int  // so many go first, and the job then waits for a look; a negative number means none, 0 means 1
	GoOn      bool // it does not wait for a look if the first were delivered
	Tolerance int  // it pauses when more have failed; 0 means 10
	Some      bool // what of Choice.IDs cannot be sent again is left out, and Job.Why says so; else it refuses the plan
}

// Job is one replay job.
type Job struct {
	ID         string
	State      State
	Why        string // it is paused, or what was left out of it
	Choice     outbox.Choice
	Force      bool
	Rate       int
	Canary     int // how many go first; 0 once they have passed
	GoOn       bool
	Tolerance  int
	Reason     string
	CreatedBy  string
	CreatedAt  time.Time
	ApprovedBy string
	ApprovedAt time.Time
	StartedBy  string
	StartedAt  time.Time
	EndedAt    time.Time
	Counts     Counts
}

// Counts is how far a job is: every message is in one of these.
type Counts struct {
	Total     int `json:"total"`
	Waiting   int `json:"waiting"`   // not handed to the outbox yet
	Released  int `json:"released"`  // handed to it, and without an outcome yet
	Delivered int `json:"delivered"` // sent, and taken by the ERP
	Had       int `json:"had"`       // the ERP, which was asked, had it: nothing was sent
	Failed    int `json:"failed"`    // refused, or in doubt: its lane waits for a person
	Skipped   int `json:"skipped"`   // changed, given up or held up since, or cancelled
}

// Plan freezes what a choice chooses, in a job that nobody has started. NotFound if it chooses nothing.
func (j *Jobs) Plan(ctx context.Context, tx *store.Tx, r Request, by string) (Job, error) {
	if r.Rate < 0 || r.Rate > 10_000 || r.Tolerance < 0 {
		return Job{}, &problem.Error{Kind: problem.Invalid, What: "plan a replay", Why: "its rate must be from 1 to 10000 messages a second, and its failures not negative", Hint: "give --rate 50"}
	}
	list, left, err := j.choose(ctx, tx, r)
	if err != nil {
		return Job{}, err
	}
	if len(list) == 0 {
		return Job{}, &problem.Error{Kind: problem.NotFound, What: "plan a replay", Why: "no message is like that", Hint: "see: holdfast msg list, or holdfast lane list --stuck"}
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Job{}, fmt.Errorf("name a job: %w", err)
	}
	text, err := json.Marshal(r.Choice)
	if err != nil {
		return Job{}, fmt.Errorf("write the choice of a job: %w", err)
	}
	canary := max(0, cmp.Or(r.Canary, 1))
	_, err = tx.Exec(ctx, `INSERT INTO replay_jobs (id, state, created_at, created_by, choice, force, rate, canary, go_on, tolerance, total, why)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, id.String(), string(Planned), store.Micros(tx.Now), by, string(text), r.Force, cmp.Or(r.Rate, j.cfg.Rate),
		min(canary, len(list)), r.GoOn, cmp.Or(r.Tolerance, 10), len(list), left)
	if err == nil {
		err = freeze(ctx, tx, id.String(), list)
	}
	if err != nil {
		return Job{}, fmt.Errorf("keep a job: %w", err)
	}
	return j.Get(ctx, tx, id.String())
}

// mostLeft is how many messages that were left out a job names.
const mostLeft = 5

// choose lists what a job is about, and says what was left out.
func (j *Jobs) choose(ctx context.Context, tx *store.Tx, r Request) (list []outbox.Chosen, left string, err error) {
	if !r.Some {
		list, err = j.out.Choose(ctx, tx, r.Choice, Most)
		return list, "", err
	}
	list, each, err := j.out.ChooseSome(ctx, tx, r.Choice.IDs)
	if err == nil && len(list) == 0 && len(each) > 0 {
		err = each[0]
	}
	if err != nil || len(each) == 0 {
		return list, "", err
	}
	left = fmt.Sprintf("%d left out", len(each))
	for _, why := range each[:min(len(each), mostLeft)] {
		if p, ok := errors.AsType[*problem.Error](why); ok {
			left += fmt.Sprintf("; %s: %s", p.What, p.Why)
		}
	}
	if more := len(each) - mostLeft; more > 0 {
		left += fmt.Sprintf("; and %d more", more)
	}
	return list, left, nil
}

// Start lets a planned job run. expect is how many messages the person has seen in it: another number is refused (Precondition). A job
// that needs a second person's approval waits for it.
func (j *Jobs) Start(ctx context.Context, tx *store.Tx, id, by, reason string, expect int) (Job, error) {
	alone, err := j.takeTurn(ctx, tx, by)
	if err != nil {
		return Job{}, err
	}
	job, err := j.lock(ctx, tx, id)
	if err != nil {
		return Job{}, err
	}
	if job.State != Planned {
		return Job{}, job.not("start")
	}
	if err := Expected(job.Counts.Total, expect); err != nil {
		return Job{}, err
	}
	state := Running
	if j.over(int64(job.Counts.Total), alone) {
		state = Approval
	} else if err := j.count(ctx, tx, by, int64(job.Counts.Total)); err != nil {
		return Job{}, err
	}
	_, err = tx.Exec(ctx, `UPDATE replay_jobs SET state = ?, started_by = ?, started_at = ?, reason = ?, next_at = ? WHERE id = ?`,
		string(state), by, store.Micros(tx.Now), reason, store.Micros(tx.Now), id)
	return j.changed(ctx, tx, id, "start", err)
}

// Expected refuses a set of another size than the person has seen: an error of kind Precondition.
func Expected(total, expect int) error {
	if total == expect {
		return nil
	}
	return &problem.Error{
		Kind: problem.Precondition, What: fmt.Sprintf("replay %d messages", expect), Why: fmt.Sprintf("there are %d: nothing is sent", total),
		Hint: "look at them with --dry-run, and say how many you have seen: --expect " + strconv.Itoa(total),
	}
}

// Approve lets a job run that somebody else has asked for. Denied to those who planned or started it.
func (j *Jobs) Approve(ctx context.Context, tx *store.Tx, id, by string) (Job, error) {
	job, err := j.lock(ctx, tx, id)
	if err != nil {
		return Job{}, err
	}
	if job.State != Approval {
		return Job{}, job.not("approve")
	}
	if !audit.TwoPersons(by, job.CreatedBy) || job.StartedBy != "" && !audit.TwoPersons(by, job.StartedBy) {
		return Job{}, &problem.Error{
			Kind: problem.Denied, What: "approve job " + id, Why: "it may be " + by + "'s own request",
			Hint: "somebody else has to look at it and approve it; access.people says whose account is whose",
		}
	}
	_, err = tx.Exec(ctx, `UPDATE replay_jobs SET state = ?, approved_by = ?, approved_at = ?, next_at = ? WHERE id = ?`,
		string(Running), by, store.Micros(tx.Now), store.Micros(tx.Now), id)
	return j.changed(ctx, tx, id, "approve", err)
}

// Pause stops a running job. What it has handed to the outbox is sent.
func (j *Jobs) Pause(ctx context.Context, tx *store.Tx, id, by, reason string) (Job, error) {
	job, err := j.lock(ctx, tx, id)
	if err == nil && job.State != Running {
		err = job.not("pause")
	}
	if err == nil {
		err = j.pause(ctx, tx, id, by+": "+reason)
	}
	return j.changed(ctx, tx, id, "pause", err)
}

func (j *Jobs) pause(ctx context.Context, tx *store.Tx, id, why string) error {
	_, err := tx.Exec(ctx, `UPDATE replay_jobs SET state = ?, why = ? WHERE id = ?`, string(Paused), why, id)
	return err
}

// Resume lets a paused job go on; its canary counts as looked at, and its failures as known.
func (j *Jobs) Resume(ctx context.Context, tx *store.Tx, id string) (Job, error) {
	job, err := j.lock(ctx, tx, id)
	if err == nil && job.State != Paused {
		err = job.not("resume")
	}
	if err == nil {
		_, err = tx.Exec(ctx, `UPDATE replay_jobs SET state = ?, why = '', canary = 0, tolerance = ?, next_at = ? WHERE id = ?`,
			string(Running), job.Counts.Failed+min(job.Tolerance, 10), store.Micros(tx.Now), id)
	}
	return j.changed(ctx, tx, id, "resume", err)
}

// Cancel gives up what a job has not handed to the outbox yet. What it has is sent all the same.
func (j *Jobs) Cancel(ctx context.Context, tx *store.Tx, id string) (Job, error) {
	job, err := j.lock(ctx, tx, id)
	if err == nil && job.State.Ended() {
		err = job.not("cancel")
	}
	if err == nil {
		_, err = tx.Exec(ctx, `UPDATE replay_items SET state = 'cancelled' WHERE job = ? AND state = 'waiting'`, id)
	}
	if err == nil {
		_, err = tx.Exec(ctx, `UPDATE replay_jobs SET state = ?, why = '', ended_at = ?, skipped = skipped + ? WHERE id = ?`,
			string(Cancelled), store.Micros(tx.Now), job.Counts.Waiting, id)
	}
	return j.changed(ctx, tx, id, "cancel", err)
}

// Restored has no job go on by itself in a database that is a copy of an earlier time: what it would send may have been sent since. One that runs is
// paused. One that sends without asking the ERP is cancelled, and so is one that was to: who wants it plans it anew, by what the ERP has now. It must be
// called before anything runs.
func Restored(ctx context.Context, tx *store.Tx) error {
	const forced = `force AND state IN ('planned', 'approval', 'running', 'paused')`
	_, err := tx.Exec(ctx, `UPDATE replay_items SET state = 'cancelled' WHERE state = 'waiting' AND job IN (SELECT id FROM replay_jobs WHERE `+forced+`)`)
	if err == nil {
		_, err = tx.Exec(ctx, `UPDATE replay_jobs SET state = 'cancelled', why = '', ended_at = ?, skipped = total - released - delivered - had - failed WHERE `+forced, store.Micros(tx.Now))
	}
	if err == nil {
		_, err = tx.Exec(ctx, `UPDATE replay_jobs SET state = 'paused', why = 'the database was restored from a copy: look at what the ERP has by now, then resume it' WHERE state = 'running'`)
	}
	if err != nil {
		return fmt.Errorf("stop the jobs of a database that was restored: %w", err)
	}
	return nil
}

// SetRate changes how many messages a second a job sends.
func (j *Jobs) SetRate(ctx context.Context, tx *store.Tx, id string, rate int) (Job, error) {
	job, err := j.lock(ctx, tx, id)
	if err == nil && job.State.Ended() {
		err = job.not("change")
	}
	if err == nil && (rate < 1 || rate > 10_000) {
		err = &problem.Error{Kind: problem.Invalid, What: "change the rate of job " + id, Why: "it must be from 1 to 10000 messages a second", Hint: "to stop it: holdfast job pause " + id}
	}
	if err == nil {
		_, err = tx.Exec(ctx, `UPDATE replay_jobs SET rate = ?, next_at = ? WHERE id = ?`, rate, store.Micros(tx.Now), id)
	}
	return j.changed(ctx, tx, id, "change", err)
}

// changed ends an act upon a job: it wakes those who run jobs, and reads the job as it is now.
func (j *Jobs) changed(ctx context.Context, tx *store.Tx, id, what string, err error) (Job, error) {
	if _, ok := errors.AsType[*problem.Error](err); err != nil && !ok {
		err = fmt.Errorf("%s job %s: %w", what, id, err)
	}
	if err != nil {
		return Job{}, err
	}
	tx.Wake(Topic)
	return j.Get(ctx, tx, id)
}

// not says that an act does not fit the state of a job.
func (b Job) not(what string) error {
	hint := "see: holdfast job show " + b.ID
	if b.State == Planned {
		hint = fmt.Sprintf("start it: holdfast job start %s --yes --expect %d --reason …", b.ID, b.Counts.Total)
	}
	return &problem.Error{Kind: problem.Conflict, What: what + " job " + b.ID, Why: "it is " + string(b.State), Hint: hint}
}

// Get is one job; NotFound if there is none of that ID.
func (j *Jobs) Get(ctx context.Context, tx *store.Tx, id string) (Job, error) {
	return j.get(ctx, tx, id, "")
}

func (j *Jobs) lock(ctx context.Context, tx *store.Tx, id string) (Job, error) {
	return j.get(ctx, tx, id, tx.ForUpdate())
}

func (j *Jobs) get(ctx context.Context, tx *store.Tx, id, lock string) (Job, error) {
	var r row
	err := tx.Get(ctx, &r, `SELECT `+columns+` FROM replay_jobs WHERE id = ?`+lock, id)
	if errors.Is(err, sql.ErrNoRows) {
		return Job{}, &problem.Error{Kind: problem.NotFound, What: "job " + id, Why: "there is none, or it is no longer kept", Hint: "see: holdfast job list"}
	}
	if err != nil {
		return Job{}, fmt.Errorf("read job %s: %w", id, err)
	}
	return r.job()
}

// List is the latest jobs, the latest first.
func (j *Jobs) List(ctx context.Context, tx *store.Tx, limit int) ([]Job, error) {
	var rows []row
	err := tx.Select(ctx, &rows, `SELECT `+columns+` FROM replay_jobs ORDER BY created_at DESC, id DESC LIMIT `+strconv.Itoa(max(1, min(cmp.Or(limit, 50), 10_000))))
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	list := make([]Job, 0, len(rows))
	for _, r := range rows {
		b, err := r.job()
		if err != nil {
			return nil, err
		}
		list = append(list, b)
	}
	return list, nil
}

// Newer is how many messages a job's choice chooses now that are not in it: they came after it was frozen. It counts to most and no
// further, however many there are by now.
func (j *Jobs) Newer(ctx context.Context, tx *store.Tx, b Job, most int) (int, error) {
	if len(b.Choice.IDs) > 0 {
		return 0, nil
	}
	var ids []string
	if err := tx.Select(ctx, &ids, `SELECT id FROM replay_items WHERE job = ?`, b.ID); err != nil {
		return 0, fmt.Errorf("read the messages of job %s: %w", b.ID, err)
	}
	in := make(map[string]bool, len(ids))
	for _, id := range ids {
		in[id] = true
	}
	now, err := j.out.ChosenIDs(ctx, tx, b.Choice, len(in)+most) // at most len(in) of them are in it, so most others are seen
	if err != nil {
		return 0, err
	}
	n := 0
	for _, id := range now {
		if !in[id] {
			n++
		}
	}
	return min(n, most), nil
}
