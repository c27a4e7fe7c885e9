package alert_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"net"
	"net/mail"
	"strings"
	"testing"
	"time"

	"holdfast/internal/alert"
	"holdfast/internal/problem"
)

// sink is a mail server. All that it reads but mails and TLS itself is in heard, and it sends each mail to mails; whoever ends it waits for it.
type sink struct {
	t        *testing.T
	pair     *tls.Certificate // nil: it knows no TLS
	implicit bool             // TLS from the first byte
	password string           // of the user plant; "" asks for none
	unknown  string           // an address that it does not take
	rude     bool             // it hangs up after the mail
	server   string
	heard    []string
	mails    chan string
	ended    chan struct{}
	l        net.Listener
}

func (s *sink) start() *sink {
	s.t.Helper()
	var err error
	if s.l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		s.t.Fatal(err)
	}
	s.server, s.mails, s.ended = s.l.Addr().String(), make(chan string, 10), make(chan struct{})
	go func() {
		defer close(s.ended)
		for {
			c, err := s.l.Accept()
			if err != nil {
				return
			}
			s.serve(c)
		}
	}()
	s.t.Cleanup(s.end)
	return s
}

// end is when nothing is heard any more.
func (s *sink) end() {
	_ = s.l.Close()
	<-s.ended
}

func (s *sink) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	if s.implicit {
		c = s.tls(c)
	}
	fmt.Fprint(c, "220 sink\r\n")
	in := bufio.NewScanner(c)
	for in.Scan() {
		line := in.Text()
		s.heard = append(s.heard, line)
		verb, rest, _ := strings.Cut(line, " ")
		switch {
		case verb == "EHLO":
			s.greet(c)
		case verb == "STARTTLS" && s.pair == nil:
			fmt.Fprint(c, "502 not here\r\n")
		case verb == "STARTTLS":
			fmt.Fprint(c, "220 go on\r\n")
			c = s.tls(c)
			in = bufio.NewScanner(c)
		case verb == "AUTH" && rest != "PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00plant\x00"+s.password)):
			fmt.Fprint(c, "535 wrong\r\n")
		case verb == "AUTH":
			fmt.Fprint(c, "235 welcome\r\n")
		case verb == "RCPT" && s.unknown != "" && strings.Contains(rest, s.unknown):
			fmt.Fprint(c, "550 nobody of this name\r\n")
		case verb == "DATA":
			fmt.Fprint(c, "354 go on\r\n")
			var text strings.Builder
			for in.Scan() && in.Text() != "." {
				text.WriteString(in.Text() + "\r\n")
			}
			s.mails <- text.String()
			fmt.Fprint(c, "250 taken\r\n")
			if s.rude {
				return
			}
		case verb == "QUIT":
			fmt.Fprint(c, "221 bye\r\n")
			return
		default:
			fmt.Fprint(c, "250 ok\r\n")
		}
	}
}

// greet says what it can do.
func (s *sink) greet(c net.Conn) {
	_, safe := c.(*tls.Conn)
	if s.pair != nil && !safe {
		fmt.Fprint(c, "250-STARTTLS\r\n")
	}
	if s.password != "" {
		fmt.Fprint(c, "250-AUTH PLAIN\r\n")
	}
	fmt.Fprint(c, "250 8BITMIME\r\n")
}

func (s *sink) tls(c net.Conn) net.Conn {
	return tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*s.pair}, MinVersion: tls.VersionTLS12})
}

// mail is what tells s.
func (s *sink) mail(pool *x509.CertPool, password string) alert.Mail {
	m := alert.Mail{
		Server: s.server, Implicit: s.implicit, TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, From: "plant@example.com", To: []string{"a@example.com", "b@example.com"},
	}
	if password != "" {
		m.User, m.Password = "plant", func(context.Context) (string, error) { return password, nil }
	}
	return m
}

// noticed is an alert into which a stranger has put what might begin a line of its own.
func noticed() alert.Notice {
	return alert.Notice{
		ID: "1000-7", Alert: "threat.denied", Severity: "warning", Object: "user:x\r\nBcc: all@example.com", Why: "tried\r\n.\r\nQUIT", At: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC),
		Plant: "1000", Besides: 3, Place: 7,
	}
}

// read takes a mail apart.
func read(t *testing.T, text string) (m *mail.Message, subject, body string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	subject, err = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, m.Body))
	if err != nil {
		t.Fatal(err)
	}
	return m, subject, string(b)
}

