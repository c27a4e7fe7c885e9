// Package internal holds no code: its tests check what house style asks of the
// whole tree, by reading every file in this process. They are the floors
// (floors_test.go), comments and sizes (doc_test.go), exact numbers
// (float_test.go) and the commands that the documents print (docs_test.go).
package internal

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

// What each floor may import of ours. Imports go down only; a package above
// asks for what it needs through an interface of its own, and cmd joins them.
const (
	program = "cmd/holdfast"

	words = "internal/message internal/schema internal/problem internal/decimal internal/port openapi openapi/contract "
	plant = words + "internal/store internal/body internal/audit "
	moves = plant + "internal/seal internal/outbox internal/inbox "
	below = moves + "internal/mapping internal/edition internal/token internal/mes internal/access internal/anomaly " +
		"internal/relay internal/job internal/prove internal/backup internal/alert "
)

// floors has one row for each package: what of ours it may import. A package
// without a row fails the test; give it the lowest floor on which it can live.
var floors = map[string]string{
	// 0 words
	"internal/message": "internal/problem internal/decimal",
	"internal/schema":  "",
	"internal/problem": "",
	"internal/decimal": "internal/problem",
	"internal/port":    "",
	"internal/heap":    "",
	"openapi":          "",
	"openapi/contract": "internal/problem internal/decimal",
	// 1 resources
	"internal/store":           words,
	"internal/store/storetest": words + "internal/store",
	"internal/body":            words + "internal/store",
	"internal/mapping":         words,
	"internal/seal":            words + "internal/store",
	"internal/backup/s3test":   words,
	"internal/seal/vaultdev":   words,
	"internal/seal/vaulttest":  "internal/seal/vaultdev",
	"internal/audit":           words + "internal/store internal/seal",
	// 2 records
	"internal/outbox":  plant + "internal/seal",
	"internal/inbox":   plant + "internal/seal internal/mapping",
	"internal/edition": plant,
	"internal/docnum":  words + "internal/store",
	"internal/token":   plant + "internal/seal",
	// 3 plant
	"internal/mes":    plant + "internal/outbox",
	"internal/access": plant + "internal/seal",

	"internal/access/oidctest": "internal/port",
	"internal/access/adtest":   "",

	"internal/anomaly": plant,
	// 4 movement
	"internal/relay":  moves + "internal/mapping",
	"internal/job":    moves + "internal/mapping internal/relay",
	"internal/prove":  moves,
	"internal/backup": moves,
	"internal/alert":  moves,
	// 5 edges
	"adapters/rest":          words + "adapters/wire",
	"adapters/wire":          words,
	"adapters/odata":         words + "adapters/odata/edm adapters/wire",
	"adapters/odata/edm":     words,
	"adapters/sap":           words + "adapters/odata adapters/odata/edm",
	"adapters/sap/idoc":      words + "adapters/wire",
	"adapters/amqp":          words + "adapters/wire",
	"adapters/amqp/amqptest": "",
	"adapters/erpmock":       words,
	"adapters/erpmock/edmx":  words + "adapters/erpmock adapters/odata/edm",

	"adapters/erpmock/idocport": words + "adapters/erpmock adapters/sap/idoc",

	"adapters/adaptertest": words + "adapters/erpmock",
	"internal/httpapi":     below,
	"internal/console":     below,
	// 6 program, with the folders below it
	program: "*",
}

// helpers are what every _test.go file may import besides.
const helpers = words + "internal/store/storetest internal/seal/vaulttest internal/backup/s3test internal/access/oidctest internal/access/adtest adapters/adaptertest adapters/erpmock adapters/erpmock/edmx adapters/erpmock/idocport adapters/sap/idoc adapters/amqp/amqptest "

