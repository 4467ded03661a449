#!/usr/bin/env python3
"""Peers' benchmark of HTTP reverse proxies on a small machine.

WHAT   Every proxy runs pinned on one core with one worker, access log off, keep-alive to its upstreams, splitting
       requests 95/5 between two pools (stable: 2 backends, canary: 1). Load generator and backends share the other core.
       Ranked on CPU microseconds per request: utime+stime of all the proxy's processes and threads (/proc/PID/stat)
       over the requests served. Requests/s is reported too, with the busy share of both cores, since the load core
       can be the bottleneck for the fastest proxies. Peers are interleaved within each round; medians are reported.
NEEDS  Linux, 2+ cores, Python 3.11+, wrk, h2load (nghttp2-client), openssl, cargo (for benchkit/).
       Peers: whichever of nginx, haproxy, envoy and caddy are on the PATH, or given with --bin NAME=PATH.
RUN    bench.py --work DIR [--peers a,b] [--cases x,y] [--rounds 3] [--secs 4] [--bin name=path ...] [--peers-file F ...]
       DIR gets configs, certificates, logs, results.json and results.md. Any other load on the machine is noise: the
       tables show how busy other programs kept each core ("other"), and results with more than a few per cent are weak.
       --realtime (root) runs proxies, backends and load generators SCHED_RR, which keeps other programs out of the figures.
       --session-nice N sets the kernel's autogroup nice of this session (root; kernels that schedule by session ignore nice
       across sessions).
CASES  h1-c64 h1-c512        1 KB over keep-alive HTTP/1.1, wrk; h1-c2000 only where it is asked for
       h1-64k h1-1m          larger bodies (MB/s, CPU us per MB)
       h1-post16k            16 KB uploads
       tls-h1 tls-h2 h2-c1   TLS-terminated, wrk / h2load (h2: 16 connections x 16 streams; h2-c1: 1 x 64)
       tls-64k tls-1m        larger bodies over TLS
       h2-64k h2-1m h2-post16k   the same over HTTP/2 and TLS, and uploads (16 connections x 4 streams)
       newconn tls-newconn   a connection per request
       lat                   latency at a fixed rate, open loop (benchkit), without coordinated omission; 'direct' is the floor
       idle                  RSS with 10,000 idle keep-alive client connections that made one request each
"""
import argparse, json, os, pathlib, re, resource, shutil, signal, socket, statistics, subprocess, sys, time, tomllib, urllib.request

HERE = pathlib.Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")
HDRS = ["User-Agent: Mozilla/5.0 (X11; Linux x86_64) bench/1.0", "Accept: application/json, text/plain, */*", "Accept-Encoding: gzip, deflate, br",
        "Accept-Language: en-GB,en;q=0.9", "Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark"]
CASES = ["h1-c64", "h1-c512", "h1-64k", "h1-1m", "h1-post16k", "tls-h1", "tls-64k", "tls-1m", "tls-h2", "h2-c1", "h2-64k", "h2-1m", "h2-post16k", "newconn", "tls-newconn", "lat", "idle"]


def sub(text, env):
    def f(m):
        if m.group(1) not in env: raise SystemExit(f"unknown placeholder {m.group(0)}")
        return str(env[m.group(1)])
    return re.sub(r"@\{(\w+)\}", f, text)


def descendants(pid):
    kids = {}
    for p in os.listdir("/proc"):
        if p.isdigit():
            try: kids.setdefault(int(open(f"/proc/{p}/stat").read().rsplit(")", 1)[1].split()[1]), []).append(int(p))
            except OSError: pass
    out, todo = [], [pid]
    while todo:
        x = todo.pop(); out.append(x); todo += kids.get(x, [])
    return out


def cpu_ticks(pids, fields=(11, 12)):  # utime, stime
    t = 0
    for p in pids:
        try: f = open(f"/proc/{p}/stat").read().rsplit(")", 1)[1].split(); t += sum(int(f[i]) for i in fields)
        except OSError: pass
    return t


