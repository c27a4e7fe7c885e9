package mapping

import _ "embed"

//go:embed mapping.schema.json
var fileSchema []byte

// FileSchema is the JSON Schema of a mapping file, for completion and checks in an editor. The caller gets a copy.
func FileSchema() []byte { return append([]byte(nil), fileSchema...) }
