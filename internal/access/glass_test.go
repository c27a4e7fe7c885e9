package access_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestASealedAccountIsOpenedByTwo: one person alone does not get in by it, neither under another of their names nor by an old request.
func TestASealedAccountIsOpenedByTwo(t *testing.T) {
	c := newClock()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := openDoor(t, db, c)
		doer := access.New(db)
		act := func(by, action string, fn func(ctx context.Context, tx *store.Tx) error) error {
			_, err := doer.Do(t.Context(), access.Act{Action: action, Actor: access.Actor{Name: by, Rights: access.Everything()}, Object: "user/anna", Reason: "nobody gets in"},
				func(ctx context.Context, tx *store.Tx) (access.Result, error) { return access.Result{}, fn(ctx, tx) })
			return err
		}
		open := func(by string, length time.Duration) problem.Kind {
			return problem.KindOf(act(by, access.GlassOpen, func(ctx context.Context, tx *store.Tx) error { return d.users.Open(ctx, tx, "anna", by, length) }))
		}
		ask := func(by string) {
			t.Helper()
			if err := act(by, access.GlassAsk, func(context.Context, *store.Tx) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		want := func(what string, got, want any) {
			t.Helper()
			if got != want {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
		enter := func() (*http.Client, int) {
			d.next()
			b := d.browser()
			return b, d.in(b, "anna", goodPassword, d.code())
		}
		before, status := enter()
		want("before it is sealed", status, 200)
		want("one that is not sealed", open("local:ben", time.Hour), problem.NotFound)
		if err := act("local:ben", access.GlassSeal, func(ctx context.Context, tx *store.Tx) error { return d.users.Seal(ctx, tx, "anna") }); err != nil {
			t.Fatal(err)
		}
		want("the session from before", d.sees(before, ""), 401)
		_, status = enter()
		want("sealed", status, 401)
		want("opened unasked", open("local:ben", time.Hour), problem.Denied)
		ask("local:ben")
		want("by who has asked", open("local:ben", time.Hour), problem.Denied)
		want("by who may be the same", open("user:ben", time.Hour), problem.Denied)
		want("for too long", open("local:cleo", 5*time.Hour), problem.Invalid)
		c.add(61 * time.Minute)
		want("an hour later", open("local:cleo", time.Hour), problem.Denied)
		_, status = enter()
		want("after all that", status, 401)
		ask("local:ben")
		want("by somebody else", open("local:cleo", time.Hour), problem.Kind(""))
		b, status := enter()
		want("open", status, 200)
		want("the session", d.sees(b, ""), 200)
		for range 101 { // a page of the record is 100
			if got := open("local:cleo", time.Hour); got != problem.Denied {
				t.Fatalf("opened again by one request: %q, want it denied", got)
			}
			c.add(7 * time.Second)
			d.sees(b, "")
		}
		for range 5 {
			c.add(12 * time.Minute)
			if d.sees(b, "") == 401 {
				break
			}
		}
		want("when the time is over", d.sees(b, ""), 401)
		_, status = enter()
		want("signing in then", status, 401)
		if got := entries(t, db, audit.Filter{Action: access.GlassOpen}); len(got) != 100 || got[0].Outcome != audit.Refused {
			t.Errorf("on record: %d %+v", len(got), got)
		}
	}, storetest.WithClock(c.now))
}
