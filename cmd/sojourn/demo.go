package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/sojourn-go/sojourn/internal/demo"
)

const demoHelp = `Usage: sojourn demo [flags]

Runs a small web application that shows what the library does: sign up and in,
counters in every scope, a user's sessions, groups, open tabs that are told at
once what happens elsewhere, functions called from pages, and a timeline of the
actions as they fire. Stop it with Ctrl-C.

Flags:
  --addr host:port   where to listen (default 127.0.0.1:8080; port 0 takes a free one)
  --store where      where to keep the sessions: sqlite:FILE, postgres://…,
                     redis://… or memory (default sqlite:sojourn-demo.db; or
                     SOJOURN_STORE in the environment, where no other user of
                     the machine sees a password)
  --db file          short for --store sqlite:file
  --accounts file    where to keep the accounts, a SQLite file (default
                     sojourn-demo-accounts.db, beside the file of --db)
  --servers n        n servers, one process each, behind a balancer; with
                     --store postgres://… or redis://…
  --name name        name of this server, which each page shows
  --trust-proxy cidr addresses of the proxies in front, such as 10.0.0.0/8;
                     several with commas
  --tls-cert file    certificate, PEM; with --tls-key: HTTPS and production cookies
  --tls-key file     its private key, PEM
  --insecure         serve plain HTTP on an address that others can reach
  --wasm=false       do not compile the page in Go
  --help             this text

Without a certificate the demo speaks plain HTTP, and only to this machine.
Exit status: 0 stopped, 1 the port is taken, a store cannot be used, or the
like, 2 the command line makes no sense.
`

// demoFlags are the flags of sojourn demo.
type demoFlags struct {
	addr, accounts, name, cert, key string
	store                           storeSpec
	servers                         int
	proxies                         []netip.Prefix
	insecure, wasm                  bool
}

func (f *demoFlags) tls() bool { return f.cert != "" }

// parseDemo reads the command line. It returns flag.ErrHelp when it asks for
// help.
func parseDemo(args []string) (*demoFlags, error) {
	var f demoFlags
	var store, db, proxies string
	set := newFlagSet("demo")
	set.StringVar(&f.addr, "addr", "127.0.0.1:8080", "")
	set.StringVar(&store, "store", "", "")
	set.StringVar(&db, "db", "", "")
	set.StringVar(&f.accounts, "accounts", "", "")
	set.IntVar(&f.servers, "servers", 1, "")
	set.StringVar(&f.name, "name", "", "")
	set.StringVar(&proxies, "trust-proxy", "", "")
	set.StringVar(&f.cert, "tls-cert", "", "")
	set.StringVar(&f.key, "tls-key", "", "")
	set.BoolVar(&f.insecure, "insecure", false, "")
	set.BoolVar(&f.wasm, "wasm", true, "")
	if err := parseFlags(set, args); err != nil {
		return nil, err
	}
	given := make(map[string]bool)
	set.Visit(func(g *flag.Flag) { given[g.Name] = true })
	switch {
	case set.NArg() > 0:
		return nil, usagef("demo takes flags only, not %q: see sojourn demo --help", set.Arg(0))
	case f.addr == "":
		return nil, usagef("--addr needs host:port")
	case given["db"] && db == "":
		return nil, usagef("--db needs the name of a file")
	case given["store"] && store == "":
		return nil, usagef("--store has to be %s", storeForms)
	case given["db"] && given["store"]:
		return nil, usagef("--db is short for --store sqlite:FILE: give one of them")
	case f.cert == "" && f.key != "":
		return nil, usagef("--tls-key needs --tls-cert as well")
	case f.cert != "" && f.key == "":
		return nil, usagef("--tls-cert needs --tls-key as well")
	case f.tls() && f.insecure:
		return nil, usagef("--insecure is for plain HTTP: it makes no sense with --tls-cert")
	}
	if err := f.setStore(store, db); err != nil {
		return nil, err
	}
	if err := f.setProxies(proxies); err != nil {
		return nil, err
	}
	return &f, f.checkServers()
}

// setStore decides where the sessions and the accounts are.
func (f *demoFlags) setStore(store, db string) (err error) {
	switch {
	case db != "":
		f.store = storeSpec{engine: "sqlite", at: db}
	case pickStore(store) != "":
		f.store, err = parseStore(pickStore(store))
	default:
		f.store = storeSpec{engine: "sqlite", at: "sojourn-demo.db"}
	}
	if f.accounts == "" {
		f.accounts = "sojourn-demo-accounts.db"
		if f.store.engine == "sqlite" {
			ext := filepath.Ext(f.store.at)
			f.accounts = strings.TrimSuffix(f.store.at, ext) + "-accounts" + ext
		}
	}
	if f.store.engine == "sqlite" && sameFile(f.store.at, f.accounts) {
		return usagef("--accounts has to be another file than that of the sessions, %s", f.store.at)
	}
	return err
}

