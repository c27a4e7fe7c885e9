package relay_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/port"
	"holdfast/internal/problem"
	"holdfast/internal/relay"
	"holdfast/internal/seal"
	"holdfast/internal/seal/vaulttest"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

const (
	workshopSource = "urn:holdfast:plant:1000"
	workshopAhead  = 40 // messages that are owed and not delivered, at most
)

// workshop is a plant that produces without a pause: what it appends is signed with a key that a real Vault has certified, sealed under data keys of
// the same Vault (seals), relayed, and checked by a receiver that has public keys alone.
type workshop struct {
	t     *testing.T
	vault *vaulttest.Server
	front *front
	keys  *seal.Vault
	safe  *seal.Safe
	node  string
	role  string // its role_id
	dir   string
	db    *store.DB
	out   *outbox.Outbox
	ring  *seal.Ring
	rest  *seal.Rest
	roots seal.Bundle

	mu      sync.Mutex
	moved   *sync.Cond
	ended   bool
	owed    int
	got     int
	next    int64 // number of the lane that comes next
	trust   *seal.Trust
	trouble []string
	stolen  seal.KeyID // what this one signed before it was revoked counts for nothing, rightly
}

func openWorkshop(t *testing.T, env ...string) *workshop {
	t.Helper()
	w := &workshop{t: t, vault: vaulttest.Start(t), node: seal.NodeURI(workshopSource, "a"), dir: t.TempDir(), db: storetest.SQLite(t), next: 1}
	w.moved = sync.NewCond(&w.mu)
	w.front = openFront(t, w.vault)
	w.vault.Setup(t, env, "plant", "1000")
	w.role = strings.TrimPrefix(w.vault.Setup(t, env, "node", "a", w.node), "role_id: ")
	wrapped := filepath.Join(t.TempDir(), "wrapped")
	if err := os.WriteFile(wrapped, []byte(w.vault.Setup(t, nil, "secret-id", "a")), 0o600); err != nil {
		t.Fatal(err)
	}
	w.safe = seal.NewSafe(w.dir, "correct horse", 10)
	w.keys = w.keyring(wrapped)
	var err error
	if w.ring, err = seal.OpenRing(t.Context(), w.db, w.keys, w.safe, w.node, seal.RingConfig{}, quiet()); err != nil {
		t.Fatal(err)
	}
	if w.roots.Roots, _, err = w.keys.Roots(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.out = outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp"}}, workshopSource, outbox.Config{})
	w.out.SignWith(w.ring)
	return w
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// keyring is node a's at the Vault behind the front.
func (w *workshop) keyring(wrapped string) *seal.Vault {
	w.t.Helper()
	v, err := seal.NewVault(seal.VaultConfig{Address: w.front.address, CA: w.vault.CA, Role: "a", Wrapped: wrapped, RoleID: w.role}, w.safe, w.node, quiet())
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// start starts everything; all of it has ended when the test has.
func (w *workshop) start() {
	mover := relay.New(w.db, w.out, nil, seal.Chain, map[string]relay.Link{"erp": {Deliverer: w}}, relay.Config{}, quiet())
	ctx, stop := context.WithCancel(context.WithoutCancel(w.t.Context()))
	var work errgroup.Group
	for _, run := range []func(context.Context) error{w.produce, mover.Run, w.ring.Run, w.rest.Run, w.keys.Run, w.db.Run} {
		work.Go(func() error { return run(ctx) })
	}
	w.t.Cleanup(func() {
		stop()
		w.mu.Lock()
		w.ended = true
		w.moved.Broadcast()
		w.mu.Unlock()
		if err := work.Wait(); err != nil {
			w.t.Error(err)
		}
	})
}

// produce appends one message after the other, and waits where too many are on their way.
func (w *workshop) produce(ctx context.Context) error {
	for n := 1; ; n++ {
		w.mu.Lock()
		for !w.ended && w.owed-w.got >= workshopAhead {
			w.moved.Wait()
		}
		ended := w.ended
		w.mu.Unlock()
		if ended || ctx.Err() != nil {
			return nil
		}
		m := message.Message{
			ID: fmt.Sprintf("m%d", n), Kind: "operation.confirmed", Version: 1, Key: "1", Time: time.Now(), Body: bodyOf(n), Place: message.Place{Role: message.Event},
		}
		err := w.db.InTx(ctx, func(tx *store.Tx) error { return w.out.Append(ctx, tx, m) })
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("the plant stands still: %w", err)
		}
		w.mu.Lock()
		w.owed++
		w.mu.Unlock()
	}
}

// Deliver is the receiver.
func (w *workshop) Deliver(ctx context.Context, ds []message.Delivery) []message.Outcome {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]message.Outcome, len(ds))
	for i, d := range ds {
		m := d.Event.Message()
		if m.Number != w.next {
			w.trouble = append(w.trouble, fmt.Sprintf("number %d came, %d is next", m.Number, w.next))
		}
		w.next = m.Number + 1
		if want := bodyOf(int(m.Number)); !bytes.Equal(m.Body, want) {
			w.trouble = append(w.trouble, fmt.Sprintf("number %d came as %s, want %s", m.Number, m.Body, want))
		}
		if err := w.check(ctx, m); err != nil && (m.Origin == nil || m.Origin.Key != w.stolen) {
			w.trouble = append(w.trouble, err.Error())
		}
		w.got++
		out[i] = message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Document: m.ID, Status: http.StatusOK, At: time.Now()}}
	}
	w.moved.Broadcast()
	return out
}

