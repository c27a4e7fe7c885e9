package adaptertest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// InZones runs tests of the caller's package once more in processes of their own, in two zones in which a careless conversion shows: far
// ahead of UTC, and behind it by half an hour more.
func InZones(t *testing.T, tests ...string) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, zone := range []string{"Pacific/Auckland", "America/St_Johns"} {
		if _, err := time.LoadLocation(zone); err != nil {
			t.Skipf("no zones on this machine: %v", err)
		}
		cmd := exec.CommandContext(t.Context(), program, "-test.v", "-test.run=^("+strings.Join(tests, "|")+")$")
		cmd.Env = append(os.Environ(), "TZ="+zone)
		said, err := cmd.CombinedOutput()
		for _, name := range tests {
			if err != nil || !strings.Contains(string(said), "--- PASS: "+name+" ") {
				t.Errorf("%s in %s: %v\n%s", name, zone, err, said)
			}
		}
	}
}
