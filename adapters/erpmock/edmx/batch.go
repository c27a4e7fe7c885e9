package edmx

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/odata/edm"
)

// work is one unit of a batch: a read, or a change set.
type work struct {
	ids   []string
	calls []call
	set   bool
}

// batch carries out the parts of a batch one after the other. The mutex is held.
func (m *Mock) batch(e *erpmock.Entry, c call) answer {
	t, params, err := mime.ParseMediaType(c.header.Get("Content-Type"))
	var units []work
	switch {
	case err == nil && t == "multipart/mixed":
		units, err = m.multipartUnits(c, params["boundary"])
	case err == nil && t == "application/json" && m.model.Version == edm.V4:
		units, err = m.jsonUnits(c)
	default:
		return m.refused(bad(415, "/IWFND/CM_MGW/415", "", "The content type of the batch is not supported"))
	}
	if err != nil {
		return m.refused(bad(400, "/IWFND/CM_MGW/096", "", "The batch is malformed: %v", err))
	}
	goesOn := m.model.Version == edm.V2 || strings.Contains(c.header.Get("Prefer"), "continue-on-error")
	var answers [][]answer
	for _, u := range units {
		all := m.unit(e, u)
		if answers = append(answers, all); all[len(all)-1].status >= 400 && !goesOn {
			break
		}
	}
	if t == "application/json" {
		return m.jsonAnswer(units, answers)
	}
	return m.multipartAnswer(units, answers)
}

// unit carries out a change set as a whole or not at all; its failure is one answer.
func (m *Mock) unit(e *erpmock.Entry, u work) []answer {
	var all []answer
	var txs []*transaction
	for _, c := range u.calls {
		part := &erpmock.Entry{At: e.At, Operation: "part", Method: c.method, Path: c.path, Body: string(c.body), Delivered: e.Delivered, Open: true}
		m.identify(part, c)
		m.enter(part)
		tx := m.begin(part)
		a := m.do(tx, c)
		txs = append(txs, tx)
		part.Status, part.Refusal, part.Open = a.status, a.code, false
		if a.status >= 400 {
			for i := len(txs) - 1; i >= 0; i-- {
				txs[i].rollback()
			}
			return []answer{a}
		}
		all = append(all, a)
	}
	for _, tx := range txs {
		tx.commit()
	}
	return all
}

func (m *Mock) multipartUnits(c call, boundary string) ([]work, error) {
	if boundary == "" {
		return nil, fmt.Errorf("it has no boundary")
	}
	var units []work
	r := multipart.NewReader(bytes.NewReader(c.body), boundary)
	for {
		p, err := r.NextRawPart()
		if err == io.EOF { //nolint:errorlint // given bare
			return units, nil
		}
		if err != nil {
			return nil, err
		}
		t, params, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		if t != "multipart/mixed" {
			one, err := m.httpPart(c, p)
			if err != nil {
				return nil, err
			}
			if one.method != http.MethodGet {
				return nil, fmt.Errorf("a write stands outside of a change set")
			}
			units = append(units, work{calls: []call{one}, ids: []string{p.Header.Get("Content-ID")}})
			continue
		}
		u, err := m.changeSet(c, p, params["boundary"])
		if err == nil && len(u.calls) == 0 {
			err = errors.New("a change set is empty")
		}
		if err != nil {
			return nil, err
		}
		units = append(units, u)
	}
}

func (m *Mock) changeSet(c call, in io.Reader, boundary string) (work, error) {
	u := work{set: true}
	r := multipart.NewReader(in, boundary)
	for {
		p, err := r.NextRawPart()
		if err == io.EOF { //nolint:errorlint // given bare
			return u, nil
		}
		if err != nil {
			return u, err
		}
		one, err := m.httpPart(c, p)
		if err != nil {
			return u, err
		}
		id := p.Header.Get("Content-ID")
		switch {
		case one.method == http.MethodGet:
			return u, fmt.Errorf("a read stands in a change set")
		case m.model.Version == edm.V2 && id != "":
			return u, fmt.Errorf("a part has a Content-ID: content referencing is only allowed for changeset at once")
		case m.model.Version == edm.V4 && id == "":
			return u, fmt.Errorf("a request of a change set has no Content-ID")
		}
		u.calls, u.ids = append(u.calls, one), append(u.ids, id)
	}
}

