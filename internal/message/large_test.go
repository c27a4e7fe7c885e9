package message_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// kept is a keeper that hands out a body, whatever was promised of it.
type kept []byte

func (k kept) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(iotest.OneByteReader(bytes.NewReader(k))), nil
}

func large(promised, found string) *message.Large {
	return &message.Large{Digest: sha256.Sum256([]byte(promised)), Size: int64(len(promised)), Kept: kept(found)}
}

func TestLargeBodyIsGivenToItsEndOnlyIfItIsWhatWasKept(t *testing.T) {
	tests := []struct {
		name, promised, found string
		want                  problem.Kind // "" means whole
	}{
		{"as kept", "abcdef", "abcdef", ""},
		{"nothing", "", "", ""},
		{"one byte", "a", "a", ""},
		{"the first byte altered", "abcdef", "Xbcdef", problem.Integrity},
		{"the last byte altered", "abcdef", "abcdeX", problem.Integrity},
		{"cut short", "abcdef", "abc", problem.Integrity},
		{"the last byte missing", "abcdef", "abcde", problem.Integrity},
		{"longer", "abcdef", "abcdefg", problem.Integrity},
		{"something instead of nothing", "", "a", problem.Integrity},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := large(tt.promised, tt.found).Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if got := problem.KindOf(err); got != tt.want {
				t.Errorf("got %q (%v), want %q", got, err, tt.want)
			}
			if err != nil && len(b) > 0 && len(b) >= len(tt.promised) {
				t.Errorf("%q was given away, all of %d bytes, although it is not what was kept", b, len(tt.promised))
			}
			if err == nil && string(b) != tt.promised {
				t.Errorf("got %q, want %q", b, tt.promised)
			}
		})
	}
}

func TestLargeBodyHasTheDigestThatItHasInMemory(t *testing.T) {
	inMemory, elsewhere := sample(), sample()
	inMemory.Body = []byte(`{"curve":[1,2,3]}`)
	elsewhere.Body, elsewhere.Large = nil, large(string(inMemory.Body), string(inMemory.Body))
	if got, want := elsewhere.Digest(), inMemory.Digest(); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
	if got, want := elsewhere.Size(), inMemory.Size(); got != want {
		t.Errorf("size %d, want %d", got, want)
	}
	b, err := elsewhere.Read(t.Context(), 100)
	if err != nil || !bytes.Equal(b, inMemory.Body) {
		t.Errorf("read %q, %v, want %q", b, err, inMemory.Body)
	}
	if _, err := elsewhere.Read(t.Context(), 5); problem.KindOf(err) != problem.TooLarge {
		t.Errorf("more than asked for: %v, want a problem of kind %s", err, problem.TooLarge)
	}
}

type closed struct{ error }

func (c closed) Open(context.Context) (io.ReadCloser, error) { return nil, c.error }

func TestLargeBodyThatCannotBeReadIsAnError(t *testing.T) {
	away := errors.New("away")
	m := sample()
	m.Large = &message.Large{Size: 3, Kept: closed{away}}
	if err := m.Intact(t.Context()); !errors.Is(err, away) {
		t.Errorf("got %v, want %v", err, away)
	}
	if _, err := m.Read(t.Context(), 9); !errors.Is(err, away) {
		t.Errorf("got %v, want %v", err, away)
	}
}

func TestASummedMessageThatIsGivenAnotherBodyIsSummedAnew(t *testing.T) {
	m := message.Message{ID: "1", Kind: "order.created", Body: []byte(`{"a":1}`)}
	summed := m.Summed()
	if summed.Checksum() != m.Checksum() || summed.Digest() != m.Digest() {
		t.Fatal("the checksum at hand is not that of the body")
	}
	for _, body := range []string{"", `{"a":2}`, `{"a":1}`} {
		other := summed
		other.Body = []byte(body)
		want := sha256.Sum256([]byte(body))
		if got := other.Checksum(); got != want {
			t.Errorf("a summed message that is given the body %q has the checksum %x, want %x", body, got, want)
		}
	}
	shorter := summed
	shorter.Body = summed.Body[:3]
	if want := sha256.Sum256(summed.Body[:3]); shorter.Checksum() != want {
		t.Error("a part of the body has the checksum of the whole")
	}
}
