// Package clientjson makes a program for the browser able to call functions
// whose arguments and results are structs, or any other types of
// encoding/json. Import it for that alone:
//
//	import _ "github.com/sojourn-go/sojourn/client/clientjson"
//
// The program grows by some 200 KB after compression. The documentation of
// package client says which types need none of it. A program that is not for
// the browser needs no import.
package clientjson

import (
	"encoding/json"

	"github.com/sojourn-go/sojourn/client/internal/codec"
)

func init() {
	codec.Marshal, codec.Unmarshal = json.Marshal, json.Unmarshal
}
