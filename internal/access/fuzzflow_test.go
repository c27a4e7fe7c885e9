package access

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"holdfast/internal/store/storetest"
)

// FuzzSignInCookie brings a browser back from a provider with anything as its cookie and its state: only a sign-in that the cookie itself names by
// that state, begun in the last ten minutes, goes on.
func FuzzSignInCookie(f *testing.F) {
	p := &Providers{sessions: &Sessions{db: storetest.SQLite(f)}}
	now := p.sessions.db.Now()
	for _, one := range []flow{{State: "s", Nonce: "n", Began: now.UnixMicro()}, {State: "s", Began: now.UnixMicro()}, {State: "s", Nonce: "n", Began: now.Add(-signInWithin - 1).UnixMicro()}} {
		text, err := json.Marshal(one)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text), "s")
		f.Add(string(text[:len(text)-1]), "s")
	}
	f.Add(`{"State":"","Nonce":""}`, "")
	f.Add("null", "null")
	f.Fuzz(func(t *testing.T, kept, state string) {
		r := httptest.NewRequest(http.MethodGet, "/?"+url.Values{"state": {state}}.Encode(), nil)
		r.AddCookie(p.sessions.flowCookie(base64.RawURLEncoding.EncodeToString([]byte(kept)), signInWithin))
		got, err := p.flow(r)
		if err != nil {
			return
		}
		if age := p.sessions.db.Now().UnixMicro() - got.Began; state == "" || got.State != state || got.Nonce == "" || age < 0 || age > signInWithin.Microseconds() {
			t.Errorf("%q with the state %q goes on as %+v", kept, state, got)
		}
	})
}
