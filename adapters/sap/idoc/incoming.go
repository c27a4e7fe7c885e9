package idoc

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// StatusKind is the kind of a message in which SAP says what became of an IDoc that it was sent. Its body is a Status.
const StatusKind = "sap.idoc-status"

// Status is what SAP says of one IDoc.
type Status struct {
	Number   string    `json:"number"`             // of the IDoc, as its sender called it
	State    State     `json:"state"`              // what that means
	Code     string    `json:"code"`               // SAP's status, such as 53
	Text     string    `json:"text,omitempty"`     // SAP's words
	Document string    `json:"document,omitempty"` // the number of what SAP has made of it
	Kind     string    `json:"kind,omitempty"`     // and SAP's word for that
	At       time.Time `json:"at"`
}

// State is what a status of SAP means for the sender.
type State string

// The states. None of them is said of what SAP has not received.
const (
	Received State = "received" // and SAP works on it
	Booked   State = "booked"   // its application has it
	Refused  State = "refused"  // not booked; a person in SAP may still repair it, and then SAP says that it is booked
)

// storedFirst is how the message types begin whose IDocs SAP's application only stores, to post them later.
const storedFirst = "PPCC2P"

// stateOf is what a status means for an IDoc of a message type: those of ALE's confirmation (39 to 41), and those of an IDoc that comes in to
// SAP. Booked is only what ALE says of the application (41), and not that of a time ticket, which is stored then and may fail later: 53 says that
// the IDoc was handed over.
func stateOf(status, of string) State {
	switch status {
	case "41":
		if strings.HasPrefix(of, storedFirst) {
			return Received
		}
		return Booked
	case "40", "51", "52", "56", "60", "63", "65", "68":
		return Refused
	}
	return Received // 39, 50, 53, 62, 64, 66, 69 and whatever else: no news but that it is there
}

// keyOf is the field of the topmost segment that names what an IDoc is about.
func keyOf(messageType string) string {
	return map[string]string{"LOIPRO": "AUFNR", "MATMAS": "MATNR", "BOMMAT": "STLNR", "LOIWCS": "ARBPL", "LOIROU": "PLNNR"}[messageType]
}

// KeyOfStatus is the key of the messages in which SAP speaks of an IDoc.
func KeyOfStatus(number string) string { return "idoc/" + number }

// read reads what SAP sent, XML or flat by its first characters.
func (l *Link) read(text []byte) ([]Document, error) {
	limits := Usual()
	page := ""
	if r := l.cfg.Receive; r != nil {
		limits.Bytes, limits.Segments, page = r.MaxBytes, r.Segments, r.CodePage
	}
	if !isFlat(text) {
		return ReadXML(text, l.types, limits)
	}
	if l.cfg.Descriptions == "" {
		return nil, &problem.Error{
			Kind: problem.Invalid, What: "read a flat IDoc", Why: "its fields go by positions, which only your system knows exactly",
			Hint: "set descriptions to a folder with what WE60 exports of each type (Parser), or to builtin to go by those of this program",
		}
	}
	return ReadFlat(text, page, l.types, limits)
}

// isFlat tells by the first characters whether a file is a flat one.
func isFlat(text []byte) bool {
	start := bytes.TrimLeft(bytes.TrimPrefix(text, []byte("\ufeff")), " \t\r\n")
	return bytes.HasPrefix(start, []byte(controlName))
}

// Incoming makes messages of what SAP sent: one for each object of each IDoc, or for each IDoc of which SAP says what became of it. The same
// IDoc makes the same messages, whichever way it comes.
func (l *Link) Incoming(text []byte) ([]message.Incoming, error) {
	ds, err := l.read(text)
	if err != nil {
		return nil, err
	}
	var out []message.Incoming
	for i := range ds {
		if err := l.stranger(ds[i].Control); err != nil {
			return nil, err
		}
		make := l.objects
		if ds[i].Control["MESTYP"] == "ALEAUD" {
			make = l.statuses
		}
		some, err := make(&ds[i])
		if err != nil {
			return nil, err
		}
		if len(ds[i].Unknown) > 0 {
			l.log.Info("an IDoc has what no description knows; it is kept", "part", "idoc", "message", ds[i].Control["DOCNUM"], "kind", ds[i].Control["IDOCTYP"],
				"err", strings.Join(ds[i].Unknown, "; "))
		}
		out = append(out, some...)
	}
	return out, nil
}

