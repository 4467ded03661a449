use super::super::errors;
use super::super::settings::Settings;
use super::super::slice::{Pair, Trials};
use super::*;

fn slice(n_s: u64, e_s: u64, n_c: u64, e_c: u64) -> Vec<f64> {
    let pair = Pair { stable: Trials::new(n_s, e_s), canary: Trials::new(n_c, e_c) };
    errors::log_evidence(pair, 1.25, 0.0005, &Settings::default().error_grid)
}

/// Start times, the mixture and the cap, against 50-digit arithmetic.
#[test]
fn wealth_equals_the_reference_vector() {
    let slices =
        [(50, 0, 1, 0), (48, 0, 2, 1), (51, 1, 1, 0), (47, 0, 3, 3), (50, 0, 2, 2), (49, 0, 1, 1)];
    let uncapped = [-0.67923, 1.40027, 0.532094, 6.981678, 12.518925, 15.867421];
    let capped = [-0.67923, 1.40027, 0.532094, 3.537951, 6.538242, 9.538256];
    let mut process = Process::new(9);
    for (at, (n_s, e_s, n_c, e_c)) in slices.into_iter().enumerate() {
        process.inject(if at == 0 { 0.51 } else { 0.01 });
        process.update(&slice(n_s, e_s, n_c, e_c), 3.0);
        let free = log_sum_exp(&process.weights);
        assert!((free - uncapped[at]).abs() < 1e-6, "slice {at}: {free}");
        let wealth = process.log_wealth();
        assert!((wealth - capped[at]).abs() < 1e-6, "slice {at}: {wealth}");
    }
}

#[test]
fn one_slice_adds_at_most_the_cap_but_may_take_everything() {
    let mut process = Process::new(3);
    process.inject(0.5);
    let before = process.log_wealth();
    process.update(&[50.0, 60.0, 70.0], 3.0);
    assert!((process.log_wealth() - before - 3.0).abs() < 1e-12);
    process.update(&[-50.0, -60.0, -70.0], 3.0);
    let now = process.log_wealth();
    assert!(now < before - 45.0, "{now}: the loss is not capped");
}

#[test]
fn without_an_injection_there_is_no_wealth() {
    let mut process = Process::new(3);
    process.update(&[5.0, 6.0, 7.0], 3.0);
    assert_eq!(process.log_wealth(), f64::NEG_INFINITY);
}

#[test]
fn injections_add_up() {
    let mut process = Process::new(4);
    process.inject(0.5);
    process.inject(0.25);
    process.inject(0.0);
    process.inject(f64::NAN);
    assert!((process.log_wealth() - 0.75_f64.ln()).abs() < 1e-12);
    assert!((log_sum_exp(&process.weights) - 0.75_f64.ln()).abs() < 1e-12);
}

#[test]
fn a_payoff_that_is_no_number_changes_nothing() {
    let mut process = Process::new(2);
    process.inject(1.0);
    process.update(&[f64::NAN, 1.0], 3.0);
    assert_eq!(process.log_wealth(), 0.0);
}

#[test]
fn sums_of_logs_neither_overflow_nor_vanish() {
    assert!((log_add_exp(1000.0, 1000.0) - (1000.0 + 2.0_f64.ln())).abs() < 1e-12);
    assert_eq!(log_add_exp(f64::NEG_INFINITY, -3.0), -3.0);
    assert_eq!(log_add_exp(f64::NEG_INFINITY, f64::NEG_INFINITY), f64::NEG_INFINITY);
    assert!((log_sum_exp(&[-1000.0, -1000.0]) - (-1000.0 + 2.0_f64.ln())).abs() < 1e-12);
    assert_eq!(log_sum_exp(&[]), f64::NEG_INFINITY);
    assert!(log_mean_exp(&[0.0, 0.0, 0.0]).abs() < 1e-12);
}

#[test]
fn wealth_survives_a_state_file_bit_for_bit() {
    let mut process = Process::new(3);
    let empty = serde_json::to_string(&process).expect("plain data");
    let empty: Process = serde_json::from_str(&empty).expect("own text");
    assert_eq!(empty.log_wealth(), f64::NEG_INFINITY);
    process.inject(0.1 + 0.2);
    process.update(&[1.0 / 3.0, -2.0 / 7.0, 1e-9], 3.0);
    let text = serde_json::to_string(&process).expect("plain data");
    let again: Process = serde_json::from_str(&text).expect("own text");
    assert_eq!(again.weights, process.weights);
    assert_eq!(again.wealth.to_bits(), process.wealth.to_bits());
}
