package demo

import (
	"errors"
	"net/http"
)

// maxForm is the most bytes that a form may have.
const maxForm = 64 << 10

// secured sends the headers that make a browser strict with these pages.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		// What a page shows is one user's: not for caches, and not for the
		// back button after signing out.
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// checked reads the form of a POST before its handler runs, so that handlers
// can take its fields without looking back.
func (a *App) checked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			r.Body = http.MaxBytesReader(w, r.Body, maxForm)
			err := r.ParseForm()
			var tooLarge *http.MaxBytesError
			switch {
			case errors.As(err, &tooLarge):
				a.fail(w, r, problem{http.StatusRequestEntityTooLarge, "Too much", "This form is larger than any of ours."})
				return
			case err != nil:
				a.fail(w, r, problem{http.StatusBadRequest, "Garbled", "This form could not be read."})
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
