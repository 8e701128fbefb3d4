#!/bin/sh
# Runs a command where arm64 programs start like any other, through qemu: Criterion starts itself once for every test.
#
#   tests/emulate/binfmt.sh COMMAND [ARGUMENT...]
#
# The kernel must know which files qemu is for (binfmt_misc). Where this system says so already, the command just runs. Otherwise it
# runs in a namespace that says so, which changes nothing outside: Linux 6.7 or later, no need to be root. Before 6.7 there is one list
# for the whole machine; that is left alone. QEMU_LD_PREFIX and QEMU_CPU are qemu's own. Exit code 77: this machine cannot.
set -eu

qemu=$(command -v qemu-aarch64-static) || { echo "skipped: there is no qemu-aarch64-static; install qemu-user-static"; exit 77; }
! "$1" --version >/dev/null 2>&1 || exec "$@"

# The first bytes of an arm64 ELF file, as qemu's own list gives them; F: qemu is opened now.
rule=':simclr-arm64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
rule="$rule:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:$qemu:F"
list=/proc/sys/fs/binfmt_misc
enter='mount -t binfmt_misc none "$1" && printf %s "$2" >"$1/register"'
if ! why=$(unshare --user --map-root-user --mount sh -c "$enter" sh $list "$rule" 2>&1); then
    echo "skipped: arm64 programs do not start here, and no namespace where they would can be made ($why)."
    echo "Linux 6.7 or later lets one; before it, install qemu-user-static and binfmt-support on the machine itself"
    exit 77
fi
# In it, by one more, the command is an ordinary user: some tests look for files that nobody but root may read.
exec unshare --user --map-root-user --mount sh -c \
    "$enter"' && shift 2 && exec unshare --user --map-user=65534 --map-group=65534 "$@"' sh $list "$rule" "$@"
