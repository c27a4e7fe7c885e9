package odata

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"holdfast/adapters/odata/edm"
	"holdfast/adapters/wire"
)

// part is what a batch's answer says of one request.
type part struct {
	answer  wire.Answer
	missing bool // nothing is said of it: it may have taken effect
}

// batch sends groups of writes, each as one change set that takes effect as a whole or not at all, or reads, each a group of its own, and gives
// the parts of the answer as the groups were given. Without parts, the answer is to the batch as a whole.
func (c *Client) batch(ctx context.Context, m *edm.Model, groups [][]request) (parts [][]part, a wire.Answer, sent bool, err error) {
	r := request{method: http.MethodPost, path: "/$batch", header: http.Header{}}
	if m.Version == edm.V4 {
		r.header.Set("Prefer", "odata.continue-on-error")
	}
	asJSON := m.Version == edm.V4 && c.link.cfg.BatchFormat == JSON
	if asJSON {
		r.body, err = jsonBatch(groups)
		r.header.Set("Content-Type", "application/json")
		r.header.Set("Accept", "application/json")
	} else {
		r.body, err = multipartBatch(groups, m.Version, r.header)
		r.header.Set("Accept", "multipart/mixed")
	}
	if err != nil {
		return nil, a, false, err
	}
	a, sent, err = c.call(ctx, r)
	if err != nil || a.Status/100 != 2 || c.isPage(a) {
		return nil, a, sent, err
	}
	sizes := make([]int, 0, len(groups))
	for _, g := range groups {
		sizes = append(sizes, len(g))
	}
	if t, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type")); t == "application/json" {
		parts, err = jsonAnswers(a.Body, sizes)
	} else {
		parts, err = multipartAnswers(a.Body, a.Header.Get("Content-Type"), sizes)
	}
	if err != nil && a.Cut == nil {
		c.link.log.Warn("the answer to a batch cannot be read in full", "part", "odata", "service", c.name, "err", err)
	}
	for _, g := range parts {
		for i := range g {
			g[i].answer.At = a.At
		}
	}
	return parts, a, true, nil
}

// boundary is a text that no body has in it.
func boundary(kind string) string { return kind + "_" + rand.Text() }

// multipartBatch writes the form of V2 and V4.0. V4 asks for a Content-ID in change sets; SAP's V2 gateway refuses one.
func multipartBatch(groups [][]request, v edm.Version, h http.Header) ([]byte, error) {
	var b bytes.Buffer
	outer := boundary("batch")
	h.Set("Content-Type", "multipart/mixed; boundary="+outer)
	id := 0
	for _, g := range groups {
		if !g[0].writes() {
			id++
			fmt.Fprintf(&b, "--%s\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n", outer)
			if err := g[0].write(&b, v); err != nil {
				return nil, err
			}
			b.WriteString("\r\n")
			continue
		}
		inner := boundary("changeset")
		fmt.Fprintf(&b, "--%s\r\nContent-Type: multipart/mixed; boundary=%s\r\n\r\n", outer, inner)
		for _, r := range g {
			id++
			fmt.Fprintf(&b, "--%s\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n", inner)
			if v == edm.V4 {
				fmt.Fprintf(&b, "Content-ID: %d\r\n", id)
			}
			b.WriteString("\r\n")
			if err := r.write(&b, v); err != nil {
				return nil, err
			}
			b.WriteString("\r\n")
		}
		fmt.Fprintf(&b, "--%s--\r\n\r\n", inner)
	}
	fmt.Fprintf(&b, "--%s--\r\n", outer)
	return b.Bytes(), nil
}

