package amqp

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime"
	"slices"
	"strconv"
	"strings"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"holdfast/internal/message"
)

// The CloudEvents AMQP protocol binding 1.0.2, with the headers of AMQP 0-9-1 for the application properties of AMQP 1.0: RabbitMQ
// turns the one into the other.
const (
	prefix     = "cloudEvents_" // sent
	prefixOld  = "cloudEvents:" // read as well
	structured = "application/cloudevents+json"
)

// attribute is one of a CloudEvent.
type attribute struct{ name, value string }

// mediaAt is where attributesOf has datacontenttype.
const mediaAt = 6

// attributesOf gives those of an event; an empty one is left out by who writes them. What is in the digest but no attribute of CloudEvents
// goes as an extension, so that a receiver can compute the digest itself; so does the signature of the plant (CloudEvents' verifiability
// extension). documentOf names the mapping of a body that is not the event's own: what is signed then goes with it as a statement.
func attributesOf(m *message.Message, digest, documentOf string) [24]attribute {
	epoch, number, name := "", "", "digest"
	var proof [3]message.Attribute
	statement := ""
	if documentOf == "" {
		copy(proof[:], m.Proof(digest))
	} else {
		statement = m.Statement(digest)
	}
	if m.Number > 0 {
		epoch, number = strconv.FormatInt(m.Epoch, 10), strconv.FormatInt(m.Number, 10)
	}
	if documentOf != "" {
		name = "eventdigest"
	}
	return [...]attribute{
		{"specversion", "1.0"},
		{"id", m.ID},
		{"source", m.Source},
		{"type", m.Kind},
		{"subject", m.Key},
		{"time", m.Time.Format(time.RFC3339Nano)},
		{"datacontenttype", "application/json"},
		{"dataversion", strconv.Itoa(m.Version)},
		{"traceparent", m.Trace},
		{"creates", m.Creates},
		{"causationid", m.Cause},
		{"link", m.Link},
		{"role", string(m.Role)},
		{"refers", m.Refers},
		{"documentof", documentOf},
		{"lane", m.Lane},
		{"laneprev", m.Prev},
		{"laneepoch", epoch},
		{"lanenumber", number},
		{name, digest},
		{"eventstatement", statement},
		{proof[0].Name, proof[0].Value},
		{proof[1].Name, proof[1].Value},
		{proof[2].Name, proof[2].Value},
	}
}

// encode makes a publishing of an event, or of the document that a mapping has made of it.
//
// Structured mode is the default because headers cost the broker dear: it decodes all of them for each message. With the twenty of an
// event it carried half as many messages as with none. The body is appended to room, whose memory is the caller's to use again.
func encode(m message.Message, doc message.Document, binary bool, room []byte) amqp091.Publishing {
	return encodeDigested(m, m.Digest(), doc, plainData(m, doc), binary, room)
}

// encodeDigested is encode of an event whose digest is known, with the data that stand for its own.
func encodeDigested(m message.Message, digest string, doc message.Document, data data, binary bool, room []byte) amqp091.Publishing {
	p := amqp091.Publishing{
		ContentType: structured, DeliveryMode: amqp091.Persistent, MessageId: short(m.ID), CorrelationId: short(m.Cause), Timestamp: m.Time,
		Type: short(m.Kind), AppId: "holdfast",
	}
	attrs := attributesOf(&m, digest, doc.Mapping)
	if !binary {
		if data.media == message.MediaJOSE {
			attrs[mediaAt].value, data.body = data.media, appendText(nil, string(data.body)) // a text, to CloudEvents' JSON format
		}
		p.Body = fold(room, attrs[:], data.body)
		return p
	}
	p.ContentType, p.Body, p.Headers = data.media, data.body, make(amqp091.Table, len(attrs))
	for _, a := range attrs {
		if a.value != "" && a.name != "datacontenttype" {
			p.Headers[prefix+a.name] = a.value
		}
	}
	return p
}

// fold writes an event in structured mode. Its data keep every byte; where JSON would not keep them, they go in base64.
func fold(b []byte, attrs []attribute, data []byte) []byte {
	b = append(slices.Grow(b, 1024+len(data)), '{')
	for _, a := range attrs {
		if a.value != "" {
			b = append(appendText(append(appendText(b, a.name), ':'), a.value), ',')
		}
	}
	if isBare(data) {
		return append(append(append(b, `"data":`...), data...), '}')
	}
	b = append(b, `"data_base64":"`...)
	return append(base64.StdEncoding.AppendEncode(b, data), `"}`...)
}

// isBare tells whether data is one JSON value without space around it, which a reader gets byte for byte.
func isBare(data []byte) bool {
	return len(data) > 0 && data[0] > ' ' && data[len(data)-1] > ' ' && json.Valid(data)
}

