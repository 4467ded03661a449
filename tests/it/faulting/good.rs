//! The same stage with a canary that is as good as stable.

use super::{PLAN, SEED, STICKY, Stage, last};

/// The statistics are those under which the bad ones are found, but for the margins that have to be
/// proven before a step ends: to show within seconds, from 50 requests a second, that errors are at
/// most 0.5 % worse and slow answers at most 1 % is not possible, whatever the method; 2 % and 4 %
/// need about 250 of them.
fn plan() -> String {
    format!("{PLAN}harm = \"1%\"\nadvance_floor = \"2%\"\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_as_good_as_stable_is_promoted_at_200_requests_a_second() {
    let stage = Stage::open(SEED, STICKY, &plan()).await;
    stage.proxy.deploy("v2").await.unwrap();
    for step in 1..=2 {
        crate::support::eventually("the next step", || async {
            let service = stage.proxy.shop().await;
            assert_ne!(service.state, "rolled_back", "{}", last(&service).words);
            service.rollout.unwrap().step == Some(step)
        })
        .await;
    }
    let service = stage.proxy.reaches("promoted").await;
    let rollout = service.rollout.clone().unwrap();
    let names: Vec<_> = rollout.decisions.iter().map(|known| known.decision.as_str()).collect();
    assert_eq!(names, ["deploy", "step", "step", "guard", "promoted"]);
    // Each step was ended by proof, not by time alone.
    for ended in &rollout.decisions[2..4] {
        let evidence = ended.evidence.as_ref().unwrap();
        let proofs = [evidence.advance_errors.unwrap(), evidence.advance_latency.unwrap()];
        assert!(proofs.iter().all(|proof| *proof >= evidence.advance_threshold), "{proofs:?}");
        assert!(evidence.canary_n >= 100);
    }
    assert_eq!(service.stable.name, "green");
    let took = rollout.decisions[3].at_ms - rollout.decisions[1].at_ms;
    println!(
        "faulting: as good as stable: at 100 % after {took} ms, {} requests",
        rollout.canary_requests
    );
    let seen = stage.crowd.stop().await;
    assert!(seen.iter().all(|answer| answer.is_good()), "a user saw a failure");
    stage.proxy.stop().await;
}
