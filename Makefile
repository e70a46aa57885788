# btget: a BitTorrent downloader for the command line and for cron.
#
#   make            the program                 make demo    see it at work
#   make test       everything is tested        make install PREFIX, DESTDIR
#   make lint       clang-tidy, cppcheck        make layers  who includes whom
#   make fuzz       every parser, FUZZ_SECONDS  make format  clang-format
#
# SAN=thread or SAN=address,undefined builds into a folder of its own.

VERSION := 0.1.0
CC ?= cc
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
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

PACKAGES := libcurl libcrypto
WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wvla -Wpointer-arith -Wcast-qual -Wundef
ifneq ($(findstring clang,$(shell $(CC) --version 2>/dev/null)),)
WARN += -Wthread-safety
endif
CPPFLAGS_ALL := -Iinclude -D_GNU_SOURCE -DBTGET_VERSION='"$(VERSION)"' \
	$(CPPFLAGS)
CFLAGS_ALL = -std=c11 -pthread -fPIE $(OPTIMIZE) -g $(WARN) $(HARDEN) \
	$(SANFLAGS) $(shell pkg-config --cflags $(PACKAGES)) $(CFLAGS)
LDFLAGS_ALL = -pthread $(HARDEN_LINK) $(SANFLAGS) $(LDFLAGS)
LIBS = $(shell pkg-config --libs $(PACKAGES))

SRC := $(wildcard src/*/*.c)
OBJ := $(SRC:src/%.c=$(BUILD)/obj/%.o)
LIB_OBJ := $(filter-out $(BUILD)/obj/cli/main.o,$(OBJ))
LIB := $(BUILD)/libbtget.a
TEST_SRC := $(wildcard test/*/test_*.c)
TEST_BIN := $(TEST_SRC:test/%.c=$(BUILD)/test/%)

.PHONY: all unit test demo install clean lint layers format fuzz deps
.SECONDARY:

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
		$(LDFLAGS_ALL) $(LIB) $(LIBS) \
		$(shell pkg-config --cflags --libs cmocka)

# Every unit test; stops at the first program that fails.
unit: $(TEST_BIN)
	@for t in $(TEST_BIN); do $$t || exit 1; done

clean:
	rm -rf build build-*

-include $(OBJ:.o=.d) $(TEST_BIN:=.d)
