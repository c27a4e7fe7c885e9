package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"holdfast/adapters/odata/edm"
)

const (
	metadataSize = 5 << 20
	// metadataLimit is what reading so much may take, in ms of processor time.
	metadataLimit = 300
)

// metadataRow reads $metadata of 5 MB of either version, against encoding/xml that walks through the tokens and keeps none of them.
func metadataRow(ctx context.Context, o options) ([]Result, error) {
	var results []Result
	for _, version := range []string{"v2", "v4"} {
		text, err := largeMetadata("../adapters/odata/testdata/confirmation-" + version + ".xml")
		if err != nil {
			return results, err
		}
		read, walk := "$metadata of 5 MB, "+strings.ToUpper(version), "encoding/xml"
		medians, err := contest(ctx, o.rounds,
			contestant{read, timed(func() error { _, err := edm.Parse(text); return err })},
			contestant{walk, timed(func() error { return tokens(text) })})
		if err != nil {
			return results, err
		}
		results = append(results, atMost(read+", to the bare tokens", "ms", medians[read], medians[walk], 1),
			Result{
				Name: read, Unit: "ms", Value: medians[read], Bound: fmt.Sprintf("at most %d ms of processor time", metadataLimit),
				OK: medians[read] <= metadataLimit, At: time.Now().UTC(),
			})
	}
	return results, nil
}

// timed is how many ms of processor time something takes.
func timed(do func() error) func(context.Context) (float64, error) {
	return func(context.Context) (float64, error) {
		from, err := ownTime()
		if err != nil {
			return 0, err
		}
		if err := do(); err != nil {
			return 0, err
		}
		to, err := ownTime()
		return float64((to - from).Microseconds()) / 1000, err
	}
}

// tokens walks through a document.
func tokens(text []byte) error {
	d := xml.NewDecoder(bytes.NewReader(text))
	for {
		_, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// largeMetadata is a $metadata file of the tests with its types over and over.
func largeMetadata(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	begin, end := bytes.Index(text, []byte("<EntityType")), bytes.LastIndex(text, []byte("</EntityType>"))+len("</EntityType>")
	if begin < 0 || end < begin {
		return nil, fmt.Errorf("%s has no types", file)
	}
	types := string(text[begin:end])
	var b bytes.Buffer
	b.Write(text[:end])
	for i := 0; b.Len() < metadataSize; i++ {
		b.WriteString("\n" + strings.ReplaceAll(types, `<EntityType Name="`, fmt.Sprintf(`<EntityType Name="X%d`, i)))
	}
	b.Write(text[end:])
	return b.Bytes(), nil
}
