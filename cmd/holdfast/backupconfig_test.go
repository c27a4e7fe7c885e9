package main

import (
	"path/filepath"
	"testing"
)

// TestACopyHasTheCertificatesByWhichOthersAreBelieved, whoever they are: without them the plant that is restored does not start, or reaches nobody. Those outside its folder are named as missing.
func TestACopyHasTheCertificatesByWhichOthersAreBelieved(t *testing.T) {
	dir := t.TempDir()
	cfg, err := parseConfig(filepath.Join(dir, "holdfast.yaml"), []byte(`
plant: {number: "1000", zone: Europe/Berlin}
backup:
  places: [{s3: "https://s3.example", bucket: b, user: u, key: "env:K", ca: certs/s3.pem}]
  recipients: [age1one, age1two]
siem: [{name: soc, address: "siem.example:6514", tls: {ca: certs/siem.pem}}]
alerts: {webhooks: [{name: hook, url: "https://hook.example", ca: certs/hook.pem}], mail: {server: "mail.example:587", from: a@b.example, to: [c@b.example], ca: /etc/ssl/mail.pem}}
access: {issuers: [{issuer: "https://iss.example", audience: plant, jwks: "https://iss.example/jwks", ca: certs/iss.pem, clients: {mes: {id: mes, roles: [operator]}}}]}
links:
  erp: {kind: rest, spec: builtin, base_url: "https://erp.example", tls: {ca: certs/erp.pem}}
`))
	if cfg.Backup == nil {
		t.Fatalf("the configuration is not read: %v", err)
	}
	files := cfg.backupFiles()
	for _, name := range []string{"s3", "siem", "hook", "iss", "erp"} {
		if at := "certs/" + name + ".pem"; files[at] != filepath.Join(dir, at) {
			t.Errorf("%s is not in it: %v", at, files)
		}
	}
	if _, left := cfg.elsewhere(); len(left) != 1 || left[0] != "/etc/ssl/mail.pem" {
		t.Errorf("told as missing are %v, want the mail server's", left)
	}
}
