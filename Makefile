# Builds hostmem for Linux and for 64-bit Windows (mingw-w64, run under Wine), and tests it. `make help` lists the targets.
#
#   OS       linux (default) or windows
#   VARIANT  release (default), debug, asan, tsan, cov
#   CC       gcc (default) or clang
#
# One call builds one combination, out of tree in build/<os>[-variant][-clang]. New source files are found by themselves.

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

OS ?= linux
VARIANT ?= release
ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(filter $(OS),linux windows),)
$(error OS=$(OS) is not a system that hostmem is built for: linux, windows)
endif
ifeq ($(filter $(VARIANT),release debug asan tsan cov),)
$(error VARIANT=$(VARIANT) is not a variant: release, debug, asan, tsan, cov)
endif
ifeq ($(OS)-$(filter $(VARIANT),asan tsan cov),windows-$(VARIANT))
$(error VARIANT=$(VARIANT) exists on Linux only)
endif

# All processors are used unless the caller's -j says how many.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif

ifeq ($(V),)
quiet = @printf '  %-5s %s\n' $(1) $(2);
else
quiet =
endif

# ---- What is built where ------------------------------------------------------------------------------------------

clang := $(findstring clang,$(notdir $(firstword $(CC))))
suffix := $(patsubst %,-%,$(filter-out release,$(VARIANT)))$(if $(clang),-clang)
B := build/$(OS)$(suffix)
cache := .cache
mimalloc_source := $(cache)/mimalloc-2.0.9

ifeq ($(OS),windows)
triple := x86_64-w64-mingw32
compile := $(if $(clang),$(CC) --target=$(triple),$(triple)-$(notdir $(CC)))
ld := $(triple)-ld
ar := $(triple)-ar
objcopy := $(triple)-objcopy
exe := .exe
else
compile := $(CC)
ld := ld
ar := ar
objcopy := objcopy
exe :=
endif

# ---- Flags --------------------------------------------------------------------------------------------------------

variant_release := -O2
variant_debug := -O1 -DHM_DEBUG -DHM_FAULT
variant_asan := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all -DHM_DEBUG -DHM_FAULT \
	-DHM_SANITIZED
variant_tsan := -O1 -fno-omit-frame-pointer -fsanitize=thread -DHM_ATOM_BUILTIN -DHM_DEBUG -DHM_FAULT -DHM_SANITIZED
variant_cov := -O0 --coverage -DHM_DEBUG -DHM_FAULT

warnings := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes
# Third-party headers are system headers to the compiler, so that its warnings are about this project's code.
includes := -Iinclude -Isrc -isystem $(mimalloc_source)/include
common_flags := -std=gnu11 -g $(variant_$(VARIANT)) -fvisibility=hidden -MMD -MP
link_flags := $(filter -fsanitize=% --coverage,$(variant_$(VARIANT)))
ifeq ($(OS),windows)
includes += -isystem build/ck-include
# (Without the model, gcc asks the loader's table for the place of each word that another file defines.)
common_flags += -DHM_BUILDING_DLL -mcmodel=small
# Nothing of the compiler is needed beside the programs and the DLL.
link_flags += -static -static-libgcc
ifneq ($(clang),)
# clang knows the cross compiler's libraries, but not the folder of its own.
link_flags += -fuse-ld=lld -L$(dir $(shell $(triple)-gcc -print-libgcc-file-name))
endif
link_libs := -lbcrypt -lpsapi -lpthread
else
common_flags += -fPIC -pthread
link_flags += -pthread
link_libs := -lm
endif
CFLAGS ?=
c_flags = $(common_flags) $(warnings) $(includes) $(CFLAGS)

# ---- Sources ------------------------------------------------------------------------------------------------------

