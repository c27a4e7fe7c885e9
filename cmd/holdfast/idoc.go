package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"holdfast/adapters/sap/idoc"
	"holdfast/internal/docnum"
	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

func openIDoc(l LinkConfig, secret func(context.Context, string) (string, error), log *slog.Logger) (link, error) {
	return idoc.Open(l.IDoc, secret, log)
}

// checkIDoc tells what is wrong with a link by IDocs, besides what the adapter says of it.
func checkIDoc(k *checker, at string, link LinkConfig) {
	for key, ref := range link.IDoc.References() {
		checkReference(k, at+"."+key, ref)
	}
}

// idocTimeout is how long one delivery may take; 0 is the relay's default.
func (l LinkConfig) idocTimeout() time.Duration {
	if l.IDoc.Send == nil {
		return 0
	}
	return l.IDoc.Send.Timeout
}

// numberIDocs gives each link by IDocs what it remembers.
func (f *floors) numberIDocs() {
	for name, l := range f.links {
		if by, ok := l.(*idoc.Link); ok {
			by.Remember(idocNumbers{f, name})
		}
	}
}

// idocNumbers are what one link by IDocs remembers, in the plant's database.
type idocNumbers struct {
	*floors
	link string
}

// Number implements idoc.Numbers. It looks before it writes: most numbers that are asked for a second time are there.
func (n idocNumbers) Number(ctx context.Context, message, key string) (number string, err error) {
	err = n.db.InTx(ctx, func(tx *store.Tx) error {
		number, err = docnum.Number(ctx, tx, n.link, message, key)
		return err
	})
	return number, err
}

// Heard implements idoc.Numbers: what SAP says of an IDoc is in the inbox, under the IDoc's key.
func (n idocNumbers) Heard(ctx context.Context, number string) (heard bool, err error) {
	err = n.db.View(ctx, func(tx *store.Tx) error {
		said, err := n.inbox.Messages(ctx, tx, inbox.Filter{Key: idoc.KeyOfStatus(number)})
		for _, m := range said {
			heard = heard || m.Link == n.link && m.Kind == idoc.StatusKind
		}
		return err
	})
	return heard, err
}

// idocStatus acts on what SAP says of an IDoc: it is a receipt of the message that the IDoc carries, or a refusal. That SAP has it, and has
// not come to it yet, is no news.
func (f *floors) idocStatus(ctx context.Context, tx *store.Tx, m message.Message) error {
	text, err := m.Read(ctx, 1<<20)
	if err != nil {
		return err
	}
	var s idoc.Status
	if err := json.Unmarshal(text, &s); err != nil || s.Number == "" {
		return &problem.Error{Kind: problem.Invalid, What: "read what SAP says of an IDoc", Why: "it names no number", Hint: "have SAP send ALEAUD01", Cause: err}
	}
	id, err := docnum.Message(ctx, tx, m.Link, s.Number)
	if err != nil || s.State == idoc.Received {
		return err
	}
	answer := map[string]any{"message": id, "at": s.At}
	m.Kind = outbox.ReceiptKind
	if s.State == idoc.Refused {
		m.Kind = outbox.RefusalKind
		answer["code"], answer["text"] = s.Code, s.Text
	} else {
		// Some IDocs are stored first and posted later, as time tickets are. SAP names no document then, and the IDoc's number has to do.
		answer["document"], answer["kind"] = cmp.Or(s.Document, "IDoc "+s.Number), cmp.Or(s.Kind, "status "+s.Code)
	}
	m.Large = nil
	if m.Body, err = json.Marshal(answer); err != nil {
		return fmt.Errorf("write what SAP says of IDoc %s: %w", s.Number, err)
	}
	return f.outbox.Answer(ctx, tx, m)
}
