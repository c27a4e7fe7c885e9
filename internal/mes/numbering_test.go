package mes_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/internal/mes"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// owing is a plant over a real outbox, whose one link is erp.
type owing struct {
	*plant
	box *outbox.Outbox
	log chan string // the messages of warnings
}

// appender is the outbox as the plant sees it.
type appender struct{ *outbox.Outbox }

func (a appender) Append(ctx context.Context, tx *store.Tx, m message.Message) error {
	return a.Outbox.Append(ctx, tx, m)
}

func openOwing(t *testing.T, db *store.DB) *owing {
	p := &owing{plant: open(t, db), log: make(chan string, 100)}
	p.box = outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp"}}, "urn:plant", outbox.Config{})
	p.Plant = mes.New(appender{p.box}, mes.Config{Zone: berlin, References: p.box})
	return p
}

// warnings is a log that a test reads.
type warnings struct {
	slog.Handler
	into chan<- string
}

func (w warnings) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	w.into <- text
	return nil
}

// numbering marks the context of a Numbering: what it asks the database is not what the test asks.
type numbering struct{}

// run has a Numbering work until the function returned is called.
func (p *owing) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.WithValue(p.t.Context(), numbering{}, true))
	done := make(chan error)
	log := slog.New(warnings{slog.NewTextHandler(p.t.Output(), nil), p.log})
	go func() { done <- mes.NewNumbering(p.db, p.Plant, p.box, log).Run(ctx) }()
	return func() {
		p.t.Helper()
		cancel()
		if err := <-done; err != nil {
			p.t.Error(err)
		}
	}
}

// answer settles what the lane owes; the ERP has given its first message's object this number.
func (p *owing) answer(lane, number string) {
	p.t.Helper()
	err := p.db.InTx(p.t.Context(), func(tx *store.Tx) error {
		claims, err := p.box.Claim(p.t.Context(), tx, "n1", "erp", 100, 1)
		if err != nil {
			return err
		}
		var all []outbox.Settlement
		for _, c := range claims {
			s := outbox.Settlement{Lane: c.Lane, Token: c.Token, Release: true}
			if q := c.Messages[0]; c.Lane == lane {
				s.Done = []outbox.Done{{ID: q.ID, Redelivery: q.Redelivery, Role: q.Role, Creates: q.Creates, Receipt: message.Receipt{Document: number, At: now}}}
			}
			all = append(all, s)
		}
		_, _, err = p.box.Settle(p.t.Context(), tx, "erp", all)
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// until waits for something that another goroutine brings about.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(2 * time.Minute); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func (p *owing) untold() (refs []outbox.Reference) {
	return see(p.plant, func(ctx context.Context, tx *store.Tx) ([]outbox.Reference, error) {
		return p.box.Untold(ctx, tx, outbox.Reference{}, 100)
	})
}

func (p *owing) conflicts() []mes.Conflicted {
	return see(p.plant, func(ctx context.Context, tx *store.Tx) ([]mes.Conflicted, error) { return p.Conflicts(ctx, tx, 100) })
}

func TestAReceiptNumbersWhatThePlantMade(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := openOwing(t, db)
		before := must(p.plant, p.CreateOrder, mes.NewOrder{Material: "PUMP", Quantity: d("10")})
		lot := must(p.plant, p.CreateLot, mes.NewLot{Material: "CAST"})
		p.answer(before.ID, "4711") // and then the process ends: nobody has told the plant
		if got := p.order(before.ID).ERPNumber; got != "" || len(p.untold()) != 1 {
			t.Fatalf("got number %q and %v untold, want none and one", got, p.untold())
		}
		for _, stop := range []func(){p.run(), p.run()} { // two nodes
			defer stop()
		}
		until(t, "the number of the time before", func() bool { return p.order(before.ID).ERPNumber == "4711" })

		after := must(p.plant, p.CreateOrder, mes.NewOrder{Material: "PUMP", Quantity: d("10")})
		p.answer(after.ID, "4712")
		p.answer(lot.ID, "B1")
		until(t, "the numbers of now", func() bool {
			l := see(p.plant, func(ctx context.Context, tx *store.Tx) (mes.Lot, error) { return p.Lot(ctx, tx, lot.ID) })
			return p.order(after.ID).ERPNumber == "4712" && l.ERPNumber == "B1" && l.Version == lot.Version+1 && len(p.untold()) == 0
		})
		if o := p.order(before.ID); o.Number != "4711" || o.PlantNumber != before.Number || o.Version != before.Version+1 || o.Notes != nil {
			t.Errorf("got %+v, want number 4711 beside %s, told once", o, before.Number)
		}
	}, storetest.WithClock(func() time.Time { return now }))
}

