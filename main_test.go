package sojourn_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain runs the tests, and fails if they leave a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
