package main

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
)

var (
	adjectives = []string{"able", "amber", "brave", "brisk", "calm", "clever", "coral", "dapper", "eager", "early", "fair", "fond", "gentle", "glad", "golden", "handy",
		"honest", "jolly", "keen", "kind", "light", "lively", "lucky", "mellow", "merry", "neat", "noble", "plucky", "proud", "quick", "quiet", "ready",
		"royal", "shiny", "silver", "smart", "snug", "steady", "sunny", "swift", "tidy", "trusty", "vivid", "warm", "wise", "witty", "young", "zesty"}
	animals = []string{"ant", "badger", "bat", "bear", "beaver", "bison", "camel", "cat", "condor", "crab", "crane", "deer", "dolphin", "duck", "eagle", "falcon",
		"ferret", "finch", "fox", "gecko", "goose", "hare", "hawk", "heron", "ibex", "jackal", "koala", "lark", "lemur", "lion", "lynx", "marten",
		"mole", "moose", "newt", "otter", "owl", "panda", "puffin", "quail", "raven", "robin", "seal", "shrew", "stork", "swan", "tiger", "wren"}
)

// petName invents the name of a sandbox for which none was given.
func petName() string {
	return pick(adjectives) + "-" + pick(animals)
}

func pick(words []string) string {
	var b [4]byte
	rand.Read(b[:]) //nolint:errcheck // it never fails
	return words[binary.BigEndian.Uint32(b[:])%uint32(len(words))]
}

// newUUID returns a random UUID (version 4) as text.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) //nolint:errcheck // it never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	text := hex.EncodeToString(b[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}
