package rest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"holdfast/adapters/adaptertest"
	"holdfast/adapters/erpmock"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// hexed is an encryption that anybody can read: what is real is package seal's.
type hexed struct{ err error }

// Encrypt implements message.Encrypter.
func (h hexed) Encrypt(body []byte, media, event string) ([]byte, error) {
	return []byte(event + "|" + media + "|" + hex.EncodeToString(body)), h.err
}

// Decrypt implements message.Decrypter.
func (h hexed) Decrypt(text []byte, event string) ([]byte, string, error) {
	parts := strings.Split(string(text), "|")
	if len(parts) != 3 || parts[0] != event {
		return nil, "", errors.New("it is not of " + event)
	}
	body, err := hex.DecodeString(parts[2])
	return body, parts[1], err
}

// sealedERP is the plain ERP with a key, and a link that encrypts to it.
func sealedERP(t *testing.T) (*erpmock.Mock, string, *Link) {
	t.Helper()
	m, address := erpmock.Start(t, nil, erpmock.Config{Decrypter: hexed{}, BodyLimit: 8 << 20})
	if err := m.Seed("productionOrder", map[string]any{"number": "000001000001", "status": "released"}); err != nil {
		t.Fatal(err)
	}
	l := open(t, suited(t, plainERP(address)))
	l.EncryptBy(hexed{})
	return m, address, l
}

// TestSuiteOnAnERPWithAKeyOfItsOwn: what is encrypted is tried again, asked for and refused as what is not.
func TestSuiteOnAnERPWithAKeyOfItsOwn(t *testing.T) {
	adaptertest.Suite(t, func(t *testing.T) adaptertest.Subject {
		m, address, l := sealedERP(t)
		return adaptertest.Subject{
			Adapter: l, ERP: mockERP{m, address}, Delivery: func(id string) message.Delivery { return confirmation(t, id) },
		}
	})
}

// TestWhatIsEncryptedIsWhatTheContractAllows: the ERP reads the document as it was mapped and checked, and takes no other.
func TestWhatIsEncryptedIsWhatTheContractAllows(t *testing.T) {
	m, address, l := sealedERP(t)
	d := confirmation(t, "m1")
	if out := l.Deliver(t.Context(), []message.Delivery{d})[0]; out.Verdict != message.Delivered {
		t.Fatalf("got %v", out)
	}
	got := m.Journal()[0]
	if !got.Encrypted || !strings.HasSuffix(got.Body, string(d.Doc.Body[1:])) || got.MessageID != "m1" {
		t.Errorf("the ERP read %+v", got)
	}
	broken := confirmation(t, "m2")
	broken.Doc.Body = []byte(`{"order":7}`)
	if out := l.Deliver(t.Context(), []message.Delivery{broken})[0]; out.Verdict != message.Refused || len(m.Journal()) != 1 {
		t.Errorf("got %v, want it to be refused and not sent", out)
	}
	if out := open(t, plainERP(address)).Deliver(t.Context(), []message.Delivery{confirmation(t, "m3")})[0]; out.Verdict != message.Refused {
		t.Errorf("what is not encrypted: got %v, want the ERP to refuse it", out)
	}
}

// TestWhatCannotBeEncryptedWaits, since nothing is wrong with the message; and nothing of it leaves.
func TestWhatCannotBeEncryptedWaits(t *testing.T) {
	m, _, l := sealedERP(t)
	ended := &problem.Error{Kind: problem.Unavailable, What: "encrypt", Why: "the certificate ended"}
	l.EncryptBy(hexed{err: ended})
	out := l.Deliver(t.Context(), []message.Delivery{confirmation(t, "m1")})[0]
	if out.Verdict != message.Again || !out.LinkDown || !errors.Is(out.Err, ended) || len(m.Journal()) != 0 {
		t.Errorf("got %v and %d requests, want it to wait", out, len(m.Journal()))
	}
}

// kept is a large body in memory.
type kept []byte

// Open implements message.Keeper.
func (k kept) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(k)), nil
}

// TestALargeBodyIsEncryptedToo: it is read into memory, and what is sent is still the whole of it.
func TestALargeBodyIsEncryptedToo(t *testing.T) {
	m, _, l := sealedERP(t)
	d := confirmation(t, "m1")
	body := d.Doc.Body
	body = append(append(bytes.TrimSuffix(body, []byte("}")), []byte(`,"messageId":"m1","text":"`+strings.Repeat("x", 1<<20))...), `"}`...)
	d.Doc.Large = &message.Large{Size: int64(len(body)), Digest: sha256.Sum256(body), Kept: kept(body)}
	d.Doc.Body, d.Doc.Whole = nil, true
	if out := l.Deliver(t.Context(), []message.Delivery{d})[0]; len(m.Journal()) != 1 || m.Journal()[0].Bytes != int64(len(body)) || !m.Journal()[0].Encrypted {
		t.Errorf("got %v, and the ERP read %d requests", out, len(m.Journal()))
	}
	if !l.hands.TryAcquire(message.MaxBody) {
		t.Error("the room that it took is not given back")
	}
}
