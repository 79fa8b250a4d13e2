# Nexus COS. `make up` runs it, `make test` proves it; the rest is for contributors.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Builds are kept outside the checkout, so that a clean clone does not build everything anew.
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/nexus-cos
export CARGO_TARGET_DIR ?= $(CACHE)/target
export PATH := $(CACHE)/tools/bin:$(PATH)
NEXUS := $(CARGO_TARGET_DIR)/release/nexus
# The worker is built by itself: the server needs nothing of libav, not even to be built.
LIBAV := --features nx-transcoder/libav
TRANSCODER := cargo build --release --locked -p nx-transcoder --features libav
GST := --features nx-mixer/gstreamer
MIXER := cargo build --release --locked -p nx-mixer --features gstreamer
# What is only tested need not be optimised across crates: that takes longer than all the rest of the build.
QUICKLY := CARGO_PROFILE_RELEASE_LTO=off
HAS_LIBAV := pkg-config --exists libavcodec libavfilter libavformat libswscale libswresample 2>/dev/null && ls /usr/lib/llvm-*/lib/libclang*.so* >/dev/null 2>&1
HAS_GST := pkg-config --exists gstreamer-app-1.0 gstreamer-video-1.0 2>/dev/null
SAY = @printf '\033[1m== %s\033[0m\n'

.PHONY: help up build transcoder mixer web test lint fmt bench fuzz system-build system-transcoder system-mixer system-test tools e2e-tools

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

up: system-build build ## build everything and run it: nexus up
	$(SAY) "starting: stop with Ctrl-C"
	@exec $(NEXUS) up

build: web ## the release binary, also linked as target/release/nexus
	$(SAY) "building nexus (release)"
	@cargo build --release --locked
	@mkdir -p target/release && ln -sfn $(NEXUS) target/release/nexus
	@if $(HAS_LIBAV); then $(TRANSCODER); else echo "no pictures: libav is not here to build against; see 'make transcoder'"; fi
	@if $(HAS_GST); then $(MIXER); else echo "no programmes: GStreamer is not here to build against; see 'make mixer'"; fi

transcoder: system-transcoder ## nexus-transcoder, which makes pictures of streams; installs what it needs
	$(SAY) "building nexus-transcoder (release)"
	@$(TRANSCODER)

mixer: system-mixer ## nexus-mixer, which mixes streams into programmes; installs what it needs
	$(SAY) "building nexus-mixer (release)"
	@$(MIXER)

web: ## the web pages, when Node is at hand
	@./scripts/web.sh

test: system-test web e2e-tools tools ## every test, with real servers and browsers
	$(SAY) "tests"
	@$(QUICKLY) cargo build --release --locked
	@$(QUICKLY) $(TRANSCODER)
	@$(QUICKLY) $(MIXER)
	@NEXUS_BIN=$(NEXUS) cargo nextest run --workspace $(LIBAV) $(GST) --locked --no-fail-fast
	@$(MAKE) --no-print-directory fuzz SECONDS_EACH=5

lint: tools web system-transcoder system-mixer ## formatting, clippy, documentation, licences, house rules
	$(SAY) "lint"
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets $(LIBAV) $(GST) --locked -- -D warnings
	@RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps $(LIBAV) $(GST) --locked --quiet
	@./scripts/deny.sh
	@if command -v npm >/dev/null; then npm --prefix web run --silent check; fi

fmt: ## format the sources
	@cargo fmt --all

bench: system-test tools build ## measure, beside peers in the same run
	$(SAY) "benchmarks (several minutes; the machine should be quiet)"
	@NEXUS_BIN=$(NEXUS) cargo bench --locked --bench ingest --bench srt --bench play --bench serve --bench cache --bench secure --bench parked --bench store --bench ladder --bench latency --bench login --bench gateway --bench plane

SECONDS_EACH ?= 60
fuzz: tools ## every fuzz target for SECONDS_EACH seconds
	@./scripts/fuzz.sh $(SECONDS_EACH)

system-build:
	@./scripts/packages.sh build

system-transcoder:
	@./scripts/packages.sh build transcoder

system-mixer:
	@./scripts/packages.sh build mixer

system-test:
	@./scripts/packages.sh build transcoder mixer test

tools:
	@./scripts/tools.sh $(CACHE)/tools

e2e-tools:
	@./scripts/web.sh e2e
