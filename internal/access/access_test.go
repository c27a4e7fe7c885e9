package access_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

func anna() access.Actor { return access.Actor{Name: "local:anna", From: "127.0.0.1"} }

// effect is an act that leaves a row behind, so that a test can count effects: it writes an audit entry of an action of its own.
func effect(answer string) func(ctx context.Context, tx *store.Tx) (access.Result, error) {
	return func(ctx context.Context, tx *store.Tx) (access.Result, error) {
		err := audit.Append(ctx, tx, audit.Entry{Actor: "effect", Action: "effect", Object: answer})
		return access.Result{Object: "order/1", Answer: json.RawMessage(answer), Events: []string{"e1"}, After: json.RawMessage(`{"a":1}`)}, err
	}
}

func entries(t *testing.T, db *store.DB, f audit.Filter) []audit.Entry {
	t.Helper()
	var got []audit.Entry
	err := db.View(t.Context(), func(tx *store.Tx) (err error) {
		got, err = audit.List(t.Context(), tx, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func effects(t *testing.T, db *store.DB) int {
	t.Helper()
	return len(entries(t, db, audit.Filter{Action: "effect"}))
}

func TestAnActIsRecordedWithItsEffect(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		act := access.Act{Action: access.OrderCreate, Actor: anna()}
		if _, err := access.New(db).Do(t.Context(), act, effect(`{"id":"1"}`)); err != nil {
			t.Fatal(err)
		}
		got := entries(t, db, audit.Filter{Action: access.OrderCreate})
		if len(got) != 1 {
			t.Fatalf("got %d entries, want 1", len(got))
		}
		e := got[0]
		if e.Actor != "local:anna" || e.From != "127.0.0.1" || e.Object != "order/1" || string(e.After) != `{"a":1}` || e.Outcome != audit.Done {
			t.Errorf("got %+v", e)
		}
	})
}

func TestAnActThatFailsLeavesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := access.New(db)
		act := access.Act{Action: access.OrderCreate, Actor: anna(), Idempotency: &access.Key{Value: "k", Request: "r"}}
		late := errors.New("the process stopped after the effect")
		_, err := d.Do(t.Context(), act, func(ctx context.Context, tx *store.Tx) (access.Result, error) {
			res, err := effect(`{}`)(ctx, tx)
			return res, errors.Join(err, late)
		})
		if !errors.Is(err, late) {
			t.Fatalf("err = %v, want %v", err, late)
		}
		if n := len(entries(t, db, audit.Filter{})); n != 0 {
			t.Errorf("%d rows stayed, want 0", n)
		}
		if res, err := d.Do(t.Context(), act, effect(`{}`)); err != nil || res.Repeated {
			t.Errorf("the same key again: repeated %t, err %v; want a first effect", res.Repeated, err)
		}
	})
}

func TestTheSameKeyTwentyTimesAtOnceIsOneEffect(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := access.New(db)
		act := access.Act{Action: access.OrderCreate, Actor: anna(), Idempotency: &access.Key{Value: "k", Request: "r"}}
		const calls = 20
		results, errs := make([]access.Result, calls), make([]error, calls)
		var wg sync.WaitGroup
		for i := range calls {
			wg.Go(func() { results[i], errs[i] = d.Do(t.Context(), act, effect(fmt.Sprintf(`{"call":%d}`, i))) })
		}
		wg.Wait()
		first := 0
		for i, res := range results {
			if errs[i] != nil {
				t.Fatal(errs[i])
			}
			if !res.Repeated {
				first++
			}
			if diff := cmp.Diff(string(results[0].Answer), string(res.Answer)); diff != "" {
				t.Errorf("answer of call %d (-first +got):\n%s", i, diff)
			}
			if diff := cmp.Diff([]string{"e1"}, res.Events); diff != "" {
				t.Errorf("events of call %d (-want +got):\n%s", i, diff)
			}
		}
		if first != 1 || effects(t, db) != 1 {
			t.Errorf("%d first answers and %d effects, want 1 and 1", first, effects(t, db))
		}
	})
}

