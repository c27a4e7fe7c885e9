package mapping_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/schema"
	"holdfast/openapi"
	"holdfast/openapi/contract"
)

func differences(want, got string) string {
	var lines []string
	for _, d := range mapping.Differences([]byte(want), []byte(got)) {
		lines = append(lines, d.String())
	}
	return strings.Join(lines, "\n")
}

// TestMadeUpMessagesFitTheContract maps what is made up from the types of the plant's messages by the shipped mappings: each is refused by a
// rule in words, or becomes a document that the ERP's contract takes.
func TestMadeUpMessagesFitTheContract(t *testing.T) {
	doc, err := contract.Load(openapi.ERP(), "erp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	b2mml, err := contract.Load(openapi.B2MML(), "b2mml.yaml")
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string, _ mapping.Example, m mapping.Made) (wrong []string) {
		op, ok := contractOf(name, doc, b2mml).Operation(m.Target)
		if !ok {
			return []string{"the contract has no " + m.Target}
		}
		_, violations := op.CheckRequest(&contract.Request{Path: m.Params, Header: map[string][]string{"Content-Type": {"application/json"}}, Body: m.Body})
		for _, v := range violations {
			wrong = append(wrong, v.String())
		}
		return wrong
	}
	s := shipped(t)
	var names []string
	for _, name := range s.Names() {
		if strings.HasPrefix(name, "erp-out/") || strings.HasPrefix(name, "b2mml-out/") {
			names = append(names, name)
		}
	}
	report, err := s.Test(t.Context(), mapping.TestConfig{Check: check, Fuzz: 20, Seed: 1}, names...)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range report.Cases {
		for _, e := range c.Errors {
			t.Errorf("%s: %s: %s", c.Mapping, c.Name, e)
		}
	}
}

const tested = `from: {kind: test.happened}
to: {operation: post}
fields:
  a: 'src.a == 1 ? "one" : "many"'
  b: {value: src.?b, default: '"none"'}
  c: {when: has(src.c), value: src.c}
`