// Ask is never needed: Deliver has an answer to everything.
func (w *workshop) Ask(context.Context, message.Delivery) (message.Outcome, error) {
	return message.Outcome{Verdict: message.Unsure}, nil
}

// check has the public keys read again for a key that is new. It needs mu.
func (w *workshop) check(ctx context.Context, m message.Message) error {
	if w.trust != nil {
		if _, err := w.trust.VerifyMessage(m); err == nil {
			return nil
		}
	}
	b := w.roots
	err := w.db.View(ctx, func(tx *store.Tx) (err error) {
		b.Keys, err = seal.Archive(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	w.trust = b.Trust()
	_, err = w.trust.VerifyMessage(m)
	return err
}

// delivers waits until n more messages have come through, each with a good signature.
func (w *workshop) delivers(when string, n int) {
	w.t.Helper()
	w.mu.Lock()
	upto := w.got + n
	w.mu.Unlock()
	w.reaches(when, upto)
}

// reaches waits until so many messages have come through, each with a good signature.
func (w *workshop) reaches(when string, upto int) {
	w.t.Helper()
	late := time.AfterFunc(2*time.Minute, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.trouble = append(w.trouble, "nothing comes through any more")
		w.moved.Broadcast()
	})
	defer late.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.got < upto && len(w.trouble) == 0 {
		w.moved.Wait()
	}
	if len(w.trouble) > 0 {
		w.t.Fatalf("%s: %s", when, w.trouble[0])
	}
}

// certified waits for a new key.
func (w *workshop) certified(when string) {
	w.t.Helper()
	var err error
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); w.delivers(when, 5) {
		if err = w.ring.Rotate(w.t.Context()); err == nil {
			return
		}
	}
	w.t.Fatalf("%s: no new key: %v", when, err)
}

// past lets the plant produce until d has passed.
func (w *workshop) past(when string, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); w.delivers(when, 1) {
	}
}

