package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/sojourn-go/sojourn/internal/demo"
	"github.com/sojourn-go/sojourn/sqlite"
)

const demoHelp = `Usage: sojourn demo [flags]

Runs a small web application on SQLite that shows what the library does: sign
up and in, counters in every scope, a user's sessions, groups, and a timeline of
the actions as they fire. Stop it with Ctrl-C.

Flags:
  --addr host:port   where to listen (default 127.0.0.1:8080; port 0 takes a free one)
  --db file          where to keep the sessions (default sojourn-demo.db in the
                     working directory; the accounts go to sojourn-demo-accounts.db)
  --tls-cert file    certificate, PEM; with --tls-key: HTTPS and production cookies
  --tls-key file     its private key, PEM
  --insecure         serve plain HTTP on an address that others can reach
  --help             this text

Without a certificate the demo speaks plain HTTP, and only to this machine.
Exit status: 0 stopped, 1 the port is taken, a file cannot be used, or the
like, 2 the command line makes no sense.
`

// demoFlags are the flags of sojourn demo.
type demoFlags struct {
	addr, db, cert, key string
	insecure            bool
}

func (f demoFlags) tls() bool { return f.cert != "" }

// accounts is the file beside f.db where the demo keeps its users.
func (f demoFlags) accounts() string {
	ext := filepath.Ext(f.db)
	return strings.TrimSuffix(f.db, ext) + "-accounts" + ext
}

// parseDemo reads the command line. It returns flag.ErrHelp when it asks for
// help.
func parseDemo(args []string) (demoFlags, error) {
	var f demoFlags
	set := flag.NewFlagSet("demo", flag.ContinueOnError)
	set.SetOutput(io.Discard) // run prints the error, in one line
	set.StringVar(&f.addr, "addr", "127.0.0.1:8080", "")
	set.StringVar(&f.db, "db", "sojourn-demo.db", "")
	set.StringVar(&f.cert, "tls-cert", "", "")
	set.StringVar(&f.key, "tls-key", "", "")
	set.BoolVar(&f.insecure, "insecure", false, "")
	if err := set.Parse(args); errors.Is(err, flag.ErrHelp) {
		return f, err
	} else if err != nil {
		return f, usagef("%s: see sojourn demo --help", strings.Replace(err.Error(), "flag provided but not defined: -", "unknown flag --", 1))
	}
	switch {
	case set.NArg() > 0:
		return f, usagef("demo takes flags only, not %q: see sojourn demo --help", set.Arg(0))
	case f.db == "":
		return f, usagef("--db needs the name of a file")
	case f.cert == "" && f.key != "":
		return f, usagef("--tls-key needs --tls-cert as well")
	case f.cert != "" && f.key == "":
		return f, usagef("--tls-cert needs --tls-key as well")
	case f.tls() && f.insecure:
		return f, usagef("--insecure is for plain HTTP: it makes no sense with --tls-cert")
	}
	return f, nil
}

func runDemo(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f, err := parseDemo(args)
	if errors.Is(err, flag.ErrHelp) {
		_, err := fmt.Fprint(stdout, demoHelp)
		return err
	}
	if err != nil {
		return err
	}
	addr, err := net.ResolveTCPAddr("tcp", f.addr)
	if err != nil {
		return usagef("--addr %s: %v", f.addr, err)
	}
	public := !addr.IP.IsLoopback()
	if public && !f.tls() && !f.insecure {
		return usagef("%s can be reached from other machines, and plain HTTP shows them passwords and cookies: give --tls-cert and --tls-key, or --insecure if you mean it", f.addr)
	}

	server := newServer(ctx, stderr)
	if f.tls() {
		cert, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return fmt.Errorf("the certificate: %w", err)
		}
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	// The port first: starting the demo twice is the likeliest mistake.
	listener, err := net.ListenTCP("tcp", addr)
	if err != nil {
		return fmt.Errorf("cannot listen on %s (choose another address with --addr): %w", f.addr, reason(err))
	}
	defer listener.Close()

	store, err := sqlite.Open(f.db)
	if err != nil {
		return err
	}
	app, err := demo.Open(ctx, demo.Options{
		Store:     store,
		Accounts:  f.accounts(),
		PlainHTTP: !f.tls(),
		Public:    public,
		Logger:    logger(stderr),
	})
	if err != nil {
		return err
	}
	server.Handler = app
	greet(stdout, f, listener.Addr(), app.Seeds())
	err = serve(ctx, server, listener)
	if ctx.Err() != nil {
		fmt.Fprintln(stdout, "\nStopped.")
	}
	return errors.Join(err, app.Close())
}

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

// greet says where the demo is and who can sign in.
func greet(w io.Writer, f demoFlags, addr net.Addr, seeds []demo.Seed) {
	scheme := "http"
	if f.tls() {
		scheme = "https"
	}
	fmt.Fprintf(w, "The sojourn demo is at %s://%s/\n\n", scheme, addr)
	if len(seeds) > 0 {
		fmt.Fprintln(w, "Accounts to try (or sign up):")
		for _, s := range seeds {
			fmt.Fprintf(w, "  %-6s password %-28s %s\n", s.Name, s.Password, s.Role())
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "Sessions are kept in %s, accounts in %s.\n", f.db, f.accounts())
	if !f.tls() {
		fmt.Fprint(w, "Plain HTTP: the cookies are CookieConfig.Insecure, without Secure and __Host-, so that\n"+
			"every browser and curl can use them. With --tls-cert and --tls-key they are as in production.\n")
	}
	fmt.Fprintln(w, "Stop with Ctrl-C.")
}

func logger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, nil))
}

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
