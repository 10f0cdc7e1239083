package k3sexec

import "strings"

// tail is a writer that keeps the end of what is written to it.
type tail struct {
	lines, bytes int
	buf          []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - 2*t.bytes; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

// String returns the last lines, without the white space around them.
func (t *tail) String() string {
	b := t.buf
	if over := len(b) - t.bytes; over > 0 {
		b = b[over:]
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if over := len(lines) - t.lines; over > 0 {
		lines = lines[over:]
	}
	return strings.Join(lines, "\n")
}