// TestNumberingThatFailsAtAnyStatementIsMadeGood: whatever is left undone is done at the next start, once.
func TestNumberingThatFailsAtAnyStatementIsMadeGood(t *testing.T) {
	var at, n atomic.Int64 // the statement that fails; -1 is none
	at.Store(-1)
	hook := storetest.WithBefore(func(ctx context.Context, statement string) error {
		numbers := ctx.Value(numbering{}) != nil && (strings.Contains(statement, "told") || strings.Contains(statement, "plant_order"))
		if numbers && at.Load() >= 0 && n.Add(1) == at.Load()+1 {
			return errors.New("the disk is gone")
		}
		return nil
	})
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := openOwing(t, db)
		failed := 0
		for k := range int64(8) {
			o := must(p.plant, p.CreateOrder, mes.NewOrder{Material: "PUMP", Quantity: d("10")})
			p.answer(o.ID, o.ID[:13])
			n.Store(0)
			at.Store(k)
			stop := p.run()
			until(t, "a failure, or the end of the telling where there are fewer statements", func() bool {
				select {
				case text := <-p.log:
					failed++
					if untold := p.untold(); !strings.Contains(text, "the disk is gone") || len(untold) != 1 {
						t.Errorf("statement %d: got %q logged, and %v are untold, want one", k, text, untold)
					}
					return true
				default:
					return len(p.untold()) == 0
				}
			})
			at.Store(-1)
			stop()
			stop = p.run()
			until(t, "the number", func() bool { return len(p.untold()) == 0 })
			stop()
			if got := p.order(o.ID); got.ERPNumber != o.ID[:13] || got.Version != o.Version+1 {
				t.Errorf("got number %q, version %d, want it numbered once", got.ERPNumber, got.Version)
			}
		}
		if failed < 5 {
			t.Errorf("%d statements failed, want every one of the telling", failed)
		}
	}, storetest.WithClock(func() time.Time { return now }), hook)
}

// TestANumberThatDoesNotFitIsNoted: the receipt stands, a person sees it on the order and in the log, and it is not told again.
func TestANumberThatDoesNotFitIsNoted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := openOwing(t, db)
		o := must(p.plant, p.CreateOrder, mes.NewOrder{Material: "PUMP", Quantity: d("10")})
		lot := must(p.plant, p.CreateLot, mes.NewLot{Material: "CAST"})
		twin := p.erpOrder()
		p.apply(mes.OrderReleasedKind, twin) // the ERP sent what the plant made, and did not say whose it is
		p.answer(o.ID, twin.ERPNumber)
		stop := p.run()
		defer stop()
		if got := <-p.log; !strings.Contains(got, "does not fit") || !strings.Contains(got, twin.ERPNumber) {
			t.Errorf("got %q logged, want the number that does not fit", got)
		}
		until(t, "the note", func() bool { return len(p.untold()) == 0 })
		got := p.order(o.ID)
		if len(got.Notes) != 1 || got.Notes[0].Code != mes.NumberConflict || !strings.Contains(got.Notes[0].Text, p.numbered(twin.ERPNumber).ID) || got.ERPNumber != "" {
			t.Errorf("got %+v, want one note that names the twin", got)
		}
		want := []mes.Conflicted{{Sort: "order", ID: o.ID, Number: o.Number}}
		if got := p.conflicts(); !slices.Equal(got, want) {
			t.Errorf("got %+v listed for a person, want %+v", got, want)
		}
		must(p.plant, p.CompleteOrder, mes.OrderAct{Order: o.ID})
		if got := p.conflicts(); len(got) != 0 {
			t.Errorf("got %+v listed of a closed order, want none", got)
		}
		p.answer(lot.ID, "B1")
		until(t, "the lot's number", func() bool { return len(p.untold()) == 0 })
		err := p.db.InTx(t.Context(), func(tx *store.Tx) error { return p.Numbered(t.Context(), tx, "lot/"+lot.ID, "B2") })
		refused(t, err, "conflict", "the ERP calls it B1 already")
		if len(p.log) != 0 {
			t.Errorf("got %q logged, want nothing more", <-p.log)
		}
	}, storetest.WithClock(func() time.Time { return now }))
}

