package interlock

import (
	"encoding/json"
	"math/big"
	"testing"
)

func TestJSONKeepsEveryDigit(t *testing.T) {
	for _, text := range []JSON{
		`9007199254740993`, `-9223372036854775809`, `123456789012345678901234567890`, `1.0`, `1e400`,
		`{"a":[9007199254740993,0.1],"b":null}`, `"<&> ☕"`, `null`, `true`,
	} {
		if again := must[JSON](t)(EncodeJSON(text.Value())); again != text {
			t.Errorf("%s came back as %s", text, again)
		}
		if again := must[JSON](t)(EncodeJSON(text)); again != text {
			t.Errorf("%s came back as %s", text, again)
		}
	}
}

func TestJSONDecodesIntoTypes(t *testing.T) {
	var args struct {
		Order int64          `json:"order"`
		Price *big.Int       `json:"price"`
		Rest  map[string]any `json:"rest"`
	}
	text := JSON(`{"order":9007199254740993,"price":123456789012345678901,"rest":{"n":9007199254740993}}`)
	if err := text.Decode(&args); err != nil {
		t.Fatal(err)
	}
	if args.Order != 9007199254740993 || args.Price.String() != "123456789012345678901" {
		t.Errorf("got %+v", args)
	}
	if args.Rest["n"] != json.Number("9007199254740993") {
		t.Errorf("got %v", args.Rest["n"])
	}
}

func TestNoJSONIsNotNull(t *testing.T) {
	value := "as before"
	if err := JSON("").Decode(&value); err != nil || value != "as before" {
		t.Errorf("got %q, %v", value, err)
	}
	if text := must[JSON](t)(EncodeJSON(nil)); text != "null" {
		t.Errorf("got %q", text)
	}
}

func TestWhatIsNotJSONIsRefused(t *testing.T) {
	for _, text := range []JSON{`{`, `1 2`, `NaN`} {
		if err := text.Decode(new(any)); err == nil {
			t.Errorf("%q was decoded", text)
		}
	}
	if _, err := EncodeJSON(JSON(`{`)); err == nil {
		t.Error("half an object was encoded")
	}
	if _, err := EncodeJSON(func() {}); err == nil {
		t.Error("a function was encoded")
	}
	if text := must[JSON](t)(EncodeJSON(json.RawMessage("\"\xff\""))); text != "\"\uFFFD\"" {
		t.Errorf("got %q", text)
	}
}
