package rest

// Fields are the names that the contract knows at a path of an operation's body, for a check of mappings; refuses tells whether it takes
// no others. ok is false where it takes any name, or has no such operation.
func (l *Link) Fields(target string, path ...string) (names []string, refuses, ok bool) {
	op, found := l.doc.Operation(target)
	if !found {
		return nil, false, false
	}
	m := op.Members(path...)
	return m.Names, m.Closed, !m.Open
}

// Params are the names of an operation's parameters.
func (l *Link) Params(target string) []string {
	op, ok := l.doc.Operation(target)
	if !ok {
		return nil
	}
	var names []string
	for _, p := range op.Parameters() {
		names = append(names, p.Name)
	}
	return names
}
