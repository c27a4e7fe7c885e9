package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"holdfast/adapters/erpmock"
	"holdfast/cmd/holdfast/internal/torture"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/prove"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// originals keeps the signatures with which messages reach the ERP under torture. The ERP's keys are the plant's public ones, which it has
// at the end: by then nothing is away.
type originals struct {
	mu   sync.Mutex
	seen map[string]message.Message // by ID, as it came first; guarded by mu
	bad  []string                   // guarded by mu
}

// take implements erpmock.Origin: whatever is repeated has the signature that it had before, and is over what the request names.
func (o *originals) take(statement string, e erpmock.Entry) error {
	if err := o.note(statement, e); err != nil {
		o.mu.Lock()
		o.bad = append(o.bad, fmt.Sprintf("message %s in request %d: %s", e.MessageID, e.Seq, err))
		o.mu.Unlock()
		return err
	}
	return nil
}

func (o *originals) note(statement string, e erpmock.Entry) error {
	if statement == "" {
		return errors.New("it is not signed")
	}
	m, _, err := message.ParseStatement(statement)
	switch {
	case err != nil:
		return err
	case m.ID != e.MessageID || m.Digest() != e.Digest || m.Lane != e.Lane || m.Number != e.LaneNumber:
		return errors.New("what is signed is another message than the one that the request names")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if before, again := o.seen[m.ID]; again && (*before.Origin != *m.Origin || before.Digest() != m.Digest()) {
		return errors.New("it came with another signature before")
	}
	o.seen[m.ID] = m
	return nil
}

// judge holds what came against the plant's public keys, each message's neighbours in its lane, and the signature that was committed with it.
func (o *originals) judge(ctx context.Context, db *store.DB, trust *seal.Trust) (s torture.Signatures, err error) {
	witness := prove.NewWitness(func() (*seal.Trust, error) { return trust, nil })
	out := outbox.New(nil, "", outbox.Config{})
	o.mu.Lock()
	defer o.mu.Unlock()
	s = torture.Signatures{Verified: map[string]bool{}, Bad: o.bad}
	for id, m := range o.seen {
		var kept outbox.Detail
		err := db.View(ctx, func(tx *store.Tx) (err error) {
			kept, err = out.Message(ctx, tx, id)
			return err
		})
		if err != nil {
			return s, err
		}
		_, err = witness.Check(m)
		if err == nil && (kept.Origin == nil || *kept.Origin != *m.Origin) {
			err = errors.New("it was committed with another signature")
		}
		if err != nil {
			s.Bad = append(s.Bad, fmt.Sprintf("message %s: %s", id, err))
			continue
		}
		s.Verified[id] = true
	}
	return s, nil
}

// signatures judges with the public keys of the plant whose nodes have their files in dir.
func (o *originals) signatures(dir, database string) func(ctx context.Context) (torture.Signatures, error) {
	return func(ctx context.Context) (s torture.Signatures, err error) {
		cfg, err := loadConfig(filepath.Join(dir, "node-1.yaml"))
		if err != nil {
			return s, err
		}
		db, err := store.Open(ctx, besides(dir, database), store.Config{NoMigrate: true})
		if err != nil {
			return s, err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		cfg.sealLazily(db)
		r := records{cfg: cfg, db: db}
		b, _, err := r.bundle(ctx)
		if err != nil {
			return s, err
		}
		return o.judge(ctx, db, b.Trust())
	}
}
