package sojourn

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"sync/atomic"
)

// A tab's id is a nonce (the time of its start and a counter) and a MAC over
// it, and over the browser's key if the browser was known then. So the server
// recognizes the tabs it started without remembering them: a page view that
// never comes back costs no memory. Only a key of this run makes the MAC: after
// a restart, and on another server, every tab is new.
const (
	tabNonce   = 12
	tabMAC     = 16
	tabIDBytes = tabNonce + tabMAC
	tabIDLen   = (tabIDBytes*8 + 5) / 6
)

var tabEncoding = base64.RawURLEncoding.Strict()

type tabIssuer struct {
	aead cipher.AEAD
	seq  atomic.Uint64
}

func (i *tabIssuer) init() {
	var key [32]byte
	rand.Read(key[:])
	block, err := aes.NewCipher(key[:])
	if err == nil {
		i.aead, err = cipher.NewGCM(block)
	}
	if err != nil {
		panic("sojourn: AES-GCM: " + err.Error()) // both accept this key on every platform
	}
}

// tabScratch is the memory that making and checking an id needs; it is part of
// the request, so that neither allocates.
type tabScratch struct {
	id   [tabIDBytes]byte
	text [tabIDLen]byte
}

// issue makes the id of a tab that starts now, bound to a browser if not nil.
func (i *tabIssuer) issue(t *tabScratch, now int64, browser *Key) string {
	binary.BigEndian.PutUint64(t.id[:8], uint64(now)<<16)
	binary.BigEndian.PutUint64(t.id[4:12], uint64(uint16(now))<<48|i.seq.Add(1)&(1<<48-1))
	i.aead.Seal(t.id[:tabNonce], t.id[:tabNonce], nil, boundTo(browser))
	tabEncoding.Encode(t.text[:], t.id[:])
	return string(t.text[:])
}

// check tells when this server issued the id, with the browser's key or, if
// browser is nil, with none.
func (i *tabIssuer) check(t *tabScratch, id string, browser *Key) (issued int64, seq uint64, ok bool) {
	if len(id) != tabIDLen {
		return 0, 0, false
	}
	copy(t.text[:], id)
	if _, err := tabEncoding.Decode(t.id[:], t.text[:]); err != nil {
		return 0, 0, false
	}
	if _, err := i.aead.Open(nil, t.id[:tabNonce], t.id[tabNonce:], boundTo(browser)); err != nil {
		return 0, 0, false
	}
	issued = int64(binary.BigEndian.Uint64(t.id[:8]) >> 16)
	seq = binary.BigEndian.Uint64(t.id[4:12]) & (1<<48 - 1)
	return issued, seq, true
}

func boundTo(browser *Key) []byte {
	if browser == nil {
		return nil
	}
	return browser[:]
}

// validTabID reports whether a client's header can be a tab's id at all.
func validTabID(id string) bool {
	if len(id) < 22 || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}
