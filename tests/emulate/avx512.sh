#!/bin/sh
# Runs x86-64 programs on an emulated CPU with AVX-512, for machines that have none.
#
#   tests/emulate/avx512.sh [-f FILE]... [-m MiB] [-t SECONDS] PROGRAM [ARG...] [: PROGRAM [ARG...]]...
#
# Prints what the programs print; exits with the first exit code that is not 0, 125 if the emulation itself failed.
# The programs, and the libraries that they are linked to, are copied to /bin and run in /tmp of the emulated machine, where
# each -f FILE (or folder) is found under the relative path given. ":" starts another program on the same boot, which takes
# about half a minute. Needs: bochs isolinux syslinux-common xorriso cpio, gcc and static glibc; the
# distribution's kernel is fetched with apt-get and unpacked into $CACHE, not installed.
#
# Bochs plays a Skylake-X (F, CD, BW, DQ, VL and nothing newer) at some 50 million instructions a second; qemu has no
# AVX-512 at all. All is in an initramfs on a CD image: no need to be root, no loop devices, no modules.
# Known faults of Bochs 2.7: vpinsrb in its EVEX form misreads a byte displacement, and x87 logarithms are off by some ulp.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
CACHE=${CACHE:-build/emulate}
memory=512
limit=1200
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 125' INT TERM
root=$work/root
mkdir -p "$work/iso" "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/tmp"

die() { echo "avx512.sh: $*" >&2; exit 125; }

while getopts f:m:t: option; do
    case $option in
    f) cp -rL --parents "$OPTARG" "$root/tmp/" ;;
    m) memory=$OPTARG ;;
    t) limit=$OPTARG ;;
    *) die "usage: avx512.sh [-f FILE]... [-m MiB] [-t SECONDS] PROGRAM [ARG...] [: PROGRAM [ARG...]]..." ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || die "no program to run"
for tool in bochs xorriso cpio; do
    command -v $tool >/dev/null || die "$tool is missing: apt-get install bochs isolinux syslinux-common xorriso cpio"
done

# The leanest kernel that the distribution has, unpacked once. Debian's and Ubuntu's differ in name.
kernel=$CACHE/vmlinuz
if [ ! -e "$kernel" ]; then
    mkdir -p "$CACHE"
    for meta in linux-image-cloud-amd64 linux-image-virtual linux-image-amd64 linux-image-generic; do
        package=$(apt-cache depends "$meta" 2>/dev/null | awk '/Depends: linux-image-[0-9]/ { print $2; exit }')
        [ -z "$package" ] || break
    done
    [ -n "$package" ] || die "apt knows no kernel: apt-get update"
    (cd "$work" && apt-get download "$package" >/dev/null 2>&1) || die "cannot fetch $package: apt-get update"
    dpkg-deb --fsys-tarfile "$work/$package"_*.deb | tar -x -C "$work" --wildcards './boot/vmlinuz*'
    mv "$work"/boot/vmlinuz* "$kernel"
fi

gcc -O2 -static -o "$root/init" "$here/init.c"

# The commands, as init reads them: arguments end in NUL, ":" ends a command.
first=1
for arg in "$@" :; do
    case $arg in
    :) first=1 ;;
    *) if [ $first = 1 ]; then
           cp -L "$arg" "$root/bin/" || die "no such program: $arg"
           ldd "$arg" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do cp -L --parents "$library" "$root/"; done
           arg=/bin/$(basename "$arg")
           first=0
       fi ;;
    esac
    printf '%s\0' "$arg"
done >"$root/commands"

(cd "$root" && find . | cpio --quiet -o -H newc -R 0:0) >"$work/iso/initrd"
cp "$kernel" "$work/iso/vmlinuz"
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/iso/"
# Bochs miscounts the compact XSAVE area (noxsaves, xsavec off), or the kernel would switch AVX off; the rest of the
# line leaves out what takes long to boot.
cat >"$work/iso/isolinux.cfg" <<'END'
default linux
prompt 0
timeout 0
label linux
 linux /vmlinuz
 initrd /initrd
 append console=ttyS0 quiet loglevel=1 noxsaves nopku clearcpuid=xsavec nosmp acpi=off lpj=4000000 tsc=reliable mitigations=off rodata=off init_on_alloc=0 cryptomgr.notests lsm= audit=0 ima=off evm=off random.trust_cpu=on
END
xorriso -as mkisofs -quiet -o "$work/cd.iso" -b isolinux.bin -no-emul-boot -boot-load-size 4 -boot-info-table \
    "$work/iso" 2>/dev/null

cat >"$work/bochsrc" <<END
cpu: model=corei7_skylake_x, count=1, ips=50000000
memory: guest=$memory, host=$memory
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=$work/cd.iso, status=inserted
boot: cdrom
display_library: rfb, options="timeout=0"
com1: enabled=1, mode=file, dev=$work/serial
clock: sync=none
log: $work/log
panic: action=fatal
error: action=ignore
info: action=report
sound: driver=dummy
END
printf 'c\nq\n' >"$work/debugger" # Debian's Bochs is built with its debugger, which must be told to start
: >"$work/serial"
timeout "$limit" bochs -q -f "$work/bochsrc" -rc "$work/debugger" >"$work/screen" 2>&1 </dev/null &
trap 'kill $! 2>/dev/null; exit 125' INT TERM # in the background, or the shell would only hear of a signal at its end
wait $! || true

code=$(sed -n 's/.*emulated: exit \([0-9]*\)$/\1/p' "$work/serial" | tail -n 1)
sed -e 's/emulated: exit [0-9]*$//' -e '${/^$/d}' "$work/serial"
if [ -z "$code" ]; then
    tail -n 3 "$work/screen" "$work/log" >&2
    die "the emulated machine did not finish within $limit s"
fi
exit "$code"
