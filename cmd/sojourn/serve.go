package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
)

func newServer(ctx context.Context, stderr io.Writer) *http.Server {
	return &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(logger(stderr).Handler(), slog.LevelWarn),
		// Requests in flight when a signal comes may finish.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
}

// serve answers requests until ctx is done, then gives those in flight five
// seconds to finish.
func serve(ctx context.Context, server *http.Server, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err := server.Shutdown(patience)
		if err != nil {
			err = errors.Join(err, server.Close())
		}
		stopped <- err
	}()
	var err error
	if server.TLSConfig != nil {
		err = server.ServeTLS(listener, "", "")
	} else {
		err = server.Serve(listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return <-stopped
	}
	return err
}

func logger(w io.Writer) *slog.Logger {
	return slog.New(greeted{slog.NewTextHandler(w, nil)})
}

// greeted drops one record: the site's warning that its cookies are Insecure.
// The demo says so itself, once and in its own words, where it says where it is.
type greeted struct{ slog.Handler }

func (h greeted) Handle(ctx context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "sojourn: CookieConfig.Insecure is set") {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (h greeted) WithAttrs(attrs []slog.Attr) slog.Handler {
	return greeted{h.Handler.WithAttrs(attrs)}
}

func (h greeted) WithGroup(name string) slog.Handler { return greeted{h.Handler.WithGroup(name)} }

// reason is what the system said, without the address that the caller names.
func reason(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// oneLine is the text of an error on one line.
func oneLine(err error) string {
	return strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "sojourn: ")), " ")
}
