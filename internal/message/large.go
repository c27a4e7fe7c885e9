package message

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"holdfast/internal/problem"
)

// MaxBody is how many bytes a body may have, however the plant is configured.
const MaxBody = 64 << 20

// Large is a body that is not in memory: it is read where it is kept, as often as it is needed.
type Large struct {
	Digest [sha256.Size]byte // SHA-256 of the whole body
	Size   int64             // in bytes
	Media  string            // media type; "" is JSON. It is a label, no part of the digest
	Kept   Keeper
	Gone   bool // it was shredded: nothing but this is left of it
}

// Keeper has a large body. Open reads it from its beginning, with little of it in memory at a time.
type Keeper interface {
	Open(ctx context.Context) (io.ReadCloser, error)
}

// Open reads the body and gives its end only if all of it was what its digest says: whoever passes it on piece by piece, and is given
// an error in the end, has not passed on the last piece.
func (l *Large) Open(ctx context.Context) (io.ReadCloser, error) {
	r, err := l.Kept.Open(ctx)
	if err != nil {
		return nil, err
	}
	return newChecked(r, l), nil
}

// String is its size and digest, for logs.
func (l *Large) String() string {
	return fmt.Sprintf("%d bytes, sha256:%s", l.Size, hex.EncodeToString(l.Digest[:]))
}

// Shown is a body as it is shown to a person: of a large one, which nobody reads on a page, and of one that was shredded, a JSON object with its
// size and SHA-256.
func Shown(body []byte, l *Large) []byte {
	if l == nil {
		return body
	}
	if l.Gone {
		return fmt.Appendf(nil, `{"shredded":true,"bytes":%d,"sha256":"%x"}`, l.Size, l.Digest)
	}
	return fmt.Appendf(nil, `{"bytes":%d,"sha256":"%x"}`, l.Size, l.Digest)
}

// Size is how many bytes the body has.
func (m Message) Size() int64 {
	if m.Large != nil {
		return m.Large.Size
	}
	return int64(len(m.Body))
}

// Checksum is the SHA-256 of the body. It reads nothing of a large one.
func (m Message) Checksum() [sha256.Size]byte {
	switch {
	case m.Large != nil:
		return m.Large.Digest
	case m.known.of(m.Body):
		return m.known.sum
	}
	return sha256.Sum256(m.Body)
}

// known is the checksum of a body.
type known struct {
	body []byte
	sum  [sha256.Size]byte
}

// of tells whether it is the checksum of that body: of the same bytes in memory, which are never changed.
func (k *known) of(body []byte) bool {
	return k != nil && len(body) > 0 && len(body) == len(k.body) && &body[0] == &k.body[0]
}

// Summed is the same message with the checksum of its body at hand, for what asks for it more than once: its digest and its signature.
// One that is given another body afterwards is summed anew when it is asked for.
func (m Message) Summed() Message {
	if m.Large == nil {
		m.known = &known{body: m.Body, sum: m.Checksum()}
	}
	return m
}

// Open reads the body, wherever it is.
func (m Message) Open(ctx context.Context) (io.ReadCloser, error) {
	if m.Large != nil {
		return m.Large.Open(ctx)
	}
	return io.NopCloser(bytes.NewReader(m.Body)), nil
}

// Read is the whole body, in memory: TooLarge if it has more bytes than most.
func (m Message) Read(ctx context.Context, most int64) ([]byte, error) {
	if m.Large == nil {
		return m.Body, nil
	}
	what := fmt.Sprintf("read the body of %s %s", m.Kind, m.ID)
	if m.Large.Size > most {
		return nil, &problem.Error{
			Kind: problem.TooLarge, What: what, Why: fmt.Sprintf("it has %d bytes, and no more than %d are read at once", m.Large.Size, most),
			Hint: "pass it on whole (body: event in the mapping), or have its sender send it in parts",
		}
	}
	r, err := m.Large.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer r.Close()
	b := make([]byte, m.Large.Size)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return b, nil
}

// Intact reads a large body through and tells whether it is what its digest says: an error of kind Integrity if not. One in memory
// needs no look, since its own bytes are digested.
func (m Message) Intact(ctx context.Context) error {
	if m.Large == nil {
		return nil
	}
	r, err := m.Large.Open(ctx)
	if err != nil {
		return fmt.Errorf("read the body of %s %s: %w", m.Kind, m.ID, err)
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	return err
}
