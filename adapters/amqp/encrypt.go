package amqp

import (
	"context"
	"encoding/json"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// EncryptBy has the data of what is published be readable by their receiver alone; the attributes stay as they are. It must not be called while
// anything is delivered.
func (l *Link) EncryptBy(e message.Encrypter) { l.seal = e }

// DecryptBy has the data of what is received be read that were encrypted to the plant. It must not be called while anything is received.
func (l *Link) DecryptBy(d message.Decrypter) { l.opener = d }

// data are those of an event, and of which type they are.
type data struct {
	body  []byte
	media string
}

// plainData are the event's own, or the document that a mapping has made of it.
func plainData(m message.Message, doc message.Document) data {
	d := data{m.Body, "application/json"}
	if doc.Mapping != "" {
		d.body = doc.Body
	}
	if m.Large != nil && m.Large.Media != "" {
		d.media = m.Large.Media
	}
	return d
}

func (d data) sealed(by message.Encrypter, event string) (data, error) {
	text, err := by.Encrypt(d.body, d.media, event)
	return data{text, message.MediaJOSE}, err
}

// incoming reads what was delivered. Data that are encrypted, and that nobody here can read, stay as they are and have no effect.
func (l *Link) incoming(ctx context.Context, d *amqp091.Delivery, queue string, now time.Time) message.Incoming {
	in := l.cfg.Receive.decode(d, queue, now)
	attrs, _ := attributes(d)
	if attrs["specversion"] != "1.0" || attrs["datacontenttype"] != message.MediaJOSE && d.ContentType != message.MediaJOSE {
		return in
	}
	text := in.Body
	var quoted string
	if json.Unmarshal(text, &quoted) == nil {
		text = []byte(quoted)
	}
	if l.opener == nil {
		in.Unread = &problem.Error{
			Kind: problem.Integrity, What: "read message " + in.ID, Why: "it is encrypted, and this link has no key", Hint: "set decrypt_with of the link to the plant's private key",
		}
		return in
	}
	body, _, err := l.opener.Decrypt(text, in.ID)
	if err != nil {
		l.log.WarnContext(ctx, "what came encrypted cannot be read", "part", "amqp", "message", in.ID, "err", err)
		in.Unread = err
		return in
	}
	in.Body = body
	return in
}
