//go:build unix && !linux

package testserver

import "syscall"

// endWithProgram has no way here: a test that is killed leaves its server.
func endWithProgram(*syscall.SysProcAttr) {}

// children are not known here: they end by themselves, a moment later.
func children(int) []int { return nil }

func gone(int) bool { return true }
