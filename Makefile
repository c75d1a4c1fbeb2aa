.DEFAULT_GOAL := help
.PHONY: help build test lint fmt bench compare deny

# The real database servers for the tests live here, unless AKA_TEST_TOOLS says otherwise.
export AKA_TEST_TOOLS ?= $(CURDIR)/.test-tools

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build the optimised binary, target/release/aka
	cargo build --release --locked

test: ## Install the test databases if need be, then run all tests
	scripts/install-test-databases
	cargo test --locked --workspace --features aka/test-hooks
	cargo test --locked -p aka-core --features shuttle --test interleavings

lint: ## Check the formatting, and run clippy with warnings as errors
	cargo fmt --check
	cargo clippy --locked --workspace --features aka/test-hooks --all-targets -- -D warnings
	cargo clippy --locked -p aka-core --features shuttle --test interleavings -- -D warnings

fmt: ## Format the code
	cargo fmt

bench: ## Run the benchmarks of parts
	cargo bench --locked --bench hot_path --bench codec --bench create --bench propagation --bench outage --bench growth

compare: ## Measure aka beside Redis, memcached, MySQL and a bare echo (installs them if need be)
	scripts/install-test-databases
	scripts/install-bench-servers
	cargo bench --locked --profile dist --bench compare

deny: ## Check licences, advisories and sources of the dependencies, if cargo-deny is installed
	@if cargo deny --version >/dev/null 2>&1; then \
		cargo deny --all-features check; \
	else \
		echo 'cargo-deny is not installed (cargo install --locked cargo-deny): not checked'; \
	fi
