package demo

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
)

// errBusy says that too many passwords are being checked at this moment.
var errBusy = errors.New("too many passwords are being checked")

// What one hash costs: 19 MiB and two passes, about 20 ms of one core.
const (
	argonMemory  = 19 * 1024 // KiB
	argonTime    = 2
	argonThreads = 1
	argonSalt    = 16 // bytes
	argonKey     = 32 // bytes
)

// hasher makes and checks argon2id hashes, a few at a time: a crowd of
// sign-ins waits in line instead of eating all memory.
type hasher struct {
	slots    chan struct{}
	patience time.Duration
	decoy    string // checked when there is no such account
}

func newHasher(ctx context.Context) (*hasher, error) {
	h := &hasher{
		slots:    make(chan struct{}, min(4, runtime.GOMAXPROCS(0))),
		patience: 5 * time.Second,
	}
	var err error
	h.decoy, err = h.hash(ctx, rand.Text())
	return h, err
}

// hash returns the encoded hash of a password, with its parameters and salt.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, argonSalt)
	rand.Read(salt) // never fails
	key, err := h.derive(ctx, password, salt, argonTime, argonMemory, argonThreads, argonKey)
	if err != nil {
		return "", err
	}
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		argonMemory, argonTime, argonThreads, b64.EncodeToString(salt), b64.EncodeToString(key)), nil
}

// matches says whether encoded is the hash of password. With an empty encoded
// (no such account) it does the same work and answers false.
func (h *hasher) matches(ctx context.Context, encoded, password string) (bool, error) {
	known := encoded != ""
	if !known {
		encoded = h.decoy
	}
	var memory, passes uint32
	var threads uint8
	var version int
	parts := strings.Split(encoded, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, errors.New("the stored password is not an argon2id hash")
	}
	if _, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &memory, &passes, &threads); err != nil || version != argon2.Version {
		return false, errors.New("the stored password is not an argon2id hash of this version")
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false, fmt.Errorf("the salt of a stored password: %w", err)
	}
	want, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil {
		return false, fmt.Errorf("the key of a stored password: %w", err)
	}
	got, err := h.derive(ctx, password, salt, passes, memory, threads, uint32(len(want)))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want) == 1 && known, nil
}

// derive waits for a slot, then computes the key.
func (h *hasher) derive(ctx context.Context, password string, salt []byte, passes, memory uint32, threads uint8, size uint32) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, h.patience, errBusy)
	defer cancel()
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-h.slots }()
	return argon2.IDKey([]byte(password), salt, passes, memory, threads, size), nil
}
