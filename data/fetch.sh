#!/bin/sh
# Downloads and unpacks a data set: data/fetch.sh cifar10|stl10 [DIR]
#
# An interrupted download goes on where it stopped. The archive is unpacked only if its SHA-256 is the known one, and is then
# removed. SIMCLR_DATA_URL replaces the address up to the file's name (a mirror); SIMCLR_DATA_SHA256 the expected checksum.
set -u

die() {
    echo "fetch.sh: $*" >&2
    exit 1
}

usage() {
    echo "usage: data/fetch.sh cifar10|stl10 [DIR]    (DIR: data/cifar10, or data for stl10, which unpacks to data/stl10_binary)" >&2
    exit 2
}

# The checksums are those that TensorFlow Datasets keeps for the official files.
case "${1-}" in
cifar10)
    base=https://www.cs.toronto.edu/~kriz
    file=cifar-10-binary.tar.gz
    sha256=c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd
    folder=cifar-10-batches-bin
    default=data/cifar10
    ;;
stl10)
    base=http://ai.stanford.edu/~acoates/stl10
    file=stl10_binary.tar.gz
    sha256=f31fd99273a1acb8609c8db427cebb1de3f71de77758cdc0e22956e1289b9866
    folder=stl10_binary
    default=data
    ;;
*) usage ;;
esac
[ $# -le 2 ] || usage
dir=${2-$default}
url=${SIMCLR_DATA_URL-$base}
url=${url%/}/$file
sha256=$(printf %s "${SIMCLR_DATA_SHA256-$sha256}" | tr A-F a-f)
part=$dir/$file.part

if [ -e "$dir/$folder/.complete" ]; then
    echo "$dir/$folder is already there; remove it to download it again"
    exit 0
fi
mkdir -p "$dir" || die "cannot create the folder $dir; name another: data/fetch.sh $1 DIR"

if command -v curl >/dev/null; then
    tool=curl
elif command -v wget >/dev/null; then
    tool=wget
else
    die "neither curl nor wget is installed; install one (apt install curl) and run this again"
fi
if command -v sha256sum >/dev/null; then
    sum() { sha256sum "$1" | cut -d' ' -f1; }
elif command -v shasum >/dev/null; then
    sum() { shasum -a 256 "$1" | cut -d' ' -f1; }
else
    die "neither sha256sum nor shasum is installed; install coreutils and run this again"
fi

bytes() {
    if [ -f "$1" ]; then wc -c <"$1" | tr -d ' '; else echo 0; fi
}

# Appends to the .part file what it lacks. 0: the server has no more to send, so the checksum decides.
download() {
    if [ $tool = wget ]; then
        if [ -t 2 ]; then quiet=--show-progress; else quiet=-nv; fi
        wget $quiet -t 3 -c -O "$part" "$url"
        return
    fi
    if [ -t 2 ]; then quiet=-#; else quiet=-sS; fi
    code=$(curl -fL $quiet --retry 3 -C - -o "$part" -w '%{http_code}' "$url")
    status=$?
    [ "$code" != 416 ] || return 0 # nothing after the end of what is there
    return $status
}

# A complete .part (the run was stopped before unpacking) needs no download: servers answer a request past the end with an error.
checksum=
if [ -s "$part" ]; then
    echo "going on with $part ($(bytes "$part") bytes are there)"
    checksum=$(sum "$part")
fi
if [ "$checksum" != "$sha256" ]; then
    echo "downloading $url"
    download
    status=$?
    if [ $tool = curl ] && { [ $status -eq 33 ] || [ $status -eq 36 ]; }; then
        echo "the server cannot go on in the middle of a file; starting again"
        rm -f "$part"
        download
        status=$?
    fi
    [ $status -eq 0 ] || die "the download of $url failed ($tool's code $status) after $(bytes "$part") bytes; run this again, it goes on there"
    checksum=$(sum "$part")
fi
if [ "$checksum" != "$sha256" ]; then
    size=$(bytes "$part")
    mv -f "$part" "$dir/$file.bad"
    die "$url gave $size bytes whose SHA-256 is $checksum, not $sha256; kept as $dir/$file.bad and not unpacked: run this again, or try a mirror with SIMCLR_DATA_URL"
fi

# Unpacked beside and renamed into place, so that a stopped run leaves no half data set.
stage=$dir/.unpack.$$
trap 'rm -rf "$stage"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$stage" || die "cannot write in $dir"
tar -xzf "$part" -C "$stage" || die "cannot unpack $part; is the disk full?"
[ -d "$stage/$folder" ] || die "$part does not hold the folder $folder"
: >"$stage/$folder/.complete"
rm -rf "${dir:?}/$folder"
mv "$stage/$folder" "$dir/$folder" || die "cannot write $dir/$folder"
rm -f "$part"
echo "$dir/$folder is ready: build/simclr train $dir/$folder"
