use super::*;
use crate::config::ResourceSource;

fn rule() -> config::Resources {
    config::Resources {
        source: ResourceSource::Metrics("http://{endpoint}/metrics".into()),
        cpu: Some(0.9),
        memory: Some(0.9),
        cpu_limit: Some(2.0),
        memory_limit: Some(100 << 20),
        every: Duration::from_secs(2),
    }
}

fn settings() -> Settings {
    Settings { warm_s: 0.0, ..Settings::default() }
}

fn good(source: &str, at_s: f64, cpu_s: f64) -> Reading {
    let found = Use { cpu_s: Some(cpu_s), memory_bytes: Some(1e6), ..Use::default() };
    Reading { source: source.into(), at_s, found: Ok(found) }
}

fn silent(source: &str) -> Reading {
    Reading { source: source.into(), at_s: 0.0, found: Err("does not answer".into()) }
}

fn sample(stable: Vec<Reading>, canary: Vec<Reading>) -> Sample {
    Sample {
        service: "shop".into(),
        stable: Looked { pool: "blue".into(), readings: stable },
        canary: Looked { pool: "green".into(), readings: canary },
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn what_is_asked_for_and_not_known_is_missing_until_it_is() {
    let (rule, mut watched) = (rule(), Watched::default());
    let both = [Some(&rule), Some(&rule)];
    assert_eq!(watched.missing([None, None]), None, "nothing is asked for");
    assert_eq!(watched.missing(both).unwrap(), "resources are not read yet");
    let fine = || sample(vec![good("a", 0.0, 1.0)], vec![good("b", 0.0, 1.0)]);
    watched.sampled(&fine(), both, &settings());
    assert_eq!(watched.missing(both), None);

    let one = sample(vec![good("a", 0.0, 1.0)], vec![silent("127.0.0.1:81")]);
    watched.sampled(&one, both, &settings());
    let why = watched.missing(both).unwrap();
    assert_eq!(why, "resources of pool green: 127.0.0.1:81 does not answer");
    assert_eq!(watched.note("green"), Some("127.0.0.1:81 does not answer"));
    assert!(watched.is_missing("green") && !watched.is_missing("blue"));

    let many = sample(vec![silent("x"), silent("y"), good("z", 0.0, 1.0)], Vec::new());
    watched.sampled(&many, both, &settings());
    let why = watched.missing(both).unwrap();
    let want = "resources of pool blue: x does not answer, and 1 more; \
        resources of pool green: no endpoint is up to be asked";
    assert_eq!(why, want);
    watched.sampled(&fine(), both, &settings());
    assert_eq!(watched.missing(both), None);
}

#[test]
fn silence_is_missing_too() {
    let (rule, mut watched) = (rule(), Watched::default());
    let both = [Some(&rule), Some(&rule)];
    let fine = sample(vec![good("a", 0.0, 1.0)], vec![good("b", 0.0, 1.0)]);
    watched.sampled(&fine, both, &settings());
    watched.served(10, 10, 8 * SECOND);
    assert_eq!(watched.missing(both), None, "three samples may be late");
    watched.served(10, 10, SECOND);
    assert_eq!(watched.missing(both).unwrap(), "resources were not read for 9 s");
    watched.sampled(&fine, both, &settings());
    assert_eq!(watched.missing(both), None);
}

#[test]
fn a_source_that_does_not_say_what_is_asked_for_is_missing() {
    let mut quiet = good("b", 0.0, 1.0);
    let Ok(found) = &mut quiet.found else { panic!() };
    found.cpu_s = None;
    let without_cpu = Looked { pool: "green".into(), readings: vec![quiet.clone()] };
    assert_eq!(missing(&without_cpu, &rule()).unwrap(), "b does not say its CPU time");
    let memory_only = config::Resources { cpu: None, ..rule() };
    assert_eq!(missing(&without_cpu, &memory_only), None);
    let Ok(found) = &mut quiet.found else { panic!() };
    *found = Use { cpu_s: Some(1.0), ..Use::default() };
    let without_memory = Looked { pool: "green".into(), readings: vec![quiet] };
    assert_eq!(missing(&without_memory, &rule()).unwrap(), "b does not say its memory");
    assert_eq!(missing(&without_memory, &config::Resources { memory: None, ..rule() }), None);
    // A limit that nobody knows cannot be broken: then memory is not needed, and people are told.
    let unlimited_rule = config::Resources { memory_limit: None, ..rule() };
    assert_eq!(missing(&without_memory, &unlimited_rule), None);
    assert!(unlimited(&without_memory, &unlimited_rule).unwrap().contains("memory_limit"));
    assert_eq!(unlimited(&without_memory, &rule()), None);
}

#[test]
fn finished_blocks_come_once_and_not_while_the_canary_is_cold() {
    let (rule, mut watched) = (rule(), Watched::default());
    let both = [Some(&rule), Some(&rule)];
    let settings = Settings { warm_s: 15.0, ..Settings::default() };
    let mut found = Vec::new();
    for second in 0..50_u32 {
        let at_s = f64::from(second);
        if second % 2 == 0 {
            let (stable, canary) = (good("a", at_s, at_s * 0.1), good("b", at_s, at_s * 0.2));
            watched.sampled(&sample(vec![stable], vec![canary]), both, &settings);
        }
        watched.served(100, 100, SECOND);
        found.push(watched.take().blocks.len());
    }
    // 16 s until it is warm, then three blocks of ten seconds.
    assert_eq!(found.iter().sum::<usize>(), 3, "{found:?}");
    assert!(found[..26].iter().all(|blocks| *blocks == 0), "{found:?}");
}

#[test]
fn a_pool_without_a_rule_is_not_compared_and_the_limit_still_holds() {
    let (rule, mut watched) = (rule(), Watched::default());
    let only_canary = [None, Some(&rule)];
    for at in 0..20_u32 {
        let mut canary = good("b", f64::from(at), f64::from(at));
        let Ok(found) = &mut canary.found else { panic!() };
        found.memory_bytes = Some(99.0 * 1_048_576.0);
        watched.sampled(&sample(Vec::new(), vec![canary]), only_canary, &settings());
        watched.served(100, 100, SECOND);
        assert_eq!(watched.missing(only_canary), None);
    }
    let Taken { blocks, over_limit } = watched.take();
    assert!(blocks.is_empty());
    assert!(over_limit.unwrap().contains("memory 99.0 MiB of 100.0 MiB"));
}
