package sandbox

import "strings"

// plain are the characters that mean nothing to a shell, wherever they stand.
const plain = alphanumeric + "@%_+:,./-"

// quote makes one word of a shell's language out of any text.
func quote(s string) string {
	if s != "" && charset(s, plain) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'"
}

func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	return strings.Join(quoted, " ")
}
