// Command argocd is the parts of Argo CD that sync, for tests: its application controller and its repository server as they are, and
// the in-memory Redis of its own tests in the place of a Redis server. Its API server and UI, which would take longer to build than all
// of these, are left out. The first argument names the part.
package main

import (
	"fmt"
	"os"

	controller "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	reposerver "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
	"github.com/spf13/cobra"
)

var commands = map[string]func() *cobra.Command{
	"application-controller": controller.NewCommand,
	"repo-server":            reposerver.NewCommand,
	"redis":                  newRedisCommand,
	"health":                 newHealthCommand,
}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: argocd application-controller|repo-server|redis|health ...")
		os.Exit(2)
	}
	command := commands[os.Args[1]]()
	command.SetArgs(os.Args[2:])
	if err := command.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
