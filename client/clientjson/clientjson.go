// Package clientjson makes a program for the browser able to call functions
// whose arguments and results are structs, or any other types of
// encoding/json. Import it for that alone:
//
//	import _ "github.com/sojourn-go/sojourn/client/clientjson"
//
// The program grows by some 300 KB after compression. Without it package
// client takes strings, numbers, booleans, []byte, slices and maps of those, and types
// with MarshalJSON and UnmarshalJSON. Programs that are not for the browser
// need no import.
package clientjson

import (
	"encoding/json"

	"github.com/sojourn-go/sojourn/client/internal/codec"
)

func init() {
	codec.Marshal, codec.Unmarshal = json.Marshal, json.Unmarshal
}
