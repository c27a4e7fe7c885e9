package main

import (
	"archive/tar"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"holdfast/internal/inbox"
	"holdfast/internal/mes"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// The values that are planted: each may be nowhere but in memory.
const (
	canaryPerson  = "canary-4711-person"
	canaryBody    = "canary-4712-body"
	canaryRefused = "canary-4713-refused"
	canaryAnswer  = "canary-4714-answer"
)

// TestPlantedValuesAreNowhereInPlainText plants them by a confirmation, by what comes in, by what is rejected, changed and answered, small
// and large, and looks for them in every file of the plant while it is open, in a dump of the database, in the log and in the figures.
func TestPlantedValuesAreNowhereInPlainText(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { plantCanaries(t, "") })
	t.Run("postgres", func(t *testing.T) { plantCanaries(t, storetest.PostgresURL(t)) })
}

func plantCanaries(t *testing.T, url string) {
	dir := t.TempDir()
	if status := run(t.Context(), []string{"init", dir}, io.Discard, io.Discard); status != 0 {
		t.Fatalf("init ended with %d", status)
	}
	cfg, err := loadConfig(filepath.Join(dir, "holdfast.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if url != "" {
		t.Setenv("HOLDFAST_CANARY_DATABASE", url)
		cfg.Database.URL = "env:HOLDFAST_CANARY_DATABASE"
	}
	log := &bytes.Buffer{}
	p := canaryPlant(t, cfg, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	work(t, p)
	secret, err := cfg.secret(t.Context(), cfg.Keys.Passphrase)
	if err != nil {
		t.Fatal(err)
	}
	searchCopy(t, p, dir, canaryPerson, canaryBody, canaryRefused, canaryAnswer)
	searchAll(t, p, dir, log.Bytes(), canaryPerson, canaryBody, canaryRefused, canaryAnswer, secret)
}

// searchAll looks for values in the log, in the figures, in a dump of the database and in every file of the plant, while it is open. Traces, as
// they were sent (keepTraces), and copies are among these.
func searchAll(t *testing.T, p *process, dir string, log []byte, planted ...string) {
	t.Helper()
	search := func(where string, text []byte) {
		for _, value := range planted {
			if bytes.Contains(text, []byte(value)) || bytes.Contains(text, []byte(hex.EncodeToString([]byte(value)))) {
				t.Errorf("%s holds %s", where, value)
			}
		}
	}
	search("the log", log)
	figures, err := p.tel.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	search("the figures", []byte(fmt.Sprint(figures)))
	if err := p.tel.traces.ForceFlush(t.Context()); err != nil {
		t.Error(err)
	}
	if p.db.Dialect() == store.Postgres {
		search("a dump of the database", dump(t, p.db))
	}
	files := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == passphraseFile {
			return err
		}
		text, err := os.ReadFile(path)
		search(path, text)
		files++
		return err
	})
	if err != nil || files < 3 {
		t.Errorf("%d files were searched, %v", files, err)
	}
}

