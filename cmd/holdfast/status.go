package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/console"
	"holdfast/internal/inbox"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// status is how the plant stands with its ERPs; its JSON is what status --json prints.
type status struct {
	At    time.Time    `json:"at"`
	Links []linkStatus `json:"links"`
	Inbox inboxStatus  `json:"inbox"`
	Plant plantStatus  `json:"plant"`
	Keys  []keysLeft   `json:"keys,omitempty"`
	// Kinds, Work and Store are what the console's first page says besides, where they were asked for; Store is left out where it is no file.
	Kinds []kindStatus  `json:"kinds,omitempty"`
	Work  *console.Work `json:"work,omitempty"`
	Store *storeStatus  `json:"store,omitempty"`
	// Served tells whether a process of this configuration runs the plant: without one nothing is sent or taken in.
	Served bool `json:"served"`
	nobody string
}

// kindStatus is what is queued of one kind.
type kindStatus struct {
	Link     string    `json:"link"`
	Kind     string    `json:"kind"`
	Queued   int64     `json:"queued"`
	OldestAt time.Time `json:"oldest_at"`
}

// storeStatus is the room of the database and of its disk, in bytes, and for how long it lasts at the growth of the last hour: left out where the
// store does not grow, or was not watched for half a minute yet.
type storeStatus struct {
	Used   int64   `json:"used_bytes"`
	Free   int64   `json:"free_bytes"`
	Growth int64   `json:"growth_bytes_per_hour,omitempty"`
	Lasts  seconds `json:"lasts_seconds,omitempty"`
}

type linkStatus struct {
	Name      string    `json:"name"`
	Since     time.Time `json:"since,omitzero"` // when State last changed
	State     string    `json:"state"`          // up, degraded, down, paused, or removed from the configuration
	Queued    int64     `json:"queued"`
	OldestAge seconds   `json:"oldest_age_seconds"`
	Lanes     int64     `json:"lanes"`
	Parked    int64     `json:"lanes_parked"`
	Altered   int64     `json:"lanes_altered"` // of these, because the database was altered behind Holdfast
	Waiting   int64     `json:"lanes_waiting"`
	Paused    int64     `json:"lanes_paused"`    // whether they owe something or not
	Postponed int64     `json:"lanes_postponed"` // their first message is put off to a later time
	Delivered int64     `json:"delivered"`
	Voided    int64     `json:"voided"`
	Refused   int64     `json:"refused"` // by the ERP, after they were delivered
	// InDoubt counts messages that may have been sent, and to which there was no answer.
	InDoubt      int64     `json:"in_doubt"`
	InDoubtSince time.Time `json:"in_doubt_since,omitzero"` // the oldest of them
	// Rate is how many requests a second a person allows, in the place of the configuration; left out where nobody has said it.
	Rate int `json:"rate,omitempty"`
	// Drain is how long what is queued takes once the link is up, and DrainBy how that was reckoned, as the console says it.
	Drain   seconds `json:"drained_in_seconds,omitempty"`
	DrainBy string  `json:"drained_by,omitempty"`
	Why     string  `json:"why,omitempty"`

	patience time.Duration
}

type inboxStatus struct {
	Waiting     int64        `json:"waiting"`
	Quarantined int64        `json:"quarantined"`
	Rejected    int64        `json:"rejected"`
	Gaps        int64        `json:"gaps"`
	Feeds       []feedStatus `json:"feeds"`
}

type feedStatus struct {
	Name    string    `json:"name"`
	Polled  time.Time `json:"polled_at"`
	Trouble string    `json:"trouble,omitempty"`
}

// trouble is Trouble without the name of the poll, which whoever met it has put before it, some of them twice.
func (f feedStatus) trouble() string {
	return strings.TrimPrefix(strings.TrimPrefix(f.Trouble, "poll "+f.Name+": "), "poll "+f.Name+" ")
}

// seconds is a length of time that JSON writes as whole seconds.
type seconds time.Duration

