package edition

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Keep keeps the files of an edition.
func Keep(ctx context.Context, tx *store.Tx, e Edition) error {
	if _, err := tx.Exec(ctx, insertEdition, e.Hash, e.files, store.Micros(tx.Now)); err != nil {
		return fmt.Errorf("keep edition %s of the mappings: %w", Short(e.Hash), err)
	}
	return nil
}

// Load reads an edition. Its files are held against its name.
func Load(ctx context.Context, tx *store.Tx, hash string) (Edition, error) {
	var files []byte
	err := tx.Get(ctx, &files, selectEdition, hash)
	if errors.Is(err, sql.ErrNoRows) {
		return Edition{}, none(hash)
	}
	if err != nil {
		return Edition{}, fmt.Errorf("read edition %s of the mappings: %w", Short(hash), err)
	}
	return unpack(hash, files)
}

func none(name string) error {
	return &problem.Error{
		Kind: problem.NotFound, What: "find edition " + name + " of the mappings", Why: "there is none of this name", Hint: "holdfast mapping history lists them",
	}
}

// leastName is how many letters of a hash name an edition.
const leastName = 6

// Find is the hash of the edition that a name stands for: used, tried, proposed, or the first letters of its hash.
func Find(ctx context.Context, tx *store.Tx, name string) (string, error) {
	s, err := Current(ctx, tx)
	if err != nil {
		return "", err
	}
	slots := map[string]Step{"used": s.Used, "tried": s.Tried, "proposed": s.Proposed}
	if step, ok := slots[name]; ok {
		if step.Edition == "" {
			return "", &problem.Error{Kind: problem.NotFound, What: "find the mappings that are " + name, Why: "none are " + name, Hint: "holdfast mapping history tells what was done"}
		}
		return step.Edition, nil
	}
	if len(name) < leastName {
		return "", none(name)
	}
	var found []string
	if err := tx.Select(ctx, &found, selectHashes, name, name); err != nil {
		return "", fmt.Errorf("find edition %s of the mappings: %w", name, err)
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", none(name)
	}
	return "", &problem.Error{Kind: problem.Conflict, What: "find edition " + name + " of the mappings", Why: "more than one begins with it", Hint: "give more letters of its hash"}
}

// Node is what one node maps by.
type Node struct {
	Name    string    `json:"node"`
	Used    string    `json:"used"`
	Tried   string    `json:"tried,omitempty"`
	Trouble string    `json:"trouble,omitempty"` // why it does not use or try what it should
	At      time.Time `json:"at"`
}

// Report keeps what a node maps by.
func Report(ctx context.Context, tx *store.Tx, n Node) error {
	if _, err := tx.Exec(ctx, upsertNode, n.Name, n.Used, n.Tried, n.Trouble, store.Micros(tx.Now)); err != nil {
		return fmt.Errorf("keep what node %s maps by: %w", n.Name, err)
	}
	return nil
}

// Nodes are those that have ever reported.
func Nodes(ctx context.Context, tx *store.Tx) ([]Node, error) {
	var rows []nodeRow
	if err := tx.Select(ctx, &rows, selectNodes); err != nil {
		return nil, fmt.Errorf("read what nodes map by: %w", err)
	}
	out := make([]Node, 0, len(rows))
	for _, r := range rows {
		out = append(out, Node{r.Node, r.Used, r.Tried, r.Trouble, store.FromMicros(r.At)})
	}
	return out, nil
}

// Trial is one message that the tried edition has mapped too.
type Trial struct {
	Mapping string    `json:"mapping"`
	Message string    `json:"message"`
	Kind    string    `json:"kind"`
	Link    string    `json:"link"`
	Places  []string  `json:"places"` // where its document is another one; none if it is the same
	At      time.Time `json:"at"`
}

// Tally is what came of trying a mapping.
type Tally struct {
	Mapping  string `json:"mapping"`
	Mapped   int64  `json:"mapped"`   // how often, a message that is tried again each time
	Differed int64  `json:"differed"` // how often to another document
}