// TestThePlantProducesThroughVaultsTroubles strikes a real Vault in every way, one after the other, while the plant produces: messages are
// signed, sealed and delivered all the while, none fails, and once Vault is well the node has a new key. Epochs of what is sealed turn meanwhile, by the
// seeds that lie ready, and Vault makes others once it is well.
func TestThePlantProducesThroughVaultsTroubles(t *testing.T) {
	w := openWorkshop(t, "TOKEN_PERIOD=2s")
	w.seals(seal.RestConfig{Turn: epochTurn, Ahead: epochsAhead, Rewrap: time.Second, Safe: w.safe, File: "rest.age"})
	w.start()
	w.delivers("after the login", 20)
	admin := func() { w.vault.Setup(t, []string{"TOKEN_PERIOD=2s"}, "node", "a", w.node) }
	tests := []struct {
		name   string
		strike func()
		want   problem.Kind // of an attempt at a new key meanwhile
		words  string
		heal   func()
	}{
		{"the token is renewed past its end", func() { w.past("renewal", 5*time.Second) }, "", "", func() {}},
		{"keys rotate under load", func() {
			for range 10 {
				w.certified("rotation")
				w.rewraps()
				w.delivers("rotation", 10)
			}
		}, "", "", func() {}},
		{"sealed for longer than a token lives", func() { w.vault.Seal(t); w.past("sealed", 4*time.Second) }, problem.Unavailable, "", func() { w.vault.Unseal(t) }},
		{"stopped, also at another start", func() { w.vault.Stop(t); w.startsAgain() }, problem.Unavailable, "", func() { w.vault.Restart(t); w.vault.Unseal(t) }},
		{"slow", func() { w.front.set(w.front.vault, latency(300), trickle) }, "", "", w.front.heal},
		{"slow beyond patience", func() { w.front.set(w.front.vault, latency(60_000)) }, problem.Unavailable, "", w.front.heal},
		{"breaks off its answers", func() { w.front.set(w.front.vault, `{"type": "limit_data", "attributes": {"bytes": 3000}}`) }, problem.Unavailable, "", w.front.heal},
		{"answers 500", func() { w.front.set(w.front.broken) }, problem.Unavailable, "500", w.front.heal},
		{"its tokens are revoked", func() { w.forget() }, "", "", func() {}},
		{"the policy lacks something", func() { w.policy(`path "auth/token/renew-self" { capabilities = ["update"] }`) }, problem.Denied, "update on holdfast-pki/sign/a", admin},
		{"the node's key is revoked", w.revoke, "", "", func() {}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.strike()
			w.delivers(tt.name, 30)
			w.turns(tt.name)
			var err error
			for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); w.delivers(tt.name, 5) {
				if err = w.ring.Rotate(t.Context()); problem.KindOf(err) == tt.want && (err == nil || strings.Contains(err.Error(), tt.words)) {
					break
				}
			}
			if problem.KindOf(err) != tt.want || err != nil && !strings.Contains(err.Error(), tt.words) {
				t.Errorf("a new key meanwhile: got %v, want kind %q with %q", err, tt.want, tt.words)
			}
			w.delivers(tt.name, 30)
			tt.heal()
			w.certified(tt.name)
			w.ready(tt.name)
			w.delivers("after: "+tt.name, 20)
			w.keptSealed(tt.name)
		})
	}
}

// latency delays what Vault answers by so many milliseconds; trickle lets 20 KB/s through.
func latency(ms int) string {
	return fmt.Sprintf(`{"type": "latency", "attributes": {"latency": %d}}`, ms)
}

const trickle = `{"type": "bandwidth", "attributes": {"rate": 20}}`

// startsAgain starts the node's keys a second time without Vault: with the key that is sealed it works, without it is said why not.
func (w *workshop) startsAgain() {
	w.t.Helper()
	v := w.keyring("/nowhere")
	if _, err := seal.OpenRing(w.t.Context(), w.db, v, nil, w.node, seal.RingConfig{}, quiet()); problem.KindOf(err) != problem.Unavailable {
		w.t.Errorf("cold start denied: got %v, want that Vault does not answer", err)
	}
	r, err := seal.OpenRing(w.t.Context(), w.db, v, w.safe, w.node, seal.RingConfig{}, quiet())
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := r.Sign(seal.ForCheckpoint, []byte("digest")); err != nil {
		w.t.Errorf("cold start with the sealed key: %v", err)
	}
	if _, err := seal.OpenRest(w.t.Context(), w.db, v, seal.RestConfig{Turn: epochTurn, Ahead: epochsAhead}, quiet()); problem.KindOf(err) != problem.Unavailable {
		w.t.Errorf("cold start of what is sealed denied: got %v, want that Vault does not answer", err)
	}
	rest, err := seal.OpenRest(w.t.Context(), w.db, v, seal.RestConfig{Turn: epochTurn, Ahead: epochsAhead, Safe: w.safe, File: "rest.age"}, quiet())
	if err != nil || !rest.Seals() {
		w.t.Errorf("cold start with the sealed seeds: %v", err)
	}
}

