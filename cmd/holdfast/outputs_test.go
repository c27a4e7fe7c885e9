package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"holdfast/internal/job"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// TestEveryVerbPrintsWhatItIsAsked: each verb that lists, shows or acts knows -o, its JSON parses, each line of its ndjson is an object, and its csv has a
// header, also where there is nothing to list.
func TestEveryVerbPrintsWhatItIsAsked(t *testing.T) {
	ctx, dir := t.Context(), filepath.Join(t.TempDir(), "d")
	if status := run(ctx, []string{"demo", "--once", "--json", "--orders", "2", "--outage", "0s", "--keys", "none", "--data", dir}, io.Discard, io.Discard); status != 0 {
		t.Fatalf("the demo ended with %d", status)
	}
	config := filepath.Join(dir, "holdfast.yaml")
	cfg, err := loadConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	r, err := openRecords(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer r.db.Close()
	var d outbox.Detail
	err = r.db.View(ctx, func(tx *store.Tx) error {
		list, _, err := r.out.Messages(ctx, tx, outbox.Filter{Link: "erp", Settled: true, OldestFirst: true, Limit: 1}, "")
		if err == nil {
			d = list[0]
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range formats {
		id := planned(t, r, d.ID)
		for _, line := range []string{
			"status", "msg list", "msg list --kind nothing", "msg show MESSAGE", "msg asked", "link list", "link show erp", "lane list", "lane show erp LANE", "quarantine list",
			"quarantine lanes", "audit list", "audit verify", "job list", "job show JOB",
			"link pause erp --reason test", "link rate erp --rate 5 --reason test", "link resume erp --reason test", "lane pause erp LANE --reason test", "lane resume erp LANE --reason test",
			"msg note MESSAGE called", "msg replay --id MESSAGE --dry-run",
			"job start JOB --yes --expect 1 --reason test --detach", "job rate JOB --rate 7 --reason test", "job pause JOB --reason test", "job resume JOB --reason test",
			"job cancel JOB --reason test", "job watch JOB",
			"msg replay erp LANE --from 1 --to 1 --reason test", "msg retry MESSAGE --reason test", "msg postpone MESSAGE --until 2020-01-01T00:00:00Z --reason test",
			"msg discard MESSAGE --cause other --reason test",
		} {
			words := strings.Fields(strings.NewReplacer("MESSAGE", d.ID, "LANE", d.Lane, "JOB", id).Replace(line))
			var out, errs bytes.Buffer
			if status := run(ctx, append(words, "-o", form, "--config", config), &out, &errs); status != 0 && status != 6 {
				t.Errorf("%s -o %s ends with %d: %s", line, form, status, errs.String())
			}
			if err := parses(form, out.Bytes()); err != "" {
				t.Errorf("%s -o %s: %s in\n%s", line, form, err, out.String())
			}
		}
	}
	for name, cmd := range runnable(rootCommand(), map[string]*cobra.Command{}) {
		group := strings.Fields(name)[0]
		if strings.Contains(" msg link lane job quarantine status reconcile ", " "+group+" ") && name != "msg export" && cmd.Flags().Lookup("output") == nil {
			t.Errorf("%s does not know -o", name)
		}
	}
}

// planned plans a replay of one message.
func planned(t *testing.T, r *records, id string) string {
	t.Helper()
	var b job.Job
	err := r.db.InTx(t.Context(), func(tx *store.Tx) (err error) {
		b, err = r.jobs.Plan(t.Context(), tx, job.Request{Choice: outbox.Choice{IDs: []string{id}}}, "anna")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.ID
}

// parses says what is wrong with what was printed, "" if nothing is.
func parses(form string, text []byte) string {
	switch form {
	case "json":
		if !json.Valid(text) {
			return "no JSON"
		}
	case "ndjson":
		for line := range bytes.Lines(text) {
			var row map[string]any
			if json.Unmarshal(line, &row) != nil {
				return "a line is no object"
			}
		}
	case "csv":
		rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
		if err != nil || len(rows) == 0 || len(rows[0]) == 0 || strings.ContainsAny(rows[0][0], " {[") {
			return "no header"
		}
	default:
		if len(text) == 0 {
			return "nothing is printed"
		}
	}
	return ""
}
