// Package openshellpb is generated from proto/ by "make generate": the part of
// OpenShell's API that this project calls.
package openshellpb
