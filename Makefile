# btget: a BitTorrent downloader for the command line and for cron.
#
#   make            the program                 make demo    see it at work
#   make test       everything is tested        make install PREFIX, DESTDIR
#   make lint       clang-tidy, cppcheck        make layers  who includes whom
#   make fuzz       every parser, FUZZ_SECONDS  make format  clang-format
#   make bench      against floors and rivals, BENCH_ARGS
#
# SAN=thread or SAN=address,undefined builds into a folder of its own.

VERSION := 0.1.0
CC ?= cc
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
COMPDIR ?= $(PREFIX)/share/bash-completion/completions
SAN ?=
comma := ,

ifeq ($(SAN),)
BUILD := build
OPTIMIZE ?= -O2
HARDEN ?= -D_FORTIFY_SOURCE=2 -fstack-protector-strong -Wformat \
	-Werror=format-security
HARDEN_LINK ?= -Wl,-z,relro -Wl,-z,now -pie
else
BUILD := build-$(subst $(comma),-,$(SAN))
OPTIMIZE ?= -O1 -fno-omit-frame-pointer
HARDEN :=
HARDEN_LINK := -pie
SANFLAGS := -fsanitize=$(SAN) -fno-sanitize-recover=all
endif

PACKAGES := 'libcurl >= 7.73' 'libcrypto >= 1.1'
WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wvla -Wpointer-arith -Wcast-qual -Wundef -Wno-psabi
ifneq ($(findstring clang,$(shell $(CC) --version 2>/dev/null)),)
WARN += -Wthread-safety
endif
CPPFLAGS_ALL := -Iinclude -D_GNU_SOURCE -include base/wide.h \
	-DBTGET_VERSION='"$(VERSION)"' $(CPPFLAGS)
# What pkg-config says, asked once and only when something is built.
once = $(eval $1 := $(shell pkg-config $2))$($1)
PACKAGE_FLAGS = $(call once,PACKAGE_FLAGS,--cflags $(PACKAGES))
PACKAGE_LIBS = $(call once,PACKAGE_LIBS,--libs libcrypto)
CMOCKA = $(call once,CMOCKA,--cflags --libs cmocka)
CFLAGS_ALL = -std=c11 -pthread -fPIE $(OPTIMIZE) -g $(WARN) $(HARDEN) \
	$(SANFLAGS) $(PACKAGE_FLAGS) $(CFLAGS)
LDFLAGS_ALL = -pthread $(HARDEN_LINK) $(SANFLAGS) $(LDFLAGS)
# libcurl is loaded by src/net/http_library.c when it is needed.
# Old ARM and others count to 2^64 by a library.
ATOMIC_LIB = $(eval ATOMIC_LIB := $(shell \
	echo '_Atomic long long n; int main(void) { return (int)n++; }' | \
	$(CC) $(CFLAGS) -x c - -o /dev/null 2>/dev/null || echo -latomic))$(ATOMIC_LIB)
LIBS = $(PACKAGE_LIBS) $(ATOMIC_LIB) -ldl

SRC := $(wildcard src/*/*.c)
OBJ := $(SRC:src/%.c=$(BUILD)/obj/%.o)
LIB_OBJ := $(filter-out $(BUILD)/obj/cli/main.o,$(OBJ))
LIB := $(BUILD)/libbtget.a
TEST_SRC := $(wildcard test/*/test_*.c)
TEST_BIN := $(TEST_SRC:test/%.c=$(BUILD)/test/%)

.PHONY: all unit test demo install uninstall clean lint layers format fuzz \
	fuzz-build deps bench bench-build
.SECONDARY:
.DELETE_ON_ERROR:

all: $(BUILD)/btget

$(BUILD)/btget: $(BUILD)/obj/cli/main.o $(LIB)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

$(LIB): $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(BUILD)/test/%: test/%.c $(LIB)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) -Itest $(CFLAGS_ALL) -MMD -MP -o $@ $< \
		$(LDFLAGS_ALL) $(LIB) $(LIBS) $(CMOCKA) -lutil

