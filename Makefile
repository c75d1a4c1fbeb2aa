.DEFAULT_GOAL := help
.PHONY: help build quick test test-python lint fmt bench compare deny advisories check-deploy

# The real database servers for the tests live here, unless AKA_TEST_TOOLS says otherwise.
export AKA_TEST_TOOLS ?= $(CURDIR)/.test-tools

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build the optimised binary, target/release/aka
	cargo build --release --locked

quick: ## Run the tests that need no database (the simulation with fewer seeds and no mutants)
	cargo test --locked --workspace --features aka/test-hooks --lib --bins --test house --test golden --test evaluate
	AKA_SIM_SEEDS=$${AKA_SIM_SEEDS:-100} cargo test --locked --workspace --features aka/test-hooks --test simulation -- --skip mutants::
	cargo test --locked --workspace --features aka/test-hooks --doc

test: ## Install what the tests need, if need be, then run all tests, those of the Python client too
	scripts/install-test-databases
	scripts/install-prometheus
	scripts/install-test-browser
	cargo test --locked --workspace --features aka/test-hooks
	cargo test --locked -p aka-core --features shuttle --test interleavings
	scripts/test-python-client

test-python: ## Run the tests of the Python client (against target/debug/aka, which `cargo build` makes)
	scripts/test-python-client

lint: ## Check the formatting, and run clippy and rustdoc with warnings as errors
	cargo fmt --check
	cargo clippy --locked --workspace --features aka/test-hooks --all-targets -- -D warnings
	cargo clippy --locked -p aka-core --features shuttle --test interleavings -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --features aka/test-hooks --no-deps --document-private-items

fmt: ## Format the code
	cargo fmt

bench: ## Run the benchmarks of parts
	cargo bench --locked --bench hot_path --bench codec --bench create --bench propagation --bench outage --bench growth

compare: ## Measure aka beside Redis, memcached, MySQL and a bare echo (installs them if need be)
	scripts/install-test-databases
	scripts/install-bench-servers
	cargo bench --locked --profile dist --bench compare

deny: ## Check licences, sources and known advisories of the dependencies; fails if it cannot
	scripts/check-dependencies

check-deploy: ## Check the files of deploy/ (systemd's units, Kubernetes' manifests); fails if it cannot
	scripts/check-deploy

advisories: ## Check the newest security advisories with cargo-deny (needs a network); fails if it cannot
	cargo deny --all-features check advisories
