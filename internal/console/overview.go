package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"holdfast/internal/inbox"
	"holdfast/internal/outbox"
)

// overviewView is the first page: is it us or them, how long can we go on, what is waiting.
type overviewView struct {
	Links   []linkView
	Headers headline
	Inbox   inbox.Status
	Kinds   []outbox.Tally
	KindsAt time.Time
	Groups  []outbox.Group
	Stuck   int64 // lanes that stand still until a person acts
	Altered int64 // of these, because the database was altered behind Holdfast
	Queued  int64
	Store   runway
	Signing *Signing
	Work    Work
	WorkFor string
}

// headline is what the page says first.
type headline struct{ State, Says, Does string }

// runway is for how long the store lasts.
type runway struct {
	Known      bool
	Free, Used string
	Growth     string
	For        string // at the growth of the charts; "" if it does not grow
}

// linkView is a link as pages show it.
type linkView struct {
	outbox.Link
	Kind    string
	Rate    int    // requests a second that it may send; 0 is no limit
	Asked   bool   // a person has set Rate
	By      string // who has paused it; "" if nobody has, or the record does not have it any more
	State   string // up, degraded, down, paused or removed
	Tone    string // of the word
	Why     string
	Since   time.Time
	Now     string        // messages a second of the last minute
	Takes   time.Duration // how long what is queued takes (Outlook.Drain)
	DrainBy string        // by which pace

	together int
	OldFor   time.Duration
}

// overview answers GET /console/.
func (c *Console) overview(r *http.Request) (*page, error) {
	ctx := r.Context()
	v := overviewView{}
	var err error
	if v.Links, err = c.linkViews(r); err != nil {
		return nil, err
	}
	if v.Inbox, _, err = c.board.inbox.get(ctx); err != nil {
		return nil, err
	}
	if v.Kinds, v.KindsAt, err = c.board.kinds.get(ctx); err != nil {
		return nil, err
	}
	if v.Groups, _, err = c.board.groups.get(ctx); err != nil {
		return nil, err
	}
	if v.Work, _, err = c.board.orders.get(ctx); err != nil {
		return nil, err
	}
	for _, l := range v.Links {
		v.Stuck, v.Queued, v.Altered = v.Stuck+l.Parked, v.Queued+l.Owed, v.Altered+l.Altered
	}
	v.Groups = v.Groups[:min(len(v.Groups), 5)]
	v.Headers = headlineOf(v)
	if v.Store, err = c.runway(ctx); err != nil {
		return nil, err
	}
	if c.cfg.Signing != nil {
		s, err := c.cfg.Signing(ctx)
		if err != nil {
			return nil, err
		}
		v.Signing = &s
	}
	if left := v.Work.Until.Sub(c.DB.Now()); left > 0 {
		v.WorkFor = length(left)
	}
	return &page{name: "overview", Title: "Overview", Section: "Overview", Live: true, Body: v}, nil
}

// headlineOf is the one sentence that the shift needs.
func headlineOf(v overviewView) headline {
	first := map[string]string{}
	for _, l := range v.Links {
		if first[l.State] == "" {
			first[l.State] = l.Name
		}
	}
	stuck := ""
	if v.Stuck > 0 {
		stuck = fmt.Sprintf(" %s for a person besides.", count(v.Stuck, "lane waits", "lanes wait"))
	}
	switch {
	case first[Down] != "":
		return headline{
			"down", "Link " + first[Down] + " is down. The plant works on and nothing is lost.",
			count(v.Queued, "message waits", "messages wait") + "; each is sent, once and in order, when the ERP is back." + stuck,
		}
	case first[Paused] != "":
		return headline{"paused", "Link " + first[Paused] + " was paused by a person.", "Messages are kept until somebody lets it go on." + stuck}
	case first[Degraded] != "":
		return headline{
			"degraded", "Nothing new comes in over link " + first[Degraded] + ": its polls fail.",
			"The plant works on; what it reports is kept and sent as the ERP takes it." + stuck,
		}
	case v.Altered > 0:
		return headline{"stuck", fmt.Sprintf("%s parked: the database was altered behind Holdfast.", count(v.Altered, "lane is", "lanes are")), "Find out by whom; the lane's page says what to do. All other lanes go on."}
	case v.Stuck > 0:
		return headline{"stuck", fmt.Sprintf("%s for a person.", count(v.Stuck, "lane waits", "lanes wait")), "All other lanes go on."}
	case v.Inbox.Quarantined > 0:
		return headline{"stuck", count(v.Inbox.Quarantined, "message of the ERP waits", "messages of the ERP wait") + " in quarantine for a person.", "Every link is up."}
	default:
		return headline{"up", "Every link is up.", "Nothing waits for a person."}
	}
}

// count is a number with its noun.
func count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// runway says for how long the store lasts.
func (c *Console) runway(ctx context.Context) (runway, error) {
	if c.cfg.Space == nil {
		return runway{}, nil
	}
	s, err := c.cfg.Space(ctx)
	v := runway{Known: s.Free > 0, Free: bytesOf(s.Free), Used: bytesOf(s.Used)}
	o := c.board.history()
	if d := o.Lasts(s.Free); d > 0 {
		v.Growth, v.For = bytesOf(int64(o.Growth()*3600))+" an hour", length(d)
	}
	return v, err
}

// bytesOf is a number of bytes as a person says it.
func bytesOf(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	f, i := float64(n), 0
	for f >= 1000 && i < len(units)-1 {
		f, i = f/1000, i+1
	}
	if i == 0 || f >= 100 {
		return fmt.Sprintf("%.0f %s", f, units[i])
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// figures answers GET /console/figures.json: the points of the charts.
func (c *Console) figures(*http.Request) (*page, error) {
	o := c.board.history()
	points := o.points
	type series struct {
		Link   string    `json:"link"`
		Queued []int64   `json:"queued"`
		Out    []float64 `json:"out"`
	}
	out := struct {
		At    []int64   `json:"at"`
		In    []float64 `json:"in"`
		Links []series  `json:"links"`
	}{At: []int64{}, In: []float64{}, Links: []series{}}
	for i, p := range points {
		before := points[max(0, i-1)]
		out.At = append(out.At, p.at.Unix())
		out.In = append(out.In, perSecond(p.In-before.In, p.at.Sub(before.at)))
	}
	for _, name := range o.names() {
		s := series{Link: name}
		for i, p := range points {
			before := points[max(0, i-1)]
			s.Queued = append(s.Queued, p.Links[name].Queued)
			s.Out = append(s.Out, perSecond(p.Links[name].Delivered-before.Links[name].Delivered, p.at.Sub(before.at)))
		}
		out.Links = append(out.Links, s)
	}
	text, err := json.Marshal(out)
	return &page{raw: text, kind: "application/json"}, err
}

func perSecond(n int64, d time.Duration) float64 {
	if d <= 0 || n < 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}
