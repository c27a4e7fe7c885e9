package contract

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// document is one contract in the words of both versions; %V% is replaced.
const document = `openapi: %V%
info: {title: Exact, version: "1"}
servers: [{url: "https://erp.example/api/{v}", variables: {v: {default: v1}}}]
paths:
  /orders/{number}/things:
    parameters:
      - {name: number, in: path, required: true, schema: {type: string, maxLength: 12}}
    post:
      operationId: createThing
      parameters:
        - {name: limit, in: query, schema: {type: integer, maximum: 9223372036854775807}}
        - {name: tag, in: query, schema: {type: array, items: {type: integer}}}
        - {name: X-Mode, in: header, required: true, schema: {type: string, enum: [fast, slow]}}
      requestBody:
        required: true
        content:
          application/json: {schema: {$ref: '#/components/schemas/Thing'}}
      responses:
        "201":
          description: made
          content:
            application/json:
              schema: {$ref: '#/components/schemas/Thing'}
              example: {zulu: 1, id: 9007199254740993, weight: 12.500, price: 1.50E+2}
        4XX: {description: refused}
components:
  schemas:
    Base:
      type: object
      required: [id, name]
      properties:
        id: {type: integer, format: int64, readOnly: true}
        secret: {type: string, writeOnly: true}
    Thing:
      allOf:
        - $ref: '#/components/schemas/Base'
        - type: object
          required: [created]
          properties:
            created: {type: string, readOnly: true}
            name: {type: string, minLength: 2}
            count: {type: integer, format: int64}
            small: {type: integer, format: int32}
            weight: {type: number, maximum: 9999999999.999, multipleOf: 0.001}
            qty: {type: string, format: decimal, pattern: '^-?[0-9]{1,10}(\.[0-9]{1,3})?$', example: "12.500"}
            kind: {type: string, enum: [red, green]}
            note: %NULLABLE%
            above: %ABOVE%
`

func load(t *testing.T, version string) *Document {
	t.Helper()
	nullable, above := "{type: string, nullable: true}", "{type: number, minimum: 1, exclusiveMinimum: true}"
	if strings.HasPrefix(version, "3.1") {
		nullable, above = "{type: [string, 'null']}", "{type: number, exclusiveMinimum: 1}"
	}
	text := strings.NewReplacer("%V%", version, "%NULLABLE%", nullable, "%ABOVE%", above).Replace(document)
	d, err := Load([]byte(text), "exact.yaml")
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return d
}

func bodyOf(s string) *Request {
	return &Request{
		Path: map[string]string{"number": "1"}, Query: url.Values{},
		Header: http.Header{"Content-Type": {"application/json"}, "X-Mode": {"fast"}}, Body: []byte(s),
	}
}

// brief is what a program decides by.
func brief(vs []Violation) []string {
	out := []string{}
	for _, v := range vs {
		out = append(out, v.In+" "+v.Name+v.Pointer+" "+v.Keyword)
	}
	return out
}

