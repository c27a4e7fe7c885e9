package httpapi_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"holdfast/internal/access"
	"holdfast/internal/httpapi"
	"holdfast/internal/inbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

func fieldOf(sum [sha256.Size]byte) string {
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// upload keeps a body, whose length is not told before.
func (p *plant) upload(t *testing.T, r io.Reader, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", p.url+"/v1/bodies", struct{ io.Reader }{r})
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, got}
}

// TestALargeBodyComesInAndGoesOut has an ERP keep a document over every limit of a request, name it in a message, and read it back.
func TestALargeBodyComesInAndGoesOut(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		p.run()
		text, err := json.Marshal(object{"number": "M1", "note": strings.Repeat("x", 3<<20)})
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(text)
		var kept httpapi.BodyReceipt
		for range 2 { // the same key is one act, the same body one body
			a := p.upload(t, bytes.NewReader(text), "Content-Digest", "sha-512=:AA==:, "+fieldOf(sum), "Idempotency-Key", "a-large-document-0001")
			a.want(t, 201, &kept)
			want := httpapi.BodyReceipt{Digest: fmt.Sprintf("%x", sum), Bytes: int64(len(text)), Dataref: fmt.Sprintf("/v1/bodies/%x", sum)}
			if kept != want || a.header.Get("Location") != want.Dataref {
				t.Fatalf("kept as %+v at %q, want %+v", kept, a.header.Get("Location"), want)
			}
		}
		e := event("m1", "material.changed", nil, "dataref", kept.Dataref)
		delete(e, "data")
		p.call("POST", "/v1/inbound-messages", e).want(t, 202, nil)
		number := p.becomes(t, httpapi.InboundStateQuarantined).Number // the plant's materials have no note
		var d httpapi.InboundDetail
		p.call("GET", fmt.Sprintf("/v1/inbound-messages/%d", number), nil).want(t, 200, &d)
		if want := fmt.Sprintf(`{"bytes":%d,"sha256":"%x"}`, len(text), sum); string(d.Body) != want {
			t.Errorf("shown as %s, want %s", d.Body, want)
		}
		whole := p.call("GET", kept.Dataref, nil).want(t, 200, nil)
		if !bytes.Equal(whole.body, text) || whole.header.Get("Content-Length") != fmt.Sprint(len(text)) || whole.header.Get("Repr-Digest") != fieldOf(sum) {
			t.Errorf("%d bytes came back, with %v", len(whole.body), whole.header)
		}
		var record httpapi.AuditPage
		p.call("GET", "/v1/audit-entries?action=body.keep", nil).want(t, 200, &record)
		if len(record.Items) != 1 || record.Items[0].Object != "body/"+kept.Digest {
			t.Errorf("the audit record has %+v, want one entry of %s", record.Items, kept.Digest)
		}
	})
}

func TestAPartOfALargeBodyIsRead(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	text := bytes.Repeat([]byte("0123456789"), 20_000)
	sum := sha256.Sum256(text)
	var kept httpapi.BodyReceipt
	p.upload(t, bytes.NewReader(text)).want(t, 201, &kept)
	etag := fmt.Sprintf(`"%x"`, sum)
	tests := []struct {
		name   string
		header []string
		status int
		want   []byte
		length string
	}{
		{"the rest", []string{"Range", "bytes=150001-", "If-Range", etag}, 206, text[150001:], "bytes 150001-199999/200000"},
		{"the middle", []string{"Range", "bytes=65530-131080"}, 206, text[65530:131081], "bytes 65530-131080/200000"},
		{"the end", []string{"Range", "bytes=-5"}, 206, text[199995:], "bytes 199995-199999/200000"},
		{"of another body", []string{"Range", "bytes=5-", "If-Range", `"other"`}, 200, text, ""},
		{"several parts", []string{"Range", "bytes=0-1,5-6"}, 200, text, ""},
		{"another unit", []string{"Range", "lines=1-2"}, 200, text, ""},
		{"behind the end", []string{"Range", "bytes=200000-"}, 416, nil, "bytes */200000"},
		{"what is here already", []string{"If-None-Match", etag}, 304, []byte{}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := p.call("GET", kept.Dataref, nil, tt.header...)
			if tt.status == 416 {
				a.refused(t, 416, "invalid")
			} else if a.status != tt.status || !bytes.Equal(a.body, tt.want) || a.header.Get("ETag") != etag {
				t.Errorf("status %d, %d bytes, ETag %s; want %d, %d bytes, %s", a.status, len(a.body), a.header.Get("ETag"), tt.status, len(tt.want), etag)
			}
			if got := a.header.Get("Content-Range"); got != tt.length {
				t.Errorf("Content-Range %q, want %q", got, tt.length)
			}
		})
	}
	p.call("GET", "/v1/bodies/"+strings.Repeat("0", 64), nil).refused(t, 404, "not-found")
	p.call("GET", "/v1/bodies/XYZ", nil).refused(t, 400, "contract")
}

