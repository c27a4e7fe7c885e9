package access

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"holdfast/internal/problem"
)

// What a password costs to try: 64 MiB and about a tenth of a second (RFC 9106, the second recommendation).
const (
	passTime   = 3
	passMemory = 64 << 10
	passLanes  = 1
	passSalt   = 16
	passKey    = 32
)

// How long a password is.
const (
	LeastPassword = 12
	MostPassword  = 128 // characters; more would only cost time
)

// passwords tries passwords, few at a time: guessers must not take the memory and the time that the plant needs. One address has one turn at most, and so
// has one network; those that wait have theirs in the order in which they came: a crowd at one of them delays the others by one turn. Terminals of the
// shop floor have turns of their own: whatever a crowd does elsewhere, the floor goes on.
type passwords struct {
	turns  chan struct{}
	floor  chan struct{} // turns of terminals
	memory uint32        // KiB, of new ones

	mu    sync.Mutex
	seats map[string]*seat // by address and network, while anybody of it waits or has a turn
}

// seat is what those of one address or network wait for first.
type seat struct {
	free  chan struct{}
	users int // guarded by passwords.mu
}

// mostWaiting is how many wait for the turns of one address; whoever comes then is told so at once. Of a network it is as many addresses.
const mostWaiting = 16

func newPasswords(memory uint32) *passwords {
	return &passwords{turns: make(chan struct{}, 2), floor: make(chan struct{}, 1), memory: memory, seats: map[string]*seat{}}
}

// checkPassword refuses what is no password.
func checkPassword(s string) error {
	if n := utf8.RuneCountInString(s); n < LeastPassword || n > MostPassword {
		return &problem.Error{
			Kind: problem.Invalid, What: "take a password", Why: fmt.Sprintf("it has %d characters, and must have %d to %d", n, LeastPassword, MostPassword),
			Hint: "take some words that nobody would put together",
		}
	}
	return nil
}

// kept is a password as the database has it.
type kept struct {
	memory    uint32
	salt, key []byte
}

// String is the usual form of argon2id, with its parameters: they can be raised, and older ones are still read.
func (k kept) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf(passForm, k.memory, b64.EncodeToString(k.salt)+"$"+b64.EncodeToString(k.key))
}

const passForm = "$argon2id$v=19$m=%d,t=3,p=1$%s"

func readKept(text string) (k kept, err error) {
	var rest string
	if _, err := fmt.Sscanf(text, passForm, &k.memory, &rest); err != nil || k.memory > 1<<20 {
		return k, errors.New("read a password: it is kept in no form that this program knows")
	}
	salt, key, _ := strings.Cut(rest, "$")
	var err1, err2 error
	k.salt, err1 = base64.RawStdEncoding.DecodeString(salt)
	k.key, err2 = base64.RawStdEncoding.DecodeString(key)
	return k, errors.Join(err1, err2)
}

// hash is a password as it is kept.
func (p *passwords) hash(ctx context.Context, password string) (string, error) {
	k := kept{memory: p.memory, salt: make([]byte, passSalt)}
	_, _ = rand.Read(k.salt) // which does not fail
	var err error
	k.key, err = p.key(ctx, password, caller{}, k)
	return k.String(), err
}

// caller is who has a password tried.
type caller struct {
	from     string // address
	terminal string // of the shop floor; "" for none
}

// is tells whether a password is the one that is kept; nobody's is none, and takes as long.
func (p *passwords) is(ctx context.Context, password, text string, by caller) (bool, error) {
	k, err := kept{memory: p.memory, salt: make([]byte, passSalt), key: make([]byte, passKey)}, error(nil)
	if text != "" {
		k, err = readKept(text)
	}
	if err != nil {
		return false, err
	}
	got, err := p.key(ctx, password, by, k)
	return text != "" && subtle.ConstantTimeCompare(got, k.key) == 1, err
}

func (p *passwords) key(ctx context.Context, password string, by caller, k kept) ([]byte, error) {
	done, err := p.turn(ctx, by)
	if err != nil {
		return nil, err
	}
	defer done()
	return argon2.IDKey([]byte(password), k.salt, passTime, k.memory, passLanes, passKey), nil
}

// seatsOf are what a caller waits for, one after the other, before a turn.
func (c caller) seatsOf() []string {
	switch of := network(c.from); {
	case c.terminal != "":
		return []string{"at " + c.from, "terminal " + c.terminal}
	case of != c.from:
		return []string{c.from, of}
	default:
		return []string{of}
	}
}

// turn waits for a turn, until ctx ends; TooMany then, and at once where enough of the same address wait. done ends it.
func (p *passwords) turn(ctx context.Context, by caller) (done func(), err error) {
	var taken []func()
	done = func() {
		for _, give := range slices.Backward(taken) {
			give()
		}
	}
	wait := func(c chan struct{}) bool {
		select {
		case c <- struct{}{}:
			taken = append(taken, func() { <-c })
			return true
		case <-ctx.Done():
			return false
		}
	}
	for _, of := range by.seatsOf() {
		s := p.sit(of)
		if s == nil {
			done()
			return nil, crowded()
		}
		taken = append(taken, func() { p.rise(of, s) })
		if !wait(s.free) {
			done()
			return nil, crowded()
		}
	}
	turns := p.turns
	if by.terminal != "" {
		turns = p.floor
	}
	if !wait(turns) {
		done()
		return nil, crowded()
	}
	return done, nil
}

func crowded() error {
	return &problem.Error{Kind: problem.TooMany, What: "sign in", Why: "too many sign in at the same time", Hint: "try again in a moment"}
}

// sit is the seat of an address or a network; nil where enough wait for it.
func (p *passwords) sit(of string) *seat {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.seats[of]
	if s == nil {
		s = &seat{free: make(chan struct{}, 1)}
		p.seats[of] = s
	}
	if s.users > mostWaiting { // and one who has the turn
		return nil
	}
	s.users++
	return s
}

func (p *passwords) rise(of string, s *seat) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.users--; s.users == 0 {
		delete(p.seats, of)
	}
}
