package idoc

import (
	"context"

	"holdfast/internal/message"
)

// Parcel is one IDoc on its way.
type Parcel struct {
	Of    message.Message // the message that it carries
	ID    string          // by which a receiver knows it again, the same at each attempt
	Type  string          // the basic type
	Media string          // content type
	Body  []byte
}

// Carrier takes IDocs to SAP's side and brings those from there, by a way that this package does not know, such as a broker.
type Carrier interface {
	// Carry sends parcels in order, and gives one outcome for each: Delivered once the far side certainly keeps it, Again if it was certainly not
	// sent, Unsure if it may have been.
	Carry(ctx context.Context, ps []Parcel) []message.Outcome
	// Run gives accept what read makes of each body that comes, in order, until ctx ends. A body is given back only once all that is in it was
	// accepted; what read cannot read is handed to accept as it is, with the error as its Unread.
	Run(ctx context.Context, read func(body []byte) ([]message.Incoming, error), accept Accept) error
}

// CarryBy gives a link its Carrier, which goes before send.url and receive.listen. It must not be called while anything is delivered.
func (l *Link) CarryBy(c Carrier) { l.carrier = c }

// media is the content type of what is sent.
func (l *Link) media() string {
	if l.cfg.Send.Format == asFlat {
		return "text/plain"
	}
	return "application/xml"
}

// carry sends an IDoc for each delivery by the carrier, in order. The IDocs are made, and get their numbers, before the first one leaves: a
// broker takes many at once.
func (l *Link) carry(ctx context.Context, ds []message.Delivery, docs []Document, out []message.Outcome) {
	at, ps := make([]int, 0, len(ds)), make([]Parcel, 0, len(ds))
	for i, doc := range docs {
		if out[i].Verdict != "" {
			continue
		}
		text, _, err := l.render(doc)
		if err != nil {
			out[i] = message.Outcome{Verdict: message.Refused, Err: err}
			continue
		}
		at = append(at, i)
		ps = append(ps, Parcel{Of: ds[i].Event.Message(), ID: parcelID(ds[i].Event.Message(), doc), Type: doc.Control["IDOCTYP"], Media: l.media(), Body: text})
	}
	for n, o := range l.carrier.Carry(ctx, ps) {
		doc := docs[at[n]]
		switch {
		case o.Verdict == message.Delivered:
			o.Receipt = received(doc, nil, 0)
			o.Receipt.At = l.now()
		case o.Verdict == message.Unsure && !l.cfg.Send.DropsKnown:
			o.Err = unreachable("IDoc "+doc.Control["DOCNUM"]+" for message "+ps[n].Of.ID, "its confirm was lost: the broker may have it", hintAsk)
		}
		out[at[n]] = o
	}
}

// parcelID is the message's ID. A message that was amended, or replayed by force, is another IDoc, and whoever drops an ID that he knows must
// not drop it.
func parcelID(m message.Message, doc Document) string {
	if !doc.first {
		return m.ID + "/" + doc.Control["DOCNUM"]
	}
	return m.ID
}
