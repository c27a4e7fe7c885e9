package amqp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
	"time"

	"holdfast/adapters/adaptertest"
	"holdfast/adapters/amqp/amqptest"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// hexed is an encryption that anybody can read: what is real is package seal's.
type hexed struct{ err error }

// Encrypt implements message.Encrypter.
func (h hexed) Encrypt(body []byte, media, event string) ([]byte, error) {
	return []byte(hex.EncodeToString([]byte(event+"|"+media+"|")) + "." + hex.EncodeToString(body)), h.err
}

// Decrypt implements message.Decrypter.
func (h hexed) Decrypt(text []byte, event string) ([]byte, string, error) {
	head, body, _ := bytes.Cut(text, []byte("."))
	if string(head) != hex.EncodeToString([]byte(event+"|application/json|")) {
		return nil, "", errors.New("it is not of " + event)
	}
	b, err := hex.DecodeString(string(body))
	return b, "application/json", err
}

// TestAnEncryptedEventIsTheSameToItsReceiver: its digest and signature are over what it reads. Whoever cannot read it has an event whose digest
// is not over its data, and so has whoever puts the data of one event into another.
func TestAnEncryptedEventIsTheSameToItsReceiver(t *testing.T) {
	m := sample("m1")
	m.Origin = &message.Signature{Key: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", At: time.UnixMicro(1_700_000_000_123_456).UTC(), Value: [64]byte{1, 2, 255}}
	for _, binary := range []bool{false, true} {
		t.Run(fmt.Sprintf("binary %t", binary), func(t *testing.T) {
			l := &Link{cfg: Config{Publish: &Publish{Key: "k", Binary: binary}, Receive: &Receive{}}, log: testlog(t), seal: hexed{}, opener: hexed{}}
			out, err := l.outgoing(adaptertest.Delivery(t, m, message.Document{}), nil)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(out.msg.Body, m.Body) {
				t.Errorf("the body can be read in %s", out.msg.Body)
			}
			got := l.incoming(t.Context(), arrived(out.msg), "q", time.Now())
			if got.Digest() != m.Digest() || got.Claimed != m.Digest() || got.Origin == nil || *got.Origin != *m.Origin || string(got.Body) != string(m.Body) {
				t.Errorf("got %+v, want %+v", got.Message, m)
			}
			for name, other := range map[string]*Link{
				"nobody has the key": {cfg: l.cfg, log: l.log},
				"another key":        {cfg: l.cfg, log: l.log, opener: hexed{}},
			} {
				d := arrived(out.msg)
				if name == "another key" {
					d.Body = bytes.Replace(d.Body, []byte(hex.EncodeToString([]byte("m1|"))), []byte(hex.EncodeToString([]byte("m2|"))), 1)
				}
				if got := other.incoming(t.Context(), d, "q", time.Now()); got.Digest() == got.Claimed {
					t.Errorf("%s: the event seems whole: %s", name, got.Body)
				}
			}
		})
	}
}

// TestEncryptedEventsPassABroker, those in memory and one that is large; what cannot be encrypted at present waits.
func TestEncryptedEventsPassABroker(t *testing.T) {
	b := amqptest.Shared(t)
	c, queue := toQueue(t, b)
	c.Receive = &Receive{Queue: queue}
	l := open(t, b, c)
	l.EncryptBy(hexed{})
	l.DecryptBy(hexed{})
	body := bytes.Repeat([]byte("0123456789abcdef"), 3<<16)
	m := sample("b")
	m.Body, m.Large = nil, &message.Large{Digest: sha256.Sum256(body), Size: int64(len(body)), Kept: inMemory(body)}
	d, large := delivery(t, "a"), adaptertest.Delivery(t, m, message.Document{})
	for i, o := range l.Deliver(t.Context(), []message.Delivery{d, large}) {
		if o.Verdict != message.Delivered {
			t.Fatalf("%d: got %v", i, o)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var got []message.Incoming
	err := l.Run(ctx, func(_ context.Context, batch []message.Incoming) error {
		if got = append(got, batch...); len(got) >= 2 {
			stop()
		}
		return nil
	})
	if err != nil || len(got) != 2 {
		t.Fatalf("%d came, %v", len(got), err)
	}
	for _, in := range got {
		if in.Claimed == "" || in.Digest() != in.Claimed {
			t.Errorf("%s: computed %s, claimed %s", in.ID, in.Digest(), in.Claimed)
		}
	}
	l.EncryptBy(hexed{err: &problem.Error{Kind: problem.Unavailable, What: "encrypt", Why: "the certificate ended"}})
	if o := l.Deliver(t.Context(), []message.Delivery{delivery(t, "c")})[0]; o.Verdict != message.Again || !o.LinkDown {
		t.Errorf("got %v, want it to wait", o)
	}
}
