//! Units, addresses, and `${NAME}`.

use proptest::prelude::*;

use super::*;
use crate::config::units::{duration, duration_text, share, size, size_text};

#[test]
fn a_duration_is_numbers_with_units() {
    for (text, want_ms) in [
        ("250ms", 250),
        ("10s", 10_000),
        (" 5 m ", 300_000),
        ("1h30m", 5_400_000),
        ("1h 30m", 5_400_000),
        ("30d", 2_592_000_000),
        ("0s", 0),
    ] {
        assert_eq!(duration(text), Ok(Duration::from_millis(want_ms)), "{text}");
    }
    let long = ["3651d", "99999999999999999999d", "18446744073709551615h"];
    for text in ["", " ", "10", "s", "1.5s", "-1s", "10S", "1m1m", "1m1h", "1s x", "1us"]
        .iter()
        .chain(&long)
    {
        assert!(duration(text).is_err(), "{text}");
    }
    assert_eq!(duration("3651d").unwrap_err().to_string(), "`3651d` is too long: at most 3650d");
}

#[test]
fn a_size_is_a_number_with_a_unit() {
    for (text, want) in [
        ("32KiB", 32_768),
        ("10MiB", 10_485_760),
        ("64KB", 64_000),
        ("100B", 100),
        ("1 gb", 1_000_000_000),
    ] {
        assert_eq!(size(text), Ok(want), "{text}");
    }
    for text in ["", "1", "KiB", "1.5MiB", "-1B", "1KiBB", "1K", "9999999TiB"] {
        assert!(size(text).is_err(), "{text}");
    }
}

#[test]
fn a_share_is_a_percentage() {
    for (text, want) in
        [("5%", 0.05), ("0.05%", 0.0005), ("100%", 1.0), ("0%", 0.0), (" 0.25 %", 0.0025)]
    {
        assert_eq!(share(text), Ok(want), "{text}");
    }
    for text in ["", "5", "%", ".%", "1.2.3%", "-1%", "100.1%", "1e2%", "nan%", "inf%"] {
        assert!(share(text).is_err(), "{text}");
    }
}

#[test]
fn hosts_are_names_in_lower_case() {
    let exact = |name: &str| Ok(HostPattern::Exact(name.to_owned()));
    assert_eq!("Shop.Example.com".parse(), exact("shop.example.com"));
    assert_eq!("[::0:1]".parse(), exact("[::1]"));
    assert_eq!("*.X.y".parse(), Ok(HostPattern::Wildcard("x.y".to_owned())));
    for text in
        ["", "*.", "*", "a..b", "a b", "a:80", "*.*.x", "x.*", "http://a", "ü.de", "[x]", "a.b."]
    {
        assert!(text.parse::<HostPattern>().is_err(), "{text}");
    }
    assert_eq!(shop(&with_service("hosts = [\"*\"]")).hosts, []);
    let text = with_service("hosts = [\"*\", \"a.b\"]");
    refused(&text, "\"*\"", "`*` already means every host");
    refused(&with_service("hosts = []"), "[]", "`hosts` must not be empty");
    refused(&with_service("hosts = [\"A\", \"a\"]"), "\"a\"", "`a` is listed twice");
    for (path, why) in [
        ("api", "a path begins with `/`"),
        ("/a?b", "a path ends before `?` and `#`"),
        ("/a b", "write spaces and what is not ASCII as %20 and the like"),
        ("/a/*", "a path is a prefix, so it needs no `*`"),
    ] {
        let text = with_service(&format!("paths = [\"{path}\"]"));
        refused(&text, &format!("\"{path}\""), &format!("`{path}` is not a path: {why}"));
    }
}

#[test]
fn networks_are_addresses_and_bits() {
    for (text, inside, outside) in [
        ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
        ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ("::ffff:10.0.0.0/104", "10.1.2.3", "11.1.2.3"),
        ("2001:db8::/32", "2001:db8::1", "2001:db9::1"),
    ] {
        let network: Network = text.parse().unwrap();
        assert!(network.contains(inside.parse().unwrap()), "{text}");
        assert!(!network.contains(outside.parse().unwrap()), "{text}");
        assert_eq!(network.to_string().parse(), Ok(network));
    }
    for text in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/", "10.0.0.0/-1", "a/8"] {
        assert!(text.parse::<Network>().is_err(), "{text}");
    }
}