// stranger refuses an IDoc that is not from the link's system, or not from its client.
func (l *Link) stranger(c Control) error {
	why := ""
	switch {
	case c["SNDPRN"] != l.cfg.SAP.System:
		why = fmt.Sprintf("it is from %q, and the link's system is %q", clip(c["SNDPRN"]), l.cfg.SAP.System)
	case c["MANDT"] != "" && c["MANDT"] != l.cfg.Client:
		why = fmt.Sprintf("it is of client %q, and the link's is %q", clip(c["MANDT"]), l.cfg.Client)
	default:
		return nil
	}
	return &problem.Error{Kind: problem.Denied, What: "IDoc " + c["DOCNUM"], Why: why, Hint: "correct client or sap.system of the link, or the partner profile in SAP (WE20)"}
}

// message is what all messages of an IDoc have in common.
func (l *Link) message(d *Document, kind string) message.Incoming {
	in := message.Incoming{}
	in.ID, in.Source, in.Kind, in.Version, in.Role = d.Control["DOCNUM"], "urn:sap:idoc:"+l.cfg.Client+":"+l.cfg.SAP.System, kind, 1, message.Event
	at, err := time.ParseInLocation(sapDay+sapTime, d.Control["CREDAT"]+d.Control["CRETIM"], l.zone)
	if err != nil || at.Year() < 1970 {
		at, in.Undated = l.now(), true
	}
	in.Time = at
	return in
}

// objects makes a message of each object of an IDoc. POI sends many in one where it was asked for all. Of one object, what was made later
// counts: by time, then by number, and in the hour that the clock shows twice by number alone.
func (l *Link) objects(d *Document) ([]message.Incoming, error) {
	basic, kind := d.Control["IDOCTYP"], d.Control["MESTYP"]
	t := l.types[basic]
	mappings := l.cfg.Mappings()
	mapping := mappings[kind]
	if own := mappings[basic]; own != "" {
		mapping = own
	}
	parts := d.split(t)
	out := make([]message.Incoming, 0, len(parts))
	for i := range parts {
		in := l.message(d, "sap.idoc."+strings.ToLower(kind))
		if len(parts) > 1 {
			in.ID = fmt.Sprintf("%s/%d", in.ID, i+1)
		}
		in.Mapping, in.Key = mapping, "idoc/"+in.ID
		if top := parts[i].Segments; len(top) > 0 && t != nil {
			if f := t.Segment(top[0].Name).Field(keyOf(kind)); f != nil {
				if v, has, err := f.plain(top[0].Get(f.Name)); err == nil && has {
					in.Key = strings.ToLower(kind) + "/" + v
				}
			}
		}
		if !in.Undated {
			parts[i].made = l.made(d.Control, in.Time)
			in.ObjectVersion = parts[i].made + d.Control["DOCNUM"]
		}
		var err error
		if in.Body, err = parts[i].JSON(l.types, l.cfg.Zone); err != nil {
			return nil, err
		}
		out = append(out, in)
	}
	return out, nil
}

// made is when an IDoc was made, as SAP's clock shows it, so that what is made later has no smaller one. In autumn the clock goes back: what it
// shows twice counts as the beginning of that hour, both times.
func (l *Link) made(c Control, at time.Time) string {
	at = at.In(l.zone)
	from, until := at.ZoneBounds()
	for _, change := range []time.Time{from, until} {
		if change.IsZero() {
			continue
		}
		_, before := change.Add(-time.Second).Zone()
		_, after := change.Zone()
		if back := time.Duration(before-after) * time.Second; change.Sub(at) <= back && at.Sub(change) < back {
			return change.Format(sapDay + sapTime)
		}
	}
	return c["CREDAT"] + c["CRETIM"]
}

