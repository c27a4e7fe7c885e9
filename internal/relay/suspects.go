package relay

import "sync"

// suspects tells a message to which an ERP never answers from an ERP that answers to nothing. It counts the deliveries of a message
// that ended without an answer, each after the ERP itself has answered that it does not have it; it forgets what it has counted as soon
// as the ERP does not answer questions either, or a second message ends without an answer before any was answered: that is an outage,
// and no message is at fault. So at most one lane is stopped in an outage that lets nothing but questions pass. What is counted does
// not outlive the process: it is then counted anew.
type suspects struct {
	mu     sync.Mutex
	tries  map[string]int  // by message ID; guarded by mu
	silent map[string]bool // messages without an answer since one was last answered; guarded by mu
}

func newSuspects() *suspects { return &suspects{tries: map[string]int{}, silent: map[string]bool{}} }

// answered says that the ERP answered a delivery of the message.
func (s *suspects) answered(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tries, id)
	clear(s.silent)
}

// away says that the link failed whatever the message.
func (s *suspects) away() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tries)
}

// unanswered says that a delivery of the message ended without an answer; asked, that the ERP had answered a question after it just
// before. It returns how often that was so by now.
func (s *suspects) unanswered(id string, asked bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent[id] = true
	switch {
	case len(s.silent) > 1:
		clear(s.tries)
	case asked:
		s.tries[id]++
	}
	return s.tries[id]
}

// forget ends the count of a message that is left to a person.
func (s *suspects) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tries, id)
}
