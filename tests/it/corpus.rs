//! The seeds of the fuzz targets, without a fuzzer: what each of them shows stays true.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

#[expect(unreachable_pub, reason = "it is the face of a crate of its own")]
#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

#[test]
fn every_seed_keeps_the_rules_of_its_target() {
    type Check = fn(&[u8]);
    let targets: [(&str, Check); 5] = [
        ("request_head", fuzz::request_head),
        ("response_head", fuzz::response_head),
        ("chunked", fuzz::chunked),
        ("connection", fuzz::connection),
        ("http2", fuzz::http2),
    ];
    let corpus = Path::new("fuzz/corpus");
    assert_eq!(fs::read_dir(corpus).unwrap().count(), targets.len(), "a target without a check");
    for (target, check) in targets {
        let mut seeds = 0;
        for seed in fs::read_dir(corpus.join(target)).unwrap() {
            let seed = seed.unwrap().path();
            let bytes = fs::read(&seed).unwrap();
            assert!(catch_unwind(|| check(&bytes)).is_ok(), "{}", seed.display());
            seeds += 1;
        }
        assert!(seeds >= 20, "{target} has {seeds} seeds");
    }
}
