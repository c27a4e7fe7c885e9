package amqp

import (
	"slices"
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// TestDeliveriesAreGathered has a consumer take what comes while nothing is given out, and looks at what it would give out.
func TestDeliveriesAreGathered(t *testing.T) {
	fresh, again := amqp091.Delivery{}, amqp091.Delivery{Redelivered: true}
	tests := []struct {
		name        string
		most, limit int
		come        []amqp091.Delivery
		want        []int // deliveries in each message
	}{
		{"one by one, for Watermill", 1, 10, []amqp091.Delivery{fresh, fresh, fresh}, []int{1, 1, 1}},
		{"up to the most", 3, 10, []amqp091.Delivery{fresh, fresh, fresh, fresh}, []int{3, 1}},
		{"up to what may be in hand", 5, 4, []amqp091.Delivery{fresh, fresh, fresh, fresh}, []int{4}},
		{"what comes again alone", 3, 10, []amqp091.Delivery{again, again, fresh, fresh, again, fresh}, []int{1, 1, 2, 1, 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &consumer{s: &session{}, most: tt.most, limit: tt.limit, ctx: t.Context()}
			give := func() { c.held, c.next, c.after = append(c.held, c.next), c.after, nil }
			for n, d := range tt.come {
				d.DeliveryTag = uint64(n + 1)
				for !c.takes() {
					if c.next == nil {
						t.Fatalf("delivery %d finds no place, and there is nothing to give out", n)
					}
					give()
				}
				c.add(d)
			}
			for c.next != nil {
				give()
			}
			var got []int
			tag := uint64(0)
			for _, h := range c.held {
				got = append(got, len(h.all()))
				if h.number != tag+1 {
					t.Errorf("a message begins with number %d, want %d", h.number, tag+1)
				}
				tag = h.last().DeliveryTag
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("gathered %v, want %v", got, tt.want)
			}
			if c.drop(len(c.held)); c.done != uint64(len(tt.come)) || !c.takes() {
				t.Errorf("%d of %d are no longer in hand, and another one may come: %t", c.done, len(tt.come), c.takes())
			}
		})
	}
}
