package alert

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/smtp"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Notice is an alert as people are told of it.
type Notice struct {
	ID       string    `json:"id"` // the same when it is told again, since nobody knows whether it came
	Alert    string    `json:"alert"`
	Severity string    `json:"severity"`
	Object   string    `json:"object"`
	Why      string    `json:"why"`
	At       time.Time `json:"at"`
	Besides  int64     `json:"besides"` // of the same about the same, since the last one that was told
	Plant    string    `json:"plant"`
	Place    int64     `json:"place"` // of its entry in the record; -1 for a test
}

// Teller tells people of an alert; nil once it was taken.
type Teller interface {
	Tell(ctx context.Context, n Notice) error
}

// Channel is one way by which people are told.
type Channel struct {
	Name   string // of what it remembers, which outlives the configuration
	To     Teller
	Plant  string
	Least  string        // Critical: warnings are not told
	Again  time.Duration // in which the same about the same is told once; default 1h
	Metric prometheus.Registerer
}

// NewChannel returns a Forwarder that tells a channel of each alert of the record, from now on, in order. None is lost while the channel is
// away; of those that wait, the same about the same is told once, with their number.
func NewChannel(db *store.DB, place func(ctx context.Context) error, node string, c Channel, log *slog.Logger) *Forwarder {
	if c.Again == 0 {
		c.Again = time.Hour
	}
	name := "!" + c.Name
	f := NewForwarder(db, place, node, Collector{Name: name, Address: c.Name}, ForwarderConfig{Metrics: c.Metric}, log)
	f.fresh = true
	f.carry = func(ctx context.Context, entries []audit.Entry, from int64) error {
		for i, e := range entries {
			if err := c.tell(ctx, db, name, e, from+int64(i)); err != nil {
				return err
			}
		}
		return nil
	}
	return f
}

// tell tells of one entry, if it is an alert that is to be told, and notes that after it.
func (c Channel) tell(ctx context.Context, db *store.DB, name string, e audit.Entry, place int64) error {
	sort := alertName(e)
	if sort == "" || c.Least == Critical && SeverityOf(sort) != Critical {
		return nil
	}
	var before told
	hushed := false
	err := db.InTx(ctx, func(tx *store.Tx) error {
		silences, err := Silences(ctx, tx)
		if hushed = silent(silences, sort, e.Object); err != nil || hushed {
			return err
		}
		before, err = toldOf(ctx, tx, name, sort, e.Object)
		if err != nil || before.At == 0 || e.At.Sub(store.FromMicros(before.At)) >= c.Again {
			return err
		}
		hushed = true
		return keepTold(ctx, tx, name, sort, e.Object, store.FromMicros(before.At), before.Besides+1)
	})
	if err != nil || hushed {
		return err
	}
	n := Notice{
		ID: fmt.Sprintf("%s-%d", c.Plant, place), Alert: sort, Severity: SeverityOf(sort), Object: e.Object, Why: plain(e.Reason), At: e.At.UTC(), Besides: before.Besides,
		Plant: c.Plant, Place: place,
	}
	if err := c.To.Tell(ctx, n); err != nil {
		return err
	}
	return db.InTx(ctx, func(tx *store.Tx) error { return keepTold(ctx, tx, name, sort, e.Object, e.At, 0) })
}

// Webhook tells by HTTP: a Notice as JSON, signed as Standard Webhooks has it where there is a secret.
type Webhook struct {
	URL    string
	Secret func(ctx context.Context) (string, error) // nil: it is not signed
	Client *http.Client
}

// Tell implements Teller.
func (w Webhook) Tell(ctx context.Context, n Notice) error {
	body, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("write an alert: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("tell of an alert: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if w.Secret != nil {
		secret, err := w.Secret(ctx)
		if err != nil {
			return err
		}
		at := strconv.FormatInt(time.Now().Unix(), 10)
		mac := hmac.New(sha256.New, []byte(secret))
		fmt.Fprintf(mac, "%s.%s.%s", n.ID, at, body)
		req.Header.Set("Webhook-Id", n.ID)
		req.Header.Set("Webhook-Timestamp", at)
		req.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	res, err := w.Client.Do(req)
	if err != nil {
		return untold("the webhook", "it was not reached", err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection is used again
	if res.StatusCode/100 != 2 {
		return untold("the webhook", "it answered "+res.Status, nil)
	}
	return nil
}

// Mail tells by e-mail.
type Mail struct {
	Server   string // host:port
	TLS      *tls.Config
	Plain    bool // without TLS: for a server of this machine alone
	User     string
	Password func(ctx context.Context) (string, error)
	From     string
	To       []string
}

// Tell implements Teller.
func (m Mail) Tell(ctx context.Context, n Notice) error {
	if err := m.send(ctx, m.text(n)); err != nil {
		return untold("the mail server", "it did not take the mail", err)
	}
	return nil
}

func (m Mail) send(ctx context.Context, text []byte) error {
	c, err := m.open(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if m.User != "" {
		password, err := m.Password(ctx)
		if err != nil {
			return err
		}
		host, _, _ := net.SplitHostPort(m.Server)
		if err := c.Auth(smtp.PlainAuth("", m.User, password, host)); err != nil {
			return err
		}
	}
	if err := c.Mail(m.From); err != nil {
		return err
	}
	for _, to := range m.To {
		if err := c.Rcpt(to); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err = w.Write(text); err != nil {
		return err
	}
	return errors.Join(w.Close(), c.Quit())
}

// open connects, by TLS from the first byte on port 465 and by STARTTLS on every other.
func (m Mail) open(ctx context.Context) (*smtp.Client, error) {
	host, port, err := net.SplitHostPort(m.Server)
	if err != nil {
		return nil, err
	}
	conf := m.TLS.Clone()
	conf.ServerName = host
	raw, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", m.Server)
	if err != nil {
		return nil, err
	}
	if err := raw.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	if port == "465" {
		raw = tls.Client(raw, conf)
	}
	c, err := smtp.NewClient(raw, host)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	if port != "465" && !m.Plain {
		if err := c.StartTLS(conf); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// text is the mail. What strangers can have put into the alert is one line of plain text in it.
func (m Mail) text(n Notice) []byte {
	subject := fmt.Sprintf("[Holdfast %s] %s: %s of %s", n.Plant, n.Severity, n.Alert, n.Object)
	head := []string{
		"From: " + m.From, "To: " + strings.Join(m.To, ", "), "Subject: " + mime.QEncoding.Encode("utf-8", plain(subject)), "Date: " + n.At.Format(time.RFC1123Z),
		"Message-ID: <" + n.ID + "@holdfast>", "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: base64", "",
	}
	body := fmt.Sprintf("%s\r\n\r\nalert: %s\r\nseverity: %s\r\nabout: %s\r\nat: %s\r\nbesides since the last mail: %d\r\nplace in the record: %d\r\n",
		plain(n.Why), n.Alert, n.Severity, plain(n.Object), n.At.Format(time.RFC3339), n.Besides, n.Place)
	b64 := base64.StdEncoding.EncodeToString([]byte(body))
	for len(b64) > 76 {
		head, b64 = append(head, b64[:76]), b64[76:]
	}
	return []byte(strings.Join(append(head, b64, ""), "\r\n"))
}

func untold(whom, why string, cause error) error {
	return &problem.Error{
		Kind: problem.Unavailable, What: "tell " + whom + " of an alert", Why: why, Hint: "correct alerts in holdfast.yaml, or its receiver; what waits is kept and goes first", Cause: cause,
	}
}