// split makes a document of each topmost segment of which a document has one.
func (d *Document) split(t *Type) []Document {
	if t == nil || len(t.Root.Children) != 1 || t.Root.Children[0].Max != 1 || len(d.Segments) < 2 {
		return []Document{*d}
	}
	var out []Document
	for _, s := range d.Segments {
		if s.Name == t.Root.Children[0].Name || len(out) == 0 {
			out = append(out, Document{Control: d.Control, Unknown: d.Unknown})
		}
		last := &out[len(out)-1]
		last.Segments = append(last.Segments, s)
	}
	return out
}

// statuses makes a message of each IDoc of which SAP says what became of it.
func (l *Link) statuses(d *Document) ([]message.Incoming, error) {
	var out []message.Incoming
	for _, h := range d.Segments {
		for _, s := range h.Children {
			if s.Name != "E1STATE" {
				continue
			}
			number := s.Get("DOCNUM")
			if !digits(number) || strings.Trim(number, "0") == "" {
				return nil, broken(s.Line, s.Name, "DOCNUM is missing: nobody can tell of which IDoc SAP speaks")
			}
			in := l.message(d, StatusKind)
			number = strings.Repeat("0", max(0, 16-len(number))) + number
			in.ID, in.Key = fmt.Sprintf("%s/%d", in.ID, len(out)+1), KeyOfStatus(number)
			body, err := json.Marshal(statusOf(s, cmp.Or(h.Get("MESTYP_LNG"), h.Get("MESTYP")), number, in.Time))
			if err != nil {
				return nil, fmt.Errorf("write the status of IDoc %s: %w", number, err)
			}
			in.Body = body
			out = append(out, in)
		}
	}
	if len(out) == 0 {
		return nil, broken(1, "E1ADHDR", "the confirmation speaks of no IDoc")
	}
	return out, nil
}

// materialDocument is how long the number of one is; the year follows it in the key of an object.
const materialDocument = 10

func statusOf(s *Segment, of, number string, at time.Time) Status {
	st := Status{Number: number, Code: s.Get("STATUS"), State: stateOf(s.Get("STATUS"), of), At: at}
	words := []string{}
	for _, f := range []string{"STATXT", "STAPA1", "STAPA2", "STAPA3", "STAPA4"} {
		if long := s.Get(f + "_LNG"); long != "" {
			words = append(words, long)
		} else if v := s.Get(f); v != "" {
			words = append(words, v)
		}
	}
	st.Text = fill(words)
	if id := s.Get("STAMID"); id != "" {
		st.Code += " " + id + "/" + s.Get("STAMNO")
	}
	for _, c := range s.Children {
		if c.Name == "E1PRTOB" {
			st.Document, st.Kind = strings.TrimLeft(c.Get("OBJKEY"), "0"), c.Get("OBJTYPE")
			if key := c.Get("OBJKEY"); st.Kind == "BUS2017" && len(key) == materialDocument+4 {
				st.Document = key[:materialDocument] + "/" + key[materialDocument:] // with its year, as the services have it
			}
		}
	}
	return st
}

// fill puts the parts of SAP's text into the places that it has for them, &1 to &4 or &; what has no place follows.
func fill(words []string) string {
	if len(words) == 0 {
		return ""
	}
	text := words[0]
	for i, w := range words[1:] {
		numbered := fmt.Sprintf("&%d", i+1)
		switch {
		case strings.Contains(text, numbered):
			text = strings.Replace(text, numbered, w, 1)
		case strings.Contains(text, "&"):
			text = strings.Replace(text, "&", w, 1)
		default:
			text += " " + w
		}
	}
	return text
}
