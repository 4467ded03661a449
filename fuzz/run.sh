#!/usr/bin/env bash
# Builds the fuzz targets and runs each for so many seconds: fuzz/run.sh [SECONDS] [TARGET...]
# Needs stable Rust and a C++ compiler, no more. See fuzz/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(request_head response_head chunked connection http2)

# What tells libFuzzer which ways were taken, and what was compared with what. With a target named,
# the flags are for the code under test and not for build scripts.
export RUSTFLAGS="-Ccodegen-units=1 -Cpasses=sancov-module
  -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares"
command -v c++ >/dev/null || export CXX=clang++
host=$(rustc -vV | sed -n 's/^host: //p')
cargo build --locked --release --manifest-path fuzz/Cargo.toml --target "$host" \
  --target-dir target/fuzz "${targets[@]/#/--bin=}"

for target in "${targets[@]}"; do
  seeds=fuzz/corpus/$target
  # What is found goes to a place of its own: the seeds are written by hand.
  found=target/fuzz/found/$target
  broken=fuzz/artifacts/$target
  mkdir -p "$found" "$broken"
  log=target/fuzz/$target.log
  printf -- '-- %s: %s seeds, %s s\n' "$target" "$(find "$seeds" -type f | wc -l)" "$seconds"
  binary=target/fuzz/$host/release/$target
  # What hangs does so for ever; a machine that stands still for a minute is no fault of the codec.
  if "$binary" -max_total_time="$seconds" -max_len=4096 -timeout=300 -rss_limit_mb=1024 \
    -dict=fuzz/http.dict -print_final_stats=1 -artifact_prefix="$broken/" "$found" "$seeds" >"$log" 2>&1
  then
    grep -E 'cov: .* exec/s' "$log" | tail -1
    grep -E 'number_of_executed_units|average_exec_per_sec|peak_rss_mb' "$log"
  else
    tail -60 "$log"
    input=$(ls -t "$broken" | head -1)
    printf '\n%s failed; once more with nothing but what it failed at:\n  %s %s\n' \
      "$target" "$binary" "$broken/$input"
    exit 1
  fi
done
