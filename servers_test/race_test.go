//go:build unix && race

package serverstest

const raceDetector = true
