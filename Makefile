# Holdfast: everything that people and CI do here, by name. "make help" lists it.
#
# A fresh machine needs Go and make; the targets fetch the rest: linters are
# built from tools/go.mod into bin/, services come from deploy/dev/services.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

GO       ?= go
BIN      := $(CURDIR)/bin
SERVICES := deploy/dev/services
COVERED  := ./internal/outbox,./internal/inbox,./internal/relay,./internal/mes,./internal/store
COVER_MIN ?= 85
PKG      ?= ./cmd/holdfast ./...
FUZZTIME ?= 2m
SEED     ?= 1
MINUTES  ?= 1
ROWS     ?=
BENCHFLAGS ?=
OLD      ?= 92b6f9d
OLD_FAULTS ?= kill,term,freeze,cut,lost,reset,hang,throttle,errors,slow-db,clock
# SQLite is C that was translated to Go: to watch each of its reads and writes for races finds none of ours, and takes nearly half of the time.
RACE     := -race -gcflags=modernc.org/sqlite/lib=-race=false -gcflags=modernc.org/libc=-race=false
SCRIPTS  := $(SERVICES) deploy/vault/setup deploy/package/release .ci/run .ci/contract .ci/deploy .ci/prism .ci/lib.sh internal/console/fetch-assets
MODULES  := . tools deploy/kubernetes $(patsubst %/go.mod,%,$(wildcard bench/go.mod))

.PHONY: help build install test conformance cover lint fmt vuln generate generated anomaly-report bench bench-profile fuzz torture soak faults upgrade-test screenshots demo services release sbom clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

build: ## bin/holdfast
	$(GO) build -trimpath -o $(BIN)/ ./cmd/holdfast

install: ## holdfast into the Go bin folder
	$(GO) install -trimpath ./cmd/holdfast

# The race detector needs a C compiler. Without a service (a machine without
# root, engine or programs) the tests run and name what they skipped; in CI
# (CI=true) both are failures, and up to three failed tests run three times
# more, alone: if they pass each time, the run counts and names them as flaky.
test: $(BIN)/testrun ## start the services and run every test with -race; PKG=./internal/store for one
	@command -v cc gcc >/dev/null || $(SERVICES) install gcc libc6-dev
	@$(SERVICES) up || { test -z "$${CI:-}"; echo 'make test: goes on without that service' >&2; }
	@eval "$$($(SERVICES) env)"; \
	$(BIN)/testrun $${CI:+-no-skip -again 3} -profile coverage.txt -cover $(COVERED) -- $(RACE) -timeout 60m $(PKG)

conformance: ## Watermill's own suite against adapters/amqp, with restarts of a real broker
	@$(SERVICES) up
	@eval "$$($(SERVICES) env)"; $(GO) test -count=1 -timeout 20m -run '^TestWatermillConformance$$' ./adapters/amqp

cover: $(BIN)/testrun ## fail if the last "make test" covered too little of the engine
	@$(BIN)/testrun -profile coverage.txt -cover $(COVERED) -min $(COVER_MIN)

lint: $(BIN)/.tools ## vet, staticcheck, golangci-lint and gofumpt over every module; shellcheck where it is
	@bad=0; \
	for m in $(MODULES); do \
		echo "lint: $$m"; \
		(cd $$m && $(GO) vet ./...) || bad=1; \
		(cd $$m && $(BIN)/staticcheck ./...) || bad=1; \
		(cd $$m && $(BIN)/golangci-lint run --config $(CURDIR)/.golangci.yml ./...) || bad=1; \
	done; \
	unformatted=$$(git ls-files -co --exclude-standard '*.go' | grep -v '\.gen\.go$$' | xargs $(BIN)/gofumpt -l); \
	test -z "$$unformatted" || { bad=1; printf 'not formatted (make fmt): %s\n' $$unformatted; }; \
	if command -v shellcheck >/dev/null; then \
		shellcheck -x $(SCRIPTS) || bad=1; \
	else \
		echo 'lint: shellcheck is not installed, scripts are not checked' >&2; \
	fi; \
	exit $$bad

fmt: $(BIN)/.tools ## format with gofumpt
	@git ls-files -co --exclude-standard '*.go' | grep -v '\.gen\.go$$' | xargs $(BIN)/gofumpt -w

