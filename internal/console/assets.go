package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"

	"holdfast/internal/problem"
)

//go:embed static templates
var embedded embed.FS

// asset is a file that a browser loads. Its address has its hash, so that it is kept for good and never stale.
type asset struct {
	body, zipped []byte
	kind, hash   string
}

// components is the name under which the files of SAP's components are served as one.
const components = "components.css"

// loadAssets reads every file once.
func loadAssets() map[string]asset {
	all := map[string]asset{}
	var joined bytes.Buffer
	files := assetFiles()
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !slices.Contains([]string{".css", ".js"}, path.Ext(name)) {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		if strings.HasPrefix(name, "fundamental/") {
			joined.Write(body)
			joined.WriteByte('\n')
			return nil
		}
		all[name] = newAsset(name, body)
		return nil
	})
	if err != nil {
		panic(fmt.Sprintf("console: %v", err)) // the files are embedded
	}
	all[components] = newAsset(components, joined.Bytes())
	return all
}

func newAsset(name string, body []byte) asset {
	sum := sha256.Sum256(body)
	var zipped bytes.Buffer
	z, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	if err == nil {
		_, err = z.Write(body)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		panic(fmt.Sprintf("console: %v", err)) // a buffer takes everything
	}
	return asset{body, zipped.Bytes(), mime.TypeByExtension(path.Ext(name)), hex.EncodeToString(sum[:8])}
}

// static answers GET /console/static/…
func (c *Console) static(w http.ResponseWriter, r *http.Request) {
	a, ok := c.assets[r.PathValue("file")]
	if !ok {
		c.fail(w, r, noPage())
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Vary", "Accept-Encoding")
	if r.URL.Query().Get("v") == a.hash {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	body := a.body
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = a.zipped
	}
	c.write(w, r, body)
}

// write sends a body; that the browser has left meanwhile is nobody's trouble.
func (c *Console) write(w http.ResponseWriter, r *http.Request, body []byte) {
	if _, err := w.Write(body); err != nil {
		c.log.DebugContext(r.Context(), "page not taken", "err", err)
	}
}

// theme is one of SAP's Horizon themes.
type theme struct{ Value, Name, File string }

// themes are those that a person can choose; the first follows the system's setting.
func themes() []theme {
	return []theme{
		{"auto", "As the system", ""},
		{"light", "Light", "themes/sap_horizon.css"},
		{"dark", "Dark", "themes/sap_horizon_dark.css"},
		{"black", "High contrast, black", "themes/sap_horizon_hcb.css"},
		{"white", "High contrast, white", "themes/sap_horizon_hcw.css"},
	}
}

// stylesheet is a link of a page's head; Media is when it counts.
type stylesheet struct{ File, Media string }

// stylesheets are the themes of a choice.
func stylesheets(chosen string) []stylesheet {
	for _, t := range themes() {
		if t.Value == chosen && t.File != "" {
			return []stylesheet{{t.File, "all"}}
		}
	}
	return []stylesheet{
		{"themes/sap_horizon.css", "all"},
		{"themes/sap_horizon_dark.css", "(prefers-color-scheme: dark)"},
		{"themes/sap_horizon_hcw.css", "(prefers-contrast: more)"},
		{"themes/sap_horizon_hcb.css", "(prefers-contrast: more) and (prefers-color-scheme: dark)"},
	}
}

// prefer answers POST /console/preferences: theme and zone are the browser's, kept in cookies that say nothing else.
func (c *Console) prefer(r *http.Request) (*page, error) {
	back := r.PostFormValue("back")
	if !strings.HasPrefix(back, Root) || strings.ContainsAny(back, "\\\r\n") || strings.Contains(back, "//") {
		back = Root
	}
	p := &page{to: back}
	for name, values := range map[string][]string{"theme": themeValues(), "zone": zoneValues()} {
		v := r.PostFormValue(name)
		if v == "" {
			continue
		}
		if !slices.Contains(values, v) {
			return nil, &problem.Error{Kind: problem.Invalid, What: "choose a " + name, Why: "there is no such " + name, Hint: "choose one of the list"}
		}
		p.cookies = append(p.cookies, &http.Cookie{ //nolint:gosec // it is sent over TLS alone where there is TLS
			Name: "holdfast_" + name, Value: v, Path: Root, MaxAge: 365 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
		})
	}
	return p, nil
}

func themeValues() []string {
	var out []string
	for _, t := range themes() {
		out = append(out, t.Value)
	}
	return out
}

func zoneValues() []string { return []string{"plant", "utc", "browser"} }