// canaryPlant is a plant with keys that works by hand: nothing runs in it.
func canaryPlant(t *testing.T, cfg Config, log *slog.Logger) *process {
	t.Helper()
	tel, err := openTelemetry(t.Context(), cfg.Telemetry)
	if err != nil {
		t.Fatal(err)
	}
	f, err := openFloors(t.Context(), cfg, store.Config{}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	p := &process{floors: f, tel: tel}
	if err := p.openKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// searchCopy looks for values in a copy of the plant that is opened as a restore opens it.
func searchCopy(t *testing.T, p *process, dir string, planted ...string) {
	t.Helper()
	text := openedCopy(t, p, dir)
	for _, value := range planted {
		if bytes.Contains(text, []byte(value)) || bytes.Contains(text, []byte(hex.EncodeToString([]byte(value)))) {
			t.Errorf("a copy of the plant holds %s", value)
		}
	}
}

// openedCopy is a copy of the plant as whoever has its key reads it: the files of the archive one after the other, but for the passphrase, which
// is in it for the sake of a new machine.
func openedCopy(t *testing.T, p *process, dir string) []byte {
	t.Helper()
	places, err := p.cfg.backupPlaces(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m, err := p.cfg.createBackup(t.Context(), p.db, p.ring, nil, places, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := p.cfg.backupKey(t.Context(), filepath.Join(dir, backupKeys, siteKey+".key"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := places[0].Get(t.Context(), m.ID+".tar.zst.age")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	plain, err := age.Decrypt(r, key.Identity)
	if err != nil {
		t.Fatal(err)
	}
	unzipped, err := zstd.NewReader(plain)
	if err != nil {
		t.Fatal(err)
	}
	defer unzipped.Close()
	var all []byte
	for archive := tar.NewReader(unzipped); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		text, rerr := io.ReadAll(archive)
		if err = errors.Join(err, rerr); err != nil {
			t.Fatal(err)
		}
		if h.Name != passphraseFile {
			all = append(all, text...)
		}
	}
	if len(all) < 1<<16 {
		t.Errorf("the copy has %d bytes, want a database in it", len(all))
	}
	return all
}

// keepTraces has what the plant tells of its traces be kept in a file of its folder, as it is sent.
func keepTraces(t *testing.T, cfg *Config, dir string) (file string) {
	t.Helper()
	file = filepath.Join(dir, "traces")
	var mu sync.Mutex
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = io.Copy(f, r.Body)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(srv.Close)
	cfg.Telemetry.Endpoint = srv.URL
	return file
}

// work plants the values, and sees that whoever may read them does.
func work(t *testing.T, p *process) {
	t.Helper()
	order := canaryOrder(t, p)
	in := func(id, text string) message.Incoming {
		return message.Incoming{Message: message.Message{
			ID: id, Source: "urn:erp", Kind: "no.such.kind", Version: 1, Key: "x/" + id, Time: p.db.Now(), Body: []byte(`{"text":"` + text + `"}`), Place: message.Place{Role: message.Event},
		}}
	}
	rejected := in("r", canaryRefused)
	rejected.Claimed = strings.Repeat("0", 64)
	taken, err := p.inbox.ReceiveAll(t.Context(), []message.Incoming{in("q", canaryBody), in("l", strings.Repeat(canaryBody, 40_000)), rejected}, "erp")
	if err != nil || taken[0].Rejected != 0 || taken[2].Rejected == 0 {
		t.Fatalf("taken %+v, %v", taken, err)
	}
	for n := 1; n > 0; {
		if n, err = p.inbox.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	err = p.db.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := p.plant.StartOrder(t.Context(), tx, mes.OrderAct{Order: order})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	id := confirmCanary(t, p, order)
	deliverCanary(t, p)
	err = p.db.View(t.Context(), func(tx *store.Tx) error {
		c, err := p.plant.Confirmation(t.Context(), tx, id)
		if err == nil && (c.Personnel != canaryPerson || c.Text != canaryBody) {
			t.Errorf("the plant shows %s and %s", c.Personnel, c.Text)
		}
		ms, merr := p.inbox.Messages(t.Context(), tx, inbox.Filter{ID: "q"})
		if merr == nil && (len(ms) != 1 || ms[0].State != inbox.Quarantined) {
			t.Errorf("the inbox has %+v, want one in quarantine", ms)
		}
		return errors.Join(err, merr)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// canaryOrder is an order that the ERP has released.
func canaryOrder(t *testing.T, p *process) (id string) { return releasedOrder(t, p, 1) }

// releasedOrder is the n-th order that the ERP has released.
func releasedOrder(t *testing.T, p *process, n int) (id string) {
	t.Helper()
	number := fmt.Sprintf("%012d", 1_000_000+n)
	body, err := json.Marshal(map[string]any{
		"erpNumber": number, "erpVersion": "1", "material": "M1", "quantity": "10", "unit": "PCE", "plant": "1000",
		"start": "2026-11-27T06:00:00Z", "end": "2026-11-28T06:00:00Z",
		"operations": []map[string]any{{"number": "0010", "workCentre": "W1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	m := message.Message{ID: fmt.Sprint("o", n), Source: "urn:erp", Kind: mes.OrderReleasedKind, Version: 1, Key: fmt.Sprint("order/", n), Time: time.Now(), Body: body}
	err = p.db.InTx(t.Context(), func(tx *store.Tx) error {
		if err := p.plant.Apply(t.Context(), tx, m); err != nil {
			return err
		}
		orders, err := p.plant.Orders(t.Context(), tx, mes.OrderFilter{}, mes.Page{})
		for _, o := range orders.Items {
			if o.ERPNumber == number {
				id = o.ID
			}
		}
		return err
	})
	if err != nil || id == "" {
		t.Fatalf("no order: %v", err)
	}
	return id
}

// deliverCanary settles what is owed with an answer of the ERP's.
func deliverCanary(t *testing.T, p *process) {
	t.Helper()
	err := p.db.InTx(t.Context(), func(tx *store.Tx) error {
		claims, err := p.outbox.Claim(t.Context(), tx, "a", "erp", 10, 1)
		if err != nil || len(claims) != 1 {
			return fmt.Errorf("%d lanes are claimed, want one: %w", len(claims), err)
		}
		c := claims[0]
		q := c.Messages[0]
		if !bytes.Contains(q.Body, []byte(canaryPerson)) {
			t.Errorf("claimed is %s, want it with %s", q.Body, canaryPerson)
		}
		done := outbox.Done{ID: q.ID, Epoch: q.Epoch, Number: q.Number, Sent: true, Receipt: message.Receipt{Document: "1", Answer: []byte(canaryAnswer)}}
		_, lost, err := p.outbox.Settle(t.Context(), tx, "erp", []outbox.Settlement{{Lane: c.Lane, Token: c.Token, Release: true, Done: []outbox.Done{done}}})
		if err == nil && len(lost) > 0 {
			err = &problem.Error{Kind: problem.Internal, What: "settle", Why: "the lane was lost"}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// dump is every row of every table of the schema, as text, with bytes in hex.
func dump(t *testing.T, db *store.DB) []byte {
	t.Helper()
	var all []string
	err := db.View(t.Context(), func(tx *store.Tx) error {
		var tables []string
		if err := tx.Select(t.Context(), &tables, `SELECT CAST(c.oid::regclass AS TEXT) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
			WHERE n.nspname = current_schema() AND c.relkind = 'r'`); err != nil {
			return err
		}
		for _, table := range tables {
			var rows []string
			if err := tx.Select(t.Context(), &rows, `SELECT CAST(r AS TEXT) FROM `+table+` AS r`); err != nil {
				return err
			}
			all = append(all, rows...)
		}
		return nil
	})
	if err != nil || len(all) < 20 {
		t.Fatalf("%d rows are dumped, %v", len(all), err)
	}
	return []byte(strings.Join(all, "\n"))
}

// confirmCanary confirms by the API, twice under one key, and takes a second confirmation back: answers that are kept for repetitions, and the
// audit record, hold what was said no more than the plant's own tables.
func confirmCanary(t *testing.T, p *process, order string) (id string) {
	t.Helper()
	type made struct{ ID, Text, Personnel string }
	post := func(path, key, body string) made {
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/v1/"+path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", key)
		w := httptest.NewRecorder()
		p.floors.api().Handler().ServeHTTP(w, r)
		var answer struct{ Confirmation made }
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusCreated {
			t.Fatalf("POST %s: %d %s, %v", path, w.Code, w.Body, err)
		}
		return answer.Confirmation
	}
	said := fmt.Sprintf(`{"order":%q,"operation":"0010","yield":"1","personnel":%q,"text":%q}`, order, canaryPerson, canaryBody)
	first, again, other := post("confirmations", "canary-0000000001", said), post("confirmations", "canary-0000000001", said), post("confirmations", "canary-0000000002", said)
	if again != first || first.Text != canaryBody || first.Personnel != canaryPerson {
		t.Errorf("confirmed %+v, and %+v by the same key", first, again)
	}
	post("confirmations/"+other.ID+"/reverse", "canary-0000000003", `{"reason":"a test"}`)
	return first.ID
}
