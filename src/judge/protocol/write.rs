//! The lines that [`Session`](super::Session) reads: what a running proxy writes so that a rollout
//! can be replayed to the last bit.
//!
//! Numbers are written with as many digits as bring the same number back. What JSON cannot hold
//! (infinities, and what is no number) no checked configuration and no clock produces; such a
//! resource block is left out, as the judge ignores it anyway.

use serde::{Serialize, Serializer};

use super::super::guard::Objectives;
use super::super::interval::{Interval, RouteInterval, Tick};
use super::super::settings::{Attention, Settings};
use super::super::{Baseline, Judge, Purpose, StepRule};

/// The line for [`Judge::restart_step`].
pub const RESTART_STEP: &str = r#"{"type":"restart_step"}"#;

/// The last line of a rollout.
pub const END: &str = r#"{"type":"end"}"#;

/// The line that makes the judge of a rollout: everything that [`Judge::new`] and
/// [`Judge::with_objectives`] were given.
pub fn init_line(
    settings: &Settings,
    steps: &[StepRule],
    purpose: Purpose,
    objectives: &Objectives,
    edges_ms: &[f64],
    baseline: &Baseline,
) -> String {
    // An edge at infinity is the same as none.
    let finite = edges_ms.iter().position(|edge| !edge.is_finite()).unwrap_or(edges_ms.len());
    let Baseline { n, errors, successes } = baseline;
    text(&InitLine {
        kind: "init",
        stages: steps.iter().map(|step| step.weight).collect(),
        steps,
        purpose,
        objectives,
        baseline: BaselineCounts { n: *n, err: *errors.min(n), hist: successes },
        cfg: Parameters::of(settings),
        edges_ms: &edges_ms[..finite],
    })
}

/// The line of one tick. `weight` is the canary's share at that time, for whoever reads the file.
pub fn tick_line(tick: &Tick, weight: f64) -> String {
    let Tick { t_s, dt_s, step, stable, canary, routes, resources, over_limit } = tick;
    let measured = |block: &&(f64, f64)| block.0.is_finite() && block.1.is_finite();
    text(&TickLine {
        kind: "tick",
        t: *t_s,
        dt: *dt_s,
        stage: *step,
        weight,
        stable: Counts::of(stable),
        canary: Counts::of(canary),
        routes: Routes(routes),
        res: resources.iter().filter(measured).copied().collect(),
        over_limit: *over_limit,
    })
}

/// The line that goes on with a judge that was read back from a state file: what it saw before is
/// in its state, which need not be all that was recorded before the process ended.
pub fn resume_line(judge: &Judge) -> String {
    text(&ResumeLine { kind: "resume", judge })
}

/// Plain data with text for keys cannot fail to be written.
fn text(line: &impl Serialize) -> String {
    serde_json::to_string(line).unwrap_or_default()
}

#[derive(Serialize)]
struct InitLine<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    stages: Vec<f64>,
    steps: &'a [StepRule],
    purpose: Purpose,
    objectives: &'a Objectives,
    baseline: BaselineCounts<'a>,
    cfg: Parameters<'a>,
    edges_ms: &'a [f64],
}

#[derive(Serialize)]
struct TickLine<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    t: f64,
    dt: f64,
    stage: usize,
    weight: f64,
    stable: Counts<'a>,
    canary: Counts<'a>,
    #[serde(skip_serializing_if = "Routes::is_empty")]
    routes: Routes<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    res: Vec<(f64, f64)>,
    #[serde(skip_serializing_if = "is_default")]
    over_limit: bool,
}

#[derive(Serialize)]
struct ResumeLine<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    judge: &'a Judge,
}

#[derive(Serialize)]
struct BaselineCounts<'a> {
    n: u64,
    err: u64,
    hist: &'a [(u32, u64)],
}

/// One pool of a tick; what is not there is not written.
#[derive(Serialize)]
struct Counts<'a> {
    n: u64,
    err: u64,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    hist: &'a [(u32, u64)],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    aborts: &'a [(u32, u64)],
    #[serde(skip_serializing_if = "is_default")]
    inflight_slow: u64,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    err_keys: &'a [(u64, u64)],
    #[serde(skip_serializing_if = "is_default")]
    distinct_keys: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthy: Option<bool>,
}

