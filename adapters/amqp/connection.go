package amqp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	door "holdfast/adapters/wire"
	"holdfast/internal/problem"
)

// State says how a connection stands.
type State string

// The states.
const (
	Idle       State = "idle"       // nothing is to be sent
	Connecting State = "connecting" // there is none; Status.Reason says why
	Connected  State = "connected"
	Blocked    State = "blocked" // the broker takes nothing now: it is short of memory or disk
	Closed     State = "closed"  // by us
)

// Status is the state of a connection, for a person.
type Status struct {
	State      State
	Generation uint64    // counts the connections; that of the present one, or of the last
	Since      time.Time // of the state
	Reason     error     // why it is not connected; nil when it is
}

// session is one connection, of one generation. Whatever came over it ends with it.
type session struct {
	generation uint64
	conn       *amqp091.Connection
	drops      bool // whether the broker's queues have a delivery limit where none was asked for
	wire       *wire
	log        *slog.Logger
	mark       [32]byte // of the credentials it was made with
	window     *window  // for what goes out; nil on a connection that only receives
	tasks      sync.WaitGroup
	closed     chan *amqp091.Error   // says why the library has closed it
	blockings  chan amqp091.Blocking // says when the broker takes nothing

	blocked atomic.Bool
	dead    chan struct{} // closed when the connection is no more
	end     sync.Once
	reason  error // why it is dead; set before dead is closed
}

// kill ends the connection at once. The first reason stays.
func (s *session) kill(reason error) {
	s.end.Do(func() {
		s.reason = reason
		close(s.dead)
	})
	_ = s.wire.Close() // never fails
}

// close ends the connection in order, and at once when the broker has not agreed by then. It returns when nothing of it runs.
func (s *session) close(by time.Time) {
	cut := time.AfterFunc(time.Until(by), func() { _ = s.wire.Close() }) // a broker that has blocked us does not hear
	_ = s.conn.Close()                                                   // it is over either way
	cut.Stop()
	s.kill(errClosed)
	s.tasks.Wait()
	s.wire.wait()
}

var errClosed = errors.New("the link is closed")

// keeper keeps one connection: it makes it, watches it, and makes it again, for ever.
type keeper struct {
	name    string
	cfg     Config
	resolve Resolve
	log     *slog.Logger
	guard   *door.Guard // of the user; all connections of a link have one
	// setup makes a new connection ready for use; what it starts ends when the session is dead, counted in session.tasks.
	setup func(s *session) error
	// ease lets what is under way come to its end, before a connection is closed in order.
	ease func(s *session, by time.Time)

	generation uint64         // of the last connection; owned by run
	address    int            // the next to try; owned by run
	asking     sync.WaitGroup // for credentials, beside a connection

	mu      sync.Mutex
	status  Status        // guarded by mu
	session *session      // nil unless Connected or Blocked; guarded by mu
	changed chan struct{} // closed and replaced at each change; guarded by mu
}

func newKeeper(name string, cfg Config, resolve Resolve, log *slog.Logger, guard *door.Guard) *keeper {
	return &keeper{
		name: name, cfg: cfg, resolve: resolve, guard: guard, log: log.With("part", "amqp", "connection", name), changed: make(chan struct{}),
		status: Status{State: Connecting, Since: time.Now(), Reason: errors.New("no connection has been made yet")},
		setup:  func(*session) error { return nil }, ease: func(*session, time.Time) {},
	}
}

// The pauses between attempts to connect. A broker is often back within a second; an outage of hours must not end in a storm.
const (
	firstPause = 50 * time.Millisecond
	shortPause = 800 * time.Millisecond // the longest in the first minute
	longPause  = 5 * time.Second        // and after it
)

// run keeps the connection until ctx ends.
func (k *keeper) run(ctx context.Context) {
	pause, lost := firstPause, time.Now()
	for ctx.Err() == nil {
		s, err := k.connect(ctx)
		if err != nil {
			if ctx.Err() == nil {
				k.tell(Connecting, nil, err)
			}
			rest(ctx, pause/2+rand.N(pause))
			pause = min(2*pause, shortPause)
			if time.Since(lost) > time.Minute {
				pause = longPause
			}
			continue
		}
		pause = firstPause
		k.tell(Connected, s, nil)
		k.watch(ctx, s)
		if ctx.Err() != nil {
			break
		}
		lost = time.Now()
		k.tell(Connecting, nil, cmp.Or(s.reason, errClosed))
		rest(ctx, rand.N(firstPause))
	}
	k.asking.Wait()
	k.tell(Closed, nil, errClosed)
}

