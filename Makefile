# The two commands of the README, `make demo` and `make test`, set everything up by themselves.
PYTHON ?= python3
RUN ?= runs/demo
VENV := .venv
BIN := $(VENV)/bin
export PYTHONUTF8 := 1

.PHONY: demo test test-slow check page-check bench ablation docs-check clean

demo: $(VENV)/.installed  ## train, evaluate, explain, prove and verify on real handwritten digits
	@echo "== smoke: does a network learn on this machine?"
	@$(BIN)/convscope smoke
	@if [ -e $(RUN) ] && ! [ -e $(RUN)/config.yaml ]; then echo "$(RUN) is no run folder; remove it yourself"; exit 2; fi
	@rm -rf $(RUN)
	@echo; echo "== train: a TinyResNet on 1,437 real handwritten digits"
	@$(BIN)/convscope train digits --out $(RUN)
	@echo; echo "== evaluate: 360 digits that it has never seen"
	@$(BIN)/convscope evaluate $(RUN)
	@echo; echo "== explain: where it looked in the first of them"
	@$(BIN)/convscope explain $(RUN) --index 0
	@echo; echo "== prove: the same network in NumPy, layer by layer"
	@$(BIN)/convscope prove $(RUN)
	@echo; echo "== verify: every file that it left"
	@$(BIN)/convscope verify $(RUN)
	@echo; echo "Open $(RUN)/report.html in a browser."

test: $(VENV)/.installed-dev  ## every test but the slow ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 -m "not slow"  # two workers of one thread each

test-slow: $(VENV)/.installed-dev  ## the tests that take minutes
	$(BIN)/python -m pytest -q -m slow

check: $(VENV)/.installed-dev docs-check  ## style, types, architecture, and docs that tell the truth
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py

page-check:  ## lint, types and unit tests of the page's modules; needs node, which nothing else does
	cd tests/page && npm ci --no-audit --no-fund --silent && npm run --silent check

docs-check: $(VENV)/.installed-dev  ## the generated parts of the docs are what the program says today
	$(BIN)/python docs/generate.py --check

bench: $(VENV)/.installed-dev  ## the benchmarks that take minutes; results in benchmarks/results
	@for name in numpy_nn training explain service page; do $(BIN)/python benchmarks/bench_$$name.py || exit; done

ablation: $(VENV)/.installed-dev  ## what each idea of a recipe buys; takes hours, goes on where it broke off
	$(BIN)/python benchmarks/bench_ablation.py

clean:
	rm -rf $(VENV) runs build dist *.egg-info

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[dev]"
	@touch $@
