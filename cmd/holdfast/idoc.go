package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"holdfast/adapters/amqp"
	"holdfast/adapters/odata"
	"holdfast/adapters/sap"
	"holdfast/adapters/sap/idoc"
	"holdfast/internal/docnum"
	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// idocConfig is a link of kind sap-idoc, whose IDocs may go by a broker.
type idocConfig struct {
	idoc.Config `yaml:",inline"`
	AMQP        *amqp.Config `yaml:"amqp,omitempty"`      // the keys of kind amqp: publish sends by it, receive receives
	ReadBack    *ReadBack    `yaml:"read_back,omitempty"` // nil: the final state comes by SAP's confirmation alone
	// BookedWithin is after which time without a final state an alert is raised; 24 h.
	BookedWithin time.Duration `yaml:"booked_within,omitempty"`
}

// carried is what the adapter is told: which ways are the broker's.
func (c idocConfig) carried() idoc.Config {
	out := c.Config
	if c.AMQP == nil {
		return out
	}
	if c.AMQP.Publish != nil {
		var send idoc.Send
		if out.Send != nil {
			send = *out.Send
		}
		send.Carried, out.Send = true, &send
	}
	if c.AMQP.Receive != nil {
		var receive idoc.Receive
		if out.Receive != nil {
			receive = *out.Receive
		}
		receive.Carried, out.Receive = true, &receive
	}
	return out
}

// Files are the paths of the configuration.
func (c *idocConfig) Files() []*string {
	out := c.Config.Files()
	if c.AMQP != nil {
		out = append(out, &c.AMQP.TLS.CA, &c.AMQP.TLS.Cert, &c.AMQP.TLS.Key)
	}
	return out
}

func (c idocConfig) address() string {
	if c.AMQP != nil && (c.AMQP.Publish != nil || c.Send == nil) {
		return strings.Join(c.AMQP.Addresses, ", ")
	}
	return c.Address()
}

func openIDoc(l LinkConfig, secret func(context.Context, string) (string, error), log *slog.Logger) (link, error) {
	by, err := idoc.Open(l.IDoc.carried(), secret, log)
	if err != nil || l.IDoc.AMQP == nil {
		return by, err
	}
	mq, err := amqp.Open(*l.IDoc.AMQP, secret, log)
	if err != nil {
		by.Close()
		if p, ok := errors.AsType[*problem.Error](err); ok {
			for i := range p.Fields {
				p.Fields[i].Pointer = "amqp." + p.Fields[i].Pointer
			}
		}
		return nil, err
	}
	by.CarryBy(idocCarrier{mq})
	return carriedIDoc{by, mq}, nil
}

// carriedIDoc is a link whose IDocs go by a broker.
type carriedIDoc struct {
	*idoc.Link
	broker *amqp.Link
}

// Check tries both.
func (l carriedIDoc) Check(ctx context.Context) error {
	return errors.Join(l.Link.Check(ctx), l.broker.Check(ctx))
}

// WhenDenied has f told that the broker, or SAP's port, refuses the link's user.
func (l carriedIDoc) WhenDenied(f func(why error)) {
	l.Link.WhenDenied(f)
	l.broker.WhenDenied(f)
}

// Close ends both.
func (l carriedIDoc) Close() {
	l.broker.Close()
	l.Link.Close()
}

// idocCarrier implements idoc.Carrier over RabbitMQ.
type idocCarrier struct{ broker *amqp.Link }

// Carry implements idoc.Carrier.
func (c idocCarrier) Carry(ctx context.Context, ps []idoc.Parcel) []message.Outcome {
	out := make([]amqp.Parcel, len(ps))
	for i, p := range ps {
		out[i] = amqp.Parcel(p)
	}
	return c.broker.Carry(ctx, out)
}

// Run implements idoc.Carrier.
func (c idocCarrier) Run(ctx context.Context, read func([]byte) ([]message.Incoming, error), accept idoc.Accept) error {
	return c.broker.RunReading(ctx, read, accept)
}

// checkIDoc tells what is wrong with a link by IDocs, besides what the adapter says of it.
func checkIDoc(k *checker, at string, link LinkConfig) {
	for key, ref := range link.IDoc.References() {
		checkReference(k, at+"."+key, ref)
	}
	if mq := link.IDoc.AMQP; mq != nil {
		checkAMQP(k, at+".amqp", LinkConfig{AMQP: *mq})
		if r := mq.Receive; r != nil && (r.Mapping != "" || len(r.Mappings) > 0) {
			k.wrong(at+".amqp.receive", "what comes is IDocs, whose mappings go by their types", "name mappings under receive.mappings of the link")
		}
	}
}

// idocTimeout is how long one delivery may take; 0 is the relay's default.
func (l LinkConfig) idocTimeout() time.Duration {
	switch {
	case l.IDoc.AMQP != nil && l.IDoc.AMQP.Publish != nil:
		return l.IDoc.AMQP.ConfirmTimeout
	case l.IDoc.Send == nil:
		return 0
	}
	return l.IDoc.Send.Timeout
}

