package odata

import (
	"net/http"
	"time"

	"holdfast/adapters/odata/edm"
	"holdfast/adapters/wire"
)

// What was made and never changed may have no watermark: SAP gives it an empty change time. A reading from a watermark on does not find it, so that
// it is read by itself: after a minute, or longer where there is much of it, for it is known by its content alone and comes again each time.
const (
	neverEvery = time.Minute
	neverEach  = 100 * time.Millisecond // for each that there was
	neverAgain = time.Hour              // where the service refuses to be asked so
)

// digits of a change time of SAP's that was never set.
const noTime = "00000000000000"

// unchanged tells whether a watermark says that what has it was never changed.
func unchanged(watermark string) bool { return watermark == "" || watermark == noTime }

// neverDue tells whether what has no watermark is read now: between two readings, if a field of its type can have none.
func (p *Poll) neverDue(of *edm.Struct, at stand) bool {
	f, ok := of.Field(p.cfg.Watermark)
	return ok && (f.Type == "Edm.String" || f.Nullable) && at.since != "" && at.begun == "" && !at.anew && p.client.link.now().Unix() >= at.due
}

// never holds for what has no watermark.
func (p *Poll) never(m *edm.Model, of *edm.Struct) Condition {
	f, _ := of.Field(p.cfg.Watermark)
	null := Equal(f.Name, nil)
	if f.Type != "Edm.String" {
		return null
	}
	all := []Condition{Equal(f.Name, "")}
	if f.MaxLength == len(noTime) {
		all = append(all, Equal(f.Name, noTime))
	}
	if f.Nullable && m.Version == edm.V4 { // SAP's V2 texts are never null
		all = append(all, null)
	}
	return Or(all...)
}

// afterNever is where a page of what has no watermark says to go on.
func (p *Poll) afterNever(at stand, page Page) stand {
	at.met += len(page.Entities) + len(page.strange)
	at.seen = at.seen.above(p.earlier(at.since, p.cfg.Overlap))
	if page.Next != "" {
		return stand{since: at.since, seen: at.seen, never: true, met: at.met, link: page.Next}
	}
	rest := max(neverEvery, time.Duration(at.met)*neverEach)
	return stand{since: at.since, seen: at.seen, due: p.client.link.now().Add(rest).Unix()}
}

// unasked tells whether an answer says that what has no watermark cannot be asked for. The other readings go on.
func unasked(a wire.Answer) bool {
	return a.Status == http.StatusBadRequest || a.Status == http.StatusNotFound || a.Status == http.StatusNotImplemented
}

// neverAsked is where a poll goes on whose service does not say what has no watermark.
func (p *Poll) neverAsked(at stand, why error) stand {
	p.client.link.log.Info("the ERP does not say what has no change time; what was never changed is not polled for an hour", "part", "odata", "poll", p.cfg.Name, "err", why)
	return stand{since: at.since, seen: at.seen, due: p.client.link.now().Add(neverAgain).Unix()}
}
