package mapping_test

import (
	"strings"
	"testing"

	"holdfast/internal/mapping"
	"holdfast/internal/schema"
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
