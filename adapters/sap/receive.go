package sap

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"holdfast/adapters/odata"
	"holdfast/internal/message"
	"holdfast/internal/schema"
	"holdfast/openapi/contract"
)

// Poll is one source of what comes in: odata's, with the plant's zone in each document, as the member Zone: SAP's dates and times are the
// plant's own, and say so nowhere. What has no value is left out, so that a mapping need not tell null from absent. In the hour that a clock
// shows twice the member Version puts the states of an object in order where its change time does not.
type Poll struct {
	*source
	zone string
}

type source = odata.Poll

// Poll reads what has changed since cursor, as that of odata does.
func (p *Poll) Poll(ctx context.Context, cursor string) ([]message.Incoming, string, error) {
	batch, next, err := p.source.Poll(ctx, cursor)
	for i := range batch {
		if err != nil {
			break
		}
		if batch[i].Unread != nil {
			continue
		}
		batch[i].Body, err = p.zoned(batch[i].Body, batch[i].ObjectVersion)
	}
	if err != nil {
		return nil, cursor, err
	}
	return batch, next, nil
}

// mostVersion is how long a version can be: a time and a number behind it.
const mostVersion = 80

// DocumentType is that of an entity, as odata has it, with the plant's zone.
func (l *Link) DocumentType(name string) (*schema.Type, bool) {
	t, ok := l.Link.DocumentType(name)
	if !ok {
		return nil, false
	}
	zone := &schema.Field{Name: "Zone", Type: &schema.Type{Kind: schema.Text, Format: schema.IsZone, Scale: schema.AnyScale}, Required: true, Label: "Time zone of the plant"}
	version := &schema.Field{Name: "Version", Type: &schema.Type{Kind: schema.Text, Scale: schema.AnyScale, MaxLength: mostVersion}, Label: "Version, in the hour that the system's clock shows twice"}
	out := *t
	out.SetFields(append(slices.Clone(t.Fields), zone, version))
	return &out, true
}

// zoned is a document with the zone and without nulls, and with its version if the field by which it was read does not tell it. Numbers keep
// their digits.
func (p *Poll) zoned(body []byte, version string) ([]byte, error) {
	v, err := contract.Decode(body)
	doc, ok := v.(map[string]any)
	if err != nil || !ok {
		return nil, fmt.Errorf("read a document of SAP: it is no JSON object: %w", err)
	}
	withoutNulls(doc)
	doc["Zone"] = p.zone
	if at, _ := doc[p.Watermark()].(string); p.Twice(at) {
		doc["Version"] = version
	}
	return json.Marshal(doc)
}

// withoutNulls takes members without a value out of an object and of what is in it.
func withoutNulls(v any) {
	switch v := v.(type) {
	case map[string]any:
		maps.DeleteFunc(v, func(_ string, inner any) bool { return inner == nil })
		for _, inner := range v {
			withoutNulls(inner)
		}
	case []any:
		for _, inner := range v {
			withoutNulls(inner)
		}
	}
}
