package access

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
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

// passwords tries passwords, few at a time: guessers must not take the memory and the time that the plant needs. One network has one turn at
// most, and the networks that wait have theirs in the order in which they came: a crowd in one of them delays the others by one turn.
type passwords struct {
	turns  chan struct{}
	memory uint32 // KiB, of new ones

	mu    sync.Mutex
	seats map[string]*seat // by network, while anybody of it waits or has a turn
}

// seat is what those of one network wait for first.
type seat struct {
	free  chan struct{}
	users int // guarded by passwords.mu
}

func newPasswords(memory uint32) *passwords {
	return &passwords{turns: make(chan struct{}, 2), memory: memory, seats: map[string]*seat{}}
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
	k.key, err = p.key(ctx, password, "", k)
	return k.String(), err
}

// is tells whether a password is the one that is kept; nobody's is none, and takes as long.
func (p *passwords) is(ctx context.Context, password, text, from string) (bool, error) {
	k, err := kept{memory: p.memory, salt: make([]byte, passSalt), key: make([]byte, passKey)}, error(nil)
	if text != "" {
		k, err = readKept(text)
	}
	if err != nil {
		return false, err
	}
	got, err := p.key(ctx, password, from, k)
	return text != "" && subtle.ConstantTimeCompare(got, k.key) == 1, err
}

func (p *passwords) key(ctx context.Context, password, from string, k kept) ([]byte, error) {
	done, err := p.turn(ctx, network(from))
	if err != nil {
		return nil, err
	}
	defer done()
	return argon2.IDKey([]byte(password), k.salt, passTime, k.memory, passLanes, passKey), nil
}

// turn waits for a turn of a network, until ctx ends (kind TooMany). done ends it.
func (p *passwords) turn(ctx context.Context, of string) (done func(), err error) {
	s := p.sit(of)
	for i, c := range []chan struct{}{s.free, p.turns} {
		select {
		case c <- struct{}{}:
		case <-ctx.Done():
			if i > 0 {
				<-s.free
			}
			p.rise(of, s)
			return nil, &problem.Error{Kind: problem.TooMany, What: "sign in", Why: "too many sign in at the same time", Hint: "try again in a moment"}
		}
	}
	return func() {
		<-p.turns
		<-s.free
		p.rise(of, s)
	}, nil
}

func (p *passwords) sit(of string) *seat {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.seats[of]
	if s == nil {
		s = &seat{free: make(chan struct{}, 1)}
		p.seats[of] = s
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
