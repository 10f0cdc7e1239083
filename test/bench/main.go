// Bench measures the plugin against its budgets: each as a ratio of two things done
// in turn, A B A B, in one run, so that a slow machine is slow for both. It prints a
// table and judges nothing: what is over its budget is named.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// bench is one run.
type bench struct {
	ctx   context.Context
	pairs int
	// verbose prints each pair.
	verbose bool
	dir     string // DOCKER_CONFIG and XDG_CONFIG_HOME of its own
	boxID   string // the sandbox of the rows on sandboxes, once it is there
	crowd   bool   // the other sandboxes are there
}

func main() {
	pairs := flag.Int("pairs", 5, "how often each of the two is measured")
	only := flag.String("only", "", "measure only rows whose name holds this")
	verbose := flag.Bool("v", false, "print each pair")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *pairs, *only, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, pairs int, only string, verbose bool) (err error) {
	dir, err := os.MkdirTemp("", "openshell-bench-")
	if err != nil {
		return err
	}
	b := &bench{ctx: ctx, pairs: pairs, verbose: verbose, dir: dir}
	defer func() {
		b.cleanUp()
		if rmErr := os.RemoveAll(dir); err == nil {
			err = rmErr
		}
	}()
	if err := b.install(); err != nil {
		return err
	}
	fmt.Printf("%-14s %-52s %9s %9s  %-22s %-8s\n", "what", "against", "ours", "other", "ratio (min-max)", "budget")
	for _, row := range append(b.rows(), b.sandboxRows()...) {
		if !strings.Contains(row.name, only) {
			continue
		}
		if err := b.measure(row); err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
	}
	return nil
}

// row is one line of the table. ours and other return how long the part of theirs took
// that counts.
type row struct {
	name, against string
	budget        float64
	pairs         int
	ours, other   func() (time.Duration, error)
	// figure measures a row that is no ratio; it returns text and a number.
	figure func() (string, float64, error)
}

func (b *bench) measure(r row) error {
	if r.figure != nil {
		text, value, err := r.figure()
		if err != nil {
			return err
		}
		fmt.Printf("%-14s %-52s %9s %9s  %-22s %-8s %s\n", r.name, r.against, text, "", "", fmt.Sprint(r.budget), judge(value, r.budget))
		return nil
	}
	pairs := max(r.pairs, b.pairs)
	var ours, other, ratios []float64
	for i := range pairs + 1 {
		o, err := r.ours()
		if err != nil {
			return err
		}
		x, err := r.other()
		if err != nil {
			return err
		}
		if b.verbose {
			fmt.Fprintf(os.Stderr, "%s %d: %.3fs %.3fs\n", r.name, i, o.Seconds(), x.Seconds())
		}
		if i == 0 {
			continue // to warm up
		}
		ours, other, ratios = append(ours, o.Seconds()), append(other, x.Seconds()), append(ratios, o.Seconds()/x.Seconds())
	}
	m := median(ratios)
	fmt.Printf("%-14s %-52s %8.3fs %8.3fs  %-22s %-8s %s\n", r.name, r.against, median(ours), median(other),
		fmt.Sprintf("%.2f (%.2f-%.2f), n=%d", m, slices.Min(ratios), slices.Max(ratios), pairs), fmt.Sprintf("%.4g", r.budget), judge(m, r.budget))
	return nil
}

func judge(value, budget float64) string {
	if value > budget {
		return "over"
	}
	return "ok"
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// install puts our plugin and the smallest one where a docker client of our own
// finds them.
func (b *bench) install() error {
	plugins := filepath.Join(b.dir, "cli-plugins")
	if err := os.MkdirAll(plugins, 0o755); err != nil {
		return err
	}
	for name, pkg := range map[string]string{"docker-openshell": "./plugin", "docker-smallest": "./test/bench/smallest"} {
		build := exec.CommandContext(b.ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(plugins, name), pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w: %s", name, err, out)
		}
	}
	return nil
}

// docker runs a docker command and returns what it printed on standard output.
func (b *bench) docker(args ...string) (string, error) {
	return b.dockerInput("", args...)
}

func (b *bench) dockerInput(input string, args ...string) (string, error) {
	cmd := exec.CommandContext(b.ctx, "docker", args...)
	cmd.Env = append(os.Environ(), "DOCKER_CONFIG="+b.dir, "XDG_CONFIG_HOME="+filepath.Join(b.dir, "config"))
	cmd.Stdin = strings.NewReader(input)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// timed runs a docker command and returns how long it took.
func (b *bench) timed(args ...string) (time.Duration, error) {
	began := time.Now()
	_, err := b.docker(args...)
	return time.Since(began), err
}

// cleanUp removes what the bench made, also after Ctrl-C.
func (b *bench) cleanUp() {
	b.ctx = context.WithoutCancel(b.ctx)
	for _, name := range []string{gateway, freshGateway} {
		for _, args := range [][]string{{"rm", "-f", "-v", object(name)}, {"volume", "rm", "-f", object(name)}, {"network", "rm", object(name)}} {
			// What was never made cannot be removed.
			if out, err := b.docker(args...); err != nil && !strings.Contains(err.Error(), "o such") && !strings.Contains(err.Error(), "not found") {
				fmt.Fprintln(os.Stderr, "bench:", out, err)
			}
		}
	}
}
