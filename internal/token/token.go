// Package token makes and reads the secrets that browsers hold in cookies.
//
// A token is 2 bytes that choose a shard and 32 random bytes, as 46 characters
// of base64url. Stores and tables know it by its key only: the shard and 30
// bytes of the SHA-256 of the whole.
package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

const (
	size = 2 + 32
	// Len is the length of a token in characters.
	Len = (size*8 + 5) / 6
)

var encoding = base64.RawURLEncoding.Strict()

// New makes a token in the given shard, and its key.
func New(shard [2]byte) (tok string, key [32]byte) {
	var raw [size]byte
	copy(raw[:], shard[:])
	rand.Read(raw[2:]) // never fails: it ends the program rather than be weak
	return encoding.EncodeToString(raw[:]), keyOf(&raw)
}

// Anywhere is a random shard, for what belongs to no user.
func Anywhere() (shard [2]byte) {
	rand.Read(shard[:])
	return shard
}

// Parse gives the key of a token. It accepts exactly what New can make.
func Parse(tok string) (key [32]byte, ok bool) {
	if len(tok) != Len {
		return key, false
	}
	var text [Len]byte
	copy(text[:], tok)
	var raw [size]byte
	if n, err := encoding.Decode(raw[:], text[:]); err != nil || n != size {
		return key, false
	}
	return keyOf(&raw), true
}

func keyOf(raw *[size]byte) (key [32]byte) {
	sum := sha256.Sum256(raw[:])
	copy(key[:2], raw[:2])
	copy(key[2:], sum[:30])
	return key
}

// NewID makes a public handle: 16 random bytes as 22 characters of base64url.
func NewID() string {
	var raw [16]byte
	rand.Read(raw[:])
	return encoding.EncodeToString(raw[:])
}
