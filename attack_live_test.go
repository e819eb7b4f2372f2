package sojourn_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/sojourn-go/sojourn"
)

// A program that has any cookie of the site says where it belongs, or gets no
// live connection.
func TestLiveConnectionWithAnyCookieNeedsAnOrigin(t *testing.T) {
	t.Parallel()
	a := newAttacked(t, sojourn.Config{})
	sojourn.NewRef[int](a.Site, sojourn.NewHierarchy("kept").Session(), nil)
	for _, name := range []string{"__Host-sojourn", "__Host-sojourn-browser", "__Host-sojourn-kept"} {
		r := httptest.NewRequest(http.MethodGet, "https://example.com"+livePath, nil)
		r.Header.Set("Upgrade", "websocket")
		r.Header.Set("Cookie", name+"=x")
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if w.Code != http.StatusForbidden {
			t.Errorf("with the cookie %s and no Origin it is answered %d", name, w.Code)
		}
	}
}
