package anomaly

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"holdfast/internal/decimal"
	"holdfast/internal/message"
	"holdfast/internal/store"
)

// The kinds of samples.
const (
	kindConfirmation = "confirmation"
	kindIssue        = "issue"
)

// facts are what one sample is made of.
type facts struct {
	Kind, Item, Material, Operation, Object string
	Values                                  Values

	at       time.Time
	content  string // digest of all that it says
	unit     string
	timed    bool     // it says when the work began and ended
	negative []string // what is below zero
	work     string   // of an issue: the operation that it is for, "" for any
}

// body is what is read of the plant's events; see package mes for the whole.
type body struct {
	Order *struct {
		ID, Material, Unit string
	}
	Confirmation *struct {
		Operation                          string
		Booked                             struct{ Yield, Scrap, Rework decimal.Decimal }
		SetupTime, MachineTime, LabourTime decimal.Decimal
		TimeUnit, Personnel, Reverses      string
		Start, End, PostedAt               time.Time
	}
	Movement *struct {
		Reverses string
		PostedAt time.Time
		Items    []struct {
			Item, Material, Batch, BaseUnit, Operation string
			BaseQuantity                               decimal.Decimal
		}
	}
}

// read takes the samples out of a message; reverses is the event that it takes back.
func read(m message.Message) (all []facts, reverses string) {
	var b body
	if m.Body == nil || json.Unmarshal(m.Body, &b) != nil {
		return nil, ""
	}
	switch {
	case m.Kind == "confirmation.reversed" && b.Confirmation != nil:
		return nil, b.Confirmation.Reverses
	case m.Kind == "goods.reversed" && b.Movement != nil:
		return nil, b.Movement.Reverses
	case m.Kind == "operation.confirmed" && b.Confirmation != nil && b.Order != nil:
		return []facts{b.confirmation()}, ""
	case m.Kind == "goods.issued" && b.Movement != nil && b.Order != nil:
		return b.issues(), ""
	default:
		return nil, ""
	}
}

// confirmation is the sample of a confirmation.
func (b body) confirmation() facts {
	c := b.Confirmation
	f := facts{
		Kind: kindConfirmation, Material: b.Order.Material, Operation: c.Operation, Object: b.Order.ID, unit: b.Order.Unit,
		at: c.PostedAt, timed: !c.Start.IsZero(), Values: nothing(),
	}
	f.content = digest(f.Kind, f.Object, f.Operation, c.Booked, c.SetupTime, c.MachineTime, c.LabourTime, c.TimeUnit, c.Personnel, c.Start, c.End)
	pieces := c.Booked.Yield.Add(c.Booked.Scrap).Add(c.Booked.Rework)
	for _, n := range []struct {
		name  string
		field Field
		value decimal.Decimal
	}{
		{"yield", Yield, c.Booked.Yield},
		{"scrap", Scrap, c.Booked.Scrap},
		{"rework", Pieces, c.Booked.Rework},
		{"setup time", Setup, seconds(c.SetupTime, c.TimeUnit)},
		{"machine time", Machine, seconds(c.MachineTime, c.TimeUnit)},
		{"labour time", Labour, seconds(c.LabourTime, c.TimeUnit)},
	} {
		if f.Values.set(n.field, n.value); n.value.Sign() < 0 {
			f.negative = append(f.negative, n.name)
		}
	}
	f.Values.set(Pieces, pieces)
	f.Values.set(Duration, decimal.FromInt(int64(c.End.Sub(c.Start)/time.Second)))
	for _, field := range []Field{Setup, Machine, Labour, Duration} {
		f.Values.toMinutes(field)
	}
	for _, field := range []Field{Machine, Labour, Duration} {
		f.Values.per(field, field, Pieces)
	}
	return f
}

// times are the units of time that the plant knows, in seconds (package mes).
func times() map[string]int64 {
	return map[string]int64{"S": 1, "SEC": 1, "MIN": 60, "HUR": 3600, "H": 3600, "HR": 3600, "DAY": 86400, "D": 86400}
}

// seconds is a time in seconds; in a unit that is not known it is as good as not told.
func seconds(d decimal.Decimal, unit string) decimal.Decimal {
	q, err := d.Mul(decimal.FromInt(times()[strings.ToUpper(unit)]))
	if err != nil {
		return decimal.Decimal{}
	}
	return q
}

