package controllers

import (
	"encoding/base64"
	"io"
	"os"
	"testing"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	kubefake "helm.sh/helm/v3/pkg/kube/fake"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage"
	"helm.sh/helm/v3/pkg/storage/driver"
)

// packedChart is a chart of one template, as chartContent has it.
func packedChart(t *testing.T) string {
	t.Helper()
	path, err := chartutil.Save(&chart.Chart{
		Metadata: &chart.Metadata{APIVersion: chart.APIVersionV2, Name: "web", Version: "0.1.0"},
		Templates: []*chart.File{{
			Name: "templates/config.yaml",
			Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {text: {{ .Values.text | quote }}}\n"),
		}},
	}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(content)
}

func TestDeploy(t *testing.T) {
	wanted := &wantedRelease{name: "web", namespace: "web", spec: chartSpec{ChartContent: packedChart(t), ValuesContent: `{"text":"x"}`}}
	newConfiguration := func() *action.Configuration {
		memory := driver.NewMemory()
		memory.SetNamespace(wanted.namespace)
		return &action.Configuration{
			Releases:     storage.Init(memory),
			KubeClient:   &kubefake.PrintingKubeClient{Out: io.Discard},
			Capabilities: chartutil.DefaultCapabilities,
			Log:          t.Logf,
		}
	}
	check := func(t *testing.T, configuration *action.Configuration, revision int) {
		t.Helper()
		last, err := lastRelease(configuration, wanted.name)
		if err != nil {
			t.Fatal(err)
		}
		deployed, err := deploy(t.Context(), configuration, wanted, last)
		if err != nil {
			t.Fatal(err)
		}
		if deployed.Version != revision || deployed.Info.Status != release.StatusDeployed {
			t.Errorf("revision %d is %s, want revision %d deployed", deployed.Version, deployed.Info.Status, revision)
		}
	}

	t.Run("install and upgrade", func(t *testing.T) {
		configuration := newConfiguration()
		check(t, configuration, 1)
		check(t, configuration, 2)
	})

	for _, status := range []release.Status{
		release.StatusPendingInstall, release.StatusPendingUpgrade, release.StatusPendingRollback,
		release.StatusUninstalling, release.StatusFailed,
	} {
		t.Run("left in "+status.String(), func(t *testing.T) {
			configuration := newConfiguration()
			check(t, configuration, 1)
			left, err := configuration.Releases.Get(wanted.name, 1)
			if err != nil {
				t.Fatal(err)
			}
			left.SetStatus(status, "")
			if err := configuration.Releases.Update(left); err != nil {
				t.Fatal(err)
			}
			check(t, configuration, 2)
		})
	}

	t.Run("remove", func(t *testing.T) {
		configuration := newConfiguration()
		check(t, configuration, 1)
		for range 2 {
			if err := remove(configuration, wanted.name); err != nil {
				t.Fatal(err)
			}
		}
		if last, err := lastRelease(configuration, wanted.name); last != nil || err != nil {
			t.Errorf("the release is still there: %v, %v", last, err)
		}
	})
}
