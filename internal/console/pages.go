package console

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"holdfast/internal/access"
	"holdfast/internal/problem"
)

// page is one answer. What it shows is Body, by the template of its name.
type page struct {
	name    string // of the template
	Title   string
	Section string // of the navigation
	Body    any
	Trouble *problem.Error // that an act met, told above the form that it was
	Live    bool           // it is read again at each hint
	Floor   bool           // it is for a tablet on the shop floor

	Plant, Env, Version string
	Who                 access.Actor
	SignsOut            bool // there is a session to end
	Account             bool // there is a page about it
	Theme, ZoneName     string
	Clock               string // zone of the charts and of what the script says, by its IANA name; "" is the browser's
	Now                 time.Time
	Self                string // the page's own address
	Notice              string
	Sections            []section
	Sheets              []stylesheet
	zone                *time.Location
	form                map[string][]string // as it was sent, for a form that is shown again

	status  int            // default 200
	to      string         // where to go instead
	cookies []*http.Cookie // to be set
	raw     []byte         // sent as it is, instead of a page
	kind    string         // media type of raw
	file    string         // name that raw is saved under
	stream  func(w http.ResponseWriter, r *http.Request) error
}

// section is one entry of the navigation.
type section struct {
	Name, Path string
	Here       bool
	action     string // that opens it
}

// sections are the pages of the navigation that somebody may open, in their order.
func (c *Console) sections(who access.Actor, here string) []section {
	all := []section{
		{Name: "Overview", Path: "", action: access.StatusRead},
		{Name: "Messages", Path: "messages", action: access.MsgRead},
		{Name: "Lanes", Path: "lanes", action: access.MsgRead},
		{Name: "Jobs", Path: "jobs", action: access.MsgRead},
		{Name: "Links", Path: "links", action: access.StatusRead},
		{Name: "Reconcile", Path: "reconcile", action: access.MsgRead},
		{Name: "Quarantine", Path: "quarantine", action: access.InboundRead},
		{Name: "Shop floor", Path: "shopfloor", action: access.PlantRead},
		{Name: "Conflicts", Path: "conflicts", action: access.PlantRead},
		{Name: "Mappings", Path: "mappings", action: access.StatusRead},
		{Name: "Audit", Path: "audit", action: access.AuditRead},
		{Name: "Alerts", Path: "alerts", action: access.AuditRead},
		{Name: "Keys", Path: "keys", action: access.KeysRead},
		{Name: "Backups", Path: "backups", action: access.BackupRead},
	}
	if c.Tokens.On() {
		all = append(all, section{Name: "Tokens", Path: "tokens", action: access.TokenReveal})
	}
	all = slices.DeleteFunc(all, func(s section) bool { return c.Doer.Permit(who, s.action, "") != nil })
	for i := range all {
		all[i].Here = all[i].Name == here
		all[i].Path = Root + all[i].Path
	}
	return all
}

// pages are the templates by the name of their file.
type pages map[string]*template.Template

func loadPages(assets map[string]asset) pages {
	sub, err := fs.Sub(embedded, "templates")
	if err != nil {
		panic(fmt.Sprintf("console: %v", err)) // the folder is embedded
	}
	base := template.Must(template.New("layout.html").Funcs(functions(assets)).ParseFS(sub, "layout.html", "parts.html"))
	files, err := fs.Glob(sub, "*.html")
	if err != nil {
		panic(fmt.Sprintf("console: %v", err)) // the pattern is right
	}
	all := pages{}
	for _, f := range files {
		if f != "layout.html" && f != "parts.html" {
			all[strings.TrimSuffix(path.Base(f), ".html")] = template.Must(template.Must(base.Clone()).ParseFS(sub, f))
		}
	}
	return all
}

// shown is the handler of a show.
func (c *Console) shown(f show) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			r.Body = http.MaxBytesReader(w, r.Body, c.cfg.MaxBody)
			if err := r.ParseForm(); err != nil {
				c.fail(w, r, &problem.Error{Kind: problem.TooLarge, What: "read the form", Why: "it is too large or was cut", Hint: "send it again", Cause: err})
				return
			}
			asTyped(r.PostForm)
		}
		p, err := f(r)
		if sign := c.signPage(r, err); sign != nil {
			p, err = sign, nil
		}
		if err != nil {
			c.fail(w, r, err)
			return
		}
		c.answer(w, r, p)
	}
}

// asTyped has the lines of a form's fields end as those of what the plant keeps and they are compared with: browsers send CR LF after each.
func asTyped(form url.Values) {
	for _, values := range form {
		for i := range values {
			values[i] = strings.ReplaceAll(values[i], "\r\n", "\n")
		}
	}
}

