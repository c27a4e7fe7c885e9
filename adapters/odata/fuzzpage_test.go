package odata

import (
	"net/http"
	"os"
	"testing"
	"time"

	"holdfast/adapters/odata/edm"
	"holdfast/adapters/wire"
	"holdfast/internal/problem"
)

// FuzzPollPage reads whatever a service gives as a list: either all of it fits the $metadata, and each entity can be written as JSON, or nothing of
// it is taken.
func FuzzPollPage(f *testing.F) {
	models := map[bool]*edm.Model{}
	for v4, file := range map[bool]string{false: "confirmation-v2.xml", true: "confirmation-v4.xml"} {
		text, err := os.ReadFile("testdata/" + file)
		if err != nil {
			f.Fatal(err)
		}
		if models[v4], err = edm.Parse(text); err != nil {
			f.Fatal(err)
		}
	}
	c := &Client{name: "conf", link: &Link{cfg: Config{}.withDefaults(), now: time.Now}}
	f.Add(false, []byte(`{"d":{"results":[{"OrderID":"1","ConfirmationYieldQuantity":"1.5"}],"__next":"x?$skiptoken=1","__count":"2"}}`))
	f.Add(false, []byte(`{"d":[{"__metadata":{"etag":"W/1"},"PostingDate":"/Date(1700000000000)/"}]}`))
	f.Add(true, []byte(`{"value":[{"OrderID":"1"},{"@removed":{},"@id":"a"}],"@odata.deltaLink":"y"}`))
	f.Add(true, []byte(`{"value":[1]}`))
	f.Fuzz(func(t *testing.T, v4 bool, body []byte) {
		m := models[v4]
		set := "ProdnOrdConf2"
		if v4 {
			set = "Confirmation"
		}
		of := m.Sets[set].Of
		page, err := c.page(m, of, wire.Answer{Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: body})
		if err != nil {
			if len(page.Entities) > 0 || problem.KindOf(err) == "" {
				t.Errorf("%q gives %d entities and %v", body, len(page.Entities), err)
			}
			return
		}
		for _, e := range page.Entities {
			if _, err := e.JSON(); err != nil {
				t.Errorf("%q is taken, and cannot be written: %v", body, err)
			}
		}
	})
}
