package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
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

// readBackTargets are where the services have what was sent by an IDoc, by the beginning of its receipt's kind: both keep the message's ID.
func readBackTargets() map[string]string {
	return map[string]string{"IDoc PPCC2PRETTICKET": "confirmations/ProdnOrdConf2", "IDoc MBGMCR": "movements/A_MaterialDocumentHeader"}
}

const (
	unconfirmed     = "link.unconfirmed" // the alert
	tellUnconfirmed = time.Hour          // how often it is told while it lasts
	longestReadBack = time.Hour
	mostTroubles    = 10 // that one round tells
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
		} else if r != nil && !slices.Contains([]string{"", "ReferenceDocument"}, c.Links[r.Link].SAP.MovementID) {
			k.wrong(at+"read_back", "IDocs carry the message's ID in REF_DOC_NO, and links."+r.Link+".movement_id has it looked for elsewhere: no movement would ever be found",
				"leave movement_id of link "+r.Link+" out (ReferenceDocument), or read back by a link of its own")
		}
	}
}

// examineMarks tells that nodes which share a database must share the marks of what was handed over through a folder too.
func examineMarks(cfg Config, name string) []finding {
	s := cfg.Links[name].IDoc.Send
	if s == nil || s.Folder == "" || strings.HasPrefix(cfg.Database.URL, "sqlite:") {
		return nil
	}
	return []finding{{
		Subject: "link " + name, State: look,
		Says: "several nodes can use this database, and what was handed over is remembered in " + filepath.Join(s.Folder, ".holdfast") + " alone: a node that does not see these marks sends it again",
		Do:   "mount one disk as send.folder on every node, or send by url or amqp",
	}}
}

// settling finds the final state of what SAP has got by IDocs, where its confirmation does not bring it: it reads back by another link what the
// message's ID is found in, and raises an alert of what has had none for too long. Of several nodes each looks for some.
type settling struct{ *floors }

func (f *floors) settling() *settling { return &settling{f} }

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
	var errs []error
	if c.ReadBack != nil {
		errs = s.readBacks(ctx, name, *c.ReadBack)
	}
	var late outbox.Overdue
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		late, err = s.outbox.Overdue(ctx, tx, name, tx.Now.Add(-cmp.Or(c.BookedWithin, 24*time.Hour)))
		return err
	})
	if err == nil && late.Messages > 0 {
		err = s.tell(ctx, name, late)
	}
	return errors.Join(append(errs, err)...)
}

// readBacks asks for each message whose turn it is. One that cannot be asked for does not hold up the others; a link that is away does.
func (s *settling) readBacks(ctx context.Context, name string, r ReadBack) (errs []error) {
	l := outbox.Looking{Link: name, Kinds: slices.Sorted(maps.Keys(readBackTargets())), Every: r.every(), Most: longestReadBack}
	for begun := s.db.Now(); ctx.Err() == nil; {
		var id string
		err := s.db.InTx(ctx, func(tx *store.Tx) (err error) {
			id, err = s.outbox.Look(ctx, tx, l, begun)
			return err
		})
		if err != nil || id == "" {
			return append(errs, err)
		}
		away, err := s.readBack(ctx, r, id)
		if err != nil && len(errs) < mostTroubles {
			errs = append(errs, err)
		}
		if away {
			return errs
		}
	}
	return errs
}

// readBack asks for one message, and keeps what is found as SAP's confirmation. away tells that the link is, or wants to be left alone. Each delivery of
// a message brings the same ID to SAP: what is found is that of a replay only if no delivery before it can have made it.
func (s *settling) readBack(ctx context.Context, r ReadBack, id string) (away bool, err error) {
	var d outbox.Detail
	var earlier []string
	open := false
	err = s.db.View(ctx, func(tx *store.Tx) (err error) {
		if d, err = s.outbox.Message(ctx, tx, id); err == nil {
			earlier, open, err = s.outbox.Earlier(ctx, tx, id, d.Redelivery)
		}
		return err
	})
	if err != nil || !d.Settled || d.Receipt.Document != "" || open {
		return false, err // it is being sent again, or its number has come meanwhile
	}
	verified, err := message.Verify(ctx, seal.Chain(d.Digest), d.Message)
	if err != nil {
		return false, err
	}
	q := message.Delivery{Event: verified, Digest: d.Digest, Quiet: true, Doc: message.Document{Target: readBackTarget(d.Receipt.Kind)}}
	o, err := s.links[r.Link].Ask(ctx, q)
	if err != nil || o.Verdict != message.Delivered {
		return o.LinkDown || o.Throttled || o.After > 0, cmp.Or(err, o.Err)
	}
	if slices.Contains(earlier, o.Receipt.Document) {
		return false, nil
	}
	body, err := json.Marshal(map[string]any{"message": d.ID, "document": o.Receipt.Document, "kind": o.Receipt.Kind, "at": o.Receipt.At})
	if err != nil {
		return false, fmt.Errorf("write what was read back of message %s: %w", d.ID, err)
	}
	m := message.Message{ID: "read-back/" + d.ID, Kind: outbox.ReceiptKind, Time: s.db.Now(), Body: body, Place: message.Place{Link: d.Link}}
	return false, s.db.InTx(ctx, func(tx *store.Tx) error { return s.outbox.Answer(ctx, tx, m) })
}

// readBackTarget is where to ask for what an IDoc has brought about, "" for nowhere.
func readBackTarget(kind string) string {
	for begin, target := range readBackTargets() {
		if strings.HasPrefix(kind, begin) {
			return target
		}
	}
	return ""
}

// tell raises the alert, unless this or another node has not long ago.
func (s *settling) tell(ctx context.Context, name string, late outbox.Overdue) error {
	why := &problem.Error{
		Kind: problem.Unavailable, What: fmt.Sprintf("%d IDocs of link %s", late.Messages, name),
		Why:  fmt.Sprintf("SAP has got them, and nothing says that they are booked; the oldest is message %s, of %s", late.Oldest, late.Since.UTC().Format(time.RFC3339)),
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
