//go:build !unix

package testserver

import "os/exec"

// startWatched starts a server, and closes exited when it has ended. Here a
// test that is killed leaves its servers.
func startWatched(cmd *exec.Cmd, _ string, exited chan<- struct{}) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		cmd.Wait()
		close(exited)
	}()
	return nil
}
