// Package anomaly doubts what the plant reports where it is far from what was usual, before an ERP is told.
//
// # Guarantees
//
//   - Nothing is changed and nothing is dropped: a doubtful report is flagged or held, and a person decides.
//   - What is usual is the exact median and median absolute deviation of the last samples of a material and operation; while these are
//     few, of the material, and else of the plant. A mean and its deviation would learn the errors that they should find.
//   - Learned is only what passed without doubt, or what a person let go with a reason. What is taken back is forgotten.
//   - What an order has made counts whether or not it was learned: all that was not taken back, and that nobody doubts to have been made.
//   - A sample is part of the transaction that its report is committed in, once for each event and item: a repetition, a rollback or a
//     second node counts nothing twice.
//   - A verdict keeps the profile by which it was made, so that it can be understood in three years.
//
// Quantities are read as exact decimals and are floats only in what is computed of them here (stat.go, words.go): nothing that is
// computed here enters a message.
//
// The package owns the tables anomaly_samples, anomaly_forgotten and anomaly_findings; nothing else reads or writes them.
package anomaly

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Action is what becomes of a doubtful report.
type Action string

// The actions, from the mildest.
const (
	Off  Action = "off"  // it is not judged
	Flag Action = "flag" // it is sent, and a person is told
	Hold Action = "hold" // it is not sent before a person has decided, and its lane waits
)

// Level is what a profile was made of.
type Level string

// The levels, from the nearest.
const (
	OfOperation Level = "operation" // reports of the material in the operation
	OfMaterial  Level = "material"  // of the material in any operation
	OfPlant     Level = "plant"     // of all materials
)

// Config says what becomes of what is doubtful. Zero fields mean the default.
type Config struct {
	Policy Action            // default Flag
	Kinds  map[string]Action // by kind of message: operation.confirmed, goods.issued
	Fields map[string]Action // by name, see Fields; it goes before Kinds, except that a kind that is off stays off
}

// Kinds are the kinds of message that are judged.
func Kinds() []string { return []string{"goods.issued", "operation.confirmed"} }

// Check tells what is wrong with a configuration, by key. Its errors are *problem.Error of kind Invalid.
func (c Config) Check() map[string]error {
	wrong := map[string]error{}
	bad := func(key, why, hint string) {
		wrong[key] = &problem.Error{Kind: problem.Invalid, What: "anomaly." + key, Why: why, Hint: hint}
	}
	try := func(key string, a Action) {
		if !slices.Contains([]Action{"", Off, Flag, Hold}, a) {
			bad(key, "it is none of off, flag, hold", "write one of these")
		}
	}
	try("policy", c.Policy)
	for _, name := range slices.Sorted(maps.Keys(c.Kinds)) {
		if try("kinds."+name, c.Kinds[name]); !slices.Contains(Kinds(), name) {
			bad("kinds."+name, "messages of this kind are not judged", "name one of "+strings.Join(Kinds(), ", "))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Fields)) {
		if try("fields."+name, c.Fields[name]); !slices.Contains(Fields(), name) {
			bad("fields."+name, "there is no such field", "name one of "+strings.Join(Fields(), ", "))
		}
	}
	return wrong
}

// action is what becomes of a report of a kind in which a field is doubtful. own is the field's default.
func (c Config) action(kind, field string, own Action) Action {
	if c.Kinds[kind] == Off {
		return Off
	}
	policy := cmp.Or(c.Policy, Flag)
	if policy == Off && c.Kinds[kind] == "" {
		own = Off
	}
	return cmp.Or(c.Fields[field], own, c.Kinds[kind], policy)
}

// Doubt is one thing that is doubtful about a report.
type Doubt struct {
	Field   string   `json:"field"`
	Words   string   `json:"words"` // what, what would be usual, and what it looks like
	Action  Action   `json:"action"`
	Item    string   `json:"item,omitempty"`    // of a movement
	Profile *Profile `json:"profile,omitempty"` // by which it was judged; nil for a rule that needs none
	Factor  string   `json:"factor,omitempty"`  // divided by it the value would be usual
}

// Verdict is what was found about one event.
type Verdict struct {
	Action Action // Off if nothing is doubtful
	Doubts []Doubt
}

// Words are all doubts in one sentence.
func (v Verdict) Words() string {
	var all []string
	for _, d := range v.Doubts {
		all = append(all, d.Words)
	}
	return strings.Join(all, "; and ")
}

// Watch judges and learns. It is safe for use by many goroutines: all that it knows is in the database.
type Watch struct{ cfg Config }

// New returns a Watch.
func New(cfg Config) *Watch { return &Watch{cfg} }

