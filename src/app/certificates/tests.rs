use std::path::Path;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;

/// Writes a pair for `host` that holds from `first` to `last`, in years.
fn write(folder: &Path, host: &str, (first, last): (i32, i32)) {
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(first, 1, 1), date_time_ymd(last, 1, 1));
    let key = KeyPair::generate().unwrap();
    std::fs::write(folder.join("a.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(folder.join("a.key"), key.serialize_pem()).unwrap();
}

#[tokio::test]
async fn a_pair_that_clients_would_refuse_does_not_replace_one_that_they_take() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.toml");
    write(folder.path(), "a.example.com", (2020, 9000));
    let text = "version = 1\n[listeners.web]\nbind = \"127.0.0.1:0\"\n\
                tls = [{ hosts = [\"a.example.com\", \"b.example.com\"], cert = \"a.pem\", key = \"a.key\" }]\n\
                [services.s.pools.a]\nendpoints = [\"127.0.0.1:1\"]\n";
    let config = Config::parse(text, &path, &BTreeMap::new()).unwrap();
    let (acceptors, certificates) = load(&config, &Metrics::default()).unwrap();
    assert_eq!(acceptors.len(), 1);
    let mut certificates = certificates.unwrap();
    for (host, years, is_bad) in [
        ("a.example.com", (2020, 8000), false),
        ("a.example.com", (1990, 1999), true),
        ("a.example.com", (8000, 9000), true),
        ("b.example.com", (2020, 9000), true),
        ("*.example.com", (2020, 9000), false),
    ] {
        let before = Arc::clone(&certificates.kept[0].pair.certified);
        write(folder.path(), host, years);
        certificates.look().await;
        let kept = &certificates.kept[0];
        assert_eq!(kept.patience.is_bad(), is_bad, "{host} {years:?}");
        assert_eq!(kept.pair.certified.cert == before.cert, is_bad, "{host} {years:?}");
    }
}