// replay has the message that created lane delivered again; the ERP, which no longer had it, gives it this number.
func (p *owing) replay(lane, number string) {
	p.t.Helper()
	err := p.db.InTx(p.t.Context(), func(tx *store.Tx) error {
		_, err := p.box.Replay(p.t.Context(), tx, "erp", lane, outbox.Range{From: 1, To: 1}, "the ERP was restored from last night")
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.answer(lane, number)
}

func (p *owing) reference(object string) string {
	return see(p.plant, func(ctx context.Context, tx *store.Tx) (string, error) {
		number, _, err := p.box.Reference(ctx, tx, "erp", object)
		return number, err
	})
}

// TestAReplayThatGetsAnotherNumberIsOneThing: messages go to the new number, the plant has it too, and a person is told of both. An
// answer with the same number changes nothing.
func TestAReplayThatGetsAnotherNumberIsOneThing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := openOwing(t, db)
		o := must(p.plant, p.CreateOrder, mes.NewOrder{Material: "PUMP", Quantity: d("10")})
		lot := must(p.plant, p.CreateLot, mes.NewLot{Material: "CAST"})
		p.answer(o.ID, "4711")
		p.answer(lot.ID, "B1")
		stop := p.run()
		defer stop()
		until(t, "the first numbers", func() bool { return len(p.untold()) == 0 })
		p.replay(o.ID, "4711")
		if got := p.untold(); len(got) != 0 {
			t.Errorf("got %v untold after a replay that the ERP knew, want none", got)
		}
		p.replay(o.ID, "5000")
		p.replay(lot.ID, "B9")
		until(t, "the numbers of the replay", func() bool { return len(p.untold()) == 0 })
		got := p.order(o.ID)
		l := see(p.plant, func(ctx context.Context, tx *store.Tx) (mes.Lot, error) { return p.Lot(ctx, tx, lot.ID) })
		if got.ERPNumber != "5000" || got.Number != "5000" || p.reference("order/"+o.ID) != "5000" || got.PlantNumber != o.PlantNumber {
			t.Errorf("got order %+v and reference %s, want 5000 in both", got, p.reference("order/"+o.ID))
		}
		if l.ERPNumber != "B9" || p.reference("lot/"+lot.ID) != "B9" {
			t.Errorf("got lot %+v and reference %s, want B9 in both", l, p.reference("lot/"+lot.ID))
		}
		for _, notes := range [][]mes.Note{got.Notes, l.Notes} {
			if len(notes) != 1 || notes[0].Code != mes.NumberConflict || !strings.Contains(notes[0].Text, "before it was sent again") {
				t.Errorf("got notes %+v, want one that tells of the replay", notes)
			}
		}
		want := []mes.Conflicted{{Sort: "order", ID: o.ID, Number: "5000"}, {Sort: "lot", ID: lot.ID, Number: lot.Number}}
		if got := p.conflicts(); !slices.Equal(got, want) {
			t.Errorf("got %+v listed for a person, want %+v", got, want)
		}
		p.dismisses(lot.ID, want[0])
	}, storetest.WithClock(func() time.Time { return now }))
}