// Judge finds what is doubtful about a message that the plant is about to owe, and learns it if nothing is, within tx. A message of
// another kind, or one that cannot be read, has no doubts; an error is one of the database.
func (w *Watch) Judge(ctx context.Context, tx *store.Tx, m message.Message) (Verdict, error) {
	all, reverses := read(m)
	if reverses != "" {
		return Verdict{}, forget(ctx, tx, reverses)
	}
	v := Verdict{Action: Off}
	doubted := make([]int64, len(all))
	for i := range all {
		doubts, err := w.doubts(ctx, tx, &all[i], m.Kind)
		if err != nil {
			return Verdict{}, err
		}
		for _, d := range doubts {
			doubted[i] |= bit(d.Field)
			v.add(d)
		}
	}
	for i, f := range all {
		if err := f.insert(ctx, tx, m.ID, learns(v, doubted[i]), doubted[i]); err != nil {
			return Verdict{}, err
		}
	}
	if len(v.Doubts) == 0 {
		return v, nil
	}
	return v, all[0].find(ctx, tx, m, v)
}

func (v *Verdict) add(d Doubt) {
	v.Doubts = append(v.Doubts, d)
	if d.Action == Hold || v.Action == Off {
		v.Action = d.Action
	}
}

// learns tells whether a sample is learned at once: one that passed, but for when it came.
func learns(v Verdict, doubted int64) bool {
	return v.Action != Hold && passed(doubted)
}

// passed tells whether nothing was doubted of a sample, but for when it came.
func passed(doubted int64) bool { return doubted&^(bit(Interval.String())|bit(Duration.String())) == 0 }

// bit stands for a field, or a rule, in what was doubted of a sample. Releases before wrote that of Negative for every rule.
func bit(name string) int64 {
	switch name {
	case Duplicate:
		return 1 << 61
	case Sequence:
		return 1 << 60
	}
	for _, f := range judged() {
		if f.String() == name {
			return 1 << f
		}
	}
	return 1 << 62
}

// doubts judges one sample, filling in what follows from those before it.
func (w *Watch) doubts(ctx context.Context, tx *store.Tx, f *facts, kind string) ([]Doubt, error) {
	earlier, err := samplesOf(ctx, tx, f.Object)
	if err != nil {
		return nil, err
	}
	doubts := w.rules(f, earlier, kind)
	f.relate(earlier)
	rings := map[Level][]sampled{}
	for _, field := range judged() {
		a := w.cfg.action(kind, field.String(), field.rules().action)
		if _, says := field.scale(f.Values, 0); !says || a == Off {
			continue
		}
		p, err := w.profile(ctx, tx, f, field, rings)
		if err != nil {
			return nil, err
		}
		factor, doubtful := p.judge(field, f.Values)
		if !doubtful {
			continue
		}
		d := Doubt{Field: field.String(), Action: a, Item: f.Item, Profile: &p}
		if d.Words, d.Factor, err = f.words(ctx, tx, field, p, factor); err != nil {
			return nil, err
		}
		doubts = append(doubts, d)
	}
	return doubts, nil
}

// rules are the doubts that need no profile.
func (w *Watch) rules(f *facts, earlier []earlier, kind string) []Doubt {
	var all []Doubt
	doubt := func(name string, own Action, words string) {
		if a := w.cfg.action(kind, name, own); a != Off {
			all = append(all, Doubt{Field: name, Action: a, Item: f.Item, Words: words})
		}
	}
	if len(f.negative) > 0 {
		doubt(Negative, "", strings.Join(f.negative, " and ")+" below zero: take a report back with a reversal")
	}
	for _, e := range earlier {
		if e.Reversed || !e.sameWork(f) {
			continue
		}
		apart := f.at.Sub(store.FromMicros(e.PostedAt)).Abs()
		if e.Content == f.content && apart <= f.together() {
			doubt(Duplicate, "", fmt.Sprintf("says the same as event %s of %s earlier, as if it were entered twice", e.Event, apart.Round(time.Second)))
			break
		}
	}
	if last := lastOf(earlier, f); last != nil && f.at.Before(store.FromMicros(last.PostedAt)) {
		doubt(Sequence, Flag, fmt.Sprintf("is posted %s before event %s of the same order and operation, which came first, as if they were entered in another order",
			store.FromMicros(last.PostedAt).Sub(f.at).Round(time.Second), last.Event))
	}
	return all
}

// profile is what is usual of a field: of the material and operation, or while that has too few samples of what lies above it.
// Each ring is read once for all fields of a report.
func (w *Watch) profile(ctx context.Context, tx *store.Tx, f *facts, field Field, rings map[Level][]sampled) (p Profile, err error) {
	for _, level := range []Level{OfOperation, OfMaterial, OfPlant} {
		if _, read := rings[level]; !read {
			if rings[level], err = w.ring(ctx, tx, f, level); err != nil {
				return Profile{}, err
			}
		}
		p = profile(field, level, field.learned(rings[level]))
		if level != OfOperation && p.Count < enough {
			p.Count = 0 // above the operation there is no use in a few
		}
		if p.Count >= fewest {
			break
		}
	}
	return p, nil
}

// learned are the samples of a ring in which the field was not doubted.
func (f Field) learned(ring []sampled) []sampled {
	return slices.DeleteFunc(slices.Clone(ring), func(s sampled) bool { return s.doubted&(1<<f) != 0 })
}

// encode is the verdict as it is kept.
func (v Verdict) encode() ([]byte, error) {
	b, err := json.Marshal(v.Doubts)
	if err != nil {
		return nil, fmt.Errorf("write what is doubtful: %w", err)
	}
	return b, nil
}