impl<'a> Counts<'a> {
    fn of(pool: &'a Interval) -> Self {
        Self {
            n: pool.n,
            // The judge counts no more errors than requests either.
            err: pool.errors.min(pool.n),
            hist: &pool.successes,
            aborts: &pool.aborts,
            inflight_slow: pool.inflight_slow,
            err_keys: &pool.error_keys,
            distinct_keys: pool.distinct_keys,
            healthy: (!pool.healthy).then_some(false),
        }
    }
}

/// Routes by name, in their order: the first ones seen are the ones tested.
struct Routes<'a>(&'a [RouteInterval]);

impl Routes<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Routes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Route {
            stable: (u64, u64),
            canary: (u64, u64),
        }
        serializer.collect_map(
            self.0
                .iter()
                .map(|route| (&route.name, Route { stable: route.stable, canary: route.canary })),
        )
    }
}

/// All parameters by their short names.
#[derive(Serialize)]
struct Parameters<'a> {
    mode: super::super::Mode,
    alpha: f64,
    rho: f64,
    delta: f64,
    lat_margin: f64,
    levels: &'a [f64],
    weights: Weights<'a>,
    err_grid: &'a [f64],
    lat_grid: &'a [f64],
    slice_s: f64,
    cap: f64,
    warm_s: f64,
    warm_margin: f64,
    ref_half_s: f64,
    alpha_adv: f64,
    harm: f64,
    adv_floor: f64,
    adv_rho: f64,
    adv_lat_mult: f64,
    adv_grid: &'a [f64],
    suspicion: f64,
    key_cap: u64,
    max_routes: usize,
    horizon_slices: u32,
    q_start: f64,
    q_stage: f64,
    q_slice: f64,
    res_margin: f64,
    res_block_s: f64,
    res_grid: &'a [f64],
    stable_dead: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_harm: Option<f64>,
}

#[derive(Serialize)]
struct Weights<'a> {
    err: f64,
    route: f64,
    res: f64,
    lat: &'a [f64],
}

impl<'a> Parameters<'a> {
    /// Taken apart field by field, so that a new parameter cannot be forgotten here.
    fn of(settings: &'a Settings) -> Self {
        let Settings {
            mode,
            alpha,
            error_ratio: rho,
            error_margin: delta,
            latency_ratio: lat_margin,
            levels,
            attention: Attention { errors: err, routes: route, resources: res, latency: lat },
            error_grid: err_grid,
            latency_grid: lat_grid,
            slice_s,
            cap,
            warm_s,
            warm_margin,
            reference_half_life_s: ref_half_s,
            alpha_advance: alpha_adv,
            harm,
            advance_floor: adv_floor,
            advance_ratio: adv_rho,
            advance_latency_factor: adv_lat_mult,
            advance_grid: adv_grid,
            suspicion,
            key_cap,
            max_routes,
            horizon_slices,
            inject_start: q_start,
            inject_steps: q_stage,
            inject_slices: q_slice,
            resource_margin: res_margin,
            resource_block_s: res_block_s,
            resource_grid: res_grid,
            stable_dead,
            max_harm,
        } = settings;
        Self {
            mode: *mode,
            alpha: *alpha,
            rho: *rho,
            delta: *delta,
            lat_margin: *lat_margin,
            levels,
            weights: Weights { err: *err, route: *route, res: *res, lat },
            err_grid,
            lat_grid,
            slice_s: *slice_s,
            cap: *cap,
            warm_s: *warm_s,
            warm_margin: *warm_margin,
            ref_half_s: *ref_half_s,
            alpha_adv: *alpha_adv,
            harm: *harm,
            adv_floor: *adv_floor,
            adv_rho: *adv_rho,
            adv_lat_mult: *adv_lat_mult,
            adv_grid,
            suspicion: *suspicion,
            key_cap: *key_cap,
            max_routes: *max_routes,
            horizon_slices: *horizon_slices,
            q_start: *q_start,
            q_stage: *q_stage,
            q_slice: *q_slice,
            res_margin: *res_margin,
            res_block_s: *res_block_s,
            res_grid,
            stable_dead: *stable_dead,
            max_harm: *max_harm,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