// answer sends a page, or where to go.
func (c *Console) answer(w http.ResponseWriter, r *http.Request, p *page) {
	for _, k := range p.cookies {
		http.SetCookie(w, k)
	}
	switch {
	case p.to != "":
		http.Redirect(w, r, p.to, http.StatusSeeOther)
	case p.stream != nil:
		if err := p.stream(w, r); err != nil {
			c.log.WarnContext(r.Context(), "a download was cut", "err", err)
			panic(http.ErrAbortHandler) // so that the browser does not take a part for the whole
		}
	case p.raw != nil:
		w.Header().Set("Content-Type", p.kind)
		if p.file != "" {
			w.Header().Set("Content-Disposition", `attachment; filename="`+p.file+`"`)
		}
		c.write(w, r, p.raw)
	default:
		c.render(w, r, p)
	}
}

// render fills in what every page has and sends it. A template that fails sends nothing half.
func (c *Console) render(w http.ResponseWriter, r *http.Request, p *page) {
	p.Plant, p.Env, p.Version, p.Who = c.cfg.Plant, c.cfg.Name, c.cfg.Version, actorOf(r.Context())
	p.Theme, p.ZoneName = cookie(r, "theme", themeValues()), cookie(r, "zone", zoneValues())
	p.Sheets, p.Sections, p.Now, p.Self = stylesheets(p.Theme), c.sections(p.Who, p.Section), c.DB.Now(), r.URL.RequestURI()
	p.zone, p.form, p.SignsOut = c.zone(r), r.PostForm, c.SignIn != nil && p.Who.Name != ""
	p.Account = p.SignsOut && c.hasAccounts() && c.Doer.Permit(p.Who, access.PasskeyAdd, "") == nil
	if p.ZoneName != "browser" && p.zone != time.Local {
		p.Clock = p.zone.String()
	}
	if r.Method == http.MethodGet {
		p.Notice = notices()[r.URL.Query().Get("did")]
	} else {
		p.Live, p.Self = false, cmp.Or(r.Header.Get("Referer"), Root)
	}
	var body bytes.Buffer
	if err := c.pages[p.name].ExecuteTemplate(&body, "layout.html", p); err != nil {
		c.log.ErrorContext(r.Context(), "a page cannot be made", "err", err)
		http.Error(w, "this page cannot be made; the log of the plant says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(cmp.Or(p.status, http.StatusOK))
	c.write(w, r, body.Bytes())
}

// cookie is a choice that the browser has kept, the first one if it has none.
func cookie(r *http.Request, name string, values []string) string {
	k, err := r.Cookie("holdfast_" + name)
	if err != nil || !slices.Contains(values, k.Value) {
		return values[0]
	}
	return k.Value
}

// zone is in which times are written. The browser's is written by its script, over the plant's.
func (c *Console) zone(r *http.Request) *time.Location {
	if cookie(r, "zone", zoneValues()) == "utc" {
		return time.UTC
	}
	return c.cfg.Zone
}

// fail shows what went wrong as a page of its own.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, err error) {
	told := c.told(r, err)
	c.render(w, r, &page{name: "problem", Title: "Not done", Trouble: told, status: told.Kind.HTTPStatus()})
}

// told is an error as a person may read it; the text of one that nobody has classified is for the log.
func (c *Console) told(r *http.Request, err error) *problem.Error {
	if p, ok := errors.AsType[*problem.Error](err); ok && p.Kind != problem.Internal {
		return p
	}
	c.log.ErrorContext(r.Context(), "a page failed", "err", err)
	return &problem.Error{
		Kind: problem.Internal, What: "answer the request", Why: "something went wrong that should not", Hint: "the log of the plant says what; nothing was changed",
	}
}

// Key is a new idempotency key for a form.
func (p *page) Key() string {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.NewString()
	}
	return id.String()
}

// Sent is what a field of the form held that is shown again; def if none was sent.
func (p *page) Sent(field, def string) string {
	if v := p.form[field]; len(v) > 0 {
		return v[0]
	}
	return def
}

// T is a time in the zone of the reader, with its offset, for machines too.
func (p *page) T(t time.Time) template.HTML {
	if t.IsZero() {
		return "–"
	}
	local := t.In(p.zone)
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`, //nolint:gosec // made of figures and the names of zones
		local.Format(time.RFC3339Nano), local.Format(time.RFC3339), template.HTMLEscapeString(local.Format("2 Jan 2006 15:04:05 MST"))))
}

// Ago is how long ago a time is, in words that stay true until the page is read again.
func (p *page) Ago(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return ago(p.Now.Sub(t))
}

// Themes are the themes to choose from.
func (p *page) Themes() []theme { return themes() }

func ago(d time.Duration) string {
	if d < 0 {
		return "in " + length(-d)
	}
	return length(d)
}

// length is a length of time as a person says it.
func length(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%d days", int(d.Hours())/24)
	}
}
