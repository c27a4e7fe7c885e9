package mapping

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// fragmentSuffix is how the name of a file ends that holds fragments: fields with a name, which several mappings share.
const fragmentSuffix = ".fragments.yaml"

// fragment is fields that mappings use by name.
type fragment struct {
	name string
	own  bool // it is not of the first folder
	src  *source
	key  *yaml.Node
	at   *yaml.Node
	keys map[string]*yaml.Node // use, fields
}

// readFragments reads one file of fragments: fragments: {name: {fields: …}}. The same name in a later folder replaces an earlier one.
func (c *compiler) readFragments(fsys fs.FS, file string, here map[string]bool) error {
	text, err := fs.ReadFile(fsys, file)
	if err != nil {
		return fmt.Errorf("read fragments %s: %w", file, err)
	}
	c.src = &source{file: file, lines: strings.Split(string(text), "\n")}
	root, ok := c.parse(text)
	if !ok {
		return nil
	}
	top := c.object(root, "the file", "fragments")
	if top["fragments"] == nil {
		c.wrong(root, "the file", "fragments is missing", "write fragments: {name: {fields: …}}")
		return nil
	}
	for _, e := range c.entries(top["fragments"], "fragments") {
		at := "fragments." + e.key.Value
		if here[e.key.Value] {
			c.wrong(e.key, at, "another file of this folder has a fragment of this name", "choose another name")
			continue
		}
		here[e.key.Value] = true
		c.fragments[e.key.Value] = &fragment{e.key.Value, c.own, c.src, e.key, e.value, c.object(e.value, at, "use", "fields")}
	}
	return nil
}

// members reads the fields of an object: those of the fragments that it uses, then its own, which replace fields of the same name.
func (c *compiler) members(k map[string]*yaml.Node, path string) []*rule {
	var out []*rule
	if n := k["use"]; n != nil {
		out = c.use(n, path)
	}
	if n := k["fields"]; n != nil {
		for _, r := range c.rules(n, path, false) {
			if i := slices.IndexFunc(out, func(o *rule) bool { return o.name == r.name }); i >= 0 {
				out[i] = r
				continue
			}
			out = append(out, r)
		}
	}
	return out
}

// use reads the fields of fragments, as if they stood here.
func (c *compiler) use(n *yaml.Node, path string) []*rule {
	names := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		names = n.Content
	}
	var out []*rule
	for _, name := range names {
		if !c.scalar(name, path+".use") {
			continue
		}
		f := c.fragments[name.Value]
		switch {
		case f == nil:
			c.wrong(name, path+".use", fmt.Sprintf("there is no fragment %q", clip(name.Value)),
				didYouMean(name.Value, sortedKeys(c.fragments), "write it in a file that ends in "+fragmentSuffix))
			continue
		case slices.Contains(c.used.stack, name.Value):
			c.wrong(name, path+".use", "fragment "+strings.Join(append(c.used.stack, name.Value), " uses ")+": that has no end", "leave one use out")
			continue
		}
		for _, r := range c.expand(f, path) {
			if i := slices.IndexFunc(out, func(o *rule) bool { return o.name == r.name }); i >= 0 {
				c.wrong(name, path+".use", fmt.Sprintf("field %s comes from two fragments", r.name), "leave it out of one of them")
				continue
			}
			out = append(out, r)
		}
	}
	return out
}

func (c *compiler) expand(f *fragment, path string) []*rule {
	src := c.src
	if c.expanded != nil {
		c.expanded[f.name] = true
	}
	c.src, c.used.stack = f.src, append(c.used.stack, f.name)
	c.used.files = append(c.used.files, piece(f.src.file, []byte(strings.Join(f.src.lines, "\n")))...)
	defer func() { c.src, c.used.stack = src, c.used.stack[:len(c.used.stack)-1] }()
	if f.keys["fields"] == nil && f.keys["use"] == nil {
		c.wrong(f.at, "fragments."+f.name, "it has no fields", "write fields: below it")
		return nil
	}
	return c.members(f.keys, path)
}

// idle are the fragments of the plant's own that no mapping uses: nothing has looked into them.
func (c *compiler) idle() (out []Mistake) {
	for _, name := range sortedKeys(c.fragments) {
		if f := c.fragments[name]; f.own && !c.expanded[name] {
			out = append(out, Mistake{
				File: f.src.file, Line: f.key.Line, Col: f.key.Column, What: "fragments." + name,
				Why: "no mapping uses this fragment, and its fields are not checked", Hint: "leave it out, or use it: use: " + name,
			})
		}
	}
	return out
}
