package main

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rogpeppe/go-internal/testscript"

	"holdfast/adapters/erpmock"
	"holdfast/internal/store/storetest"
)

// TestADisasterUnderLoad runs testdata/disaster on each database: copies are taken while the shop floor reports, the database is lost, and the plant
// is made anew of the second place.
func TestADisasterUnderLoad(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		disaster(t, "sqlite:holdfast.db", "", func(ts *testscript.TestScript, folder string) {
			for _, end := range []string{"", "-wal", "-shm"} {
				ts.Check(os.Remove(filepath.Join(ts.MkAbs(folder), "holdfast.db"+end)))
			}
		})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		place := storetest.EmptyPostgresURL(t)
		disaster(t, "env:PLANT_DATABASE", place, func(ts *testscript.TestScript, _ string) { ts.Check(storetest.Lose(place)) })
	})
}

// disaster runs the scripts with a database as the configuration names it, and how it is lost. place is its URL where that is not in the plant's folder.
func disaster(t *testing.T, database, place string, lose func(ts *testscript.TestScript, folder string)) {
	t.Helper()
	into := ""
	if place != "" {
		into = database
	}
	f := &floor{taken: map[string]time.Time{}, told: map[string]bool{}}
	t.Cleanup(f.stop)
	commands := scriptCommands()
	commands["report"] = f.report
	commands["quiet"] = func(*testscript.TestScript, bool, []string) { f.stop() }
	commands["shipped"] = f.shipped
	commands["reported"] = f.reported
	commands["repeat"] = f.repeat
	commands["arrived"] = f.arrived
	commands["lose"] = func(ts *testscript.TestScript, _ bool, args []string) {
		f.lost()
		lose(ts, args[0])
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/disaster",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("DATABASE", database)
			env.Setenv("INTO", into)
			env.Setenv("PLANT_DATABASE", place)
			return nil
		},
		Cmds: commands,
	})
}

// floor is a shop floor that reports one confirmation after the other, and remembers when the plant took each.
type floor struct {
	mu    sync.Mutex
	taken map[string]time.Time // by the confirmation's own ID
	told  map[string]bool      // the same, of all that a plant ever took, whatever was lost since
	point time.Time            // that shipped has seen last
	end   func()
}

// report begins to report, until stop, whatever the plant answers: report URL ORDER.
func (f *floor) report(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	f.end = func() { cancel(); work.Wait() }
	for range 2 {
		work.Go(func() {
			for tick := time.NewTicker(100 * time.Millisecond); ctx.Err() == nil; <-tick.C {
				id := uuid.NewString()
				if confirm(ctx, args[0], id, args[1]) == http.StatusCreated {
					f.mu.Lock()
					f.taken[id], f.told[id] = time.Now(), true
					f.mu.Unlock()
				}
			}
		})
	}
}

// reported waits until the plant has taken so many more reports: reported N.
func (f *floor) reported(ts *testscript.TestScript, _ bool, args []string) {
	more, err := strconv.Atoi(args[0])
	ts.Check(err)
	told := func() int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.told)
	}
	if before := told(); !eventually(func() bool { return told() >= before+more }) {
		ts.Fatalf("the plant took %d reports more, want %d", told()-before, more)
	}
}

// repeat makes every call again that a plant has ever taken, as it was, as who has lost his papers does after a restore: the plant takes each, and
// must know those that it had, while of the others the ERP may have some: repeat URL ORDER.
func (f *floor) repeat(ts *testscript.TestScript, _ bool, args []string) {
	f.stop()
	forgotten := 0
	for id := range f.told {
		if status := confirm(context.Background(), args[0], id, args[1]); status != http.StatusCreated {
			ts.Fatalf("the repeated confirmation %s is answered %d", id, status)
		}
		if _, known := f.taken[id]; !known {
			forgotten++
			f.taken[id] = f.point
		}
	}
	ts.Logf("%d calls were repeated, of which %d came after the recovery point", len(f.told), forgotten)
}

// confirm reports a thousandth of a piece, and gives the status that was answered, 0 if nothing was.
func confirm(ctx context.Context, address, id, order string) int {
	body := `{"id":"` + id + `","order":"` + order + `","operation":"0010","yield":"0.001"}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", "floor-"+id)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

func (f *floor) stop() {
	if f.end != nil {
		f.end()
		f.end = nil
	}
}

var recoveryPoint = regexp.MustCompile(`(?m)^holdfast_backup_recovery_point_timestamp_seconds (.*)$`)

// shipped waits until everything that has happened before it could be restored from a place: shipped URL-OF-METRICS.
func (f *floor) shipped(ts *testscript.TestScript, _ bool, args []string) {
	since, point := float64(time.Now().Unix()+1), 0.0
	is := func() bool {
		status, body := request(ts, http.MethodGet, args[0], "")
		if found := recoveryPoint.FindSubmatch(body); status == http.StatusOK && found != nil {
			point, _ = strconv.ParseFloat(string(found[1]), 64)
		}
		return point >= since
	}
	if !eventually(is) {
		ts.Fatalf("the recovery point is %v, want %v", time.Unix(int64(point), 0), time.Unix(int64(since), 0))
	}
	f.point = time.UnixMicro(int64(point * 1e6))
}

// lost ends the work, and forgets what the plant took after its recovery point: that is gone with the disk.
func (f *floor) lost() {
	f.stop()
	maps.DeleteFunc(f.taken, func(_ string, at time.Time) bool { return !at.Before(f.point) })
}

// arrived holds the ERP's journal against what the plant took: each confirmation had its effect once, and nothing twice, whoever it was that reported
// it: arrived URL-OF-THE-ERP LEAST, which is how many it must have been.
func (f *floor) arrived(ts *testscript.TestScript, _ bool, args []string) {
	f.stop()
	effects := effectsAt(ts, args[0])
	for id, at := range f.taken {
		if n := effects[id]; n != 1 {
			ts.Fatalf("confirmation %s, taken %s before the recovery point, had its effect %d times", id, f.point.Sub(at), n)
		}
	}
	for id, n := range effects {
		if n > 1 {
			ts.Fatalf("confirmation %s had its effect %d times", id, n)
		}
	}
	least, err := strconv.Atoi(args[1])
	ts.Check(err)
	if len(f.taken) < least {
		ts.Fatalf("only %d confirmations were taken that the plant must still know", len(f.taken))
	}
	ts.Logf("%d confirmations were taken before the recovery point; %d had their effect", len(f.taken), len(effects))
}

// effectsAt counts the effects of each confirmation in the journal of an ERP.
func effectsAt(ts *testscript.TestScript, erp string) map[string]int {
	address, err := url.JoinPath(erp, "__mock", "journal")
	ts.Check(err)
	_, text := request(ts, http.MethodGet, address, "")
	journal, err := erpmock.ReadLog(text)
	ts.Check(err)
	effects := map[string]int{}
	for _, e := range journal.Entries {
		if e.Operation != "createConfirmation" {
			continue
		}
		var sent struct {
			ID string `json:"externalId"`
		}
		ts.Check(json.Unmarshal([]byte(e.Body), &sent))
		effects[sent.ID] += len(e.Effects)
	}
	return effects
}
