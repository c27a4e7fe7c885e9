package audit

import "strings"

// TwoPersons tells whether two names of the record are two people for certain, as where one must have looked at what the other did. Who
// signs in (user:anna), who does at a provider (oidc:anna) or by a directory (ad:anna) and who has an account of the machine (local:anna) are named by different lists, so
// that one person can stand in several: such names are not known to be two, and neither is whoever sits at the machine (local) beside anybody there. Two names of one
// list are two. A machine (token:, cert:, client:) is no pair of eyes: a person may hold its credential.
func TwoPersons(a, b string) bool {
	if a == b {
		return false
	}
	list, someone, _ := strings.Cut(a, ":")
	other, another, _ := strings.Cut(b, ":")
	return list == other && ofPeople(list) && someone != "" && another != ""
}

// OfPeople tells whether a name of the record is a person's. A machine's is one that a person may hold the credential of.
func OfPeople(name string) bool {
	list, who, _ := strings.Cut(name, ":")
	return ofPeople(list) && who != ""
}

// ofPeople tells whether a list of names is one of people.
func ofPeople(list string) bool {
	return list == "user" || list == "oidc" || list == "ad" || list == "local"
}
