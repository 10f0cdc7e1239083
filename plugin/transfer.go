package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/cli/cli"
	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
	"github.com/docker-openshell/docker-openshell/internal/sandbox"
)

// workspace is where files go that have no other destination.
const workspace = "/sandbox"

// upload is one thing to copy into a sandbox.
type upload struct {
	local, dest string
	// root and files are what it consists of: names below a directory.
	root  string
	files []string
}

// parseUploads reads LOCAL[:DEST] and finds the files.
func parseUploads(ctx context.Context, values []string, all bool) ([]upload, error) {
	var out []upload
	for _, v := range values {
		local, dest := v, workspace
		// A colon after a drive's letter is part of a Windows path.
		if i := strings.LastIndex(v, ":"); i > 1 {
			local, dest = v[:i], v[i+1:]
		}
		u, err := findUpload(ctx, local, dest, all)
		if err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	return out, nil
}

func findUpload(ctx context.Context, local, dest string, all bool) (upload, error) {
	if dest == "" {
		return upload{}, &gateway.Error{Cause: gateway.CauseInvalid, Err: fmt.Errorf("upload %q: the destination is empty", local),
			Hint: "leave out the colon for " + workspace}
	}
	u := upload{local: local, dest: dest, root: local}
	info, err := os.Stat(local)
	if err != nil {
		return u, fmt.Errorf("upload: %w", err)
	}
	if !info.IsDir() {
		u.root, u.files = filepath.Dir(local), []string{filepath.Base(local)}
		return u, nil
	}
	// A link to a directory means what is in it.
	if u.root, err = filepath.EvalSymlinks(local); err != nil {
		return u, fmt.Errorf("upload: %w", err)
	}
	if !all {
		u.files, err = gitFiles(ctx, u.root)
		if err != nil || u.files != nil {
			return u, err
		}
	}
	u.files, err = sandbox.Files(u.root)
	return u, err
}

// gitFiles lists the files of a directory that git does not ignore, or nil where it is
// no part of a repository, or there is no git.
func gitFiles(ctx context.Context, dir string) ([]string, error) {
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, nil
	}
	inside := exec.CommandContext(ctx, git, "-C", dir, "rev-parse", "--is-inside-work-tree")
	if out, err := inside.Output(); err != nil || strings.TrimSpace(string(out)) != "true" {
		return nil, ctx.Err()
	}
	out, err := exec.CommandContext(ctx, git, "-C", dir, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".").Output()
	if err != nil {
		return nil, fmt.Errorf("list the files of %s that git knows: %w", dir, err)
	}
	files := []string{}
	for name := range bytes.SplitSeq(out, []byte{0}) {
		if len(name) > 0 {
			files = append(files, string(name))
		}
	}
	// A conflict is listed once for each side.
	slices.Sort(files)
	return slices.Compact(files), nil
}

// uploadAll copies things into a sandbox, through one connection.
func (a *app) uploadAll(ctx context.Context, c *sandbox.Client, s sandbox.Sandbox, uploads []upload, show renderer) (err error) {
	if len(uploads) == 0 {
		return nil
	}
	shell, err := c.Shell(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shell.Close()) }()
	for _, u := range uploads {
		step := gateway.Event{Kind: gateway.StepStarted, Step: "upload", Text: fmt.Sprintf("Uploading %s to %s", u.local, u.dest)}
		show.event(step)
		err := shell.Upload(ctx, u.root, u.files, u.dest)
		step.Kind = gateway.StepDone
		if err != nil {
			step.Kind = gateway.StepFailed
		}
		show.event(step)
		if err != nil {
			return err
		}
	}
	return nil
}

type uploadOptions struct {
	output
	noGitIgnore bool
}

func newUpload(a *app) *cobra.Command {
	var o uploadOptions
	cmd := &cobra.Command{
		Use:   "upload [OPTIONS] NAME LOCAL [DEST]",
		Short: "Copy files into a sandbox",
		Long: `Copy a file, or what is in a directory, into a directory of a sandbox, which is made if
it is not there; without DEST it is the workspace, ` + workspace + `. In a git repository, files
that git ignores are left out.`,
		Example: `docker openshell sandbox upload demo .
docker openshell sandbox upload demo data.csv /sandbox/input`,
		Args:              cli.RequiresRangeArgs(2, 3),
		ValidArgsFunction: a.completeTransfer(1),
		RunE: run(func(*cobra.Command, []string) interruption {
			return interruption{text: "interrupted; a part of the files may have been copied", hint: "the same command copies all of them again"}
		}, func(ctx context.Context, cmd *cobra.Command, args []string) error {
			dest := workspace
			if len(args) == 3 {
				dest = args[2]
			}
			u, err := findUpload(ctx, args[1], dest, o.noGitIgnore)
			if err != nil {
				return err
			}
			return a.tunnelled(ctx, cmd, func(l *link) error {
				s, err := l.Get(ctx, args[0])
				if err != nil {
					return err
				}
				show := o.renderer(a.cli.Err())
				defer show.close()
				return a.uploadAll(ctx, l.Client, s, []upload{u}, show)
			})
		}),
	}
	cmd.Flags().BoolVar(&o.noGitIgnore, "no-git-ignore", false, "Copy files that git ignores, too")
	o.output.add(cmd, "Print nothing")
	return cmd
}

// completeTransfer completes a sandbox, and a file of this machine where the argument
// with that index is one.
func (a *app) completeTransfer(local int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		switch len(args) {
		case 0:
			return a.completeSandboxes(onlyOne)(cmd, args, prefix)
		case local:
			return nil, cobra.ShellCompDirectiveDefault
		default:
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
	}
}

func newDownload(a *app) *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use:   "download [OPTIONS] NAME PATH [DEST]",
		Short: "Copy files out of a sandbox",
		Long: `Copy a file, or what is in a directory, of a sandbox into a directory of this machine,
which is made if it is not there; without DEST it is the present one. A file that is
there already is replaced. Nothing is written outside of that directory, whatever the
sandbox sends.`,
		Example: `docker openshell sandbox download demo /sandbox/results ./results
docker openshell sandbox download demo /sandbox/report.txt`,
		Args:              cli.RequiresRangeArgs(2, 3),
		ValidArgsFunction: a.completeTransfer(2),
		RunE: run(func(*cobra.Command, []string) interruption {
			return interruption{text: "interrupted; a part of the files may have been copied", hint: "the same command copies all of them again"}
		}, func(ctx context.Context, cmd *cobra.Command, args []string) error {
			dest := "."
			if len(args) == 3 {
				dest = args[2]
			}
			return a.tunnelled(ctx, cmd, func(l *link) error { return a.download(ctx, l, args[0], args[1], dest, &o) })
		}),
	}
	o.add(cmd, "Print nothing")
	return cmd
}

func (a *app) download(ctx context.Context, l *link, name, source, dest string, o *output) (err error) {
	s, err := l.Get(ctx, name)
	if err != nil {
		return err
	}
	shell, err := l.Shell(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shell.Close()) }()
	show := o.renderer(a.cli.Err())
	defer show.close()
	step := gateway.Event{Kind: gateway.StepStarted, Step: "download", Text: fmt.Sprintf("Downloading %s to %s", source, dest)}
	show.event(step)
	err = shell.Download(ctx, source, dest)
	step.Kind = gateway.StepDone
	if err != nil {
		step.Kind = gateway.StepFailed
	}
	show.event(step)
	return err
}
