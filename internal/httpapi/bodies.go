package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/body"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/openapi/contract"
)

const (
	bodies     = "/v1/bodies/" // and the digest: a dataref
	streamTime = body.Loose    // how long a transfer may take that goes on
	uploads    = 4             // bodies that are taken in at a time

	// mostIdle is how many bytes of bodies may wait for a message that names them: whoever sends bodies alone must not fill the disk.
	mostIdle = 16 * message.MaxBody
)

// streams tells whether an operation's body or answer is passed on piece by piece.
func streams(op *contract.Operation) bool { return op.Extension("x-holdfast-stream") == true }

// patient gives a transfer that goes on the time that it needs: each piece has a deadline of its own.
type patient struct {
	http.ResponseWriter
	io.ReadCloser
	each time.Duration
}

// Write implements http.ResponseWriter.
func (p *patient) Write(b []byte) (int, error) {
	_ = http.NewResponseController(p.ResponseWriter).SetWriteDeadline(time.Now().Add(p.each)) // where there is no connection, there is no deadline
	return p.ResponseWriter.Write(b)
}

// Read implements io.Reader.
func (p *patient) Read(b []byte) (int, error) {
	_ = http.NewResponseController(p.ResponseWriter).SetReadDeadline(time.Now().Add(p.each)) // as above
	return p.ReadCloser.Read(b)
}

// KeepBody answers POST /v1/bodies. The body is kept before the act, which is its entry in the audit record: one whose act fails is left
// to the sweep.
func (s *Server) KeepBody(ctx context.Context, r KeepBodyRequestObject) (KeepBodyResponseObject, error) {
	select {
	case s.uploads <- struct{}{}:
		defer func() { <-s.uploads }()
	default:
		return nil, keeping(problem.Unavailable, fmt.Sprintf("%d are taken in at the moment", uploads), "send it again a little later")
	}
	idle, err := body.Idle(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	if idle > mostIdle {
		return nil, keeping(problem.Full, fmt.Sprintf("%d bytes wait for messages that name them", idle), "send the messages first, or wait an hour until what is not named has gone")
	}
	l, err := s.keepBody(ctx, r)
	if err != nil {
		return nil, err
	}
	digest := hex.EncodeToString(l.Digest[:])
	made := BodyReceipt{Digest: digest, Bytes: l.Size, Dataref: bodies + digest}
	c := call{access.BodyKeep, "body/" + digest, "", r.Params.IdempotencyKey, made}
	made, _, err = act(ctx, s, c, func(context.Context, *store.Tx) (did[BodyReceipt], error) { return did[BodyReceipt]{value: made}, nil })
	return KeepBody201JSONResponse{Body: made, Headers: KeepBody201ResponseHeaders{Location: made.Dataref}}, err
}

func keeping(kind problem.Kind, why, hint string) error {
	return &problem.Error{Kind: kind, What: "keep a body", Why: why, Hint: hint}
}

// keepBody takes it in, unless it is too large, breaks off, or is not what its sender says.
func (s *Server) keepBody(ctx context.Context, r KeepBodyRequestObject) (*message.Large, error) {
	want, told, err := sha256Of(r.Params.ContentDigest)
	if err != nil {
		return nil, err
	}
	in := &cut{from: r.Body}
	l, err := body.Keep(ctx, s.DB, in, "", s.cfg.MaxBody)
	switch {
	case in.err != nil:
		return nil, &problem.Error{Kind: problem.Invalid, What: "keep a body", Why: "it broke off", Hint: "send it again from its beginning", Cause: in.err}
	case err != nil:
		return nil, err
	case told && want != l.Digest:
		return nil, keeping(problem.Integrity, "what came is not what Content-Digest says: it has "+l.String(), "send it again")
	}
	return l, nil
}

// cut remembers how what it reads from ended, if that was before its end.
type cut struct {
	from io.Reader
	err  error
}

// Read implements io.Reader.
func (c *cut) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		c.err = err
	}
	return n, err
}