// issues are the samples of a movement: one for each component, whatever lots it came from.
func (b body) issues() []facts {
	var all []facts
	sums := map[string]int{}
	var exact []decimal.Decimal
	for _, it := range b.Movement.Items {
		key := it.Material + "\x00" + it.Operation
		i, seen := sums[key]
		if !seen {
			i = len(all)
			sums[key] = i
			all = append(all, facts{
				Kind: kindIssue, Item: it.Item, Material: it.Material, Operation: b.Order.Material + "/" + it.Operation, Object: b.Order.ID,
				unit: it.BaseUnit, at: b.Movement.PostedAt, work: it.Operation, Values: nothing(),
			})
			exact = append(exact, decimal.Decimal{})
		}
		exact[i] = exact[i].Add(it.BaseQuantity)
		all[i].content = digest(all[i].content, it.Material, it.Batch, it.Operation, it.BaseQuantity)
		if it.BaseQuantity.Sign() < 0 {
			all[i].negative = append(all[i].negative, "quantity")
		}
	}
	for i := range all {
		all[i].Values.set(Consumed, exact[i])
	}
	return all
}

func digest(parts ...any) string {
	sum := sha256.Sum256(fmt.Append(nil, parts...))
	return hex.EncodeToString(sum[:8])
}

// together is within what time two reports that say the same are one that was entered twice: where the work's own times are the same, a day.
func (f *facts) together() time.Duration {
	if f.timed {
		return 24 * time.Hour
	}
	return time.Minute
}

// sameWork tells whether an earlier sample is of the same sort, order and operation.
func (e earlier) sameWork(f *facts) bool {
	return e.Kind == f.Kind && e.Material == f.Material && e.Operation == f.Operation
}

// lastOf is the latest sample of the same work that was not doubted itself, nor taken back; nil for none.
func lastOf(all []earlier, f *facts) *earlier {
	for i, e := range all {
		if !e.Reversed && passed(e.Doubted) && e.sameWork(f) {
			return &all[i]
		}
	}
	return nil
}

// longestGap is how far apart two confirmations may be for their interval to say anything: beyond it lies a break or a night.
const longestGap = 8 * time.Hour

// relate fills in what follows from the samples of the same order before this one, the latest of which is the first.
func (f *facts) relate(all []earlier) {
	if f.Kind == kindConfirmation {
		if last := lastOf(all, f); last != nil {
			if gap := f.at.Sub(store.FromMicros(last.PostedAt)); gap > 0 && gap < longestGap {
				f.Values.set(Interval, decimal.FromInt(int64(gap/time.Second)))
				f.Values.toMinutes(Interval)
			}
		}
		return
	}
	f.Values[Pieces] = f.confirmed(all)
	f.Values.per(Consumption, Consumed, Pieces)
}

// confirmed is how many pieces an issue is for: those that were confirmed since the issue before it, in its operation or, where it names none, in the one
// that has most. It is no number while one of these confirmations may have told a wrong one: an issue would be doubted for the mistake of another report.
func (f *facts) confirmed(all []earlier) float64 {
	pieces, most := map[string]float64{}, ""
	for _, e := range all {
		if e.Reversed {
			continue
		}
		if e.sameWork(f) {
			break
		}
		if e.Kind != kindConfirmation || f.work != "" && e.Operation != f.work || e.Doubted&(bit(Negative)|bit(Duplicate)) != 0 {
			continue
		}
		v := valuesOf(e.Vals)
		if v.wrongPieces(e.Doubted) {
			return math.NaN()
		}
		if v.has(Pieces) {
			pieces[e.Operation] += v[Pieces]
		}
		if pieces[e.Operation] > pieces[most] {
			most = e.Operation
		}
	}
	return pieces[most]
}

// wrongPieces tells whether what was doubted of a confirmation may be its pieces: these themselves, or every time a piece where it tells several, which a
// wrong number of pieces moves all at once. One time that is far off is wrong itself.
func (v Values) wrongPieces(doubted int64) bool {
	if doubted&(bit(Yield.String())|bit(Scrap.String())) != 0 {
		return true
	}
	told, off := 0, 0
	for _, field := range []Field{Machine, Labour, Duration} {
		if v[field] > 0 {
			told++
			if doubted&bit(field.String()) != 0 {
				off++
			}
		}
	}
	return told > 1 && off == told
}
