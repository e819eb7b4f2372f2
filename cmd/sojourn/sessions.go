package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/internal/demo"
)

const sessionsHelp = `Usage: sojourn sessions <what> [flags] [arguments]

Looks after the sessions in a site's store.

What:
  list USER             the sessions of a user, the last opened first
  end USER SESSION...   end these sessions; their tabs are told, on every server
  end --all USER        end all sessions of a user
  count                 how many sessions, browsers and values there are
  purge                 remove what has expired; a running site does so by itself

USER is the site's UserID, SESSION the public id that list shows. A USER that
begins with - comes after --.

Flags:
  --store where   sqlite:FILE, postgres://… or redis://… (or SOJOURN_STORE in
                  the environment, where no other user of the machine sees a
                  password)
  --name name     the site's postgres.Schema or redis.Prefix, if it has one
  --json          print JSON
  --yes           do not ask before ending or purging; needed when standard
                  input is no terminal
  --help          this text

An SQLite file is open in one process at a time: stop the site first, or let its
own pages do it. With PostgreSQL and Redis the site goes on meanwhile.
Exit status: 0 done, 1 the store cannot be used, there is no such session, or
you said no, 2 the command line makes no sense.
`

// sessionsFlags are the flags of sojourn sessions.
type sessionsFlags struct {
	store          storeSpec
	json, yes, all bool
	what           string
	args           []string
}

// parseSessions reads the command line, with flags before and after the
// arguments. It returns flag.ErrHelp when it asks for help.
func parseSessions(args []string) (*sessionsFlags, error) {
	var f sessionsFlags
	var store, name string
	set := newFlagSet("sessions")
	set.StringVar(&store, "store", "", "")
	set.StringVar(&name, "name", "", "")
	set.BoolVar(&f.json, "json", false, "")
	set.BoolVar(&f.yes, "yes", false, "")
	set.BoolVar(&f.all, "all", false, "")
	var words []string
	for len(args) > 0 {
		end := slices.IndexFunc(args, noFlag)
		switch {
		case end == 0 && args[0] == "--":
			words, args = append(words, args[1:]...), nil
			continue
		case end == 0:
			words, args = append(words, args[0]), args[1:]
			continue
		case end < 0:
			end = len(args)
		}
		if err := parseFlags(set, args[:end]); err != nil {
			return nil, err
		}
		rest := set.Args()
		if len(rest) > 0 {
			words, rest = append(words, rest[0]), rest[1:]
		}
		args = slices.Concat(rest, args[end:])
	}
	if len(words) == 0 {
		return nil, usagef("sessions needs to know what: list, end, count or purge; see sojourn sessions --help")
	}
	f.what, f.args = words[0], words[1:]
	if err := f.check(); err != nil {
		return nil, err
	}
	where := pickStore(store)
	if where == "" {
		return nil, usagef("which store? Give --store sqlite:FILE, postgres://… or redis://…")
	}
	var err error
	if f.store, err = parseStore(where); err != nil {
		return nil, err
	}
	if f.store.engine == "memory" {
		return nil, usagef("--store memory: the sessions of another process's memory cannot be seen from here")
	}
	if name != "" && !f.store.shared() {
		return nil, usagef("--name is for PostgreSQL and Redis: a file holds one site's sessions")
	}
	f.store.name = name
	return &f, nil
}

// noFlag reports whether a word is no flag although it begins with -: the end
// of the flags, or one session of 64, by its id.
func noFlag(word string) bool {
	id, err := base64.RawURLEncoding.DecodeString(word)
	return word == "--" || strings.HasPrefix(word, "-") && err == nil && len(id) == 16
}

func (f *sessionsFlags) check() error {
	if f.all && f.what != "end" {
		return usagef("--all is for sessions end")
	}
	switch {
	case f.what == "list" && len(f.args) != 1:
		return usagef("list takes one user: sojourn sessions list USER")
	case f.what == "end" && f.all && len(f.args) != 1:
		return usagef("end --all takes one user: sojourn sessions end --all USER")
	case f.what == "end" && !f.all && len(f.args) < 2:
		return usagef("end takes a user and sessions, or --all: sojourn sessions end USER SESSION...")
	case (f.what == "count" || f.what == "purge") && len(f.args) > 0:
		return usagef("%s takes no arguments", f.what)
	case len(f.args) > 0 && f.args[0] == "":
		return usagef("the user is empty")
	}
	switch f.what {
	case "list", "end", "count", "purge":
		return nil
	}
	return usagef("sessions cannot %q: see sojourn sessions --help", f.what)
}

