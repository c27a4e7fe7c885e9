package erpmock_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/adapters/erpmock"
	"holdfast/openapi"
)

// call sends a request straight into the handler.
func call(m *erpmock.Mock, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // a panic's value
			panic(p)
		}
	}()
	m.Handler().ServeHTTP(w, r)
	return w
}

func open(t *testing.T, path string) *erpmock.Mock {
	t.Helper()
	m, err := erpmock.New(openapi.ERP(), erpmock.Config{Ledger: path})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestALedgerOutlivesTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "erp.jsonl")
	m := open(t, path)
	call(m, "POST", "/materials", `{"number":"M1","description":"d","baseUnit":"PCE"}`)
	call(m, "POST", "/production-orders", anOrder)
	if err := m.SetFaults(erpmock.Fault{Kind: erpmock.Lost, Operation: "createConfirmation", Skip: 1}); err != nil {
		t.Fatal(err)
	}
	call(m, "POST", "/confirmations", aConf)
	call(m, "POST", "/confirmations", aConf)
	call(m, "POST", "/confirmations", `{}`)
	call(m, "POST", "/production-orders/000001000001/complete", `{"messageId":"t1"}`)
	want := m.Journal()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	tear(t, path)

	again := open(t, path)
	defer again.Close()
	if diff := cmp.Diff(want, again.Journal()); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
	if got := countOf(again, "c1"); got != 2 {
		t.Errorf("%d confirmations, want 2", got)
	}
	if w := call(again, "GET", "/production-orders/000001000001", ""); !strings.Contains(w.Body.String(), `"status":"completed"`) || w.Header().Get("ETag") != `"2"` {
		t.Errorf("order: %s %s", w.Header().Get("ETag"), w.Body)
	}
	if w := call(again, "GET", "/documents?messageId=t1", ""); !strings.Contains(w.Body.String(), "orderCompletion") {
		t.Errorf("documents: %s", w.Body)
	}
	call(again, "POST", "/materials", `{"number":"M2","description":"d","baseUnit":"PCE"}`)
	if got, want := again.Effects(), len(m.Effects())+1; len(got) != want || got[want-1].Seq != int64(want) {
		t.Errorf("effects go on at %d of %d, want %d", got[len(got)-1].Seq, len(got), want)
	}
}

// tear leaves half a line, as a crash in the middle of a write does.
func tear(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"entry":{"seq":99,"effe`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestALedgerThatIsDamagedInsideIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "erp.jsonl")
	if err := os.WriteFile(path, []byte("{\"entry\":{\"seq\":1}}\nnonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := erpmock.New(openapi.ERP(), erpmock.Config{Ledger: path}); err == nil || !strings.Contains(err.Error(), "byte 20") {
		t.Errorf("got %v, want an error at byte 20", err)
	}
}
