package redis_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/internal/testserver"
	"github.com/sojourn-go/sojourn/redis"
)

func TestAnEngineThatEvictsIsRefused(t *testing.T) {
	t.Parallel()
	url := testserver.Redis(t, "--maxmemory-policy", "volatile-lru").URL()
	s, err := redis.Open(t.Context(), url)
	if err == nil {
		s.Close()
		t.Fatal("it is opened")
	}
	for _, want := range []string{"maxmemory-policy", "volatile-lru", "CONFIG SET maxmemory-policy noeviction", "AllowEviction"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	warned(t, url, []string{"volatile-lru"}, redis.AllowEviction())
}

func TestSettingsThatLoseSessionsAreWarnedOf(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		args []string
		says []string // nothing at all if there are none
	}{
		{"appendonly no", nil, []string{"CONFIG SET appendonly yes", "appendfsync everysec", "appendfsync always"}},
		{"appendfsync no", []string{"--appendonly", "yes", "--appendfsync", "no"}, []string{"CONFIG SET appendfsync everysec"}},
		{"CONFIG forbidden", []string{"--appendonly", "yes", "--rename-command", "CONFIG", "HIDDEN"}, []string{"CONFIG GET"}},
		{"INFO forbidden", []string{"--rename-command", "INFO", "HIDDEN"}, []string{"INFO", "noeviction", "appendonly yes"}},
		{"appendfsync everysec", []string{"--appendonly", "yes", "--appendfsync", "everysec"}, nil},
		{"appendfsync always", []string{"--appendonly", "yes", "--appendfsync", "always"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			warned(t, testserver.Redis(t, test.args...).URL(), test.says)
		})
	}
}

// warned opens a store, and fails unless the log says this.
func warned(t *testing.T, url string, says []string, opts ...redis.Option) {
	t.Helper()
	var log bytes.Buffer
	open(t, url, append(opts, redis.Logger(slog.New(slog.NewTextHandler(&log, nil))))...)
	if len(says) == 0 && log.Len() > 0 {
		t.Errorf("the log says %s", log.String())
	}
	for _, want := range says {
		if !strings.Contains(log.String(), want) || !strings.Contains(log.String(), "level=WARN") {
			t.Errorf("the log does not warn of %q: %s", want, log.String())
		}
	}
}

func TestNoErrorTellsThePassword(t *testing.T) {
	t.Parallel()
	locked := testserver.Redis(t)
	if _, err := locked.Command("CONFIG", "SET", "requirepass", "other"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(locked.Kill)
	for _, url := range []string{
		"redis://ada:hunter2@127.0.0.1:port",
		"redis://ada:hunter2\x00@127.0.0.1",
		"http://ada:hunter2@127.0.0.1",
		"redis://ada:hunter2@127.0.0.1/first",
		"redis://ada:hunter2@127.0.0.1:1",
		"redis://ada:hunter2@" + locked.Addr(),
	} {
		s, err := redis.Open(t.Context(), url, redis.Logger(nil))
		if err == nil {
			s.Close()
			t.Errorf("%q is opened", url)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
}

func TestOpenWithoutAnEngineIsUnavailable(t *testing.T) {
	t.Parallel()
	if s, err := redis.Open(t.Context(), "redis://127.0.0.1:1"); !errors.Is(err, sojourn.ErrUnavailable) {
		t.Errorf("Open returned %v, %v", s, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := redis.Open(ctx, "redis://127.0.0.1:1"); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is done, Open returned %v, %v", s, err)
	}
}

func TestClientOptionChangesWhatTheURLSays(t *testing.T) {
	t.Parallel()
	server := testserver.Redis(t)
	s := open(t, "redis://127.0.0.1:1", redis.ClientOption(func(o *rueidis.ClientOption) {
		o.InitAddress = []string{server.Addr()}
		o.ClientName = "shop"
	}))
	awaitAnswer(t, s)
	if list, err := server.Command("CLIENT", "LIST"); err != nil || !strings.Contains(list, "name=shop") {
		t.Errorf("the engine knows the clients %q, %v", list, err)
	}
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	for name, option := range map[string]redis.Option{
		"a prefix with braces":  redis.Prefix("a{b}"),
		"no timeout":            redis.Timeout(0),
		"a bound that is short": redis.MaxStaleness(time.Millisecond),
	} {
		if s, err := redis.Open(t.Context(), "redis://127.0.0.1:1", option); err == nil {
			s.Close()
			t.Errorf("%s: it is opened", name)
		} else if strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("%s: it was tried: %v", name, err)
		}
	}
}