// sha256Of finds the SHA-256 in a Content-Digest (RFC 9530). told is false where it has none; other digests are not looked at.
func sha256Of(header string) (sum [sha256.Size]byte, told bool, err error) {
	for _, one := range strings.Split(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(one), "=")
		if name != "sha-256" {
			continue
		}
		b, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(strings.TrimPrefix(value, ":"), ":"))
		if err != nil || len(b) != sha256.Size {
			return sum, false, &problem.Error{
				Kind: problem.Invalid, What: "keep a body", Why: "its Content-Digest cannot be read", Hint: "write sha-256=:BASE64: (RFC 9530)",
				Fields: []problem.Field{{Pointer: "Content-Digest", Why: "is not a SHA-256"}},
			}
		}
		return [sha256.Size]byte(b), true, nil
	}
	return sum, false, nil
}

// GetBody answers GET /v1/bodies/{digest}.
func (s *Server) GetBody(ctx context.Context, r GetBodyRequestObject) (GetBodyResponseObject, error) {
	digest, err := digestOf(r.Digest)
	if err != nil {
		return nil, err
	}
	l, err := body.Find(ctx, s.DB, digest)
	if err != nil {
		return nil, err
	}
	asked := &http.Request{Method: http.MethodGet, Header: http.Header{}}
	for name, value := range map[string]string{"Range": r.Params.Range, "If-Range": r.Params.IfRange, "If-None-Match": r.Params.IfNoneMatch} {
		if value != "" {
			asked.Header.Set(name, value)
		}
	}
	if !strings.HasPrefix(r.Params.Range, "bytes=") || strings.Contains(r.Params.Range, ",") {
		asked.Header.Del("Range") // of other units, and of several parts, the whole is given (RFC 9110 section 14.2)
	}
	return bodyAnswer{ctx, l, asked}, nil
}

func digestOf(text string) (sum [sha256.Size]byte, err error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != sha256.Size {
		return sum, &problem.Error{Kind: problem.Invalid, What: "read a digest", Why: "it is no SHA-256", Hint: "write its 64 hexadecimal digits"}
	}
	return [sha256.Size]byte(b), nil
}

// bodyAnswer is a body, or a part of it, as net/http serves files. What it is made of came from outside: nobody's browser shall show it.
type bodyAnswer struct {
	ctx   context.Context //nolint:containedctx // of the request, which the generated server does not hand over
	of    *message.Large
	asked *http.Request
}

// VisitGetBodyResponse implements GetBodyResponseObject.
func (a bodyAnswer) VisitGetBodyResponse(w http.ResponseWriter) error {
	r := body.Seek(a.ctx, a.of)
	defer r.Close()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", "attachment")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", fmt.Sprintf(`"%x"`, a.of.Digest))
	h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(a.of.Digest[:])+":")
	p := &part{ResponseWriter: w}
	http.ServeContent(p, a.asked, "", time.Time{}, r)
	if p.refused {
		h.Del("Content-Length")
		h.Del("Content-Disposition")
		return errRange
	}
	return nil
}

// errRange is told with status 416.
var errRange = &problem.Error{
	Kind: problem.Invalid, What: "read a part of a body", Why: "it has no such part", Hint: "Content-Range says how many bytes it has",
}

// part keeps net/http's own words from being sent where there is no such part: a problem document follows.
type part struct {
	http.ResponseWriter
	refused bool
}

// WriteHeader implements http.ResponseWriter.
func (p *part) WriteHeader(status int) {
	if p.refused = status == http.StatusRequestedRangeNotSatisfiable; !p.refused {
		p.ResponseWriter.WriteHeader(status)
	}
}

// Write implements http.ResponseWriter.
func (p *part) Write(b []byte) (int, error) {
	if p.refused {
		return len(b), nil
	}
	return p.ResponseWriter.Write(b)
}

// named has the message of an ERP take the body that it names.
func named(ctx context.Context, tx *store.Tx, m *message.Message, b *InboundCreate) error {
	has := 0
	for _, given := range []bool{len(bytes.TrimSpace(b.Data)) > 0, len(b.DataBase64) > 0, b.Dataref != ""} {
		if given {
			has++
		}
	}
	if has != 1 {
		return &problem.Error{
			Kind: problem.Invalid, What: "take message " + b.ID + " of " + b.Source, Why: "it must have either data, data_base64 or dataref", Hint: "give one of them",
			Fields: []problem.Field{{Pointer: "/data", Why: "or /data_base64 or /dataref, and no two"}},
		}
	}
	if b.Dataref == "" {
		return nil
	}
	digest, err := digestOf(strings.TrimPrefix(b.Dataref, bodies))
	if err == nil {
		m.Large, err = body.Take(ctx, tx, digest)
	}
	return err
}
