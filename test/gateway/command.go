package main

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/grpc/status"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// The limits of an ExecSandbox request, in bytes and entries.
const (
	maxArguments = 1024
	maxArgument  = 32 << 10
	maxWorkdir   = 4096
	maxCommand   = 256 << 10
)

var (
	envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	// plainWord needs no quotes in a shell.
	plainWord = regexp.MustCompile(`^[A-Za-z0-9._/-]+$`)
)

// shellCommand builds the command line that a sandbox's shell runs: the directory, the
// environment in the order of its names, then the command.
func shellCommand(req *pb.ExecSandboxRequest) (string, error) {
	if len(req.GetCommand()) == 0 {
		return "", status.Error(invalid, "command is required")
	}
	if n := len(req.GetCommand()); n > maxArguments {
		return "", status.Errorf(invalid, "command exceeds maximum arguments (%d > %d)", n, maxArguments)
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(req.GetEnvironment())) {
		if !envName.MatchString(name) {
			return "", status.Errorf(invalid, "environment key %q is not a name", name)
		}
		value := req.GetEnvironment()[name]
		if hasControl(value) {
			return "", status.Errorf(invalid, "the value of %s contains a NUL, CR or LF", name)
		}
		words = append(words, name+"="+quote(value))
	}
	for i, argument := range req.GetCommand() {
		if len(argument) > maxArgument {
			return "", status.Errorf(invalid, "argument %d exceeds maximum length (%d > %d)", i, len(argument), maxArgument)
		}
		if hasControl(argument) {
			return "", status.Errorf(invalid, "argument %d contains a NUL, CR or LF", i)
		}
		words = append(words, quote(argument))
	}
	line := strings.Join(words, " ")
	if dir := req.GetWorkdir(); dir != "" {
		if len(dir) > maxWorkdir {
			return "", status.Errorf(invalid, "workdir exceeds maximum length (%d > %d)", len(dir), maxWorkdir)
		}
		if hasControl(dir) {
			return "", status.Error(invalid, "workdir contains a NUL, CR or LF")
		}
		line = "cd " + quote(dir) + " && " + line
	}
	if len(line) > maxCommand {
		return "", status.Errorf(invalid, "the command line exceeds maximum length (%d > %d)", len(line), maxCommand)
	}
	return line, nil
}

func hasControl(text string) bool { return strings.ContainsAny(text, "\x00\r\n") }

// quote makes one word of a POSIX shell.
func quote(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'"'"'`) + "'"
}
