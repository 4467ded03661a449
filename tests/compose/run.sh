#!/usr/bin/env bash
# Tries docker-compose.yml for real, with podman and images from scratch:
#
#     tests/compose/run.sh [SERIN]          # SERIN: a static binary, built when it is not there
#
# Needs root, or sudo without a password. Traffic goes to 127.0.0.1 only; nothing is left behind.
# Without podman it says SKIPPED and succeeds; with CI=true it installs it.
set -euo pipefail

self=$(realpath "${BASH_SOURCE[0]}")
here=$(dirname "$self")
root=$(realpath "$here/../..")

# --- As whoever called: what is needed, and the two binaries. ---

# The packages of Debian and Ubuntu that are not here.
missing() {
    local helper package
    command -v podman >/dev/null || echo podman
    command -v podman-compose >/dev/null || echo podman-compose
    command -v runc >/dev/null || echo runc
    command -v iptables >/dev/null || echo iptables
    command -v curl >/dev/null || echo curl
    for package in netavark aardvark-dns; do
        for helper in /usr/{local/,}{libexec,lib}/podman/"$package" ''; do
            [ -x "$helper" ] && break
        done
        [ -n "$helper" ] || echo "$package"
    done
}

# Where nothing can be tried. CI has to try.
skip() {
    [ "${CI:-}" != true ] || { echo "FAIL: $1" >&2; exit 1; }
    printf '\n*** SKIPPED: %s\n*** docker-compose.yml was NOT tried.\n\n' "$1"
    exit 0
}

build() {
    local target="${CARGO_TARGET_DIR:-$root/target}" host
    host=$(rustc -vV | sed -n 's/^host: //p')
    export RUSTFLAGS="-C target-feature=+crt-static"
    if [ ! -x "$serin" ]; then
        echo "building a static serin for $host"
        (cd "$root" && cargo build --release --locked --target "$host")
        serin="$target/$host/release/serin"
    fi
    upstream="$target/compose-upstream/$host/release/upstream"
    cargo build --quiet --release --locked --offline --target "$host" \
        --manifest-path "$here/upstream/Cargo.toml" --target-dir "$target/compose-upstream"
    ldd "$serin" 2>&1 | grep -qE 'statically linked|not a dynamic' \
        || { echo "FAIL: $serin is not static" >&2; exit 64; }
}

if [ "${1:-}" != --inside ]; then
    sudo=()
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || skip "needs root, or sudo without a password"
        sudo=(sudo -n)
    fi
    mapfile -t packages < <(missing)
    if [ "${#packages[@]}" -gt 0 ]; then
        [ "${CI:-}" = true ] || skip "not installed: ${packages[*]}"
        "${sudo[@]}" apt-get update
        "${sudo[@]}" apt-get install -y --no-install-recommends "${packages[@]}"
    fi
    serin=${1:-}
    build
    exec "${sudo[@]}" timeout --kill-after=45 240 "$self" --inside "$(realpath "$serin")" "$upstream"
fi

# --- As root, for at most four minutes: the stack. ---
# Every `timeout` below stays in the foreground, so that the one above ends what runs under it, too.

serin_binary=$2 upstream_binary=$3
tmp=$(mktemp -d)
project="serin-test-$$"
tag="localhost/$project"
runtime=$(command -v runc)
failed=0

cat >"$tmp/containers.conf" <<CONF
[network]
network_backend = "netavark"
[engine]
runtime = "$runtime"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
default_ulimits = ["nofile=1024:20000", "nproc=1024:1024"]
CONF
export CONTAINERS_CONF="$tmp/containers.conf"
free_port='import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
port=$(python3 -c "$free_port")
export SERIN_TEST_TAG="$tag" SERIN_PUBLISH="127.0.0.1:$port" SERIN_CONFIG_DIR="$tmp/etc"

ok() { printf 'ok    %3ds  %s\n' "$SECONDS" "$1"; }
fail() { printf 'FAIL  %3ds  %s\n' "$SECONDS" "$1"; failed=1; }
# expect WHAT COMMAND...: says whether the command succeeds, and goes on.
expect() { if "${@:2}"; then ok "$1"; else fail "$1"; fi; }

compose() {
    timeout --foreground 60 podman-compose -p "$project" -f "$root/docker-compose.yml" -f "$here/override.yml" "$@" \
        >>"$tmp/compose.log" 2>&1
}

# What podman says is shown when something fails; without systemd it complains about healthchecks.
quietly() { timeout --foreground 40 "$@" >>"$tmp/compose.log" 2>&1; }

