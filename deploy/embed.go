// Package deploy holds what is deployed into a gateway's cluster: the chart of the
// OpenShell server, and the HelmChart object by which the node installs it.
package deploy

import "embed"

// Chart is the file system that holds the chart, under [ChartRoot]. The pattern
// begins with "all:" because embedding leaves out names with an underscore, such as
// _helpers.tpl, without it.
//
//go:embed all:helm/openshell
var Chart embed.FS

// ChartRoot is the chart's directory in [Chart].
const ChartRoot = "helm/openshell"

// HelmChart is the HelmChart object, without the chart and its values.
//
//go:embed kube/manifests/openshell-helmchart.yaml
var HelmChart []byte
