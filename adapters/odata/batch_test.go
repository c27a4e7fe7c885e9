package odata

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// answered writes statuses; -1 is a part that is missing.
func answered(parts [][]part) [][]int {
	out := make([][]int, len(parts))
	for i, g := range parts {
		for _, p := range g {
			if p.missing {
				out[i] = append(out[i], -1)
			} else {
				out[i] = append(out[i], p.answer.Status)
			}
		}
	}
	return out
}

func http1(status int) string {
	return fmt.Sprintf("Content-Type: application/http\nContent-Transfer-Encoding: binary\n\nHTTP/1.1 %d X\nContent-Type: application/json\nContent-Length: 9999\n\n{\"d\":{}}\n", status)
}

func set(boundary string, parts ...string) string {
	return "Content-Type: multipart/mixed; boundary=" + boundary + "\n\n--" + boundary + "\n" + strings.Join(parts, "--"+boundary+"\n") + "--" + boundary + "--\n"
}

func whole(parts ...string) string {
	return strings.ReplaceAll("--b\n"+strings.Join(parts, "--b\n")+"--b--\n", "\n", "\r\n")
}

func TestPartsOfAMultipartAnswer(t *testing.T) {
	tests := []struct {
		name  string
		body  string
		sizes []int
		want  [][]int
	}{
		{"all well", whole(set("c1", http1(201)), set("c2", http1(201), http1(204))), []int{1, 2}, [][]int{{201}, {201, 204}}},
		{"a failed set is one error", whole(http1(400), set("c2", http1(201))), []int{2, 1}, [][]int{{400, 400}, {201}}},
		{"a failed set as CAP 8 answers it", whole(set("c1", http1(400)), set("c2", http1(201))), []int{2, 1}, [][]int{{400, 400}, {201}}},
		{"201 beside a failure was rolled back", whole(set("c1", http1(201), http1(400))), []int{2}, [][]int{{400, 400}}},
		{"a set that is not whole", whole(set("c1", http1(201))), []int{2}, [][]int{{-1, -1}}},
		{"the rest is missing", whole(set("c1", http1(201))), []int{1, 1, 1}, [][]int{{201}, {-1}, {-1}}},
		{"one good answer for a set of one", whole(http1(201)), []int{1}, [][]int{{201}}},
		{"one good answer for a set of two proves nothing", whole(http1(201)), []int{2}, [][]int{{-1, -1}}},
		{"cut off", whole(set("c1", http1(201)))[:150], []int{1}, [][]int{{-1}}},
		{"something else", "<html>", []int{1}, [][]int{{-1}}},
		{"no status line", whole(set("c1", "Content-Type: application/http\n\nhello\n")), []int{1}, [][]int{{-1}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			parts, err := multipartAnswers([]byte(tt.body), "multipart/mixed; boundary=b", tt.sizes)
			if got := answered(parts); !slices.EqualFunc(got, tt.want, slices.Equal) {
				t.Errorf("got %v (%v), want %v", got, err, tt.want)
			}
		})
	}
}

func TestPartsOfAJSONAnswer(t *testing.T) {
	tests := []struct {
		name, body string
		sizes      []int
		want       [][]int
	}{
		{"in any order", `{"responses":[{"id":"1.0","status":400},{"id":"0.0","status":201}]}`, []int{1, 1}, [][]int{{201}, {400}}},
		{"201 beside a failure was rolled back", `{"responses":[{"id":"0.0","status":201},{"id":"0.1","status":400}]}`, []int{2}, [][]int{{400, 400}}},
		{"only the failure of a group", `{"responses":[{"id":"0.1","status":400}]}`, []int{2}, [][]int{{400, 400}}},
		{"a part of a group is missing", `{"responses":[{"id":"0.0","status":201}]}`, []int{2}, [][]int{{-1, -1}}},
		{"one that nobody asked for", `{"responses":[{"id":"9.9","status":201}]}`, []int{1}, [][]int{{-1}}},
		{"no status", `{"responses":[{"id":"0.0"}]}`, []int{1}, [][]int{{-1}}},
		{"no JSON", `<html>`, []int{1}, [][]int{{-1}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			parts, err := jsonAnswers([]byte(tt.body), tt.sizes)
			if got := answered(parts); !slices.EqualFunc(got, tt.want, slices.Equal) {
				t.Errorf("got %v (%v), want %v", got, err, tt.want)
			}
		})
	}
}

// FuzzBatchAnswers: whatever comes, each request has one part, and none counts as done beside one of its set that failed.
func FuzzBatchAnswers(f *testing.F) {
	f.Add([]byte(whole(set("c1", http1(201)), set("c2", http1(201), http1(400)))), "multipart/mixed; boundary=b")
	f.Add([]byte(`{"responses":[{"id":"0.0","status":201},{"id":"1.1","status":400}]}`), "application/json")
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		sizes := []int{1, 2}
		parts, _ := multipartAnswers(body, contentType, sizes)
		if contentType == "application/json" {
			parts, _ = jsonAnswers(body, sizes)
		}
		if len(parts) != 2 || len(parts[0]) != 1 || len(parts[1]) != 2 {
			t.Fatalf("got %v", answered(parts))
		}
		good := 0
		for _, p := range parts[1] {
			if !p.missing && p.answer.Status < 300 {
				good++
			}
		}
		if good == 1 {
			t.Errorf("half of a change set counts as done: %v", answered(parts))
		}
	})
}