def rss_kb(pids):
    t = 0
    for p in pids:  # PSS: shared pages counted once
        try: t += int(re.search(r"^Pss:\s+(\d+)", open(f"/proc/{p}/smaps_rollup").read(), re.M).group(1))
        except OSError: pass
    return t


def core(n):
    f = [int(x) for x in next(l for l in open("/proc/stat") if l.startswith(f"cpu{n} ")).split()[1:]]
    return sum(f[:8]) - f[3] - f[4], sum(f[:8])  # busy, total


def machine():
    rd = lambda p: pathlib.Path(p).read_text().strip() if os.path.exists(p) else "?"
    cpu = re.search(r"model name\s*: (.*)", rd("/proc/cpuinfo"))
    return dict(kernel=os.uname().release, cpus=os.cpu_count(), cpu=cpu.group(1) if cpu else "?", congestion=rd("/proc/sys/net/ipv4/tcp_congestion_control"), load=os.getloadavg())


class Proc:
    prefix = []
    def __init__(self, cmd, cpu, env=None, log=None, stdin=None, stdout=None):
        self.p = subprocess.Popen(self.prefix + ["taskset", "-c", str(cpu)] + cmd, env={**os.environ, **(env or {})}, stdin=stdin or subprocess.DEVNULL,
                                  stdout=stdout or log, stderr=log, start_new_session=False)
        self.kids = [self.p.pid]
    def pids(self): self.kids = descendants(self.p.pid); return self.kids
    def stop(self):
        self.p.terminate()
        try: self.p.wait(5)
        except subprocess.TimeoutExpired: self.p.kill(); self.p.wait()


def wait_port(port, secs=10):
    end = time.time() + secs
    while time.time() < end:
        try: socket.create_connection(("127.0.0.1", port), 0.3).close(); return True
        except OSError: time.sleep(0.05)
    return False


def built_kit():
    subprocess.check_call(["cargo", "build", "--release", "-q"], cwd=HERE / "benchkit")
    return str(HERE / "benchkit/target/release/benchkit")