// dismisses has a person dismiss a lot's conflict: once, with the notes kept and what else is listed left alone.
func (p *owing) dismisses(lot string, rest ...mes.Conflicted) {
	p.t.Helper()
	dismiss := func(tx *store.Tx) error {
		_, err := p.DismissConflict(p.t.Context(), tx, "lot", lot)
		return err
	}
	if err := p.db.InTx(p.t.Context(), dismiss); err != nil {
		p.t.Fatal(err)
	}
	l := see(p.plant, func(ctx context.Context, tx *store.Tx) (mes.Lot, error) { return p.Lot(ctx, tx, lot) })
	if got := p.conflicts(); !slices.Equal(got, rest) || len(l.Notes) != 1 {
		p.t.Errorf("got %+v listed and notes %+v after it was dismissed, want %+v, and the note kept", got, l.Notes, rest)
	}
	refused(p.t, p.db.InTx(p.t.Context(), dismiss), problem.NotFound, "dismissed before")
}

// TestAReceiptDoesNotRenameWhatTheERPHasSent: the ERP sent the order under a number of its own; the answer to its creation, which was
// not replayed, gives another. The first stands, for messages as for the plant, and the second is told.
func TestAReceiptDoesNotRenameWhatTheERPHasSent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := openOwing(t, db)
		o := must(p.plant, p.CreateOrder, mes.NewOrder{Material: "PUMP", Quantity: d("10")})
		e := mes.ERPOrder{ERPNumber: "4711", ExternalID: o.PlantNumber, ERPVersion: "1", Quantity: ptr(d("10")), Start: o.Start, End: o.End}
		p.apply(mes.OrderReleasedKind, e)
		err := p.db.InTx(t.Context(), func(tx *store.Tx) error { return p.box.SetReference(t.Context(), tx, "erp", "order/"+o.ID, "4711") })
		if err != nil {
			t.Fatal(err)
		}
		p.answer(o.ID, "4712")
		stop := p.run()
		defer stop()
		until(t, "the second number", func() bool { return len(p.untold()) == 0 })
		got := p.order(o.ID)
		if got.ERPNumber != "4711" || p.reference("order/"+o.ID) != "4711" {
			t.Errorf("got number %s and reference %s, want 4711 in both", got.ERPNumber, p.reference("order/"+o.ID))
		}
		if len(got.Notes) != 1 || got.Notes[0].Code != mes.NumberConflict || !strings.Contains(got.Notes[0].Text, "4712") || len(p.conflicts()) != 1 {
			t.Errorf("got notes %+v, listed %+v, want one that names 4712", got.Notes, p.conflicts())
		}
	}, storetest.WithClock(func() time.Time { return now }))
}

// TestANumberIsOneWithAndWithoutItsZeros: SAP's IDocs fill the number of an order with zeros, its services leave them out. No other number is taken
// for one with zeros.
func TestANumberIsOneWithAndWithoutItsZeros(t *testing.T) {
	each(t, func(p *plant) {
		e := p.erpOrder()
		e.ERPNumber = "000001000042"
		p.apply(mes.OrderReleasedKind, e)
		find := func(number string) mes.Order {
			return see(p, func(ctx context.Context, tx *store.Tx) (mes.Order, error) { return p.OrderByNumber(ctx, tx, number) })
		}
		was := find(e.ERPNumber)
		e.ERPNumber, e.Quantity = "1000042", ptr(d("11"))
		p.apply(mes.OrderReleasedKind, e)
		if now := find("000001000042"); now.ID != was.ID || now.Quantity.Cmp(d("11")) != 0 || now.ERPNumber != was.ERPNumber {
			p.t.Errorf("by its other number, order %+v became %+v", was, now)
		}
		err := p.db.InTx(p.t.Context(), func(tx *store.Tx) error { return p.Numbered(p.t.Context(), tx, "order/"+was.ID, "1000042") })
		if err != nil {
			p.t.Errorf("a receipt with its other number: %v", err)
		}
		for _, other := range []string{"01000042", "00001000042", "1000042X", "10000420000"} {
			e.ERPNumber = other
			p.apply(mes.OrderReleasedKind, e)
			if got := find(other); got.ID == was.ID {
				p.t.Errorf("%s is taken for %s", other, was.ERPNumber)
			}
		}
	})
}