func (w *workshop) forget() {
	w.t.Helper()
	if _, err := w.vault.Admin(w.t).Logical().Write("sys/leases/revoke-prefix/auth/holdfast-cert", nil); err != nil {
		w.t.Fatal(err)
	}
}

func (w *workshop) policy(text string) {
	w.t.Helper()
	if err := w.vault.Admin(w.t).Sys().PutPolicy("holdfast-a", text); err != nil {
		w.t.Fatal(err)
	}
}

// revoke has the key of the moment count for nothing, at the plant and at Vault; the node makes another one by itself.
func (w *workshop) revoke() {
	w.t.Helper()
	key := w.ring.State().Key
	w.mu.Lock()
	w.stolen = key
	w.mu.Unlock()
	var a seal.Archived
	err := w.db.InTx(w.t.Context(), func(tx *store.Tx) (err error) {
		a, err = seal.Revoke(w.t.Context(), tx, key, "stolen")
		return err
	})
	if err == nil {
		err = w.keys.As(w.vault.Token).Revoke(w.t.Context(), a.Chain[0])
	}
	if err != nil {
		w.t.Fatal(err)
	}
	for end := time.Now().Add(2 * time.Minute); w.ring.State().Key == key; w.delivers("revoked", 1) {
		if time.Now().After(end) {
			w.t.Fatal("the node keeps the key that was revoked")
		}
	}
}

// front is a Toxiproxy before Vault. The node reaches Vault through it alone.
type front struct {
	t       *testing.T
	server  *toxiproxy.ApiServer
	proxy   *toxiproxy.Proxy
	address string // https://…
	vault   string
	broken  string // answers 500 to everything, with Vault's certificate
}

func openFront(t *testing.T, s *vaulttest.Server) *front {
	t.Helper()
	u, err := url.Parse(s.Address)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(s.CA, filepath.Join(filepath.Dir(s.CA), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	broken := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"errors":["out of order"]}`, http.StatusInternalServerError)
	}))
	broken.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	broken.StartTLS()
	t.Cleanup(broken.Close)
	f := &front{
		t: t, server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), vault: u.Host, broken: broken.Listener.Addr().String(),
	}
	ports, err := port.Free(1) // set listens on it again
	if err != nil {
		t.Fatal(err)
	}
	f.to(f.vault, fmt.Sprintf("127.0.0.1:%d", ports[0]))
	f.address = "https://" + f.proxy.Listen
	t.Cleanup(func() { f.proxy.Stop() })
	return f
}

// set ends every connection; from now on they go to a host (as they did at first), each with the toxics.
func (f *front) set(host string, toxics ...string) {
	f.t.Helper()
	f.proxy.Stop()
	f.to(host, f.proxy.Listen, toxics...)
}

func (f *front) to(host, listen string, toxics ...string) {
	f.t.Helper()
	f.proxy = toxiproxy.NewProxy(f.server, "vault", listen, host)
	for _, x := range toxics {
		if _, err := f.proxy.Toxics.AddToxicJson(strings.NewReader(x)); err != nil {
			f.t.Fatal(err)
		}
	}
	if err := f.proxy.Start(); err != nil {
		f.t.Fatal(err)
	}
}

func (f *front) heal() { f.set(f.vault) }
