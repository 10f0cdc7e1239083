package sandbox

import (
	"net/url"
	"strings"
)

// The characters that the fields of a reply may hold, as the openshell CLI checks
// them: none of them means anything to a shell, a URL, a header or a terminal.
const (
	alphanumeric          = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	nameCharacters        = alphanumeric + ".-"
	idCharacters          = alphanumeric + "._-"
	tokenCharacters       = alphanumeric + "._~+/=-"
	hostCharacters        = alphanumeric + ".:[]-"
	fingerprintCharacters = alphanumeric + ":+/=-"
	// pathCharacters are RFC 3986's pchar, "/" and "%".
	pathCharacters = alphanumeric + "-._~!$&'()*+,;=:@/%"
)

func charset(s, allowed string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(allowed, r) })
}

func within(s string, limit int, allowed string) bool {
	return s != "" && len(s) <= limit && charset(s, allowed)
}

func validID(s string) bool { return within(s, 128, idCharacters) }

func validToken(s string) bool { return within(s, 4096, tokenCharacters) }

// validHost accepts a host with or without a port.
func validHost(s string) bool { return within(s, 253+6, hostCharacters) && !strings.HasPrefix(s, ":") }

func validPath(s string) bool {
	if !strings.HasPrefix(s, "/") || !within(s, 2048, pathCharacters) {
		return false
	}
	_, err := url.PathUnescape(s)
	return err == nil
}

func validFingerprint(s string) bool { return s == "" || within(s, 256, fingerprintCharacters) }
