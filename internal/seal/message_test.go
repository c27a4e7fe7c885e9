package seal

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"reflect"
	"testing"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

func aMessage() message.Message {
	return message.Message{
		ID: "m1", Source: "urn:plant:1000", Kind: "operation.confirmed", Version: 1, Key: "o1",
		Time: time.Date(2026, 11, 24, 6, 0, 0, 5, time.FixedZone("", 3600)), Body: []byte(`{"yield":"4.000"}`), Creates: "lot/1", Cause: "m0",
		Place: message.Place{Link: "erp", Lane: "o1", Epoch: 1, Number: 2, Prev: "aa", Role: message.Event, Refers: "bb"},
	}
}

// signedBy is a message with the signature of a key that t trusts.
func signedBy(t *testing.T) (*Trust, message.Message) {
	t.Helper()
	const node = "urn:p:node:a"
	l, k := authorityOf(t, node)
	roots, lists, err := l.Roots(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := aMessage()
	s := signMessage(k.private, k.id, m, m.Digest(), time.Now())
	m.Origin = &s
	return NewTrust(roots, lists, []Certificate{certificate(node, k)}), m
}

// TestAMessageIsSignedWithEveryField changes each field in turn by reflection, so that a field added later cannot be forgotten: none can be
// altered, added or taken away under a signature.
func TestAMessageIsSignedWithEveryField(t *testing.T) {
	trust, m := signedBy(t)
	if node, err := trust.VerifyMessage(m); err != nil || node != "urn:p:node:a" {
		t.Fatalf("as it was signed: %q, %v", node, err)
	}
	var walk func(v reflect.Value, path string)
	walk = func(v reflect.Value, path string) {
		for i := range v.NumField() {
			name := path + v.Type().Field(i).Name
			f := v.Field(i)
			if !f.CanInterface() {
				continue // the checksum at hand: it tells of the body, which is changed here too
			}
			old := reflect.New(f.Type()).Elem()
			old.Set(f)
			switch f.Interface().(type) {
			case message.Place:
				walk(f, name+".")
				continue
			case *message.Signature, *message.Large:
				continue // below
			case []byte:
				f.SetBytes([]byte(`{"yield":"4.001"}`))
			case time.Time:
				f.Set(reflect.ValueOf(m.Time.Add(time.Nanosecond)))
			default:
				f.Set(reflect.Zero(f.Type()))
			}
			_, err := trust.VerifyMessage(m)
			if refused := problem.KindOf(err) == problem.Integrity; refused == (name == "Trace") {
				t.Errorf("%s altered: %v", name, err)
			}
			f.Set(old)
		}
	}
	walk(reflect.ValueOf(&m).Elem(), "")
}

func TestATamperedOriginIsRefused(t *testing.T) {
	trust, m := signedBy(t)
	_, strangers := signedBy(t)
	other := aMessage()
	other.Lane = "o2"
	flipped, later, renamed := *m.Origin, *m.Origin, *m.Origin
	flipped.Value[0] ^= 1
	later.At = later.At.Add(time.Microsecond)
	renamed.Key = strangers.Origin.Key
	digestOnly := *m.Origin
	copy(digestOnly.Value[:], bytes.Repeat([]byte{7}, ed25519.SignatureSize))
	tests := []struct {
		name   string
		m      message.Message
		origin *message.Signature
		want   problem.Kind
	}{
		{"as it was signed", m, m.Origin, ""},
		{"stripped", m, nil, problem.Integrity},
		{"a flipped bit", m, &flipped, problem.Integrity},
		{"another time", m, &later, problem.Integrity},
		{"no signature but its length", m, &digestOnly, problem.Integrity},
		{"moved to another lane", other, m.Origin, problem.Integrity},
		{"under the name of an unknown key", m, &renamed, problem.Denied},
		{"a stranger's", m, strangers.Origin, problem.Denied},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.m.Origin = tt.origin
			_, err := trust.VerifyMessage(tt.m)
			if got := problem.KindOf(err); got != tt.want {
				t.Errorf("got %q (%v), want %q", got, err, tt.want)
			}
		})
	}
}

// TestNoOtherSignatureIsOneOfAMessage: what a node signs for another use, over whatever digest, is not taken for a message's.
func TestNoOtherSignatureIsOneOfAMessage(t *testing.T) {
	const node = "urn:p:node:a"
	l, k := authorityOf(t, node)
	roots, lists, err := l.Roots(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	trust, m, now := NewTrust(roots, lists, []Certificate{certificate(node, k)}), aMessage(), time.Now()
	material := m.Material(m.Digest(), now.UTC().Truncate(time.Microsecond))
	for _, digest := range [][]byte{material[:], []byte(m.Digest()), message.PreAuth(material)} {
		s := sign(k.private, k.id, message.Purpose, now, digest)
		m.Origin = &s
		if _, err := trust.VerifyMessage(m); problem.KindOf(err) != problem.Integrity {
			t.Errorf("a signature over %x passed as a message's: %v", digest, err)
		}
	}
	s := signMessage(k.private, k.id, m, m.Digest(), now)
	if _, err := trust.Verify(message.Purpose, material[:], s); problem.KindOf(err) != problem.Integrity {
		t.Errorf("a message's signature passed as another: %v", err)
	}
}

func TestALargeBodyIsSignedByItsDigest(t *testing.T) {
	trust, m := signedBy(t)
	m.Large, m.Body = &message.Large{Digest: sha256.Sum256(m.Body), Size: int64(len(m.Body))}, nil
	if _, err := trust.VerifyMessage(m); err != nil {
		t.Errorf("the same body, kept elsewhere: %v", err)
	}
	m.Large.Digest[0] ^= 1
	if _, err := trust.VerifyMessage(m); problem.KindOf(err) != problem.Integrity {
		t.Errorf("another body passed: %v", err)
	}
}

func BenchmarkSignMessage(b *testing.B) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	m := aMessage()
	m.Body = bytes.Repeat([]byte("x"), 1024)
	id, digest := keyID(key.Public().(ed25519.PublicKey)), m.Digest()
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			ed25519.Sign(key, m.Body)
		}
	})
	b.Run("message", func(b *testing.B) {
		for b.Loop() {
			signMessage(key, id, m, digest, time.Now())
		}
	})
}
