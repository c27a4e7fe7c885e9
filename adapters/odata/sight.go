package odata

import (
	"cmp"
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"time"

	"holdfast/adapters/odata/edm"
	"holdfast/adapters/wire"
)

// sight is the state in which a poll last saw an object.
type sight struct {
	At  string `json:"w"`           // its watermark
	Sum string `json:"c"`           // its version and content
	On  int64  `json:"t"`           // when it was first seen in this state, in microseconds; it grows with each state
	Top string `json:"v,omitempty"` // the version by which it is put in order, if a clock that went back gave it a lesser one
}

// sights are the objects of which a poll may read the same watermark again, by their whole key. They are part of the cursor, which is
// stored in the transaction that takes the messages: what is seen was taken, on whichever node and before whatever crash.
//
// A watermark alone does not tell two states apart: SAP moves quantities of an order without its change time, and two saves within a
// second have one.
type sights map[string]sight

// suffix is how sights stand in a cursor.
func (s sights) suffix() string {
	if len(s) == 0 {
		return ""
	}
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // texts and numbers
	}
	return "#" + string(text)
}

// above are those that a reading from this watermark meets again.
func (s sights) above(begin string) sights {
	out := maps.Clone(s)
	maps.DeleteFunc(out, func(_ string, x sight) bool { return x.At != begin && !later(x.At, begin) })
	return out
}

// identity is the whole key of an entity: what its set tells it from all others by.
func identity(of *edm.Struct, e Entity) string {
	var keys []string
	for _, name := range of.Key {
		keys = append(keys, str(e.Values[name]))
	}
	return strings.Join(keys, "/")
}

// look tells whether a reading shows an object as it was last seen, and notes how it is now. Of a new state, again is "" unless the object
// was seen under the same watermark before, or may have been: a content that comes back is then a message of its own. object orders the states: by version
// and, where that is the same, by when each was seen first, which a clock that was set back does not turn round.
func (p *Poll) look(of *edm.Struct, e Entity, seen sights, version, content string, now time.Time) (again, object string, known bool) {
	w, on := str(e.Values[p.cfg.Watermark]), now.UnixMicro()
	key := identity(of, e)
	last, met := seen[key]
	sum, top := wire.Hash(version+" "+content), ""
	back := met && p.Twice(w) && p.Twice(last.At) // in an hour that repeats, the lesser watermark may be the later one
	if back && p.cfg.Version == p.cfg.Watermark && later(cmp.Or(last.Top, last.At), version) {
		top = cmp.Or(last.Top, last.At)
	}
	switch {
	case met && last.At == w && last.Sum == sum:
		on, top, known = last.On, last.Top, true
	case met && !back && later(last.At, w): // an older state comes late
		on = min(on, last.On-1)
	case met:
		if on = max(on, last.On+1); last.At == w || back || p.cfg.Version != p.cfg.Watermark {
			again = strconv.FormatInt(last.On, 10)
		}
		fallthrough
	default:
		seen[key] = sight{w, sum, on, top}
	}
	if version != "" {
		object = cmp.Or(top, version) + "~" + strconv.FormatInt(on, 10)
	}
	return again, object, known
}
