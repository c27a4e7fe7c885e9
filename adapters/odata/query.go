package odata

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"holdfast/adapters/odata/edm"
)

// Query asks for entities of one set. Names are those of the $metadata, and values are written by their fields' types.
type Query struct {
	Set     string
	Where   Condition // nil is all
	Select  []string  // fields; nil is all. Of what Expand leads to, all come, or those that are named as LINK/FIELD
	Expand  []string  // navigation properties, deeper ones as LINK/LINK
	OrderBy []Order
	Top     int  // 0 is all
	Count   bool // ask how many there are
	Track   bool // ask for a link to what changes afterwards
}

// Order is one field to order by.
type Order struct {
	Field      string
	Descending bool
}

// Condition is what a $filter says. Conditions are made by the functions below, and know no text but names and values.
type Condition func(of *edm.Struct, v edm.Version) (string, error)

// Equal holds where a field has this plain value; nil is null.
func Equal(field string, value any) Condition { return compare(field, "eq", value) }

// NotEqual holds where a field has another value.
func NotEqual(field string, value any) Condition { return compare(field, "ne", value) }

// Greater holds where a field is above a value.
func Greater(field string, value any) Condition { return compare(field, "gt", value) }

// AtLeast holds where a field is a value or above.
func AtLeast(field string, value any) Condition { return compare(field, "ge", value) }

// Less holds where a field is below a value.
func Less(field string, value any) Condition { return compare(field, "lt", value) }

// AtMost holds where a field is a value or below.
func AtMost(field string, value any) Condition { return compare(field, "le", value) }

func compare(field, operator string, value any) Condition {
	return func(of *edm.Struct, v edm.Version) (string, error) {
		f, err := filterable(of, field)
		if err != nil {
			return "", err
		}
		lit, err := f.Literal(value, v)
		if err != nil {
			return "", fmt.Errorf("the value for %s: %w", field, err)
		}
		return field + " " + operator + " " + lit, nil
	}
}

// StartsWith holds where a text begins so.
func StartsWith(field, text string) Condition {
	return func(of *edm.Struct, v edm.Version) (string, error) {
		f, err := filterable(of, field)
		if err != nil {
			return "", err
		}
		free := *f
		free.MaxLength = 0
		lit, err := free.Literal(text, v)
		if err != nil || f.Type != "Edm.String" {
			return "", fmt.Errorf("%s is no text", field)
		}
		return "startswith(" + field + "," + lit + ")", nil
	}
}

// And holds where all do.
func And(all ...Condition) Condition { return join(" and ", all) }

// Or holds where one does.
func Or(all ...Condition) Condition { return join(" or ", all) }

// AnyOf holds where a field has one of the values.
func AnyOf(field string, values ...any) Condition {
	var all []Condition
	for _, v := range values {
		all = append(all, Equal(field, v))
	}
	return Or(all...)
}

func join(word string, all []Condition) Condition {
	return func(of *edm.Struct, v edm.Version) (string, error) {
		if len(all) == 0 {
			return "", fmt.Errorf("there is no condition to join by%s", word)
		}
		parts := make([]string, 0, len(all))
		for _, c := range all {
			s, err := c(of, v)
			if err != nil {
				return "", err
			}
			parts = append(parts, s)
		}
		if len(parts) == 1 {
			return parts[0], nil
		}
		return "(" + strings.Join(parts, ")"+word+"(") + ")", nil
	}
}

func filterable(of *edm.Struct, field string) (*edm.Field, error) {
	f, ok := of.Field(field)
	if !ok {
		return nil, fmt.Errorf("%s has no field %s", of.Name, field)
	}
	if f.NoFilter {
		return nil, fmt.Errorf("the service does not filter by %s", field)
	}
	return f, nil
}

// build writes the query for an address.
func (q Query) build(of *edm.Struct, v edm.Version) (string, error) {
	var parts []string
	add := func(name, value string) { parts = append(parts, name+"="+edm.Escape(value)) }
	if q.Where != nil {
		filter, err := q.Where(of, v)
		if err != nil {
			return "", err
		}
		add("$filter", filter)
	}
	sel, expand, err := q.shape(of, v)
	if err != nil {
		return "", err
	}
	if sel != "" {
		add("$select", sel)
	}
	if expand != "" {
		add("$expand", expand)
	}
	if len(q.OrderBy) > 0 {
		order, err := q.order(of)
		if err != nil {
			return "", err
		}
		add("$orderby", order)
	}
	if q.Top > 0 {
		add("$top", strconv.Itoa(q.Top))
	}
	if q.Count && v == edm.V2 {
		add("$inlinecount", "allpages")
	} else if q.Count {
		add("$count", "true")
	}
	return strings.Join(parts, "&"), nil
}

