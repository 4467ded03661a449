//! Which endpoint gets a request. Pure: the caller brings the random draws.

/// Chooses among `len` endpoints. `load` gives the requests that one is serving, or `None` where
/// it must not be chosen.
///
/// Power of two choices (Mitzenmacher 2001): the less busy of two drawn at random, which is nearly
/// as even as looking at all of them and never sends a herd to the one that looks idle.
pub fn least_request(len: usize, draw: u64, load: impl Fn(usize) -> Option<u32>) -> Option<usize> {
    let (high, low) = (draw >> 32, draw & 0xffff_ffff);
    let first = scale(high, len)?;
    if len == 1 {
        return load(0).map(|_| 0);
    }
    // The second among the others, so that the two differ.
    let second = (first + 1 + scale(low, len - 1)?) % len;
    match (load(first), load(second)) {
        (Some(a), Some(b)) => Some(if b < a { second } else { first }),
        (Some(_), None) => Some(first),
        (None, Some(_)) => Some(second),
        (None, None) => after(len, first, load),
    }
}

/// Chooses the next endpoint after the `turn`-th that may be chosen.
pub fn round_robin(len: usize, turn: u64, load: impl Fn(usize) -> Option<u32>) -> Option<usize> {
    let len_u64 = u64::try_from(len).ok().filter(|len| *len > 0)?;
    let start = usize::try_from(turn % len_u64).ok()?;
    if load(start).is_some() { Some(start) } else { after(len, start, load) }
}

/// The first after `start`, around the circle, that may be chosen.
fn after(len: usize, start: usize, load: impl Fn(usize) -> Option<u32>) -> Option<usize> {
    (1..=len).map(|step| (start + step) % len).find(|&index| load(index).is_some())
}

/// Maps 32 random bits onto `0..len`.
fn scale(bits: u64, len: usize) -> Option<usize> {
    let len = u64::try_from(len).ok().filter(|len| (1..=0xffff_ffff).contains(len))?;
    usize::try_from((bits * len) >> 32).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn only_an_endpoint_that_may_be_chosen_is(
            loads in prop::collection::vec(prop::option::of(0u32..9), 0..12),
            draw: u64,
        ) {
            for chosen in [
                least_request(loads.len(), draw, |i| loads[i]),
                round_robin(loads.len(), draw, |i| loads[i]),
            ] {
                match chosen {
                    Some(index) => prop_assert!(loads[index].is_some()),
                    None => prop_assert!(loads.iter().all(Option::is_none)),
                }
            }
        }

        #[test]
        fn the_busiest_of_three_is_never_chosen(draw: u64) {
            let chosen = least_request(3, draw, |index| Some([1, 9, 2][index]));
            prop_assert_ne!(chosen, Some(1));
        }
    }

    #[test]
    fn idle_endpoints_share_evenly() {
        let mut hits = [0u32; 4];
        let mut draw = 1u64;
        for _ in 0..40_000 {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            hits[least_request(4, draw ^ (draw >> 29), |_| Some(0)).unwrap()] += 1;
        }
        assert!(hits.iter().all(|n| (9_000..11_000).contains(n)), "{hits:?}");
    }

    #[test]
    fn turns_go_round() {
        let chosen: Vec<_> =
            (0..5).map(|turn| round_robin(3, turn, |_| Some(0)).unwrap()).collect();
        assert_eq!(chosen, [0, 1, 2, 0, 1]);
    }
}