// write writes a request as part of a batch, with an address below the service's root.
func (r request) write(b *bytes.Buffer, v edm.Version) error {
	fmt.Fprintf(b, "%s %s HTTP/1.1\r\n", r.method, r.relative())
	h := r.header.Clone()
	if h == nil {
		h = http.Header{}
	}
	if h.Get("Accept") == "" {
		h.Set("Accept", jsonType(v, false))
	}
	if r.writes() && (len(r.body) > 0 || v == edm.V2) {
		h.Set("Content-Length", strconv.Itoa(len(r.body)))
	}
	if err := h.Write(b); err != nil {
		return err
	}
	b.WriteString("\r\n")
	b.Write(r.body)
	return nil
}

func (r request) relative() string {
	if r.query != "" {
		return strings.TrimPrefix(r.path, "/") + "?" + r.query
	}
	return strings.TrimPrefix(r.path, "/")
}

// jsonBatch writes the form of V4.01.
func jsonBatch(groups [][]request) ([]byte, error) {
	type one struct {
		ID      string            `json:"id"`
		Group   string            `json:"atomicityGroup,omitempty"`
		Method  string            `json:"method"`
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers,omitempty"`
		Body    json.RawMessage   `json:"body,omitempty"`
	}
	var all []one
	for i, g := range groups {
		for j, r := range g {
			o := one{ID: partID(i, j), Method: r.method, URL: r.relative(), Body: r.body, Headers: map[string]string{}}
			if len(g) > 1 {
				o.Group = "g" + strconv.Itoa(i)
			}
			for name, vs := range r.header {
				o.Headers[strings.ToLower(name)] = vs[0]
			}
			all = append(all, o)
		}
	}
	return json.Marshal(map[string]any{"requests": all})
}

func partID(group, n int) string { return strconv.Itoa(group) + "." + strconv.Itoa(n) }

// jsonAnswers ties the answers of a JSON batch to the requests by their IDs.
func jsonAnswers(body []byte, sizes []int) ([][]part, error) {
	var got struct {
		Responses []struct {
			ID      string            `json:"id"`
			Status  int               `json:"status"`
			Headers map[string]string `json:"headers"`
			Body    json.RawMessage   `json:"body"`
		} `json:"responses"`
	}
	parts := unanswered(sizes)
	if err := json.Unmarshal(body, &got); err != nil {
		return parts, err
	}
	at := map[string]*part{}
	for i, g := range parts {
		for j := range g {
			at[partID(i, j)] = &g[j]
		}
	}
	for _, r := range got.Responses {
		p := at[r.ID]
		if p == nil || r.Status < 100 || r.Status > 599 {
			continue
		}
		h := http.Header{}
		for name, v := range r.Headers {
			h.Set(name, v)
		}
		*p = part{answer: wire.Answer{Status: r.Status, Header: h, Body: unwrapped(r.Body)}}
	}
	return together(parts), nil
}

// unwrapped is a body that is JSON, or text that JSON holds.
func unwrapped(body json.RawMessage) []byte {
	var text string
	if json.Unmarshal(body, &text) == nil {
		return []byte(text)
	}
	return body
}

// unanswered says nothing of anything.
func unanswered(sizes []int) [][]part {
	parts := make([][]part, len(sizes))
	for i, n := range sizes {
		parts[i] = make([]part, n)
		for j := range parts[i] {
			parts[i][j].missing = true
		}
	}
	return parts
}

// together lets no part of a change set count as done unless all are: what a service rolled back it may have answered with 201
// before. The error of one is that of all.
func together(parts [][]part) [][]part {
	for _, g := range parts {
		failed := slices.IndexFunc(g, func(p part) bool { return !p.missing && p.answer.Status >= 300 })
		lost := slices.ContainsFunc(g, func(p part) bool { return p.missing })
		for j := range g {
			switch {
			case failed >= 0 && (g[j].missing || g[j].answer.Status < 300):
				g[j] = g[failed]
			case failed < 0 && lost:
				g[j] = part{missing: true}
			}
		}
	}
	return parts
}

