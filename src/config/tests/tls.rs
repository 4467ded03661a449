//! Certificates: what the file says about them, and what is said about the files that it names.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::*;

/// A folder with certificates: `NAME.pem` and `NAME.key` for each name and the years in which it
/// holds.
fn folder(certificates: &[(&str, &[&str], (i32, i32))]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, hosts, (first, last)) in certificates {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.not_before = date_time_ymd(*first, 1, 1);
        params.not_after = date_time_ymd(*last, 12, 31);
        let key = KeyPair::generate().unwrap();
        let at = |kind: &str| folder.path().join(format!("{name}.{kind}"));
        std::fs::write(at("pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(at("key"), key.serialize_pem()).unwrap();
        std::fs::set_permissions(at("key"), PermissionsExt::from_mode(0o600)).unwrap();
    }
    folder
}

/// A good file whose listener has `tls`.
fn text(tls: &str) -> String {
    with_service("")
        .replace("bind = \"0.0.0.0:8080\"\n", &format!("bind = \"0.0.0.0:8080\"\n{tls}\n"))
}

fn parse_in_folder(folder: &TempDir, tls: &str) -> Result<Config, Errors> {
    Config::parse(&text(tls), &folder.path().join("proxy.toml"), &BTreeMap::new())
}

const GOOD: &str = "tls = [{ hosts = [\"Shop.example.com\", \"*.shop.example.com\"], cert = \"shop.pem\", \
                    key = \"shop.key\" }, { hosts = [\"*\"], cert = \"any.pem\", key = \"any.key\" }]";

#[test]
fn certificates_are_taken_with_their_names() {
    let shop = &["shop.example.com", "*.shop.example.com"];
    let folder = folder(&[("shop", shop, (2020, 9000)), ("any", &["a"], (2020, 9000))]);
    let config = parse_in_folder(&folder, GOOD).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.warnings, []);
    let at = |name: &str| folder.path().join(name);
    let pair = |name: &str| -> (PathBuf, PathBuf) {
        (at(&format!("{name}.pem")), at(&format!("{name}.key")))
    };
    let ((shop_cert, shop_key), (cert, key)) = (pair("shop"), pair("any"));
    let hosts = vec!["shop.example.com".parse().unwrap(), "*.shop.example.com".parse().unwrap()];
    assert_eq!(
        config.listeners["web"].tls,
        [
            Certificate { hosts, any: false, cert: shop_cert, key: shop_key },
            Certificate { hosts: Vec::new(), any: true, cert, key },
        ]
    );
}

#[test]
fn each_problem_has_its_place_and_what_to_do() {
    let folder =
        folder(&[("a", &["a.example"], (2020, 9000)), ("b", &["b.example"], (2020, 9000))]);
    let element = |hosts: &str, cert: &str, key: &str| {
        format!("{{ hosts = [{hosts}], cert = \"{cert}\", key = \"{key}\" }}")
    };
    let a = |hosts: &str| element(hosts, "a.pem", "a.key");
    let list = |elements: &[String]| format!("tls = [{}]", elements.join(", "));
    #[rustfmt::skip]
    let table = [
        ("tls = []".to_owned(), "[]", "`tls` must not be empty", "plain HTTP"),
        ("tls = true".to_owned(), "true", "`tls` must be a list, not true or false", "brackets"),
        ("tls = [\"a.pem\"]".to_owned(), "\"a.pem\"", "each of `tls` must be a table, not a string", ""),
        (list(&[a("")]), "[]", "`hosts` must not be empty", "[\"*\"]"),
        ("tls = [{ hosts = [\"*\"], key = \"a.key\" }]".to_owned(), "{ hosts",
         "missing key `cert` in this element of `tls`", "cert = "),
        (list(&[a("\"a.example:443\"")]), "\"a.example:443\"",
         "`a.example:443` is not a host: leave the port out, a host matches on every port", ""),
        (list(&[a("\"*.*.example\"")]), "\"*.*.example\"",
         "`*.*.example` is not a host: `*` stands alone or as the whole first label, such as \"*.example.com\"", ""),
        (list(&[a("\"192.0.2.1\"")]), "\"192.0.2.1\"",
         "`192.0.2.1` is an address, and who asks for one names no host in TLS", "\"*\""),
        (list(&[a("\"[::1]\"")]), "\"[::1]\"",
         "`[::1]` is an address, and who asks for one names no host in TLS", "\"*\""),
        (list(&[a("\"a.example\""), a("\"A.example\"")]), "\"A.example\"", "`a.example` is listed twice", ""),
        (list(&[a("\"*\""), a("\"a.example\", \"*\"")]), "\"*\"], cert", "`*` is listed twice", ""),
        (list(&[element("\"*\"", "no.pem", "a.key")]), "\"no.pem\"", "`FOLDER/no.pem` does not exist", ""),
        (list(&[element("\"*\"", "a.pem", "no.key")]), "\"no.key\"", "`FOLDER/no.key` does not exist", ""),
        (list(&[element("\"*\"", "a.key", "a.key")]), "\"a.key\"",
         "`FOLDER/a.key` holds no certificate", "exchanged"),
        (list(&[element("\"*\"", "a.pem", "b.key")]), "\"b.key\"",
         "the key in `FOLDER/b.key` does not belong to the certificate in `FOLDER/a.pem`", "comes first"),
    ];
    for (tls, at, want, hint) in table {
        let errors = parse_in_folder(&folder, &tls).expect_err(&tls);
        let [problem] = errors.problems() else { panic!("not one problem: {tls}\n{errors}") };
        assert_eq!(problem.message.replace(folder.path().to_str().unwrap(), "FOLDER"), want);
        let place: String = tls.chars().skip(problem.column - 1).collect();
        assert!(problem.line == 4 && place.starts_with(at), "{tls}\n{errors}");
        assert_eq!(problem.hint.is_some(), !hint.is_empty(), "{errors}");
        assert!(problem.hint.as_deref().unwrap_or_default().contains(hint), "{errors}");
    }
}