# Every unit test; stops at the first program that fails.
unit: $(TEST_BIN)
	@for t in $(TEST_BIN); do $$t || exit 1; done

# Installs what the tests need, builds, and runs them all; QUICK=1 leaves the
# long ones out.
test:
	@sh test/support/deps.sh test
	@$(MAKE) --no-print-directory $(BUILD)/btget $(TEST_BIN)
	@sh test/support/test.sh $(BUILD) $(TEST_BIN)

# Installs what the build needs, builds, and shows a download.
demo:
	@sh test/support/deps.sh demo
	@$(MAKE) --no-print-directory $(BUILD)/btget
	@sh test/support/demo.sh $(BUILD)/btget

deps:
	@sh test/support/deps.sh build

install: $(BUILD)/btget
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(MANDIR)/man1 \
		$(DESTDIR)$(COMPDIR)
	install -m 755 $(BUILD)/btget $(DESTDIR)$(BINDIR)/btget
	install -m 644 docs/btget.1 $(DESTDIR)$(MANDIR)/man1/btget.1
	install -m 644 docs/btget.bash $(DESTDIR)$(COMPDIR)/btget

uninstall:
	rm -f $(DESTDIR)$(BINDIR)/btget $(DESTDIR)$(MANDIR)/man1/btget.1 \
		$(DESTDIR)$(COMPDIR)/btget

# ---- the checks of the house: zero findings is the bar ----

