package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/httpapi"
	"holdfast/internal/message"
)

// far is a plant of the demo, closed to all but those that it knows, whose ERP is away; with what calls it from elsewhere.
type far struct {
	*closedPlant
	way []string // --server and what else a call needs
}

func openFar(t *testing.T) *far {
	t.Helper()
	return openFarWith(t, "none")
}

// openFarWith is openFar of a plant with that sort of keyring.
func openFarWith(t *testing.T, keys string) *far {
	t.Helper()
	dir := t.TempDir()
	if got := run(t.Context(), []string{"demo", "--once", "--json", "--orders", "1", "--outage", "0s", "--data", dir, "--keys", keys}, io.Discard, io.Discard); got != 0 {
		t.Fatalf("demo ends with %d", got)
	}
	file := filepath.Join(dir, "holdfast.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, material := range []string{"FG-1001", "FG-1002"} {
		if err := oweOrders(t.Context(), file, material, 1); err != nil {
			t.Fatal(err)
		}
	}
	now := strings.NewReplacer("listen: 127.0.0.1:8420", "listen: 127.0.0.1:0\n  tls: {cert: api.crt, key: api.key, client_ca: ca.crt}", "listen: 127.0.0.1:8421", "listen: 127.0.0.1:0").Replace(string(text))
	now += "\naccess:\n  clients:\n    team: {uri: \"spiffe://company/team\", roles: [erp-team]}\n    ops: {uri: \"spiffe://company/ops\", roles: [admin, erp-team, operator]}\n"
	if err := os.WriteFile(file, []byte(now), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &far{closedPlant: openClosedIn(t, dir, now)}
	p.way = []string{"--server", p.api, "--ca", filepath.Join(dir, "ca.crt")}
	return p
}

// there runs a command on the server. It has no configuration: a command that looked for one would end with status 3.
func (p *far) there(status int, way []string, args ...string) (stdout, stderr string) {
	p.t.Helper()
	var out, told bytes.Buffer
	args = append(append(args, "--config", filepath.Join(p.dir, "nowhere.yaml")), append(p.way, way...)...)
	if got := run(p.t.Context(), args, &out, &told); got != status {
		p.t.Fatalf("%v ends with %d, want %d: %s%s", args, got, status, out.String(), told.String())
	}
	return out.String(), told.String()
}

func contains(t *testing.T, text string, all ...string) {
	t.Helper()
	for _, want := range all {
		if !strings.Contains(text, want) {
			t.Errorf("got %s, want %q in it", text, want)
		}
	}
}

// TestAServer has one plant for all that is asked of it from elsewhere.
func TestAServer(t *testing.T) {
	p := openFar(t)
	for _, tt := range []struct {
		name string
		asks func(*testing.T, *far)
	}{{"knows the names", knowsTheNames}, {"runs commands", runsCommands}, {"runs nothing else", runsNothingElse}, {"keeps apart who corrects and who releases", keepsApart}} {
		t.Run(tt.name, func(t *testing.T) { p.t = t; tt.asks(t, p) })
	}
}

// runsCommands has commands run on a server, by who has a token and by who has a certificate: they say what they say beside the
// database, read and write the files of whoever calls, and the record has who that was.
func runsCommands(t *testing.T, p *far) {
	board := filepath.Join(t.TempDir(), "token")
	text := p.command(0, "access", "token", "create", "board", "--role", "viewer", "--reason", "a board")
	if err := os.WriteFile(board, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	viewer := []string{"--token", "file:" + board}
	p.ca.pair(filepath.Join(p.dir, "team.crt"), filepath.Join(p.dir, "team.key"), "spiffe://company/team")
	team := []string{"--cert", filepath.Join(p.dir, "team.crt"), "--key", filepath.Join(p.dir, "team.key")}

	for _, args := range [][]string{{"msg", "list", "-o", "ndjson", "--settled"}, {"lane", "list", "--paused", "-o", "json"}, {"msg", "list", "--settled", "-o", "csv"}, {"quarantine", "list", "--json"}, {"job", "list", "--json"}} {
		got, _ := p.there(0, viewer, args...)
		if want := p.command(0, args...); got != want || want == "" {
			t.Errorf("%v says there %s, and here %s", args, got, want)
		}
	}
	out, _ := p.there(0, viewer, "status", "-o", "json")
	contains(t, out, `"name": "erp"`, `"served": true`, `"kind": "order.created"`, `"oldest_at": "20`, `"until": "20`, `"free_bytes": `)

	p.thereWithFiles(team)

	_, told := p.there(4, viewer, "link", "pause", "erp", "--reason", "a look")
	contains(t, told, "link.pause", "hint: ")
	out, _ = p.there(0, team, "link", "pause", "erp", "--reason", "release tonight")
	contains(t, out, "link erp is paused")
	_, told = p.there(3, team, "link", "pause", "erb", "--reason", "release tonight")
	contains(t, told, "did you mean erp?")
	_, told = p.there(2, team, "msg", "replay", "--failed")
	contains(t, told, "--yes")
	out, _ = p.there(0, team, "link", "resume", "erp", "--reason", "release is done")
	contains(t, out, "link erp goes on")
	out, _ = p.there(0, viewer, "status", "-o", "json")
	contains(t, out, `"since": "20`)
	out = p.command(0, "audit", "list", "--action", "link.pause", "--json")
	contains(t, out, `"cert:team"`, "release tonight")
	p.there(0, team, "msg", "export", "--owed")
	out = p.command(0, "audit", "list", "--action", access.MsgExport, "--json")
	contains(t, out, `"cert:team"`, "--owed=true", `\"messages\":`)
	out = p.command(0, "audit", "list", "--action", access.Refusal, "--json")
	contains(t, out, `"token:board`, `"command link pause"`)
}

// keepsApart corrects by the API what the command, beside the database and by the server, then does not release: it has one name for all of them.
func keepsApart(t *testing.T, p *far) {
	hand(t, filepath.Join(p.dir, "holdfast.yaml"), func(m *message.Incoming) { m.ID, m.Kind, m.Deliveries = "apart", "order.created", 100 })
	var list []struct{ Number int64 }
	if err := json.Unmarshal([]byte(p.command(0, "quarantine", "list", "--json")), &list); err != nil || len(list) != 1 {
		t.Fatalf("got %+v, %v; want one message in quarantine", list, err)
	}
	number := strconv.FormatInt(list[0].Number, 10)
	pair := p.ca.pair(filepath.Join(p.dir, "team.crt"), filepath.Join(p.dir, "team.key"), "spiffe://company/team")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.api+"/v1/inbound-messages/"+number+"/amend", strings.NewReader(`{"reason":"counted again","body":{"a":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := p.calling(pair).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(res.Body)
	if res.Body.Close(); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("amended: %d %s, %v", res.StatusCode, said, err)
	}
	team := []string{"--cert", filepath.Join(p.dir, "team.crt"), "--key", filepath.Join(p.dir, "team.key")}
	_, told := p.there(4, team, "quarantine", "replay", number, "--reason", "checked")
	contains(t, told, "was the last to correct it")
	p.command(4, "quarantine", "replay", number, "--reason", "checked")
}

// thereWithFiles saves a body, changes it, and has it amended: the files are those of whoever calls.
func (p *far) thereWithFiles(team []string) {
	t := p.t
	t.Helper()
	out, _ := p.there(0, team, "msg", "list", "--owed", "--oldest-first", "--limit", "1", "--json")
	var list []struct{ ID string }
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 {
		t.Fatalf("got %s, %v", out, err)
	}
	file := filepath.Join(t.TempDir(), "body.json")
	p.there(0, team, "msg", "show", list[0].ID, "--body", file)
	_, told := p.there(1, team, "msg", "show", list[0].ID, "--body", file)
	contains(t, told, "it is there already")
	body, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(body, []byte(`"FG-1001"`)) {
		t.Fatalf("the body is %s, %v", body, err)
	}
	if err := os.WriteFile(file, bytes.Replace(body, []byte(`"12"`), []byte(`"11"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ = p.there(0, team, "msg", "amend", list[0].ID, "--body", file, "--reason", "one too many")
	contains(t, out, "is amended")
	out, _ = p.there(0, team, "msg", "show", list[0].ID)
	contains(t, out, `"11"`, "body before it was amended")
	none := filepath.Join(t.TempDir(), "none")
	p.there(3, team, "msg", "show", "nothing", "--body", none)
	if _, err := os.Stat(none); err == nil {
		t.Error("a file is left of a body that is not there")
	}
	_, told = p.there(3, team, "msg", "amend", list[0].ID, "--body", none, "--reason", "one too many")
	contains(t, told, "there is no such file")
}

// runsNothingElse: nobody without a name, no other command, no file of the server's, and no call of it to a third.
func runsNothingElse(t *testing.T, p *far) {
	_, told := p.there(4, nil, "status")
	contains(t, told, "nothing says who calls")
	p.ca.pair(filepath.Join(p.dir, "team.crt"), filepath.Join(p.dir, "team.key"), "spiffe://company/team")
	team := p.calling(p.ca.pair(filepath.Join(p.dir, "t.crt"), filepath.Join(p.dir, "t.key"), "spiffe://company/team"))
	ask := func(words ...string) (int, string) {
		t.Helper()
		text, err := json.Marshal(remoteCall{Args: words})
		if err != nil {
			t.Fatal(err)
		}
		res, err := team.Post(p.api+httpapi.CommandsPath, "application/json", bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return res.StatusCode, ""
		}
		var out, errs bytes.Buffer
		h := hearer{stdout: &out, stderr: &errs}
		if err := h.hear(res.Body); err != nil {
			t.Fatal(err)
		}
		return h.exit, out.String() + errs.String()
	}
	for _, words := range [][]string{
		nil, {"serve"}, {"keys", "status"}, {"access", "roles"}, {"--config", "x", "status"}, {"completion", "bash"}, {cobra.ShellCompNoDescRequestCmd, "keys", ""}, {"help"}, {"torture"},
	} {
		if got, said := ask(words...); got != http.StatusUnprocessableEntity {
			t.Errorf("%q: %d %s, want it refused", words, got, said)
		}
	}
	secret := filepath.Join(p.dir, "keys-passphrase")
	got, said := ask("msg", "amend", "x", "--body", secret, "--reason", "a look")
	if got != 3 || strings.Contains(said, secret) {
		t.Errorf("a file of the server's: %d %s", got, said)
	}
	if got, said := ask("status", "--server", "https://127.0.0.1:1", "--config", "/nowhere", "--json"); got != 0 || !strings.Contains(said, `"erp"`) {
		t.Errorf("a call that goes on to a third: %d %s, want this plant's", got, said)
	}
	for _, wrong := range []string{"http://plant.example:8420", "plant.example", "ftp://127.0.0.1"} {
		if got := run(t.Context(), []string{"status", "--server", wrong}, io.Discard, io.Discard); got != 2 {
			t.Errorf("--server %s ends with %d, want 2", wrong, got)
		}
	}
	if got := run(t.Context(), []string{"status", "--server", "http://127.0.0.1:1"}, io.Discard, io.Discard); got != 7 {
		t.Errorf("a server that is not there: %d, want 7", got)
	}
}

// knowsTheNames: links, lanes, jobs and messages are completed, beside the database and on a server.
func knowsTheNames(t *testing.T, p *far) {
	p.ca.pair(filepath.Join(p.dir, "team.crt"), filepath.Join(p.dir, "team.key"), "spiffe://company/team")
	there := append([]string{"--cert", filepath.Join(p.dir, "team.crt"), "--key", filepath.Join(p.dir, "team.key")}, p.way...)
	here := []string{"--config", filepath.Join(p.dir, "holdfast.yaml")}
	var lanes []struct{ Lane string }
	if err := json.Unmarshal([]byte(p.command(0, "lane", "list", "--json")), &lanes); err != nil || len(lanes) != 2 {
		t.Fatalf("%v, %v", lanes, err)
	}
	var plan struct{ ID string }
	ids := p.command(0, "msg", "list", "--owed", "--oldest-first", "--limit", "1", "-o", "json")
	var list []struct{ ID string }
	if err := json.Unmarshal([]byte(ids), &list); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(p.command(0, "msg", "replay", "--dry-run", "--json")), &plan); err != nil || plan.ID == "" {
		t.Fatalf("%+v, %v", plan, err)
	}
	for _, way := range [][]string{here, there} {
		for _, tt := range []struct {
			words []string
			want  string
		}{
			{[]string{"link", "pause", "e"}, "erp"},
			{[]string{"lane", "pause", "erp", lanes[0].Lane[:8]}, lanes[0].Lane},
			{[]string{"job", "show", ""}, plan.ID},
			{[]string{"msg", "show", ""}, list[0].ID},
			{[]string{"msg", "list", "--lane", ""}, lanes[1].Lane},
			{[]string{"msg", "list", "--link", ""}, "erp"},
		} {
			var out bytes.Buffer
			words := append([]string{cobra.ShellCompRequestCmd, tt.words[0], tt.words[1]}, append(way, tt.words[2:]...)...)
			if got := run(t.Context(), words, &out, io.Discard); got != 0 || !strings.Contains(out.String(), tt.want) {
				t.Errorf("%q: %d, got %s, want %q in it", words, got, out.String(), tt.want)
			}
		}
	}
}
