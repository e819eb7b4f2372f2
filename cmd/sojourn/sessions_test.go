package main_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// userOf is the id of the user whom a page was made for.
func userOf(t *testing.T, page *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(page.Body)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`data-user="([^"]+)"`).FindSubmatch(body)
	if m == nil {
		t.Fatalf("nobody is connected:\n%s", body)
	}
	return string(m[1])
}

// done runs the command, which has to succeed and say all of these.
func done(t *testing.T, args []string, says ...string) string {
	t.Helper()
	status, stdout, stderr := sojourn(t, args...)
	if status != 0 || stderr != "" {
		t.Errorf("sojourn %q exits with %d and complains %q", args, status, stderr)
	}
	for _, text := range says {
		if !strings.Contains(stdout, text) {
			t.Errorf("sojourn %q does not say %q:\n%s", args, text, stdout)
		}
	}
	return stdout
}

func TestSessionsOfAFile(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "site.db")
	store := "--store=sqlite:" + db
	wantFailure(t, []string{"sessions", "count", store}, 1, db)

	d := startDemo(t, "--addr", "127.0.0.1:0", "--db", db)
	var user string
	for range 3 {
		user = userOf(t, signIn(t, newClient(t), d.URL))
	}
	wantFailure(t, []string{"sessions", "count", store}, 1, db+" is open in process")
	d.stop(t, os.Interrupt)

	done(t, []string{"sessions", "count", store}, "sessions", "3")
	table := strings.Split(strings.TrimSpace(done(t, []string{"sessions", "list", user, store},
		"SESSION", "DEVICE", "OPENED", "LAST SEEN", "ADDRESS", "A Go program", "127.0.0.1")), "\n")
	if len(table) != 4 {
		t.Fatalf("the table has %d lines", len(table))
	}
	if at := strings.Index(table[0], "DEVICE"); strings.Index(table[1], "A Go program") != at {
		t.Errorf("the columns are not aligned:\n%s", strings.Join(table, "\n"))
	}
	var list []struct{ ID, User, Address, UserAgent string }
	if err := json.Unmarshal([]byte(done(t, []string{"sessions", "list", "--json", user, store})), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 3 || list[0].User != user || list[0].Address != "127.0.0.1" || !strings.HasPrefix(table[1], list[0].ID+" ") {
		t.Errorf("the list is %+v", list)
	}

	// One id of 64 begins with -.
	wantFailure(t, []string{"sessions", "end", "--yes", user, list[0].ID, "-AAAAAAAAAAAAAAAAAAAAA", "--json", store}, 1, `"-AAAAAAAAAAAAAAAAAAAAA"`, "nothing was ended")
	wantFailure(t, []string{"sessions", "end", "--yes", user, store, "-AAAAAAAAAAAAAAAAAAAAA"}, 1, `"-AAAAAAAAAAAAAAAAAAAAA"`)
	done(t, []string{"sessions", "list", store, "--", "--user"}, `"--user" has no session`)

	// Nobody is there to say yes.
	if status, _, stderr := sojourn(t, "sessions", "end", user, list[0].ID, store); status != 2 || !strings.Contains(stderr, "--yes") {
		t.Errorf("ending without --yes exits with %d and says %q", status, stderr)
	}
	if status, _, stderr := sojourn(t, "sessions", "purge", store); status != 2 || !strings.Contains(stderr, "--yes") {
		t.Errorf("purging without --yes exits with %d and says %q", status, stderr)
	}
	wantFailure(t, []string{"sessions", "end", "--yes", user, list[0].ID, "no-such-session", store}, 1, "no-such-session", "nothing was ended")
	wantFailure(t, []string{"sessions", "end", "--yes", "somebody", list[0].ID, store}, 1, list[0].ID)
	done(t, []string{"sessions", "end", "--yes", user, list[0].ID, store}, "1 session of")
	done(t, []string{"sessions", "list", user, store}, list[1].ID, list[2].ID)
	done(t, []string{"sessions", "purge", "--yes", store}, "0 sessions ended")
	done(t, []string{"sessions", "end", "--all", "--yes", "--json", user, store}, list[1].ID, list[2].ID)
	done(t, []string{"sessions", "list", user, store}, "has no session")
	done(t, []string{"sessions", "end", "--all", "--yes", user, store}, "0 sessions of")
	if got := done(t, []string{"sessions", "list", "--json", user, store}); strings.TrimSpace(got) != "[]" {
		t.Errorf("no sessions are listed as %q", got)
	}
}
