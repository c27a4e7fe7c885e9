package amqp

import (
	"context"
	"slices"

	"holdfast/internal/message"
)

// handBytes is how many bytes of large bodies are in memory at a time for all that a link publishes. AMQP cannot stream: a frame is
// written from memory, and the body stays there until the broker has confirmed it.
const handBytes = 2 * message.MaxBody

// load reads the large bodies of deliveries into memory, once there is room for all of them. release gives the room back.
func (l *Link) load(ctx context.Context, ds []message.Delivery) (loaded []message.Delivery, release func(), err error) {
	var sum int64
	for _, d := range ds {
		if large := bodyOf(d); large != nil {
			sum += large.Size
		}
	}
	if sum == 0 {
		return ds, func() {}, nil
	}
	sum = min(sum, handBytes)
	if err := l.hands.Acquire(ctx, sum); err != nil {
		return nil, nil, err
	}
	loaded = slices.Clone(ds)
	for i := range loaded {
		d := &loaded[i]
		large := bodyOf(*d)
		if large == nil {
			continue
		}
		m := d.Event.Message()
		m.Large = large
		if d.Doc.Body, err = m.Read(ctx, message.MaxBody); err != nil {
			l.hands.Release(sum)
			return nil, nil, err
		}
	}
	return loaded, func() { l.hands.Release(sum) }, nil
}

// bodyOf is the large body that a delivery sends; nil if what it sends is in memory.
func bodyOf(d message.Delivery) *message.Large {
	if d.Doc.Mapping != "" {
		return d.Doc.Large
	}
	return d.Event.Message().Large
}
