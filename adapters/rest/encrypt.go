package rest

import (
	"bytes"
	"io"
	"net/http"

	"holdfast/internal/message"
)

// EncryptBy has the bodies of deliveries be readable by their receiver alone. What is checked against the contract is what he reads. It must
// not be called while anything is delivered.
func (l *Link) EncryptBy(e message.Encrypter) { l.seal = e }

// load gives a request the body that goes out. A large one is read as it is sent, and RoundTrip closes it; if it is encrypted it has to be in
// memory, one of 64 MiB or some smaller ones at a time, until release.
func (l *Link) load(hr *http.Request, body []byte, d message.Delivery) (release func(), err error) {
	release = func() {}
	large := d.Doc.Large
	switch {
	case l.seal == nil && large != nil:
		hr.ContentLength = large.Size
		hr.Body, err = large.Open(hr.Context())
		return release, err
	case l.seal == nil || large == nil && len(body) == 0:
		return release, nil
	}
	if large != nil {
		held := min(large.Size, message.MaxBody)
		if err := l.hands.Acquire(hr.Context(), held); err != nil {
			return release, err
		}
		release = func() { l.hands.Release(held) }
		m := d.Event.Message()
		m.Large = large
		if body, err = m.Read(hr.Context(), message.MaxBody); err != nil {
			release()
			return func() {}, err
		}
	}
	text, err := l.seal.Encrypt(body, hr.Header.Get("Content-Type"), d.Event.Message().ID)
	if err != nil {
		release()
		return func() {}, err
	}
	hr.Header.Set("Content-Type", message.MediaJOSE)
	hr.Body, hr.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	return release, nil
}
