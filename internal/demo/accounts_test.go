package demo

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sojourn-go/sojourn"
)

func newAccounts(t *testing.T) *accounts {
	t.Helper()
	a, err := openAccounts(t.Context(), filepath.Join(t.TempDir(), "accounts.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.close() })
	return a
}

func TestPasswordsAreKeptAsSaltedArgon2id(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	const password = "correct horse"
	for _, name := range []string{"one", "two"} {
		if _, err := a.create(t.Context(), name, password); err != nil {
			t.Fatal(err)
		}
	}
	var hashes []string
	rows, err := a.db.Query("SELECT password FROM accounts")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var hash string
		if err := rows.Scan(&hash); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") || strings.Contains(hash, password) {
			t.Errorf("the stored password is %q", hash)
		}
		hashes = append(hashes, hash)
	}
	if len(hashes) != 2 || hashes[0] == hashes[1] {
		t.Errorf("two accounts with one password have the hashes %q, want two different ones", hashes)
	}
}

func TestOnlyTheRightPasswordSignsIn(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	grace, err := a.create(t.Context(), "Grace", "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.authenticate(t.Context(), "gRACE", "correct horse")
	if err != nil || got.ID != grace.ID || got.Name != "Grace" {
		t.Errorf("the right password gives %+v, %v", got, err)
	}
	for _, try := range [][2]string{
		{"Grace", "correct horsf"}, {"Grace", ""}, {"nobody", "correct horse"}, {"", ""}, {"' OR 1=1 --", "x"},
	} {
		if _, err := a.authenticate(t.Context(), try[0], try[1]); !errors.Is(err, errWrongPassword) {
			t.Errorf("%q with %q gives %v, want errWrongPassword", try[0], try[1], err)
		}
	}
}

// Whoever measures times must not learn which names have accounts: an unknown
// name has to cost a hash, too. It does if it waits for a slot to hash in.
func TestUnknownNameCostsAHash(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	a.hasher.patience = time.Millisecond
	for range cap(a.hasher.slots) {
		a.hasher.slots <- struct{}{}
	}
	if _, err := a.authenticate(t.Context(), "nobody", "whatever"); !errors.Is(err, errBusy) {
		t.Errorf("with all slots taken an unknown name gives %v, want errBusy", err)
	}
}

func TestUnknownNameHasNoPasswordAtAll(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	var err error
	if a.hasher.decoy, err = a.hasher.hash(t.Context(), "guessed"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.authenticate(t.Context(), "nobody", "guessed"); !errors.Is(err, errWrongPassword) {
		t.Errorf("the password of the decoy gives %v, want errWrongPassword", err)
	}
}

func TestCrowdOfSignInsWaitsThenIsTurnedAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, err := newHasher(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range cap(h.slots) {
			h.slots <- struct{}{}
		}
		start := time.Now()
		if _, err := h.hash(t.Context(), "late"); !errors.Is(err, errBusy) {
			t.Errorf("a full house gives %v, want errBusy", err)
		}
		if waited := time.Since(start); waited != h.patience {
			t.Errorf("it was turned away after %v, want %v", waited, h.patience)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.hash(gone, "gone"); !errors.Is(err, context.Canceled) {
			t.Errorf("a client that has left gives %v, want context.Canceled", err)
		}
	})
}

func TestNameIsTakenInAnyCase(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	if _, err := a.create(t.Context(), "Émile", "correct horse"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.create(t.Context(), "éMILE", "another horse"); !errors.Is(err, errNameTaken) {
		t.Errorf("the name in other letters gives %v, want errNameTaken", err)
	}
}

func TestNamesAndPasswordsAreChecked(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"ada": true, "Ada Lovelace": true, "<script>": true, "李": true,
		"": false, strings.Repeat("x", 33): false, "a\x00b": false, "a\nb": false,
		"evil\u202etxt": false, "\xff": false,
	} {
		if got := checkName(name) == ""; got != ok {
			t.Errorf("checkName(%q) says %q", name, checkName(name))
		}
	}
	for password, ok := range map[string]bool{
		"12345678": true, "éééééééé": true, "1234567": false, strings.Repeat("x", 257): false,
	} {
		if got := checkPassword(password) == ""; got != ok {
			t.Errorf("checkPassword(%q) says %q", password, checkPassword(password))
		}
	}
}

func TestGroupsAndExistenceFollowTheAccount(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	ctx := t.Context()
	acc, err := a.create(ctx, "bob", "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string, exists, isBanned bool) {
		t.Helper()
		if got, err := a.exists(ctx, acc.ID); err != nil || got != exists {
			t.Errorf("%s: exists is %t, %v, want %t", when, got, err, exists)
		}
		if got, err := a.inGroup(ctx, acc.ID, banned); err != nil || got != isBanned {
			t.Errorf("%s: banned is %t, %v, want %t", when, got, err, isBanned)
		}
		for _, group := range []sojourn.Group{admins, "other"} {
			if got, err := a.inGroup(ctx, acc.ID, group); err != nil || got {
				t.Errorf("%s: in %s is %t, %v, want false", when, group, got, err)
			}
		}
	}
	check("new", true, false)
	if err := a.setBanned(ctx, acc.ID, true); err != nil {
		t.Fatal(err)
	}
	check("banned", true, true)
	if err := a.remove(ctx, acc.ID); err != nil {
		t.Fatal(err)
	}
	check("deleted", false, false)
	if err := a.remove(ctx, acc.ID); !errors.Is(err, errNoAccount) {
		t.Errorf("deleting twice gives %v, want errNoAccount", err)
	}
}

func TestPrintedPasswordsAreForThisMachineOnly(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	ctx := t.Context()
	told, err := a.seed(ctx, false)
	if err != nil || len(told) != 3 {
		t.Fatalf("seeding gives %v, %v, want three accounts", told, err)
	}
	for _, s := range told {
		acc, err := a.authenticate(ctx, s.Name, s.Password)
		if err != nil || acc.Admin != s.Admin || acc.Banned != s.Banned {
			t.Errorf("%s signs in as %+v, %v", s.Name, acc, err)
		}
	}
	told, err = a.seed(ctx, true)
	if err != nil || len(told) != 3 {
		t.Fatalf("going public gives %v, %v, want three accounts", told, err)
	}
	for i, s := range seeds() {
		if _, err := a.authenticate(ctx, s.Name, s.Password); !errors.Is(err, errWrongPassword) {
			t.Errorf("in public %s with the printed password gives %v, want errWrongPassword", s.Name, err)
		}
		if _, err := a.authenticate(ctx, told[i].Name, told[i].Password); err != nil {
			t.Errorf("in public %s with the new password gives %v", told[i].Name, err)
		}
	}
	if told, err = a.seed(ctx, false); err != nil || len(told) != 0 {
		t.Errorf("back home it tells %v, %v, want nothing: the passwords are not known any more", told, err)
	}
}

func TestOnlyEmptyAccountsAreSeeded(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	if _, err := a.create(t.Context(), "bob", "not a demo password"); err != nil {
		t.Fatal(err)
	}
	told, err := a.seed(t.Context(), false)
	if err != nil || len(told) != 0 {
		t.Errorf("seeding gives %v, %v, want nothing", told, err)
	}
	all, err := a.list(t.Context())
	if err != nil || len(all) != 1 || all[0].Admin {
		t.Errorf("the accounts are %v, %v, want bob alone", all, err)
	}
}

func TestAccountsFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "odd name?x=1%41#.db")
	a, err := openAccounts(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.create(t.Context(), "bob", "correct horse"); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v, want one that only its owner reads", info, err)
	}
	if _, err := a.db.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := openAccounts(t.Context(), path); err == nil || !strings.Contains(err.Error(), "another version") {
		t.Errorf("a file of the future gives %v", err)
	}
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("this is no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{text, dir, filepath.Join(dir, "no", "such", "folder.db")} {
		a, err := openAccounts(t.Context(), bad)
		if err == nil {
			a.close()
			t.Errorf("opening %s succeeded", bad)
		} else if !strings.Contains(err.Error(), bad) {
			t.Errorf("the error %q does not name the file", err)
		}
	}
}
