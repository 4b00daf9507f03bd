# The commands of dsmil; `make help` lists them. Each is safe to repeat and says what it installs.
CARGO ?= $(shell command -v cargo || echo "$(HOME)/.cargo/bin/cargo")
TARGET = $(or $(CARGO_TARGET_DIR),target)
ARGS ?=

.DEFAULT_GOAL := help
# check and test want all cores for themselves.
.NOTPARALLEL:
.PHONY: help run test check bench soak

help: ## list the commands
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

run: ## start the service, check this host, keep serving; ARGS=--once ends after the check
	@scripts/setup run
	@$(CARGO) build --release --locked
	@exec $(TARGET)/release/dsmil up $(ARGS)

test: ## run all tests
	@scripts/setup test
	$(CARGO) test --locked

check: ## format, lints, documentation, licences and sources of dependencies
	@scripts/setup check
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps
	"$$(scripts/setup where cargo-deny)" --all-features --locked check licenses bans sources

bench: ## run the benchmarks, the peers in the same run
	@scripts/setup run
	$(CARGO) bench --locked --benches
	$(CARGO) run --release --locked --target-dir "$(TARGET)" --manifest-path benches/peers/actors/Cargo.toml
	$(CARGO) build --release --locked
	$(CARGO) run --release --locked --target-dir "$(TARGET)" --manifest-path benches/peers/workflow/Cargo.toml

soak: ## the long forms of the tests, at release speed
	@scripts/setup test
	DSMIL_SOAK=1 $(CARGO) test --release --locked
