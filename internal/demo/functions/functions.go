// Package functions names the functions of the demo that clients call. The
// server and the page in Go both import it.
package functions

import "github.com/sojourn-go/sojourn/rpc"

var (
	// Count adds one to a counter, such as "tab-persistent", and answers what it
	// is now.
	Count = rpc.Define[string, int]("count")

	// Greet makes a greeting for whoever is connected.
	Greet = rpc.Define[string, string]("greet")

	// Accounts are the names of all accounts, for admins.
	Accounts = rpc.Define[struct{}, []string]("accounts")

	// Wave sends a text to every open tab of whoever is connected.
	Wave = rpc.Define[string, bool]("wave")
)
