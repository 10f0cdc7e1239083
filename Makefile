# "make help" lists what there is.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
PLUGINS = $(if $(DOCKER_CONFIG),$(DOCKER_CONFIG),$(HOME)/.docker)/cli-plugins
GOBUILD = CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)"
STATICCHECK = go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
SHELLS = $(shell git ls-files --cached --others --exclude-standard '*.sh')
PLATFORMS = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

.DEFAULT_GOAL := help
.PHONY: help build install gateway env engine node test unit scripts e2e bench lint docs generate cross tools clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build the plugin into bin/
	@$(GOBUILD) -o bin/docker-openshell ./plugin

install: build ## Install the plugin for the Docker CLI of this user
	@mkdir -p "$(DESTDIR)$(PLUGINS)"
	@install -m 755 bin/docker-openshell "$(DESTDIR)$(PLUGINS)/docker-openshell"
	@echo "installed $(DESTDIR)$(PLUGINS)/docker-openshell" >&2

gateway: tools install ## Start a gateway and show it: the main job, from nothing
	@set -e; ground=$$(test/ground.sh env); eval "$$ground"; docker openshell gateway start; docker openshell status; \
	if [ -n "$$ground" ]; then printf '\nTo use it from this shell:  eval "$$(make -s env)"\n'; fi

env: tools install ## Print export lines for a shell that uses the test ground
	@test/ground.sh env

engine: tools ## Start the private Docker Engine of the tests
	@test/engine/engine.sh start main

node: tools ## Build the test node's image
	@test/node/node.sh build

test: unit scripts e2e ## Run all tests

unit: tools ## Run the tests that need no Engine: units, transcripts, scripts
	go test ./...

scripts: tools ## Run the tests of the test ground itself
	test/engine/engine_test.sh
	test/node/node.sh test
	@set -e; eval "$$(test/ground.sh env)"; test/node/node_test.sh

e2e: tools install ## Run the tests on a real Engine and a real node
	@set -e; eval "$$(test/ground.sh env)"; export OPENSHELL_E2E=1; set -x; go test -count=1 -timeout 40m -parallel 3 -v ./test/e2e

bench: tools install ## Measure the budgets
	@set -e; eval "$$(test/ground.sh env)"; go run ./test/bench

lint: tools ## Check the source: gofmt, vet, staticcheck, shellcheck, go.mod, generated code
	@bad=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard "*.go")); [ -z "$$bad" ] || { echo "not formatted: $$bad" >&2; exit 1; }
	go vet ./... && $(STATICCHECK) ./...
	cd test/engine && go vet ./probe && $(STATICCHECK) ./probe
	test/node/node.sh go vet ./... && test/node/node.sh $(STATICCHECK) ./...
	for m in . test/engine test/node; do (cd $$m && go mod tidy -diff) || exit 1; done
	proto/generate.sh check
	shellcheck $(SHELLS)

docs: ## Generate docs/reference
	go test ./plugin -run TestReference -update

generate: ## Generate internal/openshellpb from proto/
	proto/generate.sh

cross: ## Build the plugin for all platforms into dist/
	@for p in $(PLATFORMS); do \
	  out=dist/docker-openshell-$${p%/*}-$${p#*/}; case $$p in windows/*) out=$$out.exe ;; esac; \
	  echo "$$out"; GOOS=$${p%/*} GOARCH=$${p#*/} $(GOBUILD) -o $$out ./plugin || exit 1; \
	done; cd dist && sha256sum docker-openshell-* > checksums.txt

tools:
	@test/ground.sh tools

clean: ## Remove what was built here, and stop the private Engines
	rm -rf bin dist
	test/engine/engine.sh stop --purge --all
