# What a contributor types. Everything is set up in .venv, and again only when pyproject.toml
# changes. With another Python: make test PYTHON=python3.13 VENV=.venv313

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 3
PYTEST_ARGS ?=
TESTS ?= tests
BENCH_ARGS ?=
FAST_WORKERS ?= 2
MUTANTS ?= 1500
MUTATE_ARGS ?=
FUZZ_SECONDS ?= 600
FUZZ_ARGS ?=
SOAK_SECONDS ?= 600
SOAK_ARGS ?=

BIN := $(VENV)/bin
BASE := $(VENV)/.base-stamp
DEMO := $(VENV)/.demo-stamp
DEV := $(VENV)/.dev-stamp
BENCH := $(VENV)-bench/.stamp
FUZZ := $(VENV)-fuzz/.stamp
OTHERS := $(VENV)-others/.stamp
PIP := $(BIN)/python -m pip install --quiet
EDITABLE := --editable '.[cli,fast,redis,socks,structured]' --group dev
TYPED := $(wildcard aiotokengate tests examples benchmarks docs/*.py .ci/try_wheel.py)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
# The tests start hundreds of processes, which would compile the package each time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-fast mutate fuzz attack check lint format types verify-types imports docs wheel \
  bench bench-quick bench-smoke compare-faults soak bench-pool \
  instructions test-oldest test-newest test-vendors clean

help: ## show this list / 显示本列表
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(DEMO) ## see a model think and answer, no key, no network / 演示：无需密钥与网络
	@$(BIN)/aiotokengate demo

test: $(DEV) ## run the tests, with bounds on their coverage / 运行测试
	@$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -p tests.support.measured -n $(WORKERS) --dist=worksteal $(PYTEST_ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/python -m tests.programs.own_coverage

test-fast: $(DEV) ## the tests without processes and servers, under a minute / 快速测试
	$(BIN)/python -m pytest -n $(FAST_WORKERS) --dist=worksteal -p tests.support.fast $(PYTEST_ARGS)

mutate: $(DEV) ## small changes that the tests should notice, three hours at most / 变异测试
	$(BIN)/python -m tests.programs.mutate --mutants $(MUTANTS) $(MUTATE_ARGS)

fuzz: $(FUZZ) ## search for bytes on which the decoders break, ten minutes / 模糊测试解码器
	$(VENV)-fuzz/bin/python -m tests.programs.fuzz_wire \
	  -max_total_time=$(FUZZ_SECONDS) -timeout=10 -max_len=8192 $(FUZZ_ARGS)

attack: $(DEV) ## odd values at every place of every stream, ten minutes at most / 逐处替换异常值
	$(BIN)/python -m tests.programs.fuzz_decoders --seconds $(FUZZ_SECONDS) $(FUZZ_ARGS)

soak: $(DEV) ## a busy service on a gateway that fails, ten minutes / 高负载与故障长测
	$(BIN)/python -m tests.programs.soak --seconds $(SOAK_SECONDS) $(SOAK_ARGS)

check: lint types verify-types imports docs wheel instructions bench-smoke ## everything but the tests / 除测试外的全部检查

lint: $(DEV) ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(DEV) ## let ruff put right what it can / 自动修正格式
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(DEV) ## mypy --strict, and basedpyright on what users write / 静态类型检查
	$(BIN)/mypy $(TYPED)
	PYTHONPATH=$(CURDIR) $(BIN)/basedpyright --pythonpath $(BIN)/python

# Of this tree, also where another one is installed; below 100 % it fails.
verify-types: $(DEV) ## whether all that is public has a type / 公共接口须全部有类型
	PYTHONPATH=$(CURDIR) $(BIN)/basedpyright --pythonpath $(BIN)/python \
	  --verifytypes aiotokengate --ignoreexternal | tee /dev/stderr \
	  | grep -F 'Package directory: "$(CURDIR)/aiotokengate"' > /dev/null

imports: $(DEV) ## who may import whom
	$(BIN)/lint-imports --no-cache --no-logo

docs: $(DEV) ## build/docs/index.html
	$(BIN)/sphinx-build --fail-on-warning --keep-going --fresh-env --quiet docs build/docs

wheel: $(DEV) ## build/dist, tried in an empty environment
	rm -rf build/dist
	$(BIN)/python -m build --outdir build/dist . > /dev/null
	$(BIN)/python .ci/try_wheel.py build/dist

bench-pool: $(DEV) $(OTHERS) ## the pool's bars, and what others do / 限流池的指标与对比
	$(BIN)/python benchmarks/pool_cost.py
	$(BIN)/python benchmarks/pool_simulation.py
	$(BIN)/python benchmarks/pool_strict.py --others $(VENV)-others/bin/python
	$(BIN)/python benchmarks/pool_processes.py

bench: $(BENCH) $(OTHERS) ## what the library costs, and what others do, a quarter of an hour / 性能对比
	$(VENV)-bench/bin/python benchmarks/bench.py --others $(VENV)-others/bin/python $(BENCH_ARGS)

bench-quick: $(BENCH) ## the same in three minutes, without the slow ones / 快速性能对比
	$(VENV)-bench/bin/python benchmarks/bench.py --quick $(BENCH_ARGS)

compare-faults: $(BENCH) $(OTHERS) ## what users are told under each fault, ours and others / 各种故障下的对比
	$(VENV)-bench/bin/python benchmarks/compare_faults.py --others $(VENV)-others/bin/python --write

bench-smoke: $(DEV) ## whether the benchmarks work, and roughly what they say / 性能测试自检
	$(BIN)/python benchmarks/bench.py --smoke

instructions: $(DEV) ## instructions of the decoding, which must not rise / 解码指令数，不得上升
	$(BIN)/python benchmarks/instructions.py

test-oldest: ## the tests with the oldest base dependencies that are allowed / 最低版本依赖下的测试
	@$(PYTHON) -m venv --clear $(VENV)-oldest
	@$(VENV)-oldest/bin/python .ci/lowest.py > $(VENV)-oldest/lowest.txt
	@$(VENV)-oldest/bin/python -m pip install --quiet --upgrade pip
	@$(VENV)-oldest/bin/python -m pip install --quiet --constraint $(VENV)-oldest/lowest.txt $(EDITABLE)
	@cat $(VENV)-oldest/lowest.txt
	$(VENV)-oldest/bin/python -m pytest -n $(WORKERS) --dist=worksteal $(TESTS) $(PYTEST_ARGS)

test-newest: ## the tests with the newest ones, those before a release too / 最新版本依赖下的测试
	@$(PYTHON) -m venv --clear $(VENV)-newest
	@$(VENV)-newest/bin/python -m pip install --quiet --upgrade pip
	@$(VENV)-newest/bin/python -m pip install --quiet $(EDITABLE)
	@$(VENV)-newest/bin/python -m pip install --quiet --upgrade --pre aiohttp aiohttp-socks attrs orjson
	@$(VENV)-newest/bin/python -m pip list 2> /dev/null | grep -E '^(aiohttp|attrs|orjson)'
	$(VENV)-newest/bin/python -m pytest -n $(WORKERS) --dist=worksteal $(TESTS) $(PYTEST_ARGS)

test-vendors: ## whether the newest vendors' packages know types that we lose / 最新厂商 SDK 的类型检查
	@$(PYTHON) -m venv --clear $(VENV)-vendors
	@$(VENV)-vendors/bin/python -m pip install --quiet --upgrade pip
	@$(VENV)-vendors/bin/python -m pip install --quiet $(EDITABLE)
	@$(VENV)-vendors/bin/python -m pip install --quiet --upgrade anthropic google-genai openai
	$(VENV)-vendors/bin/python -m pytest -s $(wildcard tests/testing/test_known_types_*.py)

clean: ## remove everything that was made here / 清除生成的文件
	rm -rf $(VENV) $(VENV)-bench $(VENV)-fuzz $(VENV)-newest $(VENV)-oldest $(VENV)-others $(VENV)-vendors build dist .coverage .coverage.* .hypothesis .import_linter_cache
	rm -rf .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BASE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
	  "Python 3.11 or newer is needed / 需要 Python 3.11 或更高版本: make PYTHON=python3.11" >&2; exit 2; }
	@echo "setting up $(VENV) / 正在准备环境 ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) --upgrade pip
	@touch $@

$(DEMO): $(BASE) pyproject.toml
	@$(PIP) --editable '.[cli]'
	@touch $@

$(DEV): $(BASE) pyproject.toml
	@$(PIP) $(EDITABLE)
	@touch $(DEMO) $@

$(FUZZ): pyproject.toml
	@$(PYTHON) -m venv --clear $(VENV)-fuzz
	@$(VENV)-fuzz/bin/python -m pip install --quiet --upgrade pip
	@$(VENV)-fuzz/bin/python -m pip install --quiet --editable . --group fuzz
	@touch $@

# What the library is compared with has environments of its own: it pins what we don't.
$(BENCH): pyproject.toml
	@$(PYTHON) -m venv --clear $(VENV)-bench
	@$(VENV)-bench/bin/python -m pip install --quiet --upgrade pip
	@$(VENV)-bench/bin/python -m pip install --quiet --editable . --group bench
	@touch $@

$(OTHERS): pyproject.toml
	@$(PYTHON) -m venv --clear $(VENV)-others
	@$(VENV)-others/bin/python -m pip install --quiet --upgrade pip
	@$(VENV)-others/bin/python -m pip install --quiet --group others
	@touch $@
