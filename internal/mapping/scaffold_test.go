package mapping_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"holdfast/internal/mapping"
	"holdfast/internal/schema"
	"holdfast/openapi"
	"holdfast/openapi/contract"
)

// TestADayOfSAPIsGuessedAsADay: Edm.DateTime has a day and no zone, and what is sent for Edm.Time has more than one form. A time of the plant becomes a
// day, or a time of day, in the plant's zone.
func TestADayOfSAPIsGuessedAsADay(t *testing.T) {
	text := func(name, format string) *schema.Field {
		return &schema.Field{Name: name, Type: &schema.Type{Kind: schema.Text, Format: format, Scale: schema.AnyScale}}
	}
	body := &schema.Type{Kind: schema.Object, Scale: schema.AnyScale, Fields: []*schema.Field{
		text("ConfirmedExecutionStartDate", schema.IsCivil), text("ConfirmedExecutionStartTime", ""), text("PostingDate", schema.IsCivil), text("PostedAt", "date-time"),
	}}
	file, _, err := mapping.Scaffold("operation.confirmed", "post", oneOperation{body: body})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"  ConfirmedExecutionStartDate: 'src.confirmation.?start.optMap(t, date(t, src.zone))' # guess\n", "  ConfirmedExecutionStartTime: 'src.confirmation.?start.optMap(t, clock(t, src.zone))' # guess\n",
		"  PostingDate: src.confirmation.postingDate # guess\n", "  PostedAt: src.confirmation.postedAt # guess\n",
	} {
		if !strings.Contains(string(file), want) {
			t.Errorf("%q is not in\n%s", want, file)
		}
	}
}

// TestNoGuessIsRefusedByTheCheck: what a mapping to begin with guesses, of each kind for each target, is nothing that the check has something against.
// What it found nothing for is left to a person.
func TestNoGuessIsRefusedByTheCheck(t *testing.T) {
	doc, err := contract.Load(openapi.ERP(), "erp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	order := schema.NewObject("Order", &schema.Field{Name: "ManufacturingOrder", Type: &schema.Type{Kind: schema.Text, Scale: schema.AnyScale}, Required: true})
	for target, c := range map[string]mapping.Contract{
		"createBatch": mapping.FromOpenAPI(doc), "changeBatch": mapping.FromOpenAPI(doc), "createConfirmation": mapping.FromOpenAPI(doc),
		"createMaterial": mapping.FromOpenAPI(doc), "createProductionOrder": mapping.FromOpenAPI(doc), "completeProductionOrder": mapping.FromOpenAPI(doc),
		"orders/A_ProductionOrder_2": oneOperation{body: order},
	} {
		for _, kind := range []string{"order.created", "order.completed", "operation.confirmed", "goods.issued", "lot.created", "lot.changed"} {
			file, _, err := mapping.Scaffold(kind, target, c)
			if err != nil {
				t.Fatal(err)
			}
			set, err := mapping.Load(fstest.MapFS{"m.yaml": {Data: file}})
			if err != nil {
				t.Errorf("%s to %s: %v", kind, target, err)
				continue
			}
			for _, f := range set.Check("m", kind, c) {
				if f.Refused && !strings.Contains(f.Why, "nothing makes it") {
					t.Errorf("%s to %s: %s", kind, target, f.Error())
				}
			}
		}
	}
}
