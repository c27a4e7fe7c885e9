// Package security has the documents of this folder that the program reads: which requirement is answered by what, and which standard asks for it.
package security

import _ "embed"

// Requirements is requirements.md.
//
//go:embed requirements.md
var Requirements string

// Compliance is compliance.md.
//
//go:embed compliance.md
var Compliance string
