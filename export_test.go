package sojourn

// NewMemoryStore is the store of a site without Config.Store.
func NewMemoryStore() Store { return newMemoryStore() }
