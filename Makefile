# Makefile - builds into build/$(MODE)/, programs in build/$(MODE)/bin/. `make help` lists the targets.
#
# A room's sources are found by folder: a new x.c needs no line here. x.simd.c is compiled once for each instruction set
# (common/base/simd.h). proto/*.proto become build/$(MODE)/proto/*.pb-c.[ch].

MODE ?= release
B := build/$(MODE)
VERSION := 0.1.0

PREFIX ?= /usr/local
DESTDIR ?=

ifeq ($(origin CC),default)
CC := gcc
endif
WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wformat=2 -Wundef \
	-Wwrite-strings -Wvla -Wimplicit-fallthrough -Wno-format-nonliteral
MODE_FLAGS_release := -O2 -g
MODE_FLAGS_debug := -O0 -g3
# Without GCC's copies of stack frames on the heap: they lie at multiples of 32 bytes, and GCC 13 and 14 store vectors of 64 bytes
# there as if at multiples of 64 (GCC bug 110027).
MODE_FLAGS_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer \
	$(if $(findstring clang,$(CC)),,--param asan-use-after-return=0)
MODE_FLAGS_tsan := -O1 -g -fsanitize=thread
MODE_FLAGS_fuzz := -O1 -g -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined
MODE_FLAGS := $(MODE_FLAGS_$(MODE))
ifeq ($(MODE_FLAGS),)
$(error MODE is release, debug, asan, tsan or fuzz, not '$(MODE)')
endif

PACKAGES_COMMON := zlib libjpeg libpng libprotobuf-c yaml-0.1 jansson nettle
PACKAGES_DAEMON := libuv libsystemd libmicrohttpd
PACKAGES_TRAINER := hdf5
PACKAGES_TESTS := cmocka
INCLUDES := -I. -Icommon/include -I$(B) $(shell pkg-config --cflags $(PACKAGES_COMMON) $(PACKAGES_DAEMON) $(PACKAGES_TRAINER) 2>/dev/null) \
	$(shell pkg-config --cflags openblas 2>/dev/null)
LIBS_COMMON := $(shell pkg-config --libs $(PACKAGES_COMMON) 2>/dev/null) -lm
LIBS_DAEMON := $(shell pkg-config --libs $(PACKAGES_DAEMON) 2>/dev/null)
LIBS_TRAINER := $(shell pkg-config --libs $(PACKAGES_TRAINER) 2>/dev/null)
LIBS_TESTS := $(shell pkg-config --libs $(PACKAGES_TESTS) 2>/dev/null)

override CFLAGS += -std=c17 -D_GNU_SOURCE -DBD_VERSION='"$(VERSION)"' -pthread -fPIC -fno-math-errno -fvisibility=hidden $(WARNINGS) $(MODE_FLAGS) $(INCLUDES)
override LDFLAGS += -pthread $(filter -fsanitize%,$(MODE_FLAGS))

# ---- sources by room ----