// alone names the libraries that one package hides from all others, so that
// each can be replaced in one place.
var alone = map[string]string{
	"github.com/jmoiron/sqlx":    "internal/store internal/store/storetest",
	"github.com/jackc/pgx":       "internal/store internal/store/storetest",
	"github.com/pressly/goose":   "internal/store",
	"modernc.org/sqlite":         "internal/store internal/store/storetest",
	"cel.dev/cel-go":             "internal/mapping",
	"github.com/spf13/cobra":     program,
	"github.com/ThreeDotsLabs":   "adapters/amqp",
	"github.com/rabbitmq/amqp09": "adapters/amqp adapters/amqp/amqptest",
	"github.com/minio":           "internal/backup internal/backup/s3test",
	"github.com/hashicorp/vault": "internal/seal internal/seal/vaultdev internal/seal/vaulttest",
	"filippo.io/age":             "internal/seal internal/backup",
	"golang.org/x/mod":           "internal/audit",
	"github.com/go-jose":         "internal/seal internal/access",
	"github.com/coreos/go-oidc":  "internal/access",
	"golang.org/x/oauth2":        "internal/access",
	"github.com/go-ldap":         "internal/access",
	"github.com/alexedwards/scs": "internal/access",
}

func TestImportsGoDownOnly(t *testing.T) {
	for _, s := range tree(t) {
		for _, wrong := range wrongImports(s) {
			t.Error(wrong)
		}
	}
}

// wrongImports says what the file imports although its package stands on a floor
// that must not, one sentence each.
func wrongImports(s source) []string {
	if s.pkg == "internal" {
		return nil // this package: tests of the tree, no code
	}
	home := s.pkg
	if strings.HasPrefix(home, program+"/") {
		home = program // a folder of the program's own
	}
	may, ok := floors[home]
	if !ok {
		return []string{fmt.Sprintf("%s: package %s has no floor: give it a row in internal/floors_test.go", s.path, s.pkg)}
	}
	if s.isTest() && may != "*" {
		may += " " + helpers + s.pkg
	}
	var wrong []string
	for _, imp := range s.file.Imports {
		name := strings.Trim(imp.Path.Value, `"`)
		if ours, found := strings.CutPrefix(name, "holdfast/"); found && may != "*" && !slices.Contains(strings.Fields(may), ours) {
			wrong = append(wrong, fmt.Sprintf("%s imports %s; of ours it may import only: %s", s.path, ours, may))
		}
		for library, owners := range alone {
			if strings.HasPrefix(name, library) && !s.isTest() && !slices.Contains(strings.Fields(owners), home) {
				wrong = append(wrong, fmt.Sprintf("%s imports %s, which only %s knows", s.path, name, owners))
			}
		}
	}
	return wrong
}

func TestWrongImports(t *testing.T) {
	tests := []struct {
		name, file, imports, want string
	}{
		{"down one floor", "../internal/outbox/x.go", "holdfast/internal/store", ""},
		{"up", "../internal/store/x.go", "holdfast/internal/outbox", "imports internal/outbox"},
		{"sideways", "../adapters/rest/x.go", "holdfast/adapters/odata", "imports adapters/odata"},
		{"an adapter from the API", "../internal/httpapi/x.go", "holdfast/adapters/rest", "imports adapters/rest"},
		{"the program takes all", "../cmd/holdfast/x.go", "holdfast/adapters/rest", ""},
		{"a folder of the program takes all", "../cmd/holdfast/internal/torture/x.go", "holdfast/adapters/rest", ""},
		{"the program from below", "../internal/mes/x.go", "holdfast/cmd/holdfast/internal/torture", "imports cmd/holdfast"},
		{"a helper in a test", "../internal/outbox/x_test.go", "holdfast/internal/store/storetest", ""},
		{"a helper in code", "../internal/outbox/x.go", "holdfast/internal/store/storetest", "imports internal/store/storetest"},
		{"a test of the package from outside", "../internal/mes/x_test.go", "holdfast/internal/mes", ""},
		{"a package without a floor", "../internal/util/x.go", "fmt", "no floor"},
		{"a hidden library", "../internal/relay/x.go", "github.com/jackc/pgx/v5", "only internal/store"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := wrongImports(parse(t, tt.file, "package x\nimport _ \""+tt.imports+"\"\n"))
			if (tt.want == "") != (len(got) == 0) || !strings.Contains(strings.Join(got, "\n"), tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// isMissing says that a folder is not there.
func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
