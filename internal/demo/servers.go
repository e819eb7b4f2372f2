package demo

import (
	"context"
	"hash/fnv"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sojourn-go/sojourn"
)

// server is one of several that serve the demo on one store.
type server struct {
	Name   string // "" if there is only one
	Colour int
}

// colours is how many colours the style sheet has for servers.
const colours = 6

// colourOf is the colour of a server: the n-th for "n", some other for a word.
func colourOf(name string) int {
	if n, err := strconv.Atoi(name); err == nil && n > 0 {
		return (n-1)%colours + 1
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	return int(h.Sum32()%colours) + 1
}

// ServerHeader is the response header that says which server answered.
const ServerHeader = "Demo-Server"

// named says in each response which server answered.
func (a *App) named(next http.Handler) http.Handler {
	if a.server.Name == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(ServerHeader, a.server.Name)
		next.ServeHTTP(w, r)
	})
}

// remoteAddr is where a request comes from, as its proxies say.
func (a *App) remoteAddr(r *http.Request) string {
	addr := r.RemoteAddr
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && a.isProxy(addr); i-- {
		hop := strings.TrimSpace(hops[i])
		if _, err := netip.ParseAddr(hop); err != nil {
			break
		}
		addr = hop
	}
	return addr
}

func (a *App) isProxy(addr string) bool {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		addr = host
	}
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return false
	}
	for _, p := range a.proxies {
		if p.Contains(ip.Unmap()) {
			return true
		}
	}
	return false
}

// userExists is Config.Users. It is asked for whoever makes a request or opens
// a live connection, so it also notes who may have open tabs on this server.
func (a *App) userExists(ctx context.Context, user sojourn.UserID) (bool, error) {
	exists, err := a.accounts.exists(ctx, user)
	if exists {
		a.tabs.note(user)
	}
	return exists, err
}
