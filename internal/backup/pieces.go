package backup

import (
	"bytes"
	"crypto/sha256"
)

// digest names a piece of a database by its content.
type digest [16]byte

func digestPiece(piece []byte) (d digest) {
	sum := sha256.Sum256(piece)
	copy(d[:], sum[:])
	return d
}

// The least and the most bytes of a piece that is cut by content; usual are 8 KiB more than the least.
const (
	leastPiece = 2 << 10
	mostPiece  = 64 << 10
)

// cutter cuts what is written to it into pieces: pages of SQLite, or where there are none by content, so that what was put in between moves the cuts
// around it alone. The same bytes are always cut alike.
type cutter struct {
	page  int
	give  func(piece []byte) error // the bytes are its own for the time of the call
	piece bytes.Buffer
	roll  uint64
}

func newCutter(page int64, give func(piece []byte) error) *cutter {
	return &cutter{page: int(page), give: give}
}

// Write is io.Writer.
func (c *cutter) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		take, ends := c.next(b)
		c.piece.Write(b[:take])
		b = b[take:]
		if ends {
			if err := c.end(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// next is how much of b belongs to the piece in hand, and whether that ends there.
func (c *cutter) next(b []byte) (n int, ends bool) {
	if c.page > 0 {
		n = min(len(b), c.page-c.piece.Len())
		return n, c.piece.Len()+n == c.page
	}
	for i, x := range b {
		c.roll = c.roll<<1 + spread(x)
		if size := c.piece.Len() + i + 1; size >= mostPiece || size >= leastPiece && c.roll>>51 == 0 { // one in usualPiece: 2^13
			return i + 1, true
		}
	}
	return len(b), false
}

// spread makes of a byte a number in which every bit depends on it, always the same.
func spread(x byte) uint64 {
	h := (uint64(x) + 1) * 0x9E3779B97F4A7C15
	h = (h ^ h>>29) * 0xBF58476D1CE4E5B9
	return h ^ h>>32
}

// end gives the last piece.
func (c *cutter) end() error {
	if c.piece.Len() == 0 {
		return nil
	}
	err := c.give(c.piece.Bytes())
	c.piece.Reset()
	c.roll = 0
	return err
}