func testSet(t *testing.T, examples string) mapping.Report {
	t.Helper()
	s, err := mapping.Load(fstest.MapFS{"m.yaml": {Data: []byte(tested)}, "m.example.yaml": {Data: []byte(examples)}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Test(t.Context(), mapping.TestConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const oneExample = `- name: one
  kind: test.happened
  body: '{"a":1,"b":"x"}'
  want: {target: post, body: '{"a":"uno","b":"x"}'}
`

func TestAReportShowsEachDifferenceAndWhatNoExampleUses(t *testing.T) {
	r := testSet(t, oneExample)
	var text, junit bytes.Buffer
	if err := errors.Join(r.WriteText(&text), r.WriteJUnit(&junit)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"FAIL  m: one (m.example.yaml:1:3)", "body/a\n        - \"uno\"\n        + \"one\"", "choice 1, the side behind :", "fields.b: default", "fields.c\n", "0 of 1 cases pass",
	} {
		if !contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	var parsed struct {
		Failures int `xml:"failures,attr"`
	}
	if err := xml.Unmarshal(junit.Bytes(), &parsed); err != nil || parsed.Failures != 1 {
		t.Errorf("got %d failures, %v", parsed.Failures, err)
	}
	if _, err := json.Marshal(r); err != nil || r.OK() {
		t.Errorf("the report is OK: %t, %v", r.OK(), err)
	}
}

// TestRowsOfTablesAreCovered: each row of a table is a part of the mapping, read forwards or back.
func TestRowsOfTablesAreCovered(t *testing.T) {
	s, err := mapping.Load(fstest.MapFS{
		"m.yaml": {Data: []byte("from: {kind: test.happened}\nto: {operation: post}\ntables: {u: {rows: {PCE: ST, KGM: KG, LTR: L, MTR: M}}}\n" +
			"fields: {a: 'lookup(\"u\", src.a)', b: 'reverse(\"u\", src.b)'}\n")},
		"m.example.yaml": {Data: []byte("- name: one\n  kind: test.happened\n  body: '{\"a\":\"PCE\",\"b\":\"KG\"}'\n  want: {target: post, body: '{\"a\":\"ST\",\"b\":\"KGM\"}'}\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Test(t.Context(), mapping.TestConfig{})
	if err != nil || !r.OK() {
		t.Fatalf("%+v, %v", r, err)
	}
	if c := r.Coverage[0]; c.Parts != 6 || c.Used != 4 || !slices.Equal(c.Unused, []string{"m.yaml: tables.u: LTR, MTR"}) {
		t.Errorf("got %+v, want 4 of 2 fields and 4 rows, and the two rows that are not used", c)
	}
}

// TestWhatComesInIsMadeUpAndHeldAgainstThePlant: a mapping in is tried with documents of the ERP's type, and what it makes is to fit the
// plant's own.
func TestWhatComesInIsMadeUpAndHeldAgainstThePlant(t *testing.T) {
	doc, err := contract.Load(openapi.ERP(), "erp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	document := func(name string) *schema.Type {
		l, _ := shipped(t).Look(name)
		typ, _ := mapping.FromOpenAPI(doc).DocumentType(l.Document)
		return typ
	}
	var names []string
	for _, name := range shipped(t).Names() {
		if strings.HasPrefix(name, "erp-in/") {
			names = append(names, name)
		}
	}
	r, err := shipped(t).Test(t.Context(), mapping.TestConfig{Document: document, Fuzz: 50, Seed: 1}, names...)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(slices.DeleteFunc(slices.Clone(r.Cases), func(c mapping.Case) bool { return !strings.Contains(c.Name, "made-up") })); n != len(names) || !r.OK() {
		t.Errorf("%d of %d mappings were tried with what was made up: %+v", n, len(names), r.Cases)
	}
	loose, err := mapping.Load(fstest.MapFS{"in.yaml": {Data: []byte("from: {document: Material}\nto: {kind: 'src.number == \"\" ? src.number : \"material.\" + \"changed\"', key: src.number}\nfields: {number: src.number, description: src.description}\n")}})
	if err != nil {
		t.Fatal(err)
	}
	r, err = loose.Test(t.Context(), mapping.TestConfig{Document: func(string) *schema.Type { return document("erp-in/material") }, Fuzz: 2, Seed: 1})
	if err != nil || r.OK() || !strings.Contains(r.Cases[0].Errors[0], "material.changed: it has no baseUnit") {
		t.Errorf("a message that the plant does not take: %+v, %v", r.Cases, err)
	}
	operations, err := mapping.Load(fstest.MapFS{"in.yaml": {Data: []byte("from: {document: Steps}\nto: {kind: '\"order.changed\"', key: src.number}\n" +
		"fields: {erpNumber: src.number, erpVersion: {const: '1'}, material: src.number, plant: src.number, quantity: {const: '1'}, unit: {const: PCE}, operations: {each: src.steps, item: s, fields: {number: s.number, workCentre: s.place}}}\n")}})
	if err != nil {
		t.Fatal(err)
	}
	steps := func(pattern string) func(string) *schema.Type {
		text := func(pattern string) *schema.Type {
			return &schema.Type{Kind: schema.Text, MaxLength: 4, Pattern: pattern}
		}
		step := schema.NewObject("Step", &schema.Field{Name: "number", Type: text(pattern), Required: true}, &schema.Field{Name: "place", Type: text(""), Required: true})
		return func(string) *schema.Type {
			return schema.NewObject("Steps", &schema.Field{Name: "number", Type: text(""), Required: true}, &schema.Field{Name: "steps", Type: &schema.Type{Kind: schema.List, Item: step}, Required: true})
		}
	}
	for pattern, want := range map[string]string{"^[0-9]{4}$": "", "^[0-9]{2}(|00)$": "does not match ^[0-9]{4}$"} {
		r, err := operations.Test(t.Context(), mapping.TestConfig{Document: steps(pattern), Fuzz: 50, Seed: 1})
		if got := strings.Join(r.Cases[0].Errors, "\n"); err != nil || strings.Contains(got, "operations/") != (want != "") || !strings.Contains(got, want) {
			t.Errorf("operations numbered %s: got %s, %v", pattern, got, err)
		}
	}
}

func TestAnUpdateTakesWhatWasMade(t *testing.T) {
	text, err := testSet(t, oneExample).Updated("m")
	if err != nil {
		t.Fatal(err)
	}
	if r := testSet(t, string(text)); !r.OK() || len(r.Cases) != 1 {
		t.Errorf("after the update %+v in\n%s", r.Cases, text)
	}
	if again, err := testSet(t, string(text)).Updated("m"); again != nil || err != nil {
		t.Errorf("a second update writes %s, %v", again, err)
	}
}

// TestAnUpdateKeepsWhatSomebodyWrote: comments, the order, and how an example is written that does not change.
func TestAnUpdateKeepsWhatSomebodyWrote(t *testing.T) {
	const file = `# examples of the line at hall 3
- name: as it is # with the customer
  kind: test.happened
  body: '{"a":1,"b":"x"}'
  want: {body: '{"a":"one","b":"x"}', target: post}
# this one came from a real order
- kind: test.happened # before its name
  name: one
  body: '{"a":1,"b":"x"}' # as it was sent
  want:
    # what the ERP shall have
    body: '{"a":"uno","b":"x"}'
    target: nowhere # its old name
    params: {gone: '1'}
`
	text, err := testSet(t, file).Updated("m")
	if err != nil {
		t.Fatal(err)
	}
	at := -1
	for _, want := range []string{
		"# examples of the line at hall 3\n- name: as it is # with the customer\n", `want: {body: '{"a":"one","b":"x"}', target: post}`, "# this one came from a real order\n",
		"kind: test.happened # before its name\n  name: one\n", `body: '{"a":1,"b":"x"}' # as it was sent`, "# what the ERP shall have\n", `"a": "one"`, "target: post # its old name\n",
	} {
		i := strings.Index(string(text), want)
		if i <= at {
			t.Errorf("no %q in its place in\n%s", want, text)
		}
		at = max(at, i)
	}
	if contains(string(text), "gone") {
		t.Errorf("a parameter that is not made stays in\n%s", text)
	}
	if r := testSet(t, string(text)); !r.OK() || len(r.Cases) != 2 {
		t.Errorf("after the update %+v in\n%s", r.Cases, text)
	}
}

func TestAFirstMappingFitsItsTarget(t *testing.T) {
	doc, err := contract.Load(openapi.ERP(), "erp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file, example, err := mapping.Scaffold("operation.confirmed", "createConfirmation", mapping.FromOpenAPI(doc))
	if err != nil {
		t.Fatal(err)
	}
	s, err := mapping.Load(fstest.MapFS{"m.yaml": {Data: file}, "m.example.yaml": {Data: example}})
	if err != nil {
		t.Fatalf("%v in\n%s", err, file)
	}
	for _, f := range s.Check("m", "operation.confirmed", mapping.FromOpenAPI(doc)) {
		t.Errorf("%s in\n%s", f.Error(), file)
	}
	if _, err := s.Test(t.Context(), mapping.TestConfig{}); err != nil {
		t.Error(err)
	}
	if _, _, err := mapping.Scaffold("operation.confirmd", "createConfirmation", mapping.FromOpenAPI(doc)); err == nil {
		t.Error("a kind that is none was taken")
	}
}

func TestABadMappingNeverReplacesAGoodOne(t *testing.T) {
	files := fstest.MapFS{"m.yaml": {Data: []byte(header + "fields: {a: src.a}")}}
	first, err := mapping.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	live := mapping.NewLive(first)
	accept := func(*mapping.Set) error { return nil }
	made := func() string {
		doc, err := live.Apply(t.Context(), "m", verified(t, confirmed(`{"a":1,"b":2}`)), nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(doc.Body)
	}
	files["m.yaml"] = &fstest.MapFile{Data: []byte(header + "fields: {a: scr.a}")}
	if _, err := live.Reload(accept, files); err == nil || made() != `{"a":1}` {
		t.Errorf("after a mistake: %s, %v", made(), err)
	}
	files["m.yaml"] = &fstest.MapFile{Data: []byte(header + "fields: {a: src.b}")}
	refused := errors.New("the contract has no a")
	if _, err := live.Reload(func(*mapping.Set) error { return refused }, files); !errors.Is(err, refused) || made() != `{"a":1}` {
		t.Errorf("after one that does not fit: %s, %v", made(), err)
	}
	changes, err := live.Reload(accept, files)
	if err != nil || len(changes) != 1 || changes[0].Name != "m" || made() != `{"a":2}` {
		t.Errorf("after a good one: %s, %+v, %v", made(), changes, err)
	}
	if again, err := live.Reload(accept, files); len(again) != 0 || err != nil {
		t.Errorf("the same again: %+v, %v", again, err)
	}
}

// TestAReloadUnderLoadMapsEachMessageByOneSet: while mappings are changed again and again, each of many messages becomes one document, every field
// of it by the version that its record names.
func TestAReloadUnderLoadMapsEachMessageByOneSet(t *testing.T) {
	const messages, workers = 2000, 4
	of := func(which string) fstest.MapFS {
		return fstest.MapFS{"m.yaml": {Data: []byte(header + "fields: {a: {const: " + which + "}, n: src.n, l: {each: src.l, fields: {a: {const: " + which + "}}}, z: {const: " + which + "}}")}}
	}
	one, err := mapping.Load(of("one"))
	if err != nil {
		t.Fatal(err)
	}
	live, says := mapping.NewLive(one), map[string]string{}
	accept := func(*mapping.Set) error { return nil }
	for _, which := range []string{"two", "one"} { // the versions, by what they make
		if _, err := live.Reload(accept, of(which)); err != nil {
			t.Fatal(err)
		}
		doc, err := live.Apply(t.Context(), "m", verified(t, confirmed(`{"n":0,"l":[]}`)), nil)
		if err != nil {
			t.Fatal(err)
		}
		says[doc.Mapping] = which
	}
	var work sync.WaitGroup
	made := make([]message.Document, messages)
	next := make(chan int)
	for range workers {
		work.Go(func() {
			for i := range next {
				doc, err := live.Apply(t.Context(), "m", verified(t, confirmed(fmt.Sprintf(`{"n":%d,"l":[1,2,3]}`, i))), nil)
				if err != nil {
					t.Error(err)
				}
				made[i] = doc
			}
		})
	}
	for i := range messages {
		next <- i
		if i%20 == 0 {
			if _, err := live.Reload(accept, of([]string{"one", "two"}[i/20%2])); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(next)
	work.Wait()
	used := map[string]int{}
	for i, doc := range made {
		which := says[doc.Mapping]
		used[which]++
		if want := strings.ReplaceAll(fmt.Sprintf(`{"a":"W","n":%d,"l":[{"a":"W"},{"a":"W"},{"a":"W"}],"z":"W"}`, i), "W", which); string(doc.Body) != want {
			t.Fatalf("message %d by %s became %s, want %s", i, doc.Mapping, doc.Body, want)
		}
	}
	if used["one"] == 0 || used["two"] == 0 {
		t.Errorf("used %v, want both", used)
	}
}

func TestTheVersionIsOfEverythingThatAMappingIsMadeOf(t *testing.T) {
	versions := map[string]string{}
	for _, change := range []string{"", "table", "fragment"} {
		files := fstest.MapFS{
			"m.yaml":           {Data: []byte(header + "tables: {r: {file: r.csv}}\nuse: f\nfields: {a: 'lookup(\"r\", src.a)'}")},
			"r.csv":            {Data: []byte("a,b\nx,1" + strings.Repeat("2", len(change)/5) + "\n")},
			"f.fragments.yaml": {Data: []byte(fmt.Sprintf("fragments: {f: {fields: {b: {const: x%s}}}}", strings.Repeat("y", len(change)/8)))},
		}
		s, err := mapping.Load(files)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := s.Apply(t.Context(), "m", verified(t, confirmed(`{"a":"x"}`)), nil)
		if err != nil {
			t.Fatal(err)
		}
		if other, same := versions[doc.Mapping]; same {
			t.Errorf("%q and %q give the same version %s", change, other, doc.Mapping)
		}
		versions[doc.Mapping] = change
	}
}

func TestWhatAnotherVersionWouldChange(t *testing.T) {
	before, err := load(t, map[string]string{"m.yaml": header + "fields: {a: src.a, b: decimal(src.b)}"})
	if err != nil {
		t.Fatal(err)
	}
	after, err := load(t, map[string]string{"m.yaml": header + "fields: {a: src.a, b: {value: decimal(src.b), scale: 1}}"})
	if err != nil {
		t.Fatal(err)
	}
	same := mapping.Compare(t.Context(), before, after, "m", confirmed(`{"a":1,"b":"1.5"}`), nil)
	other := mapping.Compare(t.Context(), before, after, "m", confirmed(`{"a":1,"b":"1.25"}`), nil)
	if len(same.Differences) != 0 {
		t.Errorf("the same document differs: %v", same.Differences)
	}
	if len(other.Differences) != 1 || other.Differences[0].At != "error" {
		t.Errorf("got %v, want that the second one fails", other.Differences)
	}
}

func TestEachPartOfADocumentNamesItsRule(t *testing.T) {
	s, err := load(t, map[string]string{"m.yaml": header + "fields: {a: src.a, l: {each: src.l, fields: {n: item}}}"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.Try(t.Context(), "m", confirmed(`{"a":"x","l":["y"]}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, o := range m.From {
		got[o.Rule] = string(m.Body[o.Start:o.End])
	}
	if got["fields.a"] != `"x"` || got["fields.l.n"] != `"y"` {
		t.Errorf("got %q of %s", got, m.Body)
	}
}

// TestAConfirmationAllocatesLittle maps fifteen fields with a decimal and two lookups, every limit on: decoded, mapped and encoded.
func TestAConfirmationAllocatesLittle(t *testing.T) {
	const most = 220
	s, err := load(t, map[string]string{"m.yaml": fifteen})
	if err != nil {
		t.Fatal(err)
	}
	v := verified(t, confirmed(fifteenBody))
	got := testing.AllocsPerRun(200, func() {
		if _, err := s.Apply(t.Context(), "m", v, nil); err != nil {
			t.Fatal(err)
		}
	})
	if got > most && !raceDetector {
		t.Errorf("%.0f allocations, want at most %d", got, most)
	}
	t.Logf("%.0f allocations", got)
}

// TestCoverageBelowTheLimitIsACaseThatFails: a build server reads the JUnit file, not the exit status alone.
func TestCoverageBelowTheLimitIsACaseThatFails(t *testing.T) {
	r := mapping.Report{Coverage: []mapping.Coverage{{Mapping: "full", Parts: 2, Used: 2}, {Mapping: "half", Parts: 2, Used: 1}}}
	r.Require(80)
	var b strings.Builder
	if err := r.WriteJUnit(&b); err != nil {
		t.Fatal(err)
	}
	want := "its examples use 50 % of it, and 80 % are asked for"
	if got := b.String(); r.OK() || strings.Count(got, "<failure") != 1 || !strings.Contains(got, want) {
		t.Errorf("got %s, want one failure: %s", got, want)
	}
}

// TestMadeUpMessagesOfWhichNoneWasMappedAreNoPass: nothing was tried, and the report says so.
func TestMadeUpMessagesOfWhichNoneWasMappedAreNoPass(t *testing.T) {
	r := mapping.Report{Cases: []mapping.Case{{Mapping: "m", Name: "made up", MadeUp: 9, Refused: 9}, {Mapping: "m", Name: "mapped", MadeUp: 9, Mapped: 1}}}
	var b strings.Builder
	if err := r.WriteJUnit(&b); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); strings.Count(got, "<skipped") != 1 || !strings.Contains(got, "nothing was tried") {
		t.Errorf("got %s, want one case skipped", got)
	}
}

// TestMadeUpMessagesEndWithWhoAskedForThem: whoever presses Ctrl-C gets what was tried until then.
func TestMadeUpMessagesEndWithWhoAskedForThem(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	tried := 0
	check := func(string, mapping.Example, mapping.Made) []string {
		if tried++; tried > 30 {
			end()
		}
		return nil
	}
	r, err := shipped(t).Test(ctx, mapping.TestConfig{Check: check, Fuzz: 1 << 40, Seed: 1}, "erp-out/operation.confirmed")
	if err != nil || r.OK() {
		t.Errorf("got %v, want a report that says that it was ended", err)
	}
}

// TestAFreshExampleSaysWhatIsNext: what it becomes, line by line, and the command that keeps it.
func TestAFreshExampleSaysWhatIsNext(t *testing.T) {
	s, err := mapping.Load(fstest.MapFS{
		"mine/m.yaml":         {Data: []byte("from: {kind: test.happened}\nto: {operation: post}\nfields: {a: src.a, waits: {when: has(src.w), value: 'ref(\"order\", src.w)'}}\n")},
		"mine/m.example.yaml": {Data: []byte("- {name: one, kind: test.happened, body: '{\"a\":\"b\"}', want: {target: post}}\n- {name: two, kind: test.happened, body: '{\"a\":\"b\",\"w\":\"7\"}'}\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Test(t.Context(), mapping.TestConfig{})
	var b strings.Builder
	if err = errors.Join(err, r.WriteText(&b)); err != nil {
		t.Fatal(err)
	}
	const next = "      look at it; if it is as it should be, keep it: holdfast mapping test mine/m --update\n"
	for _, want := range []string{
		"      it expects nothing yet: it becomes\n        + {\n        +   \"a\": \"b\"\n        + }\n" + next,
		"      it expects nothing yet: it waits for the ERP's number of order/7\n" + next, "0 of 2 cases pass\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}
