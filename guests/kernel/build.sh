#!/bin/bash
# Builds a minimal Linux kernel, the same bits each time from the same source and toolchain.
#
#   build.sh SOURCE.tar.xz WORK_DIR OUT_DIR FRAGMENT...
#
# SOURCE is the archive of Debian's package linux-source-6.12. WORK_DIR is scratch space of about
# 2 GB that the caller removes. The fragments answer Kconfig's questions, later ones win, and what
# no fragment names is off. OUT_DIR receives `vmlinux` (an ELF file without symbols, so that a boot
# decompresses nothing), `System.map`, and `config`.
# CHAOSRUN_JOBS is the number of parallel jobs (default: the number of processors).
#
# `chaosrun artifact build tiny` runs this script; it fetches the source without root and says which
# packages are missing.
set -euo pipefail

if (($# < 4)); then
    echo "usage: build.sh SOURCE.tar.xz WORK_DIR OUT_DIR FRAGMENT..." >&2
    exit 2
fi
source_archive=$(realpath -- "$1")
mkdir -p -- "$2" "$3"
work=$(realpath -- "$2")
out=$(realpath -- "$3")
shift 3
fragments=()
for fragment in "$@"; do
    fragments+=("$(realpath -- "$fragment")")
done
jobs=${CHAOSRUN_JOBS:-$(nproc)}

# Nothing of the caller's environment may reach the build, nor when, where and by whom it is done.
path=$PATH
for name in $(compgen -e); do
    unset "$name" 2>/dev/null || true
done
export PATH=$path LC_ALL=C TZ=UTC HOME=$work
export KBUILD_BUILD_TIMESTAMP='2026-01-01 00:00:00 UTC'
export KBUILD_BUILD_USER=chaosrun KBUILD_BUILD_HOST=chaosrun KBUILD_BUILD_VERSION=1
export SOURCE_DATE_EPOCH=1767225600
umask 022

tree=$work/linux
if [[ ! -e $tree/.unpacked ]]; then
    echo "unpacking the source"
    rm -rf -- "$tree"
    mkdir -- "$tree"
    tar -C "$tree" --strip-components=1 -xf "$source_archive"
    : >"$tree/.unpacked"
fi
cd -- "$tree"

# The last assignment of each symbol counts, so that a fragment can override an earlier one.
wanted=$work/wanted.config
sed -n 's/^\(CONFIG_[A-Za-z0-9_]*\)=.*/\1 &/p' "${fragments[@]}" |
    awk '{ name = $1; sub(/^[^ ]* /, ""); if (!(name in line)) order[++n] = name; line[name] = $0 }
         END { for (i = 1; i <= n; i++) print line[order[i]] }' >"$wanted"

echo "configuring"
make -s KCONFIG_ALLCONFIG="$wanted" allnoconfig

# Kconfig drops what its dependencies forbid without a word; here that is an error.
honoured=true
while IFS= read -r line; do
    name=${line%%=*}
    if [[ $line == *=n ]]; then
        ! grep -q "^$name=" .config && continue
    else
        grep -qxF -- "$line" .config && continue
    fi
    echo "not honoured by this kernel's Kconfig: $line" >&2
    honoured=false
done <"$wanted"
$honoured || exit 1

echo "compiling"
make -j"$jobs" vmlinux

strip --strip-all -o "$out/vmlinux.part" vmlinux
cp -- System.map "$out/System.map"
cp -- .config "$out/config"
mv -- "$out/vmlinux.part" "$out/vmlinux"
echo "done"