// appendText appends a JSON string.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // a string always can be written
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// short is an ID that fits into a property of AMQP: itself, or its digest where it is too long.
func short(id string) string {
	if len(id) <= maxShort {
		return id
	}
	return digest([]byte(id))
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// decode reads a CloudEvent in binary or structured mode. Anything else comes out without a kind, under its message ID or, without
// one, the digest of its body, so that the inbox refuses it and keeps it; so does an event whose attributes cannot be read, or that has
// no ID (CloudEvents 1.0.2, 3.1.1 requires one: all events without would be one and the same to the inbox). Its kind chooses the
// mapping: a sender cannot name one, and so cannot have its event taken for another.
func (r Receive) decode(d *amqp091.Delivery, queue string, now time.Time) message.Incoming {
	attrs, body := attributes(d)
	in := raw(d, queue, now)
	if attrs["specversion"] != "1.0" {
		return in
	}
	m, err := event(attrs, now)
	if err != nil || m.ID == "" {
		return in
	}
	m.Body = body
	if m.Cause == "" {
		m.Cause = d.CorrelationId
	}
	in.Message, in.Claimed, in.ObjectVersion, in.Undated = m, attrs["digest"], attrs["objectversion"], attrs["time"] == ""
	in.Signature = attrs["signature"]
	in.Mapping = cmp.Or(r.Mappings[m.Kind], r.Mapping)
	return in
}

// event makes a message of the attributes.
func event(attrs map[string]string, now time.Time) (message.Message, error) {
	m := message.Message{
		ID: attrs["id"], Source: attrs["source"], Kind: attrs["type"], Key: attrs["subject"], Version: 1, Time: now, Trace: attrs["traceparent"],
		Creates: attrs["creates"], Cause: attrs["causationid"],
		Place: message.Place{
			Link: attrs["link"], Lane: attrs["lane"], Prev: attrs["laneprev"], Role: message.Role(attrs["role"]), Refers: attrs["refers"],
		},
	}
	if m.Role == "" {
		m.Role = message.Event
	}
	var err error
	if s := attrs["time"]; s != "" {
		if m.Time, err = time.Parse(time.RFC3339Nano, s); err != nil {
			return m, fmt.Errorf("read the time of an event: %w", err)
		}
	}
	if s := attrs["dataversion"]; s != "" {
		if m.Version, err = strconv.Atoi(s); err != nil {
			return m, fmt.Errorf("read the version of an event: %w", err)
		}
	}
	if m.Origin, err = message.ParseProof(func(name string) string { return attrs[name] }); err != nil {
		return m, err
	}
	for name, n := range map[string]*int64{"laneepoch": &m.Epoch, "lanenumber": &m.Number} {
		if s := attrs[name]; s != "" {
			if *n, err = strconv.ParseInt(s, 10, 64); err != nil {
				return m, fmt.Errorf("read the place of an event: %w", err)
			}
		}
	}
	return m, nil
}

// attributes gives those of a CloudEvent with its data, nil if it is none. One that has an attribute under both prefixes is none: of the two
// values nobody could tell which counts.
func attributes(d *amqp091.Delivery) (map[string]string, []byte) {
	if kind, _, err := mime.ParseMediaType(d.ContentType); err == nil && kind == structured {
		return unfold(d.Body)
	}
	attrs := map[string]string{}
	for name, value := range d.Headers {
		bare, ok := strings.CutPrefix(name, prefix)
		if !ok {
			bare, ok = strings.CutPrefix(name, prefixOld)
		}
		if s, isText := scalar(value); ok && isText {
			if _, twice := attrs[bare]; twice {
				return nil, nil
			}
			attrs[bare] = s
		}
	}
	if len(attrs) == 0 {
		return nil, nil
	}
	return attrs, d.Body
}

// scalar is a header's value as CloudEvents writes it.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case []byte:
		return string(v), true
	case bool, int8, uint8, int16, uint16, int32, int64, int:
		return fmt.Sprint(v), true
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano), true
	}
	return "", false
}

// unfold reads an event in structured mode.
func unfold(body []byte) (map[string]string, []byte) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, nil
	}
	attrs := make(map[string]string, len(fields))
	for name, raw := range fields {
		var s string
		switch {
		case name == "data" || name == "data_base64" || bytes.Equal(raw, []byte("null")):
		case json.Unmarshal(raw, &s) == nil:
			attrs[name] = s
		case raw[0] != '{' && raw[0] != '[':
			attrs[name] = string(raw) // a number or a truth value, as it was written
		}
	}
	var packed string
	if err := json.Unmarshal(fields["data_base64"], &packed); err == nil && packed != "" {
		data, err := base64.StdEncoding.DecodeString(packed)
		if err != nil {
			return nil, nil
		}
		return attrs, data
	}
	return attrs, fields["data"]
}

// deliveries reads how often the broker has offered the message before: quorum queues count, classic ones only tell that they did.
func deliveries(d *amqp091.Delivery) int {
	switch n := d.Headers["x-delivery-count"].(type) {
	case int64:
		return int(n)
	case int32:
		return int(n)
	case int16:
		return int(n)
	case int8:
		return int(n)
	}
	if d.Redelivered {
		return 1
	}
	return 0
}