func TestAKeyBelongsToOneRequestOfOneActor(t *testing.T) {
	used := access.Act{Action: access.OrderCreate, Actor: anna(), Idempotency: &access.Key{Value: "k", Request: "r"}}
	other := used
	other.Idempotency = &access.Key{Value: "k", Request: "another"}
	ben := used
	ben.Actor.Name = "local:ben"
	tests := []struct {
		name     string
		act      access.Act
		want     problem.Kind
		repeated bool
		effects  int
	}{
		{"the same request", used, "", true, 1},
		{"another request", other, problem.Duplicate, false, 1},
		{"another actor", ben, "", false, 2},
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := access.New(db)
		if _, err := d.Do(t.Context(), used, effect(`{}`)); err != nil {
			t.Fatal(err)
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				res, err := d.Do(t.Context(), tt.act, effect(`{}`))
				if problem.KindOf(err) != tt.want || res.Repeated != tt.repeated || effects(t, db) != tt.effects {
					t.Errorf("kind %q, repeated %t, effects %d; want %q, %t, %d", problem.KindOf(err), res.Repeated, effects(t, db), tt.want, tt.repeated, tt.effects)
				}
			})
		}
	})
}

func TestAnOperatorSaysWhyAndARefusalIsRecorded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := access.New(db)
		act := access.Act{Action: access.LinkPause, Actor: anna(), Object: "link/erp"}
		for _, reason := range []string{"", " ", "ab ", strings.Repeat("x", access.MostReason+1)} {
			act.Reason = reason
			if _, err := d.Do(t.Context(), act, effect(`{}`)); problem.KindOf(err) != problem.Invalid {
				t.Errorf("reason %.10q: %v, want kind invalid", reason, err)
			}
		}
		act.Reason = "maintenance"
		refused := func(context.Context, *store.Tx) (access.Result, error) {
			return access.Result{}, &problem.Error{Kind: problem.Conflict, Why: "it is paused already"}
		}
		if _, err := d.Do(t.Context(), act, refused); problem.KindOf(err) != problem.Conflict {
			t.Errorf("err = %v, want kind conflict", err)
		}
		got := entries(t, db, audit.Filter{Object: "link/erp"})
		if len(got) != 1 || got[0].Outcome != audit.Refused || !strings.Contains(string(got[0].After), "paused already") {
			t.Errorf("got %+v, want one refused entry that says why", got)
		}
	})
}

// TestWhatIsDeniedIsRecordedWhateverTheAction: an action that asks for no reason too.
func TestWhatIsDeniedIsRecordedWhateverTheAction(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := access.New(db).Under(policy(t, nil, nil))
		act := access.Act{Action: access.OrderCreate, Actor: anna(), Object: "order/7"}
		if _, err := d.Do(t.Context(), act, effect(`{}`)); problem.KindOf(err) != problem.Denied || effects(t, db) != 0 {
			t.Fatalf("err = %v with %d effects, want kind denied and none", err, effects(t, db))
		}
		if got := entries(t, db, audit.Filter{Object: "order/7"}); len(got) != 1 || got[0].Outcome != audit.Refused || got[0].Actor != "local:anna" {
			t.Errorf("got %+v, want one refused entry", got)
		}
	})
}

func TestAnActOutsideTheRegistryIsADefect(t *testing.T) {
	db := storetest.SQLite(t)
	_, err := access.New(db).Do(t.Context(), access.Act{Action: "order.eat", Actor: anna()}, effect(`{}`))
	if problem.KindOf(err) != problem.Internal || effects(t, db) != 0 {
		t.Errorf("kind %q with %d effects, want internal and none", problem.KindOf(err), effects(t, db))
	}
}

func TestKeysAreForgottenAfterTheirTime(t *testing.T) {
	now := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := access.New(db)
		act := access.Act{Action: access.OrderCreate, Actor: anna(), Idempotency: &access.Key{Value: "k", Request: "r"}}
		if _, err := d.Do(t.Context(), act, effect(`{}`)); err != nil {
			t.Fatal(err)
		}
		for _, want := range []int64{0, 1, 0} {
			if n, err := d.Forget(t.Context()); n != want || err != nil {
				t.Errorf("forgot %d, %v; want %d", n, err, want)
			}
			mu.Lock()
			now = now.Add(access.KeepKeys + time.Second)
			mu.Unlock()
		}
	}, storetest.WithClock(clock))
}

func TestEveryActionIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range access.Actions() {
		if a.Name == "" || a.Permission == "" || a.Summary == "" || seen[a.Name] {
			t.Errorf("%+v is incomplete or there twice", a)
		}
		seen[a.Name] = true
		if got, ok := access.Lookup(a.Name); !ok || got != a {
			t.Errorf("Lookup(%q) = %+v, %t", a.Name, got, ok)
		}
	}
}
