package demo_test

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/sojourn-go/sojourn/internal/chromium"
)

// stopServers stops the engines that tests started.
var stopServers = func() error { return nil }

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	chromium.Stop()
	if err := stopServers(); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		code = 1
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}
