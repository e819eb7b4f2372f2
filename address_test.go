package sojourn_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/sojourn-go/sojourn"
)

// The address of a client is the nearest that no proxy of ours vouches for, as
// proxies write it: with its port or without.
func TestAddressBehindProxies(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ peer, forwarded, want string }{
		{"203.0.113.9:1000", "198.51.100.7", "203.0.113.9"},
		{"10.1.2.3:1000", "", "10.1.2.3"},
		{"10.1.2.3:1000", "198.51.100.7", "198.51.100.7"},
		{"10.1.2.3:1000", "198.51.100.7:1234", "198.51.100.7"},
		{"10.1.2.3:1000", "[2001:db8::1]:1234", "2001:db8::1"},
		{"10.1.2.3:1000", "2001:db8::1", "2001:db8::1"},
		{"10.1.2.3:1000", "192.0.2.1, 198.51.100.7:1, 10.0.0.2:80", "198.51.100.7"},
		{"10.1.2.3:1000", "198.51.100.7, unknown", "10.1.2.3"},
	} {
		a := newApp(t, memoryKind, withConfig(sojourn.Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}))
		r := from("/", test.peer)
		r.Header.Set("X-Forwarded-For", test.forwarded)
		a.site.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			a.must(a.site.Connect(r.Context(), "anna"))
		})).ServeHTTP(httptest.NewRecorder(), r)
		if got := a.sessions("anna")[0].RemoteAddr.String(); got != test.want {
			t.Errorf("from %s for %q: %s, want %s", test.peer, test.forwarded, got, test.want)
		}
	}
}