# container SERVICE: its id, running or not.
container() {
    podman ps -aq --filter "label=com.docker.compose.project=$project" \
        --filter "label=com.docker.compose.service=$1"
}

pid() { podman inspect --format '{{.State.Pid}}' "$1"; }
address() { podman inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$1"; }
in_serin() { timeout --foreground 15 podman exec "$(container serin)" serin "$@"; }
get() { curl -fsS --max-time 2 "http://127.0.0.1:$port/" 2>/dev/null; }
serves() { [ "$(get)" = "$1" ]; }
# Twenty requests, and all of them got VERSION.
serves_only() { for _ in {1..20}; do serves "$1" || return 1; done; }
# within SECONDS COMMAND...: tries until it succeeds.
within() {
    local end=$((SECONDS + $1))
    until "${@:2}"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.3
    done
}

# What serin says of the stable pool: NAME TARGET ADDRESS HEALTH.
stable() {
    in_serin status shop --json | python3 -c '
import json, sys
pool = json.load(sys.stdin)["stable"]
for endpoint in pool["endpoints"]:
    print(pool["name"], endpoint["target"], endpoint["address"], endpoint["health"])'
}
stable_is() { [ "$(stable)" = "$1" ]; }

cleanup() {
    local status=$?
    trap - EXIT
    # What is still waited for must not hold this up.
    trap '' TERM INT
    if [ "$status$failed" != 00 ]; then logs; fi
    touch "$tmp/stop"
    local mine=(--filter "label=com.docker.compose.project=$project")
    # Serin first: it may not be removed before what it depends on.
    for id in $(container serin) $(podman ps -aq "${mine[@]}"); do
        timeout --foreground 20 podman rm -f -t 0 "$id" || true
    done >/dev/null 2>&1
    {
        timeout --foreground 10 podman pod rm -f "pod_$project" || true
        podman volume ls -q | grep "^${project}_" | xargs -r timeout --foreground 10 podman volume rm || true
        timeout --foreground 10 podman network rm -f "${project}_default" || true
        timeout --foreground 20 podman rmi -f "$tag/serin" "$tag/upstream" || true
    } >/dev/null 2>&1
    wait
    local left
    left=$(podman ps -aq "${mine[@]}"
        podman volume ls -q | grep "^${project}_" || true
        podman network ls -q | grep "^${project}_" || true
        podman images -q "$tag/*")
    rm -rf "$tmp"
    if [ -z "$left" ]; then ok "nothing is left behind"; else fail "left behind: $left"; fi
    [ "$status" = 0 ] || { echo "FAILED: ended early with status $status"; exit 1; }
    [ "$failed" = 0 ] || { echo FAILED; exit 1; }
    echo "PASSED in ${SECONDS}s"
}

logs() {
    echo "--- podman-compose and podman"
    grep -v '^ *["{}\[]\|^ *\]' "$tmp/compose.log" | tail -n 40 || true
    for service in serin app-blue app-green; do
        echo "--- $service"
        podman logs --tail 40 "$(container $service)" 2>&1 || true
    done
    echo ---
}

# What curl cannot do at this rate: 150 requests a second over connections that stay open, until
# there is a file named `stop` or a minute has passed. Prints how many got which version.
cat >"$tmp/load.py" <<'PYTHON'
import collections, http.client, os, sys, threading, time

port, stop, threads, rate = int(sys.argv[1]), sys.argv[2], 6, 150
counts, end = collections.Counter(), time.monotonic() + 60

def ask():
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    due = time.monotonic()
    while due < end and not os.path.exists(stop):
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            body = answer.read().decode()
            got = body if answer.status == 200 else f"failed:{answer.status}"
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            got = f"failed:{type(error).__name__}"
        counts[got] += 1
        due += threads / rate
        time.sleep(max(0, due - time.monotonic()))

running = [threading.Thread(target=ask) for _ in range(threads)]
for thread in running: thread.start()
for thread in running: thread.join()
print(*(f"{name}={count}" for name, count in sorted(counts.items())))
PYTHON

# release CODE ARGUMENTS...: deploys under load, and expects this exit code. What the clients saw
# is in $seen.
release() {
    local code=0 load
    rm -f "$tmp/stop"
    python3 "$tmp/load.py" "$port" "$tmp/stop" >"$tmp/seen" &
    load=$!
    # The judge compares with what stable did before.
    sleep 2
    timeout --foreground 60 podman exec "$(container serin)" \
        serin deploy shop "${@:2}" --wait --timeout 50s --why "tests/compose" || code=$?
    touch "$tmp/stop"
    wait "$load" || true
    seen=$(cat "$tmp/seen")
    [ "$code" = "$1" ] || { echo "it exited with $code, not $1"; return 1; }
}

trap cleanup EXIT
trap 'exit 143' TERM INT

# How an image is run, in the order that its file says it.
runs_as() {
    sed -n '/^FROM .*\(nonroot\|AS serin\)$/,$p' "$1" \
        | grep -E '^(USER|WORKDIR|VOLUME|EXPOSE|STOPSIGNAL|HEALTHCHECK|ENTRYPOINT|CMD)'
}
expect "the image of this test is run as that of the Dockerfile" \
    test "$(runs_as "$root/Dockerfile")" = "$(runs_as "$here/Containerfile")"
expect "serin check deploy/compose/proxy.toml" "$serin_binary" check "$root/deploy/compose/proxy.toml"
expect "serin check deploy/sidecar/proxy.toml" "$serin_binary" check "$root/deploy/sidecar/proxy.toml"

mkdir -p "$tmp/etc" "$tmp/image/state"
# The container's user is another one.
chmod 755 "$tmp" "$tmp/etc"
install -m 644 "$here/proxy.toml" "$tmp/etc/proxy.toml"
cp "$serin_binary" "$tmp/image/serin"
cp "$upstream_binary" "$tmp/image/upstream"
for image in serin upstream; do
    # Only Docker's format knows HEALTHCHECK.
    timeout --foreground 60 podman build --quiet --format docker --target "$image" -t "$tag/$image" \
        -f "$here/Containerfile" "$tmp/image" >/dev/null
done
ok "two images from scratch"

compose up -d --no-build || { fail "podman-compose up"; exit 1; }
within 20 serves v1 || { fail "nothing is served on 127.0.0.1:$port"; exit 1; }
expect "blue serves, through the published port" serves_only v1
expect "the healthcheck passes" within 10 timeout --foreground 10 podman healthcheck run "$(container serin)"
expect "serin is not root and keeps no capability" \
    grep -Pzoq '(?s)\nUid:\t65532\t.*\nCapEff:\t0{16}\n' "/proc/$(pid "$(container serin)")/status"

expect "deploy --wait exits 0" release 0 --version v2
expect "no request failed meanwhile, and both versions were seen ($seen)" \
    grep -qxE 'v1=[0-9]+ v2=[0-9]+' <<<"$seen"
expect "green serves" serves_only v2

# A container that comes back under another address. It is stopped and started, not removed: newer
# versions of podman-compose tell podman that serin's container requires it.
green=$(container app-green)
before=$(address "$green")
quietly podman stop -t 5 "$green"
quietly podman run -d --name "$project-placeholder" --label "com.docker.compose.project=$project" \
    --network "${project}_default" --ip "$before" -e PORT=3999 "$tag/upstream"
quietly podman start "$green"
after=$(address "$green")
back=$SECONDS
expect "green is back at $after, and $before belongs to another container" test "$before" != "$after"
expect "green is found again within 15 s" within 15 serves v2
echo "            (after $((SECONDS - back)) s)"
expect "status shows the new address" within 5 stable_is "green app-green:3000 $after:3000 up"
expect "green serves" serves_only v2

# A version that fails, on an endpoint that the deploy names.
quietly podman run -d --name "$project-bad" --label "com.docker.compose.project=$project" \
    --network "${project}_default" --network-alias app-bad -e VERSION=v3 -e FAIL_EVERY=2 \
    "$tag/upstream"
expect "deploy --wait of a version that fails exits 10" release 10 app-bad:3000 --version v3
expect "green serves ($seen)" serves_only v2

# An editor replaces the file.
sed 's/^guard = .*/gard = "3s"/' "$here/proxy.toml" >"$tmp/etc/new"
mv "$tmp/etc/new" "$tmp/etc/proxy.toml"
expect "reload sees an edited file, and refuses a mistake" \
    grep -q 'did you mean.*guard' <<<"$(in_serin reload 2>&1 || true)"
install -m 644 "$here/proxy.toml" "$tmp/etc/proxy.toml"
expect "reload takes it when it is put right" in_serin reload

# Another container of serin, as after an upgrade.
old=$(container serin)
stopping=$SECONDS
quietly podman stop -t 30 "$old"
expect "SIGTERM ends serin with 0, at once when nothing is in flight" \
    test "$(podman inspect -f '{{.State.ExitCode}}' "$old") $((SECONDS - stopping < 10))" = "0 1"
quietly podman rm -f "$old"
compose up -d --no-build --no-deps serin || fail "podman-compose up serin"
expect "a new container of serin serves what was stable" within 20 serves v2
expect "green serves" serves_only v2