// TestAMailTellsOfAnAlert: what a stranger can have put into an alert begins no line of its own.
func TestAMailTellsOfAnAlert(t *testing.T) {
	s := (&sink{t: t}).start()
	m := s.mail(nil, "")
	m.Plain = true
	if err := m.Tell(t.Context(), noticed()); err != nil {
		t.Fatal(err)
	}
	got, subject, body := read(t, <-s.mails)
	if got.Header.Get("Bcc") != "" || got.Header.Get("To") != "a@example.com, b@example.com" || !strings.HasPrefix(subject, "[Holdfast 1000] warning: threat.denied of user:x") ||
		!strings.Contains(body, "besides since the last mail: 3") {
		t.Errorf("subject %q, head %v, body %q", subject, got.Header, body)
	}
}

// TestAMailGoesByTLS: by STARTTLS and from the first byte, with user and password, which stand in no line that others can read.
func TestAMailGoesByTLS(t *testing.T) {
	id := newIdentity(t)
	for name, implicit := range map[string]bool{"STARTTLS": false, "from the first byte": true} {
		t.Run(name, func(t *testing.T) {
			s := (&sink{t: t, pair: &id.pair, implicit: implicit, password: "let me in"}).start()
			if err := s.mail(id.pool, "let me in").Tell(t.Context(), noticed()); err != nil {
				t.Fatal(err)
			}
			if _, subject, _ := read(t, <-s.mails); !strings.Contains(subject, "threat.denied") {
				t.Errorf("subject %q", subject)
			}
			err := s.mail(id.pool, "guessed").Tell(t.Context(), noticed())
			if problem.KindOf(err) != problem.Unavailable || !strings.Contains(err.Error(), "it does not take user and password") || strings.Contains(err.Error(), "guessed") {
				t.Errorf("a wrong password: %v", err)
			}
		})
	}
}

// TestAMailServerThatNobodyVouchesForIsToldNothing: a certificate of another authority, of another host, no STARTTLS at all (as who sits in the
// line would have it). No name, password or alert is said to it.
func TestAMailServerThatNobodyVouchesForIsToldNothing(t *testing.T) {
	id, other := newIdentity(t), newIdentity(t)
	for name, w := range map[string]struct {
		sink sink
		host string
	}{
		"an authority that is not believed":                      {sink{pair: &other.pair}, "127.0.0.1"},
		"an authority that is not believed, from the first byte": {sink{pair: &other.pair, implicit: true}, "127.0.0.1"},
		"another host": {sink{pair: &id.pair}, "localhost"},
		"no TLS":       {sink{}, "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := w.sink
			s.t, s.password = t, "let me in"
			s.start()
			_, port, _ := net.SplitHostPort(s.server)
			m := s.mail(id.pool, "let me in")
			m.Server = net.JoinHostPort(w.host, port)
			if err := m.Tell(t.Context(), noticed()); problem.KindOf(err) != problem.Unavailable || !strings.Contains(err.Error(), "by TLS that can be believed") {
				t.Errorf("got %v", err)
			}
			s.end()
			for _, line := range s.heard {
				if verb, _, _ := strings.Cut(line, " "); verb != "EHLO" && verb != "STARTTLS" && verb != "QUIT" {
					t.Errorf("it was told %q", line)
				}
			}
		})
	}
}

// TestATellerLeavesWhenItsProcessEnds: a server that says nothing keeps nobody.
func TestATellerLeavesWhenItsProcessEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		c, err := l.Accept()
		if err == nil {
			defer c.Close()
		}
		cancel()
		_, _ = io.Copy(io.Discard, c)
	}()
	began := time.Now()
	m := alert.Mail{Server: l.Addr().String(), TLS: &tls.Config{MinVersion: tls.VersionTLS12}}
	if err := m.Tell(ctx, noticed()); err == nil || time.Since(began) > 20*time.Second {
		t.Errorf("got %v after %s", err, time.Since(began))
	}
}

// TestAMailIsSentOnceAndToWhomTheServerKnows: a server that hangs up after it has taken a mail is not sent it again, and an address that is no more
// keeps no alert from the others.
func TestAMailIsSentOnceAndToWhomTheServerKnows(t *testing.T) {
	id := newIdentity(t)
	s := (&sink{t: t, pair: &id.pair, unknown: "a@example.com", rude: true}).start()
	m := s.mail(id.pool, "")
	if err := m.Tell(t.Context(), noticed()); err != nil {
		t.Fatal(err)
	}
	if _, _, body := read(t, <-s.mails); !strings.Contains(body, "they miss this mail: a@example.com\r\n") {
		t.Errorf("body %q does not say who misses it", body)
	}
	m.To = m.To[:1]
	if err := m.Tell(t.Context(), noticed()); problem.KindOf(err) != problem.Unavailable || !strings.Contains(err.Error(), "nobody of this name") {
		t.Errorf("nobody takes it: %v", err)
	}
	s.end()
	if len(s.mails) != 0 {
		t.Error("a mail more")
	}
}
