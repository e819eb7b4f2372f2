package sojourn

import (
	"net/netip"
	"strings"
)

// remoteAddr is the client's address: the connection's, or what the trusted
// proxies in front of us say. The zero Addr if it cannot be told.
func (q *request) remoteAddr() netip.Addr {
	port, err := netip.ParseAddrPort(q.r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr := port.Addr().Unmap()
	if !q.trusted(addr) {
		return addr.WithZone("")
	}
	hops := strings.Split(strings.Join(q.r.Header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := parseHop(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = hop.Unmap()
		if !q.trusted(addr) {
			break
		}
	}
	return addr.WithZone("")
}

// parseHop reads an address as proxies write it: some add the port.
func parseHop(s string) (netip.Addr, error) {
	if port, err := netip.ParseAddrPort(s); err == nil {
		return port.Addr(), nil
	}
	return netip.ParseAddr(s)
}

func (q *request) trusted(addr netip.Addr) bool {
	for _, p := range q.site.cfg.TrustedProxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// subnet is what one holder of addresses has: a /24 or a /56.
func subnet(addr netip.Addr) netip.Prefix {
	bits := 24
	if addr.Is6() {
		bits = 56
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// scheme is the client's: the connection's, or what a trusted proxy says.
func (q *request) scheme() string {
	if port, err := netip.ParseAddrPort(q.r.RemoteAddr); err == nil && q.trusted(port.Addr().Unmap()) {
		if proto := q.r.Header.Get("X-Forwarded-Proto"); proto != "" {
			return proto
		}
	}
	if q.r.TLS != nil {
		return "https"
	}
	return "http"
}
