package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"holdfast/internal/anomaly"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// AnomalyConfig says what becomes of reports that are far from what was usual. Without it nothing is judged or learned.
type AnomalyConfig struct {
	Policy anomaly.Action            `yaml:"policy"` // off, flag or hold
	Kinds  map[string]anomaly.Action `yaml:"kinds"`  // by kind of message
	Fields map[string]anomaly.Action `yaml:"fields"` // by field or rule
}

// watch is what judges the plant's reports; nil where nothing does.
func (c Config) watch() *anomaly.Watch {
	if c.Anomaly == nil {
		return nil
	}
	return anomaly.New(anomaly.Config(*c.Anomaly))
}

func (c Config) checkAnomaly(k *checker) {
	if c.Anomaly == nil {
		return
	}
	wrong := anomaly.Config(*c.Anomaly).Check()
	for _, key := range slices.Sorted(maps.Keys(wrong)) {
		if p, ok := errors.AsType[*problem.Error](wrong[key]); ok {
			k.wrong("anomaly."+key, p.Why, p.Hint)
		}
	}
}

// doubtful judges what the plant owes before it is owed: what is held is owed like everything else, and waits in its lane for a person.
func (o owing) doubtful(ctx context.Context, tx *store.Tx, m message.Message) ([]outbox.Option, error) {
	if o.watch == nil {
		return nil, nil
	}
	v, err := o.watch.Judge(ctx, tx, m)
	if err != nil || v.Action != anomaly.Hold {
		return nil, err
	}
	why := v.Words() + "; let it go with: holdfast anomaly accept " + m.ID
	if err := o.alerts.Raise(ctx, tx, "anomaly.held", "event/"+m.ID, errors.New(why)); err != nil {
		return nil, err
	}
	return []outbox.Option{outbox.Hold(why)}, nil
}

// tidies forgets the samples that are not needed any more, until ctx ends.
func (f *floors) tidies(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := f.db.InTx(ctx, func(tx *store.Tx) error { return f.watch.Tidy(ctx, tx) }); err != nil && ctx.Err() == nil {
			f.log.WarnContext(ctx, "samples of reports were not tidied", "part", "anomaly", "err", err)
		}
	}
}
