use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::config::{Balance, PoolTimeouts};
use crate::upstream::Endpoint;
use crate::upstream::health::Health;

const PATIENCE: Duration = Duration::from_secs(20);

/// A server that answers with `status` and an exposition; counts its requests.
async fn exposing(status: &'static str, body: String) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap_or_default();
            assert!(request[..read].starts_with(b"GET /stats/prometheus HTTP/1.1\r\n"));
            counted.fetch_add(1, Ordering::SeqCst);
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    (address, asked)
}

fn pool(name: &str, addresses: &[SocketAddr]) -> Arc<Pool> {
    let endpoint = |address: &SocketAddr| {
        let target = Target { host: address.ip().to_string(), port: address.port() };
        Endpoint::new(target, *address, Health::Up)
    };
    let second = Duration::from_secs(1);
    Arc::new(Pool {
        name: name.into(),
        endpoints: addresses.iter().map(endpoint).collect(),
        balance: Balance::RoundRobin,
        timeouts: PoolTimeouts { connect: second, first_byte: second, total: second },
        health_path: None,
    })
}

fn rule() -> config::Resources {
    config::Resources {
        source: ResourceSource::Metrics("http://{endpoint}/stats/prometheus".into()),
        cpu: Some(0.9),
        memory: Some(0.9),
        cpu_limit: None,
        memory_limit: None,
        every: Duration::from_millis(20),
    }
}

async fn next(samples: &mut mpsc::Receiver<Sample>) -> Sample {
    tokio::time::timeout(PATIENCE, samples.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn both_pools_are_read_in_the_same_moment_and_in_the_same_order() {
    let text =
        |cpu: &str| format!("process_cpu_seconds_total {cpu}\nprocess_resident_memory_bytes 5\n");
    let (one, _) = exposing("200 OK", text("1")).await;
    let (two, _) = exposing("200 OK", text("2")).await;
    let (three, _) = exposing("200 OK", text("3")).await;
    let (stable, canary) = (pool("blue", &[one, two]), pool("green", &[three]));
    let (mut samplers, mut samples) = Samplers::new(Handle::current());
    let rule = rule();
    samplers.look("shop", (&stable, Some(&rule)), (&canary, Some(&rule)));
    let mut before = 0.0;
    for _ in 0..3 {
        let Sample { service, stable, canary } = next(&mut samples).await;
        assert_eq!(
            (service.as_str(), stable.pool.as_str(), canary.pool.as_str()),
            ("shop", "blue", "green")
        );
        let cpu = |looked: &Looked| -> Vec<f64> {
            looked.readings.iter().map(|r| r.found.as_ref().unwrap().cpu_s.unwrap()).collect()
        };
        assert_eq!((cpu(&stable), cpu(&canary)), (vec![1.0, 2.0], vec![3.0]));
        assert_eq!(stable.readings[0].source, one.to_string());
        let spread = stable.readings[0].at_s - canary.readings[0].at_s;
        assert!(spread.abs() < 1.0 && canary.readings[0].at_s > before, "{spread}");
        before = canary.readings[0].at_s;
    }
    samplers.retain(|_| false);
    // Whatever was under way ends; then nothing comes any more.
    while let Ok(sample) = tokio::time::timeout(Duration::from_millis(200), samples.recv()).await {
        assert!(sample.is_some());
    }
}

#[tokio::test]
async fn what_does_not_answer_is_said_to_be_not_known() {
    let (broken, _) = exposing("500 Internal Server Error", String::new()).await;
    let (large, _) = {
        let filler = "# filler filler filler\n".repeat(100_000);
        exposing("200 OK", format!("process_cpu_seconds_total 4\n{filler}")).await
    };
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (stable, canary) = (pool("blue", &[broken, large]), pool("green", &[closed]));
    let (mut samplers, mut samples) = Samplers::new(Handle::current());
    let rule = rule();
    samplers.look("shop", (&stable, Some(&rule)), (&canary, Some(&rule)));
    let Sample { stable, canary, .. } = next(&mut samples).await;
    let why = stable.readings[0].found.as_ref().unwrap_err();
    assert_eq!(why, "answers 500 to GET /stats/prometheus");
    assert_eq!(stable.readings[1].found.as_ref().unwrap().cpu_s, Some(4.0), "cut off, but there");
    let why = canary.readings[0].found.as_ref().unwrap_err();
    assert!(why.starts_with("does not answer: cannot connect to 127.0.0.1:"), "{why}");
}

#[tokio::test]
async fn only_endpoints_that_get_requests_are_asked_and_the_same_look_goes_on() {
    let (one, asked) = exposing("200 OK", "process_cpu_seconds_total 1\n".into()).await;
    let (stable, canary) = (pool("blue", &[one]), pool("green", &[one]));
    canary.endpoints[0].set_drained(true);
    let (mut samplers, mut samples) = Samplers::new(Handle::current());
    let rule = config::Resources { every: Duration::from_secs(3600), ..rule() };
    for _ in 0..3 {
        samplers.look("shop", (&stable, Some(&rule)), (&canary, Some(&rule)));
    }
    let sample = next(&mut samples).await;
    assert_eq!((sample.stable.readings.len(), sample.canary.readings.len()), (1, 0));
    // Another pool is another look, and it begins at once.
    let moved = pool("green", &[one]);
    samplers.look("shop", (&stable, Some(&rule)), (&moved, Some(&rule)));
    assert_eq!(next(&mut samples).await.canary.readings.len(), 1);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    samplers.look("shop", (&stable, None), (&moved, None));
    assert!(samplers.looking.is_empty());
}
