package deploy_test

import (
	"encoding/json"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// dashboard is what Grafana reads of one, as far as it is looked at here.
type dashboard struct {
	UID, Title string
	Templating struct {
		List []struct{ Datasource origin }
	}
	Panels []struct {
		ID          int
		Type, Title string
		Datasource  origin
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct {
			Expr       string
			Datasource origin
		}
	}
}

// origin is where figures come from.
type origin struct{ Type, UID string }

// decoded reads a file of YAML or JSON.
func decoded[T any](t *testing.T, file string) (v T) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err == nil && filepath.Ext(file) == ".json" {
		err = json.Unmarshal(b, &v)
	} else if err == nil {
		err = yaml.Unmarshal(b, &v)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return v
}

// TestDashboardsShowFiguresThatExist: each panel asks the datasource that is provisioned, for metrics that the program registers, and no two panels lie on
// one another.
func TestDashboardsShowFiguresThatExist(t *testing.T) {
	sources := decoded[struct{ Datasources []origin }](t, "grafana/provisioning/datasources/prometheus.yaml").Datasources
	files, err := filepath.Glob("grafana/dashboards/*.json")
	if err != nil || len(files) == 0 || len(sources) != 1 || sources[0].Type != "prometheus" || sources[0].UID == "" {
		t.Fatalf("%d dashboards and the datasources %+v, want some and one: %v", len(files), sources, err)
	}
	code, shown := source(t), map[string]bool{}
	for _, file := range files {
		d := decoded[dashboard](t, file)
		if d.UID == "" || d.Title == "" || len(d.Panels) == 0 {
			t.Errorf("%s has no uid, title or panels", file)
		}
		for _, v := range d.Templating.List {
			if v.Datasource != sources[0] {
				t.Errorf("%s: a variable asks %+v", file, v.Datasource)
			}
		}
		ids, taken := map[int]bool{}, map[[2]int]string{}
		for _, p := range d.Panels {
			if p.ID == 0 || ids[p.ID] || p.Title == "" {
				t.Errorf("%s: panel %d %q has no title, or no ID of its own", file, p.ID, p.Title)
			}
			ids[p.ID] = true
			for x := range p.GridPos.W {
				for y := range p.GridPos.H {
					at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
					if other, is := taken[at]; is || at[0] > 23 {
						t.Fatalf("%s: panel %q lies on %q, or beside the page", file, p.Title, other)
					}
					taken[at] = p.Title
				}
			}
			if p.Type == "row" {
				continue
			}
			if p.Datasource != sources[0] || len(p.Targets) == 0 {
				t.Errorf("%s: panel %q asks %+v for %d figures", file, p.Title, p.Datasource, len(p.Targets))
			}
			for _, target := range p.Targets {
				names := metric.FindAllString(target.Expr, -1)
				if target.Datasource != sources[0] || len(names) == 0 && !strings.Contains(target.Expr, "process_") || strings.Contains(target.Expr, `"`) {
					t.Errorf("%s: panel %q asks %+v for %q; .ci/deploy reads expressions without a quotation mark", file, p.Title, target.Datasource, target.Expr)
				}
				for _, name := range names {
					if shown[name] = true; !registered(code, name) {
						t.Errorf("%s: panel %q asks for %s, which nothing registers", file, p.Title, name)
					}
				}
			}
		}
	}
	for _, name := range []string{"holdfast_outbox_owed", "holdfast_relay_breaker_open", "holdfast_inbox_quarantined", "holdfast_backup_proven_timestamp_seconds", "holdfast_alerts_total"} {
		if !shown[name] {
			t.Errorf("no dashboard shows %s", name)
		}
	}
}

// service is one of compose.yaml, as far as it is looked at here.
type service struct {
	Image       string
	Profiles    []string
	Ports       []string
	Volumes     []string
	NetworkMode string `yaml:"network_mode"`
	Healthcheck struct{ Test any }
	Build       any
	DependsOn   map[string]any `yaml:"depends_on"`
}

// TestComposeHasEveryServiceOnLoopback, of a version that is named, with its files; and whoever is waited for can say that it is well.
func TestComposeHasEveryServiceOnLoopback(t *testing.T) {
	c := decoded[struct {
		Services map[string]service
		Volumes  map[string]any
	}](t, "compose.yaml")
	want := map[string]string{"postgres": "", "rabbitmq": "", "vault": "", "prometheus": "", "grafana": "", "keycloak": "keycloak", "holdfast": "holdfast"}
	got := map[string]string{}
	for name, s := range c.Services {
		got[name] = strings.Join(s.Profiles, " ")
		_, version, _ := strings.Cut(s.Image, ":")
		if s.Build == nil && (version == "" || version == "latest") {
			t.Errorf("%s runs %s, of which nobody knows the version", name, s.Image)
		}
		if len(s.Profiles) == 0 && s.Healthcheck.Test == nil {
			t.Errorf("%s is started by default, and cannot say that it is well: up --wait does not wait for it", name)
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s publishes %s to other machines", name, p)
			}
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if _, is := c.Volumes[from]; is {
				continue
			}
			if info, err := os.Stat(from); err != nil || !info.IsDir() {
				t.Errorf("%s mounts %s, which is neither a volume nor a folder", name, from)
			}
		}
		for other := range s.DependsOn {
			if _, is := c.Services[other]; !is {
				t.Errorf("%s waits for %s, which is no service", name, other)
			}
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("got the services and profiles %v, want %v", got, want)
	}
}

// TestWhatIsMountedIsWhereItIsLookedFor: Prometheus, Grafana and its dashboards by the paths that compose.yaml gives them.
func TestWhatIsMountedIsWhereItIsLookedFor(t *testing.T) {
	c := decoded[struct {
		Services map[string]struct {
			Command     []string
			Volumes     []string
			Environment map[string]string
		}
	}](t, "compose.yaml")
	inside := func(service, file string) string { // the file of this folder that a container has under that name
		for _, v := range c.Services[service].Volumes {
			parts := strings.Split(v, ":")
			if rest, is := strings.CutPrefix(file, parts[1]); is {
				return path.Join(parts[0], rest)
			}
		}
		return "nothing"
	}
	provider := decoded[struct {
		Providers []struct{ Options struct{ Path string } }
	}](t, "grafana/provisioning/dashboards/holdfast.yaml").Providers
	if len(provider) != 1 {
		t.Fatalf("%d providers, want one", len(provider))
	}
	config := ""
	for _, arg := range c.Services["prometheus"].Command {
		if file, is := strings.CutPrefix(arg, "--config.file="); is {
			config = file
		}
	}
	for what, file := range map[string]string{
		"Prometheus' configuration": inside("prometheus", config), "its rules": inside("prometheus", "/etc/prometheus/rules.yaml"),
		"a dashboard": inside("grafana", provider[0].Options.Path+"/holdfast.json"), "the datasource": inside("grafana", "/etc/grafana/provisioning/datasources/prometheus.yaml"),
		"the provider": inside("grafana", "/etc/grafana/provisioning/dashboards/holdfast.yaml"),
	} {
		if _, err := os.Stat(file); err != nil {
			t.Errorf("%s is not mounted: %v", what, err)
		}
	}
	at := decoded[struct{ Datasources []struct{ URL string } }](t, "grafana/provisioning/datasources/prometheus.yaml").Datasources[0].URL
	if !slices.Contains(c.Services["prometheus"].Command, "--web.listen-address="+strings.TrimPrefix(at, "http://")) {
		t.Errorf("Grafana looks for Prometheus at %s, which does not listen there", at)
	}
}
