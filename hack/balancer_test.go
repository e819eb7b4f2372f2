package hack

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sojourn-go/sojourn/client"
	"github.com/sojourn-go/sojourn/internal/testserver"
)

// The servers that docs/servers.md starts one by one in one folder, with its
// flags, on free ports, behind a balancer that does what its nginx does.
func TestServersBehindABalancerOfOnesOwn(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: builds the command")
	}
	// In the environment, as the document says; so this test is not parallel.
	t.Setenv("SOJOURN_STORE", testserver.Redis(t, "--maxmemory-policy", "noeviction").URL())
	dir := t.TempDir()
	run(t, "..", "go", "build", "-o", filepath.Join(dir, "sojourn"), "./cmd/sojourn")
	var servers []*url.URL
	for _, command := range commands(t, "../docs/servers.md") {
		flags, ok := strings.CutPrefix(command, "go run ./cmd/sojourn demo --name ")
		if !ok {
			continue
		}
		address := testserver.Address(t)
		flags = regexp.MustCompile(`127\.0\.0\.1:808\d`).ReplaceAllString("--name "+flags, address)
		start(t, dir, "./sojourn", append([]string{"demo", "--wasm=false"}, strings.Fields(flags)...)...)
		get(t, "http://"+address+"/", "") // it listens
		servers = append(servers, &url.URL{Scheme: "http", Host: address})
	}
	if len(servers) != 2 {
		t.Fatalf("docs/servers.md starts %d servers one by one, want 2", len(servers))
	}
	var turn atomic.Int64
	balancer := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(servers[int(turn.Add(1))%len(servers)])
		r.Out.Host = r.In.Host
		r.SetXForwarded()
	}})
	defer balancer.Close()

	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	defer browser.CloseIdleConnections()
	resp, err := browser.PostForm(balancer.URL+"/sign-in", url.Values{"name": {"bob"}, "password": {"demo-bob"}, "next": {"/sessions"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	var answered []string
	for range 4 {
		resp, err := browser.Get(balancer.URL + "/sessions")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("server %s answers the page of sessions %s", resp.Header.Get("Demo-Server"), resp.Status)
		}
		answered = append(answered, resp.Header.Get("Demo-Server"))
	}
	slices.Sort(answered)
	if got := fmt.Sprint(answered); got != "[1 1 2 2]" {
		t.Errorf("four requests are answered by the servers %s, want 1 and 2 in turn", got)
	}
	// Live connections pass, on either server.
	for range 2 {
		program, err := client.Start(t.Context(), client.Options{BaseURL: balancer.URL, HTTPClient: browser})
		if err != nil {
			t.Fatal(err)
		}
		if program.User() == "" {
			t.Error("a program behind the balancer is nobody's")
		}
		program.Close()
	}
}
