package main

import (
	"context"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestEveryRouteOfTheOpsListenerIsOpen calls what watches the process with each role and with none: it asks for none, changes nothing, and is on a loopback
// address alone (TestConfigsAreChecked).
func TestEveryRouteOfTheOpsListenerIsOpen(t *testing.T) {
	db := storetest.SQLite(t)
	policy, err := access.NewPolicy("1000", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{floors: &floors{db: db, log: slog.New(slog.DiscardHandler)}, tel: &telemetry{registry: prometheus.NewRegistry()}, ring: ringOf(t, db)}
	open := []string{"GET /.well-known/jwks.json", "GET /livez", "GET /metrics", "GET /readyz"}
	mux, served := http.NewServeMux(), []string{}
	for pattern, h := range p.opsRoutes() {
		served = append(served, pattern)
		mux.Handle(pattern, h)
	}
	if slices.Sort(served); !slices.Equal(served, open) {
		t.Errorf("the listener serves %q, want %q: say here and in docs/access.md who may call what is new", served, open)
	}
	tokens := []string{""}
	for _, role := range policy.Roles() {
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			_, shown, err := policy.MakeToken(t.Context(), tx, "local:test", access.Token{Name: role, Rights: access.Rights{Roles: []string{role}}}, time.Hour)
			tokens = append(tokens, shown)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, pattern := range append(served, "GET /", "GET /v1/orders", "GET /console/", "POST /commands/v1") {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
			for _, token := range tokens {
				_, path, _ := strings.Cut(pattern, " ")
				r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
				if token != "" {
					r.Header.Set("Authorization", "Bearer "+token)
				}
				want := http.StatusNotFound
				if slices.Contains(open, pattern) {
					want = map[bool]int{true: http.StatusOK, false: http.StatusMethodNotAllowed}[method == http.MethodGet]
				}
				w := httptest.NewRecorder()
				if mux.ServeHTTP(w, r); w.Code != want {
					t.Errorf("%s %s, with a token: %t: %d, want %d", method, path, token != "", w.Code, want)
				}
			}
		}
	}
}

// ringOf are the keys of a node.
func ringOf(t *testing.T, db *store.DB) *seal.Ring {
	t.Helper()
	safe := seal.NewSafe(t.TempDir(), "correct horse", 10)
	if err := seal.InitLocal(safe, "1000", db.Now()); err != nil {
		t.Fatal(err)
	}
	node := seal.NodeURI("urn:plant:1000", "a")
	r, err := seal.OpenRing(t.Context(), db, seal.NewLocal(safe, node, time.Hour, db.Now), nil, node, seal.RingConfig{Now: db.Now}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestEveryCommandOnAServerIsPermittedToWhomTheTableSays begins each command that a server runs for others (POST /commands/v1) in the name of each role and
// of nobody's. What the command does is left out.
func TestEveryCommandOnAServerIsPermittedToWhomTheTableSays(t *testing.T) {
	config := shellConfig(t, "")
	cfg, err := loadConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := cfg.policy()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{floors: &floors{cfg: cfg, db: storetest.SQLite(t)}}
	p.gate = access.NewGate(p.db, policy, nil, nil)
	tried := 0
	for name, action := range verbs() {
		if !slices.Contains(remoteGroups, strings.Fields(name)[0]) {
			continue
		}
		tried++
		for _, role := range append(policy.Roles(), "") {
			by := access.Actor{Name: "token:x", Rights: access.Rights{Roles: []string{role}}}
			want := policy.May(by.Rights, action, "") || namesLink(runnable(rootCommand(), map[string]*cobra.Command{})[name]) && policy.MayOnSome(by.Rights, action)
			ctx := context.WithValue(t.Context(), calledKey{}, &called{p: p, by: by})
			if err := tryVerbIn(ctx, t, config, name); (problem.KindOf(err) != problem.Denied) != want {
				t.Errorf("holdfast %s for %q elsewhere: %v, and it is permitted: %t", name, role, err, want)
			}
		}
	}
	if tried < 30 {
		t.Errorf("only %d commands were tried", tried)
	}
}

// TestEveryListenerIsInAMatrix: whatever serves HTTP, or puts an address into a mux, is named here with the test that calls all of it. The ERP that tests and
// the demo have on loopback is no part of a plant.
func TestEveryListenerIsInAMatrix(t *testing.T) {
	tests := map[string]string{
		"cmd/holdfast/ops.go":          "TestEveryRouteOfTheOpsListenerIsOpen",
		"internal/httpapi/server.go":   "TestEveryRouteOfTheListenerIsPermittedToWhomTheTableSays",
		"internal/httpapi/pages.go":    "TestEveryRouteOfTheListenerIsPermittedToWhomTheTableSays",
		"internal/httpapi/api.gen.go":  "TestEveryOperationIsPermittedToWhomTheTableSays",
		"internal/console/console.go":  "TestEveryPageAndActIsPermittedToWhomTheTableSays",
		"adapters/sap/idoc/receive.go": "TestSAPIsAnsweredOnceTheInboxHasIt",
	}
	serves := regexp.MustCompile(`http\.Server\{|\.HandleFunc\(|\bmux\.Handle\(`)
	seen, all := map[string]bool{}, ""
	root := filepath.Join("..", "..")
	for _, part := range []string{"cmd", "internal", "adapters"} {
		err := filepath.WalkDir(filepath.Join(root, part), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && d.Name() == "erpmock" {
				return fs.SkipDir
			}
			if err != nil || filepath.Ext(path) != ".go" {
				return err
			}
			text, err := os.ReadFile(path)
			name := filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))
			if strings.HasSuffix(name, "_test.go") {
				all += string(text)
			} else if serves.Match(text) {
				if seen[name] = true; !has(tests, name) {
					t.Errorf("%s serves HTTP, and no test is said to call all of it with every role and with none", name)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range tests {
		if !seen[name] {
			t.Errorf("%s serves nothing: take its row out", name)
		}
		if !strings.Contains(all, "func "+test+"(t *testing.T)") && test != "" {
			t.Errorf("%s: there is no %s", name, test)
		}
	}
}

func has(tests map[string]string, name string) bool {
	_, is := tests[name]
	return is
}