// MarshalJSON writes whole seconds.
func (s seconds) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%d", int64(time.Duration(s).Seconds())), nil
}

func newStatus() *cobra.Command {
	var asJSON, watch bool
	var every time.Duration
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how the plant stands with its ERPs",
		Long: "Status tells, for each link, what is queued and for how long, which lanes stand still, and what came in that the plant could\n" +
			"not take. It works whether serve runs or not. --watch says it again and again, until Ctrl-C; with --json as one object a line.",
		Example: "  holdfast status --config holdfast.yaml --json\n  holdfast status --watch",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				if watch {
					return r.watchStatus(ctx, cmd.OutOrStdout(), every, asJSON)
				}
				s, err := r.status(ctx)
				if err != nil {
					return err
				}
				if asJSON {
					err := r.outlook(ctx, &s)
					return errors.Join(err, printJSON(cmd.OutOrStdout(), s))
				}
				return s.print(cmd.OutOrStdout())
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVar(&watch, "watch", false, "say it again and again")
	cmd.Flags().DurationVar(&every, "every", 2*time.Second, "with --watch: how often")
	return cmd
}

// watchStatus says how the plant stands until ctx ends: on a terminal in the same place, elsewhere one after the other.
func (r *records) watchStatus(ctx context.Context, w io.Writer, every time.Duration, asJSON bool) error {
	again := time.NewTicker(max(every, time.Millisecond))
	defer again.Stop()
	for {
		s, err := r.status(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case asJSON:
			err = json.NewEncoder(w).Encode(s)
		case isTerminal(w):
			_, err = fmt.Fprintf(w, "\x1b[H\x1b[J%s\n", s.At.Format(time.RFC3339))
			err = errors.Join(err, s.print(w))
		default:
			_, err = fmt.Fprintln(w, s.At.Format(time.RFC3339))
			err = errors.Join(err, s.print(w))
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		}
	}
}

// status reads everything in one picture of the database.
func (r *records) status(ctx context.Context) (status, error) {
	var s status
	var links []outbox.Link
	var in inbox.Status
	var err error
	if s.Served, err = r.db.Served(ctx, r.cfg.node()); err != nil {
		return s, err
	}
	s.nobody = r.cfg.nobody()
	err = r.db.View(ctx, func(tx *store.Tx) (err error) {
		s.At = tx.Now
		if links, err = r.out.Links(ctx, tx); err != nil {
			return err
		}
		if in, err = r.in.Status(ctx, tx); err != nil {
			return err
		}
		if s.Keys, err = keysLeftOf(ctx, tx, r.cfg); err != nil {
			return err
		}
		s.Plant, err = plantStatusOf(ctx, tx, r.cfg)
		return err
	})
	if err != nil {
		return s, err
	}
	s.Links = r.linkStatuses(links, in.Feeds, s.At)
	s.Inbox = inboxStatus{Waiting: in.Waiting, Quarantined: in.Quarantined, Rejected: in.Rejected, Gaps: in.Gaps, Feeds: []feedStatus{}}
	for _, f := range in.Feeds {
		s.Inbox.Feeds = append(s.Inbox.Feeds, feedStatus{f.Name, f.PolledAt, f.Trouble})
	}
	return s, nil
}