# HOLDFAST_VULNDB names a copy of the Go vulnerability database; without it the
# public one is asked.
vuln: $(BIN)/.tools ## known vulnerabilities in what the program calls
	@db="$${HOLDFAST_VULNDB:-}"; \
	if [ -n "$$db" ]; then \
		echo "vuln: database of $$(sed -n 's/.*"modified": *"\([^"]*\)".*/\1/p' "$$db/index/db.json")"; \
		$(BIN)/govulncheck -db "file://$$db" ./...; \
	else \
		$(BIN)/govulncheck ./...; \
	fi

generate: $(BIN)/.tools ## write the generated code anew (go:generate lines call oapi-codegen)
	PATH="$(BIN):$$PATH" $(GO) generate ./...

generated: generate ## fail if generated code is not what its source says
	@git diff --exit-code -- '*.gen.go'

# ROWS names rows of bench/main.go, BENCHFLAGS is -quick (does it run), -rounds N or -strict (status 1 if a figure is not reached).
anomaly-report: ## planted errors that are found and false holds, with docs/img/anomaly.svg
	$(GO) test -count=1 -timeout 60m -v -run TestPlantedErrorsAreFound ./internal/anomaly -report $(CURDIR)/docs/img/anomaly.svg

bench: ## every figure beside its ceiling of the same run; ROWS=outbox for one row, BENCHFLAGS=-quick
	@$(SERVICES) up
	@$(SERVICES) fsync on; trap '$(CURDIR)/$(SERVICES) fsync off' EXIT; \
	eval "$$($(SERVICES) env)"; cd bench && $(GO) run . $(BENCHFLAGS) $(ROWS)

bench-profile: ## the same, and bench/profile/cpu.pprof and heap.pprof of it
	@$(MAKE) bench BENCHFLAGS="-profile profile $(BENCHFLAGS)"

# The program of a package's targets is built once. It sometimes reports its own time limit as a failure although no input failed; only that is
# forgiven.
fuzz: ## every fuzz target for FUZZTIME
	@cache=$$($(GO) env GOCACHE)/fuzz; work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; \
	git ls-files -co --exclude-standard '*_test.go' | xargs grep -lE '^func Fuzz' | xargs -n 1 dirname | sort -u | \
	while read -r dir; do \
		package=$$($(GO) list "./$$dir"); \
		$(GO) test -c -fuzz=Fuzz -o "$$work/fuzz" "./$$dir"; \
		grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$$dir"/*_test.go | while read -r _ name; do \
			echo "fuzz: $$name in $$dir for $(FUZZTIME)"; \
			(cd "$$dir" && "$$work/fuzz" -test.run '^$$' -test.fuzz "^$$name\$$" -test.fuzztime $(FUZZTIME) -test.fuzzcachedir "$$cache/$$package") \
				</dev/null 2>&1 | tee "$$work/log" || { \
				grep -q 'context deadline exceeded' "$$work/log" && ! grep -qE 'Failing input|panic|DATA RACE' "$$work/log" || exit 1; \
				echo "fuzz: $$name found nothing; it only ended late (context deadline exceeded)"; \
			}; \
		done; \
	done

# What torture starts itself it may restart: PostgreSQL and RabbitMQ are its own where their programs are installed. Elsewhere it takes
# the database of the services, which is left running, and says that it has no broker.
TORTURE = own=(--postgres own); \
	{ compgen -G '/usr/lib/postgresql/*/bin/initdb' || command -v initdb; } >/dev/null || own=(--database "$$HOLDFAST_TEST_POSTGRES"); \
	torture() { \
		local form=$$1 seed=$$2 minutes=$$3; shift 3; \
		case $$form in \
		sqlite) set -- $${CI:+--all} ;; \
		postgres) set -- "$${own[@]}" ;; \
		nodes) set -- "$${own[@]}" --nodes 3 "$$@" ;; \
		broker | broker-sqlite) \
			if test $$form = broker; then set -- "$${own[@]}" --nodes 2 --broker; else set -- --broker $${CI:+--all}; fi; \
			command -v rabbitmq-server >/dev/null || { echo 'torture: rabbitmq-server is not installed, no run over a broker' >&2; test -z "$${CI:-}"; return; } ;; \
		esac; \
		echo "torture: $$form, seed $$seed" >&2; \
		$(BIN)/holdfast torture --seed "$$seed" --minutes "$$minutes" "$$@"; \
	}

