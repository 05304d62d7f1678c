#!/bin/bash
# Prepares the source of `tiny-kvm` for build.sh, whose arguments it takes, and goes on with that.
#
# The kvm engine cannot keep RDTSC from a guest, so that this kernel must not execute it. Its
# configuration is not enough: on x86-64 Kconfig insists on CONFIG_X86_TSC, with which get_cycles()
# reads the time stamp counter without asking CPUID. One line of Kconfig is changed.
set -euo pipefail
source_archive=$(realpath -- "$1")
mkdir -p -- "$2"
work=$(realpath -- "$2")
tree=$work/linux
rm -rf -- "$tree"
mkdir -- "$tree"
tar -C "$tree" --strip-components=1 -xf "$source_archive"
sed -i '/^config X86_TSC$/,/^$/ s/ || X86_64$//' "$tree/arch/x86/Kconfig.cpu"
: >"$tree/.unpacked"
exec bash "$(dirname -- "$0")/build.sh" "$@"
