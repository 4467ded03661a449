use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;

struct Made {
    cert: String,
    key: String,
}

fn made(names: &[&str]) -> Made {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2040, 6, 30));
    let key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    Made { cert: cert.pem(), key: key.serialize_pem() }
}

/// Reads what is written for certificate and key; nothing is written where there is nothing.
fn read(cert: Option<&[u8]>, key: Option<&[u8]>) -> Result<Pair, Trouble> {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (name, bytes) in [("a.pem", cert), ("a.key", key)] {
        if let Some(bytes) = bytes {
            std::fs::write(at(name), bytes).unwrap();
        }
    }
    let pair = Pair::read(&at("a.pem"), &at("a.key"));
    let folder = format!("{}/", folder.path().display());
    pair.map_err(|trouble| Trouble { why: trouble.why.replace(&folder, ""), ..trouble })
}

#[test]
fn a_pair_knows_when_it_holds_and_for_whom() {
    let Made { cert, key } = made(&["shop.example.com", "*.eu.example.com"]);
    let pair = read(Some(cert.as_bytes()), Some(key.as_bytes())).unwrap();
    let text = |time: Duration| {
        let seconds = i64::try_from(time.as_secs()).unwrap();
        jiff::Timestamp::from_second(seconds).unwrap().to_string()
    };
    assert_eq!(text(pair.begins), "2020-01-01T00:00:00Z");
    assert_eq!(text(pair.expires), "2040-06-30T00:00:00Z");
    for (host, covered) in [
        ("shop.example.com", true),
        ("www.shop.example.com", false),
        ("example.com", false),
        ("a.eu.example.com", true),
        ("*.eu.example.com", true),
        ("*.example.com", false),
        ("*.a.eu.example.com", false),
    ] {
        let got = pair.covers(&host.parse().unwrap());
        let names = vec!["shop.example.com".to_owned(), "*.eu.example.com".to_owned()];
        assert_eq!(got, if covered { Ok(()) } else { Err(names) }, "{host}");
    }
}

#[test]
fn one_file_may_hold_both() {
    let Made { cert, key } = made(&["a.example"]);
    let both = format!("{key}{cert}");
    assert!(read(Some(both.as_bytes()), Some(both.as_bytes())).is_ok());
}

/// What the files hold, and what is said of which one, with what hint.
type Row<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, Part, &'a str, &'a str);

#[test]
fn what_is_wrong_is_said_of_the_file_at_fault() {
    let (a, b) = (made(&["a.example"]), made(&["b.example"]));
    let (cert, key) = (a.cert.as_bytes(), a.key.as_bytes());
    let torn = &cert[..cert.len() / 2];
    let encrypted: &[u8] = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n\
                             -----END ENCRYPTED PRIVATE KEY-----\n";
    let no_x509: &[u8] = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let no_key: &[u8] = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let der: &[u8] = &[0x30, 0x82, 1, 2];
    let large = vec![b'x'; (1 << 20) + 1];
    #[rustfmt::skip]
    let table: [Row<'_>; 14] = [
        (None, Some(key), Part::Cert, "`a.pem` does not exist", ""),
        (Some(cert), None, Part::Key, "`a.key` does not exist", ""),
        (Some(b""), Some(key), Part::Cert, "`a.pem` holds no certificate", "BEGIN CERTIFICATE"),
        (Some(key), Some(cert), Part::Cert, "`a.pem` holds no certificate", "exchanged"),
        (Some(der), Some(key), Part::Cert, "`a.pem` holds no certificate", "-inform der"),
        (Some(&large), Some(key), Part::Cert, "`a.pem` is larger than 1 MiB", ""),
        (Some(torn), Some(key), Part::Cert, "`a.pem` is no PEM file: ", ""),
        (Some(no_x509), Some(key), Part::Cert, "the certificate in `a.pem` cannot be used: ", ""),
        (Some(cert), Some(b""), Part::Key, "`a.key` holds no private key", "BEGIN PRIVATE KEY"),
        (Some(cert), Some(cert), Part::Key, "`a.key` holds no private key", "exchanged"),
        (Some(cert), Some(der), Part::Key, "`a.key` holds no private key", "-inform der"),
        (Some(cert), Some(encrypted), Part::Key, "the key in `a.key` is encrypted", "passphrase"),
        (Some(cert), Some(no_key), Part::Key, "the key in `a.key` cannot be used: ", ""),
        (Some(cert), Some(b.key.as_bytes()), Part::Key,
         "the key in `a.key` does not belong to the certificate in `a.pem`", "comes first"),
    ];
    for (cert, key, part, why, hint) in table {
        let trouble = read(cert, key).unwrap_err();
        assert!(trouble.part == part && trouble.why.starts_with(why), "{why}: {trouble:?}");
        assert_eq!(trouble.hint.is_some(), !hint.is_empty(), "{trouble:?}");
        assert!(trouble.hint.unwrap_or_default().contains(hint), "{trouble:?}");
    }
}

#[test]
fn a_folder_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let trouble = Pair::read(folder.path(), folder.path()).unwrap_err();
    assert!(trouble.why.ends_with("is a folder"), "{trouble}");
}
