package edmx_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"holdfast/adapters/erpmock/edmx"
)

// FuzzBatch sends whatever as a $batch: it is answered, and what it says of a set of changes that failed has had no effect.
func FuzzBatch(f *testing.F) {
	models := map[bool][]byte{}
	for v4, file := range map[bool]string{false: "confirmation-v2.xml", true: "confirmation-v4.xml"} {
		text, err := os.ReadFile("../../odata/testdata/" + file)
		if err != nil {
			f.Fatal(err)
		}
		models[v4] = text
	}
	part := "--c\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nPOST ProdnOrdConf2 HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{}\r\n"
	f.Add(false, "multipart/mixed; boundary=b", "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"+part+"--c--\r\n--b--\r\n")
	f.Add(false, "multipart/mixed; boundary=b", "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n--b--\r\n")
	f.Add(true, "application/json", `{"requests":[{"id":"1","method":"POST","url":"Confirmation","atomicityGroup":"g","headers":{},"body":{"OrderID":"1"}}]}`)
	f.Add(true, "application/json", `{"requests":[]}`)
	f.Fuzz(func(t *testing.T, v4 bool, contentType, body string) {
		m, err := edmx.New(models[v4], edmx.Config{NoCSRF: true, Root: "/srv"})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		r := httptest.NewRequest(http.MethodPost, "/srv/$batch", strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, r)
		if w.Code < 200 || w.Code > 599 {
			t.Errorf("answered by %d", w.Code)
		}
		if w.Code >= 400 && len(m.Effects()) > 0 {
			t.Errorf("%d, and %d effects", w.Code, len(m.Effects()))
		}
	})
}