func (q Query) order(of *edm.Struct) (string, error) {
	var parts []string
	for _, o := range q.OrderBy {
		if _, ok := of.Field(o.Field); !ok {
			return "", fmt.Errorf("%s has no field %s to order by", of.Name, o.Field)
		}
		if o.Descending {
			o.Field += " desc"
		}
		parts = append(parts, o.Field)
	}
	return strings.Join(parts, ","), nil
}

// branch is what is asked for below one navigation property.
type branch struct {
	name   string
	of     *edm.Struct
	fields []string
	below  []*branch
}

func (b *branch) child(name string) *branch {
	for _, c := range b.below {
		if c.name == name {
			return c
		}
	}
	return nil
}

// shape writes $select and $expand: V2 as two lists of paths, V4 nested.
func (q Query) shape(of *edm.Struct, v edm.Version) (sel, expand string, err error) {
	root := &branch{of: of}
	for _, path := range q.Expand {
		at := root
		for name := range strings.SplitSeq(path, "/") {
			l, ok := at.of.Link(name)
			if !ok {
				return "", "", fmt.Errorf("%s has no navigation property %s", at.of.Name, name)
			}
			next := at.child(name)
			if next == nil {
				next = &branch{name: name, of: l.Target}
				at.below = append(at.below, next)
			}
			at = next
		}
	}
	for _, path := range q.Select {
		at, steps := root, strings.Split(path, "/")
		for _, name := range steps[:len(steps)-1] {
			if at = at.child(name); at == nil {
				return "", "", fmt.Errorf("%s is not expanded, so nothing of it can be selected", name)
			}
		}
		field := steps[len(steps)-1]
		if _, ok := at.of.Field(field); !ok {
			return "", "", fmt.Errorf("%s has no field %s", at.of.Name, field)
		}
		at.fields = append(at.fields, field)
	}
	if v == edm.V2 {
		return strings.Join(root.paths(""), ","), strings.Join(q.Expand, ","), nil
	}
	return strings.Join(root.fields, ","), root.nested(), nil
}

// paths is V2's $select: once anything is selected, what is expanded must be named too.
func (b *branch) paths(before string) []string {
	var out []string
	for _, f := range b.fields {
		out = append(out, before+f)
	}
	for _, c := range b.below {
		deeper := c.paths(before + c.name + "/")
		if len(deeper) == 0 && len(b.fields) > 0 {
			deeper = []string{before + c.name}
		}
		out = append(out, deeper...)
	}
	if len(b.fields) == 0 && len(out) > 0 && !slices.Contains(out, before+"*") {
		out = append([]string{before + "*"}, out...)
	}
	return out
}

// nested is V4's $expand.
func (b *branch) nested() string {
	var out []string
	for _, c := range b.below {
		var options []string
		if len(c.fields) > 0 {
			options = append(options, "$select="+strings.Join(c.fields, ","))
		}
		if deeper := c.nested(); deeper != "" {
			options = append(options, "$expand="+deeper)
		}
		if len(options) > 0 {
			out = append(out, c.name+"("+strings.Join(options, ";")+")")
		} else {
			out = append(out, c.name)
		}
	}
	return strings.Join(out, ",")
}

// relative takes what a service gave as a link and brings it to the part below the service's root. Only what leads to this service is
// followed; wherever it says it leads, the call goes to the configured address.
func (c *Client) relative(link string, from request) (request, error) {
	here, err := c.url(from)
	if err != nil {
		return request{}, err
	}
	u, err := here.Parse(link)
	if err != nil {
		return request{}, fmt.Errorf("the link to the next page is no address")
	}
	root, err := url.Parse(c.link.base.String() + c.path)
	if err != nil {
		return request{}, err
	}
	if !c.link.ours(u) {
		return request{}, fmt.Errorf("the link to the next page leads to another host, %s; if it is a name of the same system, add it to hosts", u.Host)
	}
	below, ok := strings.CutPrefix(u.EscapedPath(), root.EscapedPath())
	if !ok || !strings.HasPrefix(below, "/") {
		return request{}, fmt.Errorf("the link to the next page leads out of the service, to %s", u.EscapedPath())
	}
	return request{method: from.method, path: below, query: u.RawQuery}, nil
}

// ours tells whether a host is the system's, under any of its names. All names of this machine are one.
func (l *Link) ours(u *url.URL) bool {
	return u.Host == l.base.Host || slices.Contains(l.cfg.Hosts, u.Host) || slices.Contains(l.cfg.Hosts, u.Hostname()) ||
		loopback(u.Hostname()) && loopback(l.base.Hostname()) && u.Port() == l.base.Port()
}