#[test]
fn a_certificate_that_clients_refuse_is_a_warning() {
    let folder = folder(&[
        ("old", &["a.example"], (1990, 1999)),
        ("new", &["a.example"], (8000, 9000)),
        ("other", &["b.example"], (2020, 9000)),
    ]);
    std::fs::set_permissions(folder.path().join("other.key"), PermissionsExt::from_mode(0o644))
        .unwrap();
    let said = |name: &str| {
        let tls = format!(
            "tls = [{{ hosts = [\"a.example\"], cert = \"{name}.pem\", key = \"{name}.key\" }}]"
        );
        let config = parse_in_folder(&folder, &tls).unwrap_or_else(|errors| panic!("{errors}"));
        let shown = config.warnings.iter().map(|warning| warning.to_string() + "\n");
        shown.collect::<String>().replace(folder.path().to_str().unwrap(), "FOLDER")
    };
    assert_eq!(
        said("old"),
        "4:40: warning: the certificate in `FOLDER/old.pem` expired on 1999-12-31\n    \
         hint: put a newer one in its place: it is read without a restart\n"
    );
    assert_eq!(
        said("new"),
        "4:40: warning: the certificate in `FOLDER/new.pem` does not hold before 8000-01-01\n    \
         hint: clients refuse it until then\n"
    );
    assert_eq!(
        said("other"),
        "4:19: warning: the certificate in `FOLDER/other.pem` does not cover `a.example`\n    \
         hint: clients refuse it; it is for b.example\n\
         4:59: warning: everybody on this machine may read the key in `FOLDER/other.key`\n    \
         hint: `chmod 600 FOLDER/other.key`, and consider it known\n"
    );
}

#[test]
fn a_reload_does_not_look_at_certificates() {
    let folder = folder(&[]);
    let path = folder.path().join("proxy.toml");
    std::fs::write(&path, text(GOOD)).unwrap();
    assert_eq!(Config::load(&path).unwrap_err().problems().len(), 2);
    let config = Config::reload(&path).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.listeners["web"].tls.len(), 2);
    std::fs::write(&path, text("tls = [{ hosts = [\"*\"], cert = \"a.pem\" }]")).unwrap();
    assert!(Config::reload(&path).is_err(), "it looks at the file all the same");
}

#[test]
fn what_is_spoken_is_listed_once() {
    let spoken =
        |list: &str| accepted(&text(&format!("protocols = [{list}]"))).listeners["web"].protocols;
    assert_eq!(spoken("\"http/1.1\""), Protocols { http1: true, h2: false });
    assert_eq!(spoken("\"h2\""), Protocols { http1: false, h2: true });
    assert_eq!(spoken("\"h2\", \"http/1.1\""), Protocols::default());
    refused(&text("protocols = []"), "[]", "`protocols` must not be empty");
    refused(&text("protocols = [\"h2\", \"h2\"]"), "\"h2\"]", "a protocol is listed twice");
    refused(
        &text("protocols = [\"h3\"]"),
        "\"h3\"",
        "each of `protocols` must be \"http/1.1\" or \"h2\", not `h3`",
    );
}