// sameFile reports whether two names are of one file, which may be missing.
func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	if errA == nil && errB == nil {
		return os.SameFile(infoA, infoB)
	}
	return filepath.Clean(a) == filepath.Clean(b)
}

func (f *demoFlags) setProxies(text string) error {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		prefix, err := netip.ParsePrefix(word)
		if addr, e := netip.ParseAddr(word); e == nil {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return usagef("--trust-proxy %s: an address, or addresses such as 10.0.0.0/8", word)
		}
		f.proxies = append(f.proxies, prefix)
	}
	return nil
}

// mostServers is as many as one machine is asked to start.
const mostServers = 16

func (f *demoFlags) checkServers() error {
	switch {
	case f.servers < 1 || f.servers > mostServers:
		return usagef("--servers has to be from 1 to %d", mostServers)
	case f.servers == 1:
		return nil
	case !f.store.shared():
		return usagef("--servers %d needs a store for several processes, --store postgres://… or redis://…: an SQLite file is one process's, and memory too", f.servers)
	case f.name != "" || f.proxies != nil:
		return usagef("--name and --trust-proxy are for one server: --servers names its own, and trusts its balancer")
	}
	return nil
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

	opts := demo.Options{
		Accounts:  f.accounts,
		StoreName: f.store.String(),
		PlainHTTP: !f.tls(),
		Public:    public,
		Server:    f.name,
		Proxies:   f.proxies,
		Logger:    logger(stderr),
	}
	if f.wasm {
		dir, stop, err := startGoPage(ctx)
		if err != nil {
			return err
		}
		defer stop()
		opts.GoPage = dir
	}
	d := &demonstration{flags: f, opts: opts, server: server, listener: listener, stdout: stdout, stderr: stderr}
	if f.servers > 1 {
		err = d.runMany(ctx)
	} else {
		err = d.runOne(ctx)
	}
	if ctx.Err() != nil {
		fmt.Fprintln(stdout, "\nStopped.")
		if !d.greeted {
			return nil // what could not start because of that
		}
	}
	return err
}

// demonstration is a demo that is about to run.
type demonstration struct {
	flags          *demoFlags
	opts           demo.Options
	server         *http.Server
	listener       net.Listener
	stdout, stderr io.Writer
	greeted        bool // it serves
}

// runOne serves the demo in this process.
func (d *demonstration) runOne(ctx context.Context) error {
	var err error
	if d.opts.Store, err = d.flags.store.open(ctx, d.opts.Logger); err != nil {
		return err
	}
	app, err := demo.Open(ctx, d.opts)
	if err != nil {
		return err
	}
	d.server.Handler = app
	d.greet(app.Seeds(), "")
	return errors.Join(serve(ctx, d.server, d.listener), app.Close())
}

// startGoPage compiles the page in Go in the background. stop waits for the
// compiler and removes what it made.
func startGoPage(ctx context.Context) (dir string, stop func(), err error) {
	dir, err = os.MkdirTemp("", "sojourn-demo-")
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	built := make(chan struct{})
	go func() {
		defer close(built)
		demo.BuildGoPage(ctx, dir)
	}()
	return dir, func() {
		cancel()
		<-built
		os.RemoveAll(dir)
	}, nil
}

// greet says where the demo is and who can sign in.
func (d *demonstration) greet(seeds []demo.Seed, servers string) {
	d.greeted = true
	scheme := "http"
	if d.flags.tls() {
		scheme = "https"
	}
	w := d.stdout
	fmt.Fprintf(w, "The sojourn demo is at %s://%s/\n\n", scheme, d.listener.Addr())
	if len(seeds) > 0 {
		fmt.Fprintln(w, "Accounts to try (or sign up):")
		for _, s := range seeds {
			fmt.Fprintf(w, "  %-6s password %-28s %s\n", s.Name, s.Password, s.Role())
		}
		fmt.Fprintln(w)
	}
	if servers != "" {
		fmt.Fprintln(w, servers)
	}
	fmt.Fprintf(w, "Sessions are kept in %s, accounts in %s.\n", d.flags.store, d.flags.accounts)
	if !d.flags.tls() {
		fmt.Fprint(w, "Plain HTTP: the cookies are CookieConfig.Insecure, without Secure and __Host-, so that\n"+
			"every browser and curl can use them. With --tls-cert and --tls-key they are as in production.\n")
		if d.opts.Public {
			fmt.Fprintln(w, "Others can reach it (--insecure): whoever is on the way reads passwords and cookies.")
		}
	}
	fmt.Fprintln(w, "Stop with Ctrl-C.")
}
