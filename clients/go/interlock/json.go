package interlock

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// JSON is a JSON value as its exact text, the form in which every value of a user travels.
// The empty text means that there is no value, which is not the same as the value null.
type JSON string

// Decode stores the value in what into points to, as json.Unmarshal does, and loses no digit:
// a number that goes into an any becomes a json.Number. No value leaves into as it is.
func (j JSON) Decode(into any) error {
	if j == "" {
		return nil
	}
	decoder := json.NewDecoder(strings.NewReader(string(j)))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("interlock: there is more than one JSON value")
	}
	return nil
}

// Value is the value as a map[string]any, []any, string, json.Number, bool or nil; nil also
// where there is none, or where the text is not JSON.
func (j JSON) Value() any {
	var value any
	if j.Decode(&value) != nil {
		return nil
	}
	return value
}

// MarshalJSON gives the text itself, and null for no value.
func (j JSON) MarshalJSON() ([]byte, error) {
	if j == "" {
		return []byte("null"), nil
	}
	return []byte(j), nil
}

// UnmarshalJSON keeps the text as it is.
func (j *JSON) UnmarshalJSON(text []byte) error {
	*j = JSON(text)
	return nil
}

// EncodeJSON writes a value as compact JSON text, as json.Marshal does, but leaves <, > and &
// readable. A JSON or a json.RawMessage goes in as it is; integers of any size as a
// json.Number, or as a *big.Int.
func EncodeJSON(value any) (JSON, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "", err
	}
	// A json.RawMessage may hold bytes that a message of the contract cannot.
	return JSON(strings.ToValidUTF8(strings.TrimSuffix(text.String(), "\n"), "\uFFFD")), nil
}
