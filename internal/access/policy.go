package access

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"time"

	"holdfast/internal/problem"
)

// Grant permits some actions, on some links, in some plants. Where a list has a pattern, * stands for any letters.
type Grant struct {
	May    []string `yaml:"may"`    // permissions (links:operate), actions (link.pause) or patterns of either (link.*)
	Links  []string `yaml:"links"`  // names or patterns; empty: every link, and what belongs to none
	Plants []string `yaml:"plants"` // numbers or patterns; empty: every plant
}

// Role is what its holders may do.
type Role []Grant

// Apart is a separation of duties: whoever has done Edit to a thing does not do Approve to it, until somebody else has edited it.
type Apart struct {
	Edit    string `yaml:"edit"`
	Approve string `yaml:"approve"`
}

// Policy is who may do what in one plant. It never changes, so that it is safe for use by many goroutines.
type Policy struct {
	plant string
	roles map[string]Role
	apart []Apart
	step  StepUp
	sign  []string // what a person signs; see Sign
}

// StepUp is what a person does only soon after showing the second factor.
type StepUp struct {
	Actions []string      `yaml:"actions"` // of the registry, or patterns of them
	Within  time.Duration `yaml:"within"`  // default 10m
}

// NewPolicy makes the policy of a plant. The roles given replace the built-in ones of their names; nil for apart means the built-in
// separations, an empty list none.
func NewPolicy(plant string, roles map[string]Role, apart []Apart) (*Policy, error) {
	p := &Policy{plant: plant, roles: DefaultRoles(), apart: apart}
	if apart == nil {
		p.apart = DefaultApart()
	}
	for name, r := range roles {
		for _, g := range r {
			if err := g.check(name); err != nil {
				return nil, err
			}
		}
		p.roles[name] = r
	}
	for _, a := range p.apart {
		for _, name := range []string{a.Edit, a.Approve} {
			if _, ok := Lookup(name); !ok {
				return nil, &problem.Error{
					Kind: problem.Invalid, What: "separate " + a.Edit + " from " + a.Approve, Why: "there is no action " + name,
					Hint: "holdfast access actions lists them",
				}
			}
		}
	}
	return p, nil
}

// Demand is the policy that also asks for a fresh second factor. Invalid for a word that fits no action.
func (p *Policy) Demand(step StepUp) (*Policy, error) {
	for _, word := range step.Actions {
		if !slices.ContainsFunc(Actions(), func(a Action) bool { return a.Changes() && matches(word, a.Name) }) {
			return nil, &problem.Error{
				Kind: problem.Invalid, What: "ask for a fresh second factor", Why: fmt.Sprintf("%q is no action that changes anything, and fits none", word),
				Hint: "holdfast access actions lists them",
			}
		}
	}
	more := *p
	more.step = StepUp{step.Actions, cmp.Or(step.Within, 10*time.Minute)}
	return &more, nil
}

// demand refuses what asks for a second factor that the person has not shown just now. Machines and commands have none.
func (p *Policy) demand(act Act, now time.Time) error {
	if p == nil || !act.Actor.Person || !matchesAny(p.step.Actions, act.Action) || now.Sub(act.Actor.Factor) <= p.step.Within {
		return nil
	}
	return &problem.Error{
		Kind: problem.Denied, What: act.Action + " " + act.Object, Why: fmt.Sprintf("it asks for a second factor that was shown in the last %s", p.step.Within),
		Hint: "sign in again at /console/sign-in?fresh=yes, then do it once more",
	}
}

// check refuses a word that permits nothing: a misspelt permission must not look like one.
func (g Grant) check(role string) error {
	for _, word := range g.May {
		if !slices.ContainsFunc(Actions(), func(a Action) bool { return matches(word, a.Name) || matches(word, a.Permission) }) {
			return &problem.Error{
				Kind: problem.Invalid, What: "role " + role, Why: fmt.Sprintf("%q is neither a permission nor an action, and fits none", word),
				Hint: "holdfast access actions lists them",
			}
		}
	}
	if len(g.May) == 0 {
		return &problem.Error{Kind: problem.Invalid, What: "role " + role, Why: "it may do nothing", Hint: "write may: [plant:read], or leave the role out"}
	}
	return nil
}

func matches(pattern, s string) bool {
	ok, err := path.Match(pattern, s)
	return ok && err == nil
}

func matchesAny(patterns []string, s string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, s) })
}

// Roles are the names of the policy's roles, in order.
func (p *Policy) Roles() []string { return slices.Sorted(maps.Keys(p.roles)) }

// Has tells whether there is a role of the name.
func (p *Policy) Has(role string) bool { return p.roles[role] != nil }

// Rights is what one actor may do: what its roles permit, within the limits of how it came in. The zero value permits nothing.
type Rights struct {
	Roles []string // of the policy
	Own   []Grant  // besides the roles: what a token permits itself
	Links []string // patterns; not empty: on no other link, whatever the roles say
	Only  []string `json:",omitempty"` // actions; not empty: no other one, whatever the roles say
}

// Everything is the right of the plant's own program to what it does by itself.
func Everything() Rights { return Rights{Own: []Grant{{May: []string{"*"}}}} }

// May tells whether the rights permit an action on a link; "" is what belongs to no link. A nil policy permits everything: the plant has
// none, and takes calls of this machine only.
func (p *Policy) May(r Rights, action, link string) bool {
	if p == nil {
		return true
	}
	a, known := Lookup(action)
	if !known || r.not(action) || link != "" && len(r.Links) > 0 && !matchesAny(r.Links, link) || link == "" && !r.whole(a) {
		return false
	}
	return slices.ContainsFunc(p.grants(r), func(g Grant) bool { return p.permits(g, a, link) })
}

// not tells whether the rights are limited to other actions.
func (r Rights) not(action string) bool { return len(r.Only) > 0 && !slices.Contains(r.Only, action) }

// whole tells whether rights that are limited to some links reach an action that belongs to none: what is done to the plant itself does.
func (r Rights) whole(a Action) bool { return len(r.Links) == 0 || !a.onLinks() }

// onLinks tells whether the action is done to what belongs to a link.
func (a Action) onLinks() bool {
	return slices.Contains([]string{ReadMessages, ReadInbound, RepairInbound, RepairOut, Operate, Deliver}, a.Permission)
}

// MayOnSome tells whether the rights permit an action on one link at least, or on what belongs to none.
func (p *Policy) MayOnSome(r Rights, action string) bool {
	if p == nil {
		return true
	}
	a, known := Lookup(action)
	return known && !r.not(action) && slices.ContainsFunc(p.grants(r), func(g Grant) bool { return p.permits(g, a, "") || len(g.Links) > 0 && p.permitsAnywhere(g, a) })
}

func (p *Policy) grants(r Rights) []Grant {
	all := slices.Clone(r.Own)
	for _, name := range r.Roles {
		all = append(all, p.roles[name]...)
	}
	return all
}

func (p *Policy) permits(g Grant, a Action, link string) bool {
	if link == "" && a.onLinks() && len(g.Links) > 0 {
		return false // for some links only, and it is not known to be one of them
	}
	return p.permitsAnywhere(g, a) && (link == "" || len(g.Links) == 0 || matchesAny(g.Links, link))
}

func (p *Policy) permitsAnywhere(g Grant, a Action) bool {
	return (matchesAny(g.May, a.Name) || matchesAny(g.May, a.Permission)) && (len(g.Plants) == 0 || matchesAny(g.Plants, p.plant))
}