// mostTrials is how many messages are kept whose documents differ.
const mostTrials = 1000

// Gathered is what has come of trying an edition and is not recorded yet. Every result counts, however long it waits; where documents differ is
// remembered of as many messages as are kept.
type Gathered struct {
	tallies map[string]Tally
	differ  map[[2]string]Trial // by mapping and message
}

// Add takes one result.
func (g *Gathered) Add(t Trial) {
	sum := Tally{Mapping: t.Mapping, Mapped: 1}
	if len(t.Places) > 0 {
		sum.Differed = 1
	}
	g.add(sum)
	if len(t.Places) > 0 {
		g.differs(t)
	}
}

// AddAll takes what came later.
func (g *Gathered) AddAll(later Gathered) {
	for _, sum := range later.tallies {
		g.add(sum)
	}
	for _, t := range later.differ {
		g.differs(t)
	}
}

// Mapped is how many results it has.
func (g *Gathered) Mapped() (n int64) {
	for _, sum := range g.tallies {
		n += sum.Mapped
	}
	return n
}

func (g *Gathered) add(sum Tally) {
	if g.tallies == nil {
		g.tallies, g.differ = map[string]Tally{}, map[[2]string]Trial{}
	}
	was := g.tallies[sum.Mapping]
	g.tallies[sum.Mapping] = Tally{sum.Mapping, was.Mapped + sum.Mapped, was.Differed + sum.Differed}
}

func (g *Gathered) differs(t Trial) {
	at := [2]string{t.Mapping, t.Message}
	if _, has := g.differ[at]; has || len(g.differ) < mostTrials {
		g.differ[at] = t
	}
}

// Record keeps what came of trying an edition. Of more than a thousand messages only the number is kept.
func Record(ctx context.Context, tx *store.Tx, hash string, g Gathered) error {
	var kept int
	if err := tx.Get(ctx, &kept, countTrialMessages, hash); err != nil {
		return fmt.Errorf("read what was tried: %w", err)
	}
	places := slices.SortedFunc(maps.Values(g.differ), func(a, b Trial) int {
		return cmp.Or(strings.Compare(a.Mapping, b.Mapping), strings.Compare(a.Message, b.Message))
	})
	for _, t := range places[:max(0, min(len(places), mostTrials-kept))] {
		if _, err := tx.Exec(ctx, insertTrialMessage, hash, t.Mapping, t.Message, t.Kind, t.Link, strings.Join(t.Places, "\n"), store.Micros(tx.Now)); err != nil {
			return fmt.Errorf("keep what was tried: %w", err)
		}
	}
	for _, mapping := range slices.Sorted(maps.Keys(g.tallies)) { // nodes that do this at the same time do it in one order
		sum := g.tallies[mapping]
		if _, err := tx.Exec(ctx, upsertTrial, hash, mapping, sum.Mapped, sum.Differed); err != nil {
			return fmt.Errorf("keep what was tried: %w", err)
		}
	}
	return nil
}

// Trials is what came of trying an edition: how many messages, and the latest of those whose documents differ and of whose link shown may be
// seen.
func Trials(ctx context.Context, tx *store.Tx, hash string, most int, shown func(link string) bool) (tallies []Tally, differing []Trial, err error) {
	var sums []trialRow
	var rows []trialMessageRow
	if err := errors.Join(tx.Select(ctx, &sums, selectTrials, hash), tx.Select(ctx, &rows, selectTrialMessages, hash, mostTrials)); err != nil {
		return nil, nil, fmt.Errorf("read what was tried: %w", err)
	}
	for _, r := range sums {
		tallies = append(tallies, Tally(r))
	}
	for _, r := range rows {
		if len(differing) == most {
			break
		}
		if !shown(r.Link) {
			continue
		}
		differing = append(differing, Trial{r.Mapping, r.Message, r.Kind, r.Link, strings.Split(r.Places, "\n"), store.FromMicros(r.At)})
	}
	return tallies, differing, nil
}
