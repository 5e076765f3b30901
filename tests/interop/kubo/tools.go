//go:build tools

// Package tools pins the Kubo that the tests run against: the version is in go.mod, its checksums are in go.sum.
package tools

import _ "github.com/ipfs/kubo/cmd/ipfs/kubo"
