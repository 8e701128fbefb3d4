#!/bin/sh
# data/fetch.sh against a server on 127.0.0.1 that resumes, stops early, cuts files short, sends other bytes, or ignores ranges.
# Run from the root of the repository. Exit code 77: python3 or a downloader is missing.
set -u
for need in python3 tar gzip sha256sum; do
    command -v $need >/dev/null || { echo "no $need"; exit 77; }
done
command -v curl >/dev/null || command -v wget >/dev/null || { echo "neither curl nor wget"; exit 77; }

fetch=$(pwd)/data/fetch.sh
work=$(mktemp -d)
server=
cleanup() {
    [ -z "$server" ] || kill "$server" 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT
cd "$work" || exit 1

failed=0
problem() {
    echo "FAILED ($case): $*"
    sed 's/^/    /' log
    failed=1
}

mkdir cifar-10-batches-bin
# incompressible, so that the archive is large enough to stop in the middle
head -c 300000 /dev/urandom >cifar-10-batches-bin/data_batch_1.bin
tar -czf archive cifar-10-batches-bin
rm -r cifar-10-batches-bin
size=$(wc -c <archive | tr -d ' ')
SIMCLR_DATA_SHA256=$(sha256sum archive | cut -d' ' -f1)
export SIMCLR_DATA_SHA256
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY 2>/dev/null

cat >server.py <<'PYTHON'
import http.server, re, sys
data = open('archive', 'rb').read()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.0'
    def log_message(self, *a): pass
    def do_GET(self):
        mode, start = self.path.split('/')[1], 0
        body = {'short': data[:len(data) // 2], 'other': bytes(len(data))}.get(mode, data)
        wanted = re.match(r'bytes=(\d+)-', self.headers.get('Range', ''))
        if wanted and mode != 'norange':
            start = int(wanted[1])
        with open('requests', 'a') as f: f.write(f'{mode} {start}\n')
        if mode == 'absent':
            self.send_error(404); return
        if start >= len(body):
            self.send_error(416); return
        self.send_response(206 if start else 200)
        if start: self.send_header('Content-Range', f'bytes {start}-{len(body) - 1}/{len(body)}')
        self.send_header('Content-Length', str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start:start + len(body) // 3 + 1] if mode == 'stops' else body[start:])
server = http.server.HTTPServer(('127.0.0.1', 0), Handler)
open('port.tmp', 'w').write(str(server.server_port))
import os; os.rename('port.tmp', 'port')
server.serve_forever()
PYTHON
python3 server.py &
server=$!
tries=0
while [ ! -f port ]; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] || { echo "the server did not start"; exit 1; }
    sleep 0.1
done
url=http://127.0.0.1:$(cat port)

# run NAME MODE: fetches into folder NAME from the server's MODE; the exit code is in $code
run() {
    case="$downloader: $1"
    : >requests
    SIMCLR_DATA_URL=$url/$2 PATH=$path sh "$fetch" cifar10 "$1" >log 2>&1
    code=$?
}
expect_done() {
    [ $code -eq 0 ] || problem "exit code $code"
    [ -f "$1/cifar-10-batches-bin/data_batch_1.bin" ] || problem "nothing unpacked"
    [ "$(ls -A "$1")" = cifar-10-batches-bin ] || problem "left behind: $(ls -A "$1")"
}
expect_failed() {
    [ $code -eq 1 ] || problem "exit code $code"
    [ ! -e "$1/cifar-10-batches-bin" ] || problem "unpacked all the same"
    grep -q "$2" log || problem "does not say \"$2\""
}
part() {
    mkdir -p "$1"
    head -c "$2" archive >"$1/cifar-10-binary.tar.gz.part"
}

tests() {
    rm -rf ./*.d
    run success.d ok
    expect_done success.d
    run success.d ok
    [ $code -eq 0 ] && [ ! -s requests ] || problem "downloads what is there"

    part resume.d 100000
    run resume.d ok
    expect_done resume.d
    grep -q '^ok 100000$' requests || problem "did not go on at 100000: $(cat requests)"

    part whole.d "$size"
    run whole.d ok
    expect_done whole.d
    [ ! -s requests ] || problem "downloads a complete file again"

    part norange.d 100000
    run norange.d norange
    expect_done norange.d

    run short.d short
    expect_failed short.d "SHA-256"
    [ ! -e short.d/cifar-10-binary.tar.gz.part ] || problem "goes on with a bad file next time"
    run short.d ok
    [ $code -eq 0 ] || problem "exit code $code after a bad file"

    run other.d other
    expect_failed other.d "SHA-256"
    [ -f other.d/cifar-10-binary.tar.gz.bad ] || problem "the bad file is not kept aside"

    part past.d "$size"
    echo more >>past.d/cifar-10-binary.tar.gz.part
    run past.d ok
    expect_failed past.d "SHA-256"

    part absent.d 100000
    run absent.d absent
    expect_failed absent.d "run this again"
    [ "$(wc -c <absent.d/cifar-10-binary.tar.gz.part | tr -d ' ')" = 100000 ] || problem "the part that was there is lost"

    run stops.d stops
    if [ "$downloader" = curl ]; then # wget goes on by itself until it has all
        expect_failed stops.d "run this again"
        run stops.d ok
        grep -q '^ok [1-9]' requests || problem "did not go on: $(cat requests)"
    fi
    expect_done stops.d
}

# wget alone: a PATH of links to everything else that fetch.sh calls
mkdir bin
for tool in sh cat cut env grep gzip head ls mkdir mv rm sha256sum tar tr wc wget; do
    found=$(command -v $tool) && ln -s "$found" bin/$tool
done
path=$PATH
downloader=curl
if command -v curl >/dev/null; then tests; fi
path=$work/bin
downloader=wget
if command -v wget >/dev/null; then tests; fi

case=usage
sh "$fetch" mnist >log 2>&1
[ $? -eq 2 ] && grep -q usage log || problem "an unknown name is not refused with exit code 2"
exit $failed
