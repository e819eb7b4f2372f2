package sojourn_test

// storeKinds are the stores that promises are tested on.
var storeKinds = []storeKind{memoryKind}
