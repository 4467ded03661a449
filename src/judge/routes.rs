//! Errors by route: a fault of one route drowns in the errors of all, so the most requested
//! routes are tested on their own.

use serde::{Deserialize, Serialize};

use super::errors::log_evidence;
use super::interval::RouteInterval;
use super::settings::Settings;
use super::slice::{Pair, Trials};
use super::wealth::Process;

/// The routes that are tested: the first ones seen, as many as the settings allow.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct Routes {
    pub(super) known: Vec<Route>,
}

/// One route.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Route {
    pub(super) name: String,
    pub(super) process: Process,
    /// Counts that wait for the other pool to be asked for this route.
    waiting: Pair,
    /// Counts of this step, for people.
    pub(super) step: Pair,
}

impl Routes {
    /// Adds one tick. A route that is seen for the first time begins with wealth, if there is a
    /// slot left; an unused slot has none.
    pub(super) fn observe(&mut self, routes: &[RouteInterval], settings: &Settings) {
        for route in routes {
            let known = self.known.iter().position(|known| known.name == route.name);
            let at = match known {
                Some(at) => at,
                None if self.known.len() < settings.max_routes => {
                    self.known.push(Route::new(&route.name, settings));
                    self.known.len() - 1
                }
                None => continue,
            };
            let tick = Pair {
                stable: Trials::new(route.stable.0, route.stable.1),
                canary: Trials::new(route.canary.0, route.canary.1),
            };
            self.known[at].waiting.add(tick);
            self.known[at].step.add(tick);
        }
    }

    /// A slice closed: tests the routes that both pools were asked for.
    pub(super) fn test(&mut self, settings: &Settings) {
        let Settings { error_ratio, error_margin, error_grid, cap, .. } = settings;
        for route in self.known.iter_mut().filter(|route| route.waiting.both()) {
            let slice = std::mem::take(&mut route.waiting);
            let log_e = log_evidence(slice, *error_ratio, *error_margin, error_grid);
            route.process.update(&log_e, *cap);
        }
    }

    /// A step has begun: shares have changed, so counts of before cannot be compared.
    pub(super) fn begin_step(&mut self) {
        for route in &mut self.known {
            route.waiting = Pair::default();
            route.step = Pair::default();
        }
    }
}

impl Route {
    fn new(name: &str, settings: &Settings) -> Self {
        let mut process = Process::new(settings.error_grid.len());
        process.inject(settings.inject_start);
        Self { name: name.into(), process, waiting: Pair::default(), step: Pair::default() }
    }
}
