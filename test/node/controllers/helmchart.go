package controllers

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"bytes"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/cli"
	"helm.sh/helm/v3/pkg/strvals"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/docker-openshell/docker-openshell/test/node/layout"
)

// staticPrefix is how a HelmChart refers to a chart that the node serves.
const staticPrefix = "https://%{KUBERNETES_API}%/static/"

// chartSpec is the part of a HelmChart's spec that the node understands.
type chartSpec struct {
	Chart           string                        `json:"chart,omitempty"`
	ChartContent    string                        `json:"chartContent,omitempty"`
	Repo            string                        `json:"repo,omitempty"`
	Version         string                        `json:"version,omitempty"`
	TargetNamespace string                        `json:"targetNamespace,omitempty"`
	CreateNamespace bool                          `json:"createNamespace,omitempty"`
	Set             map[string]intstr.IntOrString `json:"set,omitempty"`
	ValuesContent   string                        `json:"valuesContent,omitempty"`
}

// wantedRelease is what a HelmChart and its HelmChartConfig ask for together.
type wantedRelease struct {
	name, namespace string
	spec            chartSpec
	// override is the config's valuesContent, which wins over the chart's.
	override string
	// hash identifies all of it.
	hash string
}

// readWanted reads the pair of objects; config may be nil.
func readWanted(helmChart, config *unstructured.Unstructured) (*wantedRelease, error) {
	w := &wantedRelease{name: helmChart.GetName(), namespace: helmChart.GetNamespace()}
	spec, _, err := unstructured.NestedMap(helmChart.Object, "spec")
	if err != nil {
		return nil, err
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(spec, &w.spec); err != nil {
		return nil, fmt.Errorf("read the spec: %w", err)
	}
	if w.spec.TargetNamespace != "" {
		w.namespace = w.spec.TargetNamespace
	}
	hashed := map[string]any{"spec": spec}
	if config != nil {
		configSpec, _, err := unstructured.NestedMap(config.Object, "spec")
		if err != nil {
			return nil, fmt.Errorf("read the spec of the HelmChartConfig: %w", err)
		}
		if w.override, _, err = unstructured.NestedString(configSpec, "valuesContent"); err != nil {
			return nil, fmt.Errorf("read the HelmChartConfig: %w", err)
		}
		hashed["config"] = configSpec
	}
	encoded, err := json.Marshal(hashed)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(encoded)
	w.hash = "SHA256=" + strings.ToUpper(hex.EncodeToString(sum[:]))
	return w, nil
}

// values merges, from weak to strong: the chart object's values, its set
// entries, and the config's values.
func (w *wantedRelease) values() (map[string]any, error) {
	values, err := parseValues(w.spec.ValuesContent)
	if err != nil {
		return nil, fmt.Errorf("read valuesContent: %w", err)
	}
	override, err := parseValues(w.override)
	if err != nil {
		return nil, fmt.Errorf("read valuesContent of the HelmChartConfig: %w", err)
	}
	values = chartutil.CoalesceTables(override, values)
	for _, name := range sortedKeys(w.spec.Set) {
		value := w.spec.Set[name]
		if err := strvals.ParseInto(name+"="+value.String(), values); err != nil {
			return nil, fmt.Errorf("read the set entry %q: %w", name, err)
		}
	}
	return values, nil
}

func parseValues(content string) (map[string]any, error) {
	values := map[string]any{}
	if err := yaml.Unmarshal([]byte(content), &values); err != nil {
		// The parser may quote values, and those may be secret.
		return nil, errors.New("it is not a valid YAML mapping")
	}
	if values == nil {
		values = map[string]any{}
	}
	return values, nil
}

// chart loads the packed chart.
func (w *wantedRelease) chart() (*chart.Chart, error) {
	if w.spec.ChartContent != "" {
		packed, err := base64.StdEncoding.DecodeString(w.spec.ChartContent)
		if err != nil {
			return nil, fmt.Errorf("decode chartContent: %w", err)
		}
		loaded, err := loader.LoadArchive(bytes.NewReader(packed))
		if err != nil {
			return nil, fmt.Errorf("load chartContent: %w", err)
		}
		return loaded, nil
	}
	if w.spec.Chart == "" {
		return nil, errors.New("the spec names no chart and has no chartContent")
	}
	path := w.spec.Chart
	if name, ok := strings.CutPrefix(path, staticPrefix); ok {
		path = filepath.Join(layout.Static, filepath.Join("/", name))
	} else {
		options := action.ChartPathOptions{RepoURL: w.spec.Repo, Version: w.spec.Version}
		settings := cli.New()
		settings.RepositoryCache = filepath.Join(os.TempDir(), "helm-cache")
		located, err := options.LocateChart(path, settings)
		if err != nil {
			return nil, err
		}
		path = located
	}
	loaded, err := loader.Load(path)
	if err != nil {
		return nil, fmt.Errorf("load the chart %s: %w", path, err)
	}
	return loaded, nil
}
