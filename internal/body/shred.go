package body

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strconv"
	"strings"

	"holdfast/internal/problem"
)

// shredded is where a body is that was destroyed.
const shredded = "shredded"

// Shredded names what is left of a body that is destroyed: its size and digest, so that whatever was promised of the message can still be
// checked.
func Shredded(text []byte) Ref {
	sum := sha256.Sum256(text)
	return Ref(strings.Join([]string{shredded, strconv.Itoa(len(text)), hex.EncodeToString(sum[:]), ""}, " "))
}

// Shredded is the name of the body once it is destroyed.
func (r Ref) Shredded() Ref {
	_, rest, _ := strings.Cut(string(r), " ")
	return Ref(shredded + " " + rest)
}

// gone is the keeper of a body that was destroyed.
type gone struct{}

// Open implements message.Keeper.
func (gone) Open(context.Context) (io.ReadCloser, error) {
	return nil, &problem.Error{
		Kind: problem.NotFound, What: "read a body", Why: "it was shredded: nothing but its size and digest is left", Hint: "see the audit record for who did it, and why",
	}
}