// rest waits, or returns when ctx ends.
func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// connect makes a connection with all that belongs to it, or nothing.
func (k *keeper) connect(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, k.cfg.ConnectTimeout)
	defer cancel()
	s, err := k.dial(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { s.kill(ctx.Err()) })
	err = k.setup(s)
	if !stop() {
		err = cmp.Or(err, ctx.Err())
	}
	if err != nil {
		k.address++ // one that takes connections and cannot serve: another may
		s.close(soon())
		return nil, err
	}
	return s, nil
}

// looks is how often the oldest outstanding message is looked at before it counts as stuck.
const looks = 4

// watch returns when the connection is over, and nothing of it runs any more.
func (k *keeper) watch(ctx context.Context, s *session) {
	closed, blockings := s.closed, s.blockings
	look := time.NewTicker(k.cfg.ConfirmTimeout / looks)
	defer look.Stop()
	asking, enough := context.WithCancel(ctx)
	defer enough()
	renewed := k.renewal(asking, s)
	for {
		select {
		case <-ctx.Done():
			k.retire(s)
			return
		case err, told := <-closed:
			reason := s.wire.cause()
			if told {
				reason = err
			}
			s.kill(&problem.Error{
				Kind: problem.Unavailable, What: "connection to RabbitMQ", Why: "it was lost: " + words(reason), Hint: "nothing to do: it is made again",
			})
			s.close(time.Now())
			return
		case <-s.dead:
			s.close(soon())
			return
		case b, open := <-blockings:
			if open {
				k.block(s, b)
			}
			if !open {
				blockings = nil
			}
		case <-look.C:
			if s.window != nil && s.window.stuck() {
				k.address++
				s.kill(&problem.Error{
					Kind: problem.Unavailable, What: "publish to RabbitMQ", Why: fmt.Sprintf("the broker confirmed nothing for %s", k.cfg.ConfirmTimeout),
					Hint: "see whether its queues have a leader (rabbitmq-queues); the link tries again by itself",
				})
			}
		case <-renewed:
			k.log.Info("the credentials have changed: the connection is made anew")
			k.retire(s)
			return
		}
	}
}

// retire closes a connection in order, after what is under way on it.
func (k *keeper) retire(s *session) {
	by := time.Now().Add(k.cfg.StopTimeout)
	k.ease(s, by)
	s.close(soon())
}

// block notes that the broker takes nothing, or takes something again.
func (k *keeper) block(s *session, b amqp091.Blocking) {
	s.blocked.Store(b.Active)
	if !b.Active {
		k.tell(Connected, s, nil)
		return
	}
	if s.window != nil {
		s.window.halt()
	}
	k.tell(Blocked, s, &problem.Error{
		Kind: problem.Unavailable, What: "publish to RabbitMQ", Why: "the broker takes nothing now: " + b.Reason,
		Hint: "free memory or disk on the broker; the link goes on by itself",
	})
}

// tell notes a new state, and logs it when it says something new.
func (k *keeper) tell(state State, s *session, reason error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	old := k.status
	if state == old.State && words(reason) == words(old.Reason) && s == k.session {
		return
	}
	k.status = Status{State: state, Generation: old.Generation, Since: time.Now(), Reason: reason}
	if s != nil {
		k.status.Generation = s.generation
	}
	k.session = s
	close(k.changed)
	k.changed = make(chan struct{})
	if reason != nil && state != Closed {
		k.log.Warn("no connection to the broker", "state", state, "generation", k.status.Generation, "err", words(reason))
		return
	}
	k.log.Info("connection to the broker", "state", state, "generation", k.status.Generation)
}

// now gives the present session, nil if there is none that can be used, and the status.
func (k *keeper) now() (*session, Status) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.status.State != Connected {
		return nil, k.status
	}
	return k.session, k.status
}

// over tells whether the connection has ended. Until the keeper has noticed, it is the present one.
func (s *session) over() bool {
	select {
	case <-s.dead:
		return true
	default:
		return false
	}
}

// await gives the session as soon as there is one that has not ended, or an error when ctx ends first or the keeper is closed.
func (k *keeper) await(ctx context.Context) (*session, error) {
	for {
		k.mu.Lock()
		status, s, changed := k.status, k.session, k.changed
		k.mu.Unlock()
		switch status.State {
		case Connected:
			if !s.over() {
				return s, nil
			}
			status.Reason = s.reason
		case Closed:
			return nil, errClosed
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the broker: %w: %w", context.Cause(ctx), status.Reason)
		case <-changed:
		}
	}
}

// words is an error in words, "" for none.
func words(err error) string {
	var lib *amqp091.Error
	var ours *problem.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &ours):
		return ours.What + ": " + ours.Why
	case errors.As(err, &lib) && lib != nil:
		return fmt.Sprintf("%d %s", lib.Code, lib.Reason)
	}
	return err.Error()
}
