package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/backup"
)

// plannedPlace is what is due in one place.
type plannedPlace struct {
	Place   string     `json:"place"`
	Remote  bool       `json:"remote,omitempty"`  // it does not go with the machine
	Newest  *time.Time `json:"newest,omitempty"`  // when its newest copy was made
	Through *time.Time `json:"through,omitempty"` // the recovery point that the place gives
	Due     *time.Time `json:"due,omitempty"`     // when the next copy is to be made; nil: only by command
	Proven  *time.Time `json:"proven,omitempty"`  // when the newest of its copies that was proven was made
	Behind  string     `json:"behind,omitempty"`  // how far it lags behind the place that reaches furthest, where that is more than is allowed
	Trouble string     `json:"trouble,omitempty"` // why the place cannot be read
}

// plannedBackups is what holdfast backup schedule prints as JSON.
type plannedBackups struct {
	Every   string         `json:"every"`  // "" : only by command
	Ship    string         `json:"ship"`   // "" : no increments
	Verify  string         `json:"verify"` // "" : only by command
	Alarm   string         `json:"alarm"`  // age of the newest proven copy at which an alarm is raised
	Count   int            `json:"keep_count"`
	Days    int            `json:"keep_days"`
	Places  []plannedPlace `json:"places"`
	TooLate bool           `json:"too_late"` // the newest that was proven is older than alarm, or none was
}

func backupDue() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "schedule", Short: "Show how often copies are made and proven, and what is due", Args: cobra.NoArgs,
		Long: "Schedule shows what holdfast serve does by the part backup of the configuration: how often it makes, ships and proves copies and which it keeps,\n" +
			"and of each place the newest copy, the recovery point and the newest copy that was proven and counts by the plant's keys. To change it, edit the configuration.",
		Example: "  holdfast backup schedule\n  holdfast backup schedule -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				by, err := r.cfg.backupTrust(ctx, r.db)
				if err != nil {
					return err
				}
				places, err := r.cfg.backupPlaces(ctx)
				if err != nil {
					return err
				}
				now := r.db.Now()
				p := r.cfg.Backup.planned()
				var errs []error
				p.Places, errs = planPlaces(ctx, places, by, *r.cfg.Backup)
				p.TooLate = r.cfg.Backup.tooLate(p.Places, now)
				if asJSON {
					return errors.Join(append(errs, printJSON(cmd.OutOrStdout(), p))...)
				}
				return errors.Join(append(errs, p.print(cmd.OutOrStdout(), now))...)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// planned is the schedule as the configuration has it, with what it leaves out.
func (b BackupConfig) planned() plannedBackups {
	p := plannedBackups{Count: b.Keep.Count, Days: b.Keep.Days}
	if b.Every > 0 {
		p.Every, p.Verify, p.Alarm = short(b.Every), short(max(b.Verify, b.Every)), short(max(b.Alarm, 2*b.Every))
	}
	if b.Ship > 0 {
		p.Ship = short(b.Ship)
	}
	return p
}

// tooLate tells whether the newest copy that was proven is older than the alarm allows. Where there are remote places, their proofs count alone.
func (b BackupConfig) tooLate(places []plannedPlace, now time.Time) bool {
	remote := slices.ContainsFunc(places, func(p plannedPlace) bool { return p.Remote })
	var newest time.Time
	for _, p := range places {
		if p.Remote == remote && p.Proven != nil && p.Proven.After(newest) {
			newest = *p.Proven
		}
	}
	return b.Every > 0 && now.Sub(newest) >= max(b.Alarm, 2*b.Every)
}

// planPlaces looks into each place. A copy that nobody has signed whom the plant trusts has no date.
func planPlaces(ctx context.Context, places []backup.Place, by backup.Trust, b BackupConfig) ([]plannedPlace, []error) {
	all, errs := make([]plannedPlace, 0, len(places)), []error(nil)
	var reaches []backup.Reach
	remote := b.remote(places)
	for _, at := range places {
		p := plannedPlace{Place: at.String(), Remote: remote(at)}
		copies, err := backup.List(ctx, at, by)
		if err != nil {
			p.Trouble, errs = err.Error(), append(errs, err)
		} else {
			reaches = append(reaches, backup.ReachOf(p.Place, copies))
		}
		for _, c := range copies { // the newest first
			if c.Trouble != "" {
				continue
			}
			if p.Newest == nil {
				p.Newest, p.Through = &c.Made, &c.Through
			}
			if p.Proven == nil && c.Proven != nil {
				p.Proven = &c.Made
			}
		}
		if b.Every > 0 && p.Newest != nil {
			due := p.Newest.Add(b.Every)
			p.Due = &due
		}
		all = append(all, p)
	}
	behind, furthest := backup.Lagging(reaches, b.allowedLag())
	for _, r := range behind {
		i := slices.IndexFunc(all, func(p plannedPlace) bool { return p.Place == r.Place })
		all[i].Behind = r.Behind(furthest)
	}
	return all, errs
}

func (p plannedBackups) print(w io.Writer, now time.Time) error {
	if p.Every == "" {
		fmt.Fprintln(w, "copies are made and proven by command alone: backup.every is not set")
	} else {
		fmt.Fprintf(w, "every %s a copy, every %s one is proven; an alarm once the newest that was proven is older than %s\n", p.Every, p.Verify, p.Alarm)
	}
	if p.Ship != "" {
		fmt.Fprintf(w, "every %s an increment of what has changed since\n", p.Ship)
	}
	if p.Count > 0 || p.Days > 0 {
		fmt.Fprintf(w, "kept: %s; the newest that was proven always\n", strings.Join(p.kept(), ", "))
	}
	rows := make([]string, 0, len(p.Places))
	for _, at := range p.Places {
		rows = append(rows, strings.Join([]string{at.Place, since(now, at.Newest), at.due(now, p.Every != ""), since(now, at.Through), since(now, at.Proven)}, "\t"))
	}
	if err := table(w, "PLACE\tNEWEST COPY\tNEXT COPY\tRECOVERY POINT\tPROVEN COPY", rows); err != nil {
		return err
	}
	for _, at := range p.Places {
		if at.Behind != "" {
			fmt.Fprintf(w, "WARNING: %s lags behind: %s\n", at.Place, at.Behind)
		}
	}
	if !p.TooLate {
		return nil
	}
	_, err := fmt.Fprintf(w, "too late: no copy that was proven is younger than %s; try: holdfast backup verify\n", p.Alarm)
	return err
}

func (p plannedBackups) kept() (all []string) {
	if p.Count > 0 {
		all = append(all, fmt.Sprintf("the %d newest of each place", p.Count))
	}
	if p.Days > 0 {
		all = append(all, "those of "+count(int64(p.Days), "day", "days"))
	}
	return all
}

// due is when the next copy is to be made in a place.
func (p plannedPlace) due(now time.Time, scheduled bool) string {
	switch {
	case !scheduled:
		return "by command"
	case p.Due == nil || !p.Due.After(now):
		return "now"
	}
	return ago(now, *p.Due)
}

// since is the age of what there may not be.
func since(now time.Time, t *time.Time) string {
	if t == nil {
		return "none"
	}
	return ago(now, *t) + " ago"
}