// outlook adds for how long the plant can go on, as the console's first page says it.
func (r *records) outlook(ctx context.Context, s *status) error {
	var o console.Outlook
	err := r.db.View(ctx, func(tx *store.Tx) error {
		kinds, err := r.out.Kinds(ctx, tx)
		if err != nil {
			return err
		}
		links, err := r.out.Links(ctx, tx)
		if err != nil {
			return err
		}
		if o, err = console.Foretell(ctx, tx, links); err != nil {
			return err
		}
		for _, l := range links {
			i := slices.IndexFunc(s.Links, func(of linkStatus) bool { return of.Name == l.Name && of.State != "removed" })
			if i >= 0 {
				c := r.cfg.Links[l.Name]
				takes, how := o.Drain(l, cmp.Or(l.Rate, c.Rate)*max(1, c.together()))
				s.Links[i].Drain, s.Links[i].DrainBy = seconds(takes), how
			}
		}
		for _, k := range kinds {
			s.Kinds = append(s.Kinds, kindStatus{k.Link, k.Kind, k.Owed, k.OldestAt})
		}
		w, err := console.WorkLeft(ctx, tx, r.plant)
		s.Work = &w
		return err
	})
	measure := r.cfg.space()
	if err != nil || measure == nil {
		return err
	}
	room, err := measure(ctx)
	s.Store = &storeStatus{Used: room.Used, Free: room.Free, Growth: int64(o.Growth() * 3600), Lasts: seconds(o.Lasts(room.Free))}
	return err
}

// linkStatuses joins what the database knows with the links of the configuration, of which some may never have been used.
func (r *records) linkStatuses(links []outbox.Link, feeds []inbox.FeedStatus, now time.Time) []linkStatus {
	byName := map[string]outbox.Link{}
	for name := range r.cfg.Links {
		byName[name] = outbox.Link{Name: name}
	}
	for _, l := range links {
		byName[l.Name] = l
	}
	out := []linkStatus{}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		l := byName[name]
		s := linkStatus{
			Name: name, Queued: l.Owed, Lanes: l.Lanes, Parked: l.Parked, Altered: l.Altered, Waiting: l.Waiting, Paused: l.Held, Delivered: l.Delivered, Voided: l.Voided,
			Refused: l.Refused, Postponed: l.Postponed, Rate: l.Rate, InDoubt: l.Doubtful, InDoubtSince: l.DoubtAt, patience: r.cfg.patience(name),
		}
		if !l.OldestAt.IsZero() {
			s.OldestAge = seconds(now.Sub(l.OldestAt))
		}
		s.State, s.Why, s.Since = console.Stand(l, feeds)
		if _, ok := r.cfg.Links[name]; !ok {
			s.State, s.Why, s.Since = "removed", removedWhy, l.ChangedAt
		}
		out = append(out, s)
	}
	return out
}

// nobody says that no process serves. On PostgreSQL each node has a name of its own, of which this configuration knows one.
func (c Config) nobody() string {
	who := "no process runs this plant"
	if !strings.HasPrefix(c.Database.URL, "sqlite:") {
		who = "no process runs as node " + c.node() + " of this plant"
	}
	return who + ", so nothing is sent or taken in"
}

// sayServed says that no process serves, if so; a state of the links is then what the last one saw.
func (s status) sayServed(w io.Writer) error {
	if s.Served {
		return nil
	}
	return sentence(w, "%s; start it with: holdfast serve", s.nobody)
}

func (s status) print(w io.Writer) error {
	if err := s.printLinks(w); err != nil {
		return err
	}
	fmt.Fprintf(w, "\ninbox: %s waiting, %d in quarantine, %d not believed, %s\n",
		count(s.Inbox.Waiting, "message", "messages"), s.Inbox.Quarantined, s.Inbox.Rejected, count(s.Inbox.Gaps, "gap", "gaps"))
	for _, k := range s.Keys {
		fmt.Fprintf(w, "keys: %s\n", k.says())
	}
	for _, f := range s.Inbox.Feeds {
		if f.Trouble == "" {
			continue
		}
		since := "has not succeeded yet"
		if !f.Polled.IsZero() {
			since = "last succeeded " + ago(s.At, f.Polled) + " ago"
		}
		if err := sentence(w, "poll %s fails, it %s: %s", f.Name, since, orDash(f.trouble())); err != nil {
			return err
		}
	}
	return errors.Join(s.sayServed(w), s.advise(w))
}

