package console

import (
	"fmt"
	"net/http"
	"time"

	"holdfast/internal/inbox"
	"holdfast/internal/outbox"
)

const (
	// hintEvery is the shortest time between two hints to one browser.
	hintEvery = time.Second
	// hintLeast is the longest: a wake of another node may be lost, and a browser that hears nothing for longer knows that it is cut off.
	hintLeast = 10 * time.Second
)

// events answers GET /console/events: a stream of hints that something may have changed (Server-Sent Events). A hint says nothing else, so
// that one which is lost or comes twice does no harm. The stream ends when the console does.
func (c *Console) events(w http.ResponseWriter, r *http.Request) {
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	woken, end := c.subscribe()
	defer end()
	for {
		if err := out.SetWriteDeadline(time.Now().Add(3 * hintLeast)); err != nil {
			c.log.DebugContext(r.Context(), "a stream has no deadline", "err", err)
		}
		_, err := fmt.Fprintf(w, "event: hint\ndata: %s\n\n", c.DB.Now().Format(time.RFC3339))
		if err == nil {
			err = out.Flush()
		}
		if err != nil || !c.nextHint(r, woken) {
			return
		}
	}
}

// nextHint waits until there is something to hint at, hintEvery at least and hintLeast at most. It is false at the end.
func (c *Console) nextHint(r *http.Request, woken <-chan struct{}) bool {
	first, last := time.NewTimer(hintEvery), time.NewTimer(hintLeast)
	defer first.Stop()
	defer last.Stop()
	early := first.C
	var news <-chan struct{}
	for {
		select {
		case <-r.Context().Done():
			return false
		case <-c.stopping:
			return false
		case <-early:
			early, news = nil, woken // what has come since the last hint is there still
		case <-news:
			return true
		case <-last.C:
			return true
		}
	}
}

// subscribe joins the topics that pages show.
func (c *Console) subscribe() (woken <-chan struct{}, end func()) {
	topics := []string{outbox.Topic, outbox.Appended, outbox.Settled, inbox.Topic}
	joined, done := make(chan struct{}, 1), make(chan struct{})
	var ends []func()
	for _, t := range topics {
		ch, unsubscribe := c.DB.Subscribe(t)
		ends = append(ends, unsubscribe)
		go func() { // ends with the stream that began it
			for {
				select {
				case <-done:
					return
				case <-ch:
					select {
					case joined <- struct{}{}:
					default:
					}
				}
			}
		}()
	}
	return joined, func() {
		close(done)
		for _, f := range ends {
			f()
		}
	}
}
