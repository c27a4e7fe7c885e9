package console

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"holdfast/internal/mes"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// understandAll finds what each of the terms stands for that AND and NOT, in capitals, are between: BIKE AND period NOT 1000042.
func (c *Console) understandAll(ctx context.Context, tx *store.Tx, q query) (all []outbox.Either, meant string, err error) {
	words := strings.ReplaceAll(" "+q.Words, " NOT ", " AND  NOT ")
	var says []string
	for term := range strings.SplitSeq(words, " AND ") {
		one := q
		var not bool
		one.Words, not = strings.CutPrefix(term, " NOT ")
		if one.Words = strings.TrimSpace(one.Words); one.Words == "" {
			continue
		}
		s, what, err := c.understand(ctx, tx, one)
		if err != nil {
			return nil, "", err
		}
		e := outbox.Either{Lanes: s.Lanes, IDs: s.IDs, Not: not}
		if q.State == "stuck" && len(s.Lanes)+len(s.IDs) == 0 {
			e.Like, what = "%"+outbox.Pattern(one.Words)+"%", "a word of the reason"
		}
		if not {
			what = "not " + what
		}
		all, says = append(all, e), append(says, what)
	}
	return all, strings.Join(says, ", and "), nil
}

// understand finds what the words of a search stand for: an ID, a number of an order, a document of the ERP, a material or a batch.
func (c *Console) understand(ctx context.Context, tx *store.Tx, q query) (outbox.Search, string, error) {
	none := outbox.Nobody()
	if q.State == "stuck" {
		none = outbox.Search{} // then it is a word of the reason
	}
	if _, err := uuid.Parse(q.Words); err == nil {
		ids := []string{q.Words}
		for _, l := range c.cfg.Links {
			ids = append(ids, outbox.MessageID(l.Name, q.Words))
		}
		return outbox.Search{Lanes: []string{q.Words}, IDs: ids}, "an ID", nil
	}
	for _, f := range []struct {
		orders mes.OrderFilter
		meant  string
	}{{mes.OrderFilter{Number: q.Words}, "the number of an order"}, {mes.OrderFilter{Material: q.Words}, "a material"}} {
		orders, err := everyOne(q.Words, func(page mes.Page) (mes.List[mes.Order], error) { return c.Plant.Orders(ctx, tx, f.orders, page) })
		if err != nil {
			return none, "", err
		}
		if s := (outbox.Search{}); len(orders) > 0 {
			for _, o := range orders {
				s.Lanes = append(s.Lanes, o.ID)
			}
			return s, f.meant, nil
		}
	}
	return c.understandNumber(ctx, tx, q.Words, none)
}

// understandNumber finds what the ERP or a label has given: a document, or a batch.
func (c *Console) understandNumber(ctx context.Context, tx *store.Tx, word string, none outbox.Search) (outbox.Search, string, error) {
	lanes, ids, err := c.Outbox.Named(ctx, tx, word)
	if err != nil {
		return none, "", err
	}
	if len(lanes)+len(ids) > 0 {
		return outbox.Search{Lanes: lanes, IDs: ids}, "a document of the ERP", nil
	}
	s := outbox.Search{}
	moves, err := everyOne(word, func(page mes.Page) (mes.List[mes.Movement], error) {
		return c.Plant.Movements(ctx, tx, mes.MovementFilter{Batch: word}, page)
	})
	if err != nil {
		return none, "", err
	}
	for _, m := range moves {
		for _, l := range c.cfg.Links {
			s.IDs = append(s.IDs, outbox.MessageID(l.Name, m.ID))
		}
	}
	lots, err := everyOne(word, func(page mes.Page) (mes.List[mes.Lot], error) {
		return c.Plant.Lots(ctx, tx, mes.LotFilter{Number: word}, page)
	})
	if err != nil {
		return none, "", err
	}
	for _, l := range lots {
		s.Lanes = append(s.Lanes, l.ID)
	}
	if len(s.Lanes)+len(s.IDs) > 0 {
		return s, "a batch", nil
	}
	return none, "nothing that the plant knows", nil
}

// mostMeant bounds what one word of a search may stand for: each is a parameter of the statement that looks for its messages.
const mostMeant = 2_000

// everyOne lists all that a word stands for. Of more than mostMeant it is an error of kind Invalid: a list that passed some over would be taken for
// the whole, and what NOT leaves out would be in it.
func everyOne[T any](word string, list func(page mes.Page) (mes.List[T], error)) (all []T, err error) {
	for page := (mes.Page{Limit: 500}); ; {
		some, err := list(page)
		if err != nil {
			return nil, err
		}
		all = append(all, some.Items...)
		if page.Cursor = some.Next; page.Cursor == "" {
			return all, nil
		}
		if len(all) >= mostMeant {
			return nil, &problem.Error{
				Kind: problem.Invalid, What: "search for " + word, Why: fmt.Sprintf("it stands for more than %d orders, movements or batches of the plant", mostMeant),
				Hint: "search for the number of one order, or leave the word out and choose by kind, link and time",
			}
		}
	}
}
