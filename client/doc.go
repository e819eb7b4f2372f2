// Package client makes a program a tab of a site: a page in the browser,
// compiled to WebAssembly, or a native program. It is the client half of
// package sojourn.
//
//	c, err := client.Start(ctx, client.Options{BaseURL: "https://example.com"})
//	…
//	defer c.Close()
//	sum, err := add.Call(ctx, c, []int{1, 2}) // add is an rpc.Func
//
// A page has the tag of Site.ClientScript, and the program takes from it whose
// page it is. client.js, which the tag loads, keeps the page's live connection;
// the program shares it.
//
// A native program keeps its cookies in its HTTPClient's jar. Go's own jar
// sends them over HTTPS only, unless the site has CookieConfig.Insecure.
//
// A program for the browser stays small as long as it imports neither
// net/http, nor fmt, nor encoding/json. Then what it sends and receives is made
// of booleans, whole numbers that JavaScript keeps, float64, string, UserID,
// []byte, struct{}, slices of int, float64, string and any, and maps of string
// to string or any; for structs and all else import client/clientjson.
package client
