package access_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

func policy(t *testing.T, roles map[string]access.Role, apart []access.Apart) *access.Policy {
	t.Helper()
	p, err := access.NewPolicy("1000", roles, apart)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func roles(names ...string) access.Rights { return access.Rights{Roles: names} }

func TestRightsAreWhatTheTableSays(t *testing.T) {
	p := policy(t, map[string]access.Role{
		"eu":        {{May: []string{"links:operate", "msg.read"}, Links: []string{"erp-eu*"}}},
		"elsewhere": {{May: []string{"*"}, Plants: []string{"2000"}}},
		"here":      {{May: []string{"order.*"}, Plants: []string{"1*"}}},
	}, nil)
	tests := []struct {
		name         string
		rights       access.Rights
		action, link string
		may, some    bool
	}{
		{"what the role has", roles("viewer"), access.PlantRead, "", true, true},
		{"what it does not have", roles("viewer"), access.OrderCreate, "", false, false},
		{"no role", access.Rights{}, access.PlantRead, "", false, false},
		{"a role that there is not", roles("king"), access.PlantRead, "", false, false},
		{"an action that there is not", roles("here"), "order.eat", "", false, false},
		{"two roles", roles("viewer", "erp-team"), access.LinkPause, "erp", true, true},
		{"a link of the role", roles("eu"), access.LinkPause, "erp-eu1", true, true},
		{"another link", roles("eu"), access.LinkPause, "erp-us", false, true},
		{"all links at once, with some of them", roles("eu"), access.MsgRead, "", false, true},
		{"another plant's role", roles("elsewhere"), access.PlantRead, "", false, false},
		{"this plant's, by pattern", roles("here"), access.OrderCreate, "", true, true},
		{"a token's link", access.Rights{Roles: []string{"erp-team"}, Links: []string{"erp"}}, access.LinkPause, "erp", true, true},
		{"not a token's link", access.Rights{Roles: []string{"erp-team"}, Links: []string{"erp"}}, access.LinkPause, "erp2", false, true},
		{"all links, of a token with some", access.Rights{Roles: []string{"erp-team"}, Links: []string{"erp"}}, access.MsgRead, "", false, true},
		{"the plant, of a token with some links", access.Rights{Roles: []string{"operator"}, Links: []string{"erp"}}, access.PlantRead, "", true, true},
		{"a token's own", access.Rights{Own: []access.Grant{{May: []string{"order.create"}}}}, access.OrderCreate, "", true, true},
		{"beside a token's own", access.Rights{Own: []access.Grant{{May: []string{"order.create"}}}}, access.OrderStart, "", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if may, some := p.May(tt.rights, tt.action, tt.link), p.MayOnSome(tt.rights, tt.action); may != tt.may || some != tt.some {
				t.Errorf("may %t, on some link %t; want %t, %t", may, some, tt.may, tt.some)
			}
		})
	}
	var none *access.Policy
	if !none.May(access.Rights{}, access.OrderCreate, "") || !none.MayOnSome(access.Rights{}, access.LinkPause) {
		t.Error("a plant without a policy refuses its own machine")
	}
}

func TestAWordThatPermitsNothingIsRefused(t *testing.T) {
	tests := []struct {
		name  string
		roles map[string]access.Role
		apart []access.Apart
	}{
		{"a misspelt permission", map[string]access.Role{"x": {{May: []string{"link:operate"}}}}, nil},
		{"a broken pattern", map[string]access.Role{"x": {{May: []string{"["}}}}, nil},
		{"nothing", map[string]access.Role{"x": {{}}}, nil},
		{"a separation of what there is not", nil, []access.Apart{{Edit: "order.create", Approve: "order.eat"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := access.NewPolicy("1000", tt.roles, tt.apart); problem.KindOf(err) != problem.Invalid {
				t.Errorf("got %v, want kind invalid", err)
			}
		})
	}
}

// TestTheTableOfRolesIsTheOneInPrint holds docs/access.md against the built-in roles, both ways: a right more or less is a change to print.
func TestTheTableOfRolesIsTheOneInPrint(t *testing.T) {
	text, err := os.ReadFile("../../docs/access.md")
	if err != nil {
		t.Fatal(err)
	}
	p := policy(t, nil, nil)
	printed := map[string][]string{}
	var columns []string
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "`")
		}
		switch {
		case cells[0] == "permission":
			columns = cells[1:]
		case columns != nil && len(cells) == len(columns)+1 && strings.Contains(cells[0], ":") && !strings.HasPrefix(cells[0], "-"):
			for i, role := range columns {
				if cells[i+1] == "yes" {
					printed[cells[0]] = append(printed[cells[0]], role)
				}
			}
		}
	}
	want := map[string][]string{}
	for _, a := range access.Actions() {
		want[a.Permission] = nil
		for _, role := range p.Roles() {
			if p.May(roles(role), a.Name, "") {
				want[a.Permission] = append(want[a.Permission], role)
			}
		}
		slices.Sort(printed[a.Permission])
		if len(want[a.Permission]) == 0 {
			t.Errorf("no role has %s, so nobody can do %s", a.Permission, a.Name)
		}
	}
	if diff := cmp.Diff(want, printed); diff != "" {
		t.Errorf("docs/access.md (-the program +in print):\n%s", diff)
	}
}

