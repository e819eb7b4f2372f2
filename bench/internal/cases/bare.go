package cases

import "net/http"

// OpenBare opens the App with no session library at all: what every other one
// is compared with.
func OpenBare() *App {
	a := &App{Name: "bare"}
	a.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.Show(w, bareUser)
	})
	return a
}

// bareUser is whom the bare App shows: it knows nobody.
const bareUser = "user-0000000"

// bareCallers are callers who send the same headers as those of another App.
func bareCallers(others []caller) []caller {
	callers := make([]caller, len(others))
	for i, c := range others {
		c.user = bareUser
		callers[i] = c
	}
	return callers
}