func runSessions(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f, err := parseSessions(args)
	if errors.Is(err, flag.ErrHelp) {
		_, err := fmt.Fprint(stdout, sessionsHelp)
		return err
	}
	if err != nil {
		return err
	}
	if (f.what == "end" || f.what == "purge") && !f.yes && !isTerminal(os.Stdin) {
		return usagef("%s asks before it does something, and standard input is no terminal: give --yes", f.what)
	}
	if f.store.engine == "sqlite" {
		if _, err := os.Stat(f.store.at); err != nil {
			return fmt.Errorf("there is no store: %w", err) // Open would make one
		}
	}
	store, err := f.store.open(ctx, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	k := &keeper{f, store, stdout, stderr}
	do := map[string]func(context.Context) error{"list": k.list, "end": k.end, "count": k.count, "purge": k.purge}
	return errors.Join(do[f.what](ctx), store.Close())
}

// isTerminal reports whether somebody may sit at a file.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // a character device too
	return err != nil || !os.SameFile(info, null)
}

// keeper does what a command line says.
type keeper struct {
	*sessionsFlags
	store          sojourn.Store
	stdout, stderr io.Writer
}

// sessionLine is a session as --json shows it.
type sessionLine struct {
	ID        sojourn.SessionID `json:"id"`
	User      sojourn.UserID    `json:"user"`
	Opened    time.Time         `json:"opened"`
	LastSeen  time.Time         `json:"lastSeen"`
	Expires   time.Time         `json:"expires,omitzero"`
	Address   string            `json:"address,omitempty"`
	UserAgent string            `json:"userAgent,omitempty"`
}

func lines(sessions []sojourn.StoredSession) []sessionLine {
	list := make([]sessionLine, len(sessions))
	for i, s := range sessions {
		list[i] = sessionLine{ID: s.ID, User: s.User, Opened: s.OpenedAt, LastSeen: s.LastSeen, Expires: s.ExpiresAt, UserAgent: s.UserAgent}
		if s.RemoteAddr.IsValid() {
			list[i].Address = s.RemoteAddr.String()
		}
	}
	return list
}

// sessions are those of the user that have not expired.
func (k *keeper) sessions(ctx context.Context) ([]sojourn.StoredSession, error) {
	all, err := k.store.Sessions(ctx, sojourn.UserID(k.args[0]))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	live := all[:0]
	for _, s := range all {
		if past(s.Deadline, now) || past(s.ExpiresAt, now) {
			continue
		}
		live = append(live, s)
	}
	return live, nil
}

// past reports whether a time has come; the zero time never does.
func past(t, now time.Time) bool { return !t.IsZero() && !t.After(now) }

func (k *keeper) list(ctx context.Context) error {
	sessions, err := k.sessions(ctx)
	switch {
	case err != nil:
		return err
	case k.json:
		return k.print(lines(sessions))
	case len(sessions) == 0:
		_, err := fmt.Fprintf(k.stdout, "%q has no session.\n", k.args[0])
		return err
	}
	return table(k.stdout, sessions)
}

// table shows sessions to people. Nothing in it comes as a browser sent it: a
// user agent could say anything to a terminal.
func table(w io.Writer, sessions []sojourn.StoredSession) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SESSION\tDEVICE\tOPENED\tLAST SEEN\tADDRESS")
	for _, s := range sessions {
		address := "-"
		if s.RemoteAddr.IsValid() {
			address = s.RemoteAddr.WithZone("").String()
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", s.ID, demo.DeviceName(s.UserAgent),
			s.OpenedAt.Local().Format(time.DateTime), s.LastSeen.Local().Format(time.DateTime), address)
	}
	return t.Flush()
}

