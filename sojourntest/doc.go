// Package sojourntest is for the tests of a site: browsers with a cookie jar
// and tabs, in front of any http.Handler, in memory.
//
//	b := sojourntest.NewBrowser(t, handler)
//	tab := b.NewTab()
//	tab.Post("/login", url.Values{"user": {"1"}})
//	if got := tab.Get("/me").Text(); got != "1" { … }
//
// A tab can have its live connection open:
//
//	live := tab.Live()
//	live.Next() // the welcome
//	b.Post("/logout", nil)
//	if m := live.Next(); m.Reason != "disconnect" { … }
//
// Nothing listens and nothing is dialled: a request is a call of
// handler.ServeHTTP, with what a server would have put into the request and
// what a browser would have sent. So it also works in a testing/synctest
// bubble, where cookies age with the bubble's clock.
//
// A browser is as strict as a real one: a cookie that a browser would refuse
// fails the test, and so does a Set-Cookie header that cannot be read.
package sojourntest
