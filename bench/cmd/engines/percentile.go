//go:build unix

package main

import (
	"cmp"
	"slices"
)

// percentile of values that need not be sorted; 0.5 is the median.
func percentile[T cmp.Ordered](all []T, p float64) (v T) {
	if len(all) == 0 {
		return v
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(int(float64(len(sorted))*p), len(sorted)-1)]
}
