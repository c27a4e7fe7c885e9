package httpapi_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/httpapi"
	"holdfast/internal/job"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
	"holdfast/internal/token"
)

// TestALookOverTheAPI: who has the permission gets the value, for a reason, so many times in an hour; each look is on record, by whom and why, and
// neither the record, nor what is kept for repetitions, nor the log has the value.
func TestALookOverTheAPI(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		const value = "PN-canary-4711"
		sealAtRest(t, db)
		g := guard(t, open(t, db))
		tokens := token.New(token.Config{Fields: map[string][]string{"person": {"personnel"}}, Looks: 3})
		var kept string
		if err := db.InTx(t.Context(), func(tx *store.Tx) (err error) { kept, err = tokens.Of(t.Context(), tx, "person", value); return err }); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		srv := httptest.NewServer(httpapi.New(httpapi.Parts{
			Checker: orders{}, DB: db, Plant: g.mes, Outbox: g.out, Jobs: job.New(db, g.out, job.Config{}, slog.New(slog.DiscardHandler)), Inbox: g.in, Doer: access.New(db).Under(g.policy), Gate: access.NewGate(db, g.policy, nil, nil), Tokens: tokens,
		}, httpapi.Config{CheckAnswers: true}, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))).Handler())
		defer srv.Close()
		g.url = srv.URL

		path, why := "/v1/tokens/"+kept+"/reveal", object{"reason": "an accident report"}
		may := []string{"Authorization", "Bearer " + g.token("privacy", access.Rights{Roles: []string{"privacy"}}), "Idempotency-Key", "look-00000000001"}
		mayNot := []string{"Authorization", "Bearer " + g.token("operator", access.Rights{Roles: []string{"operator"}})}
		if a := g.call("POST", path, why, mayNot...); bytes.Contains(a.body, []byte(value)) {
			t.Error("whoever has no permission sees the value")
		} else {
			a.refused(t, 403, "denied")
		}
		g.call("POST", path, object{}, may...).refused(t, 400, "contract")
		g.call("POST", "/v1/tokens/"+token.Prefix+strings.Repeat("a", 26)+"/reveal", why, may...).refused(t, 404, "not-found")
		for range 2 { // the repetition is a look of its own
			var shown httpapi.RevealedValue
			a := g.call("POST", path, why, may...).want(t, 200, &shown)
			if want := (httpapi.RevealedValue{Token: kept, Class: "person", Value: value}); shown != want || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("got %+v, %q; want %+v, which nobody keeps", shown, a.header.Get("Cache-Control"), want)
			}
		}
		g.call("POST", path, why, may...).want(t, 200, nil)
		g.call("POST", path, why, may...).refused(t, 429, "too-many")
		wantLooks(t, g, kept, value)
		if strings.Contains(log.String(), value) {
			t.Errorf("the log has the value: %s", log.String())
		}
	})
}

// wantLooks wants on record what was looked up, and the value nowhere in the database.
func wantLooks(t *testing.T, g *guarded, kept, value string) {
	t.Helper()
	var record httpapi.AuditPage
	auditor := []string{"Authorization", "Bearer " + g.token("auditor", access.Rights{Roles: []string{"auditor"}})}
	g.call("GET", "/v1/audit-entries?action="+access.TokenReveal, nil, auditor...).want(t, 200, &record)
	outcomes := map[string]int{}
	for _, e := range record.Items {
		outcomes[string(e.Outcome)]++
		if e.Outcome == "done" && (e.Object != "token/"+kept || e.Reason != "an accident report" || !strings.Contains(e.Actor, "privacy")) {
			t.Errorf("on record is %+v, want who, why and which", e)
		}
	}
	if outcomes["done"] != 3 || outcomes["refused"] != 2 {
		t.Errorf("on record are %v, want three looks, and a refusal of what was no token and of the one too many", outcomes)
	}
	var copied bytes.Buffer
	if err := g.db.Copy(t.Context(), &copied, nil); err != nil {
		t.Fatal(err)
	}
	if sqlite := bytes.HasPrefix(copied.Bytes(), []byte("SQLite format 3")); sqlite && bytes.Contains(copied.Bytes(), []byte(value)) { // pg_dump packs what it writes
		t.Error("a copy of the database has the value")
	}
}

// sealAtRest has a database seal under a keyring of the plant's own.
func sealAtRest(t *testing.T, db *store.DB) {
	t.Helper()
	safe := seal.NewSafe(t.TempDir(), "a passphrase for a test", 1)
	if err := seal.InitLocal(safe, "1000", time.Now()); err != nil {
		t.Fatal(err)
	}
	rest, err := seal.OpenRest(t.Context(), db, seal.NewLocal(safe, "a", time.Hour, time.Now), seal.RestConfig{
		Begin: func(context.Context, *store.Tx) (may, whole bool, err error) { return true, true, nil },
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	db.SealWith(rest)
}
