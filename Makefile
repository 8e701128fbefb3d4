# simclr.c. `make help` lists the targets.
CC       ?= cc
CXX      ?= c++
CROSS    ?=
ifneq ($(CROSS),)
CC       := $(CROSS)gcc
CXX      := $(CROSS)g++
endif
BUILD    ?= build
CFLAGS   ?= -O3 -g
CXXFLAGS ?= -O2 -g
WARN     ?= -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-unknown-pragmas
V        ?= 0
MAKEFLAGS += -j$(shell nproc)
Q        := $(if $(filter 1,$(V)),,@)

# make's own word for the machine where there is no compiler yet: `make test` installs one on the way.
ARCH     := $(or $(shell $(CC) -dumpmachine 2>/dev/null | cut -d- -f1),$(shell uname -m))

# What exactness needs comes after the user's CFLAGS: no contraction, no fast-math, no LTO, one architecture baseline.
EXACT    := -std=c11 -fopenmp -ffp-contract=off -fno-fast-math -fno-lto -fno-math-errno

# Against what a hostile file might reach: checked calls of the C library (which want optimisation, and are the sanitizers' own
# work where there are any), guarded stacks, addresses that nobody knows, tables that cannot be overwritten. User's flags come after.
SANITIZED := $(findstring -fsanitize,$(CFLAGS))
FORTIFY  := $(if $(filter-out -O0,$(lastword $(filter -O%,$(CFLAGS)))),-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
FORTIFY  := $(if $(SANITIZED)$(findstring _FORTIFY_SOURCE,$(CPPFLAGS) $(CFLAGS)),,$(FORTIFY))
# -fPIC: the same objects make the program and the library, in which only what include/ declares is visible.
HARDEN   := -fPIC -fvisibility=hidden -fstack-protector-strong $(FORTIFY)
# Criterion walks over its tests as they lie in memory; clang would leave gaps between hidden ones.
$(BUILD)/tests/%.o: HARDEN += -fvisibility=default
HARDEN_LD := -pie -Wl,-z,relro,-z,now,-z,noexecstack
override CPPFLAGS += -Iinclude -Isrc -I. -I$(PROTO) -D_POSIX_C_SOURCE=200809L -MMD -MP
ifeq ($(ARCH),arm) # 32 bits: files over 2 GiB, and times after 2038
override CPPFLAGS += -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64
endif
STB_CFLAGS = $(shell pkg-config --cflags-only-I stb | sed 's/-I/-isystem /g')
LDLIBS   += -ljansson -lm $(PROTO_LIBS)
BENCH_LIBS = -lbenchmark -lpthread -ldl $(LDLIBS)

ifeq ($(ARCH),x86_64)
ISAS     := scalar avx2 avx512
else ifeq ($(ARCH),aarch64)
ISAS     := scalar neon
else
ISAS     := scalar
endif
FLAGS_scalar :=
FLAGS_avx2   := -mavx2 -mfma -mf16c -DISA_IS_AVX2
FLAGS_avx512 := -mavx2 -mfma -mf16c -mavx512f -mavx512vl -mavx512bw -mavx512dq -mprefer-vector-width=512 -DISA_IS_AVX512
FLAGS_neon   := -DISA_IS_NEON

# Protocol buffers, for ONNX and TensorBoard, are optional: protoc-c makes C of every src/io/*.proto where it and the library are installed, and
# protobuf.h tells the code. Looked for when they are needed, so that `make test` may have installed them before.
PROTO    := $(BUILD)/proto
PROTO_C  := $(patsubst src/io/%.proto,$(PROTO)/%.pb-c.c,$(wildcard src/io/*.proto))
PKG_CONFIG ?= $(CROSS)pkg-config
HAVE_PROTO = $(shell $(PKG_CONFIG) --exists libprotobuf-c 2>/dev/null && command -v protoc-c >/dev/null && echo yes)
PROTO_CFLAGS = $(if $(HAVE_PROTO),$(shell $(PKG_CONFIG) --cflags-only-I libprotobuf-c))
PROTO_LIBS = $(if $(HAVE_PROTO),$(shell $(PKG_CONFIG) --libs libprotobuf-c))

SHARED   := $(wildcard simd/shared/*.c)
API_SRC  := $(wildcard src/api/*.c)
CORE_SRC := $(wildcard simd/*.c src/base/*.c src/nn/*.c src/data/*.c src/eval/*.c src/train/*.c src/io/*.c data/*.c) $(API_SRC)
CLI_SRC  := $(wildcard src/cli/*.c)
TEST_SRC := $(wildcard tests/*.c)
BENCH_SRC := $(wildcard bench/*.cc)

simd_objects = $(SHARED:%.c=$(BUILD)/$(1)/%.o) $(patsubst %.c,$(BUILD)/$(1)/%.o,$(wildcard simd/$(1)/*.c))
SIMD_OBJ := $(foreach isa,$(ISAS),$(call simd_objects,$(isa)))
CORE_OBJ := $(CORE_SRC:%.c=$(BUILD)/%.o) $(PROTO_C:.c=.o) $(SIMD_OBJ)
CLI_OBJ  := $(CLI_SRC:%.c=$(BUILD)/%.o)
TEST_OBJ := $(TEST_SRC:%.c=$(BUILD)/%.o)
TOOL_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/tools/*.c))
BENCH_OBJ := $(BENCH_SRC:bench/%.cc=$(BUILD)/cxx/%.o) $(ISAS:%=$(BUILD)/%/probe.o)
DEMO     ?= --arch resnet18 --width 0.25 --image-size 32 --batch-size 64 --optimizer sgd --lr 0.06 --wd 5e-4 --temperature 0.2 \
            --augment cifar --crop-min 0.3 --limit 4000 --epochs 6 --knn-every 2

.DEFAULT_GOAL := all
all: $(BUILD)/simclr ## build the trainer, build/simclr (the default)

$(BUILD)/simclr: $(CLI_OBJ) $(BUILD)/objects.a
	@echo "  LINK $@"
	$(Q)$(CC) $(CFLAGS) $(EXACT) $(HARDEN_LD) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/simclr.1: $(BUILD)/simclr
	$(Q)$< man > $@

$(BUILD)/objects.a: $(CORE_OBJ)
	@echo "  AR   $@"
	$(Q)rm -f $@ && $(CROSS)ar rcs $@ $^

# ---- The library: of all objects those that src/api needs, and of their symbols only simclr_* ----

VERSION  := $(shell sed -n 's/^.define SIMCLR_VERSION "\(.*\)"/\1/p' include/simclr/status.h)
SONAME   := libsimclr.so.0
SHARED_LIB := libsimclr.so.$(VERSION)
API_OBJ  := $(API_SRC:%.c=$(BUILD)/%.o)
OMP_LIBS := $(if $(findstring clang,$(shell $(CC) --version 2>/dev/null)),-lomp,-lgomp)

library: $(BUILD)/$(SHARED_LIB) $(BUILD)/libsimclr.a ## build the C library, build/libsimclr.so.* and .a (include/README.md)

$(BUILD)/$(SHARED_LIB): $(API_OBJ) $(BUILD)/objects.a
	@echo "  LINK $@"
	$(Q)$(CC) $(CFLAGS) $(EXACT) -shared -Wl,-soname,$(SONAME),-z,relro,-z,now,-z,noexecstack,--exclude-libs,ALL \
		$(if $(SANITIZED),,-Wl,-z,defs) $(LDFLAGS) -o $@ $^ $(LDLIBS)
	$(Q)ln -sf $(SHARED_LIB) $(BUILD)/$(SONAME) && ln -sf $(SONAME) $(BUILD)/libsimclr.so

# One object whose hidden names are its own: they meet none of the user's.
$(BUILD)/libsimclr.a: $(API_OBJ) $(BUILD)/objects.a
	@echo "  AR   $@"
	$(Q)rm -f $@ && $(CC) -r -nostdlib -o $(BUILD)/libsimclr.o $^ && $(CROSS)objcopy --localize-hidden $(BUILD)/libsimclr.o && \
		$(CROSS)ar rcs $@ $(BUILD)/libsimclr.o && rm $(BUILD)/libsimclr.o

PREFIX   ?= /usr/local
BINDIR   ?= $(PREFIX)/bin
LIBDIR   ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DATADIR  ?= $(PREFIX)/share
DOCDIR   ?= $(DATADIR)/doc/simclr
INSTALL  ?= install
# What the program writes of itself: another machine's does not run here.
PROGRAM_WRITES := $(if $(CROSS),,$(BUILD)/simclr.1 $(BUILD)/completion/simclr $(BUILD)/completion/_simclr)
HEADERS  := $(wildcard include/simclr/*.h)
EXAMPLES := $(wildcard include/examples/*)

$(BUILD)/completion/simclr $(BUILD)/completion/_simclr: $(BUILD)/simclr
	@mkdir -p $(@D)
	$(Q)$< completion $(if $(filter _%,$(@F)),zsh,bash) >$@

install: all library $(PROGRAM_WRITES) ## install program, library, headers, manual, completions: PREFIX=/usr/local, LIBDIR=, DESTDIR=
	$(Q)$(INSTALL) -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)/simclr $(DESTDIR)$(DOCDIR)/examples
	$(Q)$(INSTALL) $(BUILD)/simclr $(DESTDIR)$(BINDIR)
	$(Q)$(INSTALL) -m 644 $(HEADERS) $(DESTDIR)$(INCLUDEDIR)/simclr
	$(Q)$(INSTALL) -m 644 $(BUILD)/$(SHARED_LIB) $(BUILD)/libsimclr.a $(DESTDIR)$(LIBDIR)
	$(Q)ln -sf $(SHARED_LIB) $(DESTDIR)$(LIBDIR)/$(SONAME) && ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libsimclr.so
	$(Q)sed -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@INCLUDEDIR@|$(INCLUDEDIR)|; s|@VERSION@|$(VERSION)|' \
		-e 's|@LIBS@|$(strip $(LDLIBS) $(OMP_LIBS))|' include/simclr.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/simclr.pc
	$(Q)$(INSTALL) -m 644 README.md LICENSE $(DESTDIR)$(DOCDIR) && $(INSTALL) -m 644 include/README.md $(DESTDIR)$(DOCDIR)/library.md
	$(Q)$(INSTALL) -m 644 $(EXAMPLES) $(DESTDIR)$(DOCDIR)/examples
ifneq ($(PROGRAM_WRITES),)
	$(Q)$(INSTALL) -D -m 644 $(BUILD)/simclr.1 $(DESTDIR)$(DATADIR)/man/man1/simclr.1
	$(Q)$(INSTALL) -D -m 644 $(BUILD)/completion/simclr $(DESTDIR)$(DATADIR)/bash-completion/completions/simclr
	$(Q)$(INSTALL) -D -m 644 $(BUILD)/completion/_simclr $(DESTDIR)$(DATADIR)/zsh/site-functions/_simclr
endif

uninstall: ## remove what install put there, with the same PREFIX, LIBDIR and DESTDIR
	$(Q)rm -f $(addprefix $(DESTDIR),$(BINDIR)/simclr $(addprefix $(LIBDIR)/,$(SHARED_LIB) $(SONAME) libsimclr.so libsimclr.a pkgconfig/simclr.pc) \
		$(DATADIR)/man/man1/simclr.1 $(DATADIR)/bash-completion/completions/simclr $(DATADIR)/zsh/site-functions/_simclr)
	$(Q)rm -rf $(DESTDIR)$(INCLUDEDIR)/simclr $(DESTDIR)$(DOCDIR)

dist: ## write build/simclr-VERSION.tar.gz, what is committed; the same bytes of the same commit
	@mkdir -p $(BUILD)
	$(Q)git -c tar.umask=0022 archive --format=tar --prefix=simclr-$(VERSION)/ HEAD | gzip -9n >$(BUILD)/simclr-$(VERSION).tar.gz
	@echo "$(BUILD)/simclr-$(VERSION).tar.gz"

$(BUILD)/tests/run: $(TEST_OBJ) $(BUILD)/objects.a
	@echo "  LINK $@"
	$(Q)$(CC) $(CFLAGS) $(EXACT) $(HARDEN_LD) $(LDFLAGS) -o $@ $^ -lcriterion $(LDLIBS)

# Debian has no static-pie for 32-bit ARM. Of OpenMP's dlopen ld warns; it is for accelerators only.
STATIC_LD := $(if $(filter arm,$(ARCH)),-no-pie -static,-static-pie)
static: $(BUILD)/simclr-static ## build build/simclr-static, which needs no libraries: it runs on any Linux of its architecture
$(BUILD)/simclr-static: $(CLI_OBJ) $(BUILD)/objects.a
	@echo "  LINK $@"
	$(Q)$(CC) $(CFLAGS) $(EXACT) $(HARDEN_LD) $(STATIC_LD) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# The trainer with a file around its convolutions that measures their errors; built by name only.
WRAPPED  := conv_algorithm conv_forward conv_backward_data conv_backward_weights
$(BUILD)/accuracy: $(BUILD)/tests/tools/accuracy.o $(CLI_OBJ) $(BUILD)/objects.a
	@echo "  LINK $@"
	$(Q)$(CC) $(CFLAGS) $(EXACT) $(HARDEN_LD) $(LDFLAGS) $(WRAPPED:%=-Wl,--wrap=%) -o $@ $^ $(LDLIBS)

# For tests/export_test.py (features) and tests/end_to_end.sh (the others).
TOOLS    := $(addprefix $(BUILD)/tests/,features pictures json_value)
$(TOOLS): $(BUILD)/tests/%: $(BUILD)/tests/tools/%.o $(BUILD)/objects.a
	@echo "  LINK $@"
	$(Q)$(CC) $(CFLAGS) $(EXACT) $(HARDEN_LD) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# Preloaded by tests/inject.sh.
$(BUILD)/inject.so: tests/tools/inject.c
	@mkdir -p $(@D)
	@echo "  CC   $<"
	$(Q)$(CC) -std=c11 -O1 -g -fPIC -shared $(filter-out -Wmissing-prototypes,$(WARN)) -Wno-nonnull-compare -o $@ $< -ldl

# The only C++: its own folder of objects, for build/bench is the program.
$(BUILD)/bench: $(BENCH_OBJ) $(BUILD)/objects.a
	@echo "  LINK $@"
	$(Q)$(CXX) $(CXXFLAGS) -fopenmp $(HARDEN_LD) $(LDFLAGS) -o $@ $^ $(BENCH_LIBS)

# bench with a faulty kernel, which --compare-isa must find; built by name only.
$(BUILD)/tests/compare_faults: $(BUILD)/tests/tools/compare_faults.o $(BENCH_OBJ) $(BUILD)/objects.a
	@echo "  LINK $@"
	$(Q)$(CXX) $(CXXFLAGS) -fopenmp $(HARDEN_LD) $(LDFLAGS) -Wl,--wrap=isa_list -o $@ $^ $(BENCH_LIBS)

$(BUILD)/cxx/%.o: bench/%.cc
	@mkdir -p $(@D)
	@echo "  CXX  $<"
	$(Q)$(CXX) $(CPPFLAGS) -I$(BUILD)/cxx -std=c++17 -Wall -Wextra -fPIE $(CXXFLAGS) -c -o $@ $<

# What bench --peers measures beside us: a shared object for each library that is installed here. The engine links none.
ifneq ($(filter bench,$(MAKECMDGOALS)),)
ifeq ($(CROSS),)
peer_flags = $(or $(shell pkg-config --cflags --libs $(1) 2>/dev/null),$(shell echo '\#include <$(2)>' | $(CXX) -x c++ -E - >/dev/null 2>&1 && \
             echo $(3)))
PEER_openblas := $(shell pkg-config --cflags --libs openblas 2>/dev/null)
PEER_blis     := $(call peer_flags,blis,blis.h,-lblis)
PEER_onednn   := $(call peer_flags,dnnl,dnnl.hpp,-ldnnl)
PEER_opencv   := $(shell pkg-config --exists opencv4 && pkg-config --cflags --libs-only-L opencv4 && echo -lopencv_imgproc -lopencv_core)
PEERS    := $(foreach peer,openblas blis onednn opencv,$(if $(strip $(PEER_$(peer))),$(BUILD)/peers/$(peer).so))
endif
endif
$(BUILD)/peers/%.so: bench/peers/%.cc bench/peers/peer.h
	@mkdir -p $(@D)
	@echo "  CXX  $<"
	$(Q)$(CXX) -I. -std=c++17 -Wall -Wextra $(CXXFLAGS) -fopenmp -fPIC -shared -o $@ $< $(PEER_$*) || echo "bench will do without $*" >&2

$(BUILD)/cxx/main.o: $(BUILD)/cxx/build_info.h
$(BUILD)/cxx/build_info.h: FORCE
	@mkdir -p $(@D)
	@printf '#define BENCH_%s "%s"\n' COMPILER "$$($(CC) --version | head -n 1)" FLAGS '$(HARDEN) $(CFLAGS) $(EXACT)' \
		COMMIT "$$(git describe --always --dirty 2>/dev/null || echo unknown)" >$@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(PROTO)/protobuf.h: FORCE | deps
	@mkdir -p $(@D)
	@echo '#define HAVE_PROTOBUF_C $(if $(HAVE_PROTO),1,0)' >$@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(PROTO)/%.pb-c.c: src/io/%.proto $(PROTO)/protobuf.h
	@echo "  PROTO $<"
	$(Q)$(if $(HAVE_PROTO),protoc-c --proto_path=src/io --c_out=$(PROTO) $<,echo >$@)

# protoc-c's code is not ours to mend. NDEBUG: its assertions would end the program.
$(PROTO)/%.o: $(PROTO)/%.c
	@echo "  CC   $<"
	$(Q)$(CC) $(CPPFLAGS) $(PROTO_CFLAGS) -DNDEBUG $(HARDEN) $(CFLAGS) $(EXACT) -w -c -o $@ $<

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC   $<"
	$(Q)$(CC) $(CPPFLAGS) $(STB_CFLAGS) $(PROTO_CFLAGS) $(HARDEN) $(CFLAGS) $(EXACT) $(WARN) -c -o $@ $<

# A folder of simd/ is a set of compile flags; simd/shared is compiled once for each.
define isa_rules
$(BUILD)/$(1)/simd/%.o: simd/%.c
	@mkdir -p $$(@D)
	@echo "  CC   $$< ($(1))"
	$(Q)$(CC) $(CPPFLAGS) -Isimd $(HARDEN) $(CFLAGS) $(EXACT) $(WARN) $$(FLAGS_$(1)) -DISA=$(1) -c -o $$@ $$<

$(BUILD)/$(1)/probe.o: bench/probe.c
	@mkdir -p $$(@D)
	@echo "  CC   $$< ($(1))"
	$(Q)$(CC) $(CPPFLAGS) -Isimd $(HARDEN) $(CFLAGS) $(EXACT) $(WARN) $$(FLAGS_$(1)) -DISA=$(1) -c -o $$@ $$<
endef
$(foreach isa,$(ISAS),$(eval $(call isa_rules,$(isa))))

test: $(BUILD)/tests/run $(BUILD)/simclr $(BUILD)/tests/pictures $(BUILD)/tests/json_value ## build and run the tests (TEST=name runs one suite)
	$(Q)SIMCLR_BIN=$(BUILD)/simclr OMP_WAIT_POLICY=passive $(BUILD)/tests/run $(if $(TEST),--filter '$(TEST)/*')
	$(if $(TEST),,$(Q)OMP_WAIT_POLICY=passive tests/end_to_end.sh $(BUILD))

demo: $(BUILD)/simclr ## train for under three minutes on a generated set (DATA=DIR: on your images)
	$(Q)run=runs/demo; n=1; while [ -e $$run ]; do n=$$((n + 1)); run=runs/demo-$$n; done; \
	$(BUILD)/simclr train $(if $(DATA),'$(DATA)') -o $$run $(DEMO)

soak: $(BUILD)/simclr ## train, kill and resume for MINUTES=1; the end must equal an undisturbed run's (DATA=DIR, SEED=N)
	$(Q)MINUTES='$(or $(MINUTES),1)' SEED='$(SEED)' DATA='$(DATA)' tests/soak.sh $(BUILD)/simclr $(BUILD)/soak

inject: $(BUILD)/simclr $(BUILD)/inject.so ## make every STRIDE=1-th allocation, read, write ... of short runs fail (FOREVER=1: for good, too)
	$(Q)STRIDE='$(STRIDE)' FOREVER='$(FOREVER)' tests/inject.sh $(BUILD)/simclr $(BUILD)/inject.so $(BUILD)/inject

# The parsers with clang's instruments around them; what computes is left out.
FUZZ     := $(BUILD)/fuzz
FUZZ_TARGETS := image npy cifar stl10 checkpoint config run_files
FUZZ_CFLAGS := -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
fuzz: ## fuzz every parser for SECONDS=600 each with clang's libFuzzer, two at a time (TARGETS='image npy' only these)
	$(Q)CC=clang .ci/deps.sh --install build test fuzz
	$(Q)MAKEFLAGS= $(MAKE) --no-print-directory CC=clang BUILD=$(FUZZ) CFLAGS='$(FUZZ_CFLAGS)' fuzz-targets
	$(Q)SECONDS_EACH='$(or $(SECONDS),600)' tests/fuzz/run.sh $(FUZZ) $(or $(TARGETS),$(FUZZ_TARGETS))

FUZZ_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard src/base/*.c src/data/*.c src/io/*.c src/train/*.c data/*.c)) $(PROTO_C:.c=.o)
FUZZ_HELP := $(patsubst %,$(BUILD)/tests/fuzz/%.o,files records tiny_network)
fuzz-targets: $(FUZZ_TARGETS:%=$(BUILD)/%) $(BUILD)/corpus_files

$(BUILD)/libparsers.a: $(FUZZ_OBJ) $(FUZZ_HELP)
	$(Q)rm -f $@ && ar rcs $@ $^

$(FUZZ_TARGETS:%=$(BUILD)/%): $(BUILD)/%: $(BUILD)/tests/fuzz/%.o $(BUILD)/libparsers.a
	@echo "  LINK $@"
	$(Q)$(CC) $(CFLAGS) $(EXACT) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

$(BUILD)/corpus_files: $(BUILD)/tests/fuzz/corpus.o $(BUILD)/tests/temp_files.o $(BUILD)/libparsers.a
	@echo "  LINK $@"
	$(Q)$(CC) $(CFLAGS) $(EXACT) -o $@ $^ -lcriterion $(LDLIBS)

# A build of its own in build/coverage: all tests, and what only the program itself runs.
COVERAGE := $(BUILD)/coverage
coverage: ## share of the lines of src/ and simd/ that the tests run, at least 90 %: build/coverage/report.txt, report.html
	$(Q).ci/deps.sh --install build test coverage
	$(Q)$(MAKE) --no-print-directory BUILD=$(COVERAGE) CFLAGS='-O1 -g --coverage -fprofile-update=atomic' all $(COVERAGE)/tests/run
	$(Q)find $(COVERAGE) -name '*.gcda' -delete
	$(Q)SIMCLR_BIN=$(COVERAGE)/simclr OMP_WAIT_POLICY=passive $(COVERAGE)/tests/run && $(COVERAGE)/simclr selftest
	$(Q)gcovr --root . --filter src/ --filter simd/ --fail-under-line 90 --print-summary --txt $(COVERAGE)/report.txt \
		--html $(COVERAGE)/report.html $(COVERAGE)

check-long: ## what .ci/run has no time for, some hours: soak, fuzzing, failure injection, coverage ... (ONLY='soak coverage')
	$(Q)tests/check_long.sh $(ONLY)

bench: $(BUILD)/bench $(PEERS) ## build build/bench, which times every kernel of every ISA beside the machine's limits

compare-isa: $(BUILD)/bench ## run every ISA on the same rows: equal results, none slower than a lesser one; tables in build/compare-isa.*
	$(Q)$(BUILD)/bench --compare-isa --markdown $(BUILD)/compare-isa.md --json $(BUILD)/compare-isa.json

# Objects wait for what they need to be found. Only `make test`, `demo`, `bench`, `compare-isa` and `deps` install what is missing.
$(CORE_OBJ) $(CLI_OBJ) $(TEST_OBJ) $(BENCH_OBJ) $(TOOL_OBJ): | deps $(PROTO_C)
NEEDS    := $(if $(filter test deps %/tests/run,$(MAKECMDGOALS)),test) $(if $(filter bench compare-isa %/bench %/compare_faults,$(MAKECMDGOALS)),bench)
deps: ## look for the packages that the build and the tests need, and install them
	@CC='$(CC)' CXX='$(CXX)' CROSS='$(CROSS)' LINK='$(filter-out -M%,$(CPPFLAGS)) $(LDFLAGS)' .ci/deps.sh \
		$(if $(filter test demo bench compare-isa deps,$(MAKECMDGOALS)),--install) build $(if $(CROSS),,$(NEEDS))

clean: ## remove build/
	rm -rf $(BUILD)

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

.PHONY: all static library install uninstall dist test demo soak inject fuzz fuzz-targets coverage check-long bench compare-isa deps clean help FORCE
-include $(wildcard $(BUILD)/tests/fuzz/*.d) $(TOOL_OBJ:.o=.d) $(CORE_OBJ:.o=.d) $(CLI_OBJ:.o=.d) $(TEST_OBJ:.o=.d) $(BENCH_OBJ:.o=.d)
