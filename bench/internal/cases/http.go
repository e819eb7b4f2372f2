package cases

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Paths of the pages that an App may have.
const (
	pathLogin   = "/login"   // connects the user that the header Login-As names
	pathCurrent = "/current" // asks who is connected, with no guard
	pathGuard   = "/guard"   // for connected users only
	pathOpt     = "/opt"     // for everybody, guarded where the library has guards
	pathPeek    = "/peek"    // for everybody; reads both values as nobody
	pathInside  = "/inside"  // for connected users; runs App.Inside
	pathGet     = "/get"     // pathGuard, and reads one value
	pathSet     = "/set"     // pathGuard, and writes one value
	pathKeepGet = "/keepget" // pathGuard, and reads one persistent value
	pathKeepSet = "/keepset" // pathGuard, and writes one persistent value
)

const loginHeader = "Login-As"

var urls = map[string]*url.URL{}

func init() {
	for _, p := range []string{
		pathLogin, pathCurrent, pathGuard, pathOpt, pathPeek, pathInside,
		pathGet, pathSet, pathKeepGet, pathKeepSet,
	} {
		urls[p] = &url.URL{Path: p}
	}
}

// newRequest is a request for a page as a server would hand it over: number i
// chooses the address it comes from and its browser. Every string is its own,
// as if it had just been read from a connection.
func newRequest(i int, path string) *http.Request {
	return &http.Request{
		Method: "GET", URL: urls[path], RequestURI: path,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Host: "example.com", Body: http.NoBody,
		RemoteAddr: fmt.Sprintf("20.%d.%d.%d:%d", byte(i>>16), byte(i>>8), byte(i), 1024+i%60000),
		Header: http.Header{
			"User-Agent":      {UserAgent(i)},
			"Accept":          {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
			"Accept-Language": {"en-GB,en;q=0.7,fr;q=0.3"},
			"Accept-Encoding": {"gzip, deflate, br, zstd"},
			"Sec-Fetch-Dest":  {"document"},
			"Sec-Fetch-Mode":  {"navigate"},
			"Sec-Fetch-Site":  {"same-origin"},
		},
	}
}

// UserAgent is the User-Agent header of the i-th browser: about 300 different
// ones, of the lengths that browsers send.
func UserAgent(i int) string {
	v := 90 + i/7%50
	switch i % 7 {
	case 0, 1:
		return fmt.Sprintf("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", v)
	case 2:
		return fmt.Sprintf("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Mobile Safari/537.36", v)
	case 3:
		return fmt.Sprintf("Mozilla/5.0 (iPhone; CPU iPhone OS 18_%d like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.%d Mobile/15E148 Safari/604.1", v%7, v%7)
	case 4:
		return fmt.Sprintf("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.%d Safari/605.1.15", v%7)
	case 5:
		return fmt.Sprintf("Mozilla/5.0 (X11; Linux x86_64; rv:%d.0) Gecko/20100101 Firefox/%d.0", v, v)
	default:
		return fmt.Sprintf("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36 Edg/%d.0.0.0", v, v)
	}
}

// UserName is the i-th user.
func UserName(i int) string { return fmt.Sprintf("user-%07d", i) }

// writer is a ResponseWriter that keeps the header and drops the body.
type writer struct {
	header http.Header
	status int
}

func newWriter() *writer { return &writer{header: http.Header{}} }

func (w *writer) Header() http.Header { return w.header }

func (w *writer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *writer) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return len(p), nil
}

func (w *writer) reset() {
	clear(w.header)
	w.status = 0
}

// cookies is the Cookie header that a browser sends after this response.
func (w *writer) cookies() string {
	var pairs []string
	for _, c := range w.header["Set-Cookie"] {
		pair, _, _ := strings.Cut(c, ";")
		pairs = append(pairs, pair)
	}
	return strings.Join(pairs, "; ")
}
