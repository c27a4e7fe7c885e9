package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	"holdfast/openapi/contract"
)

// ContentOf is a hash of a document that depends on neither the order of names nor that of lists: services give what belongs to an entity
// in whatever order their database has it.
func ContentOf(body []byte) (string, error) {
	v, err := contract.Decode(body)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(sorted(v))
	return Hash(string(text)), err
}

// sorted is a tree whose lists are in the order of what their elements are as JSON.
func sorted(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			v[name] = sorted(inner)
		}
	case []any:
		texts := make([]string, 0, len(v))
		for _, inner := range v {
			text, err := json.Marshal(sorted(inner))
			if err != nil {
				panic(err) // it was read as JSON
			}
			texts = append(texts, string(text))
		}
		slices.Sort(texts)
		return texts
	}
	return v
}

// Hash is a hash of 128 bits.
func Hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}
