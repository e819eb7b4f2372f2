package testserver

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// children are the processes that a process has started.
func children(pid int) (pids []int) {
	list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid)) // none if it has ended
	for _, field := range strings.Fields(string(list)) {
		if child, err := strconv.Atoi(field); err == nil {
			pids = append(pids, child)
		}
	}
	return pids
}

// gone reports whether a process has ended, also if nobody has waited for it.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, ok := strings.Cut(string(stat), ") ")
	return err != nil || ok && strings.ContainsAny(state[:1], "ZX")
}