def raised_descriptors():  # as many as allowed, for this process and what it starts
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < 65536:
        try: resource.setrlimit(resource.RLIMIT_NOFILE, (65536, 65536)); hard = 65536
        except (ValueError, OSError): pass
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Bench:
    def __init__(self, a):
        self.a = a; self.work = pathlib.Path(a.work).resolve(); self.work.mkdir(parents=True, exist_ok=True)
        self.proxy_cpu, self.load_cpu = a.proxy_cpu, a.load_cpu
        self.kit = a.kit or built_kit()
        self.s = [a.base_port + i for i in range(3)]
        hard = raised_descriptors()
        self.maxconn = min(30000, hard // 2 - 100)  # proxies reserve two descriptors a connection
        if a.idle_conns > self.maxconn - 400: a.idle_conns = self.maxconn - 400; print(f"descriptor limit {hard}: idle connections lowered to {a.idle_conns}")
        self.log = open(self.work / "bench.log", "a")
        c, k, pem = self.work / "cert.pem", self.work / "key.pem", self.work / "both.pem"
        if not pem.exists():
            subprocess.check_call(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650", "-subj", "/CN=bench.local",
                                   "-addext", "subjectAltName=DNS:bench.local,IP:127.0.0.1", "-keyout", str(k), "-out", str(c)], stderr=subprocess.DEVNULL)
            pem.write_text(c.read_text() + k.read_text())
        (self.work / "post.lua").write_text("wrk.method='POST'\nwrk.body=string.rep('x',16384)\nwrk.headers['Content-Type']='application/octet-stream'\n")
        (self.work / "post.bin").write_bytes(b"x" * 16384)
        os.chmod(self.work, 0o755)
        for f in (c, k, pem): os.chmod(f, 0o644)  # workers may run as another user
        self.tlsfiles = dict(cert=c, key=k, pem=pem)
        defs = {}
        for f in [str(HERE / "peers.toml")] + a.peers_file: defs.update({n: {**d, "dir": pathlib.Path(f).resolve().parent} for n, d in tomllib.load(open(f, "rb")).items()})
        bins = dict(b.split("=", 1) for b in a.bin)
        want = a.peers.split(",") if a.peers else list(defs)
        self.peers, self.skipped = {}, {}
        for i, n in enumerate(want):
            d = defs[n]; env = dict(name=n, port=a.base_port + 100 + 2 * i, tls_port=a.base_port + 101 + 2 * i, s1=self.s[0], s2=self.s[1], c1=self.s[2], canary_pct=5, stable_pct=95,
                                    work=self.work, here=HERE, kit=self.kit, maxconn=self.maxconn, maxconn2=2 * self.maxconn, **self.tlsfiles)
            b = shutil.which(bins.get(n) or sub(d["bin"], env))
            if not b: self.skipped[n] = f"no executable {bins.get(n) or d['bin']}"; continue
            env["bin"] = os.path.abspath(b)
            if "conf" in d:
                src = d["dir"] / d["conf"]; env["conf"] = self.work / f"{n}-{src.name}"; env["conf"].write_text(sub(src.read_text(), env))
            self.peers[n] = dict(d, vars=env, argv=sub(d["cmd"], env).split(), envs={k: sub(v, env) for k, v in d.get("env", {}).items()}, tls=d.get("tls", True))
        self.res = {}

    def start_backend(self):
        for p in self.s + [q for x in self.peers.values() for q in (x["vars"]["port"], x["vars"]["tls_port"])]:
            with socket.socket() as k:
                k.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try: k.bind(("127.0.0.1", p))
                except OSError: raise SystemExit(f"port {p} is taken; choose another --base-port")
        self.backend = Proc([self.kit, "backend"] + [x for p in self.s for x in ("--port", str(p))], self.load_cpu, log=self.log)
        assert wait_port(self.s[0]), "backend"
    def start(self, n):
        p = self.peers[n]; pr = Proc(p["argv"], self.proxy_cpu, p["envs"], self.log)
        if not wait_port(p["vars"]["port"]) : pr.stop(); raise RuntimeError(f"{n} did not listen; see {self.work}/bench.log")
        time.sleep(0.3); return pr
    def counts(self): return json.loads(urllib.request.urlopen(f"http://127.0.0.1:{self.s[0]}/__counts").read())

    def load(self, case, port, tls_port, secs):
        """runs the load once; returns dict(requests, errors, bytes, p50.. where known)"""
        h = [x for v in HDRS for x in ("-H", v)]
        u = f"http://127.0.0.1:{port}"; t = f"https://127.0.0.1:{tls_port}"
        wrk = lambda c, url, *x: ["wrk", "-t1", f"-c{c}", f"-d{secs}s", "--latency", *h, *x, url]
        h2load = lambda c, m, path, *x: ["h2load", "-t1", f"-c{c}", f"-m{m}", f"-D{secs}", *h, *x, t + path]
        cmd = {"h1-c64": lambda: wrk(64, u + "/1k"), "h1-c512": lambda: wrk(512, u + "/1k"), "h1-c2000": lambda: wrk(2000, u + "/1k"), "h1-64k": lambda: wrk(64, u + "/64k"), "h1-1m": lambda: wrk(16, u + "/1m"),
               "h1-post16k": lambda: wrk(64, u + "/1k", "-s", str(self.work / "post.lua")),
               "tls-h1": lambda: wrk(64, t + "/1k"), "newconn": lambda: wrk(64, u + "/1k", "-H", "Connection: close"), "tls-newconn": lambda: wrk(32, t + "/1k", "-H", "Connection: close"),
               "tls-64k": lambda: wrk(64, t + "/64k"), "tls-1m": lambda: wrk(16, t + "/1m"),
               "tls-h2": lambda: h2load(16, 16, "/1k"), "h2-c1": lambda: h2load(1, 64, "/1k"), "h2-64k": lambda: h2load(16, 4, "/64k"), "h2-1m": lambda: h2load(16, 1, "/1m"),
               "h2-post16k": lambda: h2load(16, 4, "/1k", "-d", str(self.work / "post.bin")),
               "lat": lambda: [self.kit, "openloop", "--port", str(port), "--rate", str(self.a.rate), "--conns", "64", "--secs", str(secs)]}[case]()
        pr = Proc(cmd, self.load_cpu, log=self.log, stdout=subprocess.PIPE); out = pr.p.communicate()[0].decode(); self.log.write(f"$ {' '.join(cmd)}\n{out}\n"); self.log.flush()
        if case == "lat": return {**json.loads(out), "requests": json.loads(out)["n"]}
        if cmd[0] == "h2load":
            m = re.search(r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", out)
            by = re.search(r"traffic: .*? \((\d+)\) total", out)
            return dict(requests=int(m.group(3)), errors=int(m.group(2)) - int(m.group(3)), bytes=int(by.group(1)) if by else 0)
        n = int(re.search(r"(\d+) requests in", out).group(1)); e = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", out)))
        e += sum(sum(map(int, re.findall(r"\d+", m))) for m in re.findall(r"Socket errors: (.*)", out))
        q = re.search(r"(\d+) requests in [\d.]+\w+, ([\d.]+)(\w+) read", out); mul = dict(B=1, KB=1 << 10, MB=1 << 20, GB=1 << 30)
        return dict(requests=n, errors=e, bytes=float(q.group(2)) * mul[q.group(3)])

    def measure(self, name, case, pr, port, tls_port, secs):
        pids = pr.pids() if pr else []; bpids = self.backend.pids()
        k0 = self.counts(); c0, l0, p0, u0, t0 = core(self.proxy_cpu), core(self.load_cpu), cpu_ticks(pids), cpu_ticks(pids, (11,)), time.time()
        b0 = cpu_ticks(bpids); ch0 = os.times()
        r = self.load(case, port, tls_port, secs)
        ch1 = os.times(); p1, u1, b1, t1, c1, l1 = cpu_ticks(pids), cpu_ticks(pids, (11,)), cpu_ticks(bpids), time.time(), core(self.proxy_cpu), core(self.load_cpu)
        k1 = self.counts(); d = [b - a for a, b in zip(k0, k1)]
        wall = t1 - t0; cpu = (p1 - p0) / TICK; gen = (ch1.children_user + ch1.children_system) - (ch0.children_user + ch0.children_system) + (b1 - b0) / TICK
        tot = lambda x, y: max(1, y[1] - x[1])
        r.update(rps=r["requests"] / wall, cpu_us=cpu * 1e6 / max(1, r["requests"]), user_us=(u1 - u0) / TICK * 1e6 / max(1, r["requests"]), proxy_busy=cpu / wall, other_proxy_core=max(0, (c1[0] - c0[0]) / tot(c0, c1) - cpu / wall),
                 load_busy=(l1[0] - l0[0]) / tot(l0, l1), other_load_core=max(0, (l1[0] - l0[0]) / tot(l0, l1) - gen / wall), canary_share=d[2] / max(1, sum(d)))
        if r.get("bytes"): r["mb_s"] = r["bytes"] / wall / 1e6; r["cpu_us_mb"] = cpu * 1e6 / (r["bytes"] / 1e6)
        return r

    def idle(self, name):
        pr = self.start(name); p = self.peers[name]
        try:
            before = rss_kb(pr.pids())
            g = Proc([self.kit, "idle", "--port", str(p["vars"]["port"]), "--conns", str(self.a.idle_conns)], self.load_cpu, log=self.log, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            line = g.p.stdout.readline().decode()
            if not line.startswith("ready"): g.stop(); return dict(failed=True)
            time.sleep(2.0); pids = pr.pids(); after = rss_kb(pids); t0 = cpu_ticks(pids); time.sleep(2.0); t1 = cpu_ticks(pids)
            g.p.stdin.write(b"\n"); g.p.stdin.close(); alive = g.p.stdout.read().decode().split(); g.p.wait()
            return dict(mem_start_kb=before, mem_kb=after, kb_per_conn=(after - before) / self.a.idle_conns, idle_cpu_pct=(t1 - t0) / TICK / 2 * 100, alive=int(alive[-1]) if alive else -1)
        finally: pr.stop()

    def run(self):
        a = self.a; cases = a.cases.split(",") if a.cases else CASES
        if a.realtime: Proc.prefix = ["chrt", "-r", "10"]
        if a.session_nice: open("/proc/self/autogroup", "w").write(str(a.session_nice))
        self.start_backend(); procs = {}
        add = lambda n, c, r: (self.res.setdefault(c, {}).setdefault(n, []).append(r), json.dump(dict(machine=machine(), results=self.res, skipped=self.skipped, args=vars(a)), open(self.work / "results.json", "w"), indent=1))
        try:
            for n in list(self.peers):
                try: procs[n] = self.start(n)
                except Exception as e: self.skipped[n] = str(e); del self.peers[n]
            for rnd in range(a.rounds):
                names = list(self.peers); names = names[rnd % len(names):] + names[:rnd % len(names)] if names else []
                for c in cases:
                    if c == "idle": continue
                    if not c.startswith(("tls", "h2", "newconn")):
                        r = self.measure("direct", c, None, self.s[0], 0, a.secs); add("direct", c, r)
                        self.say(rnd, c, "direct", r)
                    for n in names:
                        p = self.peers[n]
                        if c.startswith(("tls", "h2")) and not p["tls"] or c == "newconn" and p.get("limit"): continue  # the backend keeps connections open
                        if rnd == 0: self.load(c, p["vars"]["port"], p["vars"]["tls_port"], 1)  # warm up
                        try: r = self.measure(n, c, procs[n], p["vars"]["port"], p["vars"]["tls_port"], a.secs); add(n, c, r); self.say(rnd, c, n, r)
                        except Exception as e: print(rnd, c, n, "FAILED", repr(e), flush=True)
            for n in procs: procs[n].stop()
            if "idle" in cases:
                for _ in range(min(2, a.rounds)):
                    for n in self.peers:
                        try: r = self.idle(n); add(n, "idle", r); print("idle", n, r, flush=True)
                        except Exception as e: print("idle", n, "FAILED", repr(e), flush=True)
        finally:
            for p in procs.values(): p.stop()
            self.backend.stop()
        md = report(self.res, self.peers, self.skipped); (self.work / "results.md").write_text(md); print(md)

    def say(self, rnd, c, n, r):
        print(f"{rnd} {c:11} {n:12} {r['rps']:9.0f}/s {r['cpu_us']:8.2f} us/req  proxy {r['proxy_busy']*100:3.0f}% (+{r['other_proxy_core']*100:.0f})  load {r['load_busy']*100:3.0f}% (+{r['other_load_core']*100:.0f})"
              f"  canary {r['canary_share']*100:4.1f}%  err {r.get('errors', 0)}" + (f"  {r['mb_s']:.0f} MB/s" if "mb_s" in r else "") + (f"  p50 {r['p50_us']:.0f} p99 {r['p99_us']:.0f}" if "p50_us" in r else ""), flush=True)


def report(res, peers, skipped):
    out = []; med = lambda rs, k: statistics.median(r[k] for r in rs if k in r)
    limits = {"direct"} | {n for n, p in peers.items() if p.get("limit")}
    for c, per in res.items():
        if c == "idle":
            out += ["### idle\n", "| peer | PSS at start, MB | PSS with idle conns, MB | KB per conn | CPU % idle | alive |", "|---|--:|--:|--:|--:|--:|"]
            for n, rs in sorted(per.items(), key=lambda x: med(x[1], "mem_kb") if any("mem_kb" in r for r in x[1]) else 9e9):
                if any("mem_kb" in r for r in rs): out.append(f"| {n} | {med(rs,'mem_start_kb')/1024:.1f} | {med(rs,'mem_kb')/1024:.1f} | {med(rs,'kb_per_conn'):.2f} | {med(rs,'idle_cpu_pct'):.1f} | {med(rs,'alive'):.0f} |")
            out.append(""); continue
        key = "p50_us" if c == "lat" else "cpu_us"
        best = min((med(rs, "cpu_us") for n, rs in per.items() if n not in limits and not peers.get(n, {}).get("ours")), default=0)
        out += [f"### {c}\n"]
        if c == "lat":
            d = per.get("direct"); out += ["| peer | p50 us | p99 us | p99.9 us | added p50 | added p99 | CPU us/req | other load % (proxy/load core) |", "|---|--:|--:|--:|--:|--:|--:|--:|"]
            for n, rs in sorted(per.items(), key=lambda x: med(x[1], key)):
                out.append(f"| {n} | {med(rs,'p50_us'):.0f} | {med(rs,'p99_us'):.0f} | {med(rs,'p999_us'):.0f} | {med(rs,'p50_us')-med(d,'p50_us'):.0f} | {med(rs,'p99_us')-med(d,'p99_us'):.0f} | {med(rs,'cpu_us'):.1f} | {med(rs,'other_proxy_core')*100:.0f}/{med(rs,'other_load_core')*100:.0f} |")
        else:
            big = c.endswith(("-64k", "-1m"))
            out += ["| peer | CPU us/req | min..max | x best peer | of it user | req/s | " + ("MB/s | CPU us/MB | " if big else "") + "proxy core % | load core % | other % | errors | canary % |", "|---|--:|--:|--:|--:|--:|" + ("--:|--:|" if big else "") + "--:|--:|--:|--:|--:|"]
            for n, rs in sorted(per.items(), key=lambda x: med(x[1], key)):
                x = "" if n == "direct" or not best else f"{med(rs,'cpu_us')/best:.2f}"
                out.append(f"| {n} | {med(rs,'cpu_us'):.2f} | {min(r['cpu_us'] for r in rs):.2f}..{max(r['cpu_us'] for r in rs):.2f} | {x} | {med(rs,'user_us'):.1f} | {med(rs,'rps'):.0f} | "
                           + (f"{med(rs,'mb_s'):.0f} | {med(rs,'cpu_us_mb'):.0f} | " if big else "") +
                           f"{med(rs,'proxy_busy')*100:.0f} | {med(rs,'load_busy')*100:.0f} | {med(rs,'other_proxy_core')*100:.0f}/{med(rs,'other_load_core')*100:.0f} | {sum(r.get('errors',0) for r in rs)} | {med(rs,'canary_share')*100:.1f} |")
        out.append("")
    if skipped: out.append("Skipped: " + "; ".join(f"{k} ({v})" for k, v in skipped.items()))
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--work", required=True); ap.add_argument("--peers"); ap.add_argument("--cases"); ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--secs", type=int, default=4); ap.add_argument("--bin", action="append", default=[]); ap.add_argument("--peers-file", action="append", default=[])
    ap.add_argument("--proxy-cpu", type=int, default=0); ap.add_argument("--load-cpu", type=int, default=1); ap.add_argument("--base-port", type=int, default=20100)
    ap.add_argument("--rate", type=int, default=4000); ap.add_argument("--idle-conns", type=int, default=10000); ap.add_argument("--kit"); ap.add_argument("--session-nice", type=int, default=0)
    ap.add_argument("--realtime", action="store_true", help="run everything SCHED_RR (root): keeps other programs' time slices out of the latencies")
    Bench(ap.parse_args()).run()
