// Package vault holds what an administrator prepares Vault with, so that the demo prepares its own in the same way.
package vault

import "embed"

// Files are setup and the policies that it writes.
//
//go:embed setup *.hcl
var Files embed.FS
