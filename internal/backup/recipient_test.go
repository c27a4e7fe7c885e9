package backup_test

import (
	"errors"
	"strings"
	"testing"

	"holdfast/internal/backup"
	"holdfast/internal/problem"
)

func TestTwoRecipientsAreTheLeast(t *testing.T) {
	_, one := key(t, "one")
	for name, keys := range map[string][]backup.Listed{"none": nil, "one": {{Text: one}}, "no key": {{Text: one}, {Text: "age1nothing"}}, "empty": {{Text: one}, {Text: "# none\n"}}} {
		if _, err := backup.Recipients(keys); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
	}
	_, two := key(t, "two")
	if got, err := backup.Recipients([]backup.Listed{{Text: "# of the site\n" + one + "\n\n" + two + "\r\n"}}); err != nil || len(got) != 2 {
		t.Errorf("got %d recipients of a file, %v, want 2", len(got), err)
	}
}

// TestASecretKeyAmongRecipientsIsInNoError, which ends up on a terminal and in the log: where it stands is enough to mend it.
func TestASecretKeyAmongRecipientsIsInNoError(t *testing.T) {
	secret, err := backup.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	_, public := key(t, "site")
	for name, text := range map[string]string{
		"alone": secret, "as age-keygen writes it": "# created: today\n# public key: " + public + "\n" + secret + "\n",
		"behind a public key": public + " " + secret, "in small letters": strings.ToLower(secret), "cut": secret[:40], "without its head": strings.TrimPrefix(secret, "AGE-SECRET-KEY-1"),
	} {
		_, err := backup.Recipients([]backup.Listed{{Text: public}, {Where: "keys/recovery.pub", Text: text}})
		p, ok := errors.AsType[*problem.Error](err)
		if !ok || p.Kind != problem.Invalid || !strings.Contains(p.Error(), "keys/recovery.pub") {
			t.Errorf("%s: got %v, want it refused by its place", name, err)
			continue
		}
		if all := strings.ToUpper(p.Error() + p.Hint); strings.Contains(all, secret[20:36]) {
			t.Errorf("%s: the error has what was read: %v", name, err)
		}
		if name == "as age-keygen writes it" && !strings.Contains(p.Why, "line 3 holds a secret key") {
			t.Errorf("%s: got %q, want the line named", name, p.Why)
		}
	}
}