func TestADoerUnderAPolicyDoesWhatItPermits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := access.New(db).Under(policy(t, nil, nil))
		act := access.Act{Action: access.LinkPause, Object: "link/erp", Link: "erp", Reason: "maintenance", Actor: access.Actor{Name: "ben", Rights: roles("viewer")}}
		if _, err := d.Do(t.Context(), act, effect(`{}`)); problem.KindOf(err) != problem.Denied || effects(t, db) != 0 {
			t.Errorf("a viewer: %v with %d effects, want kind denied and none", err, effects(t, db))
		}
		if got := entries(t, db, audit.Filter{Action: access.LinkPause}); len(got) != 1 || got[0].Outcome != audit.Refused || got[0].Actor != "ben" {
			t.Errorf("got %+v, want the refusal", got)
		}
		act.Actor.Rights = roles("erp-team")
		if _, err := d.Do(t.Context(), act, effect(`{}`)); err != nil || effects(t, db) != 1 {
			t.Errorf("the ERP team: %v with %d effects, want one", err, effects(t, db))
		}
	})
}

// TestWhatAnActFindsOutIsSeparatedToo: an act is held to what it turns out to be about, however it was called, and leaves nothing where it is refused.
func TestWhatAnActFindsOutIsSeparatedToo(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p, err := access.NewPolicy("1000", nil, []access.Apart{{Edit: access.MsgAmend, Approve: access.MsgApprove}, {Edit: access.MsgAmend, Approve: access.AnomalyAccept}})
		if err != nil {
			t.Fatal(err)
		}
		d := access.New(db).Under(p)
		do := func(who, action, object string, res access.Result) problem.Kind {
			act := access.Act{Action: action, Object: object, Link: "erp", Reason: "checked", Actor: access.Actor{Name: who, Rights: roles("erp-team")}}
			_, err := d.Do(t.Context(), act, func(context.Context, *store.Tx) (access.Result, error) { return res, nil })
			return problem.KindOf(err)
		}
		amended := access.MessageObject("1")
		if got := do("user:anna", access.MsgAmend, amended, access.Result{}); got != "" {
			t.Fatal(got)
		}
		for _, tt := range []struct {
			who, action, object string
			res                 access.Result
			want                problem.Kind
		}{
			{"user:anna", access.MsgApprove, "request/7", access.Result{Object: amended}, problem.Denied},
			{"user:anna", access.MsgApprove, "request/7", access.Result{Object: access.MessageObject("2")}, ""},
			{"user:ben", access.MsgApprove, "request/7", access.Result{Object: amended}, ""},
			{"user:anna", access.AnomalyAccept, access.MessageObject("0"), access.Result{About: []string{access.MessageObject("0"), amended}}, problem.Denied},
			{"user:ben", access.AnomalyAccept, access.MessageObject("0"), access.Result{About: []string{access.MessageObject("0"), amended}}, ""},
		} {
			if got := do(tt.who, tt.action, tt.object, tt.res); got != tt.want {
				t.Errorf("%s does %s %s, about %+v: %q, want %q", tt.who, tt.action, tt.object, tt.res, got, tt.want)
			}
		}
	})
}

// TestWhatAMachineHasReportedSomebodyReleases: its report is nobody's judgement, so that a person may release it, and not the machine itself.
func TestWhatAMachineHasReportedSomebodyReleases(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := access.New(db).Under(policy(t, nil, nil))
		do := func(who, action, object string, about ...string) problem.Kind {
			act := access.Act{Action: action, Object: object, Link: "erp", Reason: "checked", Actor: access.Actor{Name: who, Rights: access.Rights{Own: []access.Grant{{May: []string{"*"}}}}}}
			_, err := d.Do(t.Context(), act, func(context.Context, *store.Tx) (access.Result, error) { return access.Result{About: about}, nil })
			return problem.KindOf(err)
		}
		for who, report := range map[string]string{"token:mes": access.MovementObject("1"), "user:anna": access.ConfirmationObject("2")} {
			action := map[bool]string{true: access.MovementCreate, false: access.ConfirmationCreate}[who == "token:mes"]
			if got := do(who, action, report); got != "" {
				t.Fatal(got)
			}
		}
		for _, tt := range []struct {
			who, report string
			want        problem.Kind
		}{
			{"token:mes", access.MovementObject("1"), problem.Denied},
			{"user:anna", access.MovementObject("1"), ""},
			{"user:anna", access.ConfirmationObject("2"), problem.Denied},
			{"local:anna", access.ConfirmationObject("2"), problem.Denied}, // who may be the same
			{"token:mes", access.ConfirmationObject("2"), problem.Denied},  // she may hold it
			{"user:ben", access.ConfirmationObject("2"), ""},
		} {
			for _, lets := range []string{access.AnomalyAccept, access.MsgRetry, access.MsgPostpone, access.MsgUndiscard} {
				if got := do(tt.who, lets, access.MessageObject("0"), tt.report); got != tt.want {
					t.Errorf("%s does %s of %s: %q, want %q", tt.who, lets, tt.report, got, tt.want)
				}
			}
		}
	})
}

