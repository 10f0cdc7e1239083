package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

const (
	// watchSeconds is how long the API keeps one watch open.
	watchSeconds = "300"
	// firstPause and lastPause bound the wait between attempts to reach the API.
	firstPause = 100 * time.Millisecond
	lastPause  = 2 * time.Second
)

// feed is a Kubernetes resource that is listed and then watched.
type feed struct {
	what  string
	path  string
	query url.Values
	// sync takes a list; changed takes one change: ADDED, MODIFIED or DELETED.
	sync    func(context.Context) (version string, err error)
	changed func(ctx context.Context, kind string, object json.RawMessage) error
}

// errExpired says that a watch cannot go on where it was: a new list is needed.
var errExpired = errors.New("the watch has expired")

// follow keeps a feed going until the context ends. Whatever ends a watch, what
// happened since is seen: by the next watch, or by a new list.
func (c *cluster) follow(ctx context.Context, j *journal, f feed) {
	pause, told := firstPause, ""
	for ctx.Err() == nil {
		err := c.followOnce(ctx, f, func() { pause, told = firstPause, "" })
		if ctx.Err() != nil {
			return
		}
		// A cluster that has no sandboxes yet says the same for long.
		if text := err.Error(); text != told && !errors.Is(err, errExpired) {
			j.log("", "WARN", "kubernetes", "cannot follow "+f.what+"; trying again", "error", text)
			told = text
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

// followOnce lists and watches until something fails; synced is called after the list.
func (c *cluster) followOnce(ctx context.Context, f feed, synced func()) error {
	version, err := f.sync(ctx)
	if err != nil {
		return err
	}
	synced()
	for {
		if version, err = c.watch(ctx, f, version); err != nil {
			return err
		}
	}
}

// watch takes changes after a version until the API ends the watch, and returns the
// version up to which they were taken.
func (c *cluster) watch(ctx context.Context, f feed, version string) (_ string, err error) {
	query := url.Values{"watch": {"true"}, "allowWatchBookmarks": {"true"}, "resourceVersion": {version}, "timeoutSeconds": {watchSeconds}}
	for key, values := range f.query {
		query[key] = values
	}
	body, err := c.open(ctx, http.MethodGet, f.path, query, nil)
	if hasStatus(err, http.StatusGone) {
		return "", errExpired
	} else if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	for decoder := json.NewDecoder(body); ; {
		var change struct {
			Type   string
			Object json.RawMessage
		}
		if err := decoder.Decode(&change); errors.Is(err, io.EOF) {
			return version, nil
		} else if err != nil {
			return "", fmt.Errorf("watch %s: %w", f.what, err)
		}
		if change.Type == "ERROR" {
			return "", watchError(change.Object)
		}
		var meta struct {
			Metadata struct{ ResourceVersion string }
		}
		if err := json.Unmarshal(change.Object, &meta); err != nil {
			return "", fmt.Errorf("decode a change of %s: %w", f.what, err)
		}
		if change.Type != "BOOKMARK" {
			if err := f.changed(ctx, change.Type, change.Object); err != nil {
				return "", err
			}
		}
		version = meta.Metadata.ResourceVersion
	}
}

func watchError(object json.RawMessage) error {
	var status struct {
		Code    int
		Message string
	}
	if err := json.Unmarshal(object, &status); err != nil {
		return fmt.Errorf("decode the error of a watch: %w", err)
	}
	if status.Code == http.StatusGone {
		return errExpired
	}
	return &statusError{code: status.Code, message: status.Message}
}
