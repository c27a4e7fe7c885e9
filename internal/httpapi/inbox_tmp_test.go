package httpapi_test

func (p *plant) inbox() any { return nil }
