package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/gitops-engine/pkg/health"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// newHealthCommand is `argocd admin settings resource-overrides health` for many objects at once: it reads objects (JSON) from standard
// input and writes for each what Argo CD thinks of its health, by the argocd-cm in the file that is its only argument.
func newHealthCommand() *cobra.Command {
	return &cobra.Command{
		Use:  "health ARGOCD_CM",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			overrides, err := overridesOf(args[0])
			if err != nil {
				return err
			}
			in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
			for {
				var object unstructured.Unstructured
				if err := in.Decode(&object.Object); errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
				status, err := health.GetResourceHealth(&object, overrides)
				if err != nil {
					return fmt.Errorf("%s: %w", object.GetKind(), err)
				}
				if err := out.Encode(status); err != nil {
					return err
				}
			}
		},
	}
}

// overridesOf reads the keys `resource.customizations.health.GROUP_KIND`, as Argo CD does.
func overridesOf(path string) (lua.ResourceHealthOverrides, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var config corev1.ConfigMap
	if err := yaml.UnmarshalStrict(text, &config); err != nil {
		return nil, err
	}
	overrides := lua.ResourceHealthOverrides{}
	for key, script := range config.Data {
		if kind, ok := strings.CutPrefix(key, "resource.customizations.health."); ok {
			overrides[strings.Replace(kind, "_", "/", 1)] = v1alpha1.ResourceOverride{HealthLua: script}
		}
	}
	return overrides, nil
}
