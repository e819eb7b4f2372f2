// Starts the page in Go, which is compiled to WebAssembly.
const go = new globalThis.Go();
const { instance } = await WebAssembly.instantiateStreaming(fetch("/functions/go/page.wasm"), go.importObject);
go.run(instance);
