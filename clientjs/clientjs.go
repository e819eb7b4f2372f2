// Package clientjs holds the browser's client of sojourn, an ES module with
// TypeScript declarations. sojourn serves it as <Config.Path>client.js; the
// folder is an npm package too.
package clientjs

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
)

// Script is the module.
//
//go:embed client.js
var Script []byte

// Types are its TypeScript declarations.
//
//go:embed client.d.ts
var Types []byte

// Version is a hash of the module: a URL with it can be cached for ever.
var Version = func() string {
	sum := sha256.Sum256(Script)
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}()
