use super::super::tests::{assert_close, binomial, pair};
use super::*;

fn grid() -> Vec<f64> {
    Settings::default().advance_grid
}

#[test]
fn evidence_equals_the_reference_vectors() {
    let l = log_evidence(pair(5_940, 0, 60, 0), 1.25, 0.05, &grid());
    assert_close(&l, &[3.0, 2.25, 1.5, 0.9, 0.45]);
    assert_close(&[log_mean_exp(&l)], &[2.030327]);
    let l = log_evidence(pair(7_920, 0, 80, 0), 1.25, 0.05, &grid());
    assert_close(&[log_mean_exp(&l)], &[2.858938]);
    let l = log_evidence(pair(2_100, 3, 700, 1), 1.25, 0.01, &grid());
    assert_eq!(l[0], f64::NEG_INFINITY);
    assert_close(&l[1..], &[4.679507, 3.374579, 2.096674, 1.069355]);
    assert_close(&[log_mean_exp(&l)], &[3.387649]);
}

#[test]
fn a_canary_worse_by_the_margin_pays_no_more_than_it_costs() {
    for (n_s, n_c) in [(1, 1), (30, 2), (12, 12), (3, 20)] {
        for p_s in [0.0, 0.001, 0.01, 0.1, 0.3] {
            for (ratio, margin) in [(1.25, 0.005), (1.0, 0.05), (1.25, 0.25)] {
                let p_c: f64 = ratio * p_s + margin;
                let mut mean = vec![0.0; grid().len()];
                for e_s in 0..=n_s {
                    for e_c in 0..=n_c {
                        let chance = binomial(n_s, e_s, p_s) * binomial(n_c, e_c, p_c);
                        let l = log_evidence(pair(n_s, e_s, n_c, e_c), ratio, margin, &grid());
                        mean.iter_mut().zip(l).for_each(|(mean, l)| *mean += chance * l.exp());
                    }
                }
                for (mean, z) in mean.iter().zip(grid()) {
                    assert!(*mean <= 1.0 + 1e-9, "{n_s} {n_c} {p_s} {ratio} z {z}: {mean}");
                }
            }
        }
    }
}

#[test]
fn the_margin_shrinks_as_the_next_share_grows() {
    let settings = Settings::default();
    let after = |next_weight| {
        let mut advance = Advance::new(&settings);
        advance.test(pair(900, 0, 100, 0), Some(pair(900, 0, 100, 0)), next_weight, &settings);
        (advance.errors(), advance.latency())
    };
    let (errors, latency) = after(0.05);
    let l = log_evidence(pair(900, 0, 100, 0), 1.25, 0.05, &grid());
    assert_close(&[errors], &[log_mean_exp(&l)]);
    let l = log_evidence(pair(900, 0, 100, 0), 1.0, 0.1, &grid());
    assert_close(&[latency], &[log_mean_exp(&l)]);
    assert!(after(0.5).0 < errors);
    assert_eq!(after(0.5), after(1.0), "the floor");
}

#[test]
fn nothing_to_compare_proves_nothing() {
    let settings = Settings::default();
    let mut advance = Advance::new(&settings);
    advance.test(pair(0, 0, 100, 0), None, 1.0, &settings);
    assert!(advance.errors().abs() < 1e-12 && advance.latency().abs() < 1e-12);
}

/// One failure rules the bet out that the canary never fails, for the rest of the step.
#[test]
fn a_lost_bet_stays_lost() {
    let settings = Settings { advance_grid: vec![0.0], ..Settings::default() };
    let mut advance = Advance::new(&settings);
    advance.test(pair(900, 0, 100, 1), None, 1.0, &settings);
    advance.test(pair(900, 0, 100_000, 0), None, 1.0, &settings);
    assert_eq!(advance.errors(), f64::NEG_INFINITY);
}