// multipartAnswers ties the parts of a multipart answer to the groups by their order, which the protocol keeps.
func multipartAnswers(body []byte, contentType string, sizes []int) ([][]part, error) {
	parts := unanswered(sizes)
	outer, err := reader(body, contentType)
	if err != nil {
		return parts, err
	}
	first := 1 // the Content-ID of the group's first request
	for i := range parts {
		p, err := outer.NextRawPart()
		if err != nil {
			return together(parts), ended(err)
		}
		text, err := io.ReadAll(p)
		if err != nil {
			return together(parts), err
		}
		if err := changeSet(parts[i], first, p.Header, text); err != nil {
			return together(parts), err
		}
		first += len(parts[i])
	}
	return together(parts), nil
}

func ended(err error) error {
	if err == io.EOF { //nolint:errorlint // multipart gives it bare at the end of the parts
		return fmt.Errorf("it has fewer parts than there were change sets")
	}
	return err
}

func reader(body []byte, contentType string) (*multipart.Reader, error) {
	t, params, err := mime.ParseMediaType(contentType)
	if err != nil || !strings.HasPrefix(t, "multipart/") || params["boundary"] == "" {
		return nil, fmt.Errorf("its content type is %.80q, no multipart", contentType)
	}
	return multipart.NewReader(bytes.NewReader(body), params["boundary"]), nil
}

// names tells whether a part may be the answer to a request: it has no Content-ID, or that of the request.
func names(h textproto.MIMEHeader, from, to int) bool {
	id := h.Get("Content-Id")
	n, err := strconv.Atoi(id)
	return id == "" || err == nil && n >= from && n <= to
}

// changeSet reads the answer to one change set, whose requests have the Content-IDs from first: a multipart of its own, or a single answer
// for all of it, which is an error's form. An answer that names another request is none.
func changeSet(g []part, first int, h textproto.MIMEHeader, text []byte) error {
	if !strings.HasPrefix(strings.ToLower(h.Get("Content-Type")), "multipart/") {
		a, err := httpPart(text)
		if err != nil {
			return err
		}
		if !names(h, first, first+len(g)-1) {
			return nil
		}
		if a.Status < 300 && len(g) > 1 {
			return fmt.Errorf("one good answer for a change set of %d", len(g))
		}
		for j := range g {
			g[j] = part{answer: a}
		}
		return nil
	}
	inner, err := reader(text, h.Get("Content-Type"))
	if err != nil {
		return err
	}
	for j := range g {
		p, err := inner.NextRawPart()
		if err == io.EOF { //nolint:errorlint // multipart gives it bare at the end of the parts
			return nil // some services answer only with the part that failed
		}
		if err != nil {
			return err
		}
		text, err := io.ReadAll(p)
		if err != nil {
			return err
		}
		a, err := httpPart(text)
		if err != nil {
			return err
		}
		if names(p.Header, first, first+len(g)-1) {
			g[j] = part{answer: a}
		}
	}
	return nil
}

// httpPart reads an answer inside of a part. Its body is all that follows: lengths that services count inside of parts are not
// reliable.
func httpPart(text []byte) (wire.Answer, error) {
	r := textproto.NewReader(bufio.NewReader(bytes.NewReader(text)))
	line, err := r.ReadLine()
	for err == nil && line == "" {
		line, err = r.ReadLine()
	}
	if err != nil {
		return wire.Answer{}, fmt.Errorf("a part has no answer in it: %w", err)
	}
	version, rest, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if err != nil || !strings.HasPrefix(version, "HTTP/") || status < 100 || status > 599 {
		return wire.Answer{}, fmt.Errorf("a part begins with %.40q, no status line", line)
	}
	h, err := r.ReadMIMEHeader()
	if err != nil && err != io.EOF { //nolint:errorlint // textproto gives it bare where no body follows
		return wire.Answer{}, fmt.Errorf("the headers of a part cannot be read: %w", err)
	}
	body, err := io.ReadAll(r.R)
	if err != nil {
		return wire.Answer{}, err
	}
	return wire.Answer{Status: status, Header: http.Header(h), Body: bytes.TrimRight(body, "\r\n")}, nil
}
