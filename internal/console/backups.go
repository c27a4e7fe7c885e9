package console

import (
	"context"
	"net/http"
	"time"

	"holdfast/internal/backup"
)

// backupsView is the copies of the plant, of every place.
type backupsView struct {
	On     bool // the configuration names places
	Rows   []backupRow
	More   int       // that are not shown
	At     time.Time // when the places were read
	Proven string    // how old the newest copy is that was proven, "" if none was
	Tone   string
	Wrong  string // why a place cannot be read
}

// backupRow is one copy in one place.
type backupRow struct {
	backup.Copy
	Word, Tone string
	Bytes      string
	Took       string // its trial
}

// copies are the copies of every place that can be read, and what is wrong with the others.
type copies struct {
	all   []backup.Copy
	wrong error
}

// backups answers GET /console/backups.
func (c *Console) backups(r *http.Request) (*page, error) {
	v := backupsView{On: c.cfg.Copies != nil, Tone: "negative"}
	if !v.On {
		return &page{name: "backups", Title: "Backups", Section: "Backups", Body: v}, nil
	}
	list, at, err := c.board.copies.get(r.Context())
	if err != nil {
		return nil, err
	}
	if v.At = at; list.wrong != nil {
		v.Wrong = c.told(r, list.wrong).Error()
	}
	newest := time.Time{}
	for _, k := range list.all {
		if k.Proven != nil && k.Trouble == "" && k.Made.After(newest) {
			newest = k.Made
		}
	}
	if !newest.IsZero() {
		v.Proven, v.Tone = length(c.DB.Now().Sub(newest)), "positive"
		if c.cfg.CopiesAlarm > 0 && c.DB.Now().Sub(newest) > c.cfg.CopiesAlarm {
			v.Tone = "critical"
		}
	}
	for _, k := range list.all[:min(len(list.all), perPage)] {
		v.Rows = append(v.Rows, backupRowOf(k))
	}
	v.More = len(list.all) - len(v.Rows)
	return &page{name: "backups", Title: "Backups", Section: "Backups", Live: true, Body: v}, nil
}

func backupRowOf(k backup.Copy) backupRow {
	r := backupRow{Copy: k, Word: "not proven yet", Tone: "critical", Bytes: bytesOf(k.Size)}
	if k.Proven != nil {
		r.Word, r.Tone, r.Took = "proven", "positive", length(time.Duration(k.Proven.Took*float64(time.Second)))
	}
	if k.Trouble != "" {
		r.Word, r.Tone = "damaged", "negative"
	}
	if k.Unfinished {
		r.Word, r.Tone = "not finished", "critical"
	}
	return r
}

func (b *board) countCopies(ctx context.Context) (v copies, _ error) {
	v.all, v.wrong = b.c.cfg.Copies(ctx)
	return v, nil
}