PROTOS := $(wildcard proto/*.proto)
PROTO_SOURCES := $(PROTOS:%.proto=$(B)/%.pb-c.c)
COMMON_SOURCES := $(wildcard common/*/*.c)
DAEMON_SOURCES := $(filter-out daemon/main.c,$(wildcard daemon/*.c daemon/*/*.c))
TRAINER_SOURCES := $(filter-out trainer/main.c,$(wildcard trainer/*.c trainer/*/*.c))
TOOLS_SOURCES := $(filter-out %/main.c,$(wildcard tools/*/*.c))
UNIT_TESTS := $(wildcard tests/unit/*/test_*.c)
INTEGRATION_TESTS := $(wildcard tests/integration/test_*.c)
INTEGRATION_SCRIPTS := $(wildcard tests/integration/*.sh)
BENCHES := $(wildcard tests/bench/bench_*.c)
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
TEST_SUPPORT_SOURCES := $(wildcard tests/support/*.c)

LEVELS := baseline
ifeq ($(shell uname -m),x86_64)
LEVELS := baseline avx2 avx512
endif
LEVEL_FLAGS_baseline := -DBD_SIMD_LEVEL=0
LEVEL_FLAGS_avx2 := -DBD_SIMD_LEVEL=1 -mavx2 -mfma
LEVEL_FLAGS_avx512 := -DBD_SIMD_LEVEL=2 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mprefer-vector-width=512

# objects_of SOURCES
objects_of = $(patsubst %.c,$(B)/%.o,$(filter-out %.simd.c,$(1))) \
	$(foreach level,$(LEVELS),$(patsubst %.simd.c,$(B)/%.$(level).o,$(filter %.simd.c,$(1))))

COMMON_OBJECTS := $(call objects_of,$(COMMON_SOURCES)) $(PROTO_SOURCES:.c=.o)
DAEMON_OBJECTS := $(call objects_of,$(DAEMON_SOURCES))
TRAINER_OBJECTS := $(call objects_of,$(TRAINER_SOURCES))
TOOLS_OBJECTS := $(call objects_of,$(TOOLS_SOURCES))
SUPPORT_OBJECTS := $(call objects_of,$(TEST_SUPPORT_SOURCES))
ALL_OBJECTS := $(COMMON_OBJECTS) $(DAEMON_OBJECTS) $(TRAINER_OBJECTS) $(TOOLS_OBJECTS) $(SUPPORT_OBJECTS)

PROGRAMS := $(patsubst %,$(B)/bin/%,$(if $(wildcard daemon/main.c),batchd) $(if $(wildcard trainer/main.c),batchtrain) \
	$(if $(wildcard tools/tfrecord/main.c),tfrecord) $(if $(wildcard tools/batchctl/main.c),batchctl))
TEST_PROGRAMS := $(UNIT_TESTS:%.c=$(B)/%)
INTEGRATION_PROGRAMS := $(INTEGRATION_TESTS:%.c=$(B)/%)
BENCH_PROGRAMS := $(BENCHES:%.c=$(B)/%)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:

# ---- libbatchd: the client for other programs ----

SONAME := libbatchd.so.$(firstword $(subst ., ,$(VERSION)))
LIBRARY := $(B)/libbatchd.so.$(VERSION)

# What batchd/client.h declares (BD_PUBLIC) and what that needs; everything else in the archive stays out.
$(LIBRARY): $(B)/libcommon.a
	$(CC) $(LDFLAGS) -shared -Wl,-soname,$(SONAME) -Wl,-u,bd_client_connect -Wl,-u,bd_stream_open -o $@ $< $(shell pkg-config --libs libprotobuf-c)
$(B)/$(SONAME): $(LIBRARY)
	ln -sf $(<F) $@
$(B)/libbatchd.so: $(B)/$(SONAME)
	ln -sf $(<F) $@

$(B)/batchd.pc: common/stream/batchd.pc.in $(B)/flags.stamp
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' $< >$@

all: $(PROGRAMS) $(B)/libbatchd.so $(B)/batchd.pc ## build the programs into build/$(MODE)/bin

# ---- compile ----

# rebuilds when compiler or flags change
$(B)/flags.stamp: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(CC) $(CFLAGS))' | cmp -s - $@ || echo '$(subst ','\'',$(CC) $(CFLAGS))' >$@
FORCE:

$(B)/%.pb-c.c $(B)/%.pb-c.h &: %.proto
	@mkdir -p $(@D)
	protoc-c --c_out=$(B) $<

$(B)/%.pb-c.o: $(B)/%.pb-c.c $(B)/flags.stamp
	$(CC) $(CFLAGS) -Wno-error -w -MMD -MP -c -o $@ $<

$(B)/%.o: %.c $(B)/flags.stamp | $(PROTO_SOURCES)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

# products and sums of the trainer's kernels become one instruction; pixels elsewhere are specified to the bit
$(B)/trainer/kernels/%.o: ROOM_FLAGS := -ffp-contract=fast
define simd_rule
$(B)/%.$(1).o: %.simd.c $(B)/flags.stamp | $(PROTO_SOURCES)
	@mkdir -p $$(@D)
	$$(CC) $$(CFLAGS) $(if $(filter release,$(MODE)),-O3) $(LEVEL_FLAGS_$(1)) $$(ROOM_FLAGS) -MMD -MP -c -o $$@ $$<
endef
$(foreach level,$(LEVELS),$(eval $(call simd_rule,$(level))))

define archive
	@mkdir -p $(@D)
	@rm -f $@
	ar rcs $@ $(filter %.o,$^)
endef
$(B)/libcommon.a: $(COMMON_OBJECTS)
	$(archive)
$(B)/libdaemon.a: $(DAEMON_OBJECTS)
	$(archive)
$(B)/libtrainer.a: $(TRAINER_OBJECTS)
	$(archive)
$(B)/libtools.a: $(TOOLS_OBJECTS)
	$(archive)
$(B)/libsupport.a: $(SUPPORT_OBJECTS)
	$(archive)

# ---- link ----

define link
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)
endef
$(B)/bin/batchd: LIBS = $(LIBS_DAEMON) $(LIBS_COMMON)
$(B)/bin/batchd: $(B)/daemon/main.o $(B)/libdaemon.a $(B)/libcommon.a
	$(link)
$(B)/bin/batchtrain: LIBS = $(LIBS_TRAINER) $(LIBS_COMMON)
$(B)/bin/batchtrain: $(B)/trainer/main.o $(B)/libtrainer.a $(B)/libcommon.a
	$(link)
$(B)/bin/tfrecord: LIBS = $(LIBS_COMMON)
$(B)/bin/tfrecord: $(B)/tools/tfrecord/main.o $(B)/libtools.a $(B)/libcommon.a
	$(link)
$(B)/bin/batchctl: LIBS = $(LIBS_COMMON)
$(B)/bin/batchctl: $(B)/tools/batchctl/main.o $(B)/libtools.a $(B)/libcommon.a
	$(link)

# A unit test links the archives of the rooms that its folder may see.
$(B)/tests/unit/%: LIBS = $(LIBS_TESTS) $(LIBS_COMMON)
$(B)/tests/unit/daemon/%: LIBS = $(LIBS_TESTS) $(LIBS_DAEMON) $(LIBS_COMMON)
$(B)/tests/unit/trainer/%: LIBS = $(LIBS_TESTS) $(LIBS_TRAINER) $(LIBS_COMMON)
$(B)/tests/unit/daemon/%: $(B)/tests/unit/daemon/%.o $(B)/libsupport.a $(B)/libdaemon.a $(B)/libcommon.a
	$(link)
$(B)/tests/unit/trainer/%: $(B)/tests/unit/trainer/%.o $(B)/libsupport.a $(B)/libtrainer.a $(B)/libcommon.a
	$(link)
$(B)/tests/unit/tools/%: $(B)/tests/unit/tools/%.o $(B)/libsupport.a $(B)/libtools.a $(B)/libcommon.a
	$(link)
$(B)/tests/unit/%: $(B)/tests/unit/%.o $(B)/libsupport.a $(B)/libcommon.a
	$(link)

# Integration tests speak to the real programs and see only what a client sees; benches call the rooms themselves.
$(B)/tests/integration/%: LIBS = $(LIBS_TESTS) $(LIBS_COMMON)
$(B)/tests/integration/%: $(B)/tests/integration/%.o $(B)/libsupport.a $(B)/libcommon.a
	$(link)
$(B)/tests/bench/%: LIBS = $(LIBS_DAEMON) $(LIBS_TRAINER) $(LIBS_COMMON)
$(B)/tests/bench/%: $(B)/tests/bench/%.o $(B)/libsupport.a $(B)/libdaemon.a $(B)/libtrainer.a $(B)/libcommon.a
	$(link)

$(B)/tests/interop/%: LIBS = $(LIBS_TRAINER) $(LIBS_COMMON)
$(B)/tests/interop/%: $(B)/tests/interop/%.o $(B)/libtrainer.a $(B)/libcommon.a
	$(link)

# ---- test ----

unit: all $(TEST_PROGRAMS) ## build and run the unit tests of this MODE
	@tests/run-unit $(TEST_PROGRAMS)

integration: all $(INTEGRATION_PROGRAMS) ## build and run the tests that start the real programs, of this MODE
	@BUILD=$(B) tests/run-integration $(INTEGRATION_PROGRAMS) $(INTEGRATION_SCRIPTS)

check: ## every test: rules, unit and integration tests, also under ASan+UBSan and TSan
	@tests/check

check-interop: all $(B)/tests/interop/write_exports ## exports, checkpoints and events read by onnxruntime, Keras, safetensors and TensorBoard
	@tests/interop/run $(B)/tests/interop/write_exports $(B)/bin

FUZZ_SECONDS ?= 60
fuzz: ## run each fuzz target FUZZ_SECONDS seconds
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/run-fuzz $(FUZZERS)

soak: all ## an hour (SOAK_SECONDS) of trainers and daemons that are killed
	@tests/soak

format: ## lay out the sources as .clang-format says
	git ls-files '*.c' '*.h' | xargs clang-format -i

tidy: all compdb ## clang-tidy over the programs' sources
	@tests/run-tidy $(COMMON_SOURCES) $(DAEMON_SOURCES) $(TRAINER_SOURCES) $(TOOLS_SOURCES)

compdb: ## compile_commands.json for editors
	@tests/make-compdb '$(subst ','\'',$(CC) $(CFLAGS))' $(COMMON_SOURCES) $(DAEMON_SOURCES) $(TRAINER_SOURCES) $(TOOLS_SOURCES) >compile_commands.json

bench: ## microbenchmarks, loader and trainer beside the peers that are installed: build/bench/results.md
	@tests/bench/run

demo: all ## Fashion-MNIST: convert, train, evaluate, predict, in build/demo
	@examples/demo.sh

reproduce: all ## the tutorial's experiment: raw files against TFRecord, in build/reproduce (PICTURES=, SQUEEZENET_WEIGHTS=, VGG16_WEIGHTS=)
	@PICTURES='$(PICTURES)' SQUEEZENET_WEIGHTS='$(SQUEEZENET_WEIGHTS)' VGG16_WEIGHTS='$(VGG16_WEIGHTS)' examples/reproduce.sh

# ---- install ----

SYSCONFDIR ?= /etc

install: all ## into PREFIX (/usr/local) below DESTDIR: programs, library, headers, units, man pages, completion
	@systemd/install '$(B)' '$(DESTDIR)' '$(PREFIX)' '$(SYSCONFDIR)' '$(SONAME)' '$(VERSION)' $(PROGRAMS)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo '  MODE=release|debug|asan|tsan chooses the build; PREFIX and DESTDIR where install puts it'

clean: ## remove build/
	rm -rf build

.PHONY: all unit integration check check-interop fuzz soak format tidy compdb bench demo reproduce install help clean FORCE

-include $(ALL_OBJECTS:.o=.d) $(TEST_PROGRAMS:%=%.d) $(INTEGRATION_PROGRAMS:%=%.d) $(BENCH_PROGRAMS:%=%.d) $(wildcard $(B)/*/main.d $(B)/tools/*/main.d)