// httpPart reads a request inside of a part. net/http reads it only with a Host, and knows no MERGE without one either.
func (m *Mock) httpPart(outer call, in io.Reader) (call, error) {
	text, err := io.ReadAll(in)
	if err != nil {
		return call{}, err
	}
	line, rest, _ := bytes.Cut(text, []byte("\r\n"))
	words := strings.Fields(string(line))
	if len(words) != 3 || words[2] != "HTTP/1.1" {
		return call{}, fmt.Errorf("%q is no request line", line)
	}
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader([]byte(words[0] + " / HTTP/1.1\r\nHost: part\r\n" + string(rest)))))
	if err != nil {
		return call{}, err
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return call{}, err
	}
	return m.inner(outer, words[0], words[1], req.Header, body)
}

// inner is a call whose address stands below the service's root.
func (m *Mock) inner(outer call, method, address string, h http.Header, body []byte) (call, error) {
	address = strings.TrimPrefix(strings.TrimPrefix(address, m.cfg.Root), "/")
	path, query, _ := strings.Cut(address, "?")
	path, err := url.PathUnescape(path)
	if err != nil {
		return call{}, err
	}
	q, err := url.ParseQuery(query)
	return call{method: method, path: path, query: q, header: h, body: body, host: outer.host}, err
}

func (m *Mock) multipartAnswer(units []work, answers [][]answer) answer {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i, all := range answers {
		if u := units[i]; !u.set || all[len(all)-1].status >= 400 {
			fmt.Fprintf(&b, "--%s\r\n", w.Boundary())
			all[len(all)-1].part(&b, "")
			continue
		}
		inner := "cs" + strconv.Itoa(i) + w.Boundary()
		fmt.Fprintf(&b, "--%s\r\nContent-Type: multipart/mixed; boundary=%s\r\n\r\n", w.Boundary(), inner)
		for j, a := range all {
			fmt.Fprintf(&b, "--%s\r\n", inner)
			a.part(&b, units[i].ids[j])
		}
		fmt.Fprintf(&b, "--%s--\r\n\r\n", inner)
	}
	fmt.Fprintf(&b, "--%s--\r\n", w.Boundary())
	status := 202
	if m.model.Version == edm.V4 {
		status = 200
	}
	return answer{status: status, header: map[string]string{}, media: "multipart/mixed; boundary=" + w.Boundary(), body: b.Bytes()}
}

// part writes an answer inside of a part.
func (a answer) part(b *bytes.Buffer, id string) {
	b.WriteString("Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n")
	if id != "" {
		fmt.Fprintf(b, "Content-ID: %s\r\n", id)
	}
	fmt.Fprintf(b, "\r\nHTTP/1.1 %d %s\r\nContent-Length: %d\r\n", a.status, http.StatusText(a.status), len(a.body))
	if a.media != "" {
		fmt.Fprintf(b, "Content-Type: %s\r\n", a.media)
	}
	for name, v := range a.header {
		if v != "" {
			fmt.Fprintf(b, "%s: %s\r\n", name, v)
		}
	}
	fmt.Fprintf(b, "\r\n%s\r\n", a.body)
}

func (m *Mock) jsonUnits(c call) ([]work, error) {
	var in struct {
		Requests []struct {
			ID      string            `json:"id"`
			Group   string            `json:"atomicityGroup"`
			Method  string            `json:"method"`
			URL     string            `json:"url"`
			Headers map[string]string `json:"headers"`
			Body    json.RawMessage   `json:"body"`
		} `json:"requests"`
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return nil, err
	}
	var units []work
	at := map[string]int{}
	for _, r := range in.Requests {
		h := http.Header{"Content-Type": {"application/json"}}
		for name, v := range r.Headers {
			h.Set(name, v)
		}
		one, err := m.inner(c, strings.ToUpper(r.Method), r.URL, h, r.Body)
		if err != nil {
			return nil, err
		}
		i, known := at[r.Group]
		if r.Group == "" || !known {
			i = len(units)
			units = append(units, work{})
			at[r.Group] = i
		}
		units[i].calls, units[i].ids = append(units[i].calls, one), append(units[i].ids, r.ID)
	}
	return units, nil
}

// jsonAnswer answers the failure of a group for the request that failed; the others of it are told 424.
func (m *Mock) jsonAnswer(units []work, answers [][]answer) answer {
	type one struct {
		ID      string            `json:"id"`
		Status  int               `json:"status"`
		Headers map[string]string `json:"headers"`
		Body    json.RawMessage   `json:"body,omitempty"`
	}
	var out []one
	for i, all := range answers {
		failed := all[len(all)-1].status >= 400
		for j, id := range units[i].ids {
			a := all[min(j, len(all)-1)]
			if failed {
				a = all[len(all)-1]
			}
			h := map[string]string{"content-type": a.media}
			for name, v := range a.header {
				h[strings.ToLower(name)] = v
			}
			out = append(out, one{id, a.status, h, a.body})
		}
	}
	return m.json(200, map[string]any{"responses": out})
}
