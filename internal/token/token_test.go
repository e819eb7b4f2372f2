package token

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

func TestTokensAreParsedToTheirKey(t *testing.T) {
	t.Parallel()
	for range 100 {
		shard := Anywhere()
		tok, key := New(shard)
		if len(tok) != Len {
			t.Errorf("the token %q has %d characters, want %d", tok, len(tok), Len)
		}
		got, ok := Parse(tok)
		if !ok || got != key {
			t.Errorf("Parse gives %x, %v, want %x", got, ok, key)
		}
		if [2]byte(key[:2]) != shard {
			t.Errorf("the key begins with %x, want the shard %x", key[:2], shard)
		}
	}
}

func TestTokensAndIDsAreNew(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	keys := map[[32]byte]bool{}
	for range 10_000 {
		tok, key := New([2]byte{1, 2})
		id := NewID()
		if seen[tok] || keys[key] || seen[id] {
			t.Fatal("one came twice")
		}
		if len(id) != 22 {
			t.Fatalf("the id %q has %d characters", id, len(id))
		}
		seen[tok], seen[id], keys[key] = true, true, true
	}
}

// The key tells nothing of the token but the shard, and every bit of the token
// counts.
func TestKeyIsAHash(t *testing.T) {
	t.Parallel()
	tok, key := New([2]byte{1, 2})
	raw, err := base64.RawURLEncoding.DecodeString(tok)
	if err != nil {
		t.Fatal(err)
	}
	for n := 4; n <= 32; n++ {
		for at := 0; at+n <= len(raw); at++ {
			if bytes.Contains(key[:], raw[at:at+n]) {
				t.Fatalf("the key %x holds the part %x of the token", key, raw[at:at+n])
			}
		}
	}
	for i := range raw {
		for bit := range 8 {
			raw[i] ^= 1 << bit
			other, ok := Parse(base64.RawURLEncoding.EncodeToString(raw))
			if !ok || bytes.Equal(other[2:], key[2:]) {
				t.Errorf("with bit %d of byte %d turned the token has the key %x, %v", bit, i, other, ok)
			}
			raw[i] ^= 1 << bit
		}
	}
}

func TestOnlyTokensAreParsed(t *testing.T) {
	t.Parallel()
	tok, _ := New([2]byte{})
	for _, bad := range []string{
		"", "x", tok[1:], tok + "A", tok + "=", " " + tok[1:], tok[:45] + " ", tok[:45] + "\n", tok[:44] + "\r\n", "\n" + tok[1:],
		strings.Repeat("+", Len), strings.Repeat("/", Len), strings.Repeat("=", Len), strings.Repeat("é", Len/2), strings.Repeat("\x00", Len),
		tok[:44] + "==", tok[:22] + "\n" + tok[23:], tok[:22] + "." + tok[23:],
	} {
		if key, ok := Parse(bad); ok || key != [32]byte{} {
			t.Errorf("Parse takes %q", bad)
		}
	}
	// 46 characters are 276 bits, four more than a token has: they are zero.
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for i, c := range alphabet {
		if _, ok := Parse(tok[:45] + string(c)); ok != (i%16 == 0) {
			t.Errorf("with the last character %q Parse answers %v", c, ok)
		}
	}
}

func TestParsingAllocatesNothing(t *testing.T) {
	tok, _ := New([2]byte{})
	if n := testing.AllocsPerRun(100, func() { Parse(tok) }); n != 0 {
		t.Errorf("Parse allocates %v times", n)
	}
}

func FuzzParse(f *testing.F) {
	tok, _ := New([2]byte{})
	f.Add(tok)
	f.Add("")
	f.Add(tok + tok)
	f.Add(strings.Repeat("A", Len))
	f.Add(tok[:20] + "\n" + tok[20:])
	f.Fuzz(func(t *testing.T, tok string) {
		key, ok := Parse(tok)
		raw, err := base64.RawURLEncoding.DecodeString(tok)
		exact := err == nil && len(raw) == size && base64.RawURLEncoding.EncodeToString(raw) == tok
		if ok != exact {
			t.Errorf("Parse of %q answers %v", tok, ok)
		}
		if ok && key != keyOf((*[size]byte)(raw)) || !ok && key != [32]byte{} {
			t.Errorf("the key of %q is %x", tok, key)
		}
	})
}
