//! An interval for an error rate that stays valid however often one looks.
//!
//! The rate `p` is inside while the Beta(1/2, 1/2) mixture has not won `1 / alpha` against it
//! (Lindon & Malek 2022, with one stream). It is for people to read; no rule of the judge uses it.

/// All rates that `errors` of `n` do not contradict at level `alpha`, as a pair of bounds.
pub fn interval_for(errors: u64, n: u64, alpha: f64) -> (f64, f64) {
    if n == 0 || !(alpha > 0.0 && alpha < 1.0) {
        return (0.0, 1.0);
    }
    let (e, n) = (errors.min(n) as f64, n as f64);
    let mixture = ln_beta(e + 0.5, n - e + 0.5) - ln_beta(0.5, 0.5);
    let inside = |p: f64| {
        let good = if e < n { (n - e) * (-p).ln_1p() } else { 0.0 };
        let bad = if e > 0.0 { e * p.ln() } else { 0.0 };
        mixture - bad - good < -alpha.ln()
    };
    let rate = e / n;
    let low = if e > 0.0 { boundary(rate, 0.0, inside) } else { 0.0 };
    let high = if e < n { boundary(rate, 1.0, inside) } else { 1.0 };
    (low, high)
}

/// Where `inside` ends between a rate that is inside and one that is not.
fn boundary(mut inner: f64, mut outer: f64, inside: impl Fn(f64) -> bool) -> f64 {
    // Halving a double's interval 100 times leaves nothing to halve.
    for _ in 0..100 {
        let middle = inner.midpoint(outer);
        if inside(middle) {
            inner = middle;
        } else {
            outer = middle;
        }
    }
    inner
}

fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

/// Stirling's series, after the recurrence has brought the argument where the series is exact
/// to the last digits of a double.
fn ln_gamma(mut x: f64) -> f64 {
    let mut shift = 0.0;
    while x < 15.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let (inverse, square) = (1.0 / x, 1.0 / (x * x));
    let series = inverse
        * (1.0 / 12.0
            - square
                * (1.0 / 360.0
                    - square * (1.0 / 1260.0 - square * (1.0 / 1680.0 - square / 1188.0))));
    shift + (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_equal_the_reference_vectors() {
        let vectors = [
            (3, 200, 0.05, 0.000_825_40, 0.065_129_93),
            (0, 600, 0.05, 0.0, 0.011_214_59),
            (15, 500, 0.01, 0.008_775_00, 0.070_734_72),
        ];
        for (errors, n, alpha, low, high) in vectors {
            let (l, h) = interval_for(errors, n, alpha);
            assert!((l - low).abs() < 1e-8 && (h - high).abs() < 1e-8, "{errors}/{n}: {l} {h}");
        }
    }

    #[test]
    fn the_interval_mirrors_with_the_errors() {
        let (low, high) = interval_for(590, 600, 0.05);
        let (mirrored_low, mirrored_high) = interval_for(10, 600, 0.05);
        assert!((low - (1.0 - mirrored_high)).abs() < 1e-9);
        assert!((high - (1.0 - mirrored_low)).abs() < 1e-9);
        assert_eq!(interval_for(600, 600, 0.05).1, 1.0);
    }

    #[test]
    fn nothing_seen_says_nothing() {
        assert_eq!(interval_for(0, 0, 0.05), (0.0, 1.0));
        assert_eq!(interval_for(1, 2, f64::NAN), (0.0, 1.0));
        let (low, high) = interval_for(9, 3, 0.05);
        assert!(low > 0.1 && high == 1.0, "more errors than requests count as all: {low} {high}");
    }
}
