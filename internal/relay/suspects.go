package relay

import "sync"

// suspects tells a message to which an ERP never answers from an ERP that answers to nothing. It counts the deliveries of a message
// that ended without an answer, where something speaks for the ERP:
//
//   - it was asked just before, and has answered that it does not have the message; or
//   - it has answered the delivery of another message since the last try at this one, and this one alone has ended without an answer
//     since. That is all there is where an adapter does not ask, since the message may be sent once more.
//
// Nothing speaks against a message when another ended without an answer too and none was answered between two tries: that is an outage.
// So at most one lane is stopped in an outage that lets nothing but questions pass. The count begins anew when the message is answered,
// and when the ERP does not answer questions either. What is counted does not outlive the process: it is then counted anew.
type suspects struct {
	mu       sync.Mutex
	answered int            // deliveries; guarded by mu
	tries    map[string]try // by message ID; guarded by mu
	silent   string         // the first message without an answer since one was answered; guarded by mu
	several  bool           // there is another; guarded by mu
}

// try is what is known of the tries at one message.
type try struct {
	count    int
	silent   int // how often there was no answer, whatever speaks for the ERP
	answered int // suspects.answered at the last one
}

// mostTries bounds the memory; it is reached only where messages end without an answer by the thousand.
const mostTries = 10_000

func newSuspects() *suspects { return &suspects{tries: map[string]try{}} }

// answer says that the ERP answered a delivery of the message.
func (s *suspects) answer(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tries, id)
	s.answered++
	s.silent, s.several = "", false
}

// away says that the link failed whatever the message.
func (s *suspects) away() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tries)
}

// unanswered says that a delivery of the message ended without an answer; asked, that the ERP had answered a question after it just
// before. It returns how many such deliveries speak against the message by now.
func (s *suspects) unanswered(id string, asked bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.silent == "" {
		s.silent = id
	}
	s.several = s.several || s.silent != id
	last, known := s.tries[id]
	others := known && s.answered > last.answered
	t := try{last.count, last.silent + 1, s.answered}
	if asked && (others || !s.several) || others && !s.several {
		t.count++
	}
	if len(s.tries) >= mostTries {
		clear(s.tries)
	}
	s.tries[id] = t
	return t.count
}

// alone tells whether a message is better sent by itself: twice it was sent and there was no answer.
func (s *suspects) alone(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries[id].silent >= 2
}

// forget ends the count of a message that is settled, or left to a person.
func (s *suspects) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tries, id)
}
