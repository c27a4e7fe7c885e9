package main

import (
	"context"
	"fmt"
	"time"

	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// doubt is what may have been sent over a link without an answer.
type doubt struct {
	link     string
	messages int64
	since    time.Time     // the oldest
	patience time.Duration // of the link; 0 of one that cannot be asked
}

func (d doubt) says(now time.Time) string {
	verbs := "may have reached the ERP and has no answer"
	if d.messages > 1 {
		verbs = "may have reached the ERP and have no answer"
	}
	return fmt.Sprintf("IN DOUBT: %s on link %s %s, the oldest since %s (%s)",
		count(d.messages, "message", "messages"), d.link, verbs, d.since.Format(time.RFC3339), ago(now, d.since))
}

func (d doubt) do() string {
	nothing := "nothing while the ERP is away"
	if d.patience > 0 {
		nothing += ", and for " + short(d.patience) + " from when the ERP is asked for it (ask_after): before, its word that it does not have it is not believed, and nothing is sent anew"
	}
	return nothing + ". If it answers others and this stays, it will not answer this by itself: see WHY in holdfast lane list --link " + d.link + ", and find out what the ERP makes of it"
}

// patience is that of a link of this name; 0 where there is none, or it cannot be asked.
func (c Config) patience(link string) time.Duration {
	l, ok := c.Links[link]
	if !ok {
		return 0
	}
	_, ask, _ := l.patience()
	return ask
}

// examineDoubts tells of messages that may have been sent without an answer, in a database whose schema is up to date.
func examineDoubts(ctx context.Context, cfg Config, db *store.DB) []finding {
	var links []outbox.Link
	var now time.Time
	err := db.View(ctx, func(tx *store.Tx) (err error) {
		now = tx.Now
		links, err = outbox.New(nil, cfg.Plant.Source, outbox.Config{}).Links(ctx, tx)
		return err
	})
	if err != nil {
		return bad("messages in doubt", err)
	}
	var out []finding
	for _, l := range links {
		if d := (doubt{l.Name, l.Doubtful, l.DoubtAt, cfg.patience(l.Name)}); d.messages > 0 {
			out = append(out, finding{Subject: "messages", State: look, Says: d.says(now), Do: d.do()})
		}
		if l.Altered > 0 {
			out = append(out, finding{
				Subject: "link " + l.Name, State: look, Says: "of " + count(l.Altered, "lane", "lanes") + " nothing is sent: " + alteredWhy, Do: outbox.AlteredDo,
			})
		}
	}
	return out
}
