package audit_test

import (
	"testing"

	"holdfast/internal/audit"
)

func TestOnePersonUnderTwoNamesIsNotTwo(t *testing.T) {
	tests := []struct {
		name, a, b string
		want       bool
	}{
		{"two who sign in", "user:anna", "user:ben", true},
		{"two accounts of the machine", "local:anna", "local:ben", true},
		{"one and the same", "user:anna", "user:anna", false},
		{"one in the console and in the shell", "user:anna", "local:anna", false},
		{"one whose account has another name", "user:anna.berg", "local:aberg", false},
		{"who sits at the machine, and an account of it", "local", "local:root", false},
		{"who sits at the machine, and one who signs in", "local", "user:anna", false},
		{"two of the company's provider", "oidc:anna", "oidc:ben", true},
		{"one of the provider, and an account of the plant", "oidc:anna.berg", "user:anna", false},
		{"one of the provider, and in the shell", "oidc:anna.berg", "local:aberg", false},
		{"one of the directory, and an account of the plant", "ad:anna.berg", "user:anna", false},
		{"one of the directory, and of the provider", "ad:anna.berg", "oidc:anna", false},
		{"two of the directory", "ad:anna", "ad:ben", true},
		{"one of the provider and a machine", "oidc:anna.berg", "token:gateway", false},
		{"a person and a machine", "user:anna", "token:gateway", false},
		{"two machines", "cert:a", "cert:b", false},
		{"a person, and a token that they have", "user:anna", "token:anna-laptop", false},
		{"nobody", "", "user:anna", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := audit.TwoPersons(tt.a, tt.b); got != tt.want {
				t.Errorf("%s and %s: %t, want %t", tt.a, tt.b, got, tt.want)
			}
			if got := audit.TwoPersons(tt.b, tt.a); got != tt.want {
				t.Errorf("%s and %s: %t, want %t", tt.b, tt.a, got, tt.want)
			}
		})
	}
}
