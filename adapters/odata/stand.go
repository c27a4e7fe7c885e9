package odata

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"holdfast/adapters/wire"
	"holdfast/internal/problem"
)

// stand is where a poll stands between two calls. By a watermark, a reading goes on from the highest that it has met, not by the
// service's link to the next page: an entity that changes meanwhile moves to the end, and all behind it move up by one, out of a page
// that is counted from the beginning.
//
// What is committed late may lie where a reading has been. The next one therefore begins an overlap before what was the highest when this
// one began, however long it takes and whoever goes on with it; an overlap before the end of a reading of minutes would pass it over.
type stand struct {
	since string // the watermark up to which everything was read, but for what is committed late
	begun string // the highest that there was when this reading began, while it is not complete
	high  string // the highest that this reading has met, while it is not complete
	link  string // to what changes, or to the next page where a whole one has the same watermark
	seen  sights // what was read above the watermark at which the next reading begins

	pages int    // how many links to a next page were followed, one after the other
	mark  string // the hash of one of these links: of the last whose number is a power of two

	anew bool // this reading was begun anew, after one that was not complete

	never bool  // what has no watermark is read
	met   int   // of it, by this reading
	due   int64 // when it is to be read next, in seconds since 1970; 0 is at once

	whole bool // the service gave no link to what changes: what is read by delta links elsewhere is read as a whole
}

func readStand(cursor string) (stand, error) {
	place, seen, _ := strings.Cut(cursor, "#")
	v, err := url.ParseQuery(place)
	at := stand{since: v.Get("since"), begun: v.Get("begun"), high: v.Get("high"), link: v.Get("link"), seen: sights{}, mark: v.Get("mark"), anew: v.Has("anew")}
	at.never, at.whole = v.Has("never"), v.Has("whole")
	for name, n := range map[string]*int{"pages": &at.pages, "never": &at.met} {
		if text := v.Get(name); err == nil && text != "" {
			*n, err = strconv.Atoi(text)
		}
	}
	if text := v.Get("due"); err == nil && text != "" {
		at.due, err = strconv.ParseInt(text, 10, 64)
	}
	if err == nil && seen != "" {
		err = json.Unmarshal([]byte(seen), &at.seen)
	}
	if err != nil {
		return stand{}, &problem.Error{
			Kind: problem.Invalid, What: "place of a poll", Why: "the stored cursor is not one of ours",
			Hint: "delete it; everything is then read again, and known states are passed over", Cause: err,
		}
	}
	return at, nil
}

func (s stand) String() string {
	v := url.Values{}
	for name, text := range map[string]string{"since": s.since, "begun": s.begun, "high": s.high, "link": s.link, "mark": s.mark} {
		if text != "" {
			v.Set(name, text)
		}
	}
	if s.pages > 0 {
		v.Set("pages", strconv.Itoa(s.pages))
	}
	if s.anew {
		v.Set("anew", "1")
	}
	if s.never {
		v.Set("never", strconv.Itoa(s.met))
	}
	if s.whole {
		v.Set("whole", "1")
	}
	if s.due > 0 {
		v.Set("due", strconv.FormatInt(s.due, 10))
	}
	return v.Encode() + s.seen.suffix()
}

// follow notes that a link to a next page is followed, unless it leads back to a page that this reading has had: a circle of any length is met,
// by one link that is remembered (R. P. Brent, An improved Monte Carlo factorization algorithm, 1980).
func (s stand) follow(from stand) (stand, error) {
	s.pages, s.mark = from.pages+1, from.mark
	sum := wire.Hash(s.link)
	if sum == s.mark {
		return s, fmt.Errorf("its links to the next page lead in a circle, back to %s", s.link)
	}
	if s.pages&(s.pages-1) == 0 {
		s.mark = sum
	}
	return s, nil
}

// anew is where a poll goes on whose link the service does not know any more: where it last was complete. A reading that was begun anew already, and has not
// been complete since, gets nowhere: that is an error, and the next call begins anew, since the link may never be known again.
func (p *Poll) anew(cursor, link string, cause error) (next string, err error) {
	at, err := readStand(cursor) // what this call has read is not given, and so not seen
	if err != nil {
		return cursor, err
	}
	if at.anew {
		p.lost.Store(&cursor)
		return cursor, cause
	}
	p.client.link.log.Warn("a poll begins anew where it last was complete", "part", "odata", "poll", p.cfg.Name, "err", cause)
	return p.beginning(at, link).String(), nil
}

// beginning is where a reading begins anew, in the place of one that has come to a link.
func (p *Poll) beginning(at stand, link string) stand {
	since := at.since
	if p.cfg.Delta && link != "" {
		since = wire.Hash(link) // for what is as it was at an earlier beginning, and has been otherwise meanwhile
	}
	return stand{since: since, seen: at.seen, anew: true}
}
