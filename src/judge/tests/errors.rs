use super::super::slice::Trials;
use super::super::tests::{assert_close, binomial, pair};
use super::super::wealth::log_mean_exp;
use super::*;

fn grid() -> Vec<f64> {
    Settings::default().error_grid
}

#[test]
fn evidence_equals_the_reference_vectors() {
    let l = log_evidence(pair(297, 0, 3, 3), 1.25, 0.0005, &grid());
    let want = [
        0.659724, 1.386768, 2.319065, 3.662609, 5.186873, 7.054797, 9.838932, 11.804461, 12.814939,
    ];
    assert_close(&l, &want);
    assert_close(&[log_mean_exp(&l)], &[10.967546]);
    let l = log_evidence(pair(20_000, 20, 200, 10), 1.25, 0.0005, &grid());
    let want = [
        2.11437, 4.41981, 7.326601, 11.376184, 15.655534, 20.072362, 22.497517, 13.61484,
        -16.030462,
    ];
    assert_close(&l, &want);
    assert_close(&[log_mean_exp(&l)], &[20.386182]);
    let healthy = log_evidence(pair(9_900, 10, 100, 0), 1.25, 0.0005, &grid());
    assert_close(&[log_mean_exp(&healthy)], &[-0.827507]);
    let half = log_evidence(pair(500, 5, 500, 15), 1.25, 0.0005, &grid());
    assert_close(&[log_mean_exp(&half)], &[0.507708]);
}

/// Every outcome of small pools, weighed with its probability at the edge of the null.
#[test]
fn a_canary_within_its_margins_pays_no_more_than_it_costs() {
    for (n_s, n_c) in [(1, 1), (30, 2), (12, 12), (3, 20)] {
        for p_s in [0.0, 0.001, 0.01, 0.1, 0.3, 0.6] {
            for (ratio, margin) in [(1.5, 0.0005), (1.25, 0.0), (1.0, 0.01)] {
                let p_c = f64::min(ratio * p_s + margin, 1.0);
                let mut mean = vec![0.0; grid().len()];
                for e_s in 0..=n_s {
                    for e_c in 0..=n_c {
                        let chance = binomial(n_s, e_s, p_s) * binomial(n_c, e_c, p_c);
                        let l = log_evidence(pair(n_s, e_s, n_c, e_c), ratio, margin, &grid());
                        mean.iter_mut().zip(l).for_each(|(mean, l)| *mean += chance * l.exp());
                    }
                }
                for (mean, g) in mean.iter().zip(grid()) {
                    assert!(*mean <= 1.0 + 1e-9, "{n_s} {n_c} {p_s} {ratio} g {g}: {mean}");
                }
            }
        }
    }
}

#[test]
fn without_both_pools_there_is_no_evidence() {
    for slice in [pair(0, 0, 5, 5), pair(5, 5, 0, 0), pair(0, 0, 0, 0)] {
        assert_eq!(log_evidence(slice, 1.5, 0.0005, &grid()), vec![0.0; 9]);
    }
}

#[test]
fn excess_counts_errors_beyond_the_stable_rate() {
    let settings = Settings::default();
    let mut errors = Errors::new(&settings);
    errors.test(pair(100, 10, 10, 4), &settings);
    errors.test(pair(50, 0, 5, 0), &settings);
    errors.test(Pair { canary: Trials::new(3, 3), ..Pair::default() }, &settings);
    assert!((errors.excess - 3.0).abs() < 1e-12, "{}", errors.excess);
}
