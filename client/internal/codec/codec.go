// Package codec holds the JSON of types that package client cannot write by
// itself. It is empty until somebody imports client/clientjson, so that a
// program for the browser does without encoding/json if it can.
package codec

// Marshal and Unmarshal are those of encoding/json, or nil.
var (
	Marshal   func(v any) ([]byte, error)
	Unmarshal func(data []byte, v any) error
)
