# The commands of the project. Each says in one line when it cannot run here.

SHELL := /bin/bash
CARGO ?= cargo
TRIPLE := x86_64-unknown-linux-gnu

.PHONY: help
help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: deps
deps:
	@scripts/install-deps.sh

.PHONY: web
web: ## the web pages (needs Node; without it the programs have none)
	@scripts/web.sh build

.PHONY: test-web
test-web: ## the web pages' tests, in a headless Chromium
	@scripts/web.sh test

.PHONY: build
build: web ## the programs, optimised, under target/
	$(CARGO) build --release -p orchestrator -p agent -p swarmctl -p sample-services

.PHONY: demo
demo: deps build ## a local three-host cluster with the demo stack (as root)
	@scripts/demo.sh up

.PHONY: demo-down
demo-down: ## removes every trace of the demo
	@scripts/demo.sh down

.PHONY: test
test: deps ## every test there is; ends with `N passed, N failed`
	@scripts/test.sh

.PHONY: schemathesis
schemathesis: ## schemathesis against the API over a cluster in memory (from PyPI; some minutes)
	@scripts/schemathesis.sh

.PHONY: docker-py
docker-py: ## docker-py's own tests about swarms, beside a stock engine (as root; tests from PyPI; some minutes)
	@$(CARGO) build --bins -p orchestrator -p agent -p swarmctl
	@scripts/docker-py.sh

.PHONY: test-deb
test-deb: ## the Debian package on three clean roots: install, cluster, upgrade, purge (as root)
	@$(CARGO) build --bins -p orchestrator -p agent -p swarmctl -p sample-services
	@scripts/test-deb.sh

.PHONY: images-microservices
images-microservices: ## the images of specs/microservices.yml, PostgreSQL and MariaDB among them, from Debian's packages
	@scripts/images-microservices.sh

HOURS ?= 8
.PHONY: soak
soak: ## simulated clusters for hours, on every core (HOURS=8)
	$(CARGO) build --release -p cluster-tests --bin sim
	target/$(TRIPLE)/release/sim --hours $(HOURS) --from $$(date +%s) --seeds 500 --jobs $$(nproc) --minutes 5

.PHONY: bench bench-quick
bench: deps build ## benchmarks of the replicated log (no peer beside it yet)
	@scripts/bench.sh
bench-quick: deps build ## the same, shorter
	@scripts/bench.sh --quick

.PHONY: dist
dist: deps web ## static programs, Debian package, images and the rest under dist/
	@scripts/dist.sh