FORMS = sqlite postgres nodes broker broker-sqlite

torture: build ## MINUTES of seeded faults (SEED) on SQLite, on PostgreSQL, with three nodes, and over RabbitMQ
	@$(SERVICES) up
	@eval "$$($(SERVICES) env)"; $(TORTURE); \
	for form in $(FORMS); do torture $$form $(SEED) $(MINUTES); done

# Minute by minute the next form, with the next seed.
soak: MINUTES := 60
soak: build ## the same forms in turn, each for a minute with a seed of its own, until MINUTES (60) are over
	@$(SERVICES) up
	@eval "$$($(SERVICES) env)"; $(TORTURE); \
	end=$$((SECONDS + 60 * $(MINUTES))); seed=$(SEED); \
	while ((SECONDS < end)); do \
		for form in $(FORMS); do ((SECONDS < end)) || break; torture $$form $$seed 1; seed=$$((seed + 1)); done; \
	done

faults: ## RabbitMQ restarted 50 times between outbox and inbox, with databases, disk and line struck as well, and a job of 10,000 that is killed: half an hour
	@$(SERVICES) up
	@eval "$$($(SERVICES) env)"; export HOLDFAST_TEST_LONG=1; \
	$(GO) test -count=1 -v -timeout 60m -run '^TestFromOutboxToInbox' ./cmd/holdfast; \
	$(GO) test -count=1 -v -timeout 60m -run '^TestScripts$$/^jobkill$$' ./cmd/holdfast; \
	$(GO) test -count=1 -v -timeout 60m -run '^(TestAHundredClosedConnectionsLoseNothing|TestABlockedBrokerHangsNothing|TestARestartedBrokerLosesNothing)$$' ./adapters/amqp

# An older node has the defects that were mended since. So only what an upgrade itself meets; OLD_FAULTS= (empty) has all of them strike, for an
# OLD that stands them. OLD must read the configuration that torture writes, which 60729c5 and those about it no longer do.
upgrade-test: build ## torture with three nodes, of which one is the program of commit OLD
	@old=$$(mktemp -d); trap 'rm -rf "$$old"' EXIT; \
	git archive $(OLD) | tar x -C "$$old"; \
	(cd "$$old" && $(GO) build -trimpath -o "$$old/holdfast-old" ./cmd/holdfast); \
	$(SERVICES) up; eval "$$($(SERVICES) env)"; $(TORTURE); \
	torture nodes $(SEED) $(MINUTES) --old "$$old/holdfast-old" $(if $(OLD_FAULTS),--faults $(OLD_FAULTS))

screenshots: ## pictures of the console's pages, light and dark, into build/screenshots, and those that documents show into docs/img; needs a Chromium
	@mkdir -p docs/img build/screenshots
	HOLDFAST_SCREENSHOTS=$(CURDIR)/build/screenshots $(GO) test -count=1 -run '^TestScreenshots$$' ./internal/console
	@for shown in $$(ls docs/img | grep png); do cp build/screenshots/$$shown docs/img/; done

demo: ## the plant, the ERP and an outage on this machine
	$(GO) run ./cmd/holdfast demo

services: ## start PostgreSQL and RabbitMQ for tests, make sure of a Vault, and print where they are
	@$(SERVICES) up
	@$(SERVICES) env

release: ## dist/: programs, bills of materials, Debian packages and checksums; RELEASE_KEY=FILE signs them
	deploy/package/release

sbom: ## build/sbom/: the program that is published, its bill of materials (CycloneDX) and its licences, held against each other
	RELEASE_ARCHES=$${RELEASE_ARCHES:-$$($(GO) env GOARCH)} deploy/package/release --bills

clean: ## remove what was built here; services and their data stay
	rm -rf $(BIN) dist build/sbom coverage.txt

$(BIN)/testrun: tools/go.mod $(wildcard tools/testrun/*.go)
	@mkdir -p $(BIN)
	@cd tools && $(GO) build -o $(BIN)/ ./testrun && touch $@

$(BIN)/.tools: tools/go.mod tools/go.sum
	@mkdir -p $(BIN)
	@echo 'building the linters of tools/go.mod (once, some minutes)'
	@cd tools && $(GO) build -o $(BIN)/ tool
	@touch $@
