// A Vault server for tests: HashiCorp Vault's own core and HTTP API over memory, with the transit engine and the Kubernetes auth method
// and none of the other plugins, which would take longer to build than everything else together. It listens on the loopback address that
// is its only argument, without TLS, uninitialised and sealed as any new Vault.
package main

import (
	"log"
	"net/http"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	kubernetes "github.com/hashicorp/vault-plugin-auth-kubernetes"
	"github.com/hashicorp/vault/builtin/logical/transit"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
)

var builtin = map[consts.PluginType]map[string]logical.Factory{
	consts.PluginTypeSecrets:    {"transit": transit.Factory},
	consts.PluginTypeCredential: {"kubernetes": kubernetes.Factory},
}

// plugins is what Vault asks for the plugins that are compiled into it.
type plugins struct{}

func (plugins) Contains(name string, of consts.PluginType) bool {
	return builtin[of][name] != nil
}

func (p plugins) Get(name string, of consts.PluginType) (func() (any, error), bool) {
	return func() (any, error) { return builtin[of][name], nil }, p.Contains(name, of)
}

func (plugins) Keys(of consts.PluginType) []string {
	var names []string
	for name := range builtin[of] {
		names = append(names, name)
	}
	return names
}

func (p plugins) DeprecationStatus(name string, of consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, p.Contains(name, of)
}

func (plugins) IsBuiltinEntPlugin(string, consts.PluginType) bool {
	return false
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: vault 127.0.0.1:PORT")
	}
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Warn})
	storage, err := inmem.NewInmem(nil, logger)
	if err != nil {
		log.Fatal(err)
	}
	core, err := vault.NewCore(&vault.CoreConfig{
		Physical:           storage,
		Logger:             logger,
		DisableMlock:       true,
		BuiltinRegistry:    plugins{},
		LogicalBackends:    builtin[consts.PluginTypeSecrets],
		CredentialBackends: builtin[consts.PluginTypeCredential],
	})
	if err != nil {
		log.Fatal(err)
	}
	handler := vaulthttp.Handler.Handler(&vault.HandlerProperties{Core: core, ListenerConfig: &configutil.Listener{}})
	server := &http.Server{Addr: os.Args[1], Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}
