// Package token has tokens stand for what nobody needs to know who works with messages, such as personnel numbers.
//
// # Guarantees
//
//   - One value of a class has one token for as long as it is kept, whichever node sees it first and however the purpose key is rotated.
//   - A token says nothing: it is made by chance. What it stands for is sealed in the database, and found by an HMAC under a purpose key that
//     is sealed too; nothing is kept where nothing can be sealed.
//   - Once a token is forgotten (Forget) nobody tells what it stood for, and the same value gets another.
//
// The package owns the tables tokens, token_keys and token_looks; nothing else reads or writes them.
package token

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"database/sql"
	"encoding/base32"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// Prefix begins every token.
const Prefix = "tok_"

var pattern = regexp.MustCompile(`^` + Prefix + `[a-z2-7]{26}$`)

// Is tells whether a text has the form of a token.
func Is(text string) bool { return pattern.MatchString(text) }

// Config is what a plant counts as sensitive; the zero Config is nothing.
type Config struct {
	// Fields are the fields of each class of values, whose values have tokens of their own: a name, wherever it stands in a document, or the
	// last names of a path, such as "confirmation/personnel". Lists count for nothing. Capitals and small letters are alike.
	Fields map[string][]string
	Looks  int64 // how many tokens one person may look up in an hour; default 20
}

// Tokens makes tokens and tells what they stand for. It is safe for use by many goroutines and, through the database, by many nodes.
type Tokens struct {
	marks []mark
	looks int64

	mu    sync.RWMutex
	seeds map[string][]byte // of the purpose keys, by their sealed form: a key of one number may be undone, and made anew; guarded by mu

	alarm  Alarm // nil: nobody is told
	untold untold
}

// New returns Tokens.
func New(cfg Config) *Tokens {
	return &Tokens{marks: marksOf(cfg.Fields), looks: cmp.Or(cfg.Looks, 20), seeds: map[string][]byte{}}
}

// On tells whether anything is sensitive.
func (t *Tokens) On() bool { return t != nil && len(t.marks) > 0 }

