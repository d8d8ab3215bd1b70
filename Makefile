# Two words are enough: `make run` and `make test`. Go and make is all they need.

.DEFAULT_GOAL := help
SOURCES := $(shell find domain projections adapters cmd -name '*.go' -o -name '*.html' -o -name '*.css' 2>/dev/null) go.mod go.sum

# The browser tests run wherever there is a Chromium, those with the official
# Node.js clients wherever there is npm.
CHROMIUM := $(shell command -v chromium chromium-browser google-chrome 2>/dev/null | head -n 1)
NPM := $(shell command -v npm 2>/dev/null)
comma := ,
TAGS := $(addprefix -tags=,$(subst $() ,$(comma),$(strip $(if $(CHROMIUM),browser) $(if $(NPM),nodejs))))

.PHONY: help run test build bench lint race fuzz deps clean

help: ## Say what there is.
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## Play the demo, then stay up serving; it prints where.
	bin/kicau demo --serve

test: ## Vet and test everything.
	$(if $(CHROMIUM),,@echo "no Chromium on this machine: the browser tests are left out")
	$(if $(NPM),,@echo "no npm on this machine: the tests with Node.js clients are left out")
	go vet $(TAGS) ./...
	go test -timeout 10m $(TAGS) ./...

build: bin/kicau ## Make bin/kicau.

bin/kicau: $(SOURCES)
	go build -trimpath -o $@ ./cmd/kicau

bench: build ## Measure, each figure beside its limit; JSON=1 for JSON lines, QUICK=1 without what takes minutes, UCI=DIR to import that data set.
	@go run ./cmd/bench -kicau bin/kicau $(if $(JSON),-json) $(if $(QUICK),-quick) $(if $(UCI),-uci $(UCI))

race: ## Test with the race detector.
	go test -race ./...

fuzz: ## Fuzz every parser for a while (TIME=30s each).
	@for p in $$(go list ./...); do for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
		echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(or $(TIME),30s) $$p || exit 1; done; done

lint: ## Staticcheck and govulncheck.
	go run honnef.co/go/tools/cmd/staticcheck@latest ./...
	go run golang.org/x/vuln/cmd/govulncheck@latest ./...

deps: ## Renew the list of modules in the binary, after adding one on purpose.
	go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}' ./cmd/kicau | sort -u > cmd/kicau/testdata/modules.txt

clean: ## Remove what was built. Data directories stay.
	rm -rf bin
