package redis

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"

	"github.com/redis/rueidis"
)

//go:embed lua/*.lua
var sources embed.FS

// A script is a Lua program that the engine runs as one operation.
type script struct {
	text     string
	hash     string
	readOnly bool
}

var (
	createSession = load("create_session")
	listSessions  = load("sessions").reading()
	endSession    = load("end_session")
	endUser       = load("end_user")
	createBrowser = load("create_browser")
	endBrowsers   = load("end_browsers")
	joinSubnet    = load("join_subnet")
	moveInSubnet  = load("move_in_subnet")
	leaveSubnet   = load("leave_subnet")
	setValue      = load("set_value")
	dropValues    = load("drop_values")
	touch         = load("touch")
	expire        = load("expire")
	publish       = load("publish")
)

func load(name string) *script {
	text := source("common") + source(name)
	hash := sha1.Sum([]byte(text)) // by which the engine finds it again
	return &script{text: text, hash: hex.EncodeToString(hash[:])}
}

func source(name string) string {
	text, err := sources.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err)
	}
	return string(text)
}

// reading makes it one that only reads, which may be run again when the
// connection breaks.
func (s *script) reading() *script {
	s.readOnly = true
	return s
}

// A run is one of a script. All keys are in one part.
type run struct {
	keys []string
	args []string
}

// exec runs a script once.
func (s *Store) exec(ctx context.Context, sc *script, keys []string, args ...string) rueidis.RedisResult {
	result := s.do(ctx, sc.command(s.client, keys, args, false))
	if noScript(result) {
		result = s.do(ctx, sc.command(s.client, keys, args, true))
	}
	return result
}

// execAll runs a script many times, in one round trip.
func (s *Store) execAll(ctx context.Context, sc *script, runs []run) []rueidis.RedisResult {
	if len(runs) == 0 {
		return nil
	}
	commands := make(rueidis.Commands, len(runs))
	for i, r := range runs {
		commands[i] = sc.command(s.client, r.keys, r.args, false)
	}
	results := s.doAll(ctx, commands)
	for i, r := range runs {
		if noScript(results[i]) {
			results[i] = s.exec(ctx, sc, r.keys, r.args...)
		}
	}
	return results
}

// command is a run by the script's hash, or with its text for an engine that
// does not know it yet.
func (sc *script) command(c rueidis.Client, keys, args []string, text bool) rueidis.Completed {
	n := int64(len(keys))
	switch {
	case sc.readOnly && text:
		return c.B().EvalRo().Script(sc.text).Numkeys(n).Key(keys...).Arg(args...).Build()
	case sc.readOnly:
		return c.B().EvalshaRo().Sha1(sc.hash).Numkeys(n).Key(keys...).Arg(args...).Build()
	case text:
		return c.B().Eval().Script(sc.text).Numkeys(n).Key(keys...).Arg(args...).Build()
	default:
		return c.B().Evalsha().Sha1(sc.hash).Numkeys(n).Key(keys...).Arg(args...).Build()
	}
}

func noScript(r rueidis.RedisResult) bool {
	err, ok := rueidis.IsRedisErr(r.Error())
	return ok && err.IsNoScript()
}
