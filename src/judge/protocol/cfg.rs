//! The parameters of an `init` line, by their short names. The configuration's own names are
//! taken as well.

use super::super::settings::{Attention, Mode, Settings};
use super::json::{Json, Read, Wrong};

/// The parameters of a replay.
pub(super) struct Cfg {
    pub(super) settings: Settings,
    /// The least number of canary requests of each step.
    pub(super) requests: u64,
    /// The least time of each step.
    pub(super) hold_s: f64,
}

impl Default for Cfg {
    fn default() -> Self {
        Self { settings: Settings::default(), requests: 100, hold_s: 60.0 }
    }
}

impl Cfg {
    /// Reads the parameters; those that are not named keep their defaults.
    pub(super) fn read(json: &Json) -> Read<Self> {
        let mut cfg = Self::default();
        for (name, value) in json.entries()? {
            cfg.set(name, value).map_err(|wrong| wrong.inside(name))?;
        }
        cfg.check()?;
        Ok(cfg)
    }

    fn set(&mut self, name: &str, value: &Json) -> Read<()> {
        let s = &mut self.settings;
        match name {
            "mode" => s.mode = mode(value)?,
            "alpha" => s.alpha = level(value)?,
            "rho" | "error_ratio" => s.error_ratio = value.positive()?,
            "delta" | "error_margin" => s.error_margin = value.within(0.0, 1.0)?,
            "lat_margin" | "latency_ratio" => s.latency_ratio = value.positive()?,
            "levels" => s.levels = value.list(level)?,
            "weights" => weights(value, &mut s.attention)?,
            "max_routes" => s.max_routes = small(value)?,
            "key_cap" => s.key_cap = value.count()?,
            "err_grid" | "error_grid" => s.error_grid = grid(value, Json::positive)?,
            "lat_grid" | "latency_grid" => s.latency_grid = grid(value, Json::positive)?,
            "cap" => s.cap = value.positive()?,
            "slice_s" => s.slice_s = value.within(0.0, f64::MAX)?,
            "ref_half_s" | "reference_half_life_s" => s.reference_half_life_s = value.positive()?,
            "warm_s" => s.warm_s = value.within(0.0, f64::MAX)?,
            "warm_margin" => s.warm_margin = value.positive()?,
            "q_start" | "inject_start" => s.inject_start = value.within(0.0, 1.0)?,
            "q_stage" | "inject_steps" => s.inject_steps = value.within(0.0, 1.0)?,
            "q_slice" | "inject_slices" => s.inject_slices = value.within(0.0, 1.0)?,
            "horizon_slices" => s.horizon_slices = small(value)?,
            "alpha_adv" | "alpha_advance" => s.alpha_advance = level(value)?,
            "harm" => s.harm = value.within(0.0, 1.0)?,
            "adv_floor" | "advance_floor" => s.advance_floor = value.within(0.0, 1.0)?,
            "adv_rho" | "advance_ratio" => s.advance_ratio = value.positive()?,
            "adv_lat_mult" | "advance_latency_factor" => {
                s.advance_latency_factor = value.positive()?;
            }
            "adv_grid" | "advance_grid" => s.advance_grid = grid(value, |z| z.within(0.0, 1.0))?,
            "min_requests" | "requests" => self.requests = value.count()?,
            "stage_min_s" | "hold" => self.hold_s = value.within(0.0, f64::MAX)?,
            "suspicion" => s.suspicion = value.number()?,
            "res_margin" | "resource_margin" => s.resource_margin = value.within(0.0, f64::MAX)?,
            "res_block_s" | "resource_block_s" => s.resource_block_s = value.positive()?,
            "res_grid" | "resource_grid" => s.resource_grid = grid(value, level)?,
            "stable_dead" => s.stable_dead = value.within(0.0, 1.0)?,
            "max_harm" => s.max_harm = Some(value.positive()?),
            _ => return Err(Wrong::new("is not a parameter of the judge")),
        }
        Ok(())
    }

    /// What must hold between parameters for the guarantee to hold.
    fn check(&self) -> Read<()> {
        const ROUNDING: f64 = 1e-9;
        let Settings { attention, levels, .. } = &self.settings;
        if attention.latency.len() != levels.len() {
            let what = format!("expected one weight for each of {} levels", levels.len());
            return Err(Wrong::new(what).inside("lat").inside("weights"));
        }
        let Attention { errors, routes, resources, latency } = attention;
        if errors + routes + resources + latency.iter().sum::<f64>() > 1.0 + ROUNDING {
            return Err(Wrong::new("expected weights of at most 1 together").inside("weights"));
        }
        let Settings { inject_start, inject_steps, inject_slices, .. } = self.settings;
        if inject_start + inject_steps + inject_slices > 1.0 + ROUNDING {
            let what = "expected q_start, q_stage and q_slice of at most 1 together";
            return Err(Wrong::new(what).inside("q_start"));
        }
        Ok(())
    }
}

fn mode(value: &Json) -> Read<Mode> {
    match value.text()? {
        "sequential" => Ok(Mode::Sequential),
        "threshold" => Ok(Mode::Threshold),
        other => Err(Wrong::new(format!("expected sequential or threshold, not {other}"))),
    }
}

fn weights(value: &Json, attention: &mut Attention) -> Read<()> {
    for (name, weight) in value.entries()? {
        let share = |weight: &Json| weight.within(0.0, 1.0);
        let read = match name.as_str() {
            "err" => share(weight).map(|weight| attention.errors = weight),
            "route" => share(weight).map(|weight| attention.routes = weight),
            "res" => share(weight).map(|weight| attention.resources = weight),
            "lat" => weight.list(share).map(|weights| attention.latency = weights),
            _ => Err(Wrong::new("expected err, route, res or lat")),
        };
        read.map_err(|wrong| wrong.inside(name))?;
    }
    Ok(())
}

/// A probability that is neither 0 nor 1.
fn level(value: &Json) -> Read<f64> {
    let level = value.within(0.0, 1.0)?;
    if level > 0.0 && level < 1.0 {
        return Ok(level);
    }
    Err(Wrong::new("expected a number between 0 and 1"))
}

fn grid(value: &Json, read: impl Fn(&Json) -> Read<f64>) -> Read<Vec<f64>> {
    let grid = value.list(read)?;
    if grid.is_empty() { Err(Wrong::new("expected at least one number")) } else { Ok(grid) }
}

fn small<T: TryFrom<u64>>(value: &Json) -> Read<T> {
    value.count()?.try_into().map_err(|_| Wrong::new("is too large"))
}