// advise says what a person should do now, if anything.
func (s status) advise(w io.Writer) error {
	var advice []string
	say := func(format string, args ...any) { advice = append(advice, fmt.Sprintf(format, args...)) }
	for _, l := range s.Links {
		l.advise(s.At, say)
	}
	if s.Inbox.Quarantined > 0 {
		say("%s of the ERP could not be taken: holdfast quarantine list", count(s.Inbox.Quarantined, "message", "messages"))
	}
	if s.Inbox.Rejected > 0 {
		say("%s not believed: holdfast quarantine list --rejected", count(s.Inbox.Rejected, "message was", "messages were"))
	}
	if s.Inbox.Gaps > 0 {
		say("%s for a number that has not come: holdfast quarantine lanes", count(s.Inbox.Gaps, "inbound lane waits", "inbound lanes wait"))
	}
	for _, c := range s.Plant.Conflicts {
		say("%s: %s", c.says(), c.do())
	}
	for _, k := range s.Keys {
		if k.Half {
			say("%s: %s", k.says(), k.do())
		}
	}
	for _, a := range advice {
		if err := sentence(w, "%s", a); err != nil {
			return err
		}
	}
	return nil
}

// advise says what a person should do now about a link, if anything.
func (l linkStatus) advise(now time.Time, say func(format string, args ...any)) {
	if l.State == "down" {
		say("link %s is down: the plant goes on and nothing is lost; messages are sent when the ERP is back. Check it with: holdfast doctor", l.Name)
	}
	if l.State == console.Degraded {
		say("link %s brings nothing new: the plant goes on, and what it reports is kept and sent as the ERP takes it. Check it with: holdfast doctor", l.Name)
	}
	if l.InDoubt > 0 {
		d := doubt{l.Name, l.InDoubt, l.InDoubtSince, l.patience}
		say("%s: %s", d.says(now), d.do())
	}
	if l.State == "removed" && l.Queued > 0 {
		say("link %s owes %s, and %s: %s", l.Name, count(l.Queued, "message", "messages"), removedWhy, removedDo)
	}
	if l.Rate > 0 {
		say("link %s sends at most %s a second, as a person has said: holdfast link rate %s --rate 0 --reason …", l.Name, count(l.Rate, "request", "requests"), l.Name)
	}
	if l.State == "paused" {
		say("link %s was paused by a person; let it go on with: holdfast link resume %s --reason …", l.Name, l.Name)
	}
	if l.Refused > 0 {
		say("the ERP refused %s that link %s had delivered: holdfast msg list --refused", count(l.Refused, "message", "messages"), l.Name)
	}
	if l.Altered > 0 {
		say("ALARM: %s parked on link %s because %s: see WHY in holdfast lane list --link %s --stuck, and docs/when-the-erp-is-down.md", count(l.Altered, "lane is", "lanes are"), l.Name, alteredWhy, l.Name)
	}
	if l.Parked > 0 {
		say("%s for a person on link %s: holdfast lane list --link %s --stuck", count(l.Parked, "lane waits", "lanes wait"), l.Name, l.Name)
	}
	if l.Postponed > 0 {
		say("%s postponed on link %s, see WHY in: holdfast lane list --link %s", count(l.Postponed, "lane is", "lanes are"), l.Name, l.Name)
	}
	if l.Paused > 0 {
		say("%s paused by a person on link %s: holdfast lane list --link %s --paused", count(l.Paused, "lane was", "lanes were"), l.Name, l.Name)
	}
}

func (s status) printLinks(w io.Writer) error {
	rows := make([]string, 0, len(s.Links))
	for _, l := range s.Links {
		oldest := "-"
		if l.OldestAge > 0 || l.Queued > 0 {
			oldest = short(time.Duration(l.OldestAge))
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%d\t%s\t%d\t%d\t%d\t%d\t%s", l.Name, l.State, l.Queued, oldest, l.Parked, l.Waiting, l.Paused, l.Delivered, orDash(l.Why)))
	}
	return table(w, "LINK\tSTATE\tQUEUED\tOLDEST\tPARKED\tWAITING\tPAUSED\tDELIVERED\tWHY", rows)
}
