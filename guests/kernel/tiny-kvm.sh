#!/bin/bash
# Prepares the source of `tiny-kvm` for build.sh, whose arguments it takes, and goes on with that.
#
# The kvm engine cannot keep RDTSC from a guest, so that this kernel must not execute it. Its
# configuration is not enough, so that four places of the source are changed:
# - On x86-64 Kconfig insists on CONFIG_X86_TSC, with which get_cycles() reads the time stamp counter
#   without asking CPUID.
# - What is left as a clock is the interval timer, which is no clock source on x86-64 (two places).
# - A kernel on hardware-reduced ACPI ignores the interval timer, which the machine does have.
set -euo pipefail
source_archive=$(realpath -- "$1")
mkdir -p -- "$2"
work=$(realpath -- "$2")
tree=$work/linux
rm -rf -- "$tree"
mkdir -- "$tree"
tar -C "$tree" --strip-components=1 -xf "$source_archive"

# Changes a file of the source. An expression that changes nothing means that the source is another one.
change() {
    local expression=$1 file=$tree/$2
    sed --in-place=.before "$expression" "$file"
    if cmp -s -- "$file" "$file.before"; then
        echo "nothing to change in $2: $expression" >&2
        exit 1
    fi
    rm -- "$file.before"
}
change '/^config X86_TSC$/,/^$/ s/ || X86_64$//' arch/x86/Kconfig.cpu
change '/^config X86_64$/ a\	select CLKSRC_I8253' arch/x86/Kconfig
change '/^#ifndef CONFIG_X86_64$/d; /^#endif .*CONFIG_X86_64/d' arch/x86/kernel/i8253.c
change '/^void __init acpi_generic_reduced_hw_init/,/^}/ { /x86_init_noop;/d; /null_legacy_pic;/d }' \
    arch/x86/kernel/acpi/boot.c
: >"$tree/.unpacked"
exec bash "$(dirname -- "$0")/build.sh" "$@"
