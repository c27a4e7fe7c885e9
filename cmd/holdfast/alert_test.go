package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"holdfast/internal/alert"
	"holdfast/internal/problem"
)

// TestAThreatReachesAWebhook: ten calls with wrong credentials, an alert in the record, a call of the webhook; what is silent, and what alert test does.
func TestAThreatReachesAWebhook(t *testing.T) {
	got := make(chan alert.Notice, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var n alert.Notice
		if err := json.Unmarshal(body, &n); err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
		got <- n
	}))
	defer hook.Close()
	p := openClosedIn(t, t.TempDir(), closedConfig+fmt.Sprintf("alerts: {webhooks: [{name: hook, url: %q}]}\n", hook.URL))
	next := func(what, name string) {
		t.Helper()
		select {
		case n := <-got:
			if n.Alert != name || n.Plant != "1000" {
				t.Errorf("%s: told of %+v, want %s", what, n, name)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s: nobody was told of %s", what, name)
		}
	}
	p.command(0, "alert", "test", "--reason", "a new hook")
	next("a test", alert.Test)
	if out := p.command(0, "alert", "silence", "threat.denied", "--for", "2h", "--reason", "an audit"); !strings.Contains(out, "threat.denied is silent for 2h") {
		t.Errorf("got %q", out)
	}
	p.command(3, "alert", "silence", "threat.nothing", "--reason", "an audit")
	if out := p.command(0, "alert", "list"); !strings.Contains(out, "an audit") || !strings.Contains(out, "threat.audit-gap") {
		t.Errorf("got %q", out)
	}
	for range 10 {
		if status, err := p.get(p.client, "hfat_00000000_x", "/v1/orders"); err != nil || status != 401 {
			t.Fatalf("a wrong token: %d, %v", status, err)
		}
	}
	next("ten calls", "threat.sign-ins-fail")
	if out := p.command(0, "audit", "list"); !strings.Contains(out, "threat.sign-ins-fail") || !strings.Contains(out, "alert.silence") {
		t.Errorf("the record has %q", out)
	}
}

func TestCollectorsAreCheckedAtLoad(t *testing.T) {
	for text, want := range map[string]string{
		"form: otlp, path: /otlp/v1/logs, headers: {Authorization: \"file:token\"}": "",
		"form: otlp, path: otlp":                               "siem[0].path: it does not begin with /",
		"form: otlp, headers: {Authorization: Bearer hunter2}": "siem[0].headers.Authorization: it is no reference to a secret",
		"headers: {Authorization: \"file:token\"}":             "syslog has neither path nor headers",
		"form: leef": "it is none of syslog, cef, ocsf, otlp",
	} {
		_, err := parseConfig("/x/holdfast.yaml", []byte("plant: {number: \"1000\"}\nsiem: [{name: soc, address: \"soc:4318\", "+text+"}]\n"))
		if want == "" && err != nil || want != "" && (problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func TestWhoIsToldOfAlertsIsCheckedAtLoad(t *testing.T) {
	for text, want := range map[string]string{
		"alerts: {webhooks: [{name: a, url: \"http://hook.example\"}]}\n":                                                    "it is no https address",
		"alerts: {webhooks: [{name: mail, url: \"https://hook.example\"}]}\n":                                                "used twice",
		"alerts: {mail: {server: mail, from: a@example.com, to: [b@example.com]}}\n":                                         "it is no host and port",
		"alerts: {mail: {server: \"mail:587\", from: \"A <a@example.com>\", to: [b@example.com]}}\n":                         "address 1 of from and to is none",
		"alerts: {mail: {server: \"mail:587\", from: a@example.com}}\n":                                                      "nobody gets the mails",
		"alerts: {mail: {server: \"mail:587\", from: a@example.com, to: [b@example.com], least: low}}\n":                     "it is none of warning, critical",
		"alerts: {mail: {server: \"mail:587\", from: a@example.com, to: [b@example.com]}}\n":                                 "",
		"alerts: {mail: {server: \"mail:587\", from: a@example.com, to: [b@example.com], tls: none}}\n":                      "it is none of starttls, implicit",
		"alerts: {mail: {server: \"mail:587\", from: a@example.com, to: [b@example.com], user: plant}}\n":                    "one is missing",
		"alerts: {mail: {server: \"mail:587\", from: a@example.com, to: [b@example.com], user: plant, password: hunter2}}\n": "alerts.mail.password: it is no reference to a secret",
		"alerts: {webhooks: [{name: a, url: \"https://hook.example\", secret: hunter2}]}\n":                                  "secret: it is no reference to a secret",
	} {
		_, err := parseConfig("/x/holdfast.yaml", []byte("plant: {number: \"1000\"}\n"+text))
		if want == "" && err != nil || want != "" && (problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: a secret is in %v", text, err)
		}
	}
}
