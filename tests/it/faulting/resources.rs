//! A canary that answers well, and eats the machine.

use super::{Found, PLAN, SEED, STICKY, Stage};

/// A canary whose memory grows with each request, to a limit of 100 MiB that nobody may reach
/// beyond 90 %.
pub(super) async fn leaks(seed: u64) -> Found {
    let source = r#"resources = { metrics = "http://{endpoint}/metrics", cpu_limit = 8, memory_limit = "100MiB", every = "100ms" }"#;
    let stage = Stage::open(seed, &format!("{STICKY}\n{source}"), PLAN).await;
    // Stable has more, and keeps it.
    stage.blue.exposes(1.0, 95.0);
    stage.green.leaks(1.0, 60.0, 0.25);
    let found = stage.release().await;
    assert_eq!(found.decision.reason, "limit", "{}", found.decision.words);
    let words = &found.decision.words;
    assert!(words.contains("of pool green: memory 9"), "{words}");
    assert!(words.contains("MiB of 100.0 MiB, above 90%"), "{words}");
    // 30 MiB at 4 requests each; three readings running; and the last one counts at the next tick.
    assert!(found.requests > 120, "{}: it was below its limit", found.requests);
    assert_eq!((found.harmed, found.evidence().canary_errors), (0, 0), "no user has noticed");
    stage.close().await;
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_leaks_memory_past_its_limit() {
    leaks(SEED).await.tell("leaks memory past its limit");
}
