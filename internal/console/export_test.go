package console

// Open is the action of what asks nobody who they are.
const Open = open

// Patterns is everything that the console serves, with the action that each needs.
func (c *Console) Patterns() map[string]string {
	all := map[string]string{}
	for _, s := range c.served() {
		all[s.pattern] = s.action
	}
	return all
}