layers := base core heap vm policy com api
fault_file := $(if $(findstring HM_FAULT,$(variant_$(VARIANT))),src/os/fault.c)
engine_sources := $(sort $(foreach layer,$(layers),$(wildcard src/$(layer)/*.c)) $(wildcard src/os/$(OS)*.c $(fault_file)))
tools := $(patsubst src/tools/%/main.c,%,$(sort $(wildcard src/tools/*/main.c)))
# One asks Linux' kernel, one starts Windows programs.
tools := $(filter-out $(if $(filter windows,$(OS)),measure record,run),$(tools))
# The CLR's host gets at the two systems' CLRs in different ways.
tool_sources = $(sort $(wildcard src/tools/$(1)/*.c))
ifeq ($(OS),windows)
tool_sources = $(if $(filter clr,$(1)),$(patsubst %,src/tools/clr/%.c,assembly collect counts host raw record report run),$\
	$(wildcard src/tools/$(1)/*.c)) $(sort $(wildcard src/tools/$(1)/windows/*.c))
endif
# The tools bring no part of the engine but its writer of JSON, and what writes a view.
tool_common_sources := $(sort $(wildcard src/tools/common/*.c)) src/base/json.c src/base/published_json.c
test_common_sources := $(sort $(wildcard tests/common/*.c))

# A test program is one file; what several of a folder share goes to tests/common.
unit_sources := $(sort $(wildcard tests/unit/*.c))
stress_sources := $(sort $(wildcard tests/stress/*.c))
view_sources := $(sort $(wildcard tests/view/*.c))
model_sources := $(filter-out tests/model/explore%.c,$(sort $(wildcard tests/model/*.c)))
conform_sources := $(sort $(wildcard tests/conform/*.c))
# The differential fuzzer compares with the system's own Win32; the other one compares with a model.
fuzz_sources := $(sort $(if $(filter windows,$(OS)),$(wildcard tests/fuzz/*_diff.c),$(wildcard tests/fuzz/*_model.c)))

objects_of = $(patsubst %.c,$(B)/obj/%.o,$(1))
programs_of = $(patsubst %.c,$(B)/%$(exe),$(1))

engine_objects := $(call objects_of,$(engine_sources))
tool_common_objects := $(call objects_of,$(tool_common_sources))
test_common_objects := $(call objects_of,$(test_common_sources))
explorer_objects := $(call objects_of,$(wildcard tests/model/explore*.c))
# mimalloc is built once for all variants, but ThreadSanitizer has to see its atomics too.
tsan_part := $(filter tsan,$(VARIANT))
mimalloc_object := build/third-party/mimalloc-$(OS)$(patsubst %,-%,$(tsan_part))$(if $(clang),-clang).o

ifeq ($(OS),windows)
libraries := $(B)/hostmem.dll $(B)/libhostmem.a
else
libraries := $(B)/libhostmem.so $(B)/libhostmem.a
endif
tool_programs := $(patsubst %,$(B)/hostmem-%$(exe),$(tools))
unit_programs := $(call programs_of,$(unit_sources))
stress_programs := $(call programs_of,$(stress_sources))
fuzz_programs := $(call programs_of,$(fuzz_sources))
view_programs := $(call programs_of,$(view_sources))
model_programs := $(if $(filter linux,$(OS)),$(call programs_of,$(model_sources)))
conform_programs := $(if $(conform_sources),$(B)/tests/conform/conform$(exe) \
	$(if $(filter windows,$(OS)),$(B)/tests/conform/conform-raw$(exe)))

# ---- Targets for people -------------------------------------------------------------------------------------------

.PHONY: all libs tools unit stress fuzz model conform view tests setup run test soak clean distclean help
.DEFAULT_GOAL := all

all: libs tools
libs: $(libraries)
tools: $(tool_programs)
unit: $(unit_programs)
stress: $(stress_programs)
fuzz: $(fuzz_programs)
model: $(model_programs)
conform: $(conform_programs)
view: $(view_programs)
tests: unit stress fuzz model conform view

help:
	@echo 'make                 the libraries and tools for Linux, in build/linux'
	@echo 'make OS=windows      the same for 64-bit Windows, in build/windows'
	@echo 'make run             sets up, builds, and runs a .NET program on raw memory and on the engine; then make run OS=windows'
	@echo 'make run OS=windows  the same with three Windows programs under Wine and hostmem-run'
	@echo 'make test            sets up, builds everything, runs all tests; ONLY=regex picks suites by name'
	@echo 'make soak            the stress tests and fuzzers, for a long time'
	@echo 'make libs, tools     parts of make'
	@echo 'make unit, stress, fuzz, conform, view, tests   builds test programs without running them; on Linux also'
	@echo '                     make model, preload; for Windows also make OS=windows redirect'
	@echo 'make bench           measures both systems against their peers: a table, and perf/out/latest/report.html, in 5 minutes'
	@echo 'make bench-full      the same with everything that is measured, nine times over, in three quarters of an hour'
	@echo 'make bench-counts    counts instructions, system calls, faults and locked instructions, and checks them'
	@echo 'make readme-figures  rewrites the figures of README.md from the newest run in perf/results'
	@echo 'make setup           only installs and fetches what a build needs'
	@echo 'make clean           deletes build; distclean deletes the cached downloads too'
	@echo
	@echo 'OS=linux|windows VARIANT=release|debug|asan|tsan|cov CC=gcc|clang V=1 CFLAGS=... with any of them'

# Fast and silent when everything is there, so that every build can ask for it. HM_SETUP_DONE: the caller has.
run_parts := $(if $(filter windows,$(OS)),hosts,clr)
setup_parts := build $(filter windows,$(OS)) $(if $(clang),test) $(if $(filter run,$(MAKECMDGOALS)),$(run_parts))
setup:
ifeq ($(HM_SETUP_DONE),)
	@bash src/setup/setup.sh $(setup_parts)
endif

ifeq ($(OS),windows)
run: $(B)/hostmem-run.exe $(B)/hostmem-redirect.dll
	@$(MAKE) --no-print-directory HM_SETUP_DONE=1 OS=linux VARIANT=release build/linux/hostmem-measure
	@bash src/tools/run/run.sh $(B) build/linux $(cache)
else
run: $(B)/hostmem-clr
	@sh src/tools/clr/run.sh $(B) $(cache)
	@$(MAKE) --no-print-directory OS=windows run
endif

test:
	@bash src/setup/setup.sh build windows clr hosts test
	@bash src/setup/bench.sh
	@bash tests/run.sh

soak:
	@bash src/setup/setup.sh build windows clr test
	@bash tests/run.sh --soak

clean:
	rm -rf build

distclean: clean
	rm -rf $(cache)

# ---- Objects ------------------------------------------------------------------------------------------------------

$(B)/obj/%.o: %.c Makefile | setup
	@mkdir -p $(@D)
	$(call quiet,CC,$@)$(compile) $(c_flags) $(extra_flags) -c -o $@ $<

# In test builds src/os/fault.c stands in front of the system's file, whose functions then have other names than in os.h.
$(B)/obj/src/os/%.o: extra_flags = $(if $(fault_file),-Wno-missing-prototypes)
$(B)/obj/src/tools/%.o: extra_flags = -Isrc/tools/common
$(B)/obj/tests/%.o: extra_flags = -Itests/common -Isrc/tools/common

# Not under this project's warnings, and without its own: the code is somebody else's. (weak: its one weak function has no use
# in C, and on Windows leaves the archive with a reference that lld cannot resolve.)
$(mimalloc_object): | setup
	@mkdir -p $(@D)
	$(call quiet,CC,$@)$(compile) -std=gnu11 -O2 -g -DNDEBUG -w -fvisibility=hidden -I$(mimalloc_source)/include \
		$(if $(filter linux,$(OS)),-fPIC,-Dweak=noinline) $(if $(tsan_part),-fsanitize=thread -DMI_TSAN=1) \
		-c -o $@.$$$$ $(mimalloc_source)/src/static.c && mv $@.$$$$ $@

# ---- Libraries ----------------------------------------------------------------------------------------------------

# One relocatable object of everything, in which only the public names stay global: a program that links the archive can have
# a mimalloc, or a function called vm_query, of its own. (.drectve is the list of exports, which only the DLL wants.)
$(B)/libhostmem.a: $(engine_objects) $(mimalloc_object)
	$(call quiet,AR,$@)rm -f $@ && $(ld) -r -o $(B)/hostmem-all.o $^ && \
		$(objcopy) --wildcard --keep-global-symbol='Hm*' $(if $(filter windows,$(OS)),-R .drectve) $(B)/hostmem-all.o && \
		$(ar) rcs $@ $(B)/hostmem-all.o && rm $(B)/hostmem-all.o

# It stays when a program closes it, since threads that end call it, and it may have a thread; and it is bound when it is loaded,
# since that thread is none of the C library's, which binds.
$(B)/libhostmem.so: $(engine_objects) $(mimalloc_object)
	$(call quiet,LINK,$@)printf '{ global: Hm*; local: *; };\n' >$(B)/exports.map && \
		$(compile) -shared -Wl,-soname,libhostmem.so -Wl,--version-script=$(B)/exports.map \
		-Wl,-z,now,-z,nodelete $(if $(filter asan tsan,$(VARIANT)),,-Wl,-z,defs) $(link_flags) -o $@ $^ $(link_libs)

$(B)/hostmem.dll: $(engine_objects) $(mimalloc_object)
	$(call quiet,LINK,$@)$(compile) -shared -Wl,--exclude-all-symbols -Wl,--out-implib,$(B)/libhostmem.dll.a \
		$(link_flags) -o $@ $^ $(link_libs)

$(B)/libhostmem.dll.a: $(B)/hostmem.dll ;

# ---- Tools --------------------------------------------------------------------------------------------------------

define tool_rule
$(B)/hostmem-$(1)$(exe): $(call objects_of,$(call tool_sources,$(1))) $(tool_common_objects) $(B)/libhostmem.a
	$$(call quiet,LINK,$$@)$$(compile) $$(link_flags) -o $$@ $$^ $$(link_libs) \
		$(if $(filter clr,$(1)),$(if $(filter windows,$(OS)),-luuid,-ldl))
endef
$(foreach tool,$(tools),$(eval $(call tool_rule,$(tool))))

# ---- Test programs ------------------------------------------------------------------------------------------------

# An archive, so that a program takes from it only what it uses.
$(B)/tests/common.a: $(test_common_objects)
	@mkdir -p $(@D)
	$(call quiet,AR,$@)rm -f $@ && $(ar) rcs $@ $^

define run_link
	@mkdir -p $(@D)
	$(call quiet,LINK,$@)$(compile) $(link_flags) -o $@ $^ $(link_libs)
endef

# Unit tests and fuzzers reach into the engine: they are linked with its objects.
$(unit_programs) $(fuzz_programs): $(B)/%$(exe): $(B)/obj/%.o $(B)/tests/common.a $(engine_objects) $(mimalloc_object)
	$(run_link)

# Stress tests, and programs to be looked at, take what a user gets.
$(stress_programs) $(view_programs): $(B)/%$(exe): $(B)/obj/%.o $(B)/tests/common.a $(B)/libhostmem.a
	$(run_link)

# A model test includes the production files that it explores; nothing of the engine is linked.
$(B)/obj/tests/model/%.o: extra_flags = -O2 -DHM_ATOM_MODEL -Itests/common -Itests/model
$(model_programs): $(B)/%: $(B)/obj/%.o $(explorer_objects) $(B)/tests/common.a
	$(run_link)

# The conformance program, against the engine and (Windows) against the system itself.
conform_raw_objects := $(patsubst %.c,$(B)/obj-raw/%.o,$(conform_sources))
$(B)/obj-raw/%.o: %.c Makefile | setup
	@mkdir -p $(@D)
	$(call quiet,CC,$@)$(compile) $(c_flags) -Itests/common -DCONFORM_RAW -c -o $@ $<
$(B)/tests/conform/conform$(exe): $(call objects_of,$(conform_sources)) $(B)/tests/common.a $(B)/libhostmem.a
	$(run_link)
$(B)/tests/conform/conform-raw$(exe): $(conform_raw_objects) $(B)/tests/common.a
	$(run_link)

# ---- The malloc drop-in -------------------------------------------------------------------------------------------

# libhostmem-malloc.so is preloaded: the engine once more, compiled so that its thread-local words are at fixed places (finding
# them otherwise may allocate), of which the linker takes what the heap needs; and bound before the first call (binding may
# allocate, too).
ifeq ($(OS)$(filter asan tsan,$(VARIANT)),linux)
malloc_library := $(B)/libhostmem-malloc.so
malloc_objects := $(patsubst %.c,$(B)/obj-malloc/%.o,$(sort $(wildcard src/dropin/malloc/*.c)))
malloc_engine_objects := $(patsubst %.c,$(B)/obj-malloc/%.o,$(engine_sources))
malloc_flags := -ftls-model=initial-exec
# Every process has this library's pages: what nothing in it calls is left out, what is rarely called is compiled for size, and
# the parts that are only read are one mapping.
$(malloc_engine_objects): malloc_flags += -ffunction-sections -fdata-sections
$(foreach layer,os vm policy,$(B)/obj-malloc/src/$(layer)/%.o): malloc_flags += $(if $(filter release,$(VARIANT)),-Os)
malloc_link := -Wl,-z,defs,-z,now,-z,nodelete,-z,noseparate-code,--gc-sections
# Some programs call the C library's functions by their inner names, and mix them with the others.
malloc_link += $(foreach name,malloc calloc realloc free memalign valloc pvalloc,-Wl,--defsym,__libc_$(name)=$(name))
# The compiler must not find a malloc and a memset in calloc; an exception passes through operator new.
$(malloc_objects): malloc_flags += -fexceptions $(patsubst %,-fno-builtin-%,malloc calloc realloc free aligned_alloc)
$(B)/obj-malloc/src/os/%.o: malloc_flags += $(if $(fault_file),-Wno-missing-prototypes)

$(B)/obj-malloc/%.o: %.c Makefile | setup
	@mkdir -p $(@D)
	$(call quiet,CC,$@)$(compile) $(c_flags) $(malloc_flags) -c -o $@ $<

$(B)/obj-malloc/engine.a: $(malloc_engine_objects) $(mimalloc_object)
	$(call quiet,AR,$@)rm -f $@ && $(ar) rcs $@ $^

$(malloc_library): $(malloc_objects) $(B)/obj-malloc/engine.a src/dropin/malloc/exports.map
	$(call quiet,LINK,$@)$(compile) -shared -Wl,-soname,$(@F) -Wl,--version-script=src/dropin/malloc/exports.map \
		$(malloc_link) $(link_flags) -o $@ $(filter %.o %.a,$^)

libs: $(malloc_library)

# libhostmem-record.so, which hostmem-record preloads: of the engine it uses nothing but the public header's constants.
record_library := $(B)/libhostmem-record.so
record_objects := $(patsubst %.c,$(B)/obj-malloc/%.o,$(sort $(wildcard src/dropin/record/*.c)))
$(record_objects): malloc_flags += $(patsubst %,-fno-builtin-%,malloc calloc realloc free aligned_alloc)
$(record_library): $(record_objects) src/dropin/record/exports.map
	$(call quiet,LINK,$@)$(compile) -shared -Wl,-soname,$(@F) -Wl,--version-script=src/dropin/record/exports.map \
		-Wl,-z,defs,-z,now,-z,nodelete $(link_flags) -o $@ $(filter %.o,$^) -ldl
tools: $(record_library)

# Programs that know nothing of the engine; tests/scripts/preload.sh runs them with the library in front of the C library.
malloc_test_programs := $(call programs_of,$(sort $(wildcard tests/preload/*.c)))
# They do on purpose what compilers warn of.
$(B)/obj/tests/preload/%.o: extra_flags = -Itests/common -fno-builtin -fexceptions -Wno-unknown-warning-option \
	-Wno-non-power-of-two-alignment -Wno-use-after-free -Wno-alloc-size-larger-than -Wno-free-nonheap-object \
	-Wno-mismatched-dealloc -Wno-deprecated-declarations
$(malloc_test_programs): $(B)/%: $(B)/obj/%.o
	$(run_link)
.PHONY: preload
preload: $(malloc_test_programs)
tests: preload
endif

# ---- The redirect drop-in ------------------------------------------------------------------------------------------

# hostmem-redirect.dll is the engine once more, without its exports: hostmem-run puts it in front of a program. Neither is of
# any use without the other.
ifeq ($(OS),windows)
redirect_library := $(B)/hostmem-redirect.dll
redirect_objects := $(call objects_of,$(sort $(wildcard src/dropin/redirect/*.c)))
$(redirect_objects): extra_flags = -DHM_BUILDING_REDIRECT

# An archive, so that the DLL takes from it only what it uses; and without the list of exports.
$(B)/obj/redirect-engine.a: $(engine_objects)
	$(call quiet,AR,$@)rm -f $@ && $(ar) rcs $@ $^ && $(objcopy) -R .drectve $@

$(B)/obj/redirect-ntdll.a: src/dropin/redirect/ntdll.def | setup
	@mkdir -p $(@D)
	$(call quiet,AR,$@)$(triple)-dlltool -d $< -l $@

# Without a C runtime: a program that brings none gets none. (Assertions end in one.)
redirect_link = $(filter-out -static%,$(link_flags)) -nostdlib -Wl,-e,redirect_start -Wl,--disable-auto-import
redirect_libs := -lgcc -lkernel32 $(if $(findstring HM_DEBUG,$(variant_$(VARIANT))),-lmsvcrt)
$(redirect_library): $(redirect_objects) $(B)/obj/redirect-engine.a $(B)/obj/redirect-ntdll.a
	$(call quiet,LINK,$@)$(compile) -shared $(redirect_link) -o $@ $^ $(redirect_libs)

libs: $(redirect_library)
$(B)/hostmem-run.exe: | $(redirect_library)

# What is loaded anew with each program is small, and lies in the file as it will in memory, so that it is mapped and not read.
# (The names of functions stay; the rest of what a debugger would like is in hostmem.dll's files.)
$(redirect_library) $(B)/hostmem-run.exe: link_flags += -Wl,--strip-debug,--file-alignment,4096

# Programs that know nothing of the engine; tests/scripts/run.sh runs them with it and without.
redirect_sources := $(sort $(wildcard tests/redirect/*.c))
redirect_programs := $(call programs_of,$(redirect_sources)) $(B)/tests/redirect/part.dll
$(redirect_programs): extra_flags = -Itests/common
$(B)/tests/redirect/none.exe: link_flags += -nostdlib -Wl,-e,start -Wl,--disable-auto-import
$(B)/tests/redirect/none.exe: link_libs =
# Its headers have 64 KiB for themselves, in which run.sh moves them. (That script is run with gcc's; clang's linker would warn.)
ifeq ($(clang),)
$(B)/tests/redirect/ends.exe: link_flags += -Wl,--section-alignment,65536,--file-alignment,65536
endif
$(call programs_of,$(redirect_sources)): $(B)/%.exe: $(B)/obj/%.o
	$(run_link)
$(B)/tests/redirect/part.dll: $(B)/obj/tests/redirect/part/part.o
	@mkdir -p $(@D)
	$(call quiet,LINK,$@)$(compile) -shared $(link_flags) -o $@ $^

.PHONY: redirect
redirect: $(redirect_programs)
tests: redirect
endif

# ---- Benchmarks ---------------------------------------------------------------------------------------------------

# hostmem-bench is C behind Google Benchmark: Debian's library on Linux; for Windows its source, compiled once, by the one
# flavour of the cross compiler that has C++ threads. hostmem-bench-table makes the table of figures from the runs.
bench_objects := $(call objects_of,$(sort $(wildcard bench/*.c)))
bench_glue := $(B)/obj/bench/glue.o
bench_program := $(B)/hostmem-bench$(exe)
bench_table := build/linux/hostmem-bench-table
bench_planted := $(patsubst %,$(B)/bench/planted-%.so,null slow base again tenth)
bench_cxx := $(if $(filter windows,$(OS)),$(triple)-g++-posix,$(if $(clang),clang++,g++))
bench_cxx_flags := -std=c++17 -O2 -g -Wall -Wextra -Werror -Iinclude -Isrc -I. -MMD -MP
ifeq ($(OS),windows)
benchmark_source := $(cache)/benchmark-1.7.1
benchmark_library := build/third-party/benchmark-windows.a
bench_cxx_flags += -isystem $(benchmark_source)/include -DBENCHMARK_STATIC_DEFINE
bench_libs := -lshlwapi
bench_peer := $(B)/bench/mimalloc.o
else
bench_libs := -lbenchmark -ldl
bench_peer :=
endif

.PHONY: bench bench-full bench-build bench-counts bench-programs bench-setup readme-figures
bench-setup: | setup
ifeq ($(HM_SETUP_DONE),)
	@bash src/setup/bench.sh
endif

bench-programs: $(bench_program) $(if $(filter linux,$(OS)),$(B)/hostmem-bench-table $(bench_planted))

# What the benchmarks run. The CLR is one of the rows: without it, they say so and the rest runs.
bench-build:
	@bash src/setup/setup.sh build windows
	@bash src/setup/bench.sh
	@bash src/setup/setup.sh clr || echo 'bench: going on without the CLR' >&2
	@$(MAKE) --no-print-directory HM_SETUP_DONE=1 OS=linux VARIANT=release libs tools bench-programs
	@$(MAKE) --no-print-directory HM_SETUP_DONE=1 OS=windows VARIANT=release libs tools bench-programs

bench: bench-build
	@bash bench/run.sh

bench-full: bench-build
	@bash bench/run.sh --full

bench-counts:
	@bash src/setup/setup.sh build
	@bash src/setup/bench.sh
	@$(MAKE) --no-print-directory HM_SETUP_DONE=1 OS=linux VARIANT=release libs bench-programs
	@bash bench/counts.sh

# The README's table and plots, from the newest run in perf/results (or RECORD=file).
readme-figures:
	@bash src/setup/packages.sh build bench report
	@$(MAKE) --no-print-directory HM_SETUP_DONE=1 OS=linux VARIANT=release tools bench-programs
	@bash perf/readme.sh $(RECORD)

# The compiler may not see through malloc, or it would leave the pairs out.
$(B)/obj/bench/%.o: extra_flags = -I. -Isrc/tools/common -fno-builtin
$(B)/obj/bench/table/%.o: extra_flags = -I. -Isrc/tools/common
$(bench_objects): | bench-setup

$(bench_glue): bench/glue.cc Makefile | bench-setup
	@mkdir -p $(@D)
	$(call quiet,CXX,$@)$(bench_cxx) $(bench_cxx_flags) -c -o $@ $<

$(benchmark_library): | bench-setup
	@mkdir -p $@.work
	$(call quiet,CXX,$@)cd $@.work && ls ../../../$(benchmark_source)/src/*.cc | grep -v benchmark_main | \
		xargs -P $$(nproc) -n 3 $(bench_cxx) -std=c++11 -O2 -DNDEBUG -DHAVE_STD_REGEX -DHAVE_STEADY_CLOCK \
		-DBENCHMARK_STATIC_DEFINE -w -I../../../$(benchmark_source)/include -c && \
		rm -f lib.a && $(ar) rcs lib.a *.o && mv lib.a ../$(@F) && rm -rf ../$(@F).work

# (mimalloc is a peer on Windows; on Linux it is preloaded as the others are.)
$(bench_program): $(bench_objects) $(bench_glue) $(tool_common_objects) $(B)/libhostmem.a $(benchmark_library) \
	$(bench_peer)
	$(call quiet,LINK,$@)$(bench_cxx) $(filter -fsanitize=% --coverage -pthread -static,$(link_flags)) -o $@ $^ $(link_libs) \
		$(bench_libs)

# Its own names only: it stands in for a part of the C++ library, which is linked here too.
$(B)/bench/mimalloc.o: $(mimalloc_object)
	@mkdir -p $(@D)
	$(call quiet,AR,$@)$(objcopy) --wildcard --keep-global-symbol='mi_*' $< $@

$(B)/hostmem-bench-table: $(call objects_of,$(sort $(wildcard bench/table/*.c))) $(tool_common_objects)
	$(call quiet,LINK,$@)$(compile) $(link_flags) -o $@ $^ $(link_libs)

# Malloc libraries that are wrong on purpose, for the test of the suite.
$(B)/bench/planted-%.so: bench/planted/planted.c Makefile | setup
	@mkdir -p $(@D)
	$(call quiet,CC,$@)$(compile) $(c_flags) -fno-builtin -fvisibility=default -DPLANTED_$* -shared -o $@ $< -ldl

-include $(shell find $(B)/obj $(B)/obj-raw $(B)/obj-malloc -name '*.d' 2>/dev/null)
