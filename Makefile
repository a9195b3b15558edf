# Switchyard. "make help" lists what there is.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS  = -s -w -X main.version=$(VERSION)
# Only for quiet: NVIDIA's header marks calls as deprecated that its Go binding has all the same.
export CGO_CFLAGS ?= -O2 -g -Wno-deprecated-declarations

.PHONY: build package demo run test e2e bench lint fmt clean help

help: ## list the targets
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

build: ## build bin/switchyard, and the pinned Model Runner beside it for machines without Docker
	$(GO) build -trimpath -ldflags "$(LDFLAGS)" -o bin/switchyard .
	@v=$$($(GO) list -C internal/lab/parts -m -f '{{.Version}}' github.com/docker/model-runner) && \
	CGO_ENABLED=0 $(GO) build -C internal/lab/parts -trimpath -ldflags "-s -w -X main.Version=$$v" -o "$(CURDIR)/bin/model-runner$$($(GO) env GOEXE)" github.com/docker/model-runner

package: ## make deb, rpm, archlinux, apk, archives, the Windows installer, checksums and an SBOM in dist/
	@$(GO) run ./internal/lab/require package
	$(GO) run -C packaging .

demo: ## show everything on scratch parts, touching nothing of yours
	@$(GO) run ./internal/lab/demo

run: build ## start the tray for good
	./bin/switchyard

test: ## run all tests but the desktop ones, with the race detector
	@$(GO) run ./internal/lab/require test
	LAB_RACE=1 $(GO) test -race ./...
	$(GO) test -C internal/lab/legal ./...

e2e: ## run the tests with a real panel, mouse, Claude Code, llama.cpp and Docker Engine
	@$(GO) run ./internal/lab/require e2e
	$(GO) test -tags e2e -count=1 -timeout 25m -v ./internal/lab/e2e
	$(GO) test -race -tags e2e -count=1 -v -run OnARealDocker ./service

bench: ## measure and print the table
	@$(GO) run ./internal/lab/require test
	@$(GO) run ./internal/lab/bench

lint: ## gofmt, vet, staticcheck, govulncheck
	@files=$$(gofmt -l .); test -z "$$files" || { echo "not formatted: $$files"; exit 1; }
	$(GO) vet ./... && $(GO) vet -tags e2e ./internal/lab/e2e ./service
	$(GO) vet -C internal/lab/parts ./... && $(GO) vet -C internal/lab/sdk ./... && $(GO) vet -C internal/lab/legal -tags engines ./... && $(GO) vet -C packaging ./...
	GOOS=windows CGO_ENABLED=0 $(GO) vet ./...
	GOOS=darwin CGO_ENABLED=0 $(GO) vet ./service/... ./cli/... ./assets/... ./gpu/...
	$(GO) tool -modfile=internal/tools/go.mod staticcheck ./...
	@./.ci/govulncheck

fmt: ## format the code
	gofmt -w .

clean: ## remove what was built, the cached parts of the lab too
	rm -rf bin dist internal/lab/e2e/out "$${LAB_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/switchyard-lab}"