// Classes are those that are configured.
func (t *Tokens) Classes() []string {
	var all []string
	for _, m := range t.marks {
		all = append(all, m.class)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// row is a token with what it stands for.
type row struct {
	Token  string
	Class  string
	Value  []byte
	Sealed int64
}

func (r row) cell() store.Cell {
	return store.Cell{Table: "tokens", Row: r.Token, Bound: [][]byte{[]byte(r.Class)}}
}

// open is what r stands for.
func (t *Tokens) open(ctx context.Context, tx *store.Tx, r row) (string, error) {
	if r.Sealed == 0 { // whoever can write here could else have another value delivered
		return "", t.altered(r.Token)
	}
	value, err := tx.Unseal(ctx, r.cell(), r.Sealed, r.Value)
	if problem.KindOf(err) == problem.Integrity {
		err = t.altered(r.Token)
	}
	return string(value), err
}

// Of is the token of a value, made if there is none yet. What is a token already stays as it is.
func (t *Tokens) Of(ctx context.Context, tx *store.Tx, class, value string) (string, error) {
	if value == "" || Is(value) {
		return value, nil
	}
	if known, err := t.find(ctx, tx, class, value); known != "" || err != nil {
		return known, err
	}
	last, err := t.lock(ctx, tx)
	if err != nil {
		return "", err
	}
	if known, err := t.find(ctx, tx, class, value); known != "" || err != nil { // another node was faster
		return known, err
	}
	return t.make(ctx, tx, last, class, value)
}

// Find is the token of a value; NotFound if it has none.
func (t *Tokens) Find(ctx context.Context, tx *store.Tx, class, value string) (string, error) {
	token, err := t.find(ctx, tx, class, value)
	if err == nil && token == "" {
		err = &problem.Error{Kind: problem.NotFound, What: "find the token of a " + class, Why: "the plant knows no such value", Hint: "write it as the shop floor does"}
	}
	return token, err
}

// find is the token of a value, "" if it has none. What is found must open to the value: lookup alone could be moved to another's row.
func (t *Tokens) find(ctx context.Context, tx *store.Tx, class, value string) (string, error) {
	keys, err := t.keys(ctx, tx)
	if err != nil || len(keys) == 0 {
		return "", err
	}
	lookups := make([][]byte, 0, len(keys))
	for _, k := range keys {
		l, err := lookup(k.seed, class, value)
		if err != nil {
			return "", err
		}
		lookups = append(lookups, l)
	}
	query, args, err := tx.In(`SELECT token, class, value, sealed FROM tokens WHERE class = ? AND lookup IN (?)`, class, lookups)
	if err != nil {
		return "", err
	}
	var r row
	if err := tx.Get(ctx, &r, query, args...); errors.Is(err, sql.ErrNoRows) {
		return "", nil
	} else if err != nil {
		return "", fmt.Errorf("look for the token of a %s: %w", class, err)
	}
	is, err := t.open(ctx, tx, r)
	if err == nil && subtle.ConstantTimeCompare([]byte(is), []byte(value)) != 1 {
		err = t.altered(r.Token)
	}
	return r.Token, err
}

func lookup(seed []byte, class, value string) ([]byte, error) {
	return seal.PurposeMAC(seed, "token", []byte(class), []byte(value))
}

// make keeps a new token. The key is locked: nobody else makes one.
func (t *Tokens) make(ctx context.Context, tx *store.Tx, by key, class, value string) (string, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	r := row{Token: Prefix + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b)), Class: class}
	sealed, epoch, err := sealOrRefuse(ctx, tx, r.cell(), []byte(value))
	if err != nil {
		return "", err
	}
	l, err := lookup(by.seed, class, value)
	if err != nil {
		return "", err
	}
	_, err = tx.Exec(ctx, `INSERT INTO tokens (token, class, key, lookup, value, sealed, made_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		r.Token, class, by.id, l, sealed, epoch, store.Micros(tx.Now))
	if err != nil {
		return "", fmt.Errorf("keep a token: %w", err)
	}
	return r.Token, nil
}

// sealOrRefuse seals what is never kept as it is.
func sealOrRefuse(ctx context.Context, tx *store.Tx, c store.Cell, plain []byte) ([]byte, int64, error) {
	sealed, epoch, err := tx.Seal(ctx, c, plain)
	if err == nil && epoch == 0 {
		err = &problem.Error{
			Kind: problem.Unavailable, What: "have a token stand for a sensitive value", Why: "the plant does not seal what it keeps yet",
			Hint: "see holdfast doctor; on PostgreSQL a plant that has messages begins by holdfast keys reseal",
		}
	}
	return sealed, epoch, err
}

// Value is what a token stands for, and its class; NotFound if it is no token of the plant, or was forgotten.
func (t *Tokens) Value(ctx context.Context, tx *store.Tx, token string) (class, value string, err error) {
	var r row
	if err := tx.Get(ctx, &r, `SELECT token, class, value, sealed FROM tokens WHERE token = ?`, token); errors.Is(err, sql.ErrNoRows) {
		return "", "", notFound("show what a token stands for")
	} else if err != nil {
		return "", "", fmt.Errorf("read a token: %w", err)
	}
	value, err = t.open(ctx, tx, r)
	return r.Class, value, err
}

func notFound(what string) error {
	return &problem.Error{
		Kind: problem.NotFound, What: what, Why: "the plant has no such token, or what it stood for was destroyed", Hint: "copy the token whole, with " + Prefix,
	}
}

// Forget destroys what a token stands for: every message that has it is anonymous from then on, and still proves whole. It is what makes a
// person unknown (crypto-shredding): whoever shreds a person finds the token first (Find, or is given it), calls this in the transaction of
// the audit entry, and names the token there, never the value. Messages that are still owed go out with the token. Copies of the database
// from before keep the row, sealed, until they expire or the wrapping key's earlier versions are refused.
func (t *Tokens) Forget(ctx context.Context, tx *store.Tx, token string) error {
	n, err := tx.Exec(ctx, `DELETE FROM tokens WHERE token = ?`, token)
	if err != nil {
		return fmt.Errorf("forget a token: %w", err)
	}
	if n == 0 {
		return notFound("destroy what a token stands for")
	}
	return nil
}

// keyRow is the sealed seed of a purpose key.
type keyRow struct {
	ID     int64
	Seed   []byte
	Sealed int64
}

func cellOfKey(id int64) store.Cell {
	return store.Cell{Table: "token_keys", Row: strconv.FormatInt(id, 10)}
}

// key is a purpose key.
type key struct {
	id   int64
	seed []byte
}

// keys are those by which lookups were made, the last first.
func (t *Tokens) keys(ctx context.Context, tx *store.Tx) ([]key, error) {
	var rows []keyRow
	if err := tx.Select(ctx, &rows, `SELECT id, seed, sealed FROM token_keys ORDER BY id DESC`); err != nil {
		return nil, fmt.Errorf("read the keys of tokens: %w", err)
	}
	keys := make([]key, 0, len(rows))
	for _, r := range rows {
		seed, err := t.seed(ctx, tx, r)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key{r.ID, seed})
	}
	return keys, nil
}

func (t *Tokens) seed(ctx context.Context, tx *store.Tx, r keyRow) ([]byte, error) {
	if r.Sealed == 0 {
		return nil, t.altered(keyName)
	}
	as := fmt.Sprintf("%d/%d/%s", r.ID, r.Sealed, r.Seed)
	t.mu.RLock()
	seed := t.seeds[as]
	t.mu.RUnlock()
	if seed != nil {
		return seed, nil
	}
	seed, err := tx.Unseal(ctx, cellOfKey(r.ID), r.Sealed, r.Seed)
	if problem.KindOf(err) == problem.Integrity {
		err = t.altered(keyName)
	}
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.seeds) > mostSeeds {
		clear(t.seeds)
	}
	t.seeds[as] = seed
	return seed, nil
}

// mostSeeds bounds what is remembered: there are two keys at most, each sealed anew when epochs turn.
const mostSeeds = 16

// lock gives the last key, made if there is none, and has no other transaction make a token or a key until this one ends.
func (t *Tokens) lock(ctx context.Context, tx *store.Tx) (last key, err error) {
	const query = `SELECT id FROM token_keys ORDER BY id DESC LIMIT 1`
	var id int64
	for range 2 { // one that waited for another's new key sees it the second time
		err = tx.Get(ctx, &id, query+tx.ForUpdate())
		if errors.Is(err, sql.ErrNoRows) {
			if err = t.newKey(ctx, tx, 1); err == nil {
				err = tx.Get(ctx, &id, query+tx.ForUpdate())
			}
		}
		if err != nil {
			return key{}, fmt.Errorf("lock the key of tokens: %w", err)
		}
	}
	keys, err := t.keys(ctx, tx)
	if err != nil {
		return key{}, err
	}
	return keys[0], nil
}

// newKey keeps a new purpose key under an ID; of two that do so at once one wins.
func (t *Tokens) newKey(ctx context.Context, tx *store.Tx, id int64) error {
	seed, err := seal.NewPurposeSeed()
	if err != nil {
		return err
	}
	sealed, epoch, err := sealOrRefuse(ctx, tx, cellOfKey(id), seed)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO token_keys (id, seed, sealed, made_at) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`, id, sealed, epoch, store.Micros(tx.Now))
	return err
}
