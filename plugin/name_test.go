package main

import (
	"errors"
	"strings"
	"testing"
)

func TestResolve(t *testing.T) {
	active := func(name string) func() (string, error) {
		return func() (string, error) { return name, nil }
	}
	unread := func() (string, error) { return "", errors.New("must not be read") }
	for _, tt := range []struct {
		name    string
		sources nameSources
		want    target
	}{
		{"the command line is strongest", nameSources{line: []given{{"one", "the argument"}}, env: "two", active: unread},
			target{name: "one", source: "the argument"}},
		{"then the environment", nameSources{env: "two", active: unread},
			target{name: "two", implied: true, source: "the environment variable OPENSHELL_GATEWAY"}},
		{"then the active gateway", nameSources{active: active("three")},
			target{name: "three", implied: true, source: "the active gateway"}},
		{"then the default", nameSources{active: active("")},
			target{name: "openshell", implied: true, source: "the default"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.sources.resolve()
			if err != nil || got != tt.want {
				t.Errorf("got %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

func TestResolveRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		sources    nameSources
	}{
		{"a bad argument", "the argument: ", nameSources{line: []given{{"a/b", "the argument"}}}},
		{"an empty flag", "--gateway: ", nameSources{line: []given{{"", "--gateway"}}}},
		{"a bad variable", "the environment variable OPENSHELL_GATEWAY: ", nameSources{env: "../x"}},
		{"an active gateway that is none", "the active gateway: ", nameSources{active: func() (string, error) { return "..", nil }}},
		{"a file that cannot be read", "read the active gateway: no access", nameSources{active: func() (string, error) { return "", errors.New("no access") }}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.sources.resolve()
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %+v, error %v; want an error that begins with %q", got, err, tt.want)
			}
		})
	}
}
