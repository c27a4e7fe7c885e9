package alert

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"
)

// Mail tells by e-mail. A server whose certificate nobody vouches for, or that knows no TLS, is told nothing: no name, no password, no alert.
type Mail struct {
	Server   string // host:port
	TLS      *tls.Config
	Implicit bool // TLS from the first byte (RFC 8314); otherwise by STARTTLS
	Plain    bool // without TLS: for a server of this machine alone
	User     string
	Password func(ctx context.Context) (string, error)
	From     string
	To       []string
}

// Tell implements Teller. Whom the server does not know misses the mail, and the others read in it who that is: a colleague who has left must not
// keep an alert from all.
func (m Mail) Tell(ctx context.Context, n Notice) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	c, err := m.open(ctx)
	if err != nil {
		return untold("the mail server", "it was not reached by TLS that can be believed", err)
	}
	defer c.Close()
	if err := m.signIn(ctx, c); err != nil {
		return err
	}
	if err := m.send(c, n); err != nil {
		return untold("the mail server", "it did not take the mail", err)
	}
	_ = c.Quit() // it has the mail, whatever it says now; to send it again would tell of the alert twice
	return nil
}

func (m Mail) signIn(ctx context.Context, c *smtp.Client) error {
	if m.User == "" {
		return nil
	}
	password, err := m.Password(ctx)
	if err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(m.Server)
	if err := c.Auth(smtp.PlainAuth("", m.User, password, host)); err != nil {
		return untold("the mail server", "it does not take user and password", err)
	}
	return nil
}

func (m Mail) send(c *smtp.Client, n Notice) error {
	if err := c.Mail(m.From); err != nil {
		return err
	}
	var missed []string
	var errs []error
	for _, to := range m.To {
		err := c.Rcpt(to)
		if refusal, ok := errors.AsType[*textproto.Error](err); ok && refusal.Code/100 == 5 {
			missed, errs = append(missed, to), append(errs, err)
		} else if err != nil {
			return err
		}
	}
	if len(missed) == len(m.To) {
		return errors.Join(errs...)
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err = w.Write(m.text(n, missed)); err != nil {
		return err
	}
	err = w.Close()
	if refusal, ok := errors.AsType[*textproto.Error](err); ok && refusal.Code/100 == 5 {
		return unwanted{err} // now that it has read it
	}
	return err
}

// open connects, for as long as ctx lasts, and greets.
func (m Mail) open(ctx context.Context) (*smtp.Client, error) {
	host, _, err := net.SplitHostPort(m.Server)
	if err != nil {
		return nil, err
	}
	conf := m.TLS.Clone()
	conf.ServerName = host
	raw, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", m.Server)
	if err != nil {
		return nil, err
	}
	conn := raw
	context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // ctx ends with Tell at the latest
	if m.Implicit {
		raw = tls.Client(raw, conf)
	}
	c, err := smtp.NewClient(raw, host)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	if m.Implicit || m.Plain {
		return c, nil
	}
	if err := c.StartTLS(conf); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// text is the mail. What strangers can have put into the alert is one line of plain text in it.
func (m Mail) text(n Notice, missed []string) []byte {
	subject := fmt.Sprintf("[Holdfast %s] %s: %s of %s", n.Plant, n.Severity, n.Alert, n.Object)
	head := []string{
		"From: " + m.From, "To: " + strings.Join(m.To, ", "), "Subject: " + mime.QEncoding.Encode("utf-8", plain(subject)), "Date: " + n.At.Format(time.RFC1123Z),
		"Message-ID: <" + n.ID + "@holdfast>", "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: base64", "",
	}
	body := fmt.Sprintf("%s\r\n\r\nalert: %s\r\nseverity: %s\r\nabout: %s\r\nat: %s\r\nbesides since the last mail: %d\r\nplace in the record: %d\r\n",
		plain(n.Why), n.Alert, n.Severity, plain(n.Object), n.At.Format(time.RFC3339), n.Besides, n.Place)
	if len(missed) > 0 {
		body += "the mail server does not know, so that they miss this mail: " + strings.Join(missed, ", ") + "\r\n"
	}
	b64 := base64.StdEncoding.EncodeToString([]byte(body))
	for len(b64) > 76 {
		head, b64 = append(head, b64[:76]), b64[76:]
	}
	return []byte(strings.Join(append(head, b64, ""), "\r\n"))
}
