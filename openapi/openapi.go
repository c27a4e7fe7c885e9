// Package openapi holds the contracts that Holdfast ships: they are the source, and the code
// and the mock follow them.
package openapi

import _ "embed"

// erp is the contract of a plain ERP, for the mock and the demo.
//
//go:embed erp.yaml
var erp []byte

// ERP is the OpenAPI 3.1 document of a plain ERP. The caller gets a copy.
func ERP() []byte { return append([]byte(nil), erp...) }

// b2mml is the contract of a receiver of B2MML messages in JSON.
//
//go:embed b2mml.yaml
var b2mml []byte

// B2MML is the OpenAPI 3.1 document of messages in JSON after B2MML, which the mappings in b2mml-out and b2mml-in make and take. The caller gets a
// copy.
func B2MML() []byte { return append([]byte(nil), b2mml...) }

// holdfast is the contract of our own API.
//
//go:embed holdfast.yaml
var holdfast []byte

// Holdfast is the OpenAPI 3.0.3 document of the plant's API, which package httpapi serves. The caller gets a copy.
func Holdfast() []byte { return append([]byte(nil), holdfast...) }

// events are the types of the plant's messages.
//
//go:embed events.yaml
var events []byte

// Events is the OpenAPI 3.1 document of the plant's messages: a webhook for each kind, whose body is the message's. The caller gets a copy.
func Events() []byte { return append([]byte(nil), events...) }
