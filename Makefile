# Everything here runs on the Node of package.json; `make help` lists what there is.
# npm itself runs on the machine's Node: it could not replace the one it runs on.
MACHINE_PATH := $(PATH)
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
SHELL := /bin/bash
.DEFAULT_GOAL := help

##@ General

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*##"} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-zA-Z_-]+:.*?##/ {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

node_modules/.package-lock.json: package-lock.json
	PATH="$(MACHINE_PATH)" npm ci --no-audit --no-fund
	@touch $@

.PHONY: deps
deps: node_modules/.package-lock.json

##@ Try it

.PHONY: demo
demo: deps ## The main job from kubectl apply to running Pods, on a whole cluster made here (KEEP=1 leaves it up)
	node hack/demo/main.ts

##@ Test

.PHONY: test
test: deps ## All tests: unit, integration, e2e; the last line counts them
	node hack/test.ts unit integration e2e

.PHONY: test-unit
test-unit: deps ## The pure core alone, in seconds
	node hack/test.ts unit

.PHONY: test-integration
test-integration: deps ## Against a real API server, real registries and real cosign signatures
	node hack/test.ts integration

.PHONY: test-e2e
test-e2e: deps ## The installed product on a real node
	node hack/test.ts e2e

.PHONY: test-policy-engine
test-policy-engine: ## The policy engine's own tests in Go, and its agreement with cosign's code
	cd policy-engine && go vet ./... && go test ./...
	cd policy-engine/conformance && go vet ./... && go test ./...

.PHONY: lint
lint: deps ## Format, lint rules, import rule and types
	biome check --error-on-warnings
	oxlint --type-aware --deny-warnings
	tsc -p tsconfig.json

.PHONY: generate
generate: deps ## Models from the CRDs
	node hack/generate.ts

.PHONY: verify
verify: generate lint test ## What CI runs: generated files are current, lint, all tests
	git diff --exit-code -- crds

.PHONY: bench
bench: deps ## Admission timed beside other verifiers on one API server (docs/bench.md; BENCH="--quick")
	node bench/main.ts $(BENCH)

.PHONY: bench-cpu
bench-cpu: deps ## CPU of an admission inside one process, apart from the API server and the network
	node bench/inprocess.ts

.PHONY: bench-names
bench-names: deps ## Choosing the names of an image among 1, 100 and 10,000 CacheRules
	node --expose-gc bench/names.ts

##@ Build and run

.PHONY: cluster-up
cluster-up: deps ## A cluster with the product installed from this checkout
	./hack/cluster up

.PHONY: cluster-down
cluster-down: deps ## Ends that cluster
	./hack/cluster down

.PHONY: policy-engine
policy-engine: deps ## CUE, Rego and CEL as WebAssembly, built into the cache; prints the path (POLICY_ENGINE)
	node hack/policy-engine.ts

.PHONY: image
image: deps ## The product's OCI image, written to out/image without a Docker daemon
	node hack/image.ts
