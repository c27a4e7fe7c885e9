package console

// Patterns are the pages and acts that the console serves, with the action that each page needs.
func (c *Console) Patterns() map[string]string {
	all := map[string]string{}
	for _, r := range c.routes() {
		all[r.pattern] = r.action
	}
	return all
}
