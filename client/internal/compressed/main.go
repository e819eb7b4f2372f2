// Command compressed prints how many bytes its standard input has after
// brotli -q 11. The test of the client's size runs it as a program of its own:
// under the race detector compressing takes minutes.
package main

import (
	"fmt"
	"io"
	"log"
	"os"

	"github.com/andybalholm/brotli"
)

type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func main() {
	var n counter
	w := brotli.NewWriterLevel(&n, brotli.BestCompression)
	if _, err := io.Copy(w, os.Stdin); err != nil {
		log.Fatal(err)
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(n)
}