func TestRequestBodyIsJudgedExactly(t *testing.T) {
	tests := []struct {
		name string
		body string
		want []string
	}{
		{"a good one", `{"name":"ab","weight":9999999999.999,"qty":"1.250","count":9223372036854775807,"note":null}`, []string{}},
		{"above 2^53", `{"name":"ab","count":9007199254740993}`, []string{}},
		{"2^63", `{"name":"ab","count":9223372036854775808}`, []string{"body /count format"}},
		{"1e19 as int64", `{"name":"ab","count":1e19}`, []string{"body /count format"}},
		{"2^31 as int32", `{"name":"ab","small":2147483648}`, []string{"body /small format"}},
		{"one digit above the bound", `{"name":"ab","weight":9999999999.9990001}`, []string{"body /weight maximum", "body /weight multipleOf"}},
		{"one digit below the scale", `{"name":"ab","weight":0.0001}`, []string{"body /weight multipleOf"}},
		{"not above an exclusive bound", `{"name":"ab","above":1.000}`, []string{"body /above exclusiveMinimum"}},
		{"just above an exclusive bound", `{"name":"ab","above":1.0000000000000000001}`, []string{}},
		{
			"all violations at once", `{"id":1,"created":"x","name":"a","qty":"1,5","kind":"rot"}`,
			[]string{"body /created readOnly", "body /id readOnly", "body /kind enum", "body /name minLength", "body /qty format"},
		},
		{"write-only may be sent", `{"name":"ab","secret":"s"}`, []string{}},
		{"a missing member", `{}`, []string{"body /name required"}},
		{"a number where text belongs", `{"name":"ab","qty":1.5}`, []string{"body /qty type"}},
		{"a duplicate name", `{"name":"ab","name":"cd"}`, []string{"body /name syntax"}},
		{"a name twice, once escaped", `{"name":"ab","n\u0061me":"cd"}`, []string{"body /name syntax"}},
		{"trailing bytes", `{"name":"ab"} x`, []string{"body  syntax"}},
		{"a leading zero", `{"name":"ab","count":007}`, []string{"body /count syntax"}},
		{"NaN", `{"name":"ab","count":NaN}`, []string{"body /count syntax"}},
		{"an exponent that would eat the memory", `{"name":"ab","weight":1e999999999}`, []string{"body /weight syntax"}},
		{"no body", ``, []string{"body  required"}},
	}
	for _, version := range []string{"3.0.3", "3.1.0"} {
		d := load(t, version)
		op, _ := d.Operation("createThing")
		for _, tt := range tests {
			t.Run(version+" "+tt.name, func(t *testing.T) {
				_, vs := op.CheckRequest(bodyOf(tt.body))
				if diff := cmp.Diff(tt.want, brief(vs)); diff != "" {
					t.Errorf("violations (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestViolationNamesLimitValueAndPlace(t *testing.T) {
	op, _ := load(t, "3.1.0").Operation("createThing")
	_, vs := op.CheckRequest(bodyOf(`{"name":"ab","weight":9999999999.9990001,"knid":"red"}`))
	if len(vs) != 2 {
		t.Fatalf("got %d violations, want 2: %v", len(vs), vs)
	}
	got := vs[0]
	want := Violation{
		In: "body", Pointer: "/weight", Keyword: "maximum", Limit: []byte("9999999999.999"),
		Value: []byte("9999999999.9990001"), Detail: "9999999999.9990001 is more than 9999999999.999",
		Spec: "exact.yaml:44:45",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("violation (-want +got):\n%s", diff)
	}
}

func TestParametersAreJudgedExactly(t *testing.T) {
	tests := []struct {
		name  string
		query string
		mode  string
		path  string
		want  []string
	}{
		{"good", "limit=9223372036854775807&tag=1&tag=2", "fast", "1", []string{}},
		{"a bound that a float cannot hold", "limit=9223372036854775808", "fast", "1", []string{"query limit maximum"}},
		{"not a number", "limit=ten", "fast", "1", []string{"query limit type"}},
		{"an item that is no number", "tag=1&tag=x", "fast", "1", []string{"query tag/1 type"}},
		{"an unknown mode", "", "fats", "1", []string{"header X-Mode enum"}},
		{"no mode", "", "", "1", []string{"header X-Mode required"}},
		{"a long path value", "", "slow", "1234567890123", []string{"path number maxLength"}},
	}
	op, _ := load(t, "3.1.0").Operation("createThing")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := bodyOf(`{"name":"ab"}`)
			r.Query, _ = url.ParseQuery(tt.query)
			r.Path["number"] = tt.path
			r.Header.Set("X-Mode", tt.mode)
			if tt.mode == "" {
				r.Header.Del("X-Mode")
			}
			_, vs := op.CheckRequest(r)
			if diff := cmp.Diff(tt.want, brief(vs)); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestResponseRefusesWriteOnlyAndWantsReadOnly(t *testing.T) {
	for _, version := range []string{"3.0.3", "3.1.0"} {
		op, _ := load(t, version).Operation("createThing")
		h := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
		_, vs := op.CheckResponse(201, h, []byte(`{"name":"ab","secret":"s","created":"now"}`))
		want := []string{"body /id required", "body /secret writeOnly"}
		if diff := cmp.Diff(want, brief(vs)); diff != "" {
			t.Errorf("%s: violations (-want +got):\n%s", version, diff)
		}
		if _, vs := op.CheckResponse(500, h, nil); len(vs) != 1 || vs[0].Keyword != "status" {
			t.Errorf("%s: undeclared status: got %v", version, vs)
		}
	}
}

func TestExamplesKeepTheirBytes(t *testing.T) {
	op, _ := load(t, "3.1.0").Operation("createThing")
	r, _ := op.Response(201)
	got, _ := r.Example("")
	want := `{"zulu":1,"id":9007199254740993,"weight":12.500,"price":1.50E+2}`
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestJSONDocumentKeepsItsDigits(t *testing.T) {
	doc := "{\"openapi\":\"3.1.0\",\n\t\"info\":{\"title\":\"J \\ud83d\\ude00\",\"version\":\"1\"},\"paths\":{\"/a\":{\"get\":{\"responses\":{\"200\":" +
		"{\"description\":\"d\",\"content\":{\"application/json\":{\"example\":{\"n\":10000000000000000000001.10}}}}}}}}}"
	d, err := Load([]byte(doc), "a.json")
	if err != nil {
		t.Fatal(err)
	}
	op, _ := d.Operation("GET /a")
	r, _ := op.Response(200)
	if got, _ := r.Example(""); string(got) != `{"n":10000000000000000000001.10}` {
		t.Errorf("example %s", got)
	}
	if got, want := d.Title(), "J 😀"; got != want {
		t.Errorf("title %q, want %q", got, want)
	}
}

func TestLoadRefusesAmbiguousNumbersWithTheirPlace(t *testing.T) {
	for _, text := range []string{"0010", "0x1F", ".inf", "1_000"} {
		doc := "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {}\nx-sample: " + text + "\n"
		_, err := Load([]byte(doc), "n.yaml")
		if err == nil || !strings.Contains(err.Error(), "n.yaml:4:11") {
			t.Errorf("%s: got %v, want an error at n.yaml:4:11", text, err)
		}
	}
}

func TestRouteBelowRootAndServerBase(t *testing.T) {
	d := load(t, "3.0.3")
	tests := []struct {
		name, method, path string
		want               error
	}{
		{"root", "POST", "/orders/10%2F2/things", nil},
		{"server base", "POST", "/api/v1/orders/10%2F2/things", nil},
		{"other method", "GET", "/orders/1/things", ErrMethod},
		{"other path", "POST", "/orders", ErrNotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			op, params, err := d.Route(httptest.NewRequest(tt.method, tt.path, nil))
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if err == nil && (op.ID != "createThing" || params["number"] != "10/2") {
				t.Errorf("got %s %v", op.ID, params)
			}
		})
	}
}

func TestPatternThatGoCannotCompileIsSaid(t *testing.T) {
	doc := "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths:\n  /a:\n    get:\n      parameters: [{name: q, in: query, schema: {type: string, pattern: '^(?!x)'}}]\n      responses: {'200': {description: d}}\n"
	d, err := Load([]byte(doc), "p.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Warnings(); len(got) != 1 || !strings.Contains(got[0], "(?!x)") {
		t.Errorf("warnings %q, want one naming the pattern", got)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.50,-3e4,"x\u00e9\ud83d\ude00",true,null]}`, `"\u12"`, `[1,]`, `{"a":1,"a":2}`, "\"\xff\""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := Decode(data)
		var syntax *SyntaxError
		if err != nil && !errors.As(err, &syntax) {
			t.Fatalf("error of type %T", err)
		}
		if err == nil && clip(v) == nil {
			t.Fatalf("decoded %q into something that JSON cannot hold", data)
		}
	})
}