func (k *keeper) end(ctx context.Context) error {
	sessions, err := k.sessions(ctx)
	if err != nil {
		return err
	}
	chosen := sessions
	if !k.all {
		if chosen, err = pick(sessions, k.args[1:]); err != nil {
			return err
		}
	}
	if len(chosen) > 0 && !k.yes {
		table(k.stderr, chosen)
		if err := k.confirm(ctx, fmt.Sprintf("End %s of %q?", number(len(chosen), "session"), k.args[0])); err != nil {
			return err
		}
	}
	var ended []sojourn.StoredSession
	if k.all {
		ended, err = k.store.EndUser(ctx, sojourn.UserID(k.args[0]), sojourn.EndRevoked)
	} else {
		for _, s := range chosen {
			e, _, failed := k.store.EndSession(ctx, s.Key, sojourn.EndRevoked)
			ended, err = append(ended, e...), errors.Join(err, failed)
		}
	}
	if err != nil {
		return fmt.Errorf("%s ended, then: %w", number(len(ended), "session"), err)
	}
	if k.json {
		return k.print(map[string]any{"ended": lines(ended)})
	}
	_, err = fmt.Fprintf(k.stdout, "%s of %q ended.\n", number(len(ended), "session"), k.args[0])
	return err
}

// pick are the sessions of these ids; an id that is none of them is an error.
func pick(sessions []sojourn.StoredSession, ids []string) (chosen []sojourn.StoredSession, err error) {
	known := make(map[string]sojourn.StoredSession)
	for _, s := range sessions {
		known[string(s.ID)] = s
	}
	for _, id := range ids {
		s, ok := known[id]
		if !ok {
			return nil, fmt.Errorf("the user has no session %q: nothing was ended", id)
		}
		delete(known, id)
		chosen = append(chosen, s)
	}
	return chosen, nil
}

func (k *keeper) count(ctx context.Context) error {
	n, err := k.store.Count(ctx)
	if err != nil {
		return err
	}
	if k.json {
		return k.print(map[string]int64{"sessions": n.Sessions, "browsers": n.Browsers, "values": n.Values})
	}
	t := tabwriter.NewWriter(k.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "sessions\t%d\t\nbrowsers\t%d\t\nvalues\t%d\t\n", n.Sessions, n.Browsers, n.Values)
	return t.Flush()
}

// purgeAtOnce is how much is removed by one call of the store.
const purgeAtOnce = 1000

func (k *keeper) purge(ctx context.Context) error {
	if !k.yes {
		if err := k.confirm(ctx, "Remove every session, browser and tab that has expired?"); err != nil {
			return err
		}
	}
	before, err := k.store.Count(ctx)
	if err != nil {
		return err
	}
	ended := 0
	for now, more := time.Now(), true; more; {
		var some []sojourn.StoredSession
		if some, more, err = k.store.Expire(ctx, now, purgeAtOnce); err != nil {
			return fmt.Errorf("%s ended, then: %w", number(ended, "session"), err)
		}
		ended += len(some)
	}
	after, err := k.store.Count(ctx)
	if err != nil {
		return err
	}
	browsers, values := max(before.Browsers-after.Browsers, 0), max(before.Values-after.Values, 0)
	if k.json {
		return k.print(map[string]any{"ended": ended, "browsers": browsers, "values": values})
	}
	_, err = fmt.Fprintf(k.stdout, "%s ended; %s and %s fewer.\n",
		number(ended, "session"), number(int(browsers), "browser"), number(int(values), "value"))
	return err
}

var errNo = errors.New("nothing was done")

// confirm asks at the terminal. Ctrl-C is a no.
func (k *keeper) confirm(ctx context.Context, question string) error {
	fmt.Fprintf(k.stderr, "%s [y/N] ", question)
	said := make(chan string, 1)
	go func() { // it may read for as long as the program runs
		answer, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		said <- answer
	}()
	var answer string
	select {
	case answer = <-said:
	case <-ctx.Done():
		fmt.Fprintln(k.stderr)
		return errNo
	}
	if answer == "" {
		fmt.Fprintln(k.stderr)
		return usagef("nobody answers at standard input: give --yes")
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errNo
}

func (k *keeper) print(v any) error {
	e := json.NewEncoder(k.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// number is "1 session" or "2 sessions".
func number(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}