#[test]
fn a_variable_is_replaced_by_its_value() {
    let force = |value: &str| {
        with_service(&format!(
            "force = [{{ header = \"x\", value = \"{value}\", to = \"canary\" }}]"
        ))
    };
    let environment = [("SECRET", "long enough"), ("EMPTY", ""), ("_a1", "${SECRET}")];
    for (value, want) in [
        ("${SECRET}", "long enough"),
        ("a-${SECRET}-${EMPTY}z", "a-long enough-z"),
        ("$${SECRET}", "${SECRET}"),
        ("$$${SECRET}", "$${SECRET}"),
        ("$SECRET {SECRET}", "$SECRET {SECRET}"),
        // A value is taken as it stands.
        ("${_a1}", "${SECRET}"),
    ] {
        let config = parse_in(&force(value), &environment).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(config.services["shop"].force[0].value, want, "{value}");
    }
    for (value, at, want) in [
        ("ab${NOPE}", "${NOPE}\"", "the environment variable `NOPE` is not set"),
        ("$${NOPE} ${NOPE}", "${NOPE}\"", "the environment variable `NOPE` is not set"),
        ("${SECRET}${NOPE}x", "${NOPE}x\"", "the environment variable `NOPE` is not set"),
        ("${SECRET", "${SECRET\"", "`${` begins no variable"),
        ("${1A}", "${1A}\"", "`${` begins no variable"),
        ("${}", "${}\"", "`${` begins no variable"),
        ("${EMPTY}", "\"${EMPTY}\"", "`value` must not be empty"),
    ] {
        let text = force(value);
        let errors = parse_in(&text, &environment).expect_err(value);
        let [problem] = errors.problems() else { panic!("{errors}") };
        let line = text.lines().nth(problem.line - 1).unwrap();
        assert_eq!(problem.message, want, "{value}");
        assert!(line[problem.column - 1..].starts_with(at), "{value}: {}", problem.column);
    }
    let errors = parse(&force("${A} ${B}")).unwrap_err();
    assert_eq!(errors.problems().len(), 2, "{errors}");
}

#[test]
fn a_secret_is_not_shown() {
    let text = with_service("force = [{ header = \"x\", value = \"${S}\", to = \"canary\" }]");
    let config = parse_in(&text, &[("S", "s3cret")]).unwrap();
    assert!(!format!("{config:?}").contains("s3cret"));
}

proptest! {
    #[test]
    fn durations_read_back(ms in 0_u64..=3_650 * 86_400_000) {
        let value = Duration::from_millis(ms);
        prop_assert_eq!(duration(&duration_text(value)), Ok(value));
    }

    #[test]
    fn sizes_read_back(bytes in 0..=i64::MAX.cast_unsigned()) {
        prop_assert_eq!(size(&size_text(bytes)), Ok(bytes));
    }

    #[test]
    fn shares_are_exact(basis_points in 0_u16..=10_000) {
        let weight = Weight::from_basis_points(basis_points).unwrap();
        prop_assert_eq!(share(&weight.to_string()), Ok(weight.fraction()));
    }

    #[test]
    fn targets_read_back(
        host in "[a-z][a-z0-9-]{0,8}(\\.[a-z][a-z0-9_-]{0,9}){0,3}\\.?|\\[[0-9a-f:]{2,9}\\]",
        port: u16,
    ) {
        if let Ok(target) = format!("{host}:{port}").parse::<Target>() {
            prop_assert_eq!(target.to_string().parse::<Target>(), Ok(target.clone()));
            let text = String::from(target.clone());
            prop_assert_eq!(Target::try_from(text), Ok(target));
        } else {
            prop_assert!(port == 0 || host.contains('['));
        }
    }

    #[test]
    fn no_text_panics(text: String) {
        let _ = (duration(&text), size(&text), share(&text));
        let _ = (text.parse::<Target>(), text.parse::<Network>(), text.parse::<HostPattern>());
    }
}
