// Package jsonnum writes floating-point numbers to JSON as the command line
// promises: NaN and ±Inf, which JSON does not have, as strings.
package jsonnum

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// Float is a number that marshals to a JSON number, or to "NaN", "Infinity" or
// "-Infinity".
type Float float64

// MarshalJSON implements [json.Marshaler].
func (f Float) MarshalJSON() ([]byte, error) {
	x := float64(f)
	switch {
	case math.IsNaN(x):
		return []byte(`"NaN"`), nil
	case math.IsInf(x, 1):
		return []byte(`"Infinity"`), nil
	case math.IsInf(x, -1):
		return []byte(`"-Infinity"`), nil
	}
	return json.Marshal(x)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (f *Float) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) != nil {
		text = string(b)
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return fmt.Errorf("number %s: want a number, \"NaN\", \"Infinity\" or \"-Infinity\"", b)
	}
	*f = Float(x)
	return nil
}
