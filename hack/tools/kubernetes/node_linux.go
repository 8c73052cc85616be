package main

import (
	"context"

	"github.com/spf13/cobra"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// The parts that only a Linux node has: without them the binary builds, and runs a control plane, elsewhere.
func init() {
	commands["kube-proxy"] = proxy.NewProxyCommand
	commands["kubelet"] = func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) }
}
