package relay_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/audit"
	"holdfast/internal/message"
	"holdfast/internal/relay"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// counted passes requests on to Vault and remembers them.
type counted struct {
	mu  sync.Mutex
	all []string
}

func (c *counted) seen() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.all)
}

// countCalls has the node reach Vault through a proxy that counts its requests. It shows no certificate there, so that it must be logged in already.
func countCalls(w *workshop) *counted {
	w.t.Helper()
	to, err := url.Parse(w.vault.Address)
	if err != nil {
		w.t.Fatal(err)
	}
	ca, err := os.ReadFile(w.vault.CA)
	if err != nil {
		w.t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(w.vault.CA, filepath.Join(filepath.Dir(w.vault.CA), "key.pem"))
	if err != nil {
		w.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	c := &counted{}
	pass := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.all = append(c.all, r.Method+" "+r.URL.Path)
		c.mu.Unlock()
		pass.ServeHTTP(rw, r)
	}))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	srv.StartTLS()
	w.t.Cleanup(srv.Close)
	w.front.set(srv.Listener.Addr().String())
	return c
}

// TestAPlantThatProducesHardlyAsksVault: messages are committed, signed, sealed at rest and relayed, the audit record has its checkpoints anchored each
// minute, and keys, epochs and the list of revoked keys are looked after. A real Vault is asked fewer than once for 10,000
// messages beside what is asked by the clock, so that a slow machine decides nothing.
func TestAPlantThatProducesHardlyAsksVault(t *testing.T) {
	const messages = 20_000
	w := openWorkshop(t)
	w.seals(seal.RestConfig{})
	newTree := func() *audit.Tree {
		return audit.NewTree(w.db, audit.Origin(string(seal.ForCheckpoint), workshopSource), "a", audit.Config{Lanes: w.out.Moved, Sign: func(ctx context.Context, origin, text string) (string, error) {
			own, err := w.ring.SignCheckpoint(origin, text)
			if err != nil {
				return "", err
			}
			anchored, err := w.keys.AnchorCheckpoint(ctx, origin, text)
			return own + anchored, err
		}, Check: func(ctx context.Context) (*seal.Notes, error) {
			anchors, err := w.keys.KnownAnchors(ctx)
			if err != nil {
				return nil, err
			}
			trust, err := w.ring.TrustSaid(ctx)
			if err != nil {
				return nil, err
			}
			return trust.Notes(audit.Origin(string(seal.ForCheckpoint), workshopSource), anchors), nil
		}}, quiet())
	}
	tree := newTree()
	calls := countCalls(w)
	mover := relay.New(w.db, w.out, nil, seal.Chain, map[string]relay.Link{"erp": {Deliverer: w}}, relay.Config{}, quiet())
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var work errgroup.Group
	for _, run := range []func(context.Context) error{mover.Run, w.ring.Run, w.keys.Run, w.rest.Run, tree.Run, w.db.Run} {
		work.Go(func() error { return run(ctx) })
	}
	defer func() {
		stop()
		if err := work.Wait(); err != nil {
			t.Error(err)
		}
	}()
	w.passes(ctx, 1, 2_000) // what is asked once at a start, such as the anchor's public key
	before := len(calls.seen())
	if before == 0 {
		t.Fatal("nothing goes through what counts")
	}
	began := time.Now()
	w.passes(ctx, 2_001, messages/2)
	if c, err := newTree().Seal(ctx); c == nil || err != nil { // that of a minute, however fast this machine is
		t.Errorf("no checkpoint: %v, %v", c, err)
	}
	w.passes(ctx, 2_001+messages/2, messages/2)
	got, took := calls.seen()[before:], time.Since(began)
	w.asks(calls)
	byTheClock := 2 * (1 + int(took/time.Minute)) // the anchor of each minute, the list of revoked keys every five: however little is produced
	t.Logf("%d messages in %s, Vault was asked %d times: %q", messages, took.Round(time.Second), len(got), got)
	if !slices.Contains(got, "PUT /v1/holdfast-transit/sign/anchor") {
		t.Error("no checkpoint was anchored")
	}
	if (len(got)-byTheClock)*10_000 >= messages {
		t.Errorf("Vault was asked %d times for %d messages, and %d times by the clock at most; want fewer than once for 10,000: %s", len(got), messages, byTheClock, strings.Join(got, ", "))
	}
}

// asks checks what one look at each thing costs that is looked at by the clock: docs/keys.md has the sum, and from which rate it is less than one
// call for 10,000 messages.
func (w *workshop) asks(calls *counted) {
	w.t.Helper()
	const text = "holdfast/audit/1/x\n1\nx\n"
	for _, one := range []struct {
		name string
		want int
		ask  func(ctx context.Context) error
	}{
		{"the list of revoked keys", 3, func(ctx context.Context) error { _, _, err := w.keys.Roots(ctx); return err }},
		{"the anchor", 1, func(ctx context.Context) error { _, err := w.keys.AnchorCheckpoint(ctx, "x", text); return err }},
		{"the anchor's public keys", 0, func(ctx context.Context) error { _, err := w.keys.KnownAnchors(ctx); return err }},
		{"whose signatures count", 0, func(ctx context.Context) error { _, err := w.ring.TrustSaid(ctx); return err }},
	} {
		before := len(calls.seen())
		if err := one.ask(w.t.Context()); err != nil {
			w.t.Error(err)
		}
		if got := calls.seen()[before:]; len(got) != one.want {
			w.t.Errorf("%s: asked %q, want %d calls", one.name, got, one.want)
		}
	}
}

// passes has the plant produce n messages, the first of that number, and waits until all are delivered.
func (w *workshop) passes(ctx context.Context, first, n int) {
	w.t.Helper()
	const atOnce = 500
	for done := 0; done < n; done += atOnce {
		err := w.db.InTx(ctx, func(tx *store.Tx) error {
			for i := range atOnce {
				m := message.Message{
					ID: fmt.Sprintf("m%d", first+done+i), Kind: "operation.confirmed", Version: 1, Key: "1", Time: tx.Now, Body: bodyOf(first + done + i), Place: message.Place{Role: message.Event},
				}
				if err := w.out.Append(ctx, tx, m); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			w.t.Fatal(err)
		}
		w.reaches("steady", first+done+atOnce-1)
	}
}
