package postgres

import (
	"strconv"
	"strings"
)

// statements is the SQL of a store, with the name of its schema.
type statements struct {
	named func(sql string) string

	session, sessions, browser, value, tabs, count                 string
	createSession, endSession, endUser, createBrowser, endBrowsers string
	setValue, dropValues, touch, publish                           string
	expireSessions, expireBrowsers, expireTabs                     string
}

func newStatements(schema string) statements {
	named := strings.NewReplacer("{schema}", schema).Replace
	call := func(function string, args int) string {
		params := strings.TrimSuffix(strings.Repeat("?,", args), ",")
		for i := range args {
			params = strings.Replace(params, "?", "$"+strconv.Itoa(i+1), 1)
		}
		return named(`select * from "{schema}".` + function + "(" + params + ")")
	}
	const columns = "opened, seen, expires, deadline, browser, id, usr, agent, addr"
	return statements{
		named:          named,
		session:        named(`select ` + columns + ` from "{schema}".session where key = $1`),
		sessions:       named(`select key, ` + columns + ` from "{schema}".session where userhash = $1 and usr = $2 order by opened desc, key`),
		browser:        named(`select seen, deadline, hierarchy, subnet from "{schema}".browser where key = $1`),
		value:          named(`select version, data from "{schema}".value where owner = $1 and tab = $2 and name = $3`),
		tabs:           named(`select tab, id, deadline from "{schema}".tab where owner = $1 order by deadline, tab`),
		count:          named(`select (select count(*) from "{schema}".session), (select count(*) from "{schema}".browser), (select count(*) from "{schema}".value)`),
		createSession:  call("create_session", 17),
		endSession:     call("end_session", 5),
		endUser:        call("end_user", 7),
		createBrowser:  call("create_browser", 8),
		endBrowsers:    call("end_browsers", 1),
		setValue:       call("set_value", 11),
		dropValues:     call("drop_values", 3),
		touch:          call("touch", 12),
		publish:        call("publish", 3),
		expireSessions: call("expire_sessions", 6),
		expireBrowsers: call("expire_browsers", 2),
		expireTabs:     call("expire_tabs", 2),
	}
}
