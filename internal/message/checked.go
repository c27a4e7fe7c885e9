package message

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"io"

	"holdfast/internal/problem"
)

// checked reads a large body one byte behind: the last byte is given away only when all are known to be right.
type checked struct {
	from io.ReadCloser
	of   *Large
	sum  hash.Hash
	left int64 // bytes that were not read yet
	last []byte
	err  error
}

func newChecked(from io.ReadCloser, of *Large) *checked {
	return &checked{from: from, of: of, sum: sha256.New(), left: of.Size}
}

// Read implements io.Reader.
func (c *checked) Read(p []byte) (int, error) {
	switch {
	case c.err != nil:
		return 0, c.err
	case len(p) == 0:
		return 0, nil
	case c.left > 1:
		n, err := c.from.Read(p[:min(int64(len(p)), c.left-1)])
		c.sum.Write(p[:n])
		c.left -= int64(n)
		if err != nil && (n == 0 || !errors.Is(err, io.EOF)) {
			c.err = c.short(err)
			return n, c.err
		}
		return n, nil
	}
	if c.err = c.end(); c.err != nil {
		return 0, c.err
	}
	c.err = io.EOF
	if len(c.last) == 0 {
		return 0, io.EOF
	}
	p[0] = c.last[0]
	return 1, nil
}

// end reads the last byte, sees that none follows, and compares the digest.
func (c *checked) end() error {
	var b [2]byte
	n, err := io.ReadFull(c.from, b[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	c.last = b[:n]
	c.sum.Write(c.last)
	if int64(n) != c.left || subtle.ConstantTimeCompare(c.sum.Sum(nil), c.of.Digest[:]) != 1 {
		return altered("its digest or length is not that of what was kept")
	}
	return nil
}

// short is the error of a body that ends too early.
func (c *checked) short(err error) error {
	if errors.Is(err, io.EOF) {
		return altered(fmt.Sprintf("%d bytes of it are missing", c.left))
	}
	return err
}

func altered(why string) error {
	return &problem.Error{
		Kind: problem.Integrity, What: "read a large body", Why: why,
		Hint: "the database was altered behind Holdfast: find out by whom, then void or amend the message",
	}
}

// Close implements io.Closer.
func (c *checked) Close() error { return c.from.Close() }
