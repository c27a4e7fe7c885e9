package httpapi_test

import (
	"testing"
	"time"

	"holdfast/internal/httpapi"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

func TestAMessageIsPostponed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		o := p.order()
		var list httpapi.MessagePage
		p.call("GET", "/v1/messages?kind=order.created&owed=true&lane="+o.ID, nil).want(t, 200, &list)
		path := "/v1/messages/" + list.Items[0].ID + "/postpone"
		until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
		body := object{"until": until.Format(time.RFC3339), "reason": "the period is closed"}
		var got httpapi.Postponed
		p.call("POST", path, body, "Idempotency-Key", "postpone-0000001").want(t, 200, &got)
		if !got.Message.NextAttempt.Equal(until) || got.Held != 1 {
			t.Errorf("postponed %+v, want until %s with one behind it", got, until)
		}
		p.call("POST", path, body, "Idempotency-Key", "postpone-0000001").want(t, 200, nil)
		p.call("POST", path, object{"until": "tomorrow", "reason": "x"}).refused(t, 400, "contract")
		p.call("POST", path, object{"until": body["until"]}).refused(t, 400, "contract")
		p.call("POST", "/v1/messages/none/postpone", body).refused(t, 404, "not-found")
	})
}