func TestALargeBodyThatIsNotTakenIsRefused(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	p.serve(httpapi.Config{CheckAnswers: true, MaxBody: 2 << 20})
	text := bytes.Repeat([]byte("x"), 2<<20)
	tests := []struct {
		name   string
		body   io.Reader
		header []string
		status int
		code   string
	}{
		{"a byte too much", io.MultiReader(bytes.NewReader(text), strings.NewReader("x")), nil, 413, "too-large"},
		{"another than was sent", bytes.NewReader(text), []string{"Content-Digest", fieldOf(sha256.Sum256([]byte("other")))}, 422, "integrity"},
		{"a digest that is none", bytes.NewReader(text), []string{"Content-Digest", "sha-256=:AAAA:"}, 422, "invalid"},
		{"another media type", bytes.NewReader(text), []string{"Content-Type", "application/json"}, 400, "contract"},
		{"just as much as may be", bytes.NewReader(text), nil, 201, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if a := p.upload(t, tt.body, tt.header...); tt.code != "" {
				a.refused(t, tt.status, tt.code)
			} else {
				a.want(t, tt.status, nil)
			}
		})
	}
}

// TestABodyThatIsTooLargeIsRefusedBeforeItIsSent tells the length first: nobody reads what is not taken.
func TestABodyThatIsTooLargeIsRefusedBeforeItIsSent(t *testing.T) {
	req := httptest.NewRequest("POST", "http://127.0.0.1/v1/bodies", iotest.ErrReader(io.ErrUnexpectedEOF))
	req.ContentLength = 1001
	req.Header.Set("Content-Type", "application/octet-stream")
	w := httptest.NewRecorder()
	httpapi.New(httpapi.Parts{}, httpapi.Config{CheckAnswers: true, MaxBody: 1000}, slog.New(slog.DiscardHandler)).Handler().ServeHTTP(w, req)
	got := answer{w.Code, w.Result().Header, w.Body.Bytes()}.refused(t, 413, "too-large")
	if !strings.Contains(got.Detail, "1000") || !strings.Contains(got.Hint, "inbox.max_body") {
		t.Errorf("refused with %+v, want the limit and where it is set", got)
	}
}

func TestAMessageOverTheLimitOfTheInboxIsRefusedAsTooLarge(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		p.in = inbox.New(db, mapping{}, p.mes.Apply, inbox.Config{MaxBody: 1000}, slog.New(slog.DiscardHandler))
		p.serve(httpapi.Config{CheckAnswers: true, BodyLimit: 64 << 10})
		large := object{"number": "M1", "note": strings.Repeat("x", 2000)}
		p.call("POST", "/v1/inbound-messages", event("m1", "material.changed", large)).refused(t, 413, "too-large")
		large["note"] = strings.Repeat("x", 64<<10)
		got := p.call("POST", "/v1/inbound-messages", event("m1", "material.changed", large)).refused(t, 413, "too-large")
		if !strings.Contains(got.Hint, "/v1/bodies") {
			t.Errorf("the hint is %q, and does not say how it is sent", got.Hint)
		}
		var kept httpapi.BodyReceipt
		p.upload(t, strings.NewReader(strings.Repeat("x", 2000))).want(t, 201, &kept)
		e := event("m2", "material.changed", nil, "dataref", kept.Dataref)
		delete(e, "data")
		p.call("POST", "/v1/inbound-messages", e).refused(t, 413, "too-large")
	})
}

func TestAMessageHasEitherDataOrANameOfIt(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	unknown := "/v1/bodies/" + strings.Repeat("0", 64)
	p.call("POST", "/v1/inbound-messages", event("m1", "material.changed", material("x"), "dataref", unknown)).refused(t, 422, "invalid")
	e := event("m1", "material.changed", nil)
	delete(e, "data")
	p.call("POST", "/v1/inbound-messages", e).refused(t, 422, "invalid")
	e["dataref"] = unknown
	p.call("POST", "/v1/inbound-messages", e).refused(t, 404, "not-found")
	e["dataref"] = "https://example.org/elsewhere"
	p.call("POST", "/v1/inbound-messages", e).refused(t, 400, "contract")
}

// TestAnUploadThatBreaksOffIsNotKept: nothing can name it, and it goes at once.
func TestAnUploadThatBreaksOffIsNotKept(t *testing.T) {
	db := storetest.SQLite(t)
	api := httpapi.New(httpapi.Parts{DB: db, Doer: access.New(db)}, httpapi.Config{CheckAnswers: true}, slog.New(slog.DiscardHandler)).Handler()
	req := httptest.NewRequest("POST", "http://127.0.0.1/v1/bodies", io.MultiReader(strings.NewReader(strings.Repeat("x", 3<<20)), iotest.ErrReader(io.ErrUnexpectedEOF)))
	req.Header.Set("Content-Type", "application/octet-stream")
	w := httptest.NewRecorder()
	api.ServeHTTP(w, req)
	answer{w.Code, w.Result().Header, w.Body.Bytes()}.refused(t, 422, "invalid")
}
