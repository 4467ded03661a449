#!/usr/bin/env python3
"""What a request costs among many: CPU microseconds of serin's worker per request, by the number of endpoints of its one pool,
of services, or of services with a watched share. Beside many endpoints a relay that knows no HTTP sends what it reads over as many
sockets in turn: what the kernel takes for those.

NEEDS  Linux, 2+ cores, Python 3.11+, wrk, cargo (for benchkit/), and two descriptors for each endpoint.
RUN    growth.py --work DIR [--endpoints 2,64,2000] [--services 1,5000] [--shares 1,50] [--no-checks] [--conns 64] [--rounds 5] [--secs 4]
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


def pool(service, name, first, count):
    endpoints = ", ".join(f'"127.1.{i >> 8}.{i & 255}:{UPSTREAM}"' for i in range(first + 1, first + count + 1))
    return f"[services.{service}.pools.{name}]\nendpoints = [{endpoints}]\n"


def services(what, count, checks):  # the last of them is asked
    health = "" if checks else "health = { off = true }\n"
    if what == "endpoints": return f'[services.s0]\nstable = "stable"\n{health}' + pool("s0", "stable", 0, count)
    text = ""
    for n in range(count):
        text += f'[services.s{n}]\nhosts = ["s{n}.test"]\nstable = "stable"\n{health}'
        if what == "shares": text += 'canary = "canary"\nweight = "5%"\n' + pool(f"s{n}", "canary", 2, 1)
        text += pool(f"s{n}", "stable", 0, 2)
    return text


def serin(work, binary, what, count, checks):
    config, state = work / "growth.toml", work / "growth-state"
    shutil.rmtree(state, ignore_errors=True)
    config.write_text(f'version = 1\n[admin]\nbind = "127.0.0.1:0"\n[state]\npath = "{state}"\n[workers]\nthreads = 1\n[listeners.web]\nbind = "127.0.0.1:{PORT}"\nlimits = {{ connections_per_ip = 10000 }}\n'
                      + services(what, count, checks))
    return [binary, "run", "--config", str(config)], "serin-worker"


def settle(work, count):  # at a first start each service's state is written; checks find the endpoints up meanwhile
    until = time.monotonic() + 300
    while len(list((work / "growth-state" / "services").glob("*.json"))) < count:
        if time.monotonic() > until: raise SystemExit("the states are not written")
        time.sleep(0.5)


def peak_mb(pid):
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024


def measure(a, kit, what, count, log):
    is_relay = what == "relay"
    cmd, thread = ([kit, "relay", "--listen", str(PORT), "--to", str(UPSTREAM), "--sockets", str(count)], "benchkit") if is_relay else serin(a.work, a.bin, what, count, not a.no_checks)
    proxy = Proc(cmd, 1, env={"SERIN_LOG": "warn"}, log=log)
    host = "a" if what in ("relay", "endpoints") else f"s{count - 1}.test"
    try:
        if not wait_port(PORT): raise SystemExit(f"{what} did not start; see {a.work}/growth.log")
        time.sleep(3)
        if not is_relay: settle(a.work, 1 if what == "endpoints" else count)
        load = lambda secs: subprocess.run(["taskset", "-c", "0", "wrk", "-t1", f"-c{a.conns}", f"-d{secs}", f"http://127.0.0.1:{PORT}/1k", "-H", f"Host: {host}"] + [x for h in HDRS for x in ("-H", h)],
                                           capture_output=True, text=True, check=True).stdout
        load(2)
        before, out, after = ticks(proxy.p.pid, thread), load(a.secs), ticks(proxy.p.pid, thread)
        peak = peak_mb(proxy.p.pid)
    finally: proxy.stop()
    if "Non-2xx" in out or "Socket errors" in out: raise SystemExit(f"{what}, {count}: failures\n{out}")
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    return *((y - x) * 1e6 / TICK / requests for x, y in zip(before, after)), peak


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--work", required=True, type=pathlib.Path); p.add_argument("--rounds", type=int, default=5)
    for what in ("endpoints", "services", "shares"): p.add_argument(f"--{what}", default="", help="how many, of each case")
    p.add_argument("--conns", type=int, default=64); p.add_argument("--secs", type=int, default=4); p.add_argument("--no-checks", action="store_true")
    p.add_argument("--bin", default=str(HERE / "../../target/release/serin"))
    a = p.parse_args(); a.work = a.work.resolve(); a.work.mkdir(parents=True, exist_ok=True)
    raised_descriptors()
    kit = built_kit()
    cases = [(what, int(n)) for what in ("endpoints", "services", "shares") for n in getattr(a, what).split(",") if n]
    if not cases: raise SystemExit("say what is to grow: --endpoints 2,64,2000, --services 1,5000 or --shares 1,50")
    # So many clients keep up to as many sockets busy, however few the endpoints are.
    cases += [("relay", n) for n in sorted({max(n, a.conns) for what, n in cases if what == "endpoints"})]
    got = {c: [] for c in cases}
    with open(a.work / "growth.log", "a") as log:
        upstream = Proc([kit, "backend", "--port", str(UPSTREAM), "--any", "1"], 0, log=log)
        try:
            if not wait_port(UPSTREAM): raise SystemExit("the upstream did not start")
            for r in range(a.rounds):
                for c in cases[r % len(cases):] + cases[:r % len(cases)]:
                    got[c].append(measure(a, kit, *c, log)); print(f"{r + 1} {c[0]} {c[1]}: {sum(got[c][-1][:2]):.2f} us", flush=True)
        finally: upstream.stop()
    print("\n| of | how many | CPU us/req | of it user | more than the fewest | peak MB |\n|---|--:|--:|--:|--:|--:|")
    for what, count in cases:
        median = lambda f, c: statistics.median(map(f, got[c]))
        total, user, peak = (median(f, (what, count)) for f in (lambda x: x[0] + x[1], lambda x: x[0], lambda x: x[2]))
        least = median(lambda x: x[0] + x[1], next(c for c in cases if c[0] == what))
        print(f"| {what} | {count} | {total:.2f} | {user:.2f} | {total / least - 1:+.0%} | {peak:.0f} |")


if __name__ == "__main__":
    main()
