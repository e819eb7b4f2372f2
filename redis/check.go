package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/rueidis"
)

// check looks whether the engine is fit to keep sessions.
func (s *Store) check(ctx context.Context, o *options) error {
	for addr, node := range s.client.Nodes() {
		err := s.read(ctx, "looking at the settings of "+addr, func(ctx context.Context) error {
			return checkNode(ctx, addr, node, o)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func checkNode(ctx context.Context, addr string, node rueidis.Client, o *options) error {
	log := o.logger.With("engine", addr)
	info, err := nodeInfo(ctx, node)
	if _, refused := rueidis.IsRedisErr(err); refused {
		log.WarnContext(ctx, "redis: INFO is forbidden: whether the engine may drop sessions when it is full, or forget them when it restarts, "+
			"is not known; it has to have maxmemory-policy noeviction and appendonly yes", "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	if err := checkVersion(addr, info["redis_version"]); err != nil {
		return err
	}
	if policy := info["maxmemory_policy"]; policy != "" && policy != "noeviction" {
		if !o.allowEviction {
			return settingError(fmt.Sprintf("%s may drop sessions when it is full: its maxmemory-policy is %s; "+
				"set it to noeviction (CONFIG SET maxmemory-policy noeviction, and in redis.conf), or open the store with AllowEviction", addr, policy))
		}
		log.WarnContext(ctx, "redis: the engine may drop sessions when it is full, and nobody will be told", "maxmemory-policy", policy)
	}
	switch info["aof_enabled"] {
	case "0":
		log.WarnContext(ctx, "redis: the engine forgets sessions when it restarts, and sessions that have ended may come back: "+
			"set appendonly yes (CONFIG SET appendonly yes, and in redis.conf), "+
			"with appendfsync everysec, which may lose the last second or two before a power cut, or appendfsync always, which loses nothing that was answered",
			"appendonly", "no")
	case "1":
		checkSync(ctx, node, o)
	}
	return nil
}

// checkSync looks how often the engine's file is synced, which only CONFIG GET
// tells.
func checkSync(ctx context.Context, node rueidis.Client, o *options) {
	settings, err := node.Do(ctx, node.B().ConfigGet().Parameter("appendfsync").Build().Pin()).AsStrMap()
	switch {
	case err != nil:
		o.logger.WarnContext(ctx, "redis: CONFIG GET is not answered: how much the engine may lose in a power cut is not known; "+
			"appendfsync everysec loses the last second or two, appendfsync always nothing that was answered", "error", err)
	case settings["appendfsync"] == "no":
		o.logger.WarnContext(ctx, "redis: the engine may lose the last half minute before a power cut: "+
			"set appendfsync everysec (CONFIG SET appendfsync everysec, and in redis.conf), which may lose the last second or two, "+
			"or appendfsync always, which loses nothing that was answered", "appendfsync", "no")
	}
}

// settingError says that the engine cannot be used as it is set.
type settingError string

func (e settingError) Error() string { return "redis: " + string(e) }

const leastVersion = 7

func checkVersion(addr, version string) error {
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err == nil && n < leastVersion {
		return settingError(fmt.Sprintf("%s is version %s; it has to be Redis %d or later, or Valkey", addr, version, leastVersion))
	}
	return nil
}

// nodeInfo is what INFO says, by name.
func nodeInfo(ctx context.Context, node rueidis.Client) (map[string]string, error) {
	text, err := node.Do(ctx, node.B().Info().Section("server", "memory", "persistence").Build().Pin()).ToString()
	if err != nil {
		return nil, err
	}
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info, nil
}
