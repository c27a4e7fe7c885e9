package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// ReadBack says by which link a SAP that takes IDocs is asked for what it has made of them.
type ReadBack struct {
	Link  string        `yaml:"link"`            // of kind sap, to the same system
	Every time.Duration `yaml:"every,omitempty"` // how soon it is asked, and again; each time twice as long, up to an hour; 1 min
}

// readBackTargets are where the services have what was sent by an IDoc, by the beginning of its type: both keep the message's ID.
func readBackTargets() map[string]string {
	return map[string]string{"PPCC2PRETTICKET": "confirmations/ProdnOrdConf2", "MBGMCR": "movements/A_MaterialDocumentHeader"}
}

const (
	unconfirmed     = "link.unconfirmed" // the alert
	tellUnconfirmed = time.Hour          // how often it is told while it lasts
	mostUnconfirmed = 1000               // messages of a link that are looked at
	longestReadBack = time.Hour
)

// checkReadBacks tells what is wrong with the ways to a final state.
func (c Config) checkReadBacks(k *checker) {
	for name, l := range c.Links {
		at := "links." + name + "."
		if l.IDoc.BookedWithin < 0 {
			k.wrong(at+"booked_within", "it is negative", "write 24h, or leave it out")
		}
		if r := l.IDoc.ReadBack; r != nil && (c.Links[r.Link].Kind != "sap" || r.Every < 0) {
			k.wrong(at+"read_back", "its link is none of kind sap, or every is negative", "name the link of kind sap that calls the services of this system")
		}
	}
}

// settling finds the final state of what SAP has got by IDocs, where its confirmation does not bring it: it reads back by another link what the
// message's ID is found in, and raises an alert of what has had none for too long.
type settling struct {
	*floors
	due map[string]turn // of messages that were asked for; Run's alone
}

// turn is when a message is asked for again, and how long after that.
type turn struct {
	link string
	at   time.Time
	wait time.Duration
}

func (f *floors) settling() *settling { return &settling{f, map[string]turn{}} }

// Run looks again and again until ctx ends.
func (s *settling) Run(ctx context.Context) error {
	every := time.Minute
	wanted := false
	for _, l := range s.cfg.Links {
		if wanted = wanted || l.tellsLater(); l.IDoc.ReadBack != nil {
			every = min(every, l.IDoc.ReadBack.every())
		}
	}
	if !wanted {
		return nil
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		for name, l := range s.cfg.Links {
			if !l.tellsLater() {
				continue
			}
			if err := s.link(ctx, name, l.IDoc); err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "what became of IDocs cannot be looked for", "part", "idoc", "link", name, "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (r ReadBack) every() time.Duration { return cmp.Or(r.Every, time.Minute) }

// tellsLater tells whether a link gets the final state of what it sends in some way.
func (l LinkConfig) tellsLater() bool {
	c := l.IDoc.carried()
	return l.Kind == "sap-idoc" && c.Send != nil && (c.Receive != nil || l.IDoc.ReadBack != nil)
}

// link looks after one link.
func (s *settling) link(ctx context.Context, name string, c idocConfig) error {
	var open []outbox.Detail
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		open, _, err = s.outbox.Messages(ctx, tx, outbox.Filter{Link: name, Unanswered: true, OldestFirst: true, Limit: mostUnconfirmed}, "")
		return err
	})
	if err != nil {
		return err
	}
	var late []outbox.Detail
	known := map[string]turn{} // of what has its number, or was purged, nothing is remembered
	for _, d := range open {
		found := false
		if t, asked := s.due[d.ID]; asked {
			known[d.ID] = t
		}
		if c.ReadBack != nil && err == nil { // else the services are away, and none is asked for
			found, err = s.readBack(ctx, *c.ReadBack, d, known)
		}
		if within := cmp.Or(c.BookedWithin, 24*time.Hour); !found && d.Refused == "" && s.db.Now().Sub(d.SettledAt) > within {
			late = append(late, d)
		}
	}
	maps.DeleteFunc(s.due, func(_ string, t turn) bool { return t.link == name })
	maps.Copy(s.due, known)
	if len(late) > 0 {
		err = errors.Join(err, s.tell(ctx, name, late))
	}
	return err
}

// readBack asks for one message, if it is its turn, and keeps what is found as SAP's confirmation.
func (s *settling) readBack(ctx context.Context, r ReadBack, d outbox.Detail, known map[string]turn) (found bool, err error) {
	t, asked := known[d.ID]
	if !asked {
		t = turn{d.Link, d.SettledAt.Add(r.every()), r.every()}
	}
	target := readBackTarget(d.Receipt.Kind)
	if target == "" || s.db.Now().Before(t.at) {
		return false, nil
	}
	verified, err := message.Verify(ctx, seal.Chain(d.Digest), d.Message)
	if err != nil {
		return false, err
	}
	known[d.ID] = turn{d.Link, s.db.Now().Add(t.wait), min(2*t.wait, longestReadBack)}
	o, err := s.links[r.Link].Ask(ctx, message.Delivery{Event: verified, Digest: d.Digest, Quiet: true, Doc: message.Document{Target: target}})
	if err != nil || o.Verdict != message.Delivered {
		return false, err
	}
	body, err := json.Marshal(map[string]any{"message": d.ID, "document": o.Receipt.Document, "kind": o.Receipt.Kind, "at": o.Receipt.At})
	if err != nil {
		return false, fmt.Errorf("write what was read back of message %s: %w", d.ID, err)
	}
	m := message.Message{ID: "read-back/" + d.ID, Kind: outbox.ReceiptKind, Time: s.db.Now(), Body: body, Place: message.Place{Link: d.Link}}
	return true, s.db.InTx(ctx, func(tx *store.Tx) error { return s.outbox.Answer(ctx, tx, m) })
}

// readBackTarget is where to ask for what an IDoc has brought about, "" for nowhere.
func readBackTarget(kind string) string {
	for begin, target := range readBackTargets() {
		if strings.HasPrefix(strings.TrimPrefix(kind, "IDoc "), begin) {
			return target
		}
	}
	return ""
}

// tell raises the alert, unless this or another node has not long ago.
func (s *settling) tell(ctx context.Context, name string, late []outbox.Detail) error {
	why := &problem.Error{
		Kind: problem.Unavailable, What: fmt.Sprintf("%d IDocs of link %s", len(late), name),
		Why:  fmt.Sprintf("SAP has got them, and nothing says that they are booked; the oldest is message %s, of %s", late[0].ID, late[0].SettledAt.UTC().Format(time.RFC3339)),
		Hint: "plan RBDSTATE in SAP, and look in WE02 and CO1P for what stands still; read_back asks the services for it",
	}
	object := "link/" + name
	return s.db.InTx(ctx, func(tx *store.Tx) error {
		last, err := audit.List(ctx, tx, audit.Filter{Action: unconfirmed, Object: object, Limit: 1})
		if err != nil || len(last) > 0 && tx.Now.Sub(last[0].At) < tellUnconfirmed {
			return err
		}
		return s.alerts.Raise(ctx, tx, unconfirmed, object, why)
	})
}
