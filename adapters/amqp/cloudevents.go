package amqp

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime"
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

// encode makes a publishing of an event, in binary mode. What is in the digest but no attribute of CloudEvents goes as an extension, so
// that a receiver can compute the digest itself.
func encode(m message.Message) amqp091.Publishing {
	h := make(amqp091.Table, 20)
	set := func(name, value string) {
		if value != "" {
			h[prefix+name] = value
		}
	}
	set("specversion", "1.0")
	set("id", m.ID)
	set("source", m.Source)
	set("type", m.Kind)
	set("subject", m.Key)
	set("time", m.Time.Format(time.RFC3339Nano))
	set("digest", m.Digest())
	set("traceparent", m.Trace)
	set("dataversion", strconv.Itoa(m.Version))
	set("creates", m.Creates)
	set("causationid", m.Cause)
	set("link", m.Link)
	set("role", string(m.Role))
	set("refers", m.Refers)
	if m.Number > 0 {
		set("lane", m.Lane)
		set("laneepoch", strconv.FormatInt(m.Epoch, 10))
		set("lanenumber", strconv.FormatInt(m.Number, 10))
		set("laneprev", m.Prev)
	}
	return amqp091.Publishing{
		Headers: h, ContentType: "application/json", DeliveryMode: amqp091.Persistent, MessageId: short(m.ID), CorrelationId: short(m.Cause),
		Timestamp: m.Time, Type: short(m.Kind), AppId: "holdfast", Body: m.Body,
	}
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

// Incoming is what came over the link, with what the broker knows of it.
type Incoming struct {
	message.Incoming
	// Attempts counts how often the broker has offered the message before without its being acknowledged (x-delivery-count). A message
	// whose count keeps growing brings down whoever takes it, and belongs in quarantine.
	Attempts int
}

// decode reads a CloudEvent in binary or structured mode. Anything else comes out without a kind, under its message ID or, without
// one, the digest of its body, so that the inbox refuses it and keeps it; so does an event whose attributes cannot be read.
func (r Receive) decode(d *amqp091.Delivery, queue string, now time.Time) Incoming {
	attrs, body := attributes(d)
	in := Incoming{Attempts: attempts(d)}
	in.ID, in.Source, in.Time, in.Body, in.Version, in.Role = d.MessageId, "urn:amqp:queue:"+queue, now, d.Body, 1, message.Event
	if in.ID == "" {
		in.ID = digest(d.Body)
	}
	if attrs == nil || attrs["specversion"] != "1.0" {
		return in
	}
	m, err := event(attrs, now)
	if err != nil {
		return in
	}
	m.Body = body
	if m.Cause == "" {
		m.Cause = d.CorrelationId
	}
	in.Message, in.Claimed, in.ObjectVersion = m, attrs["digest"], attrs["objectversion"]
	for _, in.Mapping = range []string{attrs["mapping"], r.Mappings[m.Kind], r.Mapping} {
		if in.Mapping != "" {
			break
		}
	}
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
	for name, n := range map[string]*int64{"laneepoch": &m.Epoch, "lanenumber": &m.Number} {
		if s := attrs[name]; s != "" {
			if *n, err = strconv.ParseInt(s, 10, 64); err != nil {
				return m, fmt.Errorf("read the place of an event: %w", err)
			}
		}
	}
	return m, nil
}

// attributes gives those of a CloudEvent with its data, nil if it is none.
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

// attempts reads how often the broker has offered the message before: quorum queues count, classic ones only tell that they did.
func attempts(d *amqp091.Delivery) int {
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
