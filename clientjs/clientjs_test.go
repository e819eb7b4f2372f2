package clientjs_test

import (
	"bytes"
	"testing"

	"github.com/andybalholm/brotli"

	"github.com/sojourn-go/sojourn/clientjs"
)

func TestClientIsUnder3KBCompressed(t *testing.T) {
	t.Parallel()
	const most = 3000 // bytes
	var compressed bytes.Buffer
	w := brotli.NewWriterLevel(&compressed, brotli.BestCompression)
	if _, err := w.Write(clientjs.Script); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("client.js: %d bytes, %d compressed", len(clientjs.Script), compressed.Len())
	if compressed.Len() >= most {
		t.Errorf("client.js has %d bytes compressed, want less than %d", compressed.Len(), most)
	}
}
