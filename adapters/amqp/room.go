package amqp

import "errors"

// errHeavy ends a channel on which more bytes came than may be in hand.
var errHeavy = errors.New("the messages in hand are large: fewer are taken at a time")

// errLight ends a channel on which more messages may be in hand again.
var errLight = errors.New("the messages in hand are small again: more are taken at a time")

// room bounds what the messages of a queue take in memory. A broker counts messages only, and gives as many as it was told to, whatever
// they weigh; what it was told once holds for as long as the channel. So when what came is too heavy, the channel is given up: the broker
// puts all of it back in its place, and gives fewer on the next one. It belongs to one subscription, and outlives its channels.
type room struct {
	bytes int64 // that may be in hand
	most  int   // messages that may be, by the configuration
	limit int   // messages that may be at present

	inHand  int64 // bytes
	largest int64 // of the last messages
	since   int   // how many these are
}

func newRoom(r Receive) *room {
	return &room{bytes: r.InFlightBytes, most: r.InFlight, limit: r.InFlight}
}

// begin says that nothing is in hand: a channel begins.
func (r *room) begin() { r.inHand, r.since = 0, 0 }

// take counts a message in. It tells whether the channel has to be given up; one alone always has room.
func (r *room) take(size int64) error {
	r.inHand += size
	r.largest = max(r.largest, size)
	if r.inHand <= r.bytes || r.limit == 1 || r.inHand == size {
		return nil
	}
	r.limit = min(r.fits(), r.limit-1)
	return errHeavy
}

// leave counts one out that is acknowledged. After as many as may ever be in hand, it tells whether as many as twice more would have had room.
func (r *room) leave(size int64) error {
	r.inHand -= size
	if r.since++; r.since < r.most || r.limit == r.most {
		return nil
	}
	fits := r.fits()
	r.since, r.largest = 0, 0
	if fits < min(2*r.limit, r.most) {
		return nil
	}
	r.limit = fits
	return errLight
}

// fits is how many messages have room if each is as large as the largest.
func (r *room) fits() int {
	return int(min(max(r.bytes/max(r.largest, 1), 1), int64(r.most)))
}