HEADERS := $(wildcard include/*/*.h src/*/*.h test/*/*.h)
FUZZ_SRC := $(wildcard test/fuzz/fuzz_*.c)
LINTED := $(SRC) $(TEST_SRC) $(FUZZ_SRC) $(wildcard test/bench/*.c)
LINT_FLAGS = $(CPPFLAGS_ALL) -Itest -std=c11 -pthread \
	$(PACKAGE_FLAGS) $(filter-out -l%,$(CMOCKA))
TIDIED := $(LINTED:%=build/lint/%.tidy)
ALONE := $(HEADERS:%=build/lint/%.alone)

lint: $(TIDIED) $(ALONE) build/lint/cppcheck

# The analyzer gives a function up after so many steps; its own figure is
# 225000, with which test/net/test_utp.c takes six times as long.
LINT_STEPS ?= $(if $(filter test/%,$<),10000,50000)

# Each file by clang's warnings, those on locks among them, and by clang-tidy.
# One file a run: in a run over several, clang-tidy 14 takes va_start for
# unknown from the second file on.
build/lint/%.tidy: % $(HEADERS) .clang-tidy test/.clang-tidy
	@mkdir -p $(@D)
	@clang-tidy --quiet $< -- $(LINT_FLAGS) -O1 $(WARN) -Wthread-safety \
		-Xclang -analyzer-config -Xclang max-nodes=$(LINT_STEPS) \
		2>$@.err || { cat $@.err; exit 1; }
	@rm $@.err && touch $@

# Each header includes what it uses, and can be included twice.
build/lint/%.alone: % $(HEADERS)
	@mkdir -p $(@D)
	@printf '#include "%s"\n#include "%s"\n' $(CURDIR)/$< $(CURDIR)/$< | \
		clang $(LINT_FLAGS) -I$(<D) $(WARN) -Werror -fsyntax-only \
		-x c -
	@touch $@

build/lint/cppcheck: $(SRC) $(HEADERS) test/support/cppcheck.txt
	@mkdir -p $(@D)
	@cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr \
		--enable=warning,performance,portability,style \
		--suppressions-list=test/support/cppcheck.txt \
		--library=posix,gnu,bsd \
		-Iinclude -D_GNU_SOURCE -D__linux__ src
	@touch $@

layers:
	@python3 test/support/layers.py

# The lines that changed since FORMAT_SINCE; .clang-format says why only they.
FORMAT_SINCE ?= HEAD
format:
	git clang-format --extensions c,h $(FORMAT_SINCE)

# ---- fuzzing: a parser each, from its committed corpus ----

FUZZ_SECONDS ?= 20
FUZZ_MAX_LEN ?= 65536
FUZZ_SAN := fuzzer-no-link,address,undefined
FUZZ_OBJ := $(patsubst src/%.c,build-fuzz/obj/%.o,$(filter-out \
	src/cli/main.c,$(SRC)))
FUZZ_BIN := $(FUZZ_SRC:test/fuzz/%.c=build-fuzz/%)
FUZZ_CC = clang $(CPPFLAGS_ALL) -Itest -std=c11 -pthread -O1 -g \
	-fno-omit-frame-pointer -fno-sanitize-recover=all $(WARN) \
	$(PACKAGE_FLAGS) -MMD -MP

build-fuzz/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(FUZZ_CC) -fsanitize=$(FUZZ_SAN) -c -o $@ $<

build-fuzz/libbtget.a: $(FUZZ_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

build-fuzz/fuzz_%: test/fuzz/fuzz_%.c build-fuzz/libbtget.a
	$(FUZZ_CC) -fsanitize=fuzzer,address,undefined -o $@ $< \
		build-fuzz/libbtget.a $(LIBS)

fuzz-build: $(FUZZ_BIN)

# New inputs go to build-fuzz/new/, findings to build-fuzz/found/; the
# committed corpus is read only.  The first finding ends it.
FUZZ_RUNS := $(FUZZ_SRC:test/fuzz/fuzz_%.c=fuzz-%)
.PHONY: $(FUZZ_RUNS)
fuzz: $(FUZZ_RUNS)
$(FUZZ_RUNS): fuzz-%: build-fuzz/fuzz_%
	@echo "fuzz $*: $(FUZZ_SECONDS) s"
	@mkdir -p build-fuzz/found build-fuzz/new/$*
	@$< -max_total_time=$(FUZZ_SECONDS) -timeout=10 \
		-rss_limit_mb=2048 -max_len=$(FUZZ_MAX_LEN) \
		-verbosity=0 -print_final_stats=1 \
		-artifact_prefix=build-fuzz/found/$*- \
		build-fuzz/new/$* test/fuzz/corpus/$*

# ---- the bench: docs/BENCHMARKS.md says what it measures ----

BENCH_BIN := $(BUILD)/bench/blaster $(BUILD)/bench/floor \
	$(BUILD)/bench/measure $(BUILD)/bench/line
BENCH_CC = $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(LDFLAGS_ALL) -Wl,--as-needed \
	-o $@ $(filter %.c %.a,$^) $(LIBS)
BENCH_H := $(wildcard test/bench/*.h)

$(BUILD)/bench/blaster: test/bench/blaster.c test/bench/blaster_seed.c \
		test/bench/blaster_leech.c test/bench/common.c \
		$(BENCH_H) $(LIB)
	@mkdir -p $(@D)
	$(BENCH_CC)

$(BUILD)/bench/floor $(BUILD)/bench/measure: $(BUILD)/bench/%: \
		test/bench/%.c test/bench/common.c $(BENCH_H) $(LIB)
	@mkdir -p $(@D)
	$(BENCH_CC)

# It stands alone: the end-to-end tests build it, too.
$(BUILD)/bench/line: test/bench/line.c
	@mkdir -p $(@D)
	$(BENCH_CC)

bench-build: $(BUILD)/btget $(BENCH_BIN)

# BENCH_ARGS="--cases get-1m,cold --size 2048", for example.
bench:
	@sh test/support/deps.sh bench
	@$(MAKE) --no-print-directory bench-build
	@/usr/bin/python3 test/bench/run.py --build $(BUILD) $(BENCH_ARGS)

clean:
	rm -rf build build-*

-include $(OBJ:.o=.d) $(TEST_BIN:=.d) $(FUZZ_OBJ:.o=.d) $(FUZZ_BIN:=.d)