// remember gives each link where it keeps what it must not forget: the numbers of IDocs, what SAP's own receipts stand for, and which documents do not keep
// the message's ID.
func (f *floors) remember() {
	for name, l := range f.links {
		if by, ok := l.(interface{ RememberForgetful(k odata.Forgetful) }); ok {
			by.RememberForgetful(forgetful{f, name})
		}
		if by, ok := l.(interface{ Remember(r sap.Receipts) }); ok {
			by.Remember(sapReceipts{f, name})
		}
		if by, ok := l.(interface{ Remember(n idoc.Numbers) }); ok {
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
func (n idocNumbers) Number(ctx context.Context, message string, keys []string, document string) (number, key string, err error) {
	err = n.db.InTx(ctx, func(tx *store.Tx) error {
		number, key, err = docnum.Number(ctx, tx, n.link, message, keys, document)
		return err
	})
	return number, key, err
}

// Second implements idoc.Numbers.
func (n idocNumbers) Second(ctx context.Context, lane, key string, wanted int64) (second int64, err error) {
	err = n.db.InTx(ctx, func(tx *store.Tx) error {
		second, err = docnum.Second(ctx, tx, n.link, lane, key, wanted)
		return err
	})
	return second, err
}

// Heard implements idoc.Numbers: what SAP says of an IDoc is in the inbox, under the IDoc's key.
func (n idocNumbers) Heard(ctx context.Context, number string) (heard idoc.State, err error) {
	err = n.db.View(ctx, func(tx *store.Tx) error {
		said, err := n.inbox.Messages(ctx, tx, inbox.Filter{Key: idoc.KeyOfStatus(number)})
		for _, m := range said { // the newest first
			if m.Link != n.link || m.Kind != idoc.StatusKind {
				continue
			}
			if m, err = n.inbox.Message(ctx, tx, m.Seq); err != nil {
				return err
			}
			s, err := readStatus(ctx, m.Message)
			if err != nil && problem.KindOf(err) != problem.Invalid {
				return err
			}
			heard = cmp.Or(s.State, idoc.Received)
			return nil
		}
		return err
	})
	return heard, err
}

// readStatus reads what SAP says of an IDoc.
func readStatus(ctx context.Context, m message.Message) (s idoc.Status, err error) {
	text, err := m.Read(ctx, 1<<20)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil || s.Number == "" {
		return s, &problem.Error{Kind: problem.Invalid, What: "read what SAP says of an IDoc", Why: "it names no number", Hint: "have SAP send ALEAUD01", Cause: err}
	}
	return s, nil
}

// idocStatus acts on what SAP says of an IDoc: it is a receipt of the message that the IDoc carries, or a refusal. That SAP has it, and has
// not come to it yet, is no news.
func (f *floors) idocStatus(ctx context.Context, tx *store.Tx, m message.Message) error {
	s, err := readStatus(ctx, m)
	if err != nil {
		return err
	}
	sent, err := docnum.Message(ctx, tx, m.Link, s.Number)
	if err != nil || s.State == idoc.Received {
		return err
	}
	if sent.Later != "" {
		return late(s, sent)
	}
	answer := map[string]any{"message": sent.Message, "at": s.At}
	m.Kind = outbox.ReceiptKind
	if s.State == idoc.Refused {
		m.Kind = outbox.RefusalKind
		answer["code"], answer["text"] = s.Code, s.Text
	} else {
		// Some IDocs are stored first and posted later, as time tickets are. SAP names no document then, and the IDoc's number has to do. A batch has
		// the number that it was sent under, whatever SAP's key of it looks like.
		answer["document"], answer["kind"] = cmp.Or(sent.Document, s.Document, "IDoc "+s.Number), cmp.Or(s.Kind, "status "+s.Code)
	}
	m.Large = nil
	if m.Body, err = json.Marshal(answer); err != nil {
		return fmt.Errorf("write what SAP says of IDoc %s: %w", s.Number, err)
	}
	return f.outbox.Answer(ctx, tx, m)
}

// late is what becomes of SAP's word on an IDoc in whose place the message was sent as another one. That it is refused is what the other was
// sent for. That it is booked after all is for a person: SAP may book both.
func late(s idoc.Status, sent docnum.Sent) error {
	if s.State == idoc.Refused {
		return nil
	}
	return &problem.Error{
		Kind: problem.Conflict, What: "receipt of message " + sent.Message,
		Why:  fmt.Sprintf("SAP has booked IDoc %s (%s), in whose place the message was sent again as IDoc %s", s.Number, cmp.Or(s.Document, "status "+s.Code), sent.Later),
		Hint: "look in SAP (WE02) whether it has booked the other one too, and reverse one of the two",
	}
}

// sapReceipts implements sap.Receipts for one link.
type sapReceipts struct {
	*floors
	link string
}

// Booked implements sap.Receipts.
func (r sapReceipts) Booked(ctx context.Context, order string) (all []sap.Booked, err error) {
	err = r.db.View(ctx, func(tx *store.Tx) error {
		known, err := r.outbox.Booked(ctx, tx, r.link, order)
		for _, b := range known {
			all = append(all, sap.Booked(b))
		}
		return err
	})
	return all, err
}

// Book implements sap.Receipts.
func (r sapReceipts) Book(ctx context.Context, order, message string, known, all []sap.Booked) error {
	return r.db.InTx(ctx, func(tx *store.Tx) error {
		return r.outbox.Book(ctx, tx, r.link, order, message, asBooked(known), asBooked(all))
	})
}

// forgetful implements odata.Forgetful for one link.
type forgetful struct {
	*floors
	link string
}

// Forgets implements odata.Forgetful.
func (k forgetful) Forgets(ctx context.Context, target string) (is bool, err error) {
	err = k.db.View(ctx, func(tx *store.Tx) error {
		is, err = k.outbox.Forgets(ctx, tx, k.link, target)
		return err
	})
	return is, err
}

// SetForgets implements odata.Forgetful.
func (k forgetful) SetForgets(ctx context.Context, target string, forgets bool) error {
	return k.db.InTx(ctx, func(tx *store.Tx) error { return k.outbox.SetForgets(ctx, tx, k.link, target, forgets) })
}

func asBooked(all []sap.Booked) []outbox.Booked {
	out := make([]outbox.Booked, 0, len(all))
	for _, b := range all {
		out = append(out, outbox.Booked(b))
	}
	return out
}