// TestWhoCorrectsWhileTheirReleaseWaitsDoesNotRelease: the correction is committed once the release has looked who was last, and before it has the row.
func TestWhoCorrectsWhileTheirReleaseWaitsDoesNotRelease(t *testing.T) {
	d := access.New(storetest.Postgres(t)).Under(policy(t, nil, nil)) // SQLite has one writer at a time
	act := func(action string) access.Act {
		return access.Act{Action: action, Object: "inbound/1", Link: "erp", Reason: "checked", Actor: access.Actor{Name: "user:anna", Rights: roles("erp-team")}}
	}
	nothing := func(context.Context, *store.Tx) (access.Result, error) { return access.Result{}, nil }
	_, err := d.Do(t.Context(), act(access.QuarantineReplay), func(context.Context, *store.Tx) (access.Result, error) {
		_, err := d.Do(t.Context(), act(access.QuarantineAmend), nothing)
		return access.Result{}, err
	})
	if problem.KindOf(err) != problem.Denied {
		t.Errorf("got %v, want that whoever was the last to correct it does not release it", err)
	}
}

// TestWhoCorrectsDoesNotRelease: the last one to correct a thing does not release it, whatever their role; somebody else does.
func TestWhoCorrectsDoesNotRelease(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := access.New(db).Under(policy(t, nil, nil))
		do := func(who, action, object string) problem.Kind {
			act := access.Act{Action: action, Object: object, Link: "erp", Reason: "checked", Actor: access.Actor{Name: who, Rights: roles("erp-team")}}
			_, err := d.Do(t.Context(), act, func(context.Context, *store.Tx) (access.Result, error) {
				return access.Result{After: json.RawMessage(`{}`)}, nil
			})
			return problem.KindOf(err)
		}
		steps := []struct {
			who, action, object string
			want                problem.Kind
		}{
			{"user:anna", access.QuarantineReplay, "inbound/1", ""},
			{"user:anna", access.QuarantineAmend, "inbound/1", ""},
			{"user:anna", access.QuarantineReplay, "inbound/1", problem.Denied},
			{"user:anna", access.QuarantineReplay, "inbound/2", ""},
			{"user:ben", access.QuarantineReplay, "inbound/1", ""},
			{"user:ben", access.QuarantineAmend, "inbound/1", ""},
			{"user:anna", access.QuarantineReplay, "inbound/1", ""},
			{"user:ben", access.QuarantineReplay, "inbound/1", problem.Denied},
			{"user:cleo", access.QuarantineAmend, "inbound/3", ""},
			{"local:cleo", access.QuarantineReplay, "inbound/3", problem.Denied},
			{"user:dora", access.QuarantineReplay, "inbound/3", ""},
			{"user:anna", access.MsgAmend, "message/1", ""},
			{"user:anna", access.AnomalyAccept, "message/1", problem.Denied},
			{"local:anna", access.MsgRetry, "message/1", problem.Denied},
			{"user:anna", access.MsgUndiscard, "message/1", problem.Denied},
			{"user:ben", access.AnomalyAccept, "message/1", ""},
		}
		for i, s := range steps {
			if got := do(s.who, s.action, s.object); got != s.want {
				t.Errorf("%s: kind %q, want %q", fmt.Sprintf("step %d, %s does %s", i, s.who, s.action), got, s.want)
			}
		}
		open := access.New(db)
		act := access.Act{Action: access.QuarantineReplay, Object: "inbound/1", Reason: "checked", Actor: access.Actor{Name: "ben"}}
		if _, err := open.Do(t.Context(), act, effect(`{}`)); err != nil {
			t.Errorf("without a policy: %v", err)
		}
	})
}

// TestByTheBuiltInTableNobodyReportsAndReleases: what a report says is let go by others than those who report, and by others than who has corrected it.
func TestByTheBuiltInTableNobodyReportsAndReleases(t *testing.T) {
	p, err := access.NewPolicy("1000", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name := range access.DefaultRoles() {
		may := access.Rights{Roles: []string{name}}
		for _, report := range []string{access.ConfirmationCreate, access.MovementCreate} {
			for _, release := range []string{access.AnomalyAccept, access.MsgRetry, access.MsgSendAgain} {
				if p.May(may, report, "erp") && p.May(may, release, "erp") {
					t.Errorf("%s may do %s and %s", name, report, release)
				}
			}
		}
	}
}
