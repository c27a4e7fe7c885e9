package rest

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"
)

// sight is the state in which a poll last saw an object.
type sight struct {
	Version string `json:"v"`
	Sum     string `json:"c"`           // of its content
	On      int64  `json:"t"`           // when it was first seen in this state, in microseconds; it grows with each state
	Again   string `json:"a,omitempty"` // what tells this state from others of the version; "" of the first
}

// sights are the objects that a poll saw last, by their number. They are part of the cursor, which is stored in the transaction that takes
// the messages: what is seen was taken, on whichever node and before whatever crash. A version alone does not tell two states apart where
// it is a time to the second, or where the ERP changes an object without it.
type sights map[string]sight

// By default a cursor keeps so many objects, a megabyte of them; at most so many may be asked for.
const (
	defaultRemember = 10_000
	mostRemember    = 100_000
)

// look notes how an object is now. again tells this state from others that were seen under its version, "" for the first; object is the
// version that puts them in order. Where some were forgotten, what is not known is told by its content: it may have been seen in another state of
// this version. news tells that it was certainly not seen as it is.
func (s sights) look(key, version, sum string, forgotten bool, now time.Time) (again, object string, news bool) {
	last, met := s[key]
	news = met || !forgotten
	switch {
	case met && last.Version == version && last.Sum == sum:
		news = false
	case met && last.Version == version:
		last = sight{version, sum, max(now.UnixMicro(), last.On+1), strconv.FormatInt(last.On, 10)}
	case !met && forgotten:
		last = sight{version, sum, now.UnixMicro(), sum}
	default:
		last = sight{version, sum, now.UnixMicro(), ""}
	}
	s[key] = last
	if last.Again == "" {
		return "", version, news
	}
	return last.Again, version + "~" + strconv.FormatInt(last.On, 10), news
}

// kept are the newest of them, as many as a cursor keeps, and whether some are forgotten by it.
func (s sights) kept(most int) (kept sights, forgotten bool) {
	if len(s) <= most {
		return s, false
	}
	keys := slices.SortedFunc(maps.Keys(s), func(a, b string) int { return cmp.Or(cmp.Compare(s[b].On, s[a].On), cmp.Compare(a, b)) })
	for _, k := range keys[most:] {
		delete(s, k)
	}
	return s, true
}

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
