package main

import (
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// shipped waits until everything that has happened before it could be restored from a place: shipped URL-OF-METRICS.
func shipped(ts *testscript.TestScript, _ bool, args []string) {
	since, point := float64(time.Now().Unix()+1), 0.0
	gauge := regexp.MustCompile(`(?m)^holdfast_backup_recovery_point_timestamp_seconds (.*)$`)
	is := func() bool {
		status, body := request(ts, http.MethodGet, args[0], "")
		if found := gauge.FindSubmatch(body); status == http.StatusOK && found != nil {
			point, _ = strconv.ParseFloat(string(found[1]), 64)
		}
		return point >= since
	}
	if !eventually(is) {
		ts.Fatalf("the recovery point is %v, want %v", time.Unix(int64(point), 0), time.Unix(int64(since), 0))
	}
}
