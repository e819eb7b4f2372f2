// Command htmx has state of each tab: two tabs of one browser count apart. The
// page carries its tab's id, and htmx sends it with each of its requests.
package main

import (
	"encoding/json"
	"html/template"
	"log"
	"net/http"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
)

func main() {
	site, handler, err := newApp()
	if err != nil {
		log.Fatal(err)
	}
	defer site.Close()
	log.Print("http://localhost:8080, in two tabs")
	log.Print(http.ListenAndServe("localhost:8080", handler))
}

func newApp() (*sojourn.Site, http.Handler, error) {
	site, err := sojourn.New(sojourn.Config{})
	if err != nil {
		return nil, nil, err
	}
	clicks := sojourn.NewRef(site, sojourn.TabScope, func() int { return 0 })

	mux := http.NewServeMux()
	mux.Handle("GET /{$}", site.OptConnected(func(w http.ResponseWriter, _ *http.Request, _ sojourn.UserID) error {
		// The guard has started a tab, whose id is in the response's header.
		headers, err := json.Marshal(map[string]string{protocol.TabHeader: w.Header().Get(protocol.TabHeader)})
		if err != nil {
			return err
		}
		return page.Execute(w, string(headers))
	}))
	mux.Handle("POST /click", site.OptConnected(func(w http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
		var n int
		err := clicks.Modify(r.Context(), func(before int) (int, error) {
			n = before + 1
			return n, nil
		})
		if err != nil {
			return err
		}
		return button.Execute(w, n)
	}))
	return site, site.Middleware(mux), nil
}

// An attribute hx-headers holds for everything inside the element.
var page = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>sojourn with htmx</title>
<script src="https://unpkg.com/htmx.org@2.0.11/dist/htmx.min.js" integrity="sha384-2OatzQy1H+Zd/IIrjr1TcuDGqLXeHhbooAyJY1KdQMKnr4LZ22k31GBLdYKHmVjg" crossorigin="anonymous"></script>
<body hx-headers="{{.}}">
<button hx-post="/click" hx-swap="outerHTML">Click</button>
</body>
</html>
`))

var button = template.Must(template.New("").Parse(
	`<button hx-post="/click" hx-swap="outerHTML">{{.}} clicks in this tab</button>`))
