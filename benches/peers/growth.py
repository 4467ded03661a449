#!/usr/bin/env python3
"""What many endpoints cost: CPU microseconds per request of serin's worker, by the number of endpoints of its one pool,
beside a relay that knows no HTTP and sends what it reads over as many sockets in turn: what the kernel takes for those.

NEEDS  Linux, 2+ cores, Python 3.11+, wrk, cargo (for benchkit/), and two descriptors for each endpoint.
RUN    growth.py --work DIR [--endpoints 2,64,2000] [--conns 64] [--rounds 5] [--secs 4]
       With as many clients as endpoints, few endpoints take as many sockets as many: what is left is what endpoints cost.
       Worker and relay on core 1; load generator and upstream on core 0. Cases take turns; medians are reported.
"""
import argparse, os, pathlib, re, shutil, statistics, subprocess, time

from bench import HDRS, HERE, TICK, Proc, built_kit, raised_descriptors, wait_port

PORT, UPSTREAM = 21300, 21301


def ticks(pid, thread):  # user and system time of the threads of that name
    user = system = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().startswith(thread):
            f = (task / "stat").read_text().rsplit(")", 1)[1].split(); user += int(f[11]); system += int(f[12])
    return user, system


def serin(work, binary, count):
    config, state = work / "growth.toml", work / "growth-state"
    shutil.rmtree(state, ignore_errors=True)
    endpoints = ", ".join(f'"127.1.{(i + 1) >> 8}.{(i + 1) & 255}:{UPSTREAM}"' for i in range(count))
    config.write_text(f'version = 1\n[admin]\nbind = "127.0.0.1:0"\n[state]\npath = "{state}"\n[workers]\nthreads = 1\n[listeners.web]\nbind = "127.0.0.1:{PORT}"\nlimits = {{ connections_per_ip = 10000 }}\n'
                      f'[services.bench]\nstable = "stable"\n[services.bench.pools.stable]\nendpoints = [{endpoints}]\n')
    return [binary, "run", "--config", str(config)], "serin-worker"


def measure(a, kit, what, count, log):
    cmd, thread = serin(a.work, a.bin, count) if what == "serin" else ([kit, "relay", "--listen", str(PORT), "--to", str(UPSTREAM), "--sockets", str(count)], "benchkit")
    proxy = Proc(cmd, 1, env={"SERIN_LOG": "warn"}, log=log)
    try:
        if not wait_port(PORT): raise SystemExit(f"{what} did not start; see {a.work}/growth.log")
        time.sleep(2)  # checks find the endpoints up
        load = lambda secs: subprocess.run(["taskset", "-c", "0", "wrk", "-t1", f"-c{a.conns}", f"-d{secs}", f"http://127.0.0.1:{PORT}/1k"] + [x for h in HDRS for x in ("-H", h)],
                                           capture_output=True, text=True, check=True).stdout
        load(2)
        before, out, after = ticks(proxy.p.pid, thread), load(a.secs), ticks(proxy.p.pid, thread)
    finally: proxy.stop()
    if "Non-2xx" in out or "Socket errors" in out: raise SystemExit(f"{what}, {count}: failures\n{out}")
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    return tuple((y - x) * 1e6 / TICK / requests for x, y in zip(before, after))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--work", required=True, type=pathlib.Path); p.add_argument("--endpoints", default="2,64,2000"); p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--conns", type=int, default=64); p.add_argument("--secs", type=int, default=4); p.add_argument("--bin", default=str(HERE / "../../target/release/serin"))
    a = p.parse_args(); a.work = a.work.resolve(); a.work.mkdir(parents=True, exist_ok=True)
    raised_descriptors()
    kit, counts = built_kit(), [int(n) for n in a.endpoints.split(",")]
    # So many clients keep up to as many sockets busy, however few the endpoints are.
    cases = [("serin", n) for n in counts] + [("relay", n) for n in sorted({max(n, a.conns) for n in counts})]
    got = {c: [] for c in cases}
    with open(a.work / "growth.log", "a") as log:
        upstream = Proc([kit, "backend", "--port", str(UPSTREAM), "--any", "1"], 0, log=log)
        try:
            if not wait_port(UPSTREAM): raise SystemExit("the upstream did not start")
            for r in range(a.rounds):
                for c in cases[r % len(cases):] + cases[:r % len(cases)]:
                    got[c].append(measure(a, kit, *c, log)); print(f"{r + 1} {c[0]} {c[1]}: {sum(got[c][-1]):.2f} us", flush=True)
        finally: upstream.stop()
    print("\n| | endpoints | CPU us/req | of it user | more than the fewest |\n|---|--:|--:|--:|--:|")
    for what, count in cases:
        total, user = (statistics.median(f(x) for x in got[what, count]) for f in (sum, lambda x: x[0]))
        least = statistics.median(sum(x) for x in got[next(c for c in cases if c[0] == what)])
        print(f"| {what} | {count} | {total:.2f} | {user:.2f} | {total / least - 1:+.0%} |")


if __name__ == "__main__":
    main()
